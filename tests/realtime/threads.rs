//! A real engine on real sockets, its media thread confined: run in a process of its own, since
//! a thread that leaves its bounds takes the process with it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon::engine::{Bell, Engine, Input, Settings};
use antiphon::leg::Channel;
use antiphon::net::media::{PortPool, SocketPair};
use antiphon::net::sys;
use antiphon::store::recorder::{Recorder, RecorderSettings};
use antiphon::worker::{Command, Event};

use crate::director::{Director, Tellings};
use crate::filter;
use crate::party::Party;
use crate::tally::{Logs, Tally};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LEGS: usize = 40;
const BRIDGES: usize = 6;
/// Room enough for the pairs that rest, from a place that differs between processes.
const PORTS: u16 = 2000;

/// The peers' side of a call.
struct Call {
    party: Party,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    stranger: UdpSocket,
    /// The server's sockets, kept until the leg has closed, as the control side has to.
    server: Option<Arc<SocketPair>>,
    received: u64,
}

/// Runs calls for `seconds`. Returns what happened, and the packets that the peers got.
pub fn run(seconds: u64) -> (Tellings, u64) {
    let tally: &'static Tally = Box::leak(Box::default());
    TALLY.set(tally).expect("one engine in this process");
    Logs::install();
    filter::watch();
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = Recorder::start(RecorderSettings::default()).expect("a recorder");
    let (bell, line) = Bell::new().expect("a bell");
    let mut rings = 0;
    let mut engine = Engine::start_confined(
        Settings {
            workers: 1,
            legs_per_worker: LEGS,
            bridges_per_worker: BRIDGES,
            realtime_priority: None,
            io_uring: true,
            bypass: None,
        },
        &bell,
        confine,
    )
    .expect("an engine");
    let first = 20_000 + (std::process::id() % 20) as u16 * PORTS;
    let rest = Duration::from_millis(200);
    let mut pool = PortPool::new(first..=first + PORTS - 1, vec![LOCAL], rest, 0);
    let mut calls: Vec<Call> = (0..LEGS as u64).map(Call::new).collect();
    let peers: Vec<SocketAddr> = calls.iter().map(Call::address).collect();
    let mut director = Director::new(3, LEGS, BRIDGES, recorder.sender());
    let mut stopped = BTreeMap::new();

    let began = Instant::now();
    let mut ms = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..2 {
            let Some(command) = director.next(|leg| peers[leg as usize]) else {
                continue;
            };
            engine.send(0, input(command, &mut pool, &mut calls, &recorder, &folder));
        }
        if line.recv(&mut [0]).is_ok() {
            rings += 1;
            bell.heard();
        }
        engine.poll(|_, event| {
            if let Event::Leg(
                _,
                antiphon::leg::LegEvent::RecordingStopped {
                    recording, samples, ..
                },
            ) = &event
            {
                stopped.insert(*recording, *samples);
            }
            if let Event::Closed(leg) = &event
                && let Some(pair) = calls[leg.id().index as usize].server.take()
            {
                pool.release_port(pair.rtp_port, Instant::now());
            }
            director.heard(event);
        });
        while let Some((recording, samples)) = stopped.pop_first() {
            recorder.close(recording, samples);
        }
        recorder.events().try_iter().count();
        director.supply();
        for call in &mut calls {
            call.talk(ms);
        }
        ms += 2;
        // Paced, so that this process' other threads get the processor too.
        sys::sleep_until(sys::monotonic_now() + Duration::from_millis(2));
    }
    // The engine cannot be stopped: the thread's end would ask for more than the filter allows.
    let stats = engine.stats();
    std::mem::forget(engine);
    assert!(recorder.stop(antiphon::store::recorder::STOP_TIME));
    tally.assert_untouched();
    assert_eq!(stats.lost_events, 0);
    assert!(stats.lateness.count() > 0, "slots have run");
    assert!(rings > 100, "the thread has rung: {rings}");
    let received = calls.iter().map(|call| call.received).sum();
    // The thread still runs, and must not be left with the last hold on a socket.
    std::mem::forget(calls);
    (director.told, received)
}

static TALLY: std::sync::OnceLock<&'static Tally> = std::sync::OnceLock::new();

/// Called by the media thread on itself.
fn confine() {
    filter::confine();
    TALLY.get().expect("set before").mark();
}

/// Gives a command what it needs of the system: sockets, a file.
fn input(
    command: Command,
    pool: &mut PortPool,
    calls: &mut [Call],
    recorder: &Recorder,
    folder: &tempfile::TempDir,
) -> Input {
    match command {
        Command::Open(leg) => {
            let pair = pool.reserve(LOCAL, Instant::now()).expect("a free pair");
            let pair = Arc::new(pair);
            calls[leg.id().index as usize].server = Some(pair.clone());
            Input::Open(leg, pair)
        }
        Command::Record(leg, tap) => {
            let id = tap.recording();
            let path = folder.path().join(format!("{id}.wav"));
            recorder.open(id, &path, 8000).expect("a recording");
            Input::Command(Command::Record(leg, tap))
        }
        other => Input::Command(other),
    }
}

impl Call {
    fn new(seed: u64) -> Self {
        let socket = || {
            let socket = UdpSocket::bind((LOCAL, 0)).expect("a socket");
            socket.set_nonblocking(true).expect("non-blocking");
            socket
        };
        Self {
            party: Party::new(seed),
            rtp: socket(),
            rtcp: socket(),
            stranger: socket(),
            server: None,
            received: 0,
        }
    }

    fn address(&self) -> SocketAddr {
        self.rtp.local_addr().expect("bound")
    }

    fn talk(&mut self, now_ms: u64) {
        let mut buffer = [0; 2048];
        while self.rtp.recv(&mut buffer).is_ok() || self.rtcp.recv(&mut buffer).is_ok() {
            self.received += 1;
        }
        let (rtp, rtcp, stranger) = (&self.rtp, &self.rtcp, &self.stranger);
        let server = self.server.as_deref();
        self.party.poll(now_ms, |datagram| {
            let Some(server) = server else { return };
            let (socket, port) = match datagram.channel {
                Channel::Rtp if datagram.foreign => (stranger, server.rtp_port),
                Channel::Rtp => (rtp, server.rtp_port),
                Channel::Rtcp => (rtcp, server.rtcp_port),
            };
            // Lost, like any datagram.
            let _ = socket.send_to(datagram.bytes, (LOCAL, port));
        });
    }
}
