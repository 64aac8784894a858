//! The file store, seen through its interface, and through what lies in its directory.

mod concurrency;
mod crash;
mod names;

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::wav::Writer;

/// 2024-02-29T12:31:16Z.
const RECEIVED: u64 = 1_709_209_876;

fn open(directory: &Path) -> FileStore {
    FileStore::open(directory.join("voicemail"), Limits::default()).unwrap()
}

fn origin() -> Origin {
    Origin {
        caller: "alice".into(),
        call_id: "abc@host".into(),
    }
}

fn new_message(mailbox: &str, received: u64) -> NewMessage {
    NewMessage {
        mailbox: mailbox.into(),
        from: origin(),
        received: UNIX_EPOCH + Duration::from_secs(received),
        length: Duration::from_millis(2500),
    }
}

fn record(path: &Path, milliseconds: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = Writer::create(File::create(path).unwrap(), 8000).unwrap();
    writer.write(&vec![500; 8 * milliseconds]).unwrap();
    writer.finish().unwrap();
}

/// Leaves a message as a call does.
fn leave(store: &FileStore, mailbox: &str, received: u64) -> Message {
    let draft = store.draft(mailbox, &origin()).unwrap();
    record(&draft, 2500);
    store.keep(&draft, &new_message(mailbox, received)).unwrap()
}

/// All files below a directory, sorted.
fn files(directory: &Path) -> Vec<String> {
    fn walk(at: &Path, below: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, below, found);
            } else {
                let path = path.strip_prefix(below).unwrap();
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}

#[test]
fn a_message_is_left_heard_saved_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.list("100").unwrap(), []);
    let message = leave(&store, "100", RECEIVED);
    assert_eq!(store.list("100").unwrap(), slice::from_ref(&message));
    assert_eq!(store.list("101").unwrap(), []);
    assert_eq!(
        message,
        Message {
            id: message.id.clone(),
            file: dir.path().join(format!("voicemail/100/{}.wav", message.id)),
            caller: "alice".into(),
            received: RECEIVED,
            length: Duration::from_millis(2500),
            saved: false,
        }
    );
    assert!(message.file.is_file());
    let below = dir.path().join("voicemail/100");
    let names = ["json", "wav"].map(|ending| format!("{}.{ending}", message.id));
    assert_eq!(files(&below), names, "and nothing of the draft");

    store.save("100", &message.id).unwrap();
    store.save("100", &message.id).unwrap();
    let saved = Message {
        saved: true,
        ..message.clone()
    };
    assert_eq!(store.list("100").unwrap(), slice::from_ref(&saved));
    assert_eq!(open(dir.path()).list("100").unwrap(), [saved]);

    store.delete("100", &message.id).unwrap();
    assert_eq!(store.list("100").unwrap(), []);
    assert_eq!(files(&below), [""; 0]);
    for result in [
        store.delete("100", &message.id),
        store.save("100", &message.id),
        store.save("nobody", &message.id),
    ] {
        assert!(matches!(result, Err(StoreError::NoMessage { .. })));
    }
}

#[test]
fn the_sidecar_is_for_other_programs_too() {
    let dir = tempfile::tempdir().unwrap();
    let message = leave(&open(dir.path()), "100", RECEIVED);
    let text = fs::read_to_string(message.file.with_extension("json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "id": message.id,
            "mailbox": "100",
            "caller": "alice",
            "call_id": "abc@host",
            "received": "2024-02-29T12:31:16Z",
            "received_seconds": RECEIVED,
            "length_ms": 2500,
            "saved": false,
        })
    );
}

#[test]
fn the_oldest_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for received in [300, 100, 200, 200] {
        leave(&store, "100", received);
    }
    let messages = store.list("100").unwrap();
    let order: Vec<u64> = messages.iter().map(|m| m.received).collect();
    assert_eq!(order, [100, 200, 200, 300]);
    assert!(messages[1].id < messages[2].id, "then as they began");
}

#[test]
fn a_draft_that_is_not_wanted_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let draft = store.draft("100", &origin()).unwrap();
    assert!(!draft.exists() && draft.parent().unwrap().is_dir());
    record(&draft, 300);
    store.discard(&draft).unwrap();
    // Never begun, and discarded once more.
    let draft = store.draft("100", &origin()).unwrap();
    store.discard(&draft).unwrap();
    store.discard(&draft).unwrap();
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn a_message_that_is_deleted_is_none_even_if_its_recording_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let message = leave(&store, "100", RECEIVED);
    // A directory in its place cannot be removed as a file.
    fs::remove_file(&message.file).unwrap();
    fs::create_dir(&message.file).unwrap();
    let error = store.delete("100", &message.id).unwrap_err().to_string();
    assert!(error.contains(message.file.to_str().unwrap()), "{error}");
    assert_eq!(store.list("100").unwrap(), []);
    fs::remove_dir(&message.file).unwrap();
    record(&message.file, 2500);
    assert_eq!(open(dir.path()).list("100").unwrap(), []);
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn a_number_that_the_recorder_appended_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let numbered = |draft: &Path| {
        let name = draft.file_stem().unwrap().to_str().unwrap();
        draft.with_file_name(format!("{name}-1.wav"))
    };
    let kept = numbered(&store.draft("100", &origin()).unwrap());
    record(&kept, 2000);
    store.keep(&kept, &new_message("100", RECEIVED)).unwrap();
    let dropped = numbered(&store.draft("100", &origin()).unwrap());
    record(&dropped, 2000);
    store.discard(&dropped).unwrap();
    assert_eq!(store.list("100").unwrap().len(), 1);
    assert_eq!(files(dir.path()).len(), 2, "{:?}", files(dir.path()));
}

