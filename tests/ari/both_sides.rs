//! A recording of a channel with what its caller says and what it hears, at the configured rate.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::program::SECRET;
use crate::support::line::Line;
use crate::support::media::{Timing, on_time, tone};
use crate::support::tone as wav;
use crate::support::web;

const SAID_HZ: u32 = 700;
const PLAYED_HZ: u32 = 1000;
const RATE: usize = 16_000;

/// A program that makes requests.
struct Client {
    here: SocketAddr,
    socket: WebSocket<TcpStream>,
}

impl Client {
    fn connect(here: SocketAddr) -> Self {
        let url = format!("ws://{here}/ari/events?app=meeting&api_key=meeting:{SECRET}");
        let stream = TcpStream::connect(here).unwrap();
        let patience = Some(Duration::from_secs(15));
        stream.set_read_timeout(patience).unwrap();
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        Self { here, socket }
    }

    fn until(&mut self, kind: &str) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                let event: Value = serde_json::from_str(&text).unwrap();
                if event["type"] == kind {
                    return event;
                }
            }
        }
    }

    fn post(&self, path: &str) {
        let (status, body) = web::ask("POST", self.here, &format!("/ari/{path}"), SECRET);
        assert!((200..300).contains(&status), "{path}: {status} {body}");
    }
}

#[test]
fn a_channel_is_recorded_with_what_it_says_and_what_it_hears() {
    on_time(both);
}

fn both(timing: &Timing) {
    let recording =
        super::configured()
            .set("recording", "rate", RATE)
            .set("recording", "stereo", true);
    let server = recording.start();
    let mut client = Client::connect(server.address("http", false));
    let answering = std::thread::spawn(move || {
        let began = client.until("StasisStart");
        let channel = began["channel"]["id"].as_str().unwrap().to_owned();
        client.post(&format!("channels/{channel}/answer"));
        (client, channel)
    });
    let mut line = Line::dial(&server, timing, "7002");
    let (mut client, channel) = answering.join().unwrap();
    client.post(&format!("channels/{channel}/record?name=both&format=wav"));
    client.until("RecordingStarted");
    line.say(tone(SAID_HZ));
    client.post("bridges/table?type=mixing");
    client.post(&format!("bridges/table/addChannel?channel={channel}"));
    client.post(&format!("bridges/table/play?media=tone:{PLAYED_HZ}/10000"));
    line.phone.await_tone(f64::from(PLAYED_HZ), true);
    // Two seconds of both are what the file is held against.
    line.phone.wait_for(100, Duration::from_secs(5));
    client.post("recordings/live/both/stop");
    let finished = client.until("RecordingFinished");
    let told = finished["recording"]["duration"].as_u64().unwrap();
    line.hang_up();

    let path = server.directory().join("recordings/both.wav");
    let (said, heard, rate) = wav::read_stereo(&path);
    assert_eq!(rate, RATE);
    let seconds = said.len() / RATE;
    assert!((2..8).contains(&seconds), "{seconds} s");
    assert!(
        (told as usize).abs_diff(seconds) <= 1,
        "{told} of {seconds} s"
    );
    // The second behind which it was stopped.
    let last = said.len() - RATE..;
    let level = |side: &[i16], hz: u32| wav::level_at(&side[last.clone()], f64::from(hz), RATE);
    for (side, own, other) in [(&said, SAID_HZ, PLAYED_HZ), (&heard, PLAYED_HZ, SAID_HZ)] {
        let (own, other) = (level(side, own), level(side, other));
        assert!(
            own > -30.0 && other < own - 40.0,
            "{own:.1} dB, {other:.1} dB"
        );
    }
}
