//! What is wrong on the wire, over UDP and TCP: each gets its defined end, and the next message its
//! answer, on the same connection where the framing is not lost.

use crate::support::server;
use crate::support::sip;

use std::io::Write;
use std::time::Duration;

use server::{Config, Server};
use sip::{Dialog, Peer};

const LENGTH: &str = "Content-Length: 0\r\n";

fn options(peer: &Peer) -> String {
    Dialog::new(peer, "500").request(peer, "OPTIONS", "", "")
}

fn assert_served(peer: &mut Peer, after: &str) {
    let request = options(peer);
    peer.send(request);
    assert_eq!(peer.answer().status(), 200, "after {after}");
}

type Change = Box<dyn Fn(&str) -> Vec<u8>>;

/// What a request gets for what is wrong with it: a status over UDP, and over TCP a status and
/// whether the connection lives on.
struct Case {
    name: String,
    change: Change,
    udp: u16,
    tcp: (u16, bool),
}

fn case(
    name: &str,
    udp: u16,
    tcp: (u16, bool),
    change: impl Fn(&str) -> Vec<u8> + 'static,
) -> Case {
    Case {
        name: name.to_owned(),
        change: Box::new(change),
        udp,
        tcp,
    }
}

/// Lengths that lie, or are missing.
fn lengths() -> Vec<Case> {
    let with = |header: &'static str| move |text: &str| text.replace(LENGTH, header).into_bytes();
    vec![
        case("no length", 200, (400, false), with("")),
        case(
            "negative",
            400,
            (400, false),
            with("Content-Length: -1\r\n"),
        ),
        case(
            "two that differ",
            400,
            (400, false),
            with("Content-Length: 0\r\nl: 7\r\n"),
        ),
        case(
            "huge",
            400,
            (400, false),
            with("Content-Length: 4000000000\r\n"),
        ),
        case(
            "beyond all numbers",
            400,
            (400, false),
            with("l: 99999999999999999999999\r\n"),
        ),
        case(
            "no number",
            400,
            (400, false),
            with("Content-Length: ten\r\n"),
        ),
        case(
            "hexadecimal",
            400,
            (400, false),
            with("Content-Length: 0x0\r\n"),
        ),
    ]
}

/// Bytes that are no text, where they do harm and where they do not.
fn bytes() -> Vec<Case> {
    let mut cases = Vec::new();
    let kinds: [(&str, &'static [u8]); 3] = [
        ("NUL", b"\0"),
        ("Latin-1", b"\xe9t\xe9"),
        ("broken UTF-8", b"\xc3\x28\xf0\x9f"),
    ];
    for (kind, wrong) in kinds {
        let insert = move |before: &'static str, at: usize| {
            move |text: &str| {
                let place = text.find(before).unwrap() + at;
                [&text.as_bytes()[..place], wrong, &text.as_bytes()[place..]].concat()
            }
        };
        cases.push(case(
            &format!("{kind} in an unknown header"),
            200,
            (200, true),
            move |text| {
                let with = text.replace(LENGTH, "X-Mood: \r\nContent-Length: 0\r\n");
                let place = with.find("X-Mood: ").unwrap() + 8;
                [&with.as_bytes()[..place], wrong, &with.as_bytes()[place..]].concat()
            },
        ));
        cases.push(case(
            &format!("{kind} in the method"),
            400,
            (400, true),
            insert("OPTIONS ", 3),
        ));
        cases.push(case(
            &format!("{kind} in CSeq"),
            400,
            (400, true),
            insert("CSeq: ", 6),
        ));
    }
    cases
}

fn sizes() -> Vec<Case> {
    let headers = |count: usize, length: usize| {
        move |text: &str| {
            let one = format!("X-Fill: {}\r\n", "x".repeat(length));
            text.replace(LENGTH, &(one.repeat(count) + LENGTH))
                .into_bytes()
        }
    };
    vec![
        case("190 headers", 200, (200, true), headers(190, 1)),
        case("4,000 headers", 400, (400, false), headers(4000, 1)),
        case("a header of 60 kB", 200, (200, true), headers(1, 60_000)),
    ]
}

fn check(server: &Server, cases: &[Case]) {
    let mut udp = Peer::udp(server.udp());
    for case in cases {
        let request = options(&udp);
        udp.send((case.change)(&request));
        assert_eq!(udp.answer().status(), case.udp, "UDP, {}", case.name);
        assert_served(&mut udp, &case.name);

        let mut tcp = Peer::tcp(server.tcp());
        let request = options(&tcp);
        tcp.send((case.change)(&request));
        let (status, survives) = case.tcp;
        assert_eq!(tcp.answer().status(), status, "TCP, {}", case.name);
        if survives {
            assert_served(&mut tcp, &case.name);
        } else {
            assert!(tcp.is_closed_by_server(), "{}", case.name);
        }
    }
}

#[test]
fn lengths_that_lie() {
    check(&Config::new().start(), &lengths());
}

#[test]
fn bytes_that_are_no_text() {
    check(&Config::new().start(), &bytes());
}

#[test]
fn headers_without_number_and_end() {
    let server = Config::new().start();
    check(&server, &sizes());
    // 70 kB of headers do not fit a datagram.
    let mut peer = Peer::tcp(server.tcp());
    let fill = format!("X-Fill: {}\r\n", "x".repeat(700)).repeat(100);
    let request = options(&peer).replace(LENGTH, &(fill + LENGTH));
    let _ = peer.stream().write_all(request.as_bytes());
    assert_eq!(peer.answer().status(), 400);
    assert!(peer.is_closed_by_server());
    assert_served(&mut Peer::tcp(server.tcp()), "70 kB");
}

#[test]
fn a_message_in_500_segments_and_two_in_one() {
    let server = Config::new().start();
    let mut peer = Peer::tcp(server.tcp());
    peer.stream().set_nodelay(true).unwrap();
    let fill = format!("X-Fill: {}\r\n", "x".repeat(200));
    let request = options(&peer).replace(LENGTH, &(fill + LENGTH));
    let step = request.len().div_ceil(500);
    for piece in request.as_bytes().chunks(step) {
        peer.stream().write_all(piece).unwrap();
        // Without a pause the kernel would join them.
        std::thread::sleep(Duration::from_micros(300));
    }
    assert_eq!(peer.answer().status(), 200);
    let two = options(&peer) + &options(&peer);
    peer.send(two);
    for _ in 0..2 {
        assert_eq!(peer.answer().status(), 200);
    }
}
