//! Text made speech by a command, and everything that a command may do wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use antiphon::store::speech::{MAX_TEXT, Speech, SpeechError, SpeechSettings};
use antiphon::wav::Reader;

fn speech(directory: &Path, command: &[&str]) -> Speech {
    Speech::new(SpeechSettings {
        command: command.iter().map(|&c| c.to_owned()).collect(),
        language: "en".to_owned(),
        time: Duration::from_secs(5),
        bytes: 1 << 20,
        directory: directory.to_owned(),
        max_bytes: 10 << 20,
    })
}

fn seconds(path: &Path) -> f64 {
    let reader = Reader::open(std::fs::File::open(path).unwrap()).unwrap();
    reader.spec().frames as f64 / f64::from(reader.spec().rate)
}

#[tokio::test]
async fn a_text_is_said_once_and_kept() {
    let here = tempfile::tempdir().unwrap();
    let command = ["espeak-ng", "-v", "{language}", "--stdin", "--stdout"];
    let speech = speech(here.path(), &command);
    let short = speech.say("Hello.", None).await.unwrap();
    let long = speech
        .say("Hello, and welcome to all of you.", None)
        .await
        .unwrap();
    assert!(seconds(&long) > seconds(&short) && seconds(&short) > 0.2);
    let written = std::fs::metadata(&short).unwrap().modified().unwrap();
    assert_eq!(speech.say("Hello.", Some("en")).await.unwrap(), short);
    assert_eq!(
        std::fs::metadata(&short).unwrap().modified().unwrap(),
        written
    );
    assert_ne!(speech.say("Hello.", Some("de")).await.unwrap(), short);
}

#[tokio::test]
async fn who_wants_the_same_text_at_once_gets_what_comes_of_one_run_and_a_lost_file_is_made_anew() {
    let here = tempfile::tempdir().unwrap();
    let runs = here.path().join("runs");
    let script = format!(
        "echo x >> {}; grep -q fails && exit 1; printf RIFF",
        runs.display()
    );
    let speech = speech(here.path(), &["sh", "-c", &script]);
    let count = || std::fs::read_to_string(&runs).unwrap().lines().count();
    let callers = (0..10).map(|_| {
        let speech = speech.clone();
        tokio::spawn(async move { speech.say("it fails", None).await })
    });
    for caller in callers.collect::<Vec<_>>() {
        let error = caller.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("exit status: 1"), "{error}");
    }
    assert_eq!(count(), 1);
    let path = speech.say("it works", None).await.unwrap();
    assert_eq!(speech.say("it works", None).await.unwrap(), path);
    assert_eq!(count(), 2);
    std::fs::remove_file(&path).unwrap();
    let again = speech.say("it works", None).await.unwrap();
    assert_eq!(std::fs::read(again).unwrap(), b"RIFF");
    assert_eq!(count(), 3);
}

#[tokio::test]
async fn a_text_waits_for_its_turn_no_longer_than_for_its_speech() {
    let here = tempfile::tempdir().unwrap();
    let speech = Speech::new(SpeechSettings {
        command: ["sleep", "30"].map(str::to_owned).into(),
        time: Duration::from_secs(1),
        directory: here.path().to_owned(),
        ..SpeechSettings::default()
    });
    let start = Instant::now();
    let callers = (0..12).map(|n| {
        let speech = speech.clone();
        tokio::spawn(async move { speech.say(&format!("text {n}"), None).await.unwrap_err() })
    });
    for caller in callers.collect::<Vec<_>>() {
        let error = caller.await.unwrap();
        assert!(matches!(error, SpeechError::TimedOut { .. }), "{error}");
    }
    let length = start.elapsed();
    assert!(length < Duration::from_millis(2500), "{length:?} for 1 s");
}

#[tokio::test]
async fn what_a_text_or_a_command_does_wrong_is_told() {
    let here = tempfile::tempdir().unwrap();
    let told = async |command: &[&str], text: &str, language: Option<&str>| {
        let error = speech(here.path(), command).say(text, language).await;
        error.unwrap_err().to_string()
    };
    assert!(told(&[], "x", None).await.contains("speech.command"));
    assert!(
        told(&["cat"], "x", None)
            .await
            .contains("cat: no WAV file came")
    );
    assert!(
        told(&["/no/such/program"], "x", None)
            .await
            .contains("/no/such/program: No such")
    );
    let fails = ["sh", "-c", "echo 'no voice' >&2; exit 3"];
    let told_of = told(&fails, "x", None).await;
    assert!(
        told_of.contains("exit status: 3") && told_of.contains("no voice"),
        "{told_of}"
    );
    let endless = ["sh", "-c", "yes RIFF"];
    assert!(
        told(&endless, "x", None)
            .await
            .contains("more than 1048576 bytes")
    );
    for text in ["", " \n", "a\0b", &"x".repeat(MAX_TEXT + 1)] {
        assert!(told(&["cat"], text, None).await.contains("1 to 4000 bytes"));
    }
    for language in ["-w/etc/x", "e n", "../en"] {
        assert!(
            told(&["cat"], "x", Some(language))
                .await
                .starts_with("language")
        );
    }
}

#[tokio::test]
async fn a_command_that_complains_at_length_is_heard_out() {
    let here = tempfile::tempdir().unwrap();
    let talks = "cat >/dev/null; head -c 1000000 /dev/zero >&2 && printf RIFF";
    let talker = speech(here.path(), &["sh", "-c", talks]);
    let path = talker.say("x", None).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"RIFF");
    let complains = "cat >/dev/null; echo no voice >&2; head -c 1000000 /dev/zero >&2; exit 3";
    let complainer = speech(here.path(), &["sh", "-c", complains]);
    let error = complainer.say("x", None).await.unwrap_err().to_string();
    assert!(
        error.contains("exit status: 3") && error.contains("no voice"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_ended() {
    let here = tempfile::tempdir().unwrap();
    let mark = here.path().join("mark");
    let script = format!("sleep 3; touch {}", mark.display());
    let speech = Speech::new(SpeechSettings {
        command: vec!["sh".into(), "-c".into(), script],
        time: Duration::from_secs(1),
        directory: here.path().to_owned(),
        ..SpeechSettings::default()
    });
    let start = Instant::now();
    let error = speech.say("x", None).await.unwrap_err();
    assert!(
        matches!(error, SpeechError::TimedOut { seconds: 1, .. }),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(3));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!mark.exists(), "it goes on");
}
