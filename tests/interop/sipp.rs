//! sipp as the caller: the scenarios of `tests/interop`, over both transports and families.

use crate::support::media;
use crate::support::server;
use crate::support::sip;
use crate::support::sipp;

use media::{Law, Phone, assert_level, level, on_time, tone};
use server::{Config, Server};
use sip::{Call, Peer, sdp};
use sipp::Sipp;

/// One scenario over all that the server listens on.
fn everywhere(config: Config, name: &str, user: &str) -> Server {
    let server = config.start();
    for transport in ["udp", "tcp"] {
        for v6 in [false, true] {
            let address = server.address(transport, v6);
            let counted = Sipp::scenario(name)
                .user(user)
                .calls(3, 10)
                .run(transport, address);
            assert_eq!(counted.successful, 3, "{transport} {address}");
        }
    }
    server
}

/// The scenario's calls were answered, and ended so.
fn assert_ended(server: &Server, calls: usize, reason: &str) {
    let ended = server.wait_log_count(" ended ", calls);
    let right = ended
        .iter()
        .filter(|l| l.contains(&format!("reason=\"{reason}\"")))
        .count();
    assert_eq!((right, ended.len()), (calls, calls), "{ended:#?}");
}

#[test]
fn options() {
    everywhere(Config::new(), "options", "500");
}

#[test]
fn register() {
    everywhere(Config::new(), "register", "alice");
}

#[test]
fn prack() {
    assert_ended(
        &everywhere(Config::new(), "prack", "500"),
        12,
        "remote-hung-up",
    );
}

#[test]
fn cancel() {
    assert_ended(&everywhere(Config::new(), "cancel", "500"), 12, "cancelled");
}

#[test]
fn hold_and_resume() {
    assert_ended(
        &everywhere(Config::new(), "hold_resume", "500"),
        12,
        "remote-hung-up",
    );
}

#[test]
fn update_and_info() {
    assert_ended(
        &everywhere(Config::new(), "update_info", "500"),
        12,
        "remote-hung-up",
    );
}

#[test]
fn late_offer() {
    assert_ended(
        &everywhere(Config::new(), "late_offer", "500"),
        12,
        "remote-hung-up",
    );
}

#[test]
fn session_timer() {
    let server = everywhere(Config::new(), "session_timer", "500");
    let answered = server.wait_log_count(" answered ", 12);
    assert_eq!(answered.len(), 12);
}

#[test]
fn the_server_hangs_up() {
    let config = Config::new().route("user = \"7\"\napp = \"play\"\ntone_hz = 1000");
    assert_ended(&everywhere(config, "server_hangs_up", "7"), 12, "hung-up");
}

#[test]
fn calls_get_through_where_one_in_ten_messages_is_lost() {
    // T1 as the scenario has it: with a shorter one the server would forget a BYE (timer J) before
    // sipp has sent it for the last time.
    let server = Config::new().set("sip", "t1_ms", 100).start();
    let counted = Sipp::scenario("short_call")
        .user("500")
        .calls(40, 40)
        .arguments(&["-lost", "10"])
        .run("udp", server.udp());
    assert_eq!(counted.successful, 40);
    assert!(counted.retransmissions > 0, "nothing was lost");
    // Each was one call for the server, however often its INVITE came.
    server.wait_log_count(" ended ", 40);
    assert_eq!(server.log().matches(" call call_id").count(), 40);
}

#[test]
fn the_tone_of_sipp_is_recorded_and_heard_by_the_conference() {
    let mut codes = Vec::new();
    // One second, looped: whole periods.
    for n in 0..8000 {
        let phase = std::f64::consts::TAU * 1050.0 * f64::from(n) / 8000.0;
        codes.push(Law::Mu.encode_one((7240.0 * phase.sin()) as i16));
    }
    let samples: Vec<i16> = codes.iter().map(|c| Law::Mu.decode(*c)).collect();
    let sent = media::Tone {
        hz: 1050.0,
        dbm0: level(&samples, 1050.0),
    };
    let server = Config::new()
        .route("user = \"take\"\napp = \"record\"\nname = \"take\"\nbeep = false")
        .start();
    for (transport, v6) in [("udp", false), ("tcp", false), ("udp", true), ("tcp", true)] {
        let address = server.address(transport, v6);
        let run = |user: &str| {
            let run = Sipp::scenario("basic_call")
                .user(user)
                .file("tone.ulaw", codes.clone());
            assert_eq!(run.run(transport, address).successful, 1);
        };
        // By the recording:
        let known = server.recordings();
        run("take");
        server.wait_log_count("recording closed", known.len() + 1);
        let new = server
            .recordings()
            .into_iter()
            .find(|r| !known.contains(r))
            .unwrap();
        let mut wav = hound::WavReader::open(new).unwrap();
        let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        let loud = samples
            .chunks_exact(160)
            .filter(|w| level(w, 1050.0) > sent.dbm0 - 1.0);
        assert!(loud.count() >= 60, "of 100 packets");
        let first = samples
            .chunks_exact(160)
            .position(|w| level(w, 1050.0) > sent.dbm0 - 1.0);
        let first = (first.unwrap() + 1) * 160;
        assert_level(&samples[first..first + 8000], sent);
        // and by ear:
        on_time(|timing| {
            let room = format!("conf-{}", sip::unique());
            let phone = Phone::v4(timing);
            let mut call =
                Call::establish(Peer::udp(server.udp()), &room, &sdp(phone.address, "0", ""));
            phone.say(call.ok.rtp(), tone(450));
            let heard = std::thread::scope(|scope| {
                let sipp = scope.spawn(|| run(&room));
                phone.await_tone(1050.0, true);
                phone.listen(5);
                let heard = phone.listen(50);
                sipp.join().unwrap();
                heard
            });
            heard.assert_unbroken();
            heard.assert_tone(sent);
            heard.assert_absent(450.0);
            call.hang_up();
        });
    }
}
