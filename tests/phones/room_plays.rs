//! Playing into a room by the control API, with real telephones in it: what they hear, what events
//! tell, and that no name of a file leads out of the configured directories.

use crate::support::line;
use crate::support::media;
use crate::support::server;
use crate::support::tone;
use crate::support::web;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use line::Line;
use media::on_time;
use serde_json::{Value, json};
use server::Config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

const KEYS: &str = r#"
[[http.key]]
name = "boss"
scope = "control"
secret = "a-secret-of-the-boss"
[[http.key]]
name = "watch"
scope = "read"
secret = "a-secret-of-the-watcher"
"#;
const BOSS: &str = "a-secret-of-the-boss";
const PLAYS: &str = "/api/v1/rooms/600/plays";
const LONG: Duration = Duration::from_secs(15);

/// Asks as the boss.
fn ask(here: SocketAddr, request: &str, body: &Value) -> (u16, Value) {
    ask_as(here, BOSS, request, body)
}

fn ask_as(here: SocketAddr, secret: &str, request: &str, body: &Value) -> (u16, Value) {
    let mut stream = TcpStream::connect(here).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

fn events(here: SocketAddr) -> WebSocket<TcpStream> {
    let url = format!("ws://{here}/api/v1/events?types=room,room.talkers");
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("Authorization", format!("Bearer {BOSS}").parse().unwrap());
    let stream = TcpStream::connect(here).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    tungstenite::client(request, stream).unwrap().0
}

/// The next event that is like this.
fn next(socket: &mut WebSocket<TcpStream>, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            if wanted(&event) {
                return event;
            }
        }
    }
}

/// Three seconds of a tone.
fn write_tone(path: &Path, hz: f64) {
    tone::write(path, &tone::sine_16(hz, 0.25, 3.0));
}

#[test]
fn a_file_a_tone_and_who_talks() {
    on_time(|timing| {
        let sounds = tempfile::tempdir().unwrap();
        let library = sounds.path().join("library");
        std::fs::create_dir(&library).unwrap();
        write_tone(&library.join("note.wav"), 1000.0);
        let secret = sounds.path().join("secret.wav");
        write_tone(&secret, 2000.0);
        std::os::unix::fs::symlink(&secret, library.join("link.wav")).unwrap();
        let spoken = sounds.path().join("spoken.wav");
        write_tone(&spoken, 1500.0);
        let fetched = sounds.path().join("fetched.wav");
        write_tone(&fetched, 1700.0);
        let fetched = std::fs::read(fetched).unwrap();
        let host = web::WebServer::new(move |_| web::response("200 OK", "", &fetched));
        let server = Config::new()
            .set("announcement", "web_hosts", "[\"127.0.0.1\"]")
            .set("speech", "command", format!("[\"cat\", {spoken:?}]"))
            .set("http", "listen", "[\"127.0.0.1:0\"]")
            .set("announcement", "directories", format!("[{library:?}]"))
            .tables(KEYS)
            .start();
        let here = server.address("HTTP", false);
        let mut told = events(here);
        let mut one = Line::dial(&server, timing, "600");
        let mut two = Line::dial(&server, timing, "600");
        let joined = next(&mut told, |e| e["change"] == "joined");
        one.say(media::tone(440));
        let talks = next(&mut told, |e| {
            e["type"] == "room.talkers" && e["talking"] == 1
        });
        assert_eq!(talks["talkers"][0]["id"], joined["member"]["id"]);
        one.hush();

        let file = |name: &str| json!({"items": [{"file": name}]});
        let (status, _) = ask_as(
            here,
            "a-secret-of-the-watcher",
            &format!("POST {PLAYS}"),
            &file("note.wav"),
        );
        assert_eq!(status, 403, "who may look may not play");
        let names = [
            "../secret.wav",
            "sub/../../secret.wav",
            "%2e%2e/secret.wav",
            "..%2Fsecret.wav",
            "%252e%252e/secret.wav",
            "link.wav",
            "file:../secret.wav",
            "file://example.com/note.wav",
            &secret.display().to_string(),
            &format!("{}/../secret.wav", library.display()),
        ];
        for name in names {
            let (status, play) = ask(here, &format!("POST {PLAYS}"), &file(name));
            assert_eq!(status, 201, "{name}: {play}");
            let failed = next(&mut told, |e| e["play"] == play["id"]);
            assert_eq!(failed["change"], "play-failed", "{name}: {failed}");
        }
        let elsewhere = host.url("/a.wav").replace("127.0.0.1", "localhost");
        let elsewhere = json!({"items": [{"url": elsewhere}]});
        let (_, play) = ask(here, &format!("POST {PLAYS}"), &elsewhere);
        let failed = next(&mut told, |e| e["play"] == play["id"]);
        assert_eq!(failed["change"], "play-failed", "{failed}");
        for (item, hz) in [
            (json!({"text": {"text": "Hello"}}), 1500.0),
            (json!({"url": host.url("/a.wav")}), 1700.0),
        ] {
            let (status, play) = ask(here, &format!("POST {PLAYS}"), &json!({"items": [item]}));
            assert_eq!(status, 201, "{play}");
            two.phone.await_tone(hz, true);
            let at = format!("{PLAYS}/{}", play["id"]);
            assert_eq!(ask(here, &format!("DELETE {at}"), &Value::Null).0, 204);
        }
        let (_, play) = ask(here, &format!("POST {PLAYS}"), &file("note.wav"));
        next(&mut told, |e| {
            e["change"] == "play-began" && e["play"]["id"] == play["id"]
        });
        for line in [&one, &two] {
            line.phone.await_tone(1000.0, true);
            line.phone.listen(10).assert_absent(2000.0);
        }
        let at = format!("{PLAYS}/{}", play["id"]);
        assert_eq!(ask(here, &format!("DELETE {at}"), &Value::Null).0, 204);
        let ended = next(&mut told, |e| e["play"] == play["id"]);
        assert_eq!(
            (&ended["change"], &ended["stopped"]),
            (&json!("play-ended"), &json!(true))
        );
        two.phone.await_tone(1000.0, false);

        let alone = json!({"items": [{"tone": {"hz": 700, "ms": 60_000}}], "member": joined["member"]["id"]});
        assert_eq!(ask(here, &format!("POST {PLAYS}"), &alone).0, 201);
        one.phone.await_tone(700.0, true);
        two.phone.listen(10).assert_absent(700.0);
        one.hang_up();
        let ended = next(&mut told, |e| e["change"] == "play-ended");
        assert_eq!(ended["stopped"], true, "it ends with its member");
        two.hang_up();
    });
}
