//! SIP over TLS: certificates by name, exchanged while it runs, mutual; stalled handshakes.

use crate::support::certificates;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::net::gate::AccessLists;
use antiphon::net::sip::{Net, NetEvent, Settings};
use antiphon::net::sys;
use antiphon::net::tls::{CertificateFiles, ClientCertificates, Tls, TlsError, TlsSettings};
use antiphon::sip::message::{Message, Request};
use antiphon::sip::transport::{Flow, Transport};
use antiphon::sip::uri::Host;
use certificates::{Authority, Files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

const LONG: Duration = Duration::from_secs(10);
const OK: &[u8] = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";

fn options(via: &str, call_id: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS {via};branch=z9hG4bK1\r\n\
         From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn pair(files: &Files) -> CertificateFiles {
    CertificateFiles {
        chain: files.chain.clone(),
        key: files.key.clone(),
    }
}

fn tls(certificates: &[&Files]) -> TlsSettings {
    TlsSettings {
        certificates: certificates.iter().map(|files| pair(files)).collect(),
        ..TlsSettings::default()
    }
}

struct Server {
    net: Net,
    events: mpsc::Receiver<NetEvent>,
    here: SocketAddr,
    security: Arc<Tls>,
}

impl Server {
    fn start(settings: &TlsSettings) -> Self {
        Self::with(settings, Settings::default())
    }

    fn with(tls: &TlsSettings, settings: Settings) -> Self {
        let security = Arc::new(Tls::load(tls, true).unwrap());
        let (sender, events) = mpsc::channel(64);
        let mut settings = Settings {
            security: Some(Arc::clone(&security)),
            ..settings
        };
        if settings.tls.is_empty() {
            settings.tls = vec!["127.0.0.1:0".parse().unwrap()];
        }
        let net = Net::bind(settings, sender).unwrap();
        let here = net.listening()[0].1;
        Self {
            net,
            events,
            here,
            security,
        }
    }

    async fn next(&mut self) -> NetEvent {
        timeout(LONG, self.events.recv()).await.unwrap().unwrap()
    }

    /// The next path that has failed, as it was before there was a connection; ends of connections are
    /// passed over.
    async fn failed(&mut self) -> Flow {
        loop {
            match self.next().await {
                NetEvent::Failed(flow) => return to(flow),
                NetEvent::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// A path to an address that a host is called at; none: it is called by the address.
    fn path(&self, at: SocketAddr, host: Option<&str>) -> Flow {
        path(&self.net, at, host)
    }

    /// The next request; ends of connections are passed over.
    async fn request(&mut self) -> (Flow, Request) {
        loop {
            match self.next().await {
                NetEvent::Message {
                    flow,
                    message: Message::Request(request),
                } => return (flow, request),
                NetEvent::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn to(flow: Flow) -> Flow {
    Flow {
        connection: None,
        ..flow
    }
}

fn path(net: &Net, at: SocketAddr, host: Option<&str>) -> Flow {
    let host = host.map_or(at.ip().into(), |name| Host::Name(name.to_owned()));
    net.flow_to_host(Transport::Tls, at, &host).unwrap()
}

/// One that only calls, and whom it trusts.
fn calling(authority: &Authority) -> (Net, mpsc::Receiver<NetEvent>) {
    let trusting = TlsSettings {
        ca: Some(authority.file.clone()),
        ..TlsSettings::default()
    };
    let settings = Settings {
        security: Some(Arc::new(Tls::load(&trusting, false).unwrap())),
        ..Settings::default()
    };
    let (sender, events) = mpsc::channel(16);
    (Net::bind(settings, sender).unwrap(), events)
}

struct Client {
    config: ClientConfig,
}

impl Client {
    fn new(authority: &Authority) -> Self {
        Self::with(authority, &[&TLS12, &TLS13], None)
    }

    fn with(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Files>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&authority.file).unwrap();
        roots.add(certificate).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some(files) => {
                let chain = vec![CertificateDer::from_pem_file(&files.chain).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self { config }
    }

    async fn connect(&self, to: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        timeout(LONG, connector.connect(name, stream))
            .await
            .unwrap()
    }
}

async fn read(stream: &mut TlsStream<TcpStream>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let reading = stream.read_exact(&mut bytes);
    timeout(LONG, reading).await.unwrap().unwrap();
    bytes
}

/// The thread that signals reads no files of others.
#[test]
fn whom_the_system_trusts_is_read_on_a_thread_that_may_block() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let tls = Tls::load(&TlsSettings::default(), false).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || held.recv());
        let mut connector = std::pin::pin!(tls.connector());
        let made_here = tokio::select! {
            biased;
            _ = connector.as_mut() => true,
            () = tokio::task::yield_now() => false,
        };
        assert!(!made_here);
        release.send(()).unwrap();
        timeout(LONG, connector).await.unwrap().unwrap();
        busy.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn a_request_is_answered_in_both_versions_and_by_the_name_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let first = authority.issue("first", &["one.example", "127.0.0.1"]);
    let second = authority.issue("second", &["two.example"]);
    let mut server = Server::start(&tls(&[&first, &second]));
    for (versions, version) in [
        ([&TLS12], ProtocolVersion::TLSv1_2),
        ([&TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let client = Client::with(&authority, &versions, None);
        for name in ["one.example", "two.example", "127.0.0.1"] {
            let mut stream = client.connect(server.here, name).await.expect(name);
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version));
            let message = options("127.0.0.1", name);
            stream.write_all(&message).await.unwrap();
            let (flow, request) = server.request().await;
            assert_eq!(flow.transport, Transport::Tls);
            assert_eq!(request.headers.call_id().unwrap(), name);
            server.net.send(flow, OK.to_vec());
            assert_eq!(read(&mut stream, OK.len()).await, OK);
        }
        // Nobody's name gets the first certificate, which does not fit.
        assert!(client.connect(server.here, "no.example").await.is_err());
    }
}

#[tokio::test]
async fn it_is_the_same_over_ipv6() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["::1"]);
    let settings = Settings {
        tls: vec!["[::1]:0".parse().unwrap()],
        ..Settings::default()
    };
    let mut server = Server::with(&tls(&[&files]), settings);
    let client = Client::new(&authority);
    let mut stream = client.connect(server.here, "::1").await.unwrap();
    stream.write_all(&options("[::1]", "1")).await.unwrap();
    let (flow, _) = server.request().await;
    assert!(flow.remote.is_ipv6());
    server.net.send(flow, OK.to_vec());
    assert_eq!(read(&mut stream, OK.len()).await, OK);
}

#[tokio::test]
async fn version_1_2_can_be_refused() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["127.0.0.1"]);
    let server = Server::start(&TlsSettings {
        only_1_3: true,
        ..tls(&[&files])
    });
    let old = Client::with(&authority, &[&TLS12], None);
    assert!(old.connect(server.here, "127.0.0.1").await.is_err());
    let new = Client::with(&authority, &[&TLS13], None);
    new.connect(server.here, "127.0.0.1").await.unwrap();
    assert_eq!(server.net.stats().handshakes_failed, 1);
}

#[tokio::test]
async fn certificates_are_exchanged_while_connections_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (
        Authority::new(directory.path(), "old"),
        Authority::new(directory.path(), "new"),
    );
    let mut server = Server::start(&tls(&[&old.issue("a", &["127.0.0.1"])]));
    let mut before = Client::new(&old)
        .connect(server.here, "127.0.0.1")
        .await
        .unwrap();
    let settings = tls(&[&new.issue("b", &["127.0.0.1"])]);
    server
        .security
        .replace(&Tls::load(&settings, true).unwrap());
    let after = Client::new(&new).connect(server.here, "127.0.0.1").await;
    assert!(after.is_ok());
    let with_old = Client::new(&old).connect(server.here, "127.0.0.1").await;
    assert!(with_old.is_err(), "the old certificate is gone");
    before.write_all(&options("127.0.0.1", "1")).await.unwrap();
    server.request().await;
}

#[tokio::test]
async fn clients_prove_themselves_where_that_is_required() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new(directory.path(), "ours");
    let theirs = Authority::new(directory.path(), "theirs");
    let files = ours.issue("server", &["127.0.0.1"]);
    let (known, unknown) = (ours.issue("client", &["c"]), theirs.issue("other", &["c"]));
    let both: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
    for (mode, without) in [
        (ClientCertificates::Required, false),
        (ClientCertificates::Optional, true),
    ] {
        let mut server = Server::start(&TlsSettings {
            client_certificates: mode,
            client_ca: Some(ours.file.clone()),
            ..tls(&[&files])
        });
        let cases = [
            (Some(&known), true),
            (Some(&unknown), false),
            (None, without),
        ];
        for (own, welcome) in cases {
            let client = Client::with(&ours, both, own);
            let got = talk(&client, server.here).await;
            assert_eq!(got, welcome, "{mode:?} {own:?}");
            if welcome {
                server.request().await;
            }
        }
    }
}

/// Whether a request gets through. With TLS 1.3 a client learns of its refusal when it reads.
async fn talk(client: &Client, to: SocketAddr) -> bool {
    let Ok(mut stream) = client.connect(to, "127.0.0.1").await else {
        return false;
    };
    let ping = [&options("127.0.0.1", "1")[..], b"\r\n\r\n"].concat();
    let sent = stream.write_all(&ping).await;
    let mut pong = [0; 2];
    sent.is_ok() && matches!(timeout(LONG, stream.read_exact(&mut pong)).await, Ok(Ok(_)))
}

#[tokio::test]
async fn a_proven_peer_is_called_back_on_its_own_connection() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["127.0.0.1"]);
    let own = authority.issue("client", &["phone.example"]);
    let mut server = Server::start(&TlsSettings {
        client_certificates: ClientCertificates::Optional,
        client_ca: Some(authority.file.clone()),
        ..tls(&[&files])
    });
    let at = "127.0.0.1:45061".parse().unwrap();
    let both: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
    for (own, reused) in [(None, false), (Some(&own), true)] {
        let client = Client::with(&authority, both, own);
        let mut stream = client.connect(server.here, "127.0.0.1").await.unwrap();
        let message = options("127.0.0.1:45061;alias", "1");
        stream.write_all(&message).await.unwrap();
        server.request().await;
        // Its word is good for the name that it has proven, and for no other at that address: there a
        // connection is opened, to where nobody listens.
        for host in [None, Some("trunk.example")] {
            let flow = server.path(at, host);
            server.net.send(flow, OK.to_vec());
            assert_eq!(server.failed().await, flow);
        }
        let flow = server.path(at, Some("phone.example"));
        server.net.send(flow, OK.to_vec());
        if reused {
            assert_eq!(read(&mut stream, OK.len()).await, OK);
        } else {
            assert_eq!(server.failed().await, flow);
        }
    }
}

