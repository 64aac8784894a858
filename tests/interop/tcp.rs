//! SIP over TCP against the running server: framing, keep-alives, limits, peers that stall.

use crate::support::certificates::Authority;
use crate::support::dns::{Entry, NameServer};
use crate::support::server;
use crate::support::sip;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::{Config, Server};
use sip::{Call, Dialog, Peer, sdp};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

fn offer() -> String {
    sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "")
}

fn options(peer: &Peer) -> String {
    Dialog::new(peer, "500").request(peer, "OPTIONS", "", "")
}

/// The server answers, whatever others do.
fn assert_served(peer: &mut Peer) {
    let request = options(peer);
    peer.send(request);
    assert_eq!(peer.answer().status(), 200);
}

#[test]
fn lost_framing_gets_400_and_the_connection_ends() {
    let server = Config::new().set("limits", "message_seconds", 3600).start();
    for length in [
        "",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: x\r\n",
        "l: 5\r\nContent-Length: 0\r\n",
    ] {
        let mut peer = Peer::tcp(server.tcp());
        assert_served(&mut peer);
        let request = options(&peer).replace("Content-Length: 0\r\n", length);
        peer.send(request);
        let answer = peer.answer();
        assert_eq!(answer.status(), 400, "{length:?}");
        assert!(answer.start.contains("Content-Length"), "{}", answer.start);
        assert!(peer.is_closed_by_server(), "{length:?}");
    }
    assert_served(&mut Peer::tcp(server.tcp()));
}

#[test]
fn a_message_over_the_limit_is_refused() {
    let server = Config::new().set("limits", "message_bytes", 4000).start();
    let mut peer = Peer::tcp(server.tcp());
    let request = Dialog::new(&peer, "500").request(&peer, "INVITE", "", &"x".repeat(5000));
    // The server may have closed before all of it is written.
    let _ = peer.stream().write_all(request.as_bytes());
    assert_eq!(peer.answer().status(), 513);
    assert!(peer.is_closed_by_server());
    let mut peer = Peer::udp(server.udp());
    let request = Dialog::new(&peer, "500").request(&peer, "INVITE", "", &"x".repeat(5000));
    peer.send(request);
    assert_eq!(peer.answer().status(), 513);
}

#[test]
fn what_is_no_sip_is_closed() {
    let server = Config::new().set("limits", "message_seconds", 3600).start();
    for junk in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let mut peer = Peer::tcp(server.tcp());
        peer.send(junk);
        assert!(peer.is_closed_by_server(), "{junk:?}");
    }
    // Nor does it disturb UDP.
    let mut peer = Peer::udp(server.udp());
    for junk in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0",
        b"\r\n\r\n",
        b"\xff\xff\xff\xff",
        b"INVITE",
    ] {
        peer.send(junk);
    }
    assert_served(&mut peer);
}

#[test]
fn a_keep_alive_is_answered_with_one_line_end() {
    let server = Config::new().start();
    let mut peer = Peer::tcp(server.tcp());
    for _ in 0..3 {
        peer.send("\r\n\r\n");
        let mut pong = [0; 2];
        peer.stream().set_read_timeout(Some(sip::PATIENCE)).unwrap();
        peer.stream().read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\r\n");
        assert_served(&mut peer);
    }
}

#[test]
fn segments_are_not_messages() {
    let server = Config::new().start();
    let mut peer = Peer::tcp(server.tcp());
    // Two and a half messages in one segment.
    let three = [options(&peer), options(&peer), options(&peer)].concat();
    let (head, tail) = three.split_at(three.len() - 40);
    peer.send(head);
    assert_eq!([peer.answer().status(), peer.answer().status()], [200, 200]);
    peer.send(tail);
    assert_eq!(peer.answer().status(), 200);
    // A whole call byte by byte.
    let mut dialog = Dialog::new(&peer, "500");
    let invite = dialog.request(&peer, "INVITE", "", &offer());
    for byte in invite.bytes() {
        peer.send([byte]);
    }
    let ok = peer.answer();
    assert_eq!(ok.status(), 200);
    dialog.answered(&ok);
    for byte in dialog.request(&peer, "ACK", "", "").bytes() {
        peer.send([byte]);
    }
    for byte in dialog.request(&peer, "BYE", "", "").bytes() {
        peer.send([byte]);
    }
    assert_eq!(peer.await_that(|m| m.method() == "BYE").status(), 200);
    assert!(server.wait_log("ended").contains("remote-hung-up"));
}

