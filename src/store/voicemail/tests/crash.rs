//! What each moment of a crash leaves behind, and what the next start makes of it.

use super::*;

/// What a state is built of. Ids are `A` and so on; `X.wav` is two seconds long.
fn build(base: &Path, parts: &[&str]) {
    let place = base.join("100");
    fs::create_dir_all(place.join("drafts")).unwrap();
    for part in parts {
        let (path, content) = part.split_once('=').unwrap_or((part, ""));
        let path = place.join(path);
        let name = path.file_name().unwrap().to_str().unwrap();
        let id = name.split('.').next().unwrap();
        match content {
            "" => record(&path, 2000),
            "sidecar" => fs::write(&path, sidecar(id)).unwrap(),
            "note" => fs::write(
                &path,
                r#"{"caller": "bob", "call_id": "x@y", "began_seconds": 77}"#,
            )
            .unwrap(),
            "short" => record(&path, 990),
            "exact" => record(&path, 1000),
            "unflushed" => {
                record(&path, 2000);
                // The header counts a second and a half; the rest came after the last flush.
                let mut bytes = fs::read(&path).unwrap();
                bytes[40..44].copy_from_slice(&24_000_u32.to_le_bytes());
                fs::write(&path, bytes).unwrap();
            }
            "cut" => {
                record(&path, 2000);
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..20_044]).unwrap();
            }
            bytes => fs::write(&path, bytes.repeat(20).trim_start_matches("none")).unwrap(),
        }
    }
}

fn sidecar(id: &str) -> String {
    format!(
        r#"{{"id": "{id}", "mailbox": "100", "caller": "alice", "call_id": "abc@host",
        "received": "2024-02-29T12:31:16Z", "received_seconds": {RECEIVED},
        "length_ms": 2000, "saved": false}}"#
    )
}

