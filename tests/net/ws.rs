//! SIP over WebSocket (RFC 7118): handshake, framing, pings, peers that stall.

use crate::support::certificates;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::net::sip::{Net, NetEvent, Settings};
use antiphon::net::sys;
use antiphon::net::tls::{CertificateFiles, Tls, TlsSettings};
use antiphon::sip::message::{Message, Request};
use antiphon::sip::transport::{Flow, Transport};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Part;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

const LONG: Duration = Duration::from_secs(10);
const OK: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\n\r\n";

fn options(call_id: &str) -> String {
    format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\n\
         From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n"
    )
}

struct Server {
    net: Net,
    events: mpsc::Receiver<NetEvent>,
    here: SocketAddr,
}

impl Server {
    fn start(settings: Settings) -> Self {
        let (sender, events) = mpsc::channel(64);
        let settings = Settings {
            ws: vec!["127.0.0.1:0".parse().unwrap()],
            ..settings
        };
        let net = Net::bind(settings, sender).unwrap();
        let here = net.listening()[0].1;
        Self { net, events, here }
    }

    async fn next(&mut self) -> NetEvent {
        timeout(LONG, self.events.recv()).await.unwrap().unwrap()
    }

    async fn request(&mut self) -> (Flow, Request) {
        match self.next().await {
            NetEvent::Message {
                flow,
                message: Message::Request(request),
            } => (flow, request),
            other => panic!("{other:?}"),
        }
    }

    async fn connect(&self) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(self.here).await.unwrap();
        shake(stream, Some("sip")).await.unwrap()
    }
}

type Shaken<S> = Result<WebSocketStream<S>, Box<dyn std::error::Error>>;

async fn shake<S: AsyncRead + AsyncWrite + Unpin>(stream: S, protocol: Option<&str>) -> Shaken<S> {
    let named = protocol.map(|protocol| ("Sec-WebSocket-Protocol", protocol));
    shake_with(stream, named.as_slice()).await
}

