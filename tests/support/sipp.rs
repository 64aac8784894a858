//! Runs sipp with a scenario of `tests/interop`, bounded in time, and reads what it counted.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::server::free_address;

/// How long a run may take in all.
const LIMIT: Duration = Duration::from_secs(40);

/// A run to be made.
#[derive(Debug)]
pub struct Sipp {
    scenario: PathBuf,
    arguments: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
}

/// What sipp counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Calls that went by the scenario.
    pub successful: u32,
    /// Calls that did not.
    pub failed: u32,
    /// Messages that sipp had to send again.
    pub retransmissions: u32,
}

impl Sipp {
    /// A scenario by its file name, without `.xml`.
    pub fn scenario(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
        Self {
            scenario: directory.join(format!("{name}.xml")),
            arguments: Vec::new(),
            files: Vec::new(),
        }
    }

    /// The dialled user.
    pub fn user(self, user: &str) -> Self {
        self.arguments(&["-s", user])
    }

    /// So many calls, so many of them begun in a second.
    pub fn calls(self, calls: u32, per_second: u32) -> Self {
        let (calls, rate) = (calls.to_string(), per_second.to_string());
        self.arguments(&["-m", &calls, "-l", &calls, "-r", &rate])
    }

    /// Any of sipp's options.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    /// A file that the scenario names.
    pub fn file(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.files.push((name.to_owned(), bytes));
        self
    }

    /// Runs against a listener; fails unless every call was successful.
    pub fn run(self, transport: &str, server: SocketAddr) -> Counted {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let here = free_address(server.ip());
        let media = free_address(server.ip());
        let mode = if transport == "tcp" { "t1" } else { "u1" };
        let output = std::fs::File::create(directory.path().join("screen")).unwrap();
        let mut child = Command::new("sipp")
            .arg(server.to_string())
            .arg("-sf")
            .arg(&self.scenario)
            .args(["-t", mode, "-i", &here.ip().to_string()])
            .args([
                "-p",
                &here.port().to_string(),
                "-mp",
                &media.port().to_string(),
            ])
            .args([
                "-nostdin",
                "-timeout",
                "30s",
                "-timeout_error",
                "-recv_timeout",
                "10000",
            ])
            .args([
                "-trace_stat",
                "-stf",
                "counted.csv",
                "-trace_err",
                "-error_file",
                "errors",
            ])
            .args(if self.arguments.iter().any(|a| a == "-m") {
                &[][..]
            } else {
                &["-m", "1"]
            })
            .args(&self.arguments)
            .current_dir(directory.path())
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("sipp (package sip-tester)");
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            // Waiting for a child with a bound has no call in std.
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |name: &str| {
            let bytes = std::fs::read(directory.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let why = || {
            let screen = read("screen");
            let from = screen.len().saturating_sub(3000);
            format!(
                "{status:?} {}\n{}\n{}",
                self.scenario.display(),
                read("errors"),
                screen.get(from..).unwrap_or_default()
            )
        };
        assert!(status.is_some_and(|s| s.success()), "{}", why());
        let counted = counted(&read("counted.csv"));
        assert_eq!(counted.failed, 0, "{}", why());
        assert!(counted.successful > 0, "{}", why());
        counted
    }
}

/// The cumulative figures of the last line.
fn counted(csv: &str) -> Counted {
    let mut lines = csv.lines();
    let names: Vec<_> = lines.next().expect("a line of names").split(';').collect();
    let last: Vec<_> = lines
        .next_back()
        .expect("a line of figures")
        .split(';')
        .collect();
    let of = |name: &str| {
        let at = names
            .iter()
            .position(|n| *n == name)
            .unwrap_or_else(|| panic!("no {name}"));
        last[at].parse().unwrap()
    };
    Counted {
        successful: of("SuccessfulCall(C)"),
        failed: of("FailedCall(C)"),
        retransmissions: of("Retransmissions(C)"),
    }
}
