//! Requests and responses: values that own their text.

use std::io::Write;

use super::header::{Headers, Name, NameAddr};
use super::method::Method;
pub use super::parse::parse_datagram;
use super::status;
use super::uri::{Uri, UriError};

/// Header lines in one message; a request with more is answered 400.
pub const MAX_HEADERS: usize = 200;

/// What a message has besides its headers, body, method, URI and phrase: version, status, line ends,
/// Content-Length.
const ENDS: usize = 48;

/// Bytes of headers that a response does not have of its request: room for so much is taken at once.
const ROOM: usize = 512;

/// Bytes in one message, head and body; more is answered 400 on a stream.
pub const MAX_MESSAGE: usize = 65_535;

/// A SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

impl Message {
    /// The message on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Message::Request(request) => request.to_bytes(),
            Message::Response(response) => response.to_bytes(),
        }
    }

    /// The headers.
    pub const fn headers(&self) -> &Headers {
        match self {
            Message::Request(request) => &request.headers,
            Message::Response(response) => &response.headers,
        }
    }
}

/// A request (RFC 3261 §7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The Request-URI as written.
    pub uri: String,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: &str) -> Request {
        Request {
            method,
            uri: uri.to_owned(),
            headers: Headers::new(),
            body: Vec::new(),
        }
    }

    /// The Request-URI, read.
    pub fn parsed_uri(&self) -> Result<Uri, UriError> {
        self.uri.parse()
    }

    /// The request on the wire; Content-Length is set to the body's length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = self.method.as_str().len() + self.uri.len();
        let mut out = buffer(start, &self.headers, &self.body);
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{} {} SIP/2.0\r\n", self.method, self.uri);
        finish(out, &self.headers, &self.body)
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<String> {
        self.tag_of_from().map(str::to_owned)
    }

    pub(crate) fn tag_of_from(&self) -> Option<&str> {
        tag_of(&self.headers, &Name::From)
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<String> {
        self.tag_of_to().map(str::to_owned)
    }

    pub(crate) fn tag_of_to(&self) -> Option<&str> {
        tag_of(&self.headers, &Name::To)
    }

    /// Whether To has a tag: the request is, or means to be, within a dialog.
    pub fn has_to_tag(&self) -> bool {
        self.tag_of_to().is_some()
    }
}

/// What a response has of its request (RFC 3261 §8.2.6.2).
static COPIED: [Name; 6] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Timestamp,
];

/// Those of a request, in that order.
fn copied(request: &Request) -> impl Iterator<Item = (&Name, &str)> {
    COPIED.iter().flat_map(|name| {
        let values = request.headers.get_all(name);
        values.map(move |value| (name, value))
    })
}

/// A response (RFC 3261 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, 100 to 699.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: String,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A response to `request` with the default phrase, and with what RFC 3261 §8.2.6.2 copies:
    /// every Via, From, To, Call-ID, CSeq (and Timestamp). The To tag is the caller's to add.
    pub fn to(request: &Request, status: u16) -> Response {
        let bytes = copied(request).map(|(_, value)| value.len()).sum::<usize>();
        let mut headers = Headers::with_capacity(bytes + ROOM);
        for (name, value) in copied(request) {
            headers.push(name.clone(), value);
        }
        Response {
            status,
            reason: status::reason(status).to_owned(),
            headers,
            body: Vec::new(),
        }
    }

    /// What [`Response::to`] makes, on the wire: the 100 of an INVITE, which most never need.
    pub(crate) fn bytes_to(request: &Request, status: u16) -> Vec<u8> {
        let reason = status::reason(status);
        let len = copied(request).map(|(name, value)| name.as_str().len() + value.len() + 4);
        let mut out = Vec::with_capacity(ENDS + reason.len() + len.sum::<usize>());
        start_line(&mut out, status, reason);
        for (name, value) in copied(request) {
            line(&mut out, name.as_str(), value);
        }
        let _ = write!(out, "Content-Length: 0\r\n\r\n");
        out
    }

    /// Replaces the reason phrase.
    #[must_use]
    pub fn with_reason(mut self, phrase: &str) -> Response {
        self.reason = phrase.replace(['\r', '\n'], " ");
        self
    }

    /// Gives To this tag where it has none (RFC 3261 §8.2.6.2).
    pub fn add_to_tag(&mut self, tag: &str) {
        if tag_of(&self.headers, &Name::To).is_none()
            && let Some(to) = self.headers.get(&Name::To)
        {
            // Behind the text as it came: To is echoed, even one that cannot be read.
            let tagged = [to, ";tag=", tag].concat();
            self.headers.set(Name::To, tagged);
        }
    }

    /// The response on the wire; Content-Length is set to the body's length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = buffer(self.reason.len(), &self.headers, &self.body);
        start_line(&mut out, self.status, &self.reason);
        finish(out, &self.headers, &self.body)
    }

    /// The tag of From.
    pub fn from_tag(&self) -> Option<String> {
        tag_of(&self.headers, &Name::From).map(str::to_owned)
    }

    /// The tag of To.
    pub fn to_tag(&self) -> Option<String> {
        tag_of(&self.headers, &Name::To).map(str::to_owned)
    }
}

fn tag_of<'a>(headers: &'a Headers, name: &Name) -> Option<&'a str> {
    NameAddr::tag_in(headers.single(name).ok()?)
}

/// Room for a message whose start line has so many bytes, and no more: responses are kept for 32 s.
fn buffer(start: usize, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let lines = headers.iter().map(|(name, value)| {
        let around = ": \r\n".len();
        name.as_str().len() + value.len() + around
    });
    Vec::with_capacity(start + lines.sum::<usize>() + ENDS + body.len())
}

fn finish(mut out: Vec<u8>, headers: &Headers, body: &[u8]) -> Vec<u8> {
    for (name, value) in headers.iter() {
        if *name != Name::ContentLength {
            line(&mut out, name.as_str(), value);
        }
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
    out
}

fn start_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    out.extend_from_slice(b"SIP/2.0 ");
    let digit = |n: u16| b'0' + (n % 10) as u8;
    out.extend([digit(status / 100), digit(status / 10), digit(status)]);
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A message that cannot be taken, and the answer that it gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {phrase}")]
pub struct ParseError {
    /// The status of the answer: 400, 416, 505.
    pub status: u16,
    /// The reason phrase of the answer: what is wrong.
    pub phrase: String,
    /// What could be read of a request, for the answer; `None`: there is nobody to answer.
    pub request: Option<Box<Request>>,
}

impl ParseError {
    pub(crate) fn new(status: u16, phrase: impl Into<String>) -> ParseError {
        ParseError {
            status,
            phrase: phrase.into(),
            request: None,
        }
    }

    pub(crate) fn bad(phrase: impl Into<String>) -> ParseError {
        ParseError::new(400, phrase)
    }
}
