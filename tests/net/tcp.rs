//! SIP over TCP: framing on the wire, limits, times, connections on demand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use antiphon::net::gate::{AccessLists, AccessRule};
use antiphon::net::sip::{Net, NetEvent, Settings};
use antiphon::sip::message::{Message, Request};
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(super) const LONG: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(150);
const OK: &[u8] = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";

pub(super) fn options(call_id: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\n\
         From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub(super) fn settings() -> Settings {
    Settings {
        tcp: vec!["127.0.0.1:0".parse().unwrap()],
        ..Settings::default()
    }
}

pub(super) struct Server {
    pub(super) net: Net,
    events: mpsc::Receiver<NetEvent>,
    pub(super) here: SocketAddr,
}

impl Server {
    pub(super) fn start(settings: Settings) -> Self {
        Self::with_capacity(settings, 16)
    }

    fn with_capacity(settings: Settings, capacity: usize) -> Self {
        let (sender, events) = mpsc::channel(capacity);
        let net = Net::bind(settings, sender).unwrap();
        let here = net.listening()[0].1;
        Self { net, events, here }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.here).await.unwrap()
    }

    async fn next(&mut self) -> NetEvent {
        timeout(LONG, self.events.recv()).await.unwrap().unwrap()
    }

    pub(super) async fn request(&mut self) -> (Flow, Request) {
        match self.next().await {
            NetEvent::Message {
                flow,
                message: Message::Request(request),
            } => (flow, request),
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn closed(&mut self) -> ConnectionId {
        match self.next().await {
            NetEvent::Closed { connection } => connection,
            other => panic!("{other:?}"),
        }
    }
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(LONG, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

/// A path as it was before there was a connection.
fn to(flow: Flow) -> Flow {
    Flow {
        connection: None,
        ..flow
    }
}

/// Reads until the other side closes.
pub(super) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset also is an end.
    let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_request_is_answered_on_its_connection_on_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let mut server = Server::start(Settings {
            tcp: vec![address.parse().unwrap()],
            ..Settings::default()
        });
        let host = if server.here.is_ipv4() {
            "127.0.0.1"
        } else {
            "::1"
        };
        server.here.set_ip(host.parse().unwrap());
        let mut client = server.connect().await;
        client.write_all(&options("1", "")).await.unwrap();
        let (flow, _) = server.request().await;
        assert_eq!(flow.transport, Transport::Tcp);
        assert_eq!(flow.local, server.here);
        assert_eq!(flow.remote, client.local_addr().unwrap());
        server.net.send(flow, OK.to_vec());
        assert_eq!(read(&mut client, OK.len()).await, OK);
    }
}

#[tokio::test]
async fn messages_come_whole_however_they_are_cut() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    client.set_nodelay(true).unwrap();

    // Two and a half in one segment, then the rest.
    let third = options("3", "third");
    let (head, tail) = third.split_at(third.len() / 2);
    let segment = [&options("1", "first")[..], &options("2", "")[..], head].concat();
    client.write_all(&segment).await.unwrap();
    assert_eq!(server.request().await.1.body, b"first");
    assert_eq!(server.request().await.1.body, b"");
    client.write_all(tail).await.unwrap();
    assert_eq!(server.request().await.1.body, b"third");

    // One byte at a time.
    for byte in options("4", "fourth") {
        client.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(server.request().await.1.body, b"fourth");
    assert_eq!(server.net.connections(), 1);
}

#[tokio::test]
async fn a_ping_is_answered_by_a_pong() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    client.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut client, 2).await, b"\r\n");
    client.write_all(&options("1", "")).await.unwrap();
    server.request().await;
}

#[tokio::test]
async fn malformed_framing_is_answered_and_then_closed() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    let text = String::from_utf8(options("1", "")).unwrap();
    let bad = text.replace("Content-Length: 0", "Content-Length: -5");
    client.write_all(bad.as_bytes()).await.unwrap();
    let NetEvent::Malformed { flow, error } = server.next().await else {
        panic!()
    };
    assert_eq!(error.status, 400);
    // What follows can no longer be told apart, and unread it must not reset the answer away.
    client.write_all(&options("2", "")).await.unwrap();
    server.net.send(flow, OK.to_vec());
    let mut got = Vec::new();
    timeout(LONG, client.read_to_end(&mut got))
        .await
        .unwrap()
        .expect("no reset");
    assert_eq!(got, OK);
    drop(client);
    assert_eq!(Some(server.closed().await), flow.connection);
    assert_eq!(server.net.stats().tcp_malformed, 1);
}

