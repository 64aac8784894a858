use super::*;
use crate::sip::header::{NameAddr, Via};
use proptest::prelude::*;

fn request(bytes: &[u8]) -> Request {
    match parse_datagram(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

#[test]
fn an_invite() {
    let request = request(
        b"\r\nINVITE sip:bob@b.example SIP/2.0\r\n\
        v: SIP/2.0/UDP a.example;branch=z9hG4bK1 , SIP/2.0/TCP [::1]:5070\r\n\
        Max-Forwards : 70\r\n\
        Subject: one\r\n  two\r\n\tthree \r\n\
        X: \r\n\
        Latin: caf\xe9\r\n\
        Lat\xe9n: x\r\n\
        l: 4\r\n\
        \r\n\
        body and more",
    );
    assert_eq!(request.method, Method::Invite);
    assert_eq!(request.uri, "sip:bob@b.example");
    assert_eq!(request.body, b"body");
    let h = &request.headers;
    assert_eq!(h.vias().unwrap().len(), 2);
    assert_eq!(h.via().unwrap().branch(), Some("z9hG4bK1"));
    assert_eq!(h.max_forwards(), Ok(Some(70)));
    assert_eq!(h.get(&Name::Subject), Some("one two three"));
    assert_eq!(h.get(&"x-nothing".into()), None);
    assert_eq!(h.get(&"Latin".into()), Some("caf\u{fffd}"));
    assert_eq!(h.len(), 7);
}

#[test]
fn bare_line_feeds_and_no_end() {
    let request = request(b"BYE sip:a SIP/2.0\nVia: SIP/2.0/UDP h\nTo: <sip:a>");
    assert_eq!(request.headers.len(), 2);
    assert_eq!(request.body, b"");
}

#[test]
fn responses() {
    for (line, status, reason) in [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("SIP/2.0 200 ", 200, ""),
        ("SIP/2.0 200", 200, ""),
        ("sip/2.0 699  a  b", 699, " a  b"),
    ] {
        let Ok(Message::Response(response)) = parse_datagram(line.as_bytes()) else {
            panic!("{line}");
        };
        assert_eq!(
            (response.status, response.reason.as_str()),
            (status, reason)
        );
    }
    for line in [
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 0200 x",
        "SIP/2.0 +20 x",
    ] {
        let error = parse_datagram(line.as_bytes()).expect_err(line);
        assert_eq!(error.request, None);
    }
}

#[test]
fn broken_start_lines() {
    for (line, status, answered) in [
        ("OPTIONS sip:a SIP/7.0", 505, true),
        ("OPTIONS sip:a sip/2.0 ", 400, true),
        ("OPTIONS  sip:a SIP/2.0", 400, true),
        ("OPTIONS sip:a  SIP/2.0", 400, true),
        ("OPTIONS sip:a b SIP/2.0", 400, true),
        ("OPT@IONS sip:a SIP/2.0", 400, true),
        ("OPTIONS SIP/2.0", 400, false),
        ("OPTIONS", 400, false),
        ("GET / HTTP/1.1", 400, false),
        ("", 400, false),
    ] {
        let text = format!("{line}\r\nVia: SIP/2.0/UDP h\r\n\r\n");
        let error = parse_datagram(text.as_bytes()).expect_err(line);
        assert_eq!(
            (error.status, error.request.is_some()),
            (status, answered),
            "{line}"
        );
        if let Some(request) = error.request {
            assert!(request.headers.via().is_ok());
        }
    }
}

#[test]
fn too_many_headers() {
    let mut text = "BYE sip:a SIP/2.0\r\n".to_owned() + &"a: b\r\n".repeat(MAX_HEADERS);
    assert!(parse_datagram(text.as_bytes()).is_ok());
    text.push_str("c: d\r\n");
    let error = parse_datagram(text.as_bytes()).expect_err("one too many");
    assert_eq!(error.phrase, "Too many header fields");
    assert_eq!(error.request.expect("answered").headers.len(), MAX_HEADERS);
}

#[test]
fn injected_lines_stay_in_their_header() {
    let mut request = Request::new(Method::Bye, "sip:a");
    request.headers.push(Name::Subject, "x\r\nVia: evil");
    request.headers.push(Name::parse("X"), "y");
    request.headers.set(Name::parse("x"), "z\nTo: w");
    let Ok(Message::Request(read)) = parse_datagram(&request.to_bytes()) else {
        panic!("valid");
    };
    assert_eq!(read.headers.len(), 3);
}

#[test]
fn set_keeps_the_place() {
    let mut headers = Headers::new();
    for (name, value) in [("a", "1"), ("b", "2"), ("A", "3"), ("c", "4"), ("a", "5")] {
        headers.push(Name::parse(name), value);
    }
    headers.set(Name::parse("a"), "6");
    let all: Vec<_> = headers.iter().map(|(_, value)| value).collect();
    assert_eq!(all, ["6", "2", "4"]);
}

#[test]
fn the_top_via_is_replaced_alone() {
    let mut r = request(b"BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;x=\",\", SIP/2.0/UDP b\r\nVia: SIP/2.0/UDP c\r\n\r\n");
    let mut via = r.headers.via().unwrap();
    via.params.set("received", Some("10.0.0.1"));
    r.headers.replace_top_via(&via);
    let vias: Vec<_> = r
        .headers
        .vias()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP a;x=\",\";received=10.0.0.1",
            "SIP/2.0/UDP b",
            "SIP/2.0/UDP c"
        ]
    );
}

