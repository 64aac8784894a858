//! The switch, its edge without media, the network, the clock. Nothing is polled: time goes from
//! one thing that is due to the next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use antiphon::app::{AppSpec, ConferenceSpec, PlayItem, PlaySpec, RecordSpec};
use antiphon::audio::process::ProcessSettings;
use antiphon::endpoint::{self, Limits};
use antiphon::sdp::SrtpPolicy;
use antiphon::sdp::negotiate::Capabilities;
use antiphon::sip::message::parse_datagram;
use antiphon::sip::transport::{Advertised, Flow, Transport};
use antiphon::srtp::Suite;
use antiphon::switch::fuzz::Edge;
use antiphon::switch::routes::{Route, Routes, anchored};
use antiphon::switch::{Input, Settings, Switch};
use antiphon::{call, sip};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::caller::Caller;

const SERVER: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 255, 0, 1)), 5060);
/// Fewer than there are calls at the worst of times: some get 503.
const PORTS: u16 = 3_000;
/// Between two calls, us, on average.
const EVERY_US: u64 = 3_000;
/// Chance that a datagram is lost, that it comes twice.
const LOSS: f64 = 0.05;
const DUPLICATE: f64 = 0.03;
/// The longest that one is on its way, us; unequal times are what reorders them.
const DELAY_US: u64 = 90_000;
/// The longest that it takes to bind ports, us.
const BIND_US: u64 = 150_000;
/// A caller is forgotten so long after its call began: its server has given up by then.
const LIFE_US: u64 = 150_000_000;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub answered: u64,
    pub refused: u64,
    pub vanished: u64,
    /// Callers that cancel, in time or not.
    pub cancelled: u64,
    /// Callers that never acknowledge.
    pub silent: u64,
    pub garbled: u64,
    pub server_byes: u64,
    pub lost: u64,
    pub doubled: u64,
    pub datagrams: u64,
    pub most_calls: usize,
    pub most_transactions: usize,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    ToServer(u32, Vec<u8>),
    ToCaller(u32, Vec<u8>),
    Wake(u32),
    Forget(u32),
    /// The ports that were asked for are bound.
    Ports,
}

