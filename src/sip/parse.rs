//! From bytes to a message. The head is read once into lines; values stay raw until asked for.

use std::ops::Range;

use memchr::memchr;

use super::header::{HeaderError, Headers, Name};
use super::message::{MAX_HEADERS, Message, ParseError, Request, Response};
use super::method::Method;
use super::syntax;

/// Reads the message in one datagram (RFC 3261 §18.3): bytes behind Content-Length are dropped,
/// a body that falls short of it is an error, and without it the body is all that is there.
pub fn parse_datagram(bytes: &[u8]) -> Result<Message, ParseError> {
    let head = Head::read(bytes);
    let rest = &bytes[head.len..];
    let length = head.content_length();
    let mut message = head.finish()?;
    let body = match length {
        Err(error) => return Err(refuse(message, error)),
        Ok(Some(length)) if length > rest.len() => {
            let error = ParseError::bad("Content-Length is larger than the message");
            return Err(refuse(message, error));
        }
        Ok(Some(length)) => &rest[..length],
        Ok(None) => rest,
    };
    set_body(&mut message, body);
    Ok(message)
}

pub(super) fn set_body(message: &mut Message, body: &[u8]) {
    match message {
        Message::Request(request) => request.body = body.to_vec(),
        Message::Response(response) => response.body = body.to_vec(),
    }
}

/// `error` with the request to answer, where the message is one.
pub(super) fn refuse(message: Message, mut error: ParseError) -> ParseError {
    if let Message::Request(request) = message {
        error.request = Some(Box::new(request));
    }
    error
}

/// The head of a message: start line and headers, as far as they could be read.
pub(super) struct Head {
    start: Start,
    headers: Headers,
    /// The first thing wrong in the headers.
    error: Option<ParseError>,
    /// A line was not taken as a header: it may have been meant as Content-Length.
    unread: bool,
    /// Bytes up to and including the empty line.
    pub(super) len: usize,
}

enum Start {
    Request {
        method: Method,
        uri: String,
        error: Option<ParseError>,
    },
    Response {
        status: u16,
        reason: String,
    },
    Garbage(ParseError),
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Head {
        let (start, len) = extent(bytes);
        // Nearly all is text, which is sooner seen as a whole than by its pieces.
        let text = match std::str::from_utf8(&bytes[start..len]) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(&bytes[start..len]).into_owned(),
        };
        let (line, next) = line_at(text.as_bytes(), 0);
        let mut head = Head {
            start: read_start(&text[line]),
            headers: Headers::of_text(text),
            error: None,
            unread: false,
            len,
        };
        head.read_headers(next);
        head
    }

    /// Reads the lines from `at` on.
    fn read_headers(&mut self, mut at: usize) {
        // Only what was read is to be read: what is joined lies behind it.
        let end = self.headers.text().len();
        while at < end {
            let bytes = &self.headers.text().as_bytes()[..end];
            let (line, next) = line_at(bytes, at);
            if line.is_empty() {
                return;
            }
            at = next;
            if matches!(bytes.get(next), Some(b' ' | b'\t')) {
                at = self.folded(line, next, end);
            } else {
                self.header(line);
            }
        }
    }

    /// A line that goes on in the next ones, which start with white space (§7.3.1). Where it ends.
    fn folded(&mut self, line: Range<usize>, mut next: usize, end: usize) -> usize {
        let text = &self.headers.text()[..end];
        let mut joined = text[line].to_owned();
        while matches!(text.as_bytes().get(next), Some(b' ' | b'\t')) {
            let (more, after) = line_at(text.as_bytes(), next);
            joined.push(' ');
            joined.push_str(text[more].trim_ascii());
            next = after;
        }
        match self.field(&joined) {
            Ok((name, value)) => self.headers.push(name, &joined[value]),
            Err(phrase) => self.fail(phrase),
        }
        next
    }

    /// A header line, as a part of the text.
    fn header(&mut self, line: Range<usize>) {
        match self.field(&self.headers.text()[line.clone()]) {
            Ok((name, value)) => {
                let value = line.start + value.start..line.start + value.end;
                // `push` makes a bare CR a space.
                let text = &self.headers.text()[value.clone()];
                if memchr(b'\r', text.as_bytes()).is_some() {
                    let text = text.to_owned();
                    self.headers.push(name, text);
                } else {
                    self.headers.push_part(name, value);
                }
            }
            Err(phrase) => self.fail(phrase),
        }
    }

    /// The name of a header line, and where its value is; or what is wrong with it.
    fn field(&self, line: &str) -> Result<(Name, Range<usize>), &'static str> {
        if self.headers.len() >= MAX_HEADERS {
            return Err("Too many header fields");
        }
        let colon = memchr(b':', line.as_bytes()).ok_or("Header field without a colon")?;
        let name = line[..colon].trim_end_matches([' ', '\t']);
        // What is not text at all spoils only itself.
        if !syntax::is_token(name) && !name.contains('\u{fffd}') {
            return Err("Bad header field name");
        }
        // A bare CR is white space at the ends.
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
        let value = &line.as_bytes()[colon + 1..];
        let before = value.iter().take_while(|b| blank(b)).count();
        let behind = value[before..].iter().rev().take_while(|b| blank(b));
        Ok((
            Name::parse(name),
            colon + 1 + before..line.len() - behind.count(),
        ))
    }

    fn fail(&mut self, phrase: &str) {
        self.unread = true;
        self.error.get_or_insert_with(|| ParseError::bad(phrase));
    }

    /// Content-Length; anything but one plain number is an error (a stream cannot go on then).
    pub(super) fn content_length(&self) -> Result<Option<usize>, ParseError> {
        self.headers
            .content_length()
            .map_err(|error: HeaderError| ParseError::bad(phrase(&error.to_string())))
    }

    /// Whether this is SIP, all of whose headers were seen: its Content-Length can be believed,
    /// whatever else is wrong.
    pub(super) fn is_whole(&self) -> bool {
        !self.unread && !matches!(self.start, Start::Garbage(_))
    }

    /// The message without its body.
    pub(super) fn finish(self) -> Result<Message, ParseError> {
        match self.start {
            Start::Request { method, uri, error } => {
                let request = Request {
                    method,
                    uri,
                    headers: self.headers,
                    body: Vec::new(),
                };
                match error.or(self.error) {
                    Some(error) => Err(refuse(Message::Request(request), error)),
                    None => Ok(Message::Request(request)),
                }
            }
            Start::Response { status, reason } => match self.error {
                Some(error) => Err(error),
                None => Ok(Message::Response(Response {
                    status,
                    reason,
                    headers: self.headers,
                    body: Vec::new(),
                })),
            },
            Start::Garbage(error) => Err(error),
        }
    }
}

