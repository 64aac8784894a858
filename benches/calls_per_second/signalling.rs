//! The server's signalling without its media, on this process' main thread: the real UDP transport,
//! endpoint, dialogs and calls. What the switch wants of the media is answered at once: ports are
//! counted, not bound, and no leg ever ticks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::app::AppSpec;
use antiphon::audio::process::ProcessSettings;
use antiphon::leg::{Leg, LegId};
use antiphon::net::Alarm;
use antiphon::net::sip::{Net, NetEvent, Settings as NetSettings};
use antiphon::net::sys;
use antiphon::sdp::SrtpPolicy;
use antiphon::sdp::negotiate::Capabilities;
use antiphon::sip::transport::Advertised;
use antiphon::srtp::Suite;
use antiphon::switch::routes::{Route, Routes, anchored};
use antiphon::switch::{self, Input, Output, Switch};
use antiphon::worker::{self, Command};
use antiphon::{call, endpoint, sip};

/// As the server has it (`server::core`, `server::run`).
const NET_EVENTS: usize = 4096;
const BURST: usize = 64;
const LOOK: Duration = Duration::from_millis(100);
/// Above the caller's: what it sends is answered at once.
const PRIORITY: u8 = 20;
/// More than there can be: 2 a call, for 32 s each.
const MANY: usize = 1_000_000;
/// The first and the last pair of counted ports.
const PORTS: std::ops::Range<u16> = 5_000..32_000;

/// What is and what is not in the figures.
pub const SCOPE: &str = "\
In: the server's own UDP receive and send (a system call per message), parsing, transactions and
their timers, dialogs, SDP offer and answer, the choice of a route, printing; the memory of a leg,
which the control side makes and frees. Not in: RTP sockets, media threads, logging, the caller.
Only the CPU time of the thread that does all this is counted, by its own clock.";

/// A server that only signals, as whoever calls it sees it.
#[derive(Debug)]
pub struct Signalling {
    /// Where it takes SIP over UDP.
    pub sip: SocketAddr,
    thread: String,
}

/// What it had to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Calls that ended.
    pub calls: u64,
    /// Datagrams that came, and those of them that were dropped.
    pub received: u64,
    pub dropped: u64,
    /// Messages that went out.
    pub sent: u64,
    /// What is left of all calls, and transactions.
    pub left: usize,
    pub transactions: usize,
}

impl Signalling {
    /// Runs it on this thread, which is to be the main one, as the real server's is (where memory is
    /// taken from goes by that), at real-time priority if it is to have that; until `calls`, on a thread
    /// of its own, has come to its end.
    pub fn serve<T: Send>(
        realtime: bool,
        calls: impl FnOnce(&Signalling) -> T + Send,
    ) -> (T, Told) {
        if realtime {
            // Whether it is permitted, the caller's own thread finds out.
            let _ = sys::set_fifo(PRIORITY);
        }
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().expect("a runtime");
        let within = runtime.enter();
        let (core, sip) = Core::start();
        drop(within);
        let own = std::fs::read_link("/proc/thread-self").expect("/proc");
        let thread = own.file_name().and_then(|n| n.to_str()).expect("a number");
        let own = Signalling {
            sip,
            thread: thread.to_owned(),
        };
        let over = Arc::new(AtomicBool::new(false));
        thread::scope(|scope| {
            let stop = Arc::clone(&over);
            let calling = scope.spawn(move || {
                let made = calls(&own);
                stop.store(true, Ordering::Relaxed);
                made
            });
            // A task, as the server itself is (`main`).
            let told = runtime.block_on(async { tokio::spawn(core.run(over)).await });
            let made = calling.join().expect("it does not panic");
            (made, told.expect("it does not panic"))
        })
    }

    /// The CPU time of its thread so far.
    pub fn cpu(&self) -> Duration {
        let path = format!("/proc/self/task/{}/schedstat", self.thread);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let ns = text.split(' ').next().and_then(|n| n.parse().ok());
        Duration::from_nanos(ns.unwrap_or(0))
    }
}

/// The loop of `server::Core`, with a stub for its media.
struct Core {
    switch: Switch,
    net: Net,
    events: tokio::sync::mpsc::Receiver<NetEvent>,
    legs: HashMap<LegId, Box<Leg>>,
    next_port: u16,
    alarm: Alarm,
    told: Told,
}