#[test]
fn an_answer_still_comes_after_the_peer_has_sent_its_last() {
    let server = Config::new().start();
    let mut peer = Peer::tcp(server.tcp());
    let request = options(&peer);
    peer.send(request);
    peer.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.answer().status(), 200);
    assert!(peer.is_closed_by_server());
}

#[test]
fn connections_beyond_the_limits_are_closed_and_others_are_served() {
    let server = Config::new()
        .set("limits", "tcp_connections", 6)
        .set("limits", "tcp_connections_per_address", 4)
        .set("access", "trusted", "[]")
        // Or a silent connection would be closed for another reason.
        .set("limits", "message_seconds", 3600)
        .start();
    let mut held: Vec<_> = (0..4).map(|_| Peer::tcp(server.tcp())).collect();
    held.iter_mut().for_each(assert_served);
    assert!(
        Peer::tcp(server.tcp()).is_closed_by_server(),
        "the fifth of an address"
    );
    // Another address has its own count, up to the limit of all.
    let v6 = server.address("tcp", true);
    let mut others: Vec<_> = (0..2).map(|_| Peer::tcp(v6)).collect();
    others.iter_mut().for_each(assert_served);
    assert!(Peer::tcp(v6).is_closed_by_server(), "the seventh of all");
    held.iter_mut().chain(&mut others).for_each(assert_served);
    // A place that is given back is used again.
    held.pop()
        .unwrap()
        .stream()
        .shutdown(Shutdown::Both)
        .unwrap();
    let deadline = Instant::now() + sip::PATIENCE;
    loop {
        let mut peer = Peer::tcp(server.tcp());
        let request = options(&peer);
        if peer.stream().write_all(request.as_bytes()).is_ok()
            && let Some(answer) = peer.recv_for(Duration::from_millis(200))
        {
            assert_eq!(answer.status(), 200);
            break;
        }
        assert!(Instant::now() < deadline, "the place stays taken");
    }
}

#[test]
fn a_message_that_does_not_come_to_its_end_in_time_ends_the_connection() {
    let server = Config::new().set("limits", "message_seconds", 1).start();
    let half = |peer: &mut Peer| {
        let request = options(peer);
        peer.send(&request[..100]);
    };
    // Nothing at all, a half, a half after a whole.
    let mut nothing = Peer::tcp(server.tcp());
    let mut begun = Peer::tcp(server.tcp());
    half(&mut begun);
    let mut later = Peer::tcp(server.tcp());
    assert_served(&mut later);
    let mut idle = Peer::tcp(server.tcp());
    assert_served(&mut idle);
    half(&mut later);
    assert!(begun.is_closed_by_server());
    assert!(nothing.is_closed_by_server());
    assert!(later.is_closed_by_server());
    // One that has spoken may be idle.
    assert_served(&mut idle);
}