#[tokio::test]
async fn we_connect_to_whom_we_can_prove() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["sip.example"]);
    let mut server = Server::start(&tls(&[&files]));
    let (caller, mut events) = calling(&authority);
    // The certificate names neither the address nor another host.
    for host in [None, Some("other.example")] {
        let flow = path(&caller, server.here, host);
        caller.send(flow, options("127.0.0.1", "1"));
        let failed = timeout(LONG, events.recv()).await.unwrap().unwrap();
        assert!(
            matches!(failed, NetEvent::Failed(failed) if to(failed) == flow),
            "{failed:?}"
        );
    }
    let flow = path(&caller, server.here, Some("sip.example"));
    caller.send(flow, options("127.0.0.1", "2"));
    let (of_server, request) = server.request().await;
    assert_eq!(request.headers.call_id().unwrap(), "2");
    server.net.send(of_server, OK.to_vec());
    let answer = timeout(LONG, events.recv()).await.unwrap().unwrap();
    assert!(matches!(answer, NetEvent::Message { flow, .. } if flow.remote == server.here));
}

/// Two names that lead to one address: each is checked for itself, at once and one after the other.
#[tokio::test]
async fn a_connection_is_used_for_the_host_that_it_was_checked_for() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["a.example"]);
    let mut server = Server::start(&tls(&[&files]));
    let (caller, mut events) = calling(&authority);
    let a = path(&caller, server.here, Some("a.example"));
    let b = path(&caller, server.here, Some("b.example"));
    let mut connection = None;
    for (first, second) in [(a, b), (b, a)] {
        for flow in [first, second] {
            let whose = if flow == a { "a" } else { "b" };
            caller.send(flow, options("127.0.0.1", whose));
        }
        let (of_server, request) = server.request().await;
        assert_eq!(request.headers.call_id().unwrap(), "a");
        let known = *connection.get_or_insert(of_server);
        assert_eq!(of_server, known, "the connection is used again");
        let failed = timeout(LONG, events.recv()).await.unwrap().unwrap();
        assert!(
            matches!(failed, NetEvent::Failed(failed) if to(failed) == b),
            "{failed:?}"
        );
    }
}

