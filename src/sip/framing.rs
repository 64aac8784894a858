//! Messages out of a byte stream (RFC 3261 §18.3), with the keep-alives of RFC 5626 §3.5.1.
//!
//! Sits between a TCP connection and `parse`. Content-Length alone says where a body ends; where
//! it cannot be trusted, neither can anything behind it: the peer is told (400), and the
//! connection closed. A message that is wrong in another way spoils none behind it.

use super::message::{MAX_MESSAGE, Message, ParseError};
use super::parse::{self, Head};

/// What came off the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// CRLF CRLF: answer with one CRLF.
    Ping,
    /// A single CRLF, seen when something else follows it. Nothing to do.
    Pong,
    /// Answer if `request` is there, and go on: where it ends is certain.
    Malformed(ParseError),
    /// Answer if `request` is there, then close.
    Invalid(ParseError),
    /// Close.
    Error(FramingError),
}

/// Why a stream ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// More was pushed than is buffered: the caller did not drain.
    #[error("too much unread data")]
    Overflow,
}

/// Cuts a stream into messages. Push what was read (at most [`MAX_MESSAGE`] bytes at once), then
/// take frames until there is none. Holds at most twice [`MAX_MESSAGE`] bytes.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are done with.
    taken: usize,
    /// Bytes behind `taken` in which no end of a head was found.
    scanned: usize,
    /// The head that waits for its body, the length of that, and the size of the head.
    head: Option<(Result<Message, ParseError>, usize, usize)>,
    state: State,
}

/// Bytes of buffer that an idle connection keeps.
const KEPT: usize = 4096;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Overflow,
    Closed,
}

impl Framer {
    /// A framer for a new connection.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// Takes what was read from the connection.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Open {
            return;
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.len() + bytes.len() > 2 * MAX_MESSAGE {
            self.close();
            self.state = State::Overflow;
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended: what a time limit is for. Keep-alives are none.
    pub fn has_partial(&self) -> bool {
        self.head.is_some()
            || self.buffer[self.taken..]
                .iter()
                .any(|b| !matches!(b, b'\r' | b'\n'))
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.buffer = Vec::new();
        self.taken = 0;
        self.scanned = 0;
        self.head = None;
    }

    fn invalid(&mut self, error: ParseError) -> Frame {
        self.close();
        Frame::Invalid(error)
    }

    fn take(&mut self, len: usize) {
        self.taken += len;
        self.scanned = 0;
        if self.taken == self.buffer.len() {
            // Thousands of idle connections do not each keep room for their largest message.
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
            self.taken = 0;
        }
    }

    /// Line ends between messages. `None`: there are none, or their meaning is still open.
    fn keep_alive(&mut self) -> Option<Frame> {
        loop {
            let rest = &self.buffer[self.taken..];
            match rest {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.take(4);
                    return Some(Frame::Ping);
                }
                // Half of a ping, perhaps.
                [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] | [b'\r'] => return None,
                [b'\r', b'\n', ..] => {
                    self.take(2);
                    return Some(Frame::Pong);
                }
                [b'\r' | b'\n', ..] => self.take(1),
                _ => return None,
            }
        }
    }

    /// Reads the head once it is whole.
    fn read_head(&mut self) -> Option<Result<(), ParseError>> {
        let rest = &self.buffer[self.taken..];
        if matches!(rest.first(), None | Some(b'\r')) {
            return None;
        }
        let from = self.scanned.saturating_sub(3);
        let Some(end) = end_of_head(&rest[from..]).map(|end| end + from) else {
            self.scanned = rest.len();
            if rest.len() <= MAX_MESSAGE {
                return None;
            }
            let error = ParseError::bad("Message is too large");
            return Some(Err(match Head::read(rest).finish() {
                Ok(message) => parse::refuse(message, error),
                Err(with_request) => ParseError {
                    request: with_request.request,
                    ..error
                },
            }));
        };
        let head = Head::read(&rest[..end]);
        let length = head.content_length();
        let is_whole = head.is_whole();
        let message = head.finish();
        let error = match length {
            Ok(Some(length)) if length <= MAX_MESSAGE.saturating_sub(end) => {
                if message.is_ok() || is_whole {
                    self.head = Some((message, length, end));
                    return Some(Ok(()));
                }
                ParseError::bad("Bad message")
            }
            Ok(Some(_)) => ParseError::bad("Message is too large"),
            Ok(None) => ParseError::bad("Missing Content-Length header"),
            Err(error) => error,
        };
        Some(Err(match message {
            Ok(message) => parse::refuse(message, error),
            // What was wrong first is told.
            Err(first) => first,
        }))
    }
}

impl Iterator for Framer {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        match self.state {
            State::Open => {}
            State::Closed => return None,
            State::Overflow => {
                self.state = State::Closed;
                return Some(Frame::Error(FramingError::Overflow));
            }
        }
        if self.head.is_none() {
            if let Some(frame) = self.keep_alive() {
                return Some(frame);
            }
            if let Err(error) = self.read_head()? {
                return Some(self.invalid(error));
            }
        }
        let (message, length, head) = self.head.take()?;
        let rest = &self.buffer[self.taken..];
        if rest.len() < head + length {
            self.head = Some((message, length, head));
            return None;
        }
        let frame = match message {
            Ok(mut message) => {
                parse::set_body(&mut message, &rest[head..head + length]);
                Frame::Message(message)
            }
            Err(error) => Frame::Malformed(error),
        };
        self.take(head + length);
        Some(frame)
    }
}

/// Where the body starts: behind an empty line.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(line_end) = bytes[at..].iter().position(|b| *b == b'\n') {
        at += line_end + 1;
        match &bytes[at..] {
            [b'\r', b'\n', ..] => return Some(at + 2),
            [b'\n', ..] => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