#[test]
fn a_peer_that_does_not_read_harms_nobody() {
    let server = Config::new().set("limits", "message_seconds", 1).start();
    let mut stalled = TcpStream::connect(server.tcp()).unwrap();
    stalled.set_nonblocking(true).unwrap();
    let named = Peer::tcp(server.tcp());
    // Asks on and on, with long headers that come back, and reads nothing, until the server gives
    // it up. Others are answered all the while.
    let via = format!(
        "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{}\r\n",
        "x".repeat(3000)
    );
    let via = via.repeat(8);
    let mut call = Call::establish(Peer::tcp(server.tcp()), "500", &offer());
    let mut other = Peer::tcp(server.tcp());
    let mut pending = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut asked = 0;
    loop {
        assert!(Instant::now() < deadline, "the server takes all that comes");
        if pending.is_empty() {
            asked += 1;
            let mut dialog = Dialog::new(&named, "500");
            pending = dialog.request(&named, "OPTIONS", &via, "").into_bytes();
        }
        let blocked = match stalled.write(&pending) {
            Ok(length) => {
                pending.drain(..length);
                false
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => true,
            // The server has given it up.
            Err(_) => break,
        };
        if blocked || asked % 10 == 0 {
            assert_eq!(call.request("OPTIONS", "", "").status(), 200);
            assert_served(&mut other);
            assert_served(&mut Peer::udp(server.udp()));
        }
    }
    assert!(asked > 64, "given up after {asked} requests");
    assert_eq!(call.request("OPTIONS", "", "").status(), 200);
    call.hang_up();
}

/// A call whose connection is gone when it is answered; its Contact names this place.
fn cut_off(server: &Server, contact: &str) {
    let mut peer = Peer::tcp(server.tcp());
    let mut dialog = Dialog::new(&peer, "7");
    let own = format!("test@{};transport=tcp", peer.local);
    let invite = dialog.request(&peer, "INVITE", "", &offer());
    peer.send(invite.replace(&own, &format!("test@{contact}")));
    let ok = peer.answer();
    dialog.answered(&ok);
    let ack = dialog.request(&peer, "ACK", "", "");
    peer.send(ack);
    server.wait_log("answered");
}

/// The connection that comes next.
fn accepted(listener: TcpListener) -> TcpStream {
    // In a thread, so that the wait is bounded.
    let (sender, accepted) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(listener.accept().unwrap().0));
    let stream = accepted.recv_timeout(sip::PATIENCE);
    let stream = stream.expect("a connection for the BYE");
    stream.set_read_timeout(Some(sip::PATIENCE)).unwrap();
    stream
}

fn take_bye(stream: &mut (impl Read + Write)) {
    let mut buffer = [0; 4096];
    let length = stream.read(&mut buffer).unwrap();
    let bye = sip::Message::parse(std::str::from_utf8(&buffer[..length]).unwrap());
    assert!(bye.start.starts_with("BYE "), "{}", bye.start);
    stream
        .write_all(sip::response(&bye, "200 OK").as_bytes())
        .unwrap();
}

fn playing() -> Config {
    Config::new().route("user = \"7\"\napp = \"play\"\ntone_hz = 500")
}

/// A name server that knows where `phone.example` is.
fn names() -> NameServer {
    let here = "127.0.0.1".parse().unwrap();
    NameServer::start(vec![("phone.example", Entry::Address(here))])
}

/// The server opens a connection to where Contact says for its BYE.
#[test]
fn a_call_survives_its_connection() {
    let names = names();
    for host in ["127.0.0.1", "phone.example"] {
        let server = playing()
            .set("sip", "dns_servers", format!("[\"{}\"]", names.address))
            .start();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        cut_off(&server, &format!("{host}:{port};transport=tcp"));
        take_bye(&mut accepted(listener));
    }
}

/// The certificate names the host, and not its address.
#[test]
fn a_call_survives_its_connection_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ca");
    let files = authority.issue("phone", &["phone.example"]);
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.chain)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let provider = Arc::new(ring::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let names = names();
    let ca = format!("{:?}", authority.file.display().to_string());
    let server = playing()
        .set("sip", "dns_servers", format!("[\"{}\"]", names.address))
        .set("tls", "ca", ca)
        .start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    cut_off(&server, &format!("phone.example:{port};transport=tls"));
    let connection = ServerConnection::new(Arc::new(settings)).unwrap();
    take_bye(&mut StreamOwned::new(connection, accepted(listener)));
}
