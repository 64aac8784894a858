//! The second yardstick: the least that a mixer's packets cost. A reflector that cannot answer a
//! packet at once, since what it sends depends on what all have said: in each tick of 20 ms it reads
//! every socket once, in order, and then sends from every socket, both by the server's own calls.

use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use antiphon::net::sys::{self, Batch, PACKET_BYTES, SendCounters};

use crate::support::cable;

/// The tick.
const TICK: Duration = Duration::from_millis(20);

/// A socket, who it is connected to, and the packet of this tick.
struct Line {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
    packet: Vec<u8>,
}

/// Reflects until killed, at the real-time priority of the server's media threads, where permitted.
pub fn run(legs: usize) -> io::Result<()> {
    let _ = sys::set_fifo(20);
    let mut out = io::stdout().lock();
    let mut lines = Vec::new();
    for _ in 0..legs {
        let line = Line::bind()?;
        write!(out, "{} ", line.socket.local_addr()?.port())?;
        lines.push(line);
    }
    writeln!(out)?;
    out.flush()?;
    let mut batch = Batch::new();
    let mut counters = SendCounters::default();
    let mut due = sys::monotonic_now();
    loop {
        // A late tick is made up for: one left out would leave a packet waiting in each socket.
        due = due + TICK;
        sys::sleep_until(due);
        for line in &mut lines {
            line.read(&mut batch)?;
        }
        for line in &mut lines {
            line.send(&mut counters);
        }
    }
}

impl Line {
    fn bind() -> io::Result<Line> {
        let socket = UdpSocket::bind((cable::server(), 0))?;
        socket.set_nonblocking(true)?;
        sys::enable_timestamps(&socket)?;
        Ok(Line {
            socket,
            peer: None,
            packet: Vec::with_capacity(PACKET_BYTES),
        })
    }

    /// Takes one packet, if there is one: it has to be kept, for the buffer is the next socket's.
    fn read(&mut self, batch: &mut Batch) -> io::Result<()> {
        sys::recv_one(&self.socket, batch, self.peer);
        let Some(packet) = batch.packet(0) else {
            return Ok(());
        };
        self.packet.extend_from_slice(packet.bytes);
        if self.peer.is_none() {
            sys::connect(&self.socket, packet.from)?;
            self.peer = Some(packet.from);
        }
        Ok(())
    }

    fn send(&mut self, counters: &mut SendCounters) {
        if !self.packet.is_empty() {
            sys::send(&self.socket, &self.packet, None, counters);
            self.packet.clear();
        }
    }
}