/// An error's text as a reason phrase.
pub(super) fn phrase(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Where a head starts and ends: empty lines before the start line are ignored (RFC 3261 §7.5), the
/// first one behind it belongs to the head.
fn extent(bytes: &[u8]) -> (usize, usize) {
    let blank = |b: &&u8| matches!(b, b'\r' | b'\n');
    let start = bytes.iter().take_while(blank).count();
    let (_, mut at) = line_at(bytes, start);
    while at < bytes.len() {
        let (line, next) = line_at(bytes, at);
        at = next;
        if line.is_empty() {
            break;
        }
    }
    (start, at)
}

/// The line that starts at `at` without its end, and where the next one starts. Ends are CRLF;
/// a bare LF is taken too.
fn line_at(bytes: &[u8], at: usize) -> (Range<usize>, usize) {
    let at = at.min(bytes.len());
    let Some(len) = memchr(b'\n', &bytes[at..]) else {
        return (at..bytes.len(), bytes.len());
    };
    let end = at + len;
    let line = match bytes[at..end].last() {
        Some(b'\r') => at..end - 1,
        _ => at..end,
    };
    (line, end + 1)
}

fn read_start(line: &str) -> Start {
    if line
        .get(..4)
        .is_some_and(|p| p.eq_ignore_ascii_case("SIP/"))
    {
        return read_status_line(line);
    }
    let trimmed = line.trim_end();
    let Some((method_text, rest)) = line.split_once(' ') else {
        return Start::Garbage(ParseError::bad("Bad Request-Line"));
    };
    let (uri, version) = match trimmed.rsplit_once(' ') {
        Some((before, version)) if before.len() > method_text.len() => {
            (before[method_text.len()..].trim(), version)
        }
        _ => return Start::Garbage(ParseError::bad("Bad Request-Line")),
    };
    if !version
        .get(..4)
        .is_some_and(|p| p.eq_ignore_ascii_case("SIP/"))
    {
        return Start::Garbage(ParseError::bad("Bad Request-Line"));
    }
    let method = Method::parse(method_text);
    let error = if !version.eq_ignore_ascii_case("SIP/2.0") {
        Some(ParseError::new(505, "Version Not Supported"))
    } else if method.is_none() {
        Some(ParseError::bad("Method is not a token"))
    } else if trimmed.len() != line.len() || rest.len() != uri.len() + 1 + version.len() {
        Some(ParseError::bad("Bad white space in the Request-Line"))
    } else if uri.contains([' ', '\t']) {
        Some(ParseError::bad("White space in the Request-URI"))
    } else if uri.is_empty() {
        Some(ParseError::bad("No Request-URI"))
    } else {
        None
    };
    Start::Request {
        method: method.unwrap_or_else(|| Method::Other(method_text.into())),
        uri: uri.to_owned(),
        error,
    }
}

fn read_status_line(line: &str) -> Start {
    let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Start::Garbage(ParseError::new(505, "Version Not Supported"));
    }
    // The space behind the code is missing in the field where there is no phrase.
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    match syntax::number(code) {
        Some(status @ 100..=699) if code.len() == 3 => Start::Response {
            status,
            reason: reason.to_owned(),
        },
        _ => Start::Garbage(ParseError::bad("Bad status code")),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
