//! A room that two real calls are in, recorded through the control API: what is in the files, also where
//! the server ends while it records.

use crate::support::caller;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::path::Path;
use std::time::Duration;

use caller::{Calling, Ended, antiphon, call};
use pacing::Watch;
use serde_json::Value;
use server::Server;

const TONES: [f64; 2] = [450.0, 1050.0];
const AMPLITUDE: f64 = 0.1;
const TABLES: &str = r#"
[[http.key]]
name = "test"
scope = "control"
secret = "a-secret-of-the-test"

[[room]]
name = "600"
announce_recording = false
record_layout = "mix+tracks"
record_rate = 8000
record_name = "{room}"
"#;

fn run(server: &Server, args: &[&str]) -> Ended {
    let key = server.directory().join("key");
    std::fs::write(&key, "a-secret-of-the-test").unwrap();
    let url = format!("http://{}", server.address("HTTP", false));
    let target = ["--url", &url, "--key-file", key.to_str().unwrap()];
    let ended = antiphon(&[&["rooms"], args, &target].concat()).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    ended
}

/// The audio of a sidecar's files.
fn line(sidecar: &Path, files: &Value) -> Vec<i16> {
    let pieces = files.as_array().unwrap().iter();
    let name = |piece: &Value| piece["file"].as_str().unwrap().to_owned();
    pieces
        .flat_map(|piece| tone::read(&sidecar.with_file_name(name(piece))))
        .collect()
}

/// Checks a recording of both calls, and gives its length in samples.
fn check(sidecar: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(sidecar).unwrap();
    let meeting: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(meeting["incomplete"], Value::Null, "{meeting}");
    let mix = line(sidecar, &meeting["mix"]["files"]);
    let tracks = meeting["tracks"].as_array().unwrap();
    assert_eq!(tracks.len(), 2, "{meeting}");
    let mut all = vec![line(sidecar, &meeting["rest"]["files"])];
    all.extend(tracks.iter().map(|track| line(sidecar, &track["files"])));
    let expected = tone::db(AMPLITUDE);
    // Where the server ends, the calls do just before the recording.
    let inner = ..mix.len().saturating_sub(tone::RATE / 5);
    for (n, hz) in TONES.into_iter().enumerate() {
        tone::check_steady(&mix[inner], hz, expected, "the mix")?;
        tone::check_steady(&all[n + 1][inner], hz, expected, "a track")?;
        tone::check_absent(&all[n + 1], TONES[1 - n], expected - 40.0, "a track")?;
    }
    for track in &all {
        assert!(track.len().abs_diff(mix.len()) <= 160, "{}", track.len());
    }
    for (at, sample) in mix.iter().enumerate() {
        let sum: i32 = all
            .iter()
            .map(|t| t.get(at).map_or(0, |s| i32::from(*s)))
            .sum();
        assert!(
            sum.abs_diff(i32::from(*sample)) <= 1,
            "{sum}, not {sample}, at {at}"
        );
    }
    Ok(mix.len())
}

fn recorded(watch: &Watch) -> Result<(), String> {
    // A late media thread writes silence, as it has to.
    let server = server::Config::new()
        .set("http", "listen", "[\"127.0.0.1:0\"]")
        .tables(TABLES)
        .start();
    watch.add(server.pid());
    let files = tempfile::tempdir().unwrap();
    let calls: Vec<Calling> = TONES
        .into_iter()
        .enumerate()
        .map(|(n, hz)| {
            let talk = files.path().join(format!("{n}.wav"));
            tone::write(&talk, &tone::sine_16(hz, AMPLITUDE, 60.0));
            let calling = call("600", server.udp(), &["--play", talk.to_str().unwrap()]);
            watch.add(calling.pid());
            server.wait_log_count(" joined ", n + 1);
            calling
        })
        .collect();
    // Until both are steadily heard.
    std::thread::sleep(Duration::from_millis(500));
    run(&server, &["record", "600", "start"]);
    server.wait_log("recording a room");
    assert!(run(&server, &["list"]).out.contains("recorded"));
    // As long as the recording is to be, in real time.
    std::thread::sleep(Duration::from_millis(1500));
    run(&server, &["record", "600", "stop"]);
    let closed = server.wait_log("recording of a room closed");
    assert!(closed.contains("files=4"), "{closed}");
    let directory = server.directory().join("recordings");
    let length = check(&directory.join("600.json"))?;
    assert!(tone::seconds(length) > 1.4, "{length}");
    // Another one runs when the server ends, at once.
    run(&server, &["record", "600", "start"]);
    server.wait_log_count("recording a room", 2);
    // The same.
    std::thread::sleep(Duration::from_secs(1));
    server.terminate();
    server.wait_log("shutting down");
    // The calls are hung up at once.
    server.terminate();
    assert!(server.wait_exit().success());
    let length = check(&directory.join("600-2.json"))?;
    assert!(tone::seconds(length) > 0.9, "{length}");
    drop(calls);
    Ok(())
}

#[test]
fn two_calls_are_recorded_by_the_control_api_and_until_the_server_ends() {
    pacing::in_time(recorded);
}
