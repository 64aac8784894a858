use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;

type Files = Shelf<u32, (), String>;

fn shelf(directory: &Path) -> Arc<Files> {
    Arc::new(Shelf::new(directory.to_owned(), "ours-", 1 << 20))
}

/// Lets others run until so many wait for the file of a key.
async fn until_waiting(shelf: &Files, key: u32, wanted: usize) {
    for _ in 0..1000 {
        let making = shelf.places().by_key.get(&key).map(|p| p.making.clone());
        let making = making.and_then(|making| making.upgrade());
        if making.map_or(0, |outcome| outcome.receiver_count()) == wanted {
            return;
        }
        yield_now().await;
    }
    panic!("never {wanted} at once");
}

#[tokio::test]
async fn who_wants_the_same_meanwhile_gets_what_comes_of_it_and_who_comes_later_does_not() {
    let here = tempfile::tempdir().unwrap();
    let shelf = shelf(here.path());
    let begun = Arc::new(AtomicUsize::new(0));
    let (open, gate) = watch::channel(false);
    let ask = || {
        let (shelf, begun, mut gate) = (shelf.clone(), begun.clone(), gate.clone());
        tokio::spawn(async move {
            let make = |_| async move {
                let n = begun.fetch_add(1, Ordering::SeqCst);
                gate.wait_for(|open| *open).await.unwrap();
                Err(format!("failure {n}"))
            };
            shelf.get(&1, make).await
        })
    };
    let callers: Vec<_> = (0..20).map(|_| ask()).collect();
    until_waiting(&shelf, 1, 20).await;
    open.send(true).unwrap();
    for caller in callers {
        let failure = Some(Err("failure 0".to_owned()));
        assert_eq!(caller.await.unwrap(), failure);
    }
    assert_eq!(ask().await.unwrap(), Some(Err("failure 1".to_owned())));
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_given_up_and_begun_anew() {
    let here = tempfile::tempdir().unwrap();
    let shelf = shelf(here.path());
    let (tell, mut told) = mpsc::unbounded_channel();
    let ask = || {
        let (shelf, tell) = (shelf.clone(), tell.clone());
        tokio::spawn(async move {
            let make = |making: Making<u32, (), String>| async move {
                let done = making.while_wanted(std::future::pending::<()>()).await;
                tell.send(done).unwrap();
                Err("given up".to_owned())
            };
            shelf.get(&1, make).await
        })
    };
    let (one, other) = (ask(), ask());
    until_waiting(&shelf, 1, 2).await;
    one.abort();
    until_waiting(&shelf, 1, 1).await;
    assert!(told.try_recv().is_err(), "another waits still");
    other.abort();
    let given_up = timeout(Duration::from_secs(20), told.recv()).await;
    assert_eq!(given_up.unwrap(), Some(None));
    let next = shelf.get(&1, |_| async { Err("anew".to_owned()) }).await;
    assert_eq!(next, Some(Err("anew".to_owned())));
}

async fn make_unless_known(making: Making<u32, (), String>) -> Result<PathBuf, String> {
    if making.known().await.is_some() {
        return Err("known".to_owned());
    }
    let kept = making.keep(b"RIFF".to_vec(), ()).await;
    kept.map_err(|(path, error)| format!("{}: {error}", path.display()))
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_known_any_more() {
    let here = tempfile::tempdir().unwrap();
    let shelf = shelf(&here.path().join("shared"));
    let get = async || shelf.get(&1, make_unless_known).await.unwrap();
    let path = get().await.unwrap();
    assert_eq!(get().await, Err("known".to_owned()));
    fs::remove_file(&path).unwrap();
    assert_eq!(get().await, Ok(path.clone()));
    assert_eq!(fs::read(&path).unwrap(), b"RIFF");
    // Or all of it.
    fs::remove_dir_all(here.path().join("shared")).unwrap();
    assert!(get().await.unwrap().exists());
}

#[tokio::test]
async fn two_shelves_leave_each_other_what_they_have() {
    let here = tempfile::tempdir().unwrap();
    let (one, other) = (shelf(here.path()), shelf(here.path()));
    let path = one.get(&1, make_unless_known).await.unwrap().unwrap();
    other.clear();
    let beside = other.get(&1, make_unless_known).await.unwrap().unwrap();
    assert!(path.exists() && beside.exists() && path != beside);
    drop(other);
    assert!(path.exists() && !beside.exists());
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let around = tempfile::tempdir().unwrap();
    let victim = around.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let new = around.path().join("x.new");
    std::os::unix::fs::symlink(&victim, &new).unwrap();
    write_new(&new, b"sound").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(fs::read(&new).unwrap(), b"sound");
}

#[test]
fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let place = |n| Place::<(), ()> {
        number: n,
        kept: None,
        making: Weak::new(),
        used: later(n),
    };
    let mut places = Places {
        by_key: [30, 10, 20].map(|n| (n, place(n))).into(),
        last: 3,
    };
    let forget = |places: &mut Places<u64, (), ()>, seconds| {
        let forgotten = places.forget_one(later(seconds));
        forgotten.map(|place| place.number)
    };
    assert_eq!(forget(&mut places, 70), None);
    assert_eq!(forget(&mut places, 75), Some(10));
    assert_eq!(forget(&mut places, 75), None);
    // One that is being made is in use, however long that takes.
    let (outcome, _waits) = watch::channel(None);
    let outcome = Arc::new(outcome);
    places.by_key.get_mut(&20).unwrap().making = Arc::downgrade(&outcome);
    assert_eq!(forget(&mut places, 900), Some(30));
    assert_eq!(forget(&mut places, 900), None);
    drop(outcome);
    assert_eq!(forget(&mut places, 900), Some(20));
}