struct Case {
    moment: &'static str,
    before: &'static [&'static str],
    /// Id, caller and milliseconds of each message.
    messages: &'static [(&'static str, &'static str, u64)],
    after: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        moment: "the note is being written",
        before: &["drafts/A.json.tmp={"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "the recorder has not begun",
        before: &["drafts/A.json=note"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "the file has no header yet",
        before: &["drafts/A.json=note", "drafts/A.wav=none"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "recording for less than a second",
        before: &["drafts/A.json=note", "drafts/A.wav=short"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "recording for a second",
        before: &["drafts/A.json=note", "drafts/A.wav=exact"],
        messages: &[("A", "bob", 1000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "recording",
        before: &["drafts/A.json=note", "drafts/A.wav=unflushed"],
        messages: &[("A", "bob", 1500)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "the disk has less than the header says",
        before: &["drafts/A.json=note", "drafts/A.wav=cut"],
        messages: &[("A", "bob", 1250)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "recording, under a number of the recorder's",
        before: &["drafts/A.json=note", "drafts/A-1.wav"],
        messages: &[("A-1", "bob", 2000)],
        after: &["A-1.json", "A-1.wav"],
    },
    Case {
        moment: "recording, the note lost",
        before: &["drafts/A.wav"],
        messages: &[("A", "unknown", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "recording, the note broken",
        before: &["drafts/A.json={", "drafts/A.wav"],
        messages: &[("A", "unknown", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "the sidecar is being written",
        before: &["drafts/A.json=note", "drafts/A.wav", "A.json.tmp={"],
        messages: &[("A", "bob", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "the recording has moved",
        before: &["drafts/A.json=note", "A.wav", "A.json.tmp=sidecar"],
        messages: &[("A", "bob", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "the sidecar is there, and the note still",
        before: &["drafts/A.json=note", "A.wav", "A.json=sidecar"],
        messages: &[("A", "alice", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "a recording in the box, and nothing else",
        before: &["A.wav", "B.wav=short"],
        messages: &[("A", "unknown", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "the draft is being discarded",
        before: &["drafts/A.json=note"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "a message is being saved",
        before: &["A.wav", "A.json=sidecar", "A.json.tmp=sidecar"],
        messages: &[("A", "alice", 2000)],
        after: &["A.json", "A.wav"],
    },
    Case {
        moment: "the sidecar is marked as deleted",
        before: &["A.wav", "A.deleted=sidecar"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "the deleted recording is gone",
        before: &["A.deleted=sidecar"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "the mark was made and the sidecar not yet removed",
        before: &["A.wav", "A.deleted=sidecar", "A.json=sidecar"],
        messages: &[],
        after: &[],
    },
    Case {
        moment: "a file that is no WAV, longer than a header",
        before: &[
            "drafts/A.json=note",
            "drafts/A.wav=garbage",
            "B.wav=garbage",
        ],
        messages: &[],
        after: &["B.wav", "drafts/A.json", "drafts/A.wav"],
    },
    Case {
        moment: "files of others",
        before: &[
            "x.txt=hello",
            "drafts/y z.wav",
            "a b.deleted=hello",
            "a b.wav",
        ],
        messages: &[],
        after: &["a b.deleted", "a b.wav", "drafts/y z.wav", "x.txt"],
    },
    Case {
        moment: "a draft whose name a message has",
        before: &["drafts/A.wav", "A.wav", "A.json=sidecar"],
        messages: &[("A", "alice", 2000)],
        after: &["A.json", "A.wav", "drafts/A.wav"],
    },
    Case {
        moment: "several at once",
        before: &[
            "drafts/A.json=note",
            "drafts/A.wav",
            "drafts/B.json=note",
            "C.wav",
            "C.json=sidecar",
            "D.deleted=sidecar",
            "D.wav",
        ],
        messages: &[("A", "bob", 2000), ("C", "alice", 2000)],
        after: &["A.json", "A.wav", "C.json", "C.wav"],
    },
];

/// A crash at any moment leaves a whole message or a draft, and a second start changes nothing.
#[test]
fn a_crash_at_any_moment_loses_nothing_and_invents_nothing() {
    for case in CASES {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("voicemail");
        build(&base, case.before);
        for start in 1..=2 {
            let store = open(dir.path());
            let messages = store.list("100").unwrap();
            let found: Vec<_> = messages
                .iter()
                .map(|m| {
                    (
                        m.id.as_str(),
                        m.caller.as_str(),
                        m.length.as_millis() as u64,
                    )
                })
                .collect();
            let context = format!("{}, start {start}", case.moment);
            assert_eq!(found, case.messages, "{context}");
            assert_eq!(files(&base.join("100")), case.after, "{context}");
            assert!(messages.iter().all(|m| m.file.is_file()), "{context}");
        }
    }
}

#[test]
fn a_recovered_message_has_the_time_of_its_note_or_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("voicemail");
    build(&base, &["drafts/A.json=note", "drafts/A.wav", "B.wav"]);
    let written = UNIX_EPOCH + Duration::from_secs(5000);
    let file = File::options().write(true).open(base.join("100/B.wav"));
    file.unwrap().set_modified(written).unwrap();
    let messages = open(dir.path()).list("100").unwrap();
    let times: Vec<u64> = messages.iter().map(|m| m.received).collect();
    assert_eq!(times, [77, 5000]);
}

/// What draft and keep really leave at each step is what the cases are built of.
#[test]
fn the_cases_are_what_the_store_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let draft = store.draft("100", &origin()).unwrap();
    record(&draft, 2000);
    let id = draft.file_stem().unwrap().to_str().unwrap();
    let base = dir.path().join("voicemail/100");
    assert_eq!(
        files(&base),
        [format!("drafts/{id}.json"), format!("drafts/{id}.wav")]
    );
    // The process dies here.
    let [message] = &open(dir.path()).list("100").unwrap()[..] else {
        panic!("the message is there");
    };
    assert_eq!((&*message.id, &*message.caller), (id, "alice"));
    let text = fs::read_to_string(message.file.with_extension("json")).unwrap();
    assert!(text.contains("\"call_id\": \"abc@host\""), "{text}");
}

#[test]
fn directories_that_are_no_boxes_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("voicemail");
    record(&base.join("lost+found/A.wav"), 500);
    record(&base.join("A.wav"), 500);
    fs::write(base.join("100"), "a file where a box would be").unwrap();
    let before = files(&base);
    let store = open(dir.path());
    assert_eq!(files(&base), before);
    let error = store.list("100").unwrap_err().to_string();
    assert!(error.contains("voicemail/100: "), "{error}");
}

/// What one box has left does not keep the others from being recovered.
#[test]
fn an_obstacle_in_one_box_does_not_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("voicemail");
    // Directories where files would be.
    for obstacle in ["A.wav", "B.deleted", "C.json.tmp", "D.json", "drafts/E.wav"] {
        fs::create_dir_all(base.join("100").join(obstacle)).unwrap();
    }
    fs::create_dir_all(base.join("101")).unwrap();
    fs::write(base.join("101/drafts"), "").unwrap();
    record(&base.join("100/F.wav"), 2000);
    record(&base.join("102/G.wav"), 2000);
    let store = open(dir.path());
    for (mailbox, count) in [("100", 1), ("101", 0), ("102", 1)] {
        assert_eq!(store.list(mailbox).unwrap().len(), count, "{mailbox}");
    }
    assert!(store.draft("101", &origin()).is_err());
}
