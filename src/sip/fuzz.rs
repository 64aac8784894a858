//! What must hold for any bytes at all. The targets in `fuzz/` and the property tests call these;
//! they live here so that they are compiled with everything else.

use super::auth::{Challenge, Credentials};
use super::dialog::Dialog;
use super::framing::{Frame, Framer};
use super::header::{Headers, Name, NameAddr, Via};
use super::message::{Message, Response, parse_datagram};
use super::session_timer;
use super::uri::{AnyUri, Uri};
use super::validate::{validate, validate_response};

/// Reads `bytes` as a datagram and as a stream; what was read prints to what reads the same.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = parse_datagram(bytes) {
        let printed = message.to_bytes();
        let again = parse_datagram(&printed).expect("what we print can be read");
        assert_eq!(again.to_bytes(), printed, "printing is stable");
        handle(&message);
    }
    let mut framer = Framer::new();
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    for piece in [head, tail] {
        framer.push(piece);
        for frame in framer.by_ref() {
            if let Frame::Message(message) = frame {
                handle(&message);
            }
        }
    }
}

/// Reads `bytes` as a URI; what was read prints to what reads the same.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(uri) = text.parse::<Uri>() {
        let printed = uri.to_string();
        let again: Uri = printed.parse().expect("what we print can be read");
        assert_eq!(again, uri, "printing loses nothing");
        assert_eq!(again.to_string(), printed, "printing is stable");
        assert!(uri.equivalent(&again), "a URI is equivalent to itself");
    }
    if let Ok(uri) = text.parse::<AnyUri>() {
        assert_eq!(uri.to_string().parse(), Ok(uri), "printing loses nothing");
    }
    name_addr(text);
    via(text);
}

/// Reads `text` as the value of From, To, Contact or Route.
fn name_addr(text: &str) {
    if let Ok(value) = NameAddr::parse(text) {
        let printed = value.to_string();
        assert_eq!(NameAddr::parse(&printed), Ok(value), "{printed}");
    }
}

/// Reads `text` as the value of Via.
fn via(text: &str) {
    if let Ok(value) = Via::parse(text) {
        let printed = value.to_string();
        assert_eq!(Via::parse(&printed), Ok(value), "{printed}");
    }
}

/// What typed values print reads the same.
fn values(headers: &Headers) {
    for name in [
        Name::From,
        Name::To,
        Name::Contact,
        Name::Route,
        Name::RecordRoute,
    ] {
        headers.list(&name).for_each(name_addr);
    }
    headers.list(&Name::Via).for_each(via);
    if let Ok(cseq) = headers.cseq() {
        assert_eq!(cseq.to_string().parse(), Ok(cseq), "printing loses nothing");
    }
    if let Ok(rack) = headers.rack() {
        assert_eq!(rack.to_string().parse(), Ok(rack), "printing loses nothing");
    }
    if let Ok(Some(timer)) = headers.session_expires() {
        assert_eq!(
            timer.to_string().parse(),
            Ok(timer),
            "printing loses nothing"
        );
    }
}

/// Reads `bytes` as credentials and as a challenge; what was read prints to what reads the same.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn authorization(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(credentials) = Credentials::parse(text) {
        // Of an unknown hash nothing is left to print.
        if credentials.algorithm.is_some() {
            let again = Credentials::parse(&credentials.to_string());
            assert_eq!(again, Ok(credentials), "printing loses nothing");
        }
    }
    if let Ok(challenge) = Challenge::parse(text)
        && challenge.algorithm.is_some()
    {
        let again = Challenge::parse(&challenge.to_string());
        assert_eq!(again, Ok(challenge), "printing loses nothing");
    }
}

/// Takes a message through everything that reads its headers.
fn handle(message: &Message) {
    values(match message {
        Message::Request(request) => &request.headers,
        Message::Response(response) => &response.headers,
    });
    let request = match message {
        Message::Request(request) => request,
        Message::Response(response) => {
            let _ = validate_response(response);
            let _ = session_timer::uac(response);
            return;
        }
    };
    if validate(request).is_err() {
        return;
    }
    let timer = session_timer::Settings {
        expires: session_timer::MIN_SE,
        min_se: session_timer::MIN_SE,
    };
    let _ = session_timer::uas(request, &timer);
    if let Ok(mut dialog) = Dialog::uas(request, "tag") {
        let _ = dialog.on_request(request);
        let ours = dialog.request(super::method::Method::Bye);
        assert!(
            parse_datagram(&ours.to_bytes()).is_ok(),
            "our requests can be read"
        );
    }
    let response = Response::to(request, 200);
    assert!(
        parse_datagram(&response.to_bytes()).is_ok(),
        "our responses can be read"
    );
}
