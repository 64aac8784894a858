//! Who floods, and who asks how the server is meanwhile.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::sip::Dialog;
use crate::support::stats::Quantiles;

/// What comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// INVITEs for the echo; answers are read and never acknowledged.
    Invites,
    /// RTP of another source for one leg's port.
    Rtp,
}

/// The server's CPU, tenths of a per cent, for the row that is printed last.
pub static CPU: AtomicU64 = AtomicU64::new(0);

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    sent: u64,
    ok: u64,
    unavailable: u64,
    with_retry_after: u64,
    other: u64,
}

/// A flood that goes on until it is stopped.
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counts>,
}

impl Flood {
    /// Sends so many a second, spread over the sources.
    pub fn start(kind: Kind, to: SocketAddr, rate: u32, sources: u32) -> Flood {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || flood(kind, to, rate, sources, &stopped));
        Flood { stop, thread }
    }

    /// Ends it.
    pub fn stop(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

fn flood(kind: Kind, to: SocketAddr, rate: u32, sources: u32, stop: &AtomicBool) -> Counts {
    let sockets: Vec<UdpSocket> = (0..sources)
        .map(|n| {
            let from = SocketAddr::from(([127, 0, 1, n as u8 + 1], 0));
            let socket = UdpSocket::bind(from).expect("a loopback address");
            socket.set_nonblocking(true).expect("a socket");
            socket
        })
        .collect();
    let mut counts = Counts::default();
    let began = Instant::now();
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while counts.sent < due {
            let socket = &sockets[counts.sent as usize % sockets.len()];
            let bytes = datagram(kind, counts.sent, socket, to);
            let _ = socket.send_to(&bytes, to);
            counts.sent += 1;
        }
        for socket in &sockets {
            while let Ok(length) = socket.recv(&mut buffer) {
                counts.note(&buffer[..length]);
            }
        }
        thread::sleep(Duration::from_micros(500));
    }
    counts
}

fn datagram(kind: Kind, number: u64, socket: &UdpSocket, to: SocketAddr) -> Vec<u8> {
    match kind {
        Kind::Invites => {
            let from = socket.local_addr().expect("it is bound");
            let media = SocketAddr::from(([127, 0, 0, 1], 9));
            let number = 1_000_000 + number as usize;
            Dialog::new(number, "500", from, to)
                .invite(media)
                .into_bytes()
        }
        Kind::Rtp => {
            let mut packet = vec![0x80, 0];
            packet.extend_from_slice(&(number as u16).to_be_bytes());
            packet.extend_from_slice(&(number as u32 * 160).to_be_bytes());
            packet.extend_from_slice(&0xbad_u32.to_be_bytes());
            packet.extend_from_slice(&[0x90; 160]);
            packet
        }
    }
}

impl Counts {
    fn note(&mut self, datagram: &[u8]) {
        let text = String::from_utf8_lossy(datagram);
        match text.get(8..11) {
            Some("200") => self.ok += 1,
            Some("503") => {
                self.unavailable += 1;
                self.with_retry_after += u64::from(text.contains("\r\nRetry-After: "));
            }
            Some("100") => {}
            _ => self.other += 1,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {}; answers 200 (repeated ones too): {}, 503: {} ({} with Retry-After), other \
             messages: {}",
            self.sent, self.ok, self.unavailable, self.with_retry_after, self.other
        )
    }
}

/// Asks by OPTIONS ten times a second, each once.
pub struct Health {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Vec<i64>)>,
}

impl Health {
    /// Begins to ask.
    pub fn start(to: SocketAddr) -> Health {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || ask(to, &stopped));
        Health { stop, thread }
    }

    /// Ends it, and prints the rest of its row.
    pub fn stop_and_print(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (asked, times) = self.thread.join().expect("it does not panic");
        let q = Quantiles::new(times);
        println!(
            "{} of {asked} | {:.1} | {:.1} | {:.1} |",
            q.len(),
            q.at(0.5),
            q.at(1.0),
            CPU.load(Ordering::Relaxed) as f64 / 10.0
        );
    }
}

fn ask(to: SocketAddr, stop: &AtomicBool) -> (u64, Vec<i64>) {
    const INTERVAL: Duration = Duration::from_millis(100);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(to).expect("a loopback address");
    socket.set_read_timeout(Some(INTERVAL)).expect("not zero");
    let from = socket.local_addr().expect("it is bound");
    let mut sent: Vec<Instant> = Vec::new();
    let mut times = Vec::new();
    let mut buffer = [0; 4096];
    let began = Instant::now();
    let mut finish = None;
    loop {
        let now = Instant::now();
        if stop.load(Ordering::Relaxed) {
            // The last answers are waited for.
            let until = *finish.get_or_insert(now + Duration::from_secs(1));
            if now >= until || times.len() == sent.len() {
                return (sent.len() as u64, times);
            }
        } else if now >= began + INTERVAL * sent.len() as u32 {
            let n = sent.len();
            sent.push(now);
            let text = format!(
                "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK-h{n}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:h@{from}>;tag=h{n}\r\nTo: <sip:{to}>\r\n\
                 Call-ID: health-{n}@{from}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = socket.send(text.as_bytes());
        }
        if let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let number = text
                .split("health-")
                .nth(1)
                .and_then(|t| t.split('@').next());
            let number = number.and_then(|n| n.parse::<usize>().ok());
            if let Some(at) = number.and_then(|n| sent.get(n)) {
                times.push(at.elapsed().as_micros() as i64);
            }
        }
    }
}
