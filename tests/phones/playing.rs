//! What a `play` route sends: WAV files of every kind, lists, repeats, tones; and what happens when
//! a file is gone.

use crate::support::caller;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use caller::{Ended, call};
use pacing::Watch;
use server::Server;

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;

/// Makes a WAV with sox, a second implementation: a tone of one second.
fn make(path: &Path, hz: f64, format: &[&str]) {
    let made = Command::new("sox")
        .args(["-D", "-n"])
        .args(format)
        .arg(path)
        .args([
            "synth",
            "1",
            "sine",
            &hz.to_string(),
            "vol",
            &AMPLITUDE.to_string(),
        ])
        .status();
    assert!(made.expect("sox is installed").success(), "{format:?}");
}

fn play_route(user: &str, files: &[&Path], more: &str) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|f| format!("{:?}", f.display().to_string()))
        .collect();
    format!(
        "user = \"{user}\"\napp = \"play\"\nprompts = [{}]\n{more}",
        names.join(", ")
    )
}

/// Dials and records until the server hangs up, or for so many seconds.
fn hear(server: &Server, watch: &Watch, user: &str, seconds: Option<&str>) -> (Ended, Vec<i16>) {
    let files = tempfile::tempdir().unwrap();
    let heard = files.path().join("heard.wav");
    // What is compared sample by sample goes by a codec that keeps the waveform.
    let mut args = vec!["--codec", "pcmu", "--record", heard.to_str().unwrap()];
    args.extend(seconds.iter().flat_map(|s| ["--seconds", s]));
    let calling = call(user, server.udp(), &args);
    watch.add(calling.pid());
    let ended = calling.wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    (ended, tone::read(&heard))
}

/// One run of the tone, so long; the edges of a frame at each end left out.
fn check_run(
    heard: &[i16],
    hz: f64,
    level: f64,
    seconds: f64,
    what: &str,
) -> Result<usize, String> {
    let run = tone::longest_run(heard, hz, level, 1.5);
    let length = tone::seconds(run.len());
    if (length - seconds).abs() > 0.05 {
        let whole = tone::level(heard, hz);
        return Err(format!(
            "{what}: {length:.2} s of {hz} Hz, not {seconds} s ({whole:.1} dB in all)"
        ));
    }
    tone::check_steady(
        &heard[run.start + tone::FRAME..run.end - tone::FRAME],
        hz,
        level,
        what,
    )?;
    Ok(run.start)
}

#[test]
fn wav_files_of_every_kind_are_heard_alike() {
    let kinds: [(&str, &[&str]); 11] = [
        (
            "8-bit",
            &["-r", "8000", "-c", "1", "-b", "8", "-e", "unsigned-integer"],
        ),
        (
            "16-bit",
            &["-r", "8000", "-c", "1", "-b", "16", "-e", "signed-integer"],
        ),
        (
            "24-bit",
            &["-r", "8000", "-c", "1", "-b", "24", "-e", "signed-integer"],
        ),
        ("u-law", &["-r", "8000", "-c", "1", "-e", "mu-law"]),
        ("a-law", &["-r", "8000", "-c", "1", "-e", "a-law"]),
        ("16k", &["-r", "16000", "-c", "1", "-b", "16"]),
        ("44k1", &["-r", "44100", "-c", "1", "-b", "16"]),
        ("48k", &["-r", "48000", "-c", "1", "-b", "16"]),
        ("stereo", &["-r", "8000", "-c", "2", "-b", "16"]),
        ("stereo-48k-24", &["-r", "48000", "-c", "2", "-b", "24"]),
        ("u-law-16k", &["-r", "16000", "-c", "1", "-e", "mu-law"]),
    ];
    let files = tempfile::tempdir().unwrap();
    let mut config = server::Config::new();
    for (name, format) in kinds {
        let path = files.path().join(format!("{name}.wav"));
        make(&path, HZ, format);
        config = config.route(&play_route(name, &[&path], ""));
    }
    let server = config.start();
    for (name, _) in kinds {
        pacing::in_time(|watch| {
            let (ended, heard) = hear(&server, watch, name, None);
            assert!(ended.out.contains("the other side hung up"), "{ended:?}");
            check_run(&heard, HZ, tone::db(AMPLITUDE), 1.0, name).map(|_| ())
        });
    }
}

#[test]
fn the_two_channels_are_mixed_down() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("both.wav");
    let made = Command::new("sox")
        .args(["-D", "-n", "-r", "8000", "-c", "2", "-b", "16"])
        .arg(&path)
        .args(["synth", "1", "sine", "450", "sine", "1050", "vol", "0.25"])
        .status();
    assert!(made.expect("sox is installed").success());
    let server = server::Config::new()
        .route(&play_route("both", &[&path], ""))
        .start();
    pacing::in_time(|watch| {
        let (_, heard) = hear(&server, watch, "both", None);
        for hz in [450.0, 1050.0] {
            check_run(&heard, hz, tone::db(AMPLITUDE / 2.0), 1.0, "one channel")?;
        }
        Ok(())
    });
}

