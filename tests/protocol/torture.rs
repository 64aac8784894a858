//! The torture messages of RFC 4475, written from the RFC (§ in each case): the valid ones read
//! as what they are, the invalid ones get the answer that the RFC asks for, none panics.
//!
//! In `mpart01.sip` the S/MIME signature of the RFC is replaced by other bytes: nobody here
//! looks at it, but it must pass through whole.

use std::path::Path;

use antiphon::sip::dialog::Dialog;
use antiphon::sip::framing::{Frame, Framer};
use antiphon::sip::fuzz;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response, parse_datagram};
use antiphon::sip::method::Method;
use antiphon::sip::registration::{Registrar, Settings};
use antiphon::sip::transport::{Flow, Transport};
use antiphon::sip::uri::{AnyUri, UriError};
use antiphon::sip::validate::{validate, validate_response};

fn bytes(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/torture")
        .join(name)
        .with_extension("sip");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// What becomes of a message before anybody looks at what it wants.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It goes on to the endpoint.
    Taken,
    /// It is answered so.
    Answered(u16, String),
    /// It is a broken response, or nothing at all.
    Dropped,
}

fn outcome(bytes: &[u8]) -> Outcome {
    let answer = |status, phrase, request: &Request| {
        // An answer needs the way back.
        assert!(request.headers.get_all(&Name::Via).next().is_some());
        Outcome::Answered(status, phrase)
    };
    match parse_datagram(bytes) {
        Ok(Message::Request(request)) => match validate(&request) {
            Ok(()) => Outcome::Taken,
            Err(error) => answer(error.status, error.phrase, &request),
        },
        Ok(Message::Response(response)) => match validate_response(&response) {
            Ok(()) => Outcome::Taken,
            Err(_) => Outcome::Dropped,
        },
        Err(error) => match &error.request {
            Some(request) => answer(error.status, error.phrase.clone(), request),
            None => Outcome::Dropped,
        },
    }
}

