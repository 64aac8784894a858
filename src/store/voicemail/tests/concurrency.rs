//! Several calls in one box at once.

use std::sync::Arc;
use std::thread;

use super::*;

#[test]
fn callers_at_once_do_not_collide() {
    const THREADS: u64 = 8;
    const EACH: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let threads = (0..THREADS).map(|thread| {
        let store = store.clone();
        thread::spawn(move || {
            let mut ids = Vec::new();
            for n in 0..EACH {
                let message = leave(&store, "100", thread * 100 + n);
                match n % 3 {
                    0 => store.save("100", &message.id).unwrap(),
                    1 => store.delete("100", &message.id).unwrap(),
                    _ => ids.push(message.id),
                }
                // None that others are busy with disturbs the list.
                store.list("100").unwrap();
            }
            ids
        })
    });
    let threads: Vec<_> = threads.collect();
    let ids: Vec<String> = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    let listed = store.list("100").unwrap();
    let saved = listed.iter().filter(|m| m.saved).count() as u64;
    assert_eq!((listed.len() as u64, saved), (THREADS * 7, THREADS * 4));
    let unsaved: HashSet<&String> = listed.iter().filter(|m| !m.saved).map(|m| &m.id).collect();
    assert_eq!(unsaved, ids.iter().collect());
    assert_eq!(files(dir.path()).len(), 2 * listed.len());
}

#[test]
fn a_message_saved_and_deleted_at_once_is_whole_or_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for _ in 0..50 {
        let message = leave(&store, "100", RECEIVED);
        thread::scope(|scope| {
            scope.spawn(|| store.delete("100", &message.id).unwrap());
            // Refused once the message is gone.
            scope.spawn(|| drop(store.save("100", &message.id)));
        });
        assert_eq!(files(dir.path()), [""; 0]);
    }
}

#[test]
fn callers_at_once_do_not_overfill_a_box() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_messages: 5,
        ..Limits::default()
    };
    let store = Arc::new(FileStore::open(dir.path().to_owned(), limits).unwrap());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            thread::spawn(move || {
                let draft = store.draft("100", &origin()).ok()?;
                record(&draft, 2000);
                Some(store.keep(&draft, &new_message("100", 0)).unwrap())
            })
        })
        .collect();
    let left = threads.into_iter().filter_map(|t| t.join().unwrap());
    assert_eq!(left.count(), 5);
    assert_eq!(store.list("100").unwrap().len(), 5);
}
