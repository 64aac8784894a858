//! Recordings on disk: whole after SIGKILL, true to the time of the call, ended by silence, by
//! length and by a full disk, named as configured.

use crate::support::caller;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use caller::call;
use server::Server;

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;

/// A file of a tone of so many seconds, silence of so many, and so on in turn.
fn talk(directory: &Path, seconds: &[f64]) -> PathBuf {
    let path = directory.join("talk.wav");
    let mut samples = Vec::new();
    for (n, length) in seconds.iter().enumerate() {
        let amplitude = if n % 2 == 0 { AMPLITUDE } else { 0.0 };
        samples.extend(tone::sine_16(HZ, amplitude, *length));
    }
    tone::write(&path, &samples);
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A figure of a log line: `NAME=1.5`.
fn field(line: &str, name: &str) -> f64 {
    let text = line
        .split(' ')
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    text.unwrap_or_else(|| panic!("no {name}: {line}"))
        .parse()
        .unwrap()
}

/// Waits until something is so on a disk, which nobody tells of.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + server::PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn only(server: &Server) -> PathBuf {
    let files = server.recordings();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_recording_is_whole_up_to_its_last_second_after_sigkill() {
    pacing::in_time(|watch| {
        let server = server::Config::new().start();
        let files = tempfile::tempdir().unwrap();
        let talk = talk(files.path(), &[60.0]);
        let calling = call("520", server.udp(), &["--play", text(&talk)]);
        watch.add(calling.pid());
        server.wait_log(" answered ");
        let answered = Instant::now();
        // Not a multiple of a second: what is flushed last must not be by chance the end.
        std::thread::sleep(Duration::from_millis(3700));
        server.kill();
        let talked = answered.elapsed().as_secs_f64();
        calling.signal("INT");
        let file = only(&server);
        // sox reads it without a complaint, header and all.
        let sox = Command::new("sox").arg(&file).args(["-n", "stat"]).output();
        let sox = sox.expect("sox is installed");
        let says = String::from_utf8_lossy(&sox.stderr);
        assert!(sox.status.success() && !says.contains("WARN"), "{says}");
        let length = says
            .lines()
            .find_map(|l| l.strip_prefix("Length (seconds):"));
        let length: f64 = length.unwrap().trim().parse().unwrap();
        let samples = tone::read(&file);
        assert!(
            (tone::seconds(samples.len()) - length).abs() < 1e-3,
            "{says}"
        );
        if length < talked - 1.0 || length > talked + 0.1 {
            return Err(format!("{length:.2} s on disk of a call of {talked:.2} s"));
        }
        // Behind the set-up, to the very end of the file.
        let behind = &samples[tone::RATE / 4..];
        tone::check_steady(behind, HZ, tone::db(AMPLITUDE), "the recording")
    });
}

#[test]
fn silence_stands_where_nothing_came_and_the_length_is_the_calls() {
    pacing::in_time(|watch| {
        // With the beep: it is played first, and not recorded.
        let server = server::Config::new().set("recording", "beep", true).start();
        let files = tempfile::tempdir().unwrap();
        // The tone begins behind the beep.
        let talk = talk(files.path(), &[0.0, 1.0, 1.0, 2.0, 1.0, 1.0]);
        let heard = files.path().join("heard.wav");
        let args = ["--play", text(&talk), "--record", text(&heard)];
        let calling = call("520", server.udp(), &args);
        watch.add(calling.pid());
        assert_eq!(calling.wait().status, Some(0));
        let closed = server.wait_log("recording closed");
        let ended = server.wait_log(" ended call_id");
        let samples = tone::read(&only(&server));
        let beep = beep_seconds();
        let length = tone::seconds(samples.len());
        let expected = field(&ended, "talked_s") - beep;
        assert!(
            (field(&closed, "seconds") - length).abs() < 1e-3,
            "{closed}"
        );
        // One tick, and what the start of the beep and of the recording takes.
        if (length - expected).abs() > 0.02 + 0.08 {
            return Err(format!(
                "{length:.3} s recorded, {expected:.3} s behind the beep"
            ));
        }
        let first = tone::longest_run(&samples[..samples.len() / 2], HZ, tone::db(AMPLITUDE), 3.0);
        let half = samples.len() / 2;
        let second = tone::longest_run(&samples[half..], HZ, tone::db(AMPLITUDE), 3.0);
        for run in [&first, &second] {
            if (tone::seconds(run.len()) - 1.0).abs() > 0.06 {
                return Err(format!(
                    "{:.2} s of 1 s of the tone",
                    tone::seconds(run.len())
                ));
            }
        }
        let pause = &samples[first.end + 160..half + second.start - 160];
        if (tone::seconds(pause.len()) - 2.0).abs() > 0.1 {
            return Err(format!(
                "a pause of {:.2} s, of 2 s",
                tone::seconds(pause.len())
            ));
        }
        tone::check_absent(pause, HZ, tone::db(AMPLITUDE) - 60.0, "the pause")?;
        // The caller hears the beep, and only the beep.
        let heard = tone::read(&heard);
        let loud = heard.iter().filter(|s| s.unsigned_abs() > 500).count();
        assert!(loud > tone::RATE / 20, "no beep");
        let last = heard.iter().rposition(|s| s.unsigned_abs() > 500).unwrap();
        assert!(tone::seconds(last) < beep + 0.3, "{last}");
        Ok(())
    });
}

fn beep_seconds() -> f64 {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/media/beep.wav");
    let reader = hound::WavReader::open(path).unwrap();
    f64::from(reader.duration()) / f64::from(reader.spec().sample_rate)
}

#[test]
fn silence_ends_a_recording_and_the_call() {
    pacing::in_time(|watch| {
        let route = "user = \"memo\"\napp = \"record\"\nsilence_seconds = 1";
        let server = server::Config::new().route(route).start();
        let files = tempfile::tempdir().unwrap();
        let talk = talk(files.path(), &[2.0, 60.0]);
        let calling = call("memo", server.udp(), &["--play", text(&talk)]);
        watch.add(calling.pid());
        let ended = calling.wait();
        assert!(ended.out.contains("the other side hung up"), "{ended:?}");
        server.wait_log("recording closed");
        assert!(
            server
                .wait_log(" ended call_id")
                .contains("reason=\"hung-up\"")
        );
        let length = tone::seconds(tone::read(&only(&server)).len());
        if (length - 3.0).abs() > 0.15 {
            return Err(format!("{length:.2} s recorded, 3 s expected"));
        }
        Ok(())
    });
}

#[test]
fn the_longest_recording_ends_to_the_sample() {
    let route = "user = \"memo\"\napp = \"record\"\nmax_seconds = 2";
    let server = server::Config::new().route(route).start();
    let files = tempfile::tempdir().unwrap();
    let talk = talk(files.path(), &[60.0]);
    let ended = call("memo", server.udp(), &["--play", text(&talk)]).wait();
    assert!(ended.out.contains("the other side hung up"), "{ended:?}");
    server.wait_log("recording closed");
    assert_eq!(tone::read(&only(&server)).len(), 2 * tone::RATE);
}

#[test]
fn a_name_template_names_the_file_and_overwrites_nothing() {
    let route = "user = \"memo-(.+)\"\napp = \"record\"\nname = \"note-$1\"\nmax_seconds = 1";
    let server = server::Config::new().route(route).start();
    for user in ["memo-anna", "memo-anna", "memo-..%2F..%2Fetc"] {
        let ended = call(user, server.udp(), &[]).wait();
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
    server.wait_log_count("recording closed", 3);
    let directory = server.directory().join("recordings");
    let names: Vec<String> = server
        .recordings()
        .iter()
        .map(|path| path.strip_prefix(&directory).unwrap().display().to_string())
        .collect();
    assert_eq!(
        names,
        ["note-______etc.wav", "note-anna-1.wav", "note-anna.wav"]
    );
}

#[test]
fn a_recording_that_would_leave_too_little_disk_is_refused_and_the_call_goes_on() {
    let much = 1_000_000_000;
    let server = server::Config::new()
        .set("recording", "min_free_mb", much)
        .start();
    let ended = call("520", server.udp(), &["--seconds", "2", "--json"]).wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.json()["ended"], "hung-up");
    let line = server.wait_log("cannot record");
    assert!(
        line.contains(" WARN ") && line.contains("recording.min_free_mb is 1000000000"),
        "{line}"
    );
    assert!(server.recordings().is_empty());
}

/// A small file system of its own, unmounted in the end.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(kilobytes: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={kilobytes}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(directory.path())
            .output()
            .unwrap();
        let says = String::from_utf8_lossy(&mounted.stderr);
        assert!(
            mounted.status.success(),
            "this test mounts a small tmpfs, as root: {says}"
        );
        Self(directory)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() {
    let disk = Tmpfs::mount(48);
    let directory = format!("{:?}", text(disk.0.path()));
    let server = server::Config::new()
        .set("recording", "directory", directory)
        .start();
    let files = tempfile::tempdir().unwrap();
    let talk = talk(files.path(), &[60.0]);
    let calling = call("520", server.udp(), &["--play", text(&talk), "--json"]);
    server.wait_log("recording broke off");
    let event = server.wait_log("cannot record");
    assert!(
        event.contains("call_id=") && event.contains("No space left"),
        "{event}"
    );
    let broke_off = Instant::now();
    // The call is to go on for a while, with its RTP.
    std::thread::sleep(Duration::from_secs(3));
    assert!(!server.log().contains(" ended call_id"), "the call goes on");
    calling.signal("INT");
    let json = calling.wait().json();
    assert_eq!(json["ended"], "hung-up", "{json}");
    let after = broke_off.elapsed().as_millis() as u64 / 20;
    let before = 48 * 1024 / 2 / 160;
    let received = json["received"]["packets"].as_u64().unwrap();
    assert!(
        received > after,
        "{received} packets, of them {before} before the disk was full"
    );
    let mut found = Vec::new();
    let day = std::fs::read_dir(disk.0.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    found.extend(
        std::fs::read_dir(day)
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    let samples = tone::read(&found[0]);
    assert!(samples.len() > tone::RATE, "{} samples", samples.len());
    let behind = &samples[tone::RATE / 4..];
    tone::check_steady(behind, HZ, tone::db(AMPLITUDE), "what was written").unwrap();
}

#[test]
fn a_disk_that_becomes_too_full_ends_the_recording_before_it_is_full() {
    let disk = Tmpfs::mount(4096);
    let directory = format!("{:?}", text(disk.0.path()));
    let server = server::Config::new()
        .set("recording", "directory", directory)
        .set("recording", "min_free_mb", 1)
        .start();
    let calling = call("520", server.udp(), &["--json"]);
    until("a recording", || {
        std::fs::read_dir(disk.0.path()).unwrap().next().is_some()
    });
    // Somebody else fills the disk, up to half of what is to stay free.
    std::fs::write(disk.0.path().join("ballast"), vec![0; 3_700_000]).unwrap();
    let event = server.wait_log("cannot record");
    assert!(event.contains("recording.min_free_mb is 1"), "{event}");
    assert!(!server.log().contains(" ended call_id"), "the call goes on");
    calling.signal("INT");
    assert_eq!(calling.wait().json()["ended"], "hung-up");
}
