//! The real server binary as a child process: own ports, own directory, own log.
//!
//! ```ignore
//! #[path = "support/server.rs"]
//! mod server;
//!
//! let server = server::Config::new().set("sip", "t1_ms", 100).route("user = \"7\"\napp = \"echo\"").start();
//! server.udp();                     // where it listens
//! server.wait_log("answered");      // bounded in time
//! server.terminate();               // SIGTERM
//! assert!(server.wait_exit().success());
//! ```
//!
//! Tests run in parallel, as threads or as processes: SIP ports are the system's choice, RTP ports
//! a block that a listening socket reserves. A server is ended by its own PID when it is dropped,
//! and its log is shown where the test has failed.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// How long the server may take for anything that it does at once.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// RTP ports of one server: enough for 48 calls.
const BLOCK: u16 = 100;
/// Blocks lie below the ports that the system gives to sockets of its choice (32768 and up).
const FIRST_BLOCK: u16 = 10_000;
const BLOCKS: u16 = 220;

/// A configuration to be written.
#[derive(Clone, Debug)]
pub struct Config {
    sections: BTreeMap<String, BTreeMap<String, String>>,
    routes: Vec<String>,
    tables: Vec<String>,
    builtin_routes: bool,
    program: Vec<String>,
    rtp_pairs: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// UDP and TCP on 127.0.0.1 and ::1, ports of the system's choice, built-in routes, no prompt
    /// for lone members and no beep (which would be heard among the tones of a test).
    pub fn new() -> Self {
        let config = Self {
            sections: BTreeMap::new(),
            routes: Vec::new(),
            tables: Vec::new(),
            builtin_routes: true,
            program: vec![env!("CARGO_BIN_EXE_antiphon").to_owned()],
            // The pair with the reserved port is left out.
            rtp_pairs: BLOCK / 2 - 1,
        };
        config
            .set("sip", "udp", "[\"127.0.0.1:0\", \"[::1]:0\"]")
            .set("sip", "tcp", "[\"127.0.0.1:0\", \"[::1]:0\"]")
            .set("conference", "lone_prompt", false)
            .set("recording", "beep", false)
    }

    /// Sets a key of a section; `value` is TOML.
    pub fn set(mut self, section: &str, key: &str, value: impl Display) -> Self {
        let section = self.sections.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), value.to_string());
        self
    }

    /// Adds a route: the TOML lines of one `[[route]]`.
    pub fn route(mut self, lines: &str) -> Self {
        self.routes.push(lines.to_owned());
        self
    }

    /// Adds whole tables, headers included: `[[mailbox]]`, `[[menu]]` and their choices.
    pub fn tables(mut self, text: &str) -> Self {
        self.tables.push(text.to_owned());
        self
    }

    /// No routes but those added.
    pub fn no_builtin_routes(mut self) -> Self {
        self.builtin_routes = false;
        self
    }

    /// Only so many pairs of RTP ports.
    pub fn rtp_pairs(mut self, pairs: u16) -> Self {
        assert!(pairs < BLOCK / 2);
        self.rtp_pairs = pairs;
        self
    }

    /// Runs the server through another program, as `prlimit --nofile=64 antiphon ...`.
    pub fn through(mut self, program: &[&str]) -> Self {
        let words = program.iter().map(|word| (*word).to_owned());
        self.program.splice(0..0, words);
        self
    }

    /// Starts the server and waits until it is ready.
    pub fn start(self) -> Server {
        Server::start(&self)
    }

    fn to_toml(&self, directory: &Path, ports: &PortBlock) -> String {
        let mut sections = self.sections.clone();
        let mut default = |section: &str, key: &str, value: String| {
            let section = sections.entry(section.to_owned()).or_default();
            section.entry(key.to_owned()).or_insert(value);
        };
        let recordings = directory.join("recordings");
        default(
            "recording",
            "directory",
            format!("{:?}", recordings.display().to_string()),
        );
        default(
            "media",
            "rtp_ports",
            format!("{:?}", ports.range(self.rtp_pairs)),
        );
        default("media", "port_rest_seconds", "0".to_owned());
        // One port of the default would not do for all tests.
        default("http", "listen", "[]".to_owned());
        let mut toml = format!("builtin_routes = {}\n", self.builtin_routes);
        for (section, keys) in &sections {
            let _ = writeln!(toml, "\n[{section}]");
            for (key, value) in keys {
                let _ = writeln!(toml, "{key} = {value}");
            }
        }
        for route in &self.routes {
            let _ = writeln!(toml, "\n[[route]]\n{route}");
        }
        for tables in &self.tables {
            let _ = writeln!(toml, "\n{tables}");
        }
        toml
    }
}

/// RTP ports that no other test uses while this lives: the last port of the block is a listening
/// TCP socket, which only one process can have.
#[derive(Debug)]
struct PortBlock {
    first: u16,
    _reserved: TcpListener,
}

impl PortBlock {
    fn reserve() -> Self {
        // Where the search starts only saves attempts.
        let start = (std::process::id() as u16).wrapping_mul(7) % BLOCKS;
        for n in 0..BLOCKS {
            let first = FIRST_BLOCK + (start + n) % BLOCKS * BLOCK;
            // Programs that know nothing of the reservation may have ports in it.
            let is_free = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok();
            if let Ok(reserved) = TcpListener::bind(("127.0.0.1", first + BLOCK - 1))
                && (first..first + BLOCK).all(is_free)
            {
                return Self {
                    first,
                    _reserved: reserved,
                };
            }
        }
        panic!("all blocks of RTP ports are in use");
    }

