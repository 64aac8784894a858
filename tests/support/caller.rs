//! `antiphon call` as a child process: what it printed, and how it ended.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a call of these tests may take in all.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A call under way.
#[derive(Debug)]
pub struct Calling {
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; none: a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `antiphon ARGS...`.
pub fn antiphon(args: &[&str]) -> Calling {
    let mut child = Command::new(env!("CARGO_BIN_EXE_antiphon"))
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out = Some(collect(child.stdout.take().unwrap()));
    let err = Some(collect(child.stderr.take().unwrap()));
    Calling { child, out, err }
}

/// Calls a user of a server: `antiphon call sip:USER@SERVER ARGS...`.
pub fn call(user: &str, server: SocketAddr, args: &[&str]) -> Calling {
    let uri = format!("sip:{user}@{server}");
    antiphon(&[&["call", &uri], args].concat())
}

impl Calling {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: no package needed for it.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success(), "kill -s {name}");
    }

    /// Whether it ends by itself within so long.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                return false;
            }
            // Waiting for a child with a bound has no call in std.
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        assert!(self.ends_within(PATIENCE), "antiphon does not end");
        let status = self.child.wait().unwrap();
        let text = |thread: Option<JoinHandle<String>>| thread.unwrap().join().unwrap();
        Ended {
            status: status.code(),
            out: text(self.out.take()),
            err: text(self.err.take()),
        }
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// What it printed, as the one JSON object that it is.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = from.read_to_string(&mut text);
        text
    })
}