/// 1,000 who begin a handshake and stop: each is cut off in its time, and nobody else waits.
#[tokio::test]
async fn stalled_handshakes_are_cut_off_and_hold_nobody_up() {
    const STALLED: usize = 1000;
    sys::raise_nofile().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["127.0.0.1"]);
    let settings = Settings {
        message_time: Duration::from_secs(2),
        tcp_connections_per_address: STALLED + 10,
        handshakes: 2 * STALLED + 20,
        handshakes_per_second_per_source: 0,
        ..Settings::default()
    };
    let mut server = Server::with(&tls(&[&files]), settings);
    let mut stalled = Vec::new();
    for n in 0..STALLED {
        let mut stream = TcpStream::connect(server.here).await.unwrap();
        // Half of them not even a byte; a record that never ends from the others.
        if n % 2 == 0 {
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
        }
        stalled.push(stream);
    }
    let began = Instant::now();
    let mut stream = Client::new(&authority)
        .connect(server.here, "127.0.0.1")
        .await
        .unwrap();
    stream.write_all(&options("127.0.0.1", "1")).await.unwrap();
    let (flow, _) = server.request().await;
    server.net.send(flow, OK.to_vec());
    assert_eq!(read(&mut stream, OK.len()).await, OK);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    for stream in &mut stalled {
        let mut rest = [0; 64];
        let ended = timeout(LONG, stream.read(&mut rest)).await.unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    assert_eq!(server.net.stats().tcp_timed_out, STALLED as u64);
    assert_eq!(server.net.connections(), 1);
}

