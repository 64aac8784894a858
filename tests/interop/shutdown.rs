//! Signals: what SIGTERM, a second one, SIGKILL and SIGHUP do to running calls, new calls and
//! recordings.

use crate::support::media;
use crate::support::server;
use crate::support::sip;

use std::path::Path;
use std::time::{Duration, Instant};

use media::{Phone, Timing, assert_level, level, on_time, tone};
use server::{Config, Server};
use sip::{Call, Dialog, Peer, sdp};

fn config() -> Config {
    Config::new().route("user = \"take-(.*)\"\napp = \"record\"\nname = \"$1\"\nbeep = false")
}

/// A recording call in which 1050 Hz is said.
fn recorded(server: &Server, timing: &Timing) -> (Call, Phone) {
    let phone = Phone::v4(timing);
    let offer = sdp(phone.address, "0", "");
    let call = Call::establish(Peer::udp(server.udp()), "take-one", &offer);
    phone.say(call.ok.rtp(), tone(1050));
    phone.listen(60);
    (call, phone)
}

/// The file is a whole WAV by its own header, with the tone in it to the end.
fn assert_whole(path: &Path, at_least: Duration) {
    let bytes = std::fs::metadata(path).unwrap().len();
    let mut wav = hound::WavReader::open(path).unwrap();
    assert_eq!(
        u64::from(wav.len()) * 2 + 44,
        bytes,
        "the header counts all of the file"
    );
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let length = Duration::from_millis(samples.len() as u64 / 8);
    assert!(length >= at_least, "{length:?} of {at_least:?}");
    let loud = |w: &[i16]| level(w, 1050.0) > -17.0;
    let first = samples.chunks_exact(160).position(loud).expect("the tone");
    let tail = &samples[(first + 1) * 160..samples.len() / 160 * 160 - 320];
    for window in tail.chunks_exact(160) {
        assert_level(window, tone(1050));
    }
    // Another reader than the tests' own agrees.
    let sox = std::process::Command::new("sox")
        .arg(path)
        .args(["-n", "stat"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&sox.stderr).into_owned();
    assert!(sox.status.success() && !said.contains("WARN"), "{said}");
}

fn file(server: &Server) -> std::path::PathBuf {
    let recordings = server.recordings();
    assert_eq!(recordings.len(), 1, "{recordings:?}");
    recordings[0].clone()
}

#[test]
fn sigterm_refuses_new_calls_and_hangs_up_running_ones_in_time() {
    on_time(|timing| {
        let server = config().set("server", "shutdown_seconds", 2).start();
        let (mut call, phone) = recorded(&server, timing);
        server.terminate();
        server.wait_log("shutting down");
        let began = Instant::now();
        // New calls are refused, the running one goes on.
        let mut peer = Peer::udp(server.udp());
        let mut dialog = Dialog::new(&peer, "500");
        let invite = dialog.request(&peer, "INVITE", "", &sdp(phone.address, "0", ""));
        peer.send(invite);
        let refused = peer.answer();
        assert_eq!(refused.status(), 503);
        assert!(refused.find("Retry-After").is_some());
        assert_eq!(call.request("OPTIONS", "", "").status(), 200);
        let bye = call.serve("BYE");
        assert_eq!(bye.header("Call-ID"), call.dialog.call_id);
        // Neither before its time was over nor much later.
        let took = began.elapsed();
        assert!((1_500..5_000).contains(&took.as_millis()), "{took:?}");
        assert!(server.wait_exit().success());
        assert!(server.wait_log("ended").contains("shutdown"));
        assert_whole(&file(&server), Duration::from_secs(3));
    });
}

#[test]
fn sigterm_ends_at_once_where_no_call_is_left() {
    let server = config().set("server", "shutdown_seconds", 3600).start();
    let mut call = Call::establish(
        Peer::udp(server.udp()),
        "500",
        &sdp("127.0.0.1:9".parse().unwrap(), "0", ""),
    );
    server.terminate();
    server.wait_log("shutting down");
    assert!(server.is_running());
    call.hang_up();
    assert!(server.wait_exit().success());
}

#[test]
fn a_second_sigterm_ends_at_once_and_the_recording_is_whole() {
    on_time(|timing| {
        let server = config().set("server", "shutdown_seconds", 3600).start();
        let (mut call, phone) = recorded(&server, timing);
        server.terminate();
        server.wait_log("shutting down");
        phone.listen(10);
        server.terminate();
        call.serve("BYE");
        assert!(server.wait_exit().success());
        assert_whole(&file(&server), Duration::from_millis(1_300));
    });
}

#[test]
fn sigkill_leaves_a_recording_that_is_whole_up_to_its_last_second() {
    on_time(|timing| {
        let server = config().start();
        let (_call, phone) = recorded(&server, timing);
        phone.listen(90);
        server.kill();
        let path = file(&server);
        assert_whole_up_to(&path, Duration::from_secs(3), Duration::from_secs(1));
    });
}

/// As [`assert_whole`], where the header may lag behind the data.
fn assert_whole_up_to(path: &Path, at_least: Duration, lost: Duration) {
    let mut wav = hound::WavReader::open(path).unwrap();
    let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
    let length = Duration::from_millis(samples.len() as u64 / 8);
    assert!(
        length >= at_least.checked_sub(lost).unwrap(),
        "{length:?} of {at_least:?}"
    );
    let loud = |w: &[i16]| level(w, 1050.0) > -17.0;
    let first = samples.chunks_exact(160).position(loud).expect("the tone");
    for window in samples[(first + 1) * 160..].chunks_exact(160) {
        assert_level(window, tone(1050));
    }
    let sox = std::process::Command::new("sox")
        .arg(path)
        .args(["-n", "stat"])
        .output()
        .unwrap();
    assert!(
        sox.status.success(),
        "{}",
        String::from_utf8_lossy(&sox.stderr)
    );
}

#[test]
fn sighup_brings_new_routes_and_leaves_the_running_call_alone() {
    let before = config().route("user = \"71\"\napp = \"echo\"");
    let server = before.clone().start();
    let status = |user: &str| {
        let mut peer = Peer::udp(server.udp());
        let mut dialog = Dialog::new(&peer, user);
        let offer = sdp("127.0.0.1:9".parse().unwrap(), "0", "");
        let invite = dialog.request(&peer, "INVITE", "", &offer);
        peer.send(invite);
        let answer = peer.answer();
        if answer.status() == 200 {
            dialog.answered(&answer);
            let ack = dialog.request(&peer, "ACK", "", "");
            peer.send(ack);
            Call {
                peer,
                dialog,
                ok: answer.clone(),
            }
            .hang_up();
        } else {
            let ack = dialog.of_invite(&peer, "ACK", answer.to_tag());
            peer.send(ack);
        }
        answer.status()
    };
    assert_eq!([status("71"), status("72")], [200, 404]);
    on_time(|timing| {
        server.rewrite(&before);
        let reloads = server
            .log()
            .matches("access lists and certificates read again")
            .count();
        server.hang_up();
        server.wait_log_count("access lists and certificates read again", reloads + 1);
        let phone = Phone::v4(timing);
        let peer = Peer::udp(server.udp());
        let mut call = Call::establish(peer, "71", &sdp(phone.address, "0", ""));
        phone.say(call.ok.rtp(), tone(1050));
        phone.await_tone(1050.0, true);
        let heard = phone.count();
        // The new routes are in force, and the call goes on although its route is gone.
        server.rewrite(&config().route("user = \"72\"\napp = \"echo\""));
        server.hang_up();
        server.wait_log_count("access lists and certificates read again", reloads + 2);
        assert_eq!([status("71"), status("72")], [404, 200]);
        // A bad file: what was in force stays, and the log says so and why.
        let bad = server.log().matches("what was in force stays").count();
        server.rewrite_text("[sip]\nudpp = 1\n");
        server.hang_up();
        let said = server.wait_log_count("what was in force stays", bad + 1);
        assert!(
            said[bad].contains("sip.udpp") && said[bad].contains("antiphon.toml:2"),
            "{}",
            said[bad]
        );
        assert_eq!([status("71"), status("72")], [404, 200]);
        phone.listen(10);
        let mut through = phone.all();
        through.0.drain(..heard);
        through.assert_steady(tone(1050));
        call.hang_up();
    });
}