#[test]
fn a_stamp_in_the_top_via_takes_the_place_of_what_the_sender_says() {
    let stamped = |via: &str, received: Option<&str>, rport| {
        let text = format!("BYE sip:a SIP/2.0\r\nVia: {via}, SIP/2.0/UDP z\r\n\r\n");
        let mut r = request(text.as_bytes());
        let received = received.map(|address| address.parse().unwrap());
        let mut line = String::new();
        let top = r.headers.top_via().unwrap();
        top.push_stamped(received, rport, &mut line);
        r.headers.replace_first_via(&line);
        let all: Vec<_> = r
            .headers
            .iter()
            .map(|(_, value)| value.to_owned())
            .collect();
        assert_eq!(all.len(), 1);
        all[0].strip_suffix(", SIP/2.0/UDP z").unwrap().to_owned()
    };
    for (via, received, rport, wanted) in [
        (
            "SIP / 2.0 / TCP h:07 ; branch = 1;x=\"a;b\"",
            None,
            None,
            "SIP/2.0/TCP h:7;branch=1;x=\"a;b\"",
        ),
        (
            "SIP/2.0/UDP 1.2.3.4;RPORT;branch=1;Received=9.9.9.9;rport=5",
            Some("10.200.0.30"),
            Some(65_535),
            "SIP/2.0/UDP 1.2.3.4;RPORT=65535;branch=1;rport=5;received=10.200.0.30",
        ),
        (
            "SIP/2.0/UDP [::0:1]:5060;received=1.1.1.1",
            Some("2001:db8::1"),
            None,
            "SIP/2.0/UDP [::1]:5060;received=2001:db8::1",
        ),
        ("SIP/2.0/UDP h;received", None, Some(1), "SIP/2.0/UDP h"),
    ] {
        assert_eq!(stamped(via, received, rport), wanted);
    }
}

#[test]
fn an_empty_via_is_no_via() {
    let mut r = request(b"BYE sip:a SIP/2.0\r\nVia: \r\nVia:, SIP/2.0/UDP a\r\n\r\n");
    let mut via = r.headers.via().unwrap();
    via.params.set("rport", Some("5"));
    r.headers.replace_top_via(&via);
    assert_eq!(r.headers.vias(), Ok(vec![via]));
}

#[test]
fn a_response_copies_what_it_must() {
    let r = request(b"INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nRoute: <sip:r;lr>\r\nVia: SIP/2.0/UDP b\r\nf: <sip:x>;tag=1\r\nt: <sip:y>\r\ni: 1\r\nCSeq: 1 INVITE\r\nTimestamp: 5\r\n\r\nbody");
    let response = super::Response::to(&r, 486).with_reason("Busy\r\nX: y");
    let text = String::from_utf8(response.to_bytes()).unwrap();
    assert_eq!(
        text,
        "SIP/2.0 486 Busy  X: y\r\nVia: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\nFrom: <sip:x>;tag=1\r\nTo: <sip:y>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nTimestamp: 5\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_tag_is_added_once() {
    let mut response = Response::to(&request(b"BYE sip:a SIP/2.0\r\nt: sip:b@h;x\r\n\r\n"), 200);
    response.add_to_tag("1");
    response.add_to_tag("2");
    assert_eq!(response.headers.get(&Name::To), Some("sip:b@h;x;tag=1"));
}

#[test]
fn bare_carriage_returns() {
    let bytes = b"BYE sip:a SIP/2.0\r\nSubject: \r a\rb\r \r\r\n\r\n";
    let read = request(bytes);
    assert_eq!(read.headers.get(&Name::Subject), Some("a b"));
    assert_eq!(read.to_bytes(), request(&read.to_bytes()).to_bytes());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        crate::sip::fuzz::message(&bytes);
    }

    #[test]
    fn printing_is_stable(text in "(BYE sip:a SIP/2.0|SIP/2.0 200 .{0,3})\r\n([a-zA-Z\\-]{1,12}[ \t]?:\\PC{0,20}\r?\n([ \t]\\PC{0,9}\r\n)?){0,8}(l: ?[0-9]\r\n)?\r\n\\PC{0,12}") {
        crate::sip::fuzz::message(text.as_bytes());
    }

    #[test]
    fn typed_headers_never_panic(name in "(v|f|t|i|m|CSeq|Route|l|x|Min-SE|RAck|Via)", value in "([\"<>;=, \\\\*]|sip:|a@b|SIP/2.0/UDP|[0-9]{1,3}|[a-zü]){0,16}") {
        let mut headers = Headers::new();
        headers.push(Name::parse(&name), value);
        let _ = (headers.vias(), headers.from(), headers.to(), headers.call_id().is_ok());
        let _ = (headers.cseq(), headers.contacts(), headers.routes(), headers.rack());
        let _ = (headers.content_length(), headers.content_type(), headers.session_expires());
        let _ = headers.min_se();
        if let Ok(address) = headers.from() {
            let again = NameAddr::parse(&address.to_string());
            prop_assert_eq!(again, Ok(address));
        }
        if let Ok(via) = headers.via() {
            prop_assert_eq!(Via::parse(&via.to_string()), Ok(via));
        }
    }
}
