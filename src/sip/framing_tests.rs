use super::*;
use crate::sip::method::Method;
use proptest::prelude::*;

fn message(length: &str, body: &str) -> String {
    format!("BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\n{length}\r\n{body}")
}

fn frames(bytes: &[u8], chunk: usize) -> (Vec<Frame>, Framer) {
    let mut framer = Framer::new();
    let mut out = Vec::new();
    for piece in bytes.chunks(chunk) {
        framer.push(piece);
        out.extend(framer.by_ref());
    }
    (out, framer)
}

fn body(frame: &Frame) -> &[u8] {
    match frame {
        Frame::Message(Message::Request(request)) => &request.body,
        other => panic!("no request: {other:?}"),
    }
}

#[test]
fn pieces_of_any_size() {
    let text = format!(
        "\r\n\r\n{}\r\n\r\n\r\n{}{}",
        message("Content-Length: 4\r\n", "\r\n\r\n"),
        message("l:0\r\n", ""),
        message("Content-Length: 2\r\n", "ab"),
    );
    for chunk in [1, 2, 3, 7, 1000] {
        let (out, framer) = frames(text.as_bytes(), chunk);
        assert_eq!(out.len(), 6, "{chunk}: {out:?}");
        assert_eq!(out[0], Frame::Ping);
        assert_eq!(body(&out[1]), b"\r\n\r\n");
        assert_eq!(out[2], Frame::Ping);
        assert_eq!(out[3], Frame::Pong);
        assert_eq!(body(&out[4]), b"");
        assert_eq!(body(&out[5]), b"ab");
        assert!(!framer.has_partial());
    }
}

#[test]
fn partial_messages_are_told_from_keep_alives() {
    let mut framer = Framer::new();
    framer.push(b"\r\n");
    assert_eq!(framer.next(), None);
    assert!(!framer.has_partial());
    framer.push(b"B");
    assert_eq!(framer.next(), Some(Frame::Pong));
    assert!(framer.has_partial());
    let (_, framer) = frames(message("Content-Length: 3\r\n", "ab").as_bytes(), 1000);
    assert!(framer.has_partial());
}

#[test]
fn lengths_that_cannot_be_trusted() {
    for (length, phrase) in [
        ("", "Missing Content-Length header"),
        (
            "Content-Length: 2\r\nl: 2\r\n",
            "More than one Content-Length header",
        ),
        (
            "Content-Length: -1\r\n",
            "Bad Content-Length header: bad value",
        ),
        (
            "Content-Length: 2, 2\r\n",
            "Bad Content-Length header: bad value",
        ),
        (
            "Content-Length: 9999999999999999999999\r\n",
            "Bad Content-Length header: bad value",
        ),
        ("Content-Length: 65536\r\n", "Message is too large"),
        (
            "Content-Length: 1\r\nbroken\r\n",
            "Header field without a colon",
        ),
    ] {
        let text = message(length, "ab") + &message("Content-Length: 0\r\n", "");
        for chunk in [1, 5000] {
            let (out, framer) = frames(text.as_bytes(), chunk);
            let [Frame::Invalid(error)] = &out[..] else {
                panic!("{length}: {out:?}");
            };
            assert_eq!((error.status, error.phrase.as_str()), (400, phrase));
            let request = error.request.as_ref().expect("to be answered");
            assert_eq!(request.method, Method::Bye);
            assert!(request.headers.via().is_ok());
            assert!(!framer.has_partial());
        }
    }
}

#[test]
fn an_endless_head_ends_in_400() {
    let mut text = message("", "").trim_end().to_owned();
    text.push_str("\r\nX: ");
    text.extend(std::iter::repeat_n('x', MAX_MESSAGE));
    let (out, _) = frames(text.as_bytes(), 4096);
    let [Frame::Invalid(error)] = &out[..] else {
        panic!("{out:?}");
    };
    assert!(error.request.is_some());
}

#[test]
fn memory_is_bounded() {
    let mut framer = Framer::new();
    for _ in 0..40 {
        framer.push(&[b'x'; 4096]);
    }
    assert_eq!(framer.next(), Some(Frame::Error(FramingError::Overflow)));
    assert_eq!(framer.next(), None);
    framer.push(b"more");
    assert_eq!(framer.next(), None);
}

#[test]
fn an_idle_connection_keeps_little() {
    let mut framer = Framer::new();
    let large = message("Content-Length: 60000\r\n", &"x".repeat(60_000));
    framer.push(large.as_bytes());
    assert!(framer.next().is_some());
    assert!(framer.buffer.capacity() <= KEPT);
}

#[test]
fn garbage_is_not_answered() {
    let (out, _) = frames(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1000);
    assert!(matches!(
        &out[..],
        [Frame::Invalid(ParseError { request: None, .. })]
    ));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..40) {
        frames(&bytes, chunk);
    }

    #[test]
    fn chunks_do_not_matter(text in "(\r\n|BYE sip:a SIP/2.0\r\n|l:[0-3]\r\n|\r\n\r\n|a|b:c\r\n){0,12}", chunk in 1_usize..20) {
        prop_assert_eq!(frames(text.as_bytes(), chunk).0, frames(text.as_bytes(), 10_000).0);
    }
}

#[test]
fn a_message_that_is_wrong_spoils_none_behind_it_where_its_end_is_certain() {
    let good =
        "BYE sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n";
    let body = "OPTIONS sip:smuggled SIP/2.0\r\n\r\n";
    let bad = format!(
        "B@E sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut framer = Framer::new();
    // Its body comes late, and is not taken for a message.
    let (first, second) = bad.split_at(bad.len() - 5);
    framer.push(first.as_bytes());
    assert_eq!(framer.next(), None);
    assert!(framer.has_partial());
    framer.push(second.as_bytes());
    framer.push(good.as_bytes());
    assert!(matches!(
        framer.next(),
        Some(Frame::Malformed(ParseError { status: 400, .. }))
    ));
    assert!(matches!(framer.next(), Some(Frame::Message(_))));
    assert_eq!(framer.next(), None);
}
