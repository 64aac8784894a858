//! The server under test: the real binary, as a process of its own on free ports.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cable;

/// A process whose CPU time is read, thread by thread, in ns.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Of all threads.
    pub all: Duration,
    /// Of the media threads.
    pub media: Duration,
}

impl Cpu {
    /// What was used since `earlier`.
    pub fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            all: self.all.saturating_sub(earlier.all),
            media: self.media.saturating_sub(earlier.media),
        }
    }
}

impl Process {
    /// CPU time so far, of the threads that live.
    pub fn cpu(self) -> Cpu {
        let mut cpu = Cpu::default();
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0));
        for task in tasks.into_iter().flatten().flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let run_ns = read("schedstat");
            let run_ns = run_ns.split(' ').next().and_then(|n| n.parse().ok());
            let run = Duration::from_nanos(run_ns.unwrap_or(0));
            cpu.all += run;
            if read("comm").starts_with("media-") {
                cpu.media += run;
            }
        }
        cpu
    }

    /// Resident memory, kB: counted page by page, since the figure in `status` lags by some pages
    /// per thread.
    pub fn rss_kb(self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0)).unwrap_or_default();
        text.lines()
            .find_map(|l| {
                l.strip_prefix("Rss:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    }
}

/// The server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it takes SIP over UDP.
    pub sip: SocketAddr,
    /// Where it takes requests by HTTP, if it does.
    pub http: Option<SocketAddr>,
    /// What its banner said of the media threads.
    pub media: String,
    log: PathBuf,
    _directory: TempDir,
}

/// What the server's own log says, over all calls.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Calls that ended.
    pub calls: u64,
    /// RTP packets received.
    pub rx_packets: u64,
    /// RTP packets missing.
    pub rx_lost: i64,
    /// Packets that came too late to be played.
    pub late: u64,
    /// Samples that were concealed.
    pub concealed: u64,
    /// RTP packets sent.
    pub tx_packets: u64,
    /// Digits.
    pub digits: u64,
    /// Slots that were run: a bridge's ticks.
    pub slots: u64,
    /// Ticks left out.
    pub skipped_ticks: u64,
    /// The bound under which 99 % of the slots' lateness lay, us.
    pub lateness_p99_us: u64,
    /// What else its last line says of ticks, as `key=value`.
    pub ticks: Vec<String>,
}

/// What of the configuration depends on the load.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `media.codecs`; empty for the built-in ones.
    pub codecs: Vec<&'static str>,
    /// Calls at a time.
    pub calls: usize,
    /// Members of a room.
    pub members: usize,
    /// RTP goes past the network stack, with a cable.
    pub xdp: bool,
    /// The limits that a server has without any configuration.
    pub own_limits: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            codecs: Vec::new(),
            calls: 1000,
            members: 1000,
            xdp: false,
            own_limits: false,
        }
    }
}

impl Server {
    /// Starts it with the built-in configuration, but for ports and limits, and waits until it
    /// is ready.
    pub fn start() -> Server {
        Self::start_with(|_| String::new())
    }

    /// The same with more of a configuration, which may refer to files that it writes into the
    /// server's directory.
    pub fn start_with(more: impl FnOnce(&Path) -> String) -> Server {
        Self::start_for(&Settings::default(), more)
    }

    /// The same for a load.
    pub fn start_for(settings: &Settings, more: impl FnOnce(&Path) -> String) -> Server {
        let directory = TempDir::with_prefix("antiphon-bench").expect("a directory");
        let config = directory.path().join("antiphon.toml");
        let recordings = directory.path().join("recordings");
        let text = format!(
            "[sip]\nudp = [\"{}:0\"]\ntcp = []\n\
             {}{}\
             [recording]\ndirectory = '{}'\n\
             [voicemail]\ndirectory = '{}'\n{}",
            cable::server(),
            if settings.own_limits {
                ""
            } else {
                "[limits]\ncalls_per_second_per_source = 100000\ntransactions = 100000\n\
                 unacknowledged_calls = 100000\n"
            },
            settings.text(),
            recordings.display(),
            directory.path().join("voicemail").display(),
            more(directory.path())
        );
        fs::write(&config, text).expect("the configuration is written");
        let log = directory.path().join("log");
        let mut child = cable::at_server(env!("CARGO_BIN_EXE_antiphon"))
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the log is made"))
            .spawn()
            .expect("the server starts");
        let (mut sip, mut http) = (None, None);
        let mut media = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(rest) = line.trim().strip_prefix("listening") {
                let address = rest.split_whitespace().last().and_then(|a| a.parse().ok());
                if rest.trim().starts_with("HTTP") {
                    http = address;
                } else {
                    sip = address;
                }
            } else if let Some(rest) = line.trim().strip_prefix("media") {
                rest.trim().clone_into(&mut media);
            } else if line == "ready" {
                break;
            }
        }
        let Some(sip) = sip else {
            let said = fs::read_to_string(&log).unwrap_or_default();
            panic!("the server did not start: {said}");
        };
        Server {
            child,
            sip,
            http,
            media,
            log,
            _directory: directory,
        }
    }

    /// The process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Ends it by SIGTERM, and reads its log; prints it too if `ANTIPHON_BENCH_LOG` is set.
    pub fn stop(mut self) -> Told {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().is_ok_and(|s| s.is_none()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        if std::env::var_os("ANTIPHON_BENCH_LOG").is_some() {
            eprint!("{log}");
        }
        Told::read(&log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Settings {
    fn text(&self) -> String {
        // As much as is needed and not more: a room's memory grows with its limit.
        let members = self.members.max(2000);
        // On a busy machine the first legs wait long for the last ones to be in.
        let mut text = format!(
            "[conference]\nlone_prompt = false\nmax_rooms = 100000\nmax_members = {members}\n\
             [media]\ntimeout_seconds = 600\n"
        );
        if self.xdp {
            let _ = writeln!(text, "xdp_interface = {:?}", cable::INTERFACE);
        }
        if !self.codecs.is_empty() {
            let _ = writeln!(text, "codecs = {:?}", self.codecs);
        }
        // The built-in range has 5,000 pairs, of which some rest.
        if self.calls > 4000 {
            text.push_str("rtp_ports = \"10000-29999\"\n");
        }
        text
    }
}

impl Told {
    fn read(log: &str) -> Told {
        let mut told = Told::default();
        for line in log.lines() {
            let value = |key: &str| -> i64 {
                line.split(' ')
                    .find_map(|word| word.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
                    .unwrap_or(0)
            };
            if line.contains(" ended call_id=") {
                told.calls += 1;
                told.rx_packets += value("rx_packets") as u64;
                told.rx_lost += value("rx_lost");
                told.late += value("late") as u64;
                told.concealed += value("concealed_samples") as u64;
                told.tx_packets += value("tx_packets") as u64;
                told.digits += value("digits") as u64;
            } else if line.contains(" stopped ") {
                told.slots = value("slots") as u64;
                told.skipped_ticks = value("skipped_ticks") as u64;
                told.lateness_p99_us = value("lateness_p99_us") as u64;
                let is_tick = |w: &&str| {
                    let names = ["lateness_p50", "lateness_max", "length_", "overruns"];
                    names.iter().any(|name| w.starts_with(name))
                };
                let words = line.split(' ').filter(is_tick);
                told.ticks = words.map(str::to_owned).collect();
            }
        }
        told
    }
}