pub struct World {
    base: Instant,
    us: u64,
    rng: StdRng,
    switch: Switch,
    edge: Edge,
    callers: HashMap<u32, Caller>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    order: u64,
    binding: bool,
    pub tally: Tally,
    /// Of every byte that the server sent, FNV-1a.
    pub digest: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut edge = Edge::new(PORTS);
        edge.hold_ports = true;
        Self {
            base: Instant::now(),
            us: 0,
            rng: StdRng::seed_from_u64(seed),
            switch: Switch::new(settings(), routes(), seed),
            edge,
            callers: HashMap::new(),
            due: BinaryHeap::new(),
            order: 0,
            binding: false,
            tally: Tally::default(),
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// So many calls, and what is left of them: nothing.
    pub fn run(&mut self, calls: u32) {
        for index in 0..calls {
            let next = self.us + self.rng.random_range(0..2 * EVERY_US);
            self.run_to(next);
            let caller = Caller::new(index, self.us, &mut self.rng);
            self.callers.insert(index, caller);
            self.later(LIFE_US, Due::Forget(index));
            self.caller(index, |caller, us, out, _| caller.start(us, out));
        }
        let end = self.us + LIFE_US + 300_000_000;
        self.run_to(end);
        assert_eq!(self.switch.leftovers(), 0, "left over in the switch");
        assert_eq!(self.switch.transactions(), 0, "transactions");
        assert_eq!(self.switch.poll_timeout(), None, "timers");
        assert_eq!(self.edge.leftovers(), 0, "ports, legs, bridges, recordings");
        assert_eq!(self.edge.started, self.edge.ended, "each call ends once");
        assert!(self.due.is_empty() && self.callers.is_empty());
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_micros(self.us)
    }

    fn later(&mut self, us: u64, due: Due) {
        self.order += 1;
        self.due.push(Reverse((self.us + us, self.order, due)));
    }

    fn run_to(&mut self, end: u64) {
        loop {
            let timer = self.switch.poll_timeout().map(|at| {
                let ns = at.saturating_duration_since(self.base).as_nanos();
                ns.div_ceil(1000) as u64
            });
            let network = self.due.peek().map(|Reverse((at, ..))| *at);
            let Some(next) = timer
                .into_iter()
                .chain(network)
                .min()
                .filter(|&at| at <= end)
            else {
                self.us = end;
                return;
            };
            self.us = self.us.max(next);
            if network == Some(next) {
                if let Some(Reverse((_, _, due))) = self.due.pop() {
                    self.happen(due);
                }
            } else {
                self.switch.handle_timeout(self.now());
            }
            self.settle();
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::ToServer(index, bytes) => {
                let flow = Flow {
                    transport: Transport::Udp,
                    local: SERVER,
                    remote: Caller::address(index),
                    connection: None,
                    host: None,
                };
                let input = match parse_datagram(&bytes) {
                    Ok(message) => endpoint::Input::Message { flow, message },
                    Err(error) => endpoint::Input::Malformed { flow, error },
                };
                self.switch.handle(Input::Sip(input), self.now());
            }
            Due::ToCaller(index, bytes) => {
                let message = parse_datagram(&bytes).expect("the server writes valid SIP");
                self.caller(index, |caller, us, out, tally| {
                    caller.receive(message, &bytes, us, out, tally);
                });
            }
            Due::Wake(index) => {
                let garble = self.rng.random();
                self.caller(index, |caller, us, out, tally| {
                    caller.wake(us, garble, out, tally);
                });
            }
            Due::Ports => {
                self.binding = false;
                let now = self.now();
                self.edge.give_ports(&mut self.switch, true, now);
            }
            Due::Forget(index) => {
                self.callers.remove(&index);
            }
        }
    }

    /// Does something with a caller that still is there, and sends what it then sends.
    fn caller(
        &mut self,
        index: u32,
        f: impl FnOnce(&mut Caller, u64, &mut Vec<Vec<u8>>, &mut Tally),
    ) {
        let mut out = Vec::new();
        let us = self.us;
        let Some(caller) = self.callers.get_mut(&index) else {
            return;
        };
        f(caller, us, &mut out, &mut self.tally);
        if let Some(at) = caller.arm() {
            self.later(at.saturating_sub(us), Due::Wake(index));
        }
        for bytes in out {
            self.carry(|bytes| Due::ToServer(index, bytes), bytes);
        }
    }

    fn carry(&mut self, due: impl Fn(Vec<u8>) -> Due, bytes: Vec<u8>) {
        self.tally.datagrams += 1;
        if self.rng.random_bool(LOSS) {
            self.tally.lost += 1;
            return;
        }
        if self.rng.random_bool(DUPLICATE) {
            self.tally.doubled += 1;
            let delay = self.rng.random_range(500..DELAY_US);
            self.later(delay, due(bytes.clone()));
        }
        let delay = self.rng.random_range(500..DELAY_US);
        self.later(delay, due(bytes));
    }

    fn settle(&mut self) {
        let now = self.now();
        self.edge.carry_out(&mut self.switch, now);
        while let Some((flow, bytes)) = self.edge.sent.pop_front() {
            for &byte in &bytes {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            if let Some(index) = Caller::index(flow.remote) {
                self.carry(|bytes| Due::ToCaller(index, bytes), bytes);
            }
        }
        if self.edge.waiting() > 0 && !self.binding {
            self.binding = true;
            let time = self.rng.random_range(0..BIND_US);
            self.later(time, Due::Ports);
        }
        let calls = self.switch.calls();
        assert!(self.edge.bound() <= calls, "ports without a call");
        let tally = &mut self.tally;
        tally.most_calls = tally.most_calls.max(calls);
        tally.most_transactions = tally.most_transactions.max(self.switch.transactions());
    }
}

fn settings() -> Settings {
    Settings {
        call: call::Settings {
            capabilities: Capabilities::default(),
            advertised: Advertised::default(),
            session_expires: Duration::from_secs(90),
            min_se: Duration::from_secs(90),
            max_length: Duration::from_secs(40),
            srtp: SrtpPolicy::Optional,
            srtp_suites: Suite::ALL.to_vec(),
            fingerprint: None,
            dtls_offered: false,
            media_from_anywhere: false,
        },
        demand: antiphon::switch::Demand::default(),
        endpoint: endpoint::Settings {
            limits: Limits {
                transactions: 100_000,
                ..Limits::default()
            },
            ..endpoint::Settings::default()
        },
        registration: sip::registration::Settings::default(),
        max_calls: 6_000,
        max_rooms: 100,
        workers: 2,
        legs_per_worker: 6_000,
        unacknowledged: 2000,
        bridges_per_worker: 100,
        jitter_max_ms: 60,
        media_timeout_ms: 0,
        inband_digits: false,
        process: ProcessSettings::default(),
    }
}

/// `e` echoes, `p` plays until it is hung up, `r` records, `cNN` are conferences of ten.
fn routes() -> Routes {
    let row = |pattern, spec| Route {
        pattern: anchored(pattern).unwrap(),
        sources: Vec::new(),
        denied: Vec::new(),
        auth: false,
        srtp: SrtpPolicy::Optional,
        spec,
    };
    let play = PlaySpec {
        items: vec![PlayItem::Silence(Duration::from_secs(1))],
        repeat: 0,
    };
    let record = RecordSpec {
        beep: false,
        max: None,
        silence: None,
        file: None,
    };
    let conference = ConferenceSpec {
        room: "$0".to_owned(),
        lone_prompt: false,
        max_members: 10,
        ..ConferenceSpec::default()
    };
    Routes(vec![
        row("e", AppSpec::Echo),
        row("p", AppSpec::Play(play)),
        row("r", AppSpec::Record(record)),
        row("c..", AppSpec::Conference(conference)),
    ])
}