#[test]
fn a_list_is_played_in_order_and_as_often_as_asked() {
    let files = tempfile::tempdir().unwrap();
    let (low, high) = (files.path().join("low.wav"), files.path().join("high.wav"));
    make(&low, 450.0, &["-r", "8000", "-c", "1", "-b", "16"]);
    make(&high, 1850.0, &["-r", "16000", "-c", "1", "-b", "16"]);
    let server = server::Config::new()
        .route(&play_route("once", &[&low, &high], ""))
        .route(&play_route("twice", &[&low, &high], "repeat = 2"))
        .route(&play_route("ever", &[&low], "repeat = 0"))
        .start();
    let level = tone::db(AMPLITUDE);
    pacing::in_time(|watch| {
        let (_, heard) = hear(&server, watch, "once", None);
        let first = check_run(&heard, 450.0, level, 1.0, "low")?;
        let second = check_run(&heard, 1850.0, level, 1.0, "high")?;
        if second.abs_diff(first + tone::RATE) > 2 * tone::FRAME {
            return Err(format!("low at {first}, high at {second}"));
        }
        let (_, heard) = hear(&server, watch, "twice", None);
        let (once, again) = heard.split_at(first + 2 * tone::RATE);
        for part in [once, again] {
            check_run(part, 450.0, level, 1.0, "low of two")?;
            check_run(part, 1850.0, level, 1.0, "high of two")?;
        }
        let (ended, heard) = hear(&server, watch, "ever", Some("4"));
        assert!(ended.out.contains("we hung up"), "{ended:?}");
        // A whole number of periods: the tone goes on over the seams.
        check_run(&heard, 450.0, level, 4.0, "for ever").map(|_| ())
    });
}

#[test]
fn a_configured_tone_is_at_its_level() {
    let route = "user = \"tone\"\napp = \"play\"\ntone_hz = 1000\nrepeat = 0";
    let server = server::Config::new().route(route).start();
    pacing::in_time(|watch| {
        let (_, heard) = hear(&server, watch, "tone", Some("3"));
        // -16 dBm0; +3.14 dBm0 is a full-scale sine in u-law (G.711).
        check_run(&heard, 1000.0, -19.14, 3.0, "the tone").map(|_| ())
    });
}

#[test]
fn a_file_that_is_gone_is_an_event_and_the_call_ends_cleanly() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("gone.wav");
    make(&path, HZ, &["-r", "8000", "-c", "1", "-b", "16"]);
    let server = server::Config::new()
        .route(&play_route("gone", &[&path], ""))
        .start();
    std::fs::remove_file(&path).unwrap();
    let ended = call("gone", server.udp(), &[]).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.out.contains("the other side hung up"), "{ended:?}");
    let event = server.wait_log("cannot play");
    assert!(
        event.contains(" WARN ") && event.contains("gone.wav: No such file"),
        "{event}"
    );
    assert!(event.contains("call_id="), "{event}");
    server.wait_log(" ended ");
    assert!(server.is_running());
    // The next call is as good as any.
    let ended = call("510", server.udp(), &[]).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
}

/// Over a minute, so that it is read while it is played.
fn make_long(path: &Path) {
    let made = Command::new("sox")
        .args(["-D", "-n", "-r", "8000", "-c", "1", "-b", "16"])
        .arg(path)
        .args(["synth", "61", "sine", "450", "vol", "0.25"])
        .status();
    assert!(made.expect("sox is installed").success());
}

#[test]
fn a_long_file_is_streamed_and_ends_where_it_is_cut() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("long.wav");
    make_long(&path);
    let server = server::Config::new()
        .route(&play_route("long", &[&path], ""))
        .start();
    pacing::in_time(|watch| {
        let (_, heard) = hear(&server, watch, "long", Some("3"));
        check_run(&heard, HZ, tone::db(AMPLITUDE), 3.0, "the stream").map(|_| ())
    });
    // Cut behind what has been read ahead, while it is played.
    let ended_before = server.log().matches(" ended call_id").count();
    let calling = call("long", server.udp(), &["--json"]);
    server.wait_log_count("answered", ended_before + 1);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(44 + 4 * 16_000).unwrap();
    let json = calling.wait().json();
    assert_eq!(json["ended"], "remote-hung-up", "{json}");
    assert!(
        (3800.0..5000.0).contains(&json["talked_ms"].as_f64().unwrap()),
        "{json}"
    );
}

#[test]
fn a_streamed_file_that_cannot_be_read_on_is_an_event_too() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("long.wav");
    make_long(&path);
    let server = server::Config::new()
        .route(&play_route("long", &[&path], "repeat = 0"))
        .start();
    let mut calling = call("long", server.udp(), &["--json"]);
    server.wait_log("answered");
    // It is opened a moment later, and nobody tells when. Its name may go: the file is open. What is in
    // it may not.
    std::thread::sleep(Duration::from_secs(5));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(!calling.ends_within(Duration::from_secs(5)));
    file.set_len(0).unwrap();
    assert!(calling.ends_within(Duration::from_secs(20)));
    let json = calling.wait().json();
    assert_eq!(json["ended"], "remote-hung-up", "{json}");
    let event = server.wait_log("cannot play");
    assert!(
        event.contains("long.wav: could not be read on after "),
        "{event}"
    );
    assert!(event.contains("call_id="), "{event}");
}
