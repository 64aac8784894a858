//! A web server with a script: what it answers, and what it was asked.

use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request: its first line, and its headers in small letters.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

type Script = dyn Fn(&Asked) -> Vec<u8> + Send + Sync;

/// Answers each connection's only request.
pub struct WebServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
}

impl WebServer {
    /// `script` gives the bytes of each response; none at all: it never answers.
    pub fn new(script: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (all, ended) = (asked.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (script, all) = (script.clone(), all.clone());
                std::thread::spawn(move || serve(&stream, &*script, &all));
            }
        });
        Self {
            address,
            asked,
            stop,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Nobody is there any more.
    pub fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which lets go of the socket.
        let _ = TcpStream::connect(self.address);
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.close();
    }
}

fn serve(stream: &TcpStream, script: &Script, all: &Mutex<Vec<Asked>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(line) = lines.next() else { return };
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let asked = Asked {
        line,
        headers: headers.collect(),
    };
    all.lock().unwrap().push(asked.clone());
    let response = script(&asked);
    if response.is_empty() {
        std::thread::sleep(Duration::from_secs(20));
    }
    let mut stream = stream;
    let _ = stream.write_all(&response);
}

/// A response with a body.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

/// Asks a server, with a key: status and body.
pub fn get(here: SocketAddr, path: &str, secret: &str) -> (u16, String) {
    ask("GET", here, path, secret)
}

/// The same by any method, without a body.
pub fn ask(method: &str, here: SocketAddr, path: &str, secret: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(here).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
