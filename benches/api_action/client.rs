//! The clients: one that asks, and many that read events.

use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::SECRET;

/// One connection that asks one thing after the other.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Client {
    /// To the server's API.
    pub fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).expect("not zero");
        Self(stream)
    }

    /// Changes something.
    pub fn post(&mut self, path: &str, body: &str) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {SECRET}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask(&head);
    }

    /// The ID of the only call that there is.
    pub fn only_call(&mut self) -> String {
        let body = self.ask(&format!(
            "GET /api/v1/calls HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {SECRET}\r\n\r\n"
        ));
        let (_, rest) = body.split_once(r#""id":""#).expect("there is a call");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    fn ask(&mut self, request: &str) -> String {
        self.0
            .write_all(request.as_bytes())
            .expect("the server reads");
        let (head, mut body) = head(&mut self.0);
        assert!(head.starts_with("HTTP/1.1 2"), "{head}{body:?}");
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.eq_ignore_ascii_case("content-length");
            is_it.then(|| value.trim().parse::<usize>().ok())?
        });
        let have = body.len();
        body.resize(length.unwrap_or(0).max(have), 0);
        self.0
            .read_exact(&mut body[have..])
            .expect("the body follows");
        String::from_utf8(body).expect("the API speaks UTF-8")
    }
}

/// The head of a response, and what came with it of the body.
fn head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let body = bytes.split_off(end + 4);
            return (String::from_utf8_lossy(&bytes).into_owned(), body);
        }
        let length = stream.read(&mut buffer).expect("the server answers");
        assert!(length > 0, "the server hung up");
        bytes.extend(&buffer[..length]);
    }
}

/// Programs that are told events.
#[derive(Debug)]
pub struct Readers {
    stop: Arc<AtomicBool>,
    reading: JoinHandle<Read>,
    stalled: Vec<TcpStream>,
}

/// What they have read.
#[derive(Debug, Default)]
pub struct Read {
    readers: usize,
    bytes: u64,
    cut_off: usize,
    stalled: usize,
}

impl Readers {
    /// So many that read, and so many that do not.
    pub fn connect(server: SocketAddr, readers: usize, stalled: usize) -> Self {
        let reading: Vec<_> = (0..readers).map(|_| subscribe(server)).collect();
        let stalled = (0..stalled).map(|_| subscribe(server)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            reading: thread::spawn(move || read(reading, &stopped)),
            stalled,
        }
    }

    /// Ends them all.
    pub fn stop(self) -> Read {
        self.stop.store(true, Ordering::Relaxed);
        let read = self.reading.join().expect("it does not panic");
        Read {
            stalled: self.stalled.len(),
            ..read
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} readers of events: {} kB each, {} cut off; besides {} that never read",
            self.readers,
            self.bytes / 1000 / self.readers.max(1) as u64,
            self.cut_off,
            self.stalled
        )
    }
}

fn subscribe(server: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {SECRET}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let (head, _) = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    stream
}

/// Reads all, and only counts.
fn read(mut streams: Vec<TcpStream>, stop: &AtomicBool) -> Read {
    let mut read = Read {
        readers: streams.len(),
        ..Read::default()
    };
    for stream in &streams {
        stream.set_nonblocking(true).expect("a socket");
    }
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        streams.retain_mut(|stream| match stream.read(&mut buffer) {
            Ok(0) => {
                read.cut_off += 1;
                false
            }
            Ok(length) => {
                read.bytes += length as u64;
                true
            }
            Err(error) => {
                let goes_on = error.kind() == ErrorKind::WouldBlock;
                read.cut_off += usize::from(!goes_on);
                goes_on
            }
        });
        thread::sleep(Duration::from_millis(50));
    }
    read
}
