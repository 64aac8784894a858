//! A real telephone holds and resumes, both ways of its audio checked by content.
//!
//! The other party records: the telephone's tone, none, and its tone again. What the telephone
//! hears is counted (baresip 1.0.0 cannot record after a hold): packets until the hold and after
//! it, and none between.

use crate::support::baresip;
use crate::support::caller;
use crate::support::pacing;
use crate::support::server;
use crate::support::tone;

use std::time::Duration;

use baresip::{Phone, Source};
use pacing::Watch;

const HZ: f64 = 450.0;
const AMPLITUDE: f64 = 0.25;
const PART: Duration = Duration::from_secs(2);

#[test]
fn audio_stops_while_held_and_comes_back() {
    pacing::in_time(|watch| hold(watch, false));
}

#[test]
fn the_same_over_tcp() {
    pacing::in_time(|watch| hold(watch, true));
}

fn hold(watch: &Watch, tcp: bool) -> Result<(), String> {
    let server = server::Config::new().start();
    let files = tempfile::tempdir().unwrap();
    let heard = files.path().join("heard.wav");
    let source = Source::Tone(HZ, AMPLITUDE);
    let phone = if tcp {
        Phone::new("alice", server.tcp(), source).tcp()
    } else {
        Phone::new("alice", server.udp(), source)
    };
    let mut phone = phone.start();
    watch.add(phone.pid());
    let args = ["--record", heard.to_str().unwrap()];
    let party = caller::call("600", server.udp(), &args);
    watch.add(party.pid());
    server.wait_log(" answered ");
    phone.dial("600");
    std::thread::sleep(PART);
    phone.command("hold", "");
    std::thread::sleep(PART);
    phone.command("resume", "");
    std::thread::sleep(PART);
    phone.hang_up();
    let line = server.wait_log(" ended ");
    assert!(line.contains("reason=\"remote-hung-up\""), "{line}");
    party.signal("INT");
    let ended = party.wait();
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let sent = line
        .split(' ')
        .find_map(|word| word.strip_prefix("tx_packets="))
        .unwrap();
    let sent: u64 = sent.parse().unwrap();
    let expected = 2 * PART.as_millis() as u64 / 20;
    if sent.abs_diff(expected) > 20 {
        return Err(format!(
            "{sent} packets to the telephone, {expected} expected"
        ));
    }
    check(&tone::read(&heard))
}

/// The tone, then none, then the tone again, each for its time.
fn check(heard: &[i16]) -> Result<(), String> {
    let expected = tone::db(AMPLITUDE);
    let first = tone::longest_run(&heard[..heard.len() / 2], HZ, expected, 3.0);
    let half = heard.len() / 2;
    let second = tone::longest_run(&heard[half..], HZ, expected, 3.0);
    let second = second.start + half..second.end + half;
    let found = format!(
        "the tone from {:.2} to {:.2} s and from {:.2} to {:.2} s of {:.2} s",
        tone::seconds(first.start),
        tone::seconds(first.end),
        tone::seconds(second.start),
        tone::seconds(second.end),
        tone::seconds(heard.len()),
    );
    let part = PART.as_secs_f64();
    let gap = tone::seconds(second.start - first.end);
    for (what, seconds) in [
        ("before", tone::seconds(first.len())),
        ("held", gap),
        ("resumed", tone::seconds(second.len())),
    ] {
        // The telephone's own buffers start and stop within a few hundred milliseconds.
        if (seconds - part).abs() > 0.6 {
            return Err(format!("{what}: {seconds:.2} s of {part} s; {found}"));
        }
    }
    for run in [&first, &second] {
        let inner = run.start + tone::FRAME..run.end - tone::FRAME;
        tone::check_steady(&heard[inner], HZ, expected, &found)?;
    }
    let held = first.end + 10 * tone::FRAME..second.start - 10 * tone::FRAME;
    tone::check_absent(&heard[held], HZ, expected - 40.0, &format!("held; {found}"))
}