#[tokio::test]
async fn the_control_side_may_close_once_all_is_sent() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    client.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    let start = Instant::now();
    server.net.send(flow, OK.to_vec());
    server.net.close_after(flow.connection.unwrap());
    assert_eq!(read_to_end(&mut client).await, OK);
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(client);
    server.closed().await;
    // Another one is tried, and cannot be had.
    let tried = server.net.send(flow, OK.to_vec());
    assert!(tried.is_some() && tried != flow.connection);
    let to = Flow {
        connection: tried,
        ..flow
    };
    assert!(matches!(server.next().await, NetEvent::Failed(failed) if failed == to));
}

#[tokio::test]
async fn a_request_over_the_limit_gets_513() {
    let mut server = Server::start(Settings {
        max_message: 1000,
        ..settings()
    });
    let mut client = server.connect().await;
    client
        .write_all(&options("1", &"x".repeat(1000)))
        .await
        .unwrap();
    let NetEvent::Malformed { error, .. } = server.next().await else {
        panic!()
    };
    assert_eq!(error.status, 513);
}

#[tokio::test]
async fn the_answer_reaches_a_peer_that_has_closed_its_direction() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    client.write_all(&options("1", "")).await.unwrap();
    client.shutdown().await.unwrap();
    let (flow, _) = server.request().await;
    // Until the server has seen the end too, which nothing tells.
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.net.send(flow, OK.to_vec());
    assert_eq!(read_to_end(&mut client).await, OK);
    assert_eq!(Some(server.closed().await), flow.connection);
    assert_eq!(server.net.connections(), 0);
}