fn request(name: &str) -> Request {
    match parse_datagram(&bytes(name)) {
        Ok(Message::Request(request)) => {
            validate(&request).unwrap_or_else(|e| panic!("{name}: {e}"));
            request
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn response(name: &str) -> Response {
    match parse_datagram(&bytes(name)) {
        Ok(Message::Response(response)) => {
            validate_response(&response).unwrap_or_else(|e| panic!("{name}: {e}"));
            response
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// Valid, or at fault only in what the endpoint or the application decides.
const TAKEN: &[&str] = &[
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
    "unksm2",
    "bext01",
    "invut",
    "regaut01",
    "zeromf",
    "cparam01",
    "cparam02",
    "regescrt",
    "sdp01",
    "inv2543",
];

const ANSWERED: &[(&str, u16, &str)] = &[
    // §3.1.2
    ("badinv01", 400, "Bad Via header: bad parameters"),
    ("clerr", 400, "Content-Length is larger than the message"),
    ("ncl", 400, "Bad Content-Length header: bad value"),
    ("scalar02", 400, "Bad CSeq header: bad number"),
    ("quotbal", 400, "Bad To header: unterminated quoted string"),
    ("ltgtruri", 400, "Bad Request-URI: not a URI"),
    ("lwsruri", 400, "White space in the Request-URI"),
    ("lwsstart", 400, "Bad white space in the Request-Line"),
    ("trws", 400, "Bad white space in the Request-Line"),
    ("escruri", 400, "Headers in the Request-URI"),
    ("baddate", 400, "Date is not in GMT"),
    (
        "regbadct",
        400,
        "Bad Contact header: URI needs angle brackets",
    ),
    ("badaspec", 400, "Bad To header: bad URI"),
    ("baddn", 400, "Bad From header: display name needs quotes"),
    ("badvers", 505, "Version Not Supported"),
    ("mismatch01", 400, "Bad CSeq header: method does not match"),
    // 501 would do as well (§3.1.2.18).
    ("mismatch02", 400, "Bad CSeq header: method does not match"),
    // §3.2.1
    ("badbranch", 400, "Via branch is empty behind its cookie"),
    // §3.3
    ("insuf", 400, "Missing From header"),
    ("unkscm", 416, "Unsupported URI Scheme"),
    ("novelsc", 416, "Unsupported URI Scheme"),
    ("multi01", 400, "More than one From header"),
    ("mcl01", 400, "More than one Content-Length header"),
];

/// Responses that a client throws away: §3.1.2.5, §3.1.2.19, §3.3.10.
const DROPPED: &[&str] = &["scalarlg", "bigcode", "bcast"];

#[test]
fn every_message_gets_its_answer() {
    for name in TAKEN {
        assert_eq!(outcome(&bytes(name)), Outcome::Taken, "{name}");
    }
    for (name, status, phrase) in ANSWERED {
        let expected = Outcome::Answered(*status, (*phrase).to_owned());
        assert_eq!(outcome(&bytes(name)), expected, "{name}");
    }
    for name in DROPPED {
        assert_eq!(outcome(&bytes(name)), Outcome::Dropped, "{name}");
    }
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture"))
        .expect("the directory")
        .filter(|f| {
            f.as_ref()
                .is_ok_and(|f| f.path().extension().is_some_and(|e| e == "sip"))
        })
        .count();
    assert_eq!(files, TAKEN.len() + ANSWERED.len() + DROPPED.len());
}

/// Whatever a message is cut down or garbled to, reading it ends.
#[test]
fn cut_and_garbled_anywhere() {
    for name in TAKEN
        .iter()
        .chain(DROPPED)
        .copied()
        .chain(ANSWERED.iter().map(|c| c.0))
    {
        let bytes = bytes(name);
        for end in 0..bytes.len() {
            fuzz::message(&bytes[..end]);
            let mut garbled = bytes.clone();
            garbled[end] ^= 1 << (end % 8);
            fuzz::message(&garbled);
        }
    }
}

#[test]
fn what_is_printed_reads_the_same() {
    for name in TAKEN {
        let first = parse_datagram(&bytes(name)).expect("taken");
        let printed = first.to_bytes();
        let again = parse_datagram(&printed).expect("printed by us");
        assert_eq!(again.to_bytes(), printed, "{name}");
        let mut a: Vec<_> = first.headers().iter().collect();
        let mut b: Vec<_> = again.headers().iter().collect();
        a.retain(|(name, _)| **name != Name::ContentLength);
        b.retain(|(name, _)| **name != Name::ContentLength);
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn a_stream_gives_the_same_messages() {
    for name in TAKEN {
        // One has no Content-Length, the other a second message that is short.
        if ["inv2543", "dblreq"].contains(name) {
            continue;
        }
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for byte in bytes(name) {
            framer.push(&[byte]);
            frames.extend(framer.by_ref());
        }
        let message = parse_datagram(&bytes(name)).expect("taken");
        assert_eq!(frames, [Frame::Message(message)], "{name}");
    }
}

/// §3.1.1.1
#[test]
fn short_tortuous_invite() {
    let r = request("wsinv");
    let h = &r.headers;
    assert_eq!(r.method, Method::Invite);
    assert!(
        r.parsed_uri()
            .expect("valid")
            .params
            .contains("unknownparam")
    );
    assert_eq!(r.to_tag().as_deref(), Some("1918181833n"));
    let from = h.from().expect("valid");
    assert_eq!(from.display.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(h.max_forwards(), Ok(Some(68)));
    assert_eq!(h.cseq().expect("valid").to_string(), "9 INVITE");
    let vias: Vec<_> = h
        .vias()
        .expect("valid")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239",
        ]
    );
    assert_eq!(h.get(&Name::Subject), Some(""));
    assert_eq!(
        h.get(&"newfangledheader".into()),
        Some("newfangled value continued newfangled value")
    );
    let route = &h.routes().expect("valid")[0];
    let AnyUri::Sip(route) = &route.uri else {
        panic!("{route}");
    };
    assert!(route.is_loose_route());
    assert_eq!(route.params.value("unknownwith"), Some("value"));
    let contact = &h.contacts().expect("valid")[0];
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.value("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("secondparam"), Some(None));
    assert_eq!(contact.params.value("q"), Some("0.33"));
    assert_eq!(r.body.len(), 150);
}

/// §3.1.1.2
#[test]
fn wide_range_of_characters() {
    let r = request("intmeth");
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(r.method, Method::Other(method.into()));
    let uri = r.parsed_uri().expect("valid");
    assert_eq!(
        uri.user.as_deref(),
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    assert_eq!(
        uri.password.as_deref(),
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
    assert_eq!(uri.to_string(), r.uri);
    let to = r.headers.to().expect("valid");
    assert_eq!(to.display.as_deref(), Some("BEL:\x07 NUL:\0 DEL:\x7f"));
    let from = r.headers.from().expect("valid");
    assert_eq!(
        from.display.as_deref(),
        Some("token1~` token2'+_ token3*%!.-")
    );
    assert_eq!(from.params.value("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(
        r.headers.via().expect("valid").branch(),
        Some("z9hG4bK-.!%66*_+`'~")
    );
}

/// §3.1.1.3, §3.1.1.4, §3.1.1.5
#[test]
fn escapes() {
    let r = request("esc01");
    let uri = r.parsed_uri().expect("valid");
    assert_eq!(uri.user.as_deref(), Some("sips:user@example.com"));
    assert_eq!(uri.to_string(), r.uri);
    let to = r.headers.to().expect("valid");
    assert_eq!(to.sip_uri().and_then(|u| u.user.as_deref()), Some("user"));
    let contact = &r.headers.contacts().expect("valid")[0];
    let contact = contact.sip_uri().expect("SIP");
    assert_eq!(contact.user.as_deref(), Some("caller"));
    // %6C%72 is lr, and %25%34%31 is %41 and not A: what is escaped stays as it came.
    assert_eq!(
        contact.params.to_string(),
        ";%6C%72;n%61me=v%61lue%25%34%31"
    );

    let contacts = request("escnull").headers.contacts().expect("valid");
    let users: Vec<_> = contacts
        .iter()
        .map(|c| c.sip_uri().and_then(|u| u.user.clone()))
        .collect();
    assert_eq!(users, [Some("\0".to_owned()), Some("\0\0".to_owned())]);
    assert_eq!(contacts[1].to_string(), "<sip:%00%00@host5.example.com>");

    let r = request("esc02");
    assert_eq!(r.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(
        r.headers.to().expect("valid").display.as_deref(),
        Some("%Z%45")
    );
    assert_eq!(r.headers.contacts().expect("valid").len(), 2);
}

/// §3.1.1.6 to §3.1.1.11
#[test]
fn odd_but_valid() {
    let from = request("lwsdisp").headers.from().expect("valid");
    assert_eq!(from.display.as_deref(), Some("caller"));
    let r = request("longreq");
    assert_eq!(r.headers.vias().expect("valid").len(), 34);
    assert_eq!(r.from_tag().map(|t| t.len()), Some(155));
    let r = request("dblreq");
    assert_eq!((r.method, r.body.len()), (Method::Register, 0));
    let uri = request("semiuri").parsed_uri().expect("valid");
    assert_eq!(uri.user.as_deref(), Some("user;par=u@example.net"));
    assert!(uri.params.is_empty());
    let vias = request("transports").headers.vias().expect("valid");
    let names: Vec<_> = vias.iter().map(|v| v.transport.as_str()).collect();
    assert_eq!(names, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    let r = request("mpart01");
    assert_eq!(r.headers.content_type().as_deref(), Some("multipart/mixed"));
    assert!((0..=255).all(|byte| r.body.contains(&byte)));
    assert!(r.body.ends_with(b"--7a9cbec02ceef655--\r\n"));
}

/// §3.1.1.12, §3.1.1.13
#[test]
fn reason_phrases() {
    let r = response("unreason");
    assert_eq!(r.status, 200);
    assert_eq!(r.reason, "= 2**3 * 5**2 но сто девяносто девять - простое");
    let r = response("noreason");
    assert_eq!((r.status, r.reason.as_str()), (100, ""));
}

/// §3.3: what the endpoint or the application looks at to refuse.
#[test]
fn application_layer() {
    let r = request("bext01");
    assert_eq!(
        r.headers.require(),
        ["nothingSupportsThis", "nothingSupportsThisEither"]
    ); // 420
    let r = request("invut");
    assert_eq!(
        r.headers.content_type().as_deref(),
        Some("application/unknownformat")
    ); // 415
    let r = request("sdp01");
    assert!(!r.headers.accepts("application/sdp")); // 406
    assert!(request("inv2543").headers.accepts("application/sdp"));
    assert!(request("semiuri").headers.accepts("message/sip"));
    let r = request("zeromf");
    assert_eq!(r.headers.max_forwards(), Ok(Some(0))); // 200: we are where it was going
    assert_eq!(
        request("regaut01").headers.get(&Name::Authorization),
        Some("NoOneKnowsThisScheme opaque-data=here") // as if it were not there
    );
    let Ok(Message::Request(r)) = parse_datagram(&bytes("novelsc")) else {
        panic!("it is only of another scheme");
    };
    assert_eq!(r.parsed_uri(), Err(UriError::Scheme));
}

/// §3.3.4, §3.3.12 to §3.3.14
#[test]
fn registrations() {
    let contact = |name| {
        let mut registrar = Registrar::new(Settings::default());
        let flow = Flow {
            transport: Transport::Udp,
            local: ([192, 0, 2, 1], 5060).into(),
            remote: ([192, 0, 2, 2], 5060).into(),
            connection: None,
            host: None,
        };
        let response = registrar.handle(&request(name), None, flow, std::time::Instant::now());
        let contact = response.headers.get(&Name::Contact).unwrap_or_default();
        (response.status, contact.to_owned())
    };
    assert_eq!(contact("unksm2").0, 400);
    assert_eq!(
        contact("cparam01"),
        (
            200,
            "<sip:+19725552222@gw1.example.net>;expires=3600".to_owned()
        )
    );
    assert_eq!(
        contact("cparam02"),
        (
            200,
            "<sip:+19725552222@gw1.example.net;unknownparam>;expires=3600".to_owned()
        )
    );
    assert_eq!(
        contact("regescrt"),
        (
            200,
            "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600".to_owned()
        )
    );
}

/// §3.4.1
#[test]
fn a_caller_of_rfc_2543() {
    let r = request("inv2543");
    assert_eq!(r.from_tag(), None);
    assert!(r.body.starts_with(b"v=0"));
    let mut dialog = Dialog::uas(&r, "ours").expect("dialog");
    // Its Record-Route is a strict router.
    assert_eq!(
        dialog.request(Method::Bye).uri,
        "sip:UserB@example.com;maddr=ss1.example.com"
    );
}
