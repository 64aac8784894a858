//! Readers of events of the real server: a thousand at once, some of which never read; and whose
//! key is taken away.

use crate::support::{caller, server, web};

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const OLD: &str = "a-secret-that-is-known";
const NEW: &str = "another-secret-of-it";
const LONG: Duration = Duration::from_secs(20);
/// Programs that read.
const READING: usize = 900;
/// Programs that have asked for events, and read nothing.
const STALLED: usize = 100;
/// Times that a hand is raised or lowered: each is an event for every reader.
const EVENTS: usize = 100;

fn key(name: &str, scope: &str, secret: &str) -> String {
    format!("[[http.key]]\nname = \"{name}\"\nscope = \"{scope}\"\nsecret = \"{secret}\"\n")
}

fn config() -> server::Config {
    server::Config::new()
        .set("http", "listen", "[\"127.0.0.1:0\"]")
        .set("http", "connections", 2000)
        .set("http", "connections_per_address", 2000)
        .set("http", "requests_per_second", 10_000)
}

fn subscribe(here: SocketAddr, secret: &str) -> WebSocket<TcpStream> {
    let request = format!("ws://{here}/api/v1/events").into_client_request();
    let mut request = request.unwrap();
    let shown = format!("Bearer {secret}").parse().unwrap();
    request.headers_mut().insert("Authorization", shown);
    let stream = TcpStream::connect(here).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    tungstenite::client(request, stream).unwrap().0
}

/// Asks on a connection that goes on.
fn ask(stream: &mut TcpStream, secret: &str, line: &str, body: &str) -> (u16, Value) {
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the server hung up");
        bytes.extend(&buffer[..length]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_lowercase();
        let length = head.split_once("content-length: ").map_or("0", |(_, n)| n);
        let length: usize = length.lines().next().unwrap().parse().unwrap();
        if body.len() >= length {
            return (status, serde_json::from_str(body).unwrap_or_default());
        }
    }
}

fn connect(here: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(here).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// A program that reads: what has come of the next message, and events of raised hands so far.
struct Reading {
    stream: TcpStream,
    rest: Vec<u8>,
    heard: usize,
}

impl Reading {
    /// Reads what there is. Frames are taken apart by hand: of a server's, only long ones matter.
    fn read(&mut self, buffer: &mut [u8]) {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => panic!("a reader was cut off"),
                Ok(length) => self.rest.extend(&buffer[..length]),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                    break;
                }
            }
        }
        let mut at = 0;
        while let Some(head) = self.rest.get(at..at + 4) {
            let (start, length) = match head[1] {
                126 => (4, usize::from(u16::from_be_bytes([head[2], head[3]]))),
                short => (2, usize::from(short)),
            };
            let Some(text) = self.rest.get(at + start..at + start + length) else {
                break;
            };
            let begin = &text[..text.len().min(200)];
            let changed = br#""change":"changed""#;
            self.heard += usize::from(begin.windows(changed.len()).any(|w| w == changed));
            at += start + length;
        }
        self.rest.drain(..at);
    }
}

#[test]
fn a_thousand_readers_some_of_which_never_read_cost_no_call_a_packet() {
    let server = config().tables(&key("test", "control", OLD)).start();
    let here = server.address("HTTP", false);
    let subscribe = || subscribe(here, OLD).into_inner();
    let stalled: Vec<_> = (0..STALLED).map(|_| subscribe()).collect();
    let reading = (0..READING).map(|_| Reading {
        stream: subscribe(),
        rest: Vec::new(),
        heard: 0,
    });
    let mut reading: Vec<_> = reading.collect();
    for reader in &reading {
        reader.stream.set_nonblocking(true).unwrap();
    }
    let calls = [0, 1].map(|_| caller::call("600", server.udp(), &["--seconds", "90", "--json"]));
    let mut control = connect(here);
    server.wait_log_count(" joined ", 2);
    let (_, room) = ask(&mut control, OLD, "GET /api/v1/rooms/600", "");
    let member = room["members"][0]["id"].as_str().unwrap();
    let line = format!("POST /api/v1/rooms/600/members/{member}");
    let mut buffer = vec![0; 65_536];
    let mut read = |reading: &mut Vec<Reading>| {
        for reader in reading.iter_mut() {
            reader.read(&mut buffer);
        }
        reading.iter().map(|reader| reader.heard).min().unwrap()
    };
    for n in 0..EVENTS {
        let body = json!({"hand_raised": n % 2 == 0}).to_string();
        let (status, said) = ask(&mut control, OLD, &line, &body);
        assert_eq!(status, 200, "{said}");
        if n % 10 == 9 {
            read(&mut reading);
        }
    }
    let end = Instant::now() + LONG;
    while read(&mut reading) < EVENTS {
        assert!(
            Instant::now() < end,
            "{:?}",
            reading.iter().map(|r| r.heard).min()
        );
    }
    assert!(reading.iter().all(|reader| reader.heard == EVENTS));
    for mut call in calls {
        call.signal("INT");
        assert!(call.ends_within(LONG));
        let said = call.wait().json();
        let received = &said["received"];
        assert!(received["packets"].as_u64() > Some(50), "{said}");
        let lost = (&received["lost"], &said["sent"]["lost"]);
        assert_eq!(lost, (&0.into(), &0.into()), "{said}");
    }
    drop(stalled);
}

