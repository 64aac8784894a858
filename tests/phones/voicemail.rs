//! Voicemail by telephone: the demonstration menu walked from a real phone; then every way in which
//! a message ends, told by what is heard and by what is on disk.

use crate::support::baresip;
use crate::support::line;
use crate::support::media;
use crate::support::pacing;
use crate::support::prompts;
use crate::support::server;
use crate::support::tone;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use baresip::{Baresip, Source};
use line::Line;
use media::{Timing, on_time};
use prompts::Prompt;
use serde_json::Value;
use server::{Config, Server};

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;

/// A message as it lies on disk.
#[derive(Debug)]
struct Left {
    sidecar: Value,
    samples: Vec<i16>,
}

/// The files of a box: its messages, whole and right, and whatever else there is.
fn box_of(server: &Server, number: &str) -> (Vec<Left>, Vec<PathBuf>) {
    let directory = format!("voicemail/{number}");
    let mut files = server.files_below(&directory);
    let is = |f: &PathBuf, end: &str| f.extension().is_some_and(|e| e == end);
    let drafts = |f: &PathBuf| f.parent().unwrap().ends_with("drafts");
    let sidecars: Vec<PathBuf> = files
        .iter()
        .filter(|f| is(f, "json") && !drafts(f))
        .cloned()
        .collect();
    let left = sidecars.iter().map(|file| {
        let wav = file.with_extension("wav");
        files.retain(|f| f != file && *f != wav);
        Left {
            sidecar: serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap(),
            samples: tone::read(&wav),
        }
    });
    (left.collect(), files)
}

/// The one message of a box, and nothing beside it.
fn the_message(server: &Server, number: &str) -> Left {
    let (mut left, others) = box_of(server, number);
    assert_eq!(
        (left.len(), others.as_slice()),
        (1, [].as_slice()),
        "{left:?}"
    );
    left.remove(0)
}

