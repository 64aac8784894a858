//! HTTP: keys, limits, bodies, TLS, WebSockets; in front of a core that a test plays.

use crate::support::certificates;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use antiphon::api::{Published, Response, Scope, Subscription};
use antiphon::http::auth::{Key, Keys};
use antiphon::http::{Http, Monitoring, Outcome, Settings};
use antiphon::net::tls::{CertificateFiles, ClientCertificates, Tls, TlsSettings};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const LONG: Duration = Duration::from_secs(15);
const BOSS: &str = "Authorization: Bearer a-secret-of-the-boss\r\n";
const WATCH: &str = "Authorization: Bearer a-secret-of-the-watcher\r\n";
const TOPIC: &str = "call.started";

struct Server {
    http: Arc<Http>,
    here: SocketAddr,
    core: JoinHandle<Vec<Subscription>>,
}

fn settings() -> Settings {
    Settings {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        keys: Keys(vec![
            Key::new("boss", Scope::Admin, "a-secret-of-the-boss"),
            Key::new("watch", Scope::Read, "a-secret-of-the-watcher"),
        ]),
        requests_per_second: 10_000,
        ..Settings::default()
    }
}

fn subscription() -> Subscription {
    Subscription {
        topics: vec![TOPIC.to_owned()],
        key: None,
    }
}

impl Server {
    /// The core answers with what it was asked.
    fn start(settings: Settings) -> Self {
        let (http, mut inbox) = Http::start(settings).unwrap();
        let here = http.listening()[0];
        let http = Arc::new(http);
        let of_core = Arc::downgrade(&http);
        let core = tokio::spawn(async move {
            let mut left = Vec::new();
            loop {
                tokio::select! {
                    Some(ask) = inbox.asked.recv() => {
                        let outcome = match ask.operation.id {
                            "readEvents" if ask.request.upgrades => {
                                let Some(http) = of_core.upgrade() else { continue };
                                Outcome::Reader(http.enter(subscription()))
                            }
                            "listCalls" => Outcome::Job(Box::new(|| Response::new(200, "text/plain", "a job"))),
                            // Never answered.
                            "showServer" => { std::mem::forget(ask.answer); continue; }
                            id => Outcome::Response(Response::new(200, "text/plain", format!(
                                "{id} {:?} {}", ask.request.path, String::from_utf8_lossy(&ask.request.body),
                            ))),
                        };
                        let _ = ask.answer.send(outcome);
                    }
                    Some(gone) = inbox.left.recv() => left.push(gone),
                    else => return left,
                }
            }
        });
        Self { http, here, core }
    }

