//! SIP over UDP: flows, several listeners, keep-alives, size, a control side that is busy.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;

use antiphon::net::queues::queues;
use antiphon::net::resolve::Target;
use antiphon::net::sip::{Net, NetError, NetEvent, Settings};
use antiphon::server::flows;
use antiphon::sip::message::Message;
use antiphon::sip::transport::{Flow, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(5);

fn options(body_length: usize) -> Vec<u8> {
    let head = format!(
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n\
         From: <sip:b@127.0.0.1>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: 1\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: {body_length}\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + body_length, b'x');
    bytes
}

fn udp(addresses: &[&str]) -> Settings {
    Settings {
        udp: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        ..Settings::default()
    }
}

fn bind(settings: Settings) -> (Net, mpsc::Receiver<NetEvent>) {
    let (sender, events) = mpsc::channel(16);
    (Net::bind(settings, sender).unwrap(), events)
}

async fn next(events: &mut mpsc::Receiver<NetEvent>) -> NetEvent {
    timeout(LONG, events.recv()).await.unwrap().unwrap()
}

async fn message(events: &mut mpsc::Receiver<NetEvent>) -> (Flow, Message) {
    match next(events).await {
        NetEvent::Message { flow, message } => (flow, message),
        other => panic!("{other:?}"),
    }
}

async fn received(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = timeout(LONG, socket.recv_from(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    buffer.truncate(length);
    (buffer, from)
}

#[tokio::test]
async fn the_reply_leaves_from_the_socket_that_the_request_came_to() {
    let listeners = ["0.0.0.0:0", "127.0.0.1:0", "[::]:0", "[::1]:0"];
    let (net, mut events) = bind(udp(&listeners));
    let listening = net.listening();
    assert_eq!(listening.len(), 4);
    for (transport, bound) in listening {
        assert_eq!(transport, Transport::Udp);
        let host = if bound.is_ipv4() { "127.0.0.1" } else { "::1" };
        let here: SocketAddr = SocketAddr::new(host.parse().unwrap(), bound.port());
        let client = UdpSocket::bind((host, 0)).await.unwrap();
        client.send_to(&options(0), here).await.unwrap();
        let (flow, _) = message(&mut events).await;
        let expected = Flow {
            transport: Transport::Udp,
            local: here,
            remote: client.local_addr().unwrap(),
            connection: None,
            host: None,
        };
        assert_eq!(flow, expected);
        net.send(flow, b"SIP/2.0 200 OK\r\n\r\n".to_vec());
        let (bytes, from) = received(&client).await;
        assert_eq!((&bytes[..], from), (&b"SIP/2.0 200 OK\r\n\r\n"[..], here));
    }
}

#[tokio::test]
async fn a_wildcard_socket_answers_from_the_address_that_it_was_spoken_to_at() {
    let (net, mut events) = bind(udp(&["0.0.0.0:0"]));
    let port = net.listening()[0].1.port();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // The route back to the client would have us answer from 127.0.0.1.
    for host in ["127.0.0.4", "127.0.0.5", "127.0.0.1"] {
        let here: SocketAddr = SocketAddr::new(host.parse().unwrap(), port);
        client.send_to(&options(0), here).await.unwrap();
        let (flow, _) = message(&mut events).await;
        assert_eq!(flow.local, here);
        net.send(flow, b"SIP/2.0 200 OK\r\n\r\n".to_vec());
        assert_eq!(received(&client).await.1, here);
    }
}

#[tokio::test]
async fn a_datagram_of_full_size_is_read() {
    let (net, mut events) = bind(udp(&["127.0.0.1:0"]));
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut bytes = options(65_000);
    bytes.truncate(bytes.len() - 65_000);
    let body = 65_507 - bytes.len();
    let bytes = options(body);
    assert_eq!(bytes.len(), 65_507);
    client.send_to(&bytes, net.listening()[0].1).await.unwrap();
    let (flow, got) = message(&mut events).await;
    let Message::Request(request) = got else {
        panic!()
    };
    assert_eq!(request.body.len(), body);
    net.send(flow, bytes.clone());
    assert_eq!(received(&client).await.0, bytes);
}

#[tokio::test]
async fn a_request_over_the_limit_gets_513() {
    let mut settings = udp(&["127.0.0.1:0"]);
    settings.max_message = 1000;
    let (net, mut events) = bind(settings);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client
        .send_to(&options(1000), net.listening()[0].1)
        .await
        .unwrap();
    let NetEvent::Malformed { error, .. } = next(&mut events).await else {
        panic!()
    };
    assert_eq!(error.status, 513);
    assert!(error.request.is_some());
}

#[tokio::test]
async fn keep_alives_are_ignored_and_garbage_is_reported() {
    let (net, mut events) = bind(udp(&["127.0.0.1:0"]));
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let here = net.listening()[0].1;
    let stun = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    for other in [&b"\r\n\r\n"[..], b"\r\n", b"", b"\0", &stun] {
        client.send_to(other, here).await.unwrap();
    }
    client.send_to(b"what is this\r\n\r\n", here).await.unwrap();
    client.send_to(&options(0), here).await.unwrap();
    assert!(matches!(
        next(&mut events).await,
        NetEvent::Malformed { .. }
    ));
    message(&mut events).await;
    assert_eq!((net.stats().udp_ignored, net.stats().udp_received), (5, 7));
}

#[tokio::test]
async fn a_busy_control_side_loses_datagrams_that_are_counted() {
    let (sender, mut events) = mpsc::channel(2);
    let net = Net::bind(udp(&["127.0.0.1:0"]), sender).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..5 {
        client
            .send_to(&options(0), net.listening()[0].1)
            .await
            .unwrap();
    }
    timeout(LONG, async {
        while net.stats().udp_received < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(net.stats().udp_dropped, 3);
    for _ in 0..2 {
        message(&mut events).await;
    }
    client
        .send_to(&options(0), net.listening()[0].1)
        .await
        .unwrap();
    message(&mut events).await;
}

#[tokio::test]
async fn a_flow_to_a_peer_names_the_listener_that_it_leaves_from() {
    let (net, _events) = bind(udp(&["0.0.0.0:0", "[::1]:0"]));
    let listening = net.listening();
    let flow = net
        .flow_to(Transport::Udp, "127.0.0.1:5070".parse().unwrap())
        .unwrap();
    assert_eq!(
        flow.local,
        SocketAddr::new("127.0.0.1".parse().unwrap(), listening[0].1.port())
    );
    let flow = net
        .flow_to(Transport::Udp, "[::1]:5070".parse().unwrap())
        .unwrap();
    assert_eq!(flow.local, listening[1].1);
    let local = net.local_address_for("127.0.0.1".parse().unwrap()).unwrap();
    assert_eq!(local, "127.0.0.1".parse::<std::net::IpAddr>().unwrap());
}

/// A place that there is no way to hides none behind it.
#[tokio::test]
async fn the_first_place_of_a_name_need_not_be_within_reach() {
    let (net, _events) = bind(udp(&["127.0.0.1:0"]));
    let target = |address: &str| Target {
        transport: Transport::Udp,
        address: address.parse().unwrap(),
    };
    let [none, one, two] = ["[::1]:5060", "127.0.0.1:5060", "127.0.0.1:5070"].map(target);
    let uri = "sip:1@pbx.example".parse().unwrap();
    let (first, others) = flows(&net, &uri, &[none, one, two]).unwrap();
    assert_eq!(first.remote, one.address);
    let others: Vec<_> = others.iter().map(|flow| flow.remote).collect();
    assert_eq!(others, [two.address]);
    let error = flows(&net, &uri, &[none]).unwrap_err().to_string();
    assert!(error.starts_with("no route to [::1]:5060: "), "{error}");
}

#[tokio::test]
async fn what_cannot_be_sent_fails_its_flow() {
    let (net, mut events) = bind(udp(&["127.0.0.1:0"]));
    let local = net.listening()[0].1;
    let too_long = Flow {
        transport: Transport::Udp,
        local,
        remote: "127.0.0.1:9".parse().unwrap(),
        connection: None,
        host: None,
    };
    net.send(too_long, vec![b'x'; 65_508]);
    assert!(matches!(next(&mut events).await, NetEvent::Failed(flow) if flow == too_long));
    let elsewhere = Flow {
        local: "[::1]:5060".parse().unwrap(),
        ..too_long
    };
    net.send(elsewhere, b"x".to_vec());
    assert!(matches!(next(&mut events).await, NetEvent::Failed(flow) if flow == elsewhere));
    assert_eq!(net.stats().udp_send_failed, 2);
}

#[tokio::test]
async fn a_listener_survives_a_peer_that_is_not_there() {
    let (net, mut events) = bind(udp(&["127.0.0.1:0"]));
    let gone = StdSocket::bind("127.0.0.1:0").unwrap();
    let remote = gone.local_addr().unwrap();
    drop(gone);
    let flow = net.flow_to(Transport::Udp, remote).unwrap();
    for _ in 0..3 {
        net.send(flow, options(0));
    }
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client
        .send_to(&options(0), net.listening()[0].1)
        .await
        .unwrap();
    message(&mut events).await;
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let (net, _events) = bind(udp(&["127.0.0.1:0"]));
    let taken = net.listening()[0].1;
    for settings in [
        Settings {
            udp: vec![taken],
            ..Settings::default()
        },
        Settings {
            udp: vec!["192.0.2.1:5060".parse().unwrap()],
            ..Settings::default()
        },
    ] {
        let address = settings.udp[0];
        let Err(error) = Net::bind(settings, mpsc::channel(1).0) else {
            panic!()
        };
        let text = error.to_string();
        assert!(text.contains(&format!("UDP {address}")), "{text}");
        let NetError::Bind { error, .. } = error;
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => "another port",
            _ => "0.0.0.0",
        };
        assert!(text.contains(advice), "{text}");
    }
}

#[tokio::test]
async fn dropping_it_frees_the_ports() {
    let (net, _events) = bind(udp(&["127.0.0.1:0"]));
    let here = net.listening()[0].1;
    drop(net);
    timeout(LONG, async {
        while StdSocket::bind(here).is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

/// Neither a flood of datagrams nor streams that send without pause keep the other out.
#[tokio::test]
async fn datagrams_and_streams_do_not_take_each_others_room() {
    let settings = Settings {
        tcp: vec!["127.0.0.1:0".parse().unwrap()],
        ..udp(&["127.0.0.1:0"])
    };
    let (queues, mut inbox) = queues(8, 8);
    let net = Net::bind(settings, queues).unwrap();
    let [(_, udp), (_, tcp)] = net.listening()[..] else {
        panic!("two listeners");
    };
    let flooder = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..50 {
        flooder.send_to(&options(0), udp).await.unwrap();
    }
    let mut talkers = Vec::new();
    for _ in 0..4 {
        let mut talker = TcpStream::connect(tcp).await.unwrap();
        talker.write_all(&options(0).repeat(50)).await.unwrap();
        talkers.push(talker);
    }
    timeout(LONG, async {
        while net.stats().udp_dropped < 42 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    // Both wait; each has every other turn, and each connection its own.
    let mut of_udp = Vec::new();
    let mut of_tcp = BTreeMap::new();
    for turn in 0..40 {
        let event = timeout(LONG, inbox.next()).await.unwrap().unwrap();
        let NetEvent::Message { flow, .. } = event else {
            panic!("{event:?}");
        };
        match flow.transport {
            Transport::Udp => of_udp.push(turn),
            _ => *of_tcp.entry(flow.remote).or_insert(0) += 1,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(of_udp.len(), 8);
    assert!(of_udp[7] < 16, "{of_udp:?}");
    assert!(
        of_tcp.len() == 4 && of_tcp.values().all(|&n| n >= 4),
        "{of_tcp:?}"
    );
    // With the streams' queue full again, a datagram still finds room.
    flooder.send_to(&options(1), udp).await.unwrap();
    let mut seen = false;
    for _ in 0..4 {
        let event = timeout(LONG, inbox.next()).await.unwrap().unwrap();
        seen |= matches!(event, NetEvent::Message { flow, .. } if flow.transport == Transport::Udp);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen);
    drop(talkers);
}
