//! Programs that were written for Asterisk's REST interface, by clients that we have not written: npm's
//! ari-client and PyPI's asyncari, against the real server, with calls that are listened to. And PyPI's
//! schemathesis, which makes requests of the control API's description.
//!
//! `.ci/ari-clients` installs them, once, below the target directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod both_sides;
mod fuzzed;
mod media_alone;
mod program;

use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use antiphon::codec::Codec;
use antiphon::rtp::packet::Packet;
use program::{Program, SECRET};
use support::line::Line;
use support::media::{Timing, level, on_time, tone};
use support::server::{Config, Server};
use support::sip::{Dialog, Peer, sdp};
use support::tone as wav;
use tokio_tungstenite::tungstenite::{self, Message};

/// What the three callers say, and what is played into their bridge, Hz.
const SAID: [u32; 3] = [500, 700, 900];
const PLAYED: f64 = 1000.0;

fn server() -> Server {
    configured().start()
}

fn configured() -> Config {
    Config::new()
        .set("http", "listen", "[\"127.0.0.1:0\"]")
        .tables(&format!(
            "[[http.key]]\nname = \"meeting\"\nscope = \"control\"\nsecret = \"{SECRET}\""
        ))
        .route("user = \"7(0+)1\"\napp = \"stasis\"\nprogram = \"meeting\"\nargs = [\"front\", \"$1\"]")
        .route("user = \"7.*\"\napp = \"stasis\"\nprogram = \"meeting\"\nargs = [\"seat\"]")
}

#[test]
fn a_meeting_by_ari_client_of_npm() {
    on_time(|timing| meeting(timing, "js"));
}

#[test]
fn a_meeting_by_asyncari_of_pypi() {
    on_time(|timing| meeting(timing, "py"));
}

#[test]
fn a_program_that_is_gone_loses_its_calls_and_is_told_of_texts_until_then() {
    let server = configured().set("ari", "reconnect_seconds", "0").start();
    let here = server.address("http", false);
    let url =
        format!("ws://{here}/ari/events?app=meeting&subscribeAll=true&api_key=meeting:{SECRET}");
    let stream = TcpStream::connect(here).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (mut socket, _) = tungstenite::client(url, stream).unwrap();
    let mut until = |kind: &str| loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            if event["type"] == kind {
                return event;
            }
        }
    };
    let mut peer = Peer::udp(server.udp());
    let text = "Content-Type: text/plain\r\n";
    let message = Dialog::new(&peer, "desk").request(&peer, "MESSAGE", text, "dinner");
    peer.send(&message);
    assert_eq!(peer.answer().status(), 200);
    assert_eq!(until("TextMessageReceived")["message"]["body"], "dinner");
    let mut dialog = Dialog::new(&peer, "7002");
    let offer = sdp(([127, 0, 0, 1], 9).into(), "0", "");
    let invite = dialog.request(&peer, "INVITE", "Content-Type: application/sdp\r\n", &offer);
    peer.send(&invite);
    assert_eq!(until("StasisStart")["args"][0], "seat");
    drop(socket);
    assert_eq!(peer.answer().status(), 503);
    let ack = dialog.of_invite(&peer, "ACK", None);
    peer.send(&ack);
    // Nobody listens any more.
    let message = Dialog::new(&peer, "desk").request(&peer, "MESSAGE", text, "dinner");
    peer.send(&message);
    assert_eq!(
        peer.await_that(|m| m.header("CSeq").ends_with("MESSAGE"))
            .status(),
        405
    );
}