    async fn ask(&self, text: &str) -> Answer {
        exchange(TcpStream::connect(self.here).await.unwrap(), text).await
    }

    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n"
        ))
        .await
    }

    async fn reader(&self) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(self.here).await.unwrap();
        shake(stream, self.here, "").await.unwrap()
    }

    fn publish(&self, text: String) {
        let topic = TOPIC.into();
        self.http.publish(vec![Published { topic, text }]);
    }

    async fn until(&self, what: &str, done: impl Fn(&Http) -> bool) {
        let end = Instant::now() + LONG;
        while !done(&self.http) {
            assert!(Instant::now() < end, "{what}: {:?}", self.http.stats());
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    here: SocketAddr,
    origin: &str,
) -> Result<WebSocketStream<S>, Error> {
    let mut request = format!("ws://{here}/api/v1/events")
        .into_client_request()
        .unwrap();
    let headers = request.headers_mut();
    headers.insert(
        "Authorization",
        "Bearer a-secret-of-the-boss".parse().unwrap(),
    );
    if !origin.is_empty() {
        headers.insert("Origin", origin.parse().unwrap());
    }
    client_async(request, stream)
        .await
        .map(|(socket, _)| socket)
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn problem(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem
    }
}

/// Sends, and reads until the end of the connection.
async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> Answer {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // Who answers before all is read may reset what follows.
    let _ = timeout(LONG, stream.read_to_end(&mut all))
        .await
        .expect("an answer in time");
    let all = String::from_utf8(all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_key_opens_what_it_is_good_for() {
    let server = Server::start(settings());
    let none = server.get("/api/v1/rooms", "").await;
    assert_eq!(none.status, 401);
    assert!(none.header("www-authenticate").unwrap().contains("Bearer"));
    assert_eq!(none.problem()["title"], "Unauthorized");
    // A secret is good without a name, and with its own alone.
    for wrong in [
        "Bearer x",
        "Basic Ym9zczp4",
        "Bearer watch:a-secret-of-the-boss",
    ] {
        let answer = server
            .get("/api/v1/rooms", &format!("Authorization: {wrong}\r\n"))
            .await;
        assert_eq!(answer.status, 401, "{wrong}");
    }
    assert_eq!(server.get("/api/v1/rooms", WATCH).await.status, 200);
    let basic = "Authorization: Basic d2F0Y2g6YS1zZWNyZXQtb2YtdGhlLXdhdGNoZXI=\r\n";
    assert_eq!(server.get("/api/v1/rooms", basic).await.status, 200);
    let delete = |key| {
        format!("DELETE /api/v1/calls/1.2 HTTP/1.1\r\nHost: x\r\n{key}Connection: close\r\n\r\n")
    };
    let refused = server.ask(&delete(WATCH)).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.problem()["detail"]
            .as_str()
            .unwrap()
            .contains("control")
    );
    let done = server.ask(&delete(BOSS)).await;
    assert_eq!(
        (done.status, done.body.as_str()),
        (200, "hangUp [(\"id\", \"1.2\")] ")
    );
    assert_eq!(
        server.get("/metrics", "").await.status,
        200,
        "from loopback"
    );
    assert_eq!(server.get("/api/v1/calls", BOSS).await.body, "a job");
    let closed = Server::start(Settings {
        monitoring: Monitoring::Nowhere,
        ..settings()
    });
    assert_eq!(closed.get("/metrics", "").await.status, 401);
    assert_eq!(closed.get("/metrics", WATCH).await.status, 200);
}

#[tokio::test]
async fn paths_methods_and_bodies_are_what_they_have_to_be() {
    let server = Server::start(settings());
    assert_eq!(server.get("/nothing", BOSS).await.problem()["status"], 404);
    assert_eq!(
        server.get("/ari/nothing", BOSS).await.body,
        "{\"message\":\"there is no such path\"}"
    );
    let method = |m: &str| {
        format!("{m} /api/v1/calls HTTP/1.1\r\nHost: x\r\n{BOSS}Connection: close\r\n\r\n")
    };
    for wrong in ["PUT", "TRACE", "PATCH", "FOO"] {
        let answer = server.ask(&method(wrong)).await;
        assert_eq!(answer.status, 405, "{wrong}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    }
    let options = server.ask(&method("OPTIONS")).await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, HEAD, POST, OPTIONS"))
    );
    assert_eq!(options.header("access-control-allow-origin"), None);
    let head = server.ask(&method("HEAD")).await;
    assert_eq!(
        (
            head.status,
            head.header("content-length"),
            head.body.as_str()
        ),
        (200, Some("5"), "")
    );
    let json = format!("{BOSS}Content-Type: application/json; charset=utf-8\r\n");
    let good = server.ask(&post("/api/v1/calls", &json, "{}")).await;
    assert_eq!((good.status, good.body.as_str()), (200, "placeCall [] {}"));
    let kind = server.ask(&post("/api/v1/calls", BOSS, "{}")).await;
    assert_eq!(
        (kind.status, kind.header("accept")),
        (415, Some("application/json"))
    );
    let long = server
        .ask(&post("/api/v1/calls", &json, &"x".repeat(65_537)))
        .await;
    assert_eq!(long.status, 413);
    let mut chunked = format!(
        "POST /api/v1/calls HTTP/1.1\r\nHost: x\r\n{json}Transfer-Encoding: chunked\r\n\r\n"
    );
    for _ in 0..17 {
        let _ = write!(chunked, "1000\r\n{}\r\n", "x".repeat(4096));
    }
    chunked.push_str("0\r\n\r\n");
    assert_eq!(server.ask(&chunked).await.status, 413);
    let heads = format!(
        "GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(20_000)
    );
    assert_eq!(server.ask(&heads).await.status, 431);
    assert_eq!(server.ask("nonsense\r\n\r\n").await.status, 400);
    assert_eq!(server.get("/api/v1/calls?a=%zz", BOSS).await.status, 400);
    assert_eq!(
        server.get("/api/v1/events", BOSS).await.status,
        200,
        "asked without an upgrade"
    );
}

#[tokio::test]
async fn pages_of_others_may_not_unless_they_are_named() {
    let server = Server::start(Settings {
        cors_origins: vec!["https://good.example".to_owned()],
        ..settings()
    });
    let delete = |origin: &str| {
        format!(
            "DELETE /api/v1/calls/1 HTTP/1.1\r\nHost: here:8080\r\n{BOSS}Origin: {origin}\r\nConnection: close\r\n\r\n"
        )
    };
    for (origin, status, allowed) in [
        ("https://evil.example", 403, None),
        ("null", 403, None),
        ("http://here:8080", 200, None),
        ("https://good.example", 200, Some("https://good.example")),
    ] {
        let answer = server.ask(&delete(origin)).await;
        assert_eq!(answer.status, status, "{origin}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            allowed,
            "{origin}"
        );
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    let stream = || TcpStream::connect(server.here);
    let refused = shake(stream().await.unwrap(), server.here, "https://evil.example").await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 403));
    let good = shake(stream().await.unwrap(), server.here, "https://good.example").await;
    assert!(good.is_ok());
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back() {
    let server = Server::start(Settings {
        requests_per_second: 2,
        ..settings()
    });
    let mut refused = 0;
    for _ in 0..10 {
        let answer = server.get("/api/v1/rooms", WATCH).await;
        if answer.status == 429 {
            assert!(
                answer
                    .header("retry-after")
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
                    >= 1
            );
            refused += 1;
        }
    }
    assert!(refused >= 4, "{refused} of 10");
    assert_eq!(
        server.get("/api/v1/rooms", BOSS).await.status,
        200,
        "another key"
    );
}

#[tokio::test]
async fn a_hundred_who_send_slowly_hold_nobody_up() {
    let server = Server::start(Settings {
        header_time: Duration::from_secs(1),
        ..settings()
    });
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let stream = TcpStream::connect(server.here).await.unwrap();
        slow.push(tokio::spawn(drip(stream)));
    }
    assert_eq!(server.get("/api/v1/rooms", BOSS).await.status, 200);
    // Who asks for nothing more is not waited for either.
    let idle = server.ask("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(idle.status, 200);
    for task in slow {
        let ended = timeout(LONG, task).await.expect("each is cut off").unwrap();
        assert!(ended >= Duration::from_millis(900), "{ended:?}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    server
        .until("all are gone", |http| http.stats().connections == 0)
        .await;
}

/// A byte of a head every 100 ms, until the connection ends: after how long that is.
async fn drip(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    for byte in b"GET /health HTTP/1.1\r\nX: "
        .iter()
        .chain(std::iter::repeat(&b'a'))
    {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        let mut answer = [0; 512];
        match timeout(Duration::from_millis(100), stream.read(&mut answer)).await {
            Err(_) => {}
            Ok(Ok(n)) if n > 0 => {}
            Ok(_) => break,
        }
    }
    began.elapsed()
}

#[tokio::test]
async fn connections_and_slow_bodies_have_their_bounds() {
    let server = Server::start(Settings {
        connections_per_address: 3,
        request_time: Duration::from_secs(1),
        ..settings()
    });
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(server.here).await.unwrap());
    }
    server
        .until("three are in", |http| http.stats().connections == 3)
        .await;
    let mut fourth = TcpStream::connect(server.here).await.unwrap();
    let mut end = Vec::new();
    let closed = timeout(LONG, fourth.read_to_end(&mut end)).await.unwrap();
    assert!(closed.is_err() || end.is_empty());
    assert_eq!(server.http.stats().refused, 1);
    held.clear();
    server
        .until("they are gone", |http| http.stats().connections == 0)
        .await;
    let head = format!(
        "POST /api/v1/calls HTTP/1.1\r\nHost: x\r\n{BOSS}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    );
    assert_eq!(server.ask(&head).await.status, 408);
    let late = server.get("/api/v1/server", BOSS).await;
    assert_eq!(late.status, 503, "the core does not answer");
    assert!(late.header("retry-after").is_some());
}

#[tokio::test]
async fn readers_who_stall_are_cut_off_and_others_miss_nothing() {
    const EVENTS: usize = 2_500;
    const READERS: usize = 20;
    let server = Server::start(settings());
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(server.reader().await);
    }
    let mut readers = Vec::new();
    let read: Arc<[AtomicUsize; READERS]> = Arc::default();
    for reader in 0..READERS {
        let mut socket = server.reader().await;
        let read = Arc::clone(&read);
        readers.push(tokio::spawn(async move {
            for n in 0..EVENTS {
                let message = timeout(LONG, socket.next()).await.unwrap();
                let text = message.unwrap().unwrap().into_text().unwrap();
                assert!(
                    text.starts_with(&format!("{{\"n\":{n},")),
                    "{n}: {}",
                    &text[..20]
                );
                read[reader].store(n, Ordering::Relaxed);
            }
            socket
        }));
    }
    server
        .until("all read", |http| http.stats().readers == 24)
        .await;
    let padding = "x".repeat(4_000);
    for n in 0..EVENTS {
        server.publish(format!("{{\"n\":{n},\"x\":\"{padding}\"}}"));
        // As fast as the slowest of those who do read.
        let behind = |read: &AtomicUsize| read.load(Ordering::Relaxed) + 100 < n;
        while read.iter().any(behind) {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let mut ended = Vec::new();
    for reader in readers {
        ended.push(timeout(LONG * 2, reader).await.unwrap().unwrap());
    }
    server
        .until("the stalled are out", |http| {
            http.stats().readers_dropped == 4
        })
        .await;
    // What was under way is read, and then why there is no more.
    let mut socket = stalled.remove(0);
    let mut why = None;
    while let Some(Ok(message)) = timeout(LONG, socket.next()).await.unwrap() {
        if let Message::Close(frame) = message {
            why = frame;
        }
    }
    let why = why.expect("a close code");
    assert_eq!(u16::from(why.code), 4008);
    assert!(why.reason.contains("too slow"), "{}", why.reason);
    drop(stalled);
    // A reader that goes is told to the core, and one that the server ends knows why.
    let mut last = ended.remove(0);
    for mut socket in ended {
        socket.close(None).await.unwrap();
    }
    server
        .until("one is left", |http| http.stats().readers == 1)
        .await;
    let Server { http, core, .. } = server;
    let mut http = Arc::into_inner(http).unwrap();
    let stopping = tokio::spawn(async move { http.stop().await });
    let closing = async {
        loop {
            match last.next().await {
                Some(Ok(Message::Close(frame))) => return frame.unwrap(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let frame = timeout(LONG, closing).await.unwrap();
    assert_eq!(u16::from(frame.code), 1001);
    while let Some(Ok(_)) = last.next().await {}
    stopping.await.unwrap();
    let left = timeout(LONG, core).await.unwrap().unwrap();
    assert_eq!(left.len(), 4 + READERS, "each reader leaves once");
}

#[tokio::test]
async fn a_reader_misses_nothing_from_its_subscription_on() {
    let (http, mut inbox) = Http::start(settings()).unwrap();
    let here = http.listening()[0];
    let stream = TcpStream::connect(here).await.unwrap();
    let asking = tokio::spawn(async move { shake(stream, here, "").await.unwrap() });
    let ask = timeout(LONG, inbox.asked.recv()).await.unwrap().unwrap();
    let reader = http.enter(subscription());
    // It happens, and is handed out, before the answer is.
    let (topic, text) = (TOPIC.into(), "{}".to_owned());
    http.publish(vec![Published { topic, text }]);
    let end = Instant::now() + LONG;
    while http.stats().events == 0 {
        assert!(Instant::now() < end, "{:?}", http.stats());
        tokio::task::yield_now().await;
    }
    ask.answer.send(Outcome::Reader(reader)).unwrap();
    let mut socket = timeout(LONG, asking).await.unwrap().unwrap();
    let event = timeout(LONG, socket.next()).await.unwrap();
    assert_eq!(event.unwrap().unwrap().into_text().unwrap().as_str(), "{}");
    socket.close(None).await.unwrap();
    let left = timeout(LONG, inbox.left.recv()).await.unwrap().unwrap();
    assert_eq!(left.topics, [TOPIC]);
    // One who does not wait for the answer is no reader, and the core is told so.
    let mut stream = TcpStream::connect(here).await.unwrap();
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: x\r\n{BOSS}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let ask = timeout(LONG, inbox.asked.recv()).await.unwrap().unwrap();
    drop(stream);
    let _ = ask.answer.send(Outcome::Reader(http.enter(subscription())));
    let left = timeout(LONG, inbox.left.recv()).await.unwrap().unwrap();
    assert_eq!(left.topics, [TOPIC]);
    assert_eq!(http.stats().readers, 0);
}

#[tokio::test]
async fn what_a_reader_sends_is_dropped_and_bounded() {
    let server = Server::start(settings());
    let mut socket = server.reader().await;
    socket.send(Message::text("hello")).await.unwrap();
    socket.send(Message::Ping("ab".into())).await.unwrap();
    let pong = timeout(LONG, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(pong, Message::Pong("ab".into()));
    server.publish("{}".to_owned());
    let event = timeout(LONG, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(event.into_text().unwrap().as_str(), "{}");
    let _ = socket.send(Message::text("x".repeat(100_000))).await;
    server
        .until("it is out", |http| http.stats().readers == 0)
        .await;
}

fn issued(authority: &certificates::Authority) -> CertificateFiles {
    let files = authority.issue("here", &["127.0.0.1"]);
    CertificateFiles {
        chain: files.chain,
        key: files.key,
    }
}

/// Who calls over HTTP shows a key, and no certificate.
#[tokio::test]
async fn certificates_of_clients_are_for_sip_alone() {
    let directory = tempfile::tempdir().unwrap();
    let authority = certificates::Authority::new(directory.path(), "ca");
    let tls = TlsSettings {
        certificates: vec![issued(&authority)],
        client_certificates: ClientCertificates::Required,
        client_ca: Some(authority.file),
        ..TlsSettings::default()
    };
    let tls = Arc::new(Tls::load(&tls, true).unwrap());
    let connector = antiphon::net::tls::pinned(tls.fingerprint().unwrap()).unwrap();
    let server = Server::start(Settings {
        security: Some(tls),
        ..settings()
    });
    let stream = TcpStream::connect(server.here).await.unwrap();
    let name = antiphon::net::tls::server_name(None, server.here.ip());
    let stream = connector.connect(name, stream).await.unwrap();
    let get = format!("GET /api/v1/rooms HTTP/1.1\r\nHost: x\r\n{BOSS}Connection: close\r\n\r\n");
    assert_eq!(exchange(stream, &get).await.status, 200);
}

#[tokio::test]
async fn both_families_are_listened_on_at_one_port() {
    // One that neither has: the system's choice for both, given back.
    let free = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), port);
    let _server = Server::start(Settings {
        listen: vec![at("0.0.0.0"), at("::")],
        ..settings()
    });
    let get = format!("GET /api/v1/rooms HTTP/1.1\r\nHost: x\r\n{BOSS}Connection: close\r\n\r\n");
    for here in [at("127.0.0.1"), at("::1")] {
        let stream = TcpStream::connect(here).await.unwrap();
        assert_eq!(exchange(stream, &get).await.status, 200, "{here}");
    }
}

#[tokio::test]
async fn ipv4_is_taken_by_the_wildcard_of_ipv6_where_it_has_no_listener() {
    let server = Server::start(Settings {
        listen: vec!["[::]:0".parse().unwrap()],
        ..settings()
    });
    let port = server.here.port();
    let get = format!("GET /api/v1/rooms HTTP/1.1\r\nHost: x\r\n{BOSS}Connection: close\r\n\r\n");
    for host in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((host, port)).await.unwrap();
        assert_eq!(exchange(stream, &get).await.status, 200, "{host}");
    }
    drop(server);
    // Somebody's on 127.0.0.1: of SIP here, as `antiphon check` has it, or of another program.
    for is_ours in [true, false] {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = other.local_addr().unwrap();
        let beside = Server::start(Settings {
            listen: vec![SocketAddr::new("::".parse().unwrap(), at.port())],
            beside: is_ours.then_some(at).into_iter().collect(),
            ..settings()
        });
        let there = ("::1", beside.here.port());
        let stream = TcpStream::connect(there).await.unwrap();
        assert_eq!(exchange(stream, &get).await.status, 200);
    }
}

#[tokio::test]
async fn tls_below_it_is_that_of_sip() {
    let directory = tempfile::tempdir().unwrap();
    let authority = certificates::Authority::new(directory.path(), "ca");
    let tls = TlsSettings {
        certificates: vec![issued(&authority)],
        ca: Some(authority.file.clone()),
        ..TlsSettings::default()
    };
    let tls = Arc::new(Tls::load(&tls, true).unwrap());
    let server = Server::start(Settings {
        security: Some(Arc::clone(&tls)),
        header_time: Duration::from_secs(1),
        ..settings()
    });
    let connect = async || {
        let stream = TcpStream::connect(server.here).await.unwrap();
        let name = antiphon::net::tls::server_name(Some("127.0.0.1"), server.here.ip());
        let connector = tls.connector().await.unwrap();
        connector.connect(name, stream).await.unwrap()
    };
    let get = format!("GET /api/v1/rooms HTTP/1.1\r\nHost: x\r\n{BOSS}Connection: close\r\n\r\n");
    assert_eq!(exchange(connect().await, &get).await.status, 200);
    let mut socket = shake(connect().await, server.here, "").await.unwrap();
    server
        .until("it reads", |http| http.stats().readers == 1)
        .await;
    server.publish("{}".to_owned());
    let event = timeout(LONG, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(event.into_text().unwrap().as_str(), "{}");
    // Who says nothing, or no TLS, is cut off.
    let mut silent = TcpStream::connect(server.here).await.unwrap();
    let mut end = Vec::new();
    let _ = timeout(Duration::from_secs(5), silent.read_to_end(&mut end))
        .await
        .unwrap();
    let plain = exchange(TcpStream::connect(server.here).await.unwrap(), &get).await;
    assert_ne!(plain.status, 200);
}