/// A box becomes empty: what is thrown away has no line in the log that could be waited for.
fn await_empty(server: &Server, number: &str) {
    let deadline = Instant::now() + server::PATIENCE;
    loop {
        let files = server.files_below(&format!("voicemail/{number}"));
        if files.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {files:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Left {
    /// Its length is so many seconds, and said so; the tone is in all of it.
    fn check(&self, seconds: f64, off: f64, hz: f64, level: f64) -> Result<(), String> {
        let length = tone::seconds(self.samples.len());
        if (length - seconds).abs() > off {
            return Err(format!("{length:.3} s of a message of {seconds:.3} s"));
        }
        let said = self.sidecar["length_ms"].as_f64().unwrap() / 1000.0;
        assert!((said - length).abs() < 0.005, "{said} {length}");
        let inner = &self.samples[3 * tone::FRAME..self.samples.len() - 10 * tone::FRAME];
        tone::check_steady(inner, hz, level, "the message")
    }
}

/// Waits until baresip has heard the first second of a prompt, behind `from`; where that ends.
fn await_heard(phone: &Baresip, name: &str, from: usize) -> usize {
    let prompt = Prompt::named(name).begin(1.0);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let heard = phone.heard_so_far();
        let behind = heard.get(from..).unwrap_or_default();
        if let Some(found) = prompt.all(behind).first() {
            return from + found.at + found.len;
        }
        assert!(Instant::now() < deadline, "{name} was not heard");
        // What it hears goes to a file, which nobody can wait for.
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_demonstration_menu_takes_a_message_and_plays_it_back() {
    pacing::in_time(|watch| {
        let server = Config::new().start();
        let files = tempfile::tempdir().unwrap();
        let talk = files.path().join("talk.wav");
        tone::write(&talk, &tone::sine_16(HZ, AMPLITUDE, 40.0));

        let mut phone = baresip::Phone::new("alice", server.udp(), Source::File(&talk)).start();
        watch.add(phone.pid());
        phone.dial("540");
        let from = await_heard(&phone, "menu-main", 0);
        phone.press("3");
        let from = await_heard(&phone, "vm-greeting", from);
        server.wait_log(" recording recording=");
        let begin = Instant::now();
        std::thread::sleep(Duration::from_secs(2));
        phone.command("sndcode", "#");
        let spoken = begin.elapsed().as_secs_f64();
        let line = server.wait_log("message left");
        assert!(line.contains("mailbox=\"100\""), "{line}");
        let kept = await_heard(&phone, "vm-kept", from);
        phone.hang_up();
        let heard = phone.heard();
        let beep = Prompt::named("beep").best(&heard[from..kept]).unwrap();
        assert!(beep.likeness > 0.9 && beep.gain.abs() < 1.0, "{beep:?}");
        let menu = Prompt::named("menu-main").begin(1.0).best(&heard).unwrap();
        assert!(menu.likeness > 0.95 && menu.gain.abs() < 1.0, "{menu:?}");
        let message = the_message(&server, "100");
        assert_eq!(message.sidecar["caller"], "alice");
        assert_eq!(message.sidecar["mailbox"], "100");
        assert_eq!(message.sidecar["saved"], false);
        message.check(spoken, 0.3, HZ, tone::db(AMPLITUDE))?;

        // The owner calls, says nothing, hears it and deletes it.
        tone::write(&talk, &vec![0; 40 * tone::RATE]);
        let mut phone = baresip::Phone::new("owner", server.udp(), Source::File(&talk)).start();
        watch.add(phone.pid());
        phone.dial("540");
        let from = await_heard(&phone, "menu-main", 0);
        phone.press("4");
        let from = await_heard(&phone, "vm-pin", from);
        phone.press("1234#");
        let from = await_heard(&phone, "vm-options", from);
        phone.press("3");
        await_heard(&phone, "vm-message-deleted", from);
        let left = server.files_below("voicemail");
        assert!(left.is_empty(), "{left:?}");
        phone.hang_up();
        let heard = phone.heard();
        let names = [
            "menu-main",
            "vm-pin",
            "vm-you-have",
            "vm-message",
            "vm-messages",
            "digit-1",
            "vm-options",
            "vm-message-deleted",
        ];
        // "You have one message." and "Message one" end and begin with the same recording.
        let said = prompts::said(&heard, &names);
        let expected = [
            "menu-main",
            "vm-pin",
            "vm-you-have",
            "digit-1",
            "vm-message",
            "vm-message",
            "digit-1",
            "vm-options",
            "vm-message-deleted",
        ];
        let names: Vec<&str> = prompts::names(&said);
        if names != expected {
            return Err(format!("{names:?} was said"));
        }
        let run = tone::longest_run(&heard, HZ, tone::db(AMPLITUDE), 3.0);
        let length = tone::seconds(message.samples.len());
        if (tone::seconds(run.len()) - length).abs() > 0.15 || run.start < said[6].at {
            return Err(format!("the message of {length:.2} s is heard at {run:?}"));
        }
        Ok(())
    });
}

/// Boxes of these numbers, with a short greeting but for 201.
fn boxes(numbers: &[&str]) -> Config {
    let mut config = Config::new()
        .set("voicemail", "max_messages", 1)
        .set("voicemail", "silence_seconds", 2)
        .route("user = \"my-(.+)\"\napp = \"voicemail\"\nmailbox = \"$1\"\ntask = \"listen\"");
    for number in numbers {
        let greeting = if *number == "201" {
            "vm-greeting"
        } else {
            "goodbye"
        };
        config = config.tables(&format!(
            "[[mailbox]]\nnumber = \"{number}\"\npin = \"4711\"\ngreeting = [\"{greeting}\"]"
        ));
    }
    config
}

/// Calls a box and waits until the recording runs, while the caller says a tone.
fn recording(server: &Server, timing: &Timing, number: &str) -> (Line, Instant) {
    let mut line = Line::dial(server, timing, &format!("vm-{number}"));
    line.say(media::tone(1050));
    line.await_whole("goodbye");
    server.wait_log(&format!("voicemail/{number}/drafts/"));
    (line, Instant::now())
}

/// What a phone says, dB relative to full scale.
const SAID_DB: f64 = -16.0 - media::OVERLOAD_DBM0;

#[test]
fn each_way_in_which_a_message_ends() {
    on_time(|timing| {
        let server = boxes(&["201", "202", "203", "204", "205", "206"]).start();
        std::thread::scope(|scope| {
            let server = &server;
            // Hung up during the greeting: there was nothing, and nothing is left.
            scope.spawn(move || {
                let mut line = Line::dial(server, timing, "vm-201");
                line.say(media::tone(1050));
                line.await_begin("vm-greeting");
                line.hang_up();
                let id = line.call.dialog.call_id.clone();
                server.wait_log(&format!(" ended call_id=\"{id}\""));
                assert!(server.files_below("voicemail/201").is_empty());
            });
            // Hung up after half a second: too short.
            scope.spawn(move || {
                let (mut line, _) = recording(server, timing, "202");
                line.phone.listen(25);
                line.hang_up();
                await_empty(server, "202");
            });
            // Hung up after three seconds: kept, and the next caller finds the box full.
            scope.spawn(move || {
                let (mut line, begin) = recording(server, timing, "203");
                line.phone.listen(150);
                line.hang_up();
                let spoken = begin.elapsed().as_secs_f64();
                server.wait_log("mailbox=\"203\"");
                let message = the_message(server, "203");
                assert_eq!(message.sidecar["caller"], "test");
                message.check(spoken, 0.3, 1050.0, SAID_DB).unwrap();

                let mut line = Line::dial(server, timing, "vm-203");
                line.await_bye();
                assert_eq!(line.said(), ["vm-full", "goodbye"]);
                assert_eq!(the_message(server, "203").sidecar, message.sidecar);
            });
            // Two seconds of silence end it, and are part of it.
            scope.spawn(move || {
                let (mut line, begin) = recording(server, timing, "204");
                line.phone.listen(75);
                line.phone.hush();
                let spoken = begin.elapsed().as_secs_f64();
                line.await_whole("vm-kept");
                line.await_bye();
                let message = the_message(server, "204");
                let length = tone::seconds(message.samples.len());
                assert!((length - spoken - 2.0).abs() < 0.3, "{length} {spoken}");
                let run = tone::longest_run(&message.samples, 1050.0, SAID_DB, 3.0);
                assert!((tone::seconds(run.len()) - spoken).abs() < 0.3, "{run:?}");
            });
            // The key ends it at once; what is too short is said to be.
            scope.spawn(move || {
                let (mut line, _) = recording(server, timing, "205");
                line.phone.listen(15);
                line.press("#");
                line.await_whole("vm-short");
                line.await_bye();
                assert_eq!(line.said(), ["goodbye", "vm-short", "goodbye"]);
                assert!(server.files_below("voicemail/205").is_empty());
            });
            // A box that is not there.
            scope.spawn(move || {
                let mut line = Line::dial(server, timing, "vm-999");
                line.await_bye();
                assert_eq!(line.said(), ["vm-no-box", "goodbye"]);
                assert!(server.files_below("voicemail/999").is_empty());
            });
            // The PIN of another box, none at all, and a long one: that was three.
            scope.spawn(move || {
                let mut line = Line::dial(server, timing, "my-206");
                for pin in ["1234#", "#", "47110#"] {
                    line.await_begin("vm-pin");
                    line.press(pin);
                    line.await_begin("vm-wrong");
                }
                line.await_bye();
                let said = ["vm-pin", "vm-wrong"].repeat(3);
                assert_eq!(line.said(), [said, vec!["goodbye"]].concat());
            });
        });
    });
}

#[test]
fn a_killed_server_has_the_message_when_it_is_there_again() {
    on_time(|timing| {
        let mut server = boxes(&["301"]).start();
        let (line, begin) = recording(&server, timing, "301");
        line.phone.listen(150);
        server.kill();
        let spoken = begin.elapsed().as_secs_f64();
        let id = line.call.dialog.call_id.clone();
        drop(line);
        server.restart();
        let message = the_message(&server, "301");
        assert_eq!(message.sidecar["caller"], "test");
        assert_eq!(message.sidecar["call_id"], id);
        // All but the last second at most is there.
        message.check(spoken - 0.5, 0.6, 1050.0, SAID_DB).unwrap();
        let mut line = Line::dial(&server, timing, "my-301");
        line.press("4711#");
        line.await_begin("vm-options");
        line.hang_up();
        let said = line.said();
        assert!(
            said.starts_with(&["vm-you-have", "digit-1", "vm-message"].map(str::to_owned)),
            "{said:?}"
        );
        let run = tone::longest_run(&line.heard(), 1050.0, SAID_DB, 3.0);
        let lengths = [run.len(), message.samples.len()].map(tone::seconds);
        assert!((lengths[0] - lengths[1]).abs() < 0.15, "{lengths:?}");
    });
}

#[test]
fn a_shutdown_keeps_the_message() {
    on_time(|timing| {
        let mut server = boxes(&["401"]).set("server", "shutdown_seconds", 1).start();
        let (mut line, begin) = recording(&server, timing, "401");
        line.phone.listen(75);
        server.terminate();
        line.await_bye();
        let spoken = begin.elapsed().as_secs_f64();
        assert!(server.wait_exit().success());
        let message = the_message(&server, "401");
        message.check(spoken, 0.3, 1050.0, SAID_DB).unwrap();
        assert_eq!(message.sidecar["caller"], "test");
        // Nothing is found to be done at the next start.
        server.restart();
        assert_eq!(the_message(&server, "401").sidecar, message.sidecar);
    });
}