    fn range(&self, pairs: u16) -> String {
        format!("{}-{}", self.first, self.first + 2 * pairs - 1)
    }
}

#[derive(Debug, Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    fn follow(self: &Arc<Self>, from: impl Read + Send + 'static) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                let mut text = log.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                log.grown.notify_all();
            }
        });
    }

    /// Waits until `found` finds something.
    fn wait<T>(&self, limit: Duration, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut text = self.text.lock().unwrap();
        loop {
            if let Some(value) = found(&text) {
                return Some(value);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            text = self.grown.wait_timeout(text, left).unwrap().0;
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Mutex<Child>,
    log: Arc<Log>,
    program: Vec<String>,
    directory: tempfile::TempDir,
    ports: PortBlock,
    listening: Vec<(String, SocketAddr)>,
}

impl Server {
    fn start(config: &Config) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports = PortBlock::reserve();
        let file = directory.path().join("antiphon.toml");
        std::fs::write(&file, config.to_toml(directory.path(), &ports)).unwrap();
        let (child, log) = spawn(&config.program, directory.path());
        let mut server = Self {
            child: Mutex::new(child),
            log,
            program: config.program.clone(),
            directory,
            ports,
            listening: Vec::new(),
        };
        server.wait_ready();
        server
    }

    /// Starts it again, once it is gone: same configuration, same directory, another log.
    pub fn restart(&mut self) {
        assert!(!self.is_running(), "it still runs");
        let (child, log) = spawn(&self.program, self.directory.path());
        self.child = Mutex::new(child);
        self.log = log;
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        self.wait_for(
            |text| text.lines().any(|l| l == "ready").then_some(()),
            "ready",
        );
        self.listening = listening(&self.log());
    }

    /// Where it listens: the first address of this transport and family.
    pub fn address(&self, transport: &str, v6: bool) -> SocketAddr {
        self.listening
            .iter()
            .find(|(t, a)| t.eq_ignore_ascii_case(transport) && a.is_ipv6() == v6)
            .map_or_else(
                || panic!("no {transport} listener: {:?}", self.listening),
                |(_, a)| *a,
            )
    }

    /// The UDP listener on 127.0.0.1.
    pub fn udp(&self) -> SocketAddr {
        self.address("udp", false)
    }

    /// The TCP listener on 127.0.0.1.
    pub fn tcp(&self) -> SocketAddr {
        self.address("tcp", false)
    }

    /// Its working directory; recordings are in `recordings` below.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Recordings so far, in the order of their names.
    pub fn recordings(&self) -> Vec<PathBuf> {
        self.files_below("recordings")
    }

    /// Files below a directory of its own, in the order of their names.
    pub fn files_below(&self, directory: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.directory().join(directory)];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// Writes another configuration to the server's file; SIGHUP makes it read it.
    pub fn rewrite(&self, config: &Config) {
        self.rewrite_text(&config.to_toml(self.directory(), &self.ports));
    }

    /// The same with any text.
    pub fn rewrite_text(&self, text: &str) {
        std::fs::write(self.directory().join("antiphon.toml"), text).unwrap();
    }

    /// All that it has said so far, banner and log.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Waits for a line of the log that has `what` in it, and gives that line.
    pub fn wait_log(&self, what: &str) -> String {
        let line = |text: &str| text.lines().find(|l| l.contains(what)).map(str::to_owned);
        self.wait_for(line, what)
    }

    /// Waits until `count` lines of the log have `what` in them, and gives them.
    pub fn wait_log_count(&self, what: &str, count: usize) -> Vec<String> {
        let lines = |text: &str| {
            let lines: Vec<_> = text.lines().filter(|l| l.contains(what)).collect();
            (lines.len() >= count).then(|| lines.into_iter().map(str::to_owned).collect())
        };
        self.wait_for(lines, what)
    }

    fn wait_for<T>(&self, found: impl Fn(&str) -> Option<T>, what: &str) -> T {
        self.log
            .wait(PATIENCE, found)
            .unwrap_or_else(|| panic!("the server never said {what:?}"))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// SIGKILL; returns once the process is gone.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Any signal by name.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: no package needed for it.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success(), "kill -s {name}");
    }

    /// Waits until it has ended by itself.
    pub fn wait_exit(&self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            // Waiting for a child with a bound has no call in std.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // Fails only where it has ended.
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}------", self.log());
        }
    }
}

/// The server on the configuration file of this directory, and what it says.
fn spawn(program: &[String], directory: &Path) -> (Child, Arc<Log>) {
    let mut child = Command::new(&program[0])
        .args(&program[1..])
        .args(["serve", "--config"])
        .arg(directory.join("antiphon.toml"))
        .current_dir(directory)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Arc::new(Log::default());
    log.follow(child.stdout.take().unwrap());
    log.follow(child.stderr.take().unwrap());
    (child, log)
}

/// Reads `listening   udp 127.0.0.1:5060` from the banner.
fn listening(banner: &str) -> Vec<(String, SocketAddr)> {
    let lines = banner
        .lines()
        .filter_map(|line| line.trim().strip_prefix("listening"));
    lines
        .filter_map(|line| {
            let (transport, address) = line.trim().split_once(' ')?;
            Some((transport.to_owned(), address.parse().ok()?))
        })
        .collect()
}

/// An address with a free port of either transport, for a client that wants to be told its port.
pub fn free_address(ip: IpAddr) -> SocketAddr {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port on {ip}");
}
