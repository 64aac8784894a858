//! What the fuzzer feeds.

use std::io::{self, Cursor, Read, Write};

use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::net::ws;
use crate::sip::message::{MAX_MESSAGE, parse_datagram};

/// Frames of a WebSocket, as a client sends them behind its handshake.
pub fn web_socket(bytes: &[u8]) {
    let wire = Wire(Cursor::new(bytes));
    let mut socket = WebSocket::from_raw_socket(wire, Role::Server, Some(ws::limits()));
    // Each part takes two bytes at least.
    for _ in 0..=bytes.len() / 2 {
        let part = match socket.read() {
            Ok(Message::Text(text)) => text.as_bytes().to_vec(),
            Ok(Message::Binary(bytes)) => bytes.to_vec(),
            Ok(_) => continue,
            Err(_) => return,
        };
        assert!(part.len() <= MAX_MESSAGE);
        let _ = parse_datagram(&part);
    }
    panic!("more parts than bytes");
}

/// What is written goes nowhere.
struct Wire<'a>(Cursor<&'a [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