impl Core {
    fn start() -> (Core, SocketAddr) {
        let (tx, events) = tokio::sync::mpsc::channel(NET_EVENTS);
        let settings = NetSettings {
            udp: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            ..NetSettings::default()
        };
        let net = Net::bind(settings, tx).expect("a listener");
        let sip = net.listening()[0].1;
        let echo = Route {
            pattern: anchored("500").expect("a pattern"),
            sources: Vec::new(),
            srtp: SrtpPolicy::Optional,
            denied: Vec::new(),
            auth: false,
            spec: AppSpec::Echo,
        };
        let core = Core {
            switch: Switch::new(settings_of_switch(), Routes(vec![echo]), 1),
            net,
            events,
            legs: HashMap::new(),
            next_port: PORTS.start,
            alarm: Alarm::new(),
            told: Told::default(),
        };
        (core, sip)
    }

    async fn run(mut self, over: Arc<AtomicBool>) -> Told {
        while !over.load(Ordering::Relaxed) {
            self.step().await;
        }
        self.told()
    }

    async fn step(&mut self) {
        let look = Instant::now() + LOOK;
        let wake = self.switch.poll_timeout().map_or(look, |t| t.min(look));
        tokio::select! {
            Some(event) = self.events.recv() => {
                self.on_net(event);
                for _ in 0..BURST {
                    let Ok(event) = self.events.try_recv() else { break };
                    self.on_net(event);
                }
            }
            () = self.alarm.until(wake) => {}
        }
        let now = Instant::now();
        if self.switch.poll_timeout().is_some_and(|t| t <= now) {
            self.switch.handle_timeout(now);
            self.carry_out(now);
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = Instant::now();
        let input = match event {
            NetEvent::Message { flow, message } => endpoint::Input::Message { flow, message },
            NetEvent::Malformed { flow, error } => endpoint::Input::Malformed { flow, error },
            NetEvent::Closed { connection } => endpoint::Input::ConnectionClosed(connection),
            NetEvent::Failed(flow) => endpoint::Input::TransportFailed(flow),
        };
        self.switch.handle(Input::Sip(input), now);
        self.carry_out(now);
    }

    fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { flow, bytes, .. } => {
                    self.told.sent += 1;
                    self.net.send(flow, bytes);
                }
                Output::Reserve { call, .. } => {
                    let port = self.next_port;
                    self.next_port = if port + 1 < PORTS.end {
                        port + 1
                    } else {
                        PORTS.start
                    };
                    let input = Input::MediaReady {
                        call,
                        rtp_port: 2 * port,
                        rtcp_port: 2 * port + 1,
                    };
                    self.switch.handle(input, now);
                }
                Output::Open { leg, .. } => {
                    self.legs.insert(leg.id(), leg);
                }
                Output::Media {
                    worker,
                    command: Command::Close(id),
                } => {
                    if let Some(leg) = self.legs.remove(&id) {
                        let event = worker::Event::Closed(leg);
                        self.switch.handle(Input::Media { worker, event }, now);
                    }
                }
                Output::Event(switch::Event::Ended(_)) => self.told.calls += 1,
                _ => {}
            }
        }
    }

    fn told(&self) -> Told {
        let stats = self.net.stats();
        Told {
            received: stats.udp_received,
            dropped: stats.udp_dropped,
            left: self.switch.leftovers(),
            transactions: self.switch.transactions(),
            ..self.told
        }
    }
}

fn settings_of_switch() -> switch::Settings {
    switch::Settings {
        call: call::Settings {
            capabilities: Capabilities::default(),
            advertised: Advertised::default(),
            session_expires: Duration::from_mins(30),
            min_se: Duration::from_secs(90),
            max_length: Duration::from_hours(4),
            srtp: SrtpPolicy::Optional,
            srtp_suites: Suite::ALL.to_vec(),
            fingerprint: None,
            dtls_offered: false,
            media_from_anywhere: false,
        },
        endpoint: endpoint::Settings {
            limits: endpoint::Limits {
                transactions: MANY,
                calls_per_second_per_source: 0,
                ..endpoint::Limits::default()
            },
            ..endpoint::Settings::default()
        },
        demand: switch::Demand::default(),
        registration: sip::registration::Settings::default(),
        max_calls: 20_000,
        unacknowledged: 20_000,
        max_rooms: 1,
        workers: 1,
        legs_per_worker: 20_000,
        bridges_per_worker: 1,
        jitter_max_ms: 200,
        media_timeout_ms: 60_000,
        inband_digits: true,
        process: ProcessSettings::default(),
    }
}