/// The whole program, whatever it is written in.
fn meeting(timing: &Timing, language: &str) {
    let server = server();
    let media = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = media.local_addr().unwrap();
    let mut program = Program::start(language, server.address("http", false), there);
    program.expect("ready pong");

    let mut a = Line::dial(&server, timing, "7001");
    a.say(tone(SAID[0]));
    program.expect("answered test 7001");
    a.await_whole("welcome");
    program.expect("welcomed");
    a.press("42#");
    program.expect("digits 42#");
    a.say(tone(SAID[0]));
    program.expect("recording");
    a.phone.wait_for(60, Duration::from_secs(5));
    a.press("#");
    let recorded = program.expect("recorded done");
    assert!(["1", "2", "3"].contains(&recorded.as_str()), "{recorded} s");
    a.say(tone(SAID[0]));
    program.expect("played-back");
    program.expect("variable head of the table");
    program.expect("seated 1");
    // It has heard itself.
    let heard = a.heard();
    assert!(loudest(&heard, f64::from(SAID[0])) > -20.0);

    let b = Line::dial(&server, timing, "7002");
    program.expect("seated 2");
    let mut c = Line::dial(&server, timing, "7003");
    program.expect("seated 3");
    b.say(tone(SAID[1]));
    c.say(tone(SAID[2]));
    program.expect("together 3");
    program.expect("table-recording");
    let port = program.expect("aside");
    let heard = by_rtp(&media, port.parse().unwrap());
    for hz in SAID {
        assert!(loudest(&heard, f64::from(hz)) > -20.0, "{hz} Hz by RTP");
    }
    hears(&a, &[(1, true), (2, true), (0, false)]);
    hears(&b, &[(0, true), (2, true), (1, false)]);
    hears(&c, &[(0, true), (1, true), (2, false)]);
    program.expect("heard");
    program.go();

    program.expect("announcing");
    for line in [&a, &b, &c] {
        line.phone.await_tone(PLAYED, true);
    }
    program.expect("announced");
    program.expect("moved");
    hears(&c, &[(0, false), (1, false), (2, false)]);
    hears(&a, &[(1, true), (2, false)]);
    hears(&b, &[(0, true), (2, false)]);
    program.go();

    program.expect("muted");
    hears(&a, &[(1, false)]);
    hears(&b, &[(0, true)]);
    program.go();

    program.expect("table-stored done");
    let stored = program.expect("stored");
    assert!(stored.ends_with(" true"), "{stored}");
    for name in ["table", "voice"] {
        assert!(stored.contains(&format!("{name}-{language}")), "{stored}");
    }
    program.expect("channels 3 2");

    program.expect("continued");
    // In the route table: an echo.
    hears(&c, &[(2, true), (0, false)]);
    program.go();
    for _ in 0..2 {
        program.expect("hung-up 16 Normal Clearing");
    }
    program.expect("missing true");
    program.expect("done");
    program.wait_end();
    c.hang_up();

    let recordings = server.directory().join("recordings");
    let voice = wav::read(&recordings.join(format!("voice-{language}.wav")));
    assert!(loudest(&voice, f64::from(SAID[0])) > -20.0);
    // The first caller, and what it has heard.
    let ear = wav::read(&recordings.join(format!("ear-{language}.wav")));
    for hz in SAID {
        assert!(loudest(&ear, f64::from(hz)) > -20.0, "{hz} Hz is spied on");
    }
    let table = wav::read(&recordings.join(format!("table-{language}.wav")));
    for hz in [500.0, 700.0, 900.0, PLAYED] {
        assert!(loudest(&table, hz) > -20.0, "{hz} Hz is in the recording");
    }
    assert!(!recordings.join(format!("table-{language}-2.wav")).exists());
}

/// What comes by RTP in a second, from this port.
fn by_rtp(socket: &UdpSocket, port: u16) -> Vec<i16> {
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut audio = Vec::new();
    let mut datagram = [0; 2_048];
    while audio.len() < 8_000 {
        let (length, from) = socket.recv_from(&mut datagram).unwrap();
        assert_eq!(from.port(), port);
        let packet = Packet::parse(&datagram[..length]).unwrap();
        assert_eq!(packet.payload_type.0, 0);
        let mut samples = vec![0; packet.payload.len()];
        Codec::Pcmu.decode(packet.payload, &mut samples);
        audio.extend(samples);
    }
    audio
}

/// Which of the callers a line hears now.
fn hears(line: &Line, which: &[(usize, bool)]) {
    for &(said, audible) in which {
        line.phone.await_tone(f64::from(SAID[said]), audible);
    }
}

/// The level of a frequency where it is loudest over a fifth of a second, dBm0.
fn loudest(samples: &[i16], hz: f64) -> f64 {
    let levels = samples.chunks_exact(1600).map(|part| level(part, hz));
    levels.fold(f64::MIN, f64::max)
}