#[test]
fn what_cannot_be_kept_stays_a_draft() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let draft = store.draft("100", &origin()).unwrap();
    let error = store
        .keep(&draft, &new_message("100", 0))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(draft.to_str().unwrap()) && error.contains("No such file"),
        "{error}"
    );
    record(&draft, 2000);
    let id = draft.file_stem().unwrap().to_str().unwrap();
    // The sidecar's temporary name is taken by a directory: it cannot be written.
    let obstacle = dir.path().join(format!("voicemail/100/{id}.json.tmp"));
    fs::create_dir(&obstacle).unwrap();
    let error = store.keep(&draft, &new_message("100", 0)).unwrap_err();
    assert!(matches!(error, StoreError::File { .. }), "{error}");
    assert!(draft.is_file() && store.list("100").unwrap().is_empty());
    fs::remove_dir(&obstacle).unwrap();
    store.keep(&draft, &new_message("100", 0)).unwrap();
    assert_eq!(store.list("100").unwrap().len(), 1);
}

#[test]
fn a_full_box_takes_no_more_until_one_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_messages: 2,
        ..Limits::default()
    };
    let store = FileStore::open(dir.path().to_owned(), limits).unwrap();
    let first = leave(&store, "100", 1);
    let draft = store.draft("100", &origin()).unwrap();
    let error = store.draft("100", &origin()).unwrap_err();
    assert_eq!(error.to_string(), "mailbox 100 is full: 2 messages");
    store.discard(&draft).unwrap();
    leave(&store, "100", 2);
    let error = store.draft("100", &origin()).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    leave(&store, "101", 3);
    store.delete("100", &first.id).unwrap();
    store.draft("100", &origin()).unwrap();
}

#[test]
fn a_broken_sidecar_is_left_out_and_its_recording_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let whole = leave(&store, "100", RECEIVED);
    let text = fs::read_to_string(whole.file.with_extension("json")).unwrap();
    let other = text.replace(&whole.id, "another");
    let other_box = text.replace("\"100\"", "\"101\"");
    let long = format!("{text}{}", " ".repeat(100_000));
    let deep = "[".repeat(10_000);
    for broken in [
        "",
        "null",
        "\0\0\0",
        &text[..text.len() / 2],
        &text.replace("2500", "-1"),
        &text.replace("2500", "1e99"),
        &other,
        &other_box,
        &long,
        &deep,
    ] {
        let message = leave(&store, "100", RECEIVED);
        let path = message.file.with_extension("json");
        fs::write(&path, broken).unwrap();
        assert_eq!(
            store.list("100").unwrap(),
            slice::from_ref(&whole),
            "{broken:.200}"
        );
        let reopened = open(dir.path());
        assert_eq!(reopened.list("100").unwrap(), slice::from_ref(&whole));
        assert!(message.file.is_file() && path.is_file());
        assert!(
            matches!(store.save("100", &message.id), Err(StoreError::File { .. })),
            "{broken:.200}"
        );
        store.delete("100", &message.id).unwrap();
        assert!(!message.file.exists() && !path.exists());
    }
    // Extreme, and still a message.
    let extreme = text.replace("2500", &u64::MAX.to_string());
    fs::write(whole.file.with_extension("json"), extreme).unwrap();
    assert_eq!(store.list("100").unwrap().len(), 1);
    // Not text at all, and a sidecar without a recording.
    fs::write(whole.file.with_extension("json"), b"\xff\xfe").unwrap();
    assert_eq!(store.list("100").unwrap(), []);
    fs::write(whole.file.with_extension("json"), text).unwrap();
    fs::remove_file(&whole.file).unwrap();
    assert_eq!(store.list("100").unwrap(), []);
}

#[test]
fn what_a_caller_says_is_bounded_and_kept_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let hostile = "\"\\\0\n</é\u{202e}\u{1f600}".to_owned();
    let from = |caller: String| Origin {
        caller,
        call_id: "\u{1}".repeat(70_000),
    };
    for (said, kept) in [
        (hostile.clone(), hostile),
        ("\u{1}".repeat(70_000), "\u{1}".repeat(256)),
    ] {
        let draft = store.draft("100", &from(said.clone())).unwrap();
        record(&draft, 2000);
        let new = NewMessage {
            from: from(said),
            ..new_message("100", 0)
        };
        let message = store.keep(&draft, &new).unwrap();
        assert_eq!(message.caller, kept);
        assert_eq!(store.list("100").unwrap(), slice::from_ref(&message));
        store.delete("100", &message.id).unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let error = FileStore::open(path.join("voicemail"), Limits::default())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("file/voicemail: "), "{error}");
}