#[tokio::test]
async fn a_message_that_trickles_in_is_cut_off_in_time() {
    let mut server = Server::start(Settings {
        message_time: SHORT,
        ..settings()
    });
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let mut good = server.connect().await;
    good.write_all(&options("1", "")).await.unwrap();
    server.request().await;
    slow.write_all(&options("2", "")).await.unwrap();
    server.request().await;

    // A byte now and then does not buy more time.
    let start = Instant::now();
    let trickle = async {
        for byte in options("3", "").into_iter().cycle() {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(LONG, trickle).await.unwrap();
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
    server.closed().await;
    assert_eq!(read_to_end(&mut silent).await, b"");
    assert_eq!(server.net.stats().tcp_timed_out, 2);

    // Between messages a connection may be idle for longer than a message may take.
    good.write_all(&options("4", "")).await.unwrap();
    server.request().await;
}

/// Who has spoken SIP is kept by pings; who has not has the time of a message, pings or not.
#[tokio::test]
async fn an_idle_connection_is_closed_and_keep_alives_prevent_it() {
    let idle_time = Duration::from_secs(1);
    let mut server = Server::start(Settings {
        idle: idle_time,
        message_time: idle_time * 3 / 4,
        ..settings()
    });
    let mut idle = server.connect().await;
    let mut kept = server.connect().await;
    let mut dumb = server.connect().await;
    for spoken in [&mut idle, &mut kept] {
        spoken.write_all(&options("1", "")).await.unwrap();
        server.request().await;
    }
    idle.write_all(b"\r\n\r\n").await.unwrap();
    let start = Instant::now();
    let mut dumb_until = None;
    while start.elapsed() < idle_time * 3 / 2 {
        kept.write_all(b"\r\n\r\n").await.unwrap();
        if dumb.write_all(b"\r\n\r\n").await.is_err() {
            dumb_until.get_or_insert(start.elapsed());
        }
        tokio::time::sleep(idle_time / 20).await;
    }
    assert_eq!(read_to_end(&mut idle).await, b"\r\n");
    assert!(dumb_until.is_some(), "pings alone are no SIP");
    server.closed().await;
    kept.write_all(&options("2", "")).await.unwrap();
    assert_eq!(server.request().await.1.headers.call_id().unwrap(), "2");
    assert_eq!(server.net.stats().tcp_timed_out, 2);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let mut server = Server::start(settings());
    let mut stalled = server.connect().await;
    stalled.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    let start = Instant::now();
    // More than the kernel's buffers and the queue hold.
    for _ in 0..400 {
        server.net.send(flow, vec![b'x'; 60_000]);
        tokio::task::yield_now().await;
    }
    assert!(start.elapsed() < LONG);
    let mut closed = false;
    while !closed {
        match server.next().await {
            NetEvent::Failed(failed) => assert_eq!(failed, flow),
            NetEvent::Closed { connection } => closed = Some(connection) == flow.connection,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.net.stats().tcp_slow_readers, 1);
    let mut other = server.connect().await;
    other.write_all(&options("2", "")).await.unwrap();
    while !matches!(server.next().await, NetEvent::Message { .. }) {}
}

#[tokio::test]
async fn a_peer_that_does_not_read_one_message_is_closed_in_time() {
    let mut server = Server::start(Settings {
        message_time: SHORT,
        ..settings()
    });
    let mut stalled = server.connect().await;
    stalled.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    server.net.send(flow, vec![b'x'; 20_000_000]);
    assert_eq!(Some(server.closed().await), flow.connection);
    assert_eq!(server.net.stats().tcp_slow_readers, 1);
}

#[tokio::test]
async fn a_busy_control_side_slows_the_peer_and_loses_nothing() {
    let mut server = Server::with_capacity(settings(), 1);
    let mut client = server.connect().await;
    let body = "x".repeat(10_000);
    let writer = tokio::spawn(async move {
        for i in 0..2000 {
            client
                .write_all(&options(&i.to_string(), &body))
                .await
                .unwrap();
        }
        client
    });
    for i in 0..2000 {
        let (_, request) = server.request().await;
        assert_eq!(request.headers.call_id().unwrap(), i.to_string());
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_connection_is_opened_on_demand_and_reused() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = Server::start(settings());
    let remote = peer.local_addr().unwrap();
    let flow = server.net.flow_to(Transport::Tcp, remote).unwrap();
    assert_eq!(flow.local, server.here);
    server.net.send(flow, options("1", ""));
    server.net.send(flow, options("2", ""));
    let (mut stream, _) = timeout(LONG, peer.accept()).await.unwrap().unwrap();
    let both = [options("1", ""), options("2", "")].concat();
    assert_eq!(read(&mut stream, both.len()).await, both);

    // What the peer sends arrives with the connection's identity, and answers go back on it.
    stream.write_all(&options("3", "")).await.unwrap();
    let (back, _) = server.request().await;
    assert_eq!(back.remote, remote);
    server.net.send(back, OK.to_vec());
    assert_eq!(read(&mut stream, OK.len()).await, OK);
    assert_eq!(server.net.connections(), 1);

    // Once closed, the next message opens another.
    drop(stream);
    assert_eq!(Some(server.closed().await), back.connection);
    server.net.send(flow, options("4", ""));
    timeout(LONG, peer.accept()).await.unwrap().unwrap();
}

/// A dispatcher with nothing behind it, or an access list: who sent something hears of the end.
#[tokio::test]
async fn the_end_of_a_connection_names_the_one_that_a_message_went_on() {
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = Server::start(settings());
    let remote = peer.local_addr().unwrap();
    let flow = server.net.flow_to(Transport::Tcp, remote).unwrap();
    let message = options("1", "");
    let opened = server.net.send(flow, message.clone());
    assert!(opened.is_some());
    assert_eq!(server.net.send(flow, message.clone()), opened);
    let (mut stream, _) = timeout(LONG, peer.accept()).await.unwrap().unwrap();
    read(&mut stream, 2 * message.len()).await;
    drop(stream);
    assert_eq!(Some(server.closed().await), opened);
    // Who names one that has ended is told of the one in its place.
    let named = Flow {
        connection: opened,
        ..flow
    };
    let next = server.net.send(named, message);
    assert!(next.is_some() && next != opened);
}

#[tokio::test]
async fn the_end_of_a_connection_that_nobody_knows_of_is_not_told() {
    let mut server = Server::start(settings());
    let mut silent = server.connect().await;
    silent.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut silent, 2).await, b"\r\n");
    drop(silent);
    let gone = async {
        while server.net.connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, gone).await.unwrap();
    let mut client = server.connect().await;
    client.write_all(&options("1", "")).await.unwrap();
    // The first that is told.
    server.request().await;
}

#[tokio::test]
async fn an_accepted_connection_is_reused_by_its_remote_address() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    client.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    server.net.send(
        Flow {
            connection: None,
            ..flow
        },
        OK.to_vec(),
    );
    assert_eq!(read(&mut client, OK.len()).await, OK);
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_fails_its_flow() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let remote = gone.local_addr().unwrap();
    drop(gone);
    let mut server = Server::start(settings());
    let flow = server.net.flow_to(Transport::Tcp, remote).unwrap();
    let opened = server.net.send(flow, OK.to_vec());
    let NetEvent::Failed(failed) = server.next().await else {
        panic!()
    };
    assert_eq!((failed.connection, to(failed)), (opened, flow));
    assert_eq!(server.net.connections(), 0);
}

#[tokio::test]
async fn a_connection_that_does_not_open_in_time_fails_its_flow() {
    // A listener whose backlog is full drops SYNs.
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let remote = full.local_addr().unwrap();
    let full = full.listen(1).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(SHORT, TcpStream::connect(remote)).await {
        waiting.push(stream.unwrap());
    }
    let mut server = Server::start(Settings {
        connect_time: SHORT,
        ..settings()
    });
    let flow = server.net.flow_to(Transport::Tcp, remote).unwrap();
    let opened = server.net.send(flow, OK.to_vec());
    let NetEvent::Failed(failed) = server.next().await else {
        panic!()
    };
    assert_eq!((failed.connection, to(failed)), (opened, flow));
    assert_eq!(server.net.connections(), 0);
    drop(full);
}

#[tokio::test]
async fn dropping_it_sends_what_is_queued_and_closes() {
    let mut server = Server::start(settings());
    let mut client = server.connect().await;
    client.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    for _ in 0..10 {
        server.net.send(flow, OK.to_vec());
    }
    let Server { net, here, .. } = server;
    drop(net);
    assert_eq!(read_to_end(&mut client).await, OK.repeat(10));
    drop(client);
    timeout(LONG, async {
        while TcpStream::connect(here).await.is_ok() {}
    })
    .await
    .unwrap();
}

/// 1,000 that send half a message and stop, beside one that does not.
#[tokio::test]
async fn half_messages_are_cut_off_and_hold_nobody_up() {
    const STALLED: usize = 1000;
    antiphon::net::sys::raise_nofile().unwrap();
    let mut server = Server::start(Settings {
        message_time: Duration::from_secs(2),
        tcp_connections_per_address: STALLED + 10,
        ..settings()
    });
    let whole = options("half", "body");
    let mut stalled = Vec::new();
    for n in 0..STALLED {
        let mut stream = server.connect().await;
        let half = &whole[..whole.len() * (n % 10) / 10];
        stream.write_all(half).await.unwrap();
        stalled.push(stream);
    }
    let began = Instant::now();
    let mut client = server.connect().await;
    client.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    server.net.send(flow, OK.to_vec());
    assert_eq!(read(&mut client, OK.len()).await, OK);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let Server {
        net, mut events, ..
    } = server;
    let draining = tokio::spawn(async move { while events.recv().await.is_some() {} });
    for stream in &mut stalled {
        assert_eq!(read_to_end(stream).await, b"");
    }
    assert_eq!(net.stats().tcp_timed_out, STALLED as u64);
    draining.abort();
}

fn denied(transport: Transport) -> AccessLists {
    AccessLists {
        trusted: Vec::new(),
        rules: vec![AccessRule {
            transport: Some(transport),
            allow: Vec::new(),
            deny: vec!["127.0.0.0/8".parse().unwrap()],
        }],
    }
}

/// A network that is denied while its connections are open loses them; whom we have called answers
/// on.
#[tokio::test]
async fn connections_of_who_is_denied_meanwhile_end() {
    let mut server = Server::start(settings());
    let mut accepted = server.connect().await;
    accepted.write_all(&options("1", "")).await.unwrap();
    let (flow, _) = server.request().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap();
    let called = server.net.flow_to(Transport::Tcp, there).unwrap();
    server.net.send(called, options("2", ""));
    let (mut opened, _) = listener.accept().await.unwrap();
    server.net.set_access(denied(Transport::Tls));
    accepted.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut accepted, 2).await, b"\r\n", "another transport");
    server.net.set_access(denied(Transport::Tcp));
    assert!(read_to_end(&mut accepted).await.is_empty());
    assert_eq!(Some(server.closed().await), flow.connection);
    assert!(read_to_end(&mut server.connect().await).await.is_empty());
    opened.write_all(OK).await.unwrap();
    opened.write_all(&options("3", "")).await.unwrap();
    loop {
        if let NetEvent::Message { message, .. } = server.next().await
            && matches!(message, Message::Request(_))
        {
            break;
        }
    }
}