#[test]
fn keys_are_read_again_and_who_reads_by_one_that_is_gone_is_cut_off() {
    let server = config()
        .tables(&key("kept", "read", NEW))
        .tables(&key("lost", "control", OLD))
        .start();
    let here = server.address("HTTP", false);
    let (mut kept, mut lost) = (subscribe(here, NEW), subscribe(here, OLD));
    let mut control = connect(here);
    assert_eq!(ask(&mut control, OLD, "GET /api/v1/calls", "").0, 200);
    server.rewrite(&config().tables(&key("kept", "read", NEW)).tables(&key(
        "lost",
        "read",
        "yet-another-secret-of-it",
    )));
    server.hang_up();
    server.wait_log("keys, users, access lists and certificates read again");
    // The same connection, and another one.
    assert_eq!(ask(&mut control, OLD, "GET /api/v1/calls", "").0, 401);
    assert_eq!(ask(&mut connect(here), OLD, "GET /api/v1/calls", "").0, 401);
    assert_eq!(ask(&mut connect(here), NEW, "GET /api/v1/calls", "").0, 200);
    let frame = loop {
        if let Message::Close(frame) = lost.read().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!(u16::from(frame.code), 1008, "{frame}");
    // Who keeps its key is told of what happens on.
    let call = caller::call("600", server.udp(), &["--seconds", "1"]);
    let told = loop {
        if let Message::Text(text) = kept.read().unwrap() {
            break text;
        }
    };
    assert!(told.contains("call.started"), "{told}");
    assert_eq!(call.wait().status, Some(0));
}

#[test]
fn who_reads_is_told_of_the_last_call_and_its_recording_when_the_server_ends() {
    let server = config()
        .set("server", "shutdown_seconds", 20)
        .tables(&key("reader", "read", OLD))
        .start();
    let mut socket = subscribe(server.address("http", false), OLD);
    // It hangs up by itself, or when its time is over.
    let calling = caller::call("520", server.udp(), &["--seconds", "2"]);
    server.wait_log(" answered ");
    server.terminate();
    let mut told = Vec::new();
    let closed = loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                let event: Value = serde_json::from_str(&text).unwrap();
                told.push(event["type"].as_str().unwrap().to_owned());
            }
            Ok(Message::Close(frame)) => break frame.unwrap().code,
            Ok(_) => {}
            Err(error) => panic!("{error}: {told:?}"),
        }
    };
    assert_eq!(u16::from(closed), 1001, "going away");
    for last in ["recording.started", "call.ended", "recording.ended"] {
        let count = told.iter().filter(|kind| *kind == last).count();
        assert_eq!(count, 1, "{last}: {told:?}");
    }
    assert!(server.wait_exit().success());
    calling.wait();
}

#[test]
fn a_recording_that_cannot_begin_is_told_of_and_counted() {
    let refuses = |mb: u64| {
        config()
            .set("recording", "min_free_mb", mb)
            .tables(&key("reader", "read", OLD))
    };
    let server = refuses(1_000_000_000).start();
    let here = server.address("http", false);
    let mut socket = subscribe(here, OLD);
    let calling = caller::call("520", server.udp(), &["--seconds", "1"]);
    let failed = loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            if event["type"] == "recording.failed" {
                break event;
            }
        }
    };
    let why = failed["recording"]["error"].as_str().unwrap();
    assert!(why.contains("recording.min_free_mb"), "{failed}");
    let figures = web::get(here, "/metrics", OLD).1;
    assert!(figures.contains("antiphon_recordings_failed_total 1"));
    calling.wait();
    // What the recorder was started with stays, and SIGHUP says so.
    server.rewrite(&refuses(0));
    server.hang_up();
    server.wait_log("of [recording] change with a restart alone");
}

#[test]
fn long_answers_that_nobody_reads_are_bounded() {
    let server = config().tables(&key("reader", "read", OLD)).start();
    let recordings = server.directory().join("recordings");
    std::fs::create_dir_all(&recordings).unwrap();
    let file = std::fs::File::create(recordings.join("long.wav")).unwrap();
    file.set_len(60 << 20).unwrap();
    let here = server.address("http", false);
    let mut waiting: Vec<(TcpStream, String)> = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(here).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        write!(
            stream,
            "GET /ari/recordings/stored/long/file HTTP/1.1\r\nHost: x\r\n\
             Authorization: Bearer {OLD}\r\n\r\n"
        )
        .unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        waiting.push((stream, String::from_utf8_lossy(&status).into_owned()));
    }
    let statuses: Vec<&str> = waiting.iter().map(|(_, s)| &s[9..]).collect();
    // 256 MiB are no more than four.
    assert_eq!(statuses, ["200", "200", "200", "200", "503"]);
    drop(waiting);
    let again = web::get(here, "/ari/recordings/stored", OLD);
    assert_eq!(again.0, 200);
}
