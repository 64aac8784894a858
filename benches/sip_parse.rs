//! `cargo bench --bench sip_parse`: nanoseconds for what signalling does with each message.

use std::hint::black_box;
use std::time::Instant;

use antiphon::sip::framing::Framer;
use antiphon::sip::message::{Message, Response, parse_datagram};
use antiphon::sip::validate::validate;

const INVITE: &str = "INVITE sip:600@192.0.2.10:5060 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.20:5062;rport;branch=z9hG4bKPj3c1f0a9e4b7d\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=8f2b6c1d\r\n\
    To: <sip:600@example.com>\r\n\
    Contact: <sip:alice@192.0.2.20:5062;ob>\r\n\
    Call-ID: 7d5c2c0e-1b9f-4c44-a2f6-0d9b3f1e5a77\r\n\
    CSeq: 21432 INVITE\r\n\
    Allow: INVITE, ACK, BYE, CANCEL, UPDATE, INFO, SUBSCRIBE, NOTIFY, REFER, MESSAGE, OPTIONS\r\n\
    Supported: replaces, 100rel, timer, norefersub\r\n\
    Session-Expires: 1800\r\n\
    Min-SE: 90\r\n\
    User-Agent: Softphone 4.2\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 192\r\n\
    \r\n\
    v=0\r\n\
    o=- 3890000000 3890000000 IN IP4 192.0.2.20\r\n\
    s=session\r\n\
    c=IN IP4 192.0.2.20\r\n\
    t=0 0\r\n\
    m=audio 4000 RTP/AVP 8 0 96\r\n\
    a=rtpmap:96 telephone-event/8000\r\n\
    a=fmtp:96 0-16\r\n\
    a=ptime:20\r\n\
    a=sendrecv\r\n";

/// Prints the best of ten rounds: what disturbs a round only makes it longer.
fn measure(what: &str, mut work: impl FnMut()) {
    const ROUND: u32 = 5_000;
    let round = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..ROUND).for_each(|_| work());
        start.elapsed().as_nanos() / u128::from(ROUND)
    };
    let best = (0..10).map(|_| round(&mut work)).min().unwrap_or_default();
    println!("{what:<40} {best:>7} ns");
}

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!("cargo bench --bench sip_parse\n\nns per SIP message. It has no options.");
        return;
    }
    let bytes = INVITE.as_bytes();
    let Ok(Message::Request(request)) = parse_datagram(bytes) else {
        panic!("the INVITE is valid");
    };
    assert!(
        request.body.ends_with(b"sendrecv\r\n"),
        "Content-Length is right"
    );
    println!("an INVITE of {} bytes", bytes.len());
    measure("parse", || {
        black_box(parse_datagram(black_box(bytes)).is_ok());
    });
    measure("validate", || {
        black_box(validate(black_box(&request)).is_ok());
    });
    measure("parse from a stream", || {
        let mut framer = Framer::new();
        framer.push(black_box(bytes));
        black_box(framer.next().is_some());
    });
    measure("make a response", || {
        black_box(Response::to(black_box(&request), 200));
    });
    measure("print", || {
        black_box(black_box(&request).to_bytes());
    });
}