/// Whether a handshake gets through from an address.
async fn shakes(client: &Client, from: &str, to: SocketAddr) -> bool {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    let stream = socket.connect(to).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = TlsConnector::from(Arc::new(client.config.clone()));
    let shaken = timeout(LONG, connector.connect(name, stream)).await;
    shaken.unwrap().is_ok()
}

/// One address that shakes hands without end is turned away; another and a trusted one are not.
#[tokio::test]
async fn handshakes_are_bounded_per_second_and_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("server", &["127.0.0.1"]);
    let settings = Settings {
        tls: vec!["0.0.0.0:0".parse().unwrap()],
        access: AccessLists {
            trusted: vec!["127.0.0.3/32".parse().unwrap()],
            ..AccessLists::default()
        },
        handshakes: 8,
        handshakes_per_second_per_source: 10,
        message_time: Duration::from_secs(2),
        ..Settings::default()
    };
    let mut server = Server::with(&tls(&[&files]), settings);
    server.here.set_ip([127, 0, 0, 1].into());
    let client = Client::new(&authority);
    let (here, client) = (server.here, &client);
    let many = async |from: &'static str| {
        let mut through = 0;
        for _ in 0..40 {
            through += usize::from(shakes(client, from, here).await);
        }
        through
    };
    let began = Instant::now();
    let through = many("127.0.0.2").await;
    let allowed = 10 + began.elapsed().as_millis() as usize / 100 + 1;
    assert!((10..=allowed).contains(&through), "{through} of {allowed}");
    let refused = server.net.stats().handshakes_refused;
    assert_eq!(refused, 40 - through as u64);
    assert_eq!(many("127.0.0.3").await, 40, "trusted");
    assert_eq!(server.net.stats().handshakes_refused, refused);
    // Four that stall are half of what there may be at once.
    let mut stalled = Vec::new();
    for _ in 0..6 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.4:0".parse().unwrap()).unwrap();
        stalled.push(socket.connect(here).await.unwrap());
    }
    assert!(!shakes(client, "127.0.0.4", here).await);
    assert!(shakes(client, "127.0.0.5", here).await);
    let mut byte = [0];
    let turned_away = timeout(LONG, stalled[4].read(&mut byte)).await.unwrap();
    assert!(matches!(turned_away, Ok(0) | Err(_)));
    // Their time over, there is room again.
    timeout(LONG, stalled[0].read(&mut byte))
        .await
        .unwrap()
        .unwrap();
    assert!(shakes(client, "127.0.0.4", here).await);
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let (one, two) = (
        authority.issue("one", &["a"]),
        authority.issue("two", &["b"]),
    );
    let told = |settings: &TlsSettings| Tls::load(settings, true).unwrap_err().to_string();
    let mixed = Files {
        chain: one.chain.clone(),
        key: two.key.clone(),
    };
    let text = told(&tls(&[&mixed]));
    assert!(
        text.contains("two.key: the key does not fit") && text.contains("one.pem"),
        "{text}"
    );
    let swapped = Files {
        chain: one.key.clone(),
        key: one.chain.clone(),
    };
    let text = told(&tls(&[&swapped]));
    assert!(text.contains("one.pem: no private key in PEM"), "{text}");
    let missing = Files {
        chain: directory.path().join("none.pem"),
        key: one.key.clone(),
    };
    let text = told(&tls(&[&missing]));
    assert!(text.contains("none.pem: no certificate in PEM"), "{text}");
    let error = Tls::load(&TlsSettings::default(), true).unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate));
    assert!(Tls::load(&TlsSettings::default(), false).is_ok());
}
