//! The yardstick: a process that sends each packet back where it came from. One thread, one
//! socket per leg, epoll.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use antiphon::net::sys;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::support::cable;
use crate::support::server::Process;

/// When a reflector sends back what it gets.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// As soon as it comes: [`run`].
    AtOnce,
    /// Behind the read of all sockets in each tick: [`super::floor`].
    InTicks,
}

impl Kind {
    /// The argument that makes this program one.
    fn flag(self) -> &'static str {
        match self {
            Kind::AtOnce => "--reflect",
            Kind::InTicks => "--reflect-in-ticks",
        }
    }
}

/// A running reflector; killed when dropped.
#[derive(Debug)]
pub struct Reflector {
    child: Child,
    /// A port per leg.
    pub ports: Vec<u16>,
}

impl Reflector {
    /// Starts this program again as a reflector with so many sockets.
    pub fn start(kind: Kind, legs: usize) -> io::Result<Reflector> {
        let mut child = cable::at_server(std::env::current_exe()?)
            .args([kind.flag(), &legs.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ports = line.split_whitespace().filter_map(|p| p.parse().ok());
        Ok(Reflector {
            ports: ports.collect(),
            child,
        })
    }

    /// The process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Reflector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reflects until killed, at the real-time priority of the server's media threads, where permitted.
pub fn run(legs: usize) -> io::Result<()> {
    let _ = sys::set_fifo(20);
    let mut poll = Poll::new()?;
    let mut sockets = Vec::new();
    let mut out = io::stdout().lock();
    for i in 0..legs {
        let mut socket = UdpSocket::bind(SocketAddr::from((cable::server(), 0)))?;
        let registry = poll.registry();
        registry.register(&mut socket, Token(i), Interest::READABLE)?;
        write!(out, "{} ", socket.local_addr()?.port())?;
        sockets.push(socket);
    }
    writeln!(out)?;
    out.flush()?;
    let mut events = Events::with_capacity(64);
    let mut buffer = [0; 2048];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let socket = &sockets[event.token().0];
            // Edge-triggered: until it is empty.
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(&buffer[..len], from);
            }
        }
    }
}
