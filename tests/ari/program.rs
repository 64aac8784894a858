//! A program under way: what it has said, and what it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The secret of its key.
pub const SECRET: &str = "a-secret-of-16-bytes-or-more";
/// The longest that a step may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// It.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Program {
    /// `meeting.js` or `meeting.py`, as a client of this server; `media` is where RTP of its own goes.
    pub fn start(language: &str, server: SocketAddr, media: SocketAddr) -> Self {
        let clients = clients();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ari");
        let interpreter = match language {
            "js" => clients.join("bin/node"),
            _ => clients.join("bin/python"),
        };
        let mut child = Command::new(interpreter)
            .arg(source.join(format!("meeting.{language}")))
            .args([&format!("http://{server}/"), "meeting", SECRET])
            .arg(media.to_string())
            .env("NODE_PATH", clients.join("node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            input: child.stdin.take().unwrap(),
            child,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for its next step, which has to begin with this; what follows.
    pub fn expect(&mut self, step: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|error| {
                panic!(
                    "{error} while it should say {step:?}; so far: {:#?}",
                    self.said
                )
            });
            self.said.push(line.clone());
            // Libraries print what they like.
            let Some(said) = line.strip_prefix("step ") else {
                continue;
            };
            let rest = said.strip_prefix(step);
            let rest = rest.unwrap_or_else(|| panic!("{step:?} was to come: {:#?}", self.said));
            return rest.trim().to_owned();
        }
    }

    /// Lets it go on.
    pub fn go(&mut self) {
        self.input.write_all(b"go\n").unwrap();
    }

    /// It ends by itself, well.
    pub fn wait_end(mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}; {:#?}", self.said);
                return;
            }
            assert!(
                Instant::now() < deadline,
                "it does not end: {:#?}",
                self.said
            );
            // Waiting for a child with a bound has no call in std.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the clients are installed; they are, from then on.
pub fn clients() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ari-clients");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/ari-clients");
    let status = Command::new(script).arg(&directory).status().unwrap();
    assert!(status.success(), ".ci/ari-clients: {status}");
    directory
}