async fn shake_with<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    headers: &[(&'static str, &str)],
) -> Shaken<S> {
    let mut request = "ws://127.0.0.1/".into_client_request()?;
    for &(name, value) in headers {
        let value = HeaderValue::from_str(value)?;
        request.headers_mut().append(name, value);
    }
    let (socket, response) = timeout(LONG, client_async(request, stream)).await??;
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
    Ok(socket)
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Part {
    timeout(LONG, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn each_message_is_one_of_sip_and_is_answered_on_its_connection() {
    let mut server = Server::start(Settings::default());
    let mut client = server.connect().await;
    let text = options("1");
    client.send(Part::Text(text.into())).await.unwrap();
    let (flow, request) = server.request().await;
    assert_eq!(flow.transport, Transport::Ws);
    assert_eq!(request.headers.call_id().unwrap(), "1");
    server.net.send(flow, OK.to_vec());
    assert_eq!(
        next(&mut client).await,
        Part::Text(String::from_utf8_lossy(OK).into_owned().into())
    );
    // What is no text goes as bytes; they may come so too.
    let latin = [OK, b"\xe9"].concat();
    server.net.send(flow, latin.clone());
    assert_eq!(next(&mut client).await, Part::Binary(latin.into()));
    let binary = options("2").into_bytes();
    client.send(Part::Binary(binary.into())).await.unwrap();
    assert_eq!(server.request().await.1.headers.call_id().unwrap(), "2");
    // RFC 5626's ping, as browsers' libraries send it.
    client.send(Part::Text("\r\n\r\n".into())).await.unwrap();
    assert_eq!(next(&mut client).await, Part::Text("\r\n".into()));
    // Over a connection that ends nothing can be sent, and none can be opened.
    client.close(None).await.unwrap();
    while !matches!(server.next().await, NetEvent::Closed { .. }) {}
    server.net.send(flow, OK.to_vec());
    assert!(matches!(server.next().await, NetEvent::Failed(failed) if failed == flow));
}

#[tokio::test]
async fn the_subprotocol_has_to_be_named() {
    let server = Server::start(Settings::default());
    for (protocol, welcome) in [
        (Some("sip"), true),
        (Some("chat, sip"), true),
        (Some("chat"), false),
        (None, false),
    ] {
        let stream = TcpStream::connect(server.here).await.unwrap();
        let shaken = shake(stream, protocol).await;
        assert_eq!(shaken.is_ok(), welcome, "{protocol:?}");
        if let Err(error) = shaken {
            assert!(error.to_string().contains("400"), "{error}");
        }
    }
    assert_eq!(server.net.stats().handshakes_failed, 2);
}

/// A web page anywhere must not speak for the address of who looks at it.
#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let named = ["https://phone.example".to_owned()];
    for (origins, origin, welcome) in [
        (&[][..], Some("https://evil.example"), true),
        (&named, None, true),
        (&named, Some("https://phone.example"), true),
        (&named, Some("https://Phone.Example"), true),
        (&named, Some("http://phone.example"), false),
        (&named, Some("https://phone.example:8443"), false),
        (&named, Some("https://phone.example.evil.example"), false),
        (&named, Some("https://evil.example"), false),
        (&named, Some("null"), false),
    ] {
        let server = Server::start(Settings {
            ws_origins: origins.to_vec(),
            ..Settings::default()
        });
        let stream = TcpStream::connect(server.here).await.unwrap();
        let mut headers = vec![("Sec-WebSocket-Protocol", "sip")];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let shaken = shake_with(stream, &headers).await;
        assert_eq!(shaken.is_ok(), welcome, "{origin:?}");
        if let Err(error) = shaken {
            assert!(error.to_string().contains("403"), "{error}");
            assert_eq!(server.net.stats().handshakes_failed, 1);
        }
    }
}

#[tokio::test]
async fn a_malformed_message_spoils_none_behind_it() {
    let mut server = Server::start(Settings::default());
    let mut client = server.connect().await;
    let bad = options("1").replace("CSeq: 1 OPTIONS", "Content-Length: -1");
    client.send(Part::Text(bad.into())).await.unwrap();
    assert!(
        matches!(server.next().await, NetEvent::Malformed { error, .. } if error.status == 400)
    );
    client.send(Part::Text(options("2").into())).await.unwrap();
    assert_eq!(server.request().await.1.headers.call_id().unwrap(), "2");
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection() {
    let mut server = Server::start(Settings::default());
    let mut client = server.connect().await;
    client.send(Part::Text(options("1").into())).await.unwrap();
    server.request().await;
    let huge = options(&"a".repeat(70_000));
    let _ = client.send(Part::Text(huge.into())).await;
    assert!(matches!(server.next().await, NetEvent::Closed { .. }));
    assert_eq!(server.net.stats().tcp_malformed, 1);
}

#[tokio::test]
async fn a_silent_peer_stays_as_long_as_it_answers_pings() {
    let mut server = Server::start(Settings {
        keep_alive: Some(Duration::from_millis(200)),
        ..Settings::default()
    });
    let mut client = server.connect().await;
    let mut pings = 0;
    while pings < 3 {
        pings += usize::from(matches!(next(&mut client).await, Part::Ping(_)));
    }
    client.send(Part::Text(options("1").into())).await.unwrap();
    server.request().await;
    // This one reads nothing, and so answers nothing: 200 ms and 10 s, then it is gone.
    let (began, id) = (Instant::now(), server.net.connections());
    assert_eq!(id, 1);
    let closed = timeout(Duration::from_secs(15), server.events.recv()).await;
    assert!(matches!(closed, Ok(Some(NetEvent::Closed { .. }))));
    let took = began.elapsed();
    assert!(took > Duration::from_secs(9), "{took:?}");
    drop(client);
}

#[tokio::test]
async fn it_works_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let authority = certificates::Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["127.0.0.1"]);
    let settings = TlsSettings {
        certificates: vec![CertificateFiles {
            chain: files.chain,
            key: files.key,
        }],
        ca: Some(authority.file.clone()),
        ..TlsSettings::default()
    };
    let (sender, mut events) = mpsc::channel(16);
    let net = Net::bind(
        Settings {
            wss: vec!["127.0.0.1:0".parse().unwrap()],
            security: Some(Arc::new(Tls::load(&settings, true).unwrap())),
            ..Settings::default()
        },
        sender,
    )
    .unwrap();
    let stream = secured(net.listening()[0].1, &authority).await;
    let mut client = shake(stream, Some("sip")).await.unwrap();
    client.send(Part::Text(options("1").into())).await.unwrap();
    let event = timeout(LONG, events.recv()).await.unwrap().unwrap();
    let NetEvent::Message { flow, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!(flow.transport, Transport::Wss);
    net.send(flow, OK.to_vec());
    assert!(matches!(next(&mut client).await, Part::Text(_)));
}

async fn secured(
    to: SocketAddr,
    authority: &certificates::Authority,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(&authority.file).unwrap();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    connector.connect(name, stream).await.unwrap()
}

/// 1,000 peers that stall in four ways beside one that does not.
#[tokio::test]
async fn stalled_peers_are_cut_off_and_hold_nobody_up() {
    const STALLED: usize = 1000;
    sys::raise_nofile().unwrap();
    let mut server = Server::start(Settings {
        message_time: Duration::from_secs(2),
        tcp_connections_per_address: STALLED + 10,
        handshakes: 2 * STALLED + 20,
        handshakes_per_second_per_source: 0,
        ..Settings::default()
    });
    let mut stalled = Vec::new();
    for n in 0..STALLED {
        let mut stream = TcpStream::connect(server.here).await.unwrap();
        let sent: &[u8] = match n % 4 {
            0 => b"",
            1 => b"GET / HTTP/1.1\r\nHost: a\r\n",
            _ => {
                stream = shake(stream, Some("sip")).await.unwrap().into_inner();
                match n % 4 {
                    // A frame of 200 bytes, of which 2 come; a first fragment without a second.
                    2 => &[0x81, 0xfe, 0, 200, 1, 2, 3, 4, 5, 6],
                    _ => &[0x01, 0x82, 0, 0, 0, 0, b'O', b'P'],
                }
            }
        };
        stream.write_all(sent).await.unwrap();
        stalled.push(stream);
    }
    let began = Instant::now();
    let mut client = server.connect().await;
    client.send(Part::Text(options("1").into())).await.unwrap();
    let (flow, _) = loop {
        if let NetEvent::Message {
            flow,
            message: Message::Request(request),
        } = server.next().await
        {
            break (flow, request);
        }
    };
    server.net.send(flow, OK.to_vec());
    next(&mut client).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let draining = tokio::spawn(async move { while server.events.recv().await.is_some() {} });
    for stream in &mut stalled {
        let mut rest = Vec::new();
        let ended = timeout(LONG, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "still open");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(server.net.stats().tcp_timed_out, STALLED as u64);
    draining.abort();
}

/// A peer that sends requests and never reads what comes back.
#[tokio::test]
async fn one_that_never_reads_is_cut_off() {
    let mut server = Server::start(Settings {
        message_time: Duration::from_secs(1),
        ..Settings::default()
    });
    let mut client = server.connect().await;
    client.send(Part::Text(options("1").into())).await.unwrap();
    let (flow, _) = server.request().await;
    let large = [OK, &vec![b'x'; 60_000]].concat();
    let began = Instant::now();
    while server.net.connections() > 0 {
        server.net.send(flow, large.clone());
        assert!(began.elapsed() < LONG, "it still is there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.net.stats().tcp_slow_readers, 1);
    drop(client);
}

/// Pings between the fragments of a message that never ends do not give it more time, nor do they keep
/// a connection on which no message has come; alone they keep one that has spoken. What came in one
/// segment with the message before is no exception.
#[tokio::test]
async fn pings_do_not_lengthen_a_message() {
    let mut server = Server::start(Settings {
        message_time: Duration::from_secs(1),
        ..Settings::default()
    });
    let masked = |first: u8, text: &[u8]| {
        let length = match text.len() {
            short @ ..126 => vec![0x80 | short as u8],
            long => [&[0xfe][..], &(long as u16).to_be_bytes()].concat(),
        };
        [&[first][..], &length, &[0; 4], text].concat()
    };
    let ping = masked(0x89, b"here");
    let spoken = masked(0x81, options("1").as_bytes());
    let mut streams = Vec::new();
    let more = [&spoken[..], &masked(0x01, b"OP")].concat();
    for words in [&spoken[..], &[], &more] {
        let stream = TcpStream::connect(server.here).await.unwrap();
        let mut stream = shake(stream, Some("sip")).await.unwrap().into_inner();
        stream.write_all(words).await.unwrap();
        if !words.is_empty() {
            server.request().await;
        }
        streams.push(stream);
    }
    // Each goes on with pings for four seconds; whether it is kept.
    let go_on = |mut stream: TcpStream| {
        let ping = ping.clone();
        async move {
            for _ in 0..40 {
                if stream.write_all(&ping).await.is_err() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            true
        }
    };
    let [one, two, three] = streams.try_into().unwrap();
    let (alone, dumb, between) = tokio::join!(go_on(one), go_on(two), go_on(three));
    assert!(alone && !dumb && !between, "{alone} {dumb} {between}");
    assert_eq!(server.net.stats().tcp_timed_out, 2);
}
