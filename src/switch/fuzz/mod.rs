//! What must hold for a whole switch, whatever a peer sends, in simulated time. The target
//! `endpoint` in `fuzz/` and `tests/fuzz_bodies.rs` call this.

mod edge;

pub use edge::Edge;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::routes::{Route, Routes, anchored};
use super::{Input, Settings, Switch};
use crate::app::collect::CollectSpec;
use crate::app::{AppSpec, ConferenceSpec, DigitsSpec, PlayItem, PlaySpec, RecordSpec, ScriptSpec};
use crate::call::{self, EndReason};
use crate::endpoint::{self, Limits};
use crate::sdp::SrtpPolicy;
use crate::sdp::negotiate::Capabilities;
use crate::sip::framing::{Frame, Framer};
use crate::sip::message::{Message, parse_datagram};
use crate::sip::transport::{Advertised, ConnectionId, Flow, Transport};
use crate::srtp::Suite;

/// Parts the steps of an input.
const STEP: u8 = b'\x1e';

/// The most steps of an input that are taken: the rest says nothing new.
const MAX_STEPS: usize = 300;

/// Every call and transaction has ended after so long, whatever was going on: the longest call
/// (an hour here, by its settings less), and 64*T1.
const ENOUGH: Duration = Duration::from_mins(10);

/// Takes `bytes` as a script, its steps parted by 0x1E. The first byte of a step says what it is:
///
/// | byte | step |
/// | --- | --- |
/// | `m`, `n` | a datagram from the first peer, from the second |
/// | `s` | bytes on a TCP connection |
/// | `w` | so many milliseconds pass (decimal) |
/// | `p`, `f` | the ports that were asked for are there, are not; from then on they are held back |
/// | `d` | each leg tells something: the next byte says what |
/// | `c` | the connection ends |
/// | `t` | sending to the first peer fails |
/// | `o` | the switch calls the first peer |
/// | `h` | all calls are hung up |
///
/// In messages, `$t`, `$b` and `$i` stand for what the switch last sent: our tag, the branch, the
/// Call-ID.
///
/// After the last step all calls are hung up: then nothing is left of anything.
///
/// # Panics
/// Where something is left, where what is sent cannot be read, where timers do not end.
pub fn script(bytes: &[u8], start: Instant) {
    let mut world = World::new(start);
    for step in bytes.split(|&b| b == STEP).take(MAX_STEPS) {
        if let Some((&kind, text)) = step.split_first() {
            world.step(kind, text);
        }
    }
    world.end();
}

/// A switch, its edge, two peers, a connection.
struct World {
    now: Instant,
    switch: Switch,
    edge: Edge,
    framer: Framer,
    connection: u64,
    /// What `$t`, `$b` and `$i` stand for.
    last: [String; 3],
}

impl World {
    fn new(now: Instant) -> Self {
        Self {
            now,
            switch: Switch::new(settings(), routes(), 1),
            edge: Edge::new(8),
            framer: Framer::new(),
            connection: 1,
            last: Default::default(),
        }
    }

    fn step(&mut self, kind: u8, text: &[u8]) {
        let peer = |last| Flow {
            transport: Transport::Udp,
            local: address(1),
            remote: address(last),
            connection: None,
            host: None,
        };
        match kind {
            b'm' => self.datagram(peer(2), text),
            b'n' => self.datagram(peer(3), text),
            b's' => self.stream(text),
            b'w' => self.pass(milliseconds(text)),
            b'p' | b'f' => {
                self.edge
                    .give_ports(&mut self.switch, kind == b'p', self.now);
                self.edge.hold_ports = true;
                self.settle();
            }
            b'd' => {
                let what = text.first().copied().unwrap_or_default();
                self.edge.tell_of_legs(&mut self.switch, what, self.now);
                self.settle();
            }
            b'c' => self.hang_up_connection(),
            b't' => self.sip(endpoint::Input::TransportFailed(peer(2))),
            b'o' => {
                let uri = format!("sip:p@{}", address(2));
                let spec = AppSpec::Script(ScriptSpec::default());
                let from = "us".to_owned();
                self.switch
                    .originate(uri, from, peer(2), Vec::new(), spec, self.now);
                self.settle();
            }
            b'h' => {
                self.switch.hang_up_all(&EndReason::HungUp, self.now);
                self.settle();
            }
            _ => {}
        }
    }

    fn datagram(&mut self, flow: Flow, text: &[u8]) {
        let input = match parse_datagram(&self.filled(text)) {
            Ok(message) => endpoint::Input::Message { flow, message },
            Err(error) => endpoint::Input::Malformed { flow, error },
        };
        self.sip(input);
    }

    fn stream(&mut self, text: &[u8]) {
        let flow = Flow {
            transport: Transport::Tcp,
            local: address(1),
            remote: address(4),
            connection: Some(ConnectionId(self.connection)),
            host: None,
        };
        self.framer.push(&self.filled(text));
        while let Some(frame) = self.framer.next() {
            match frame {
                Frame::Message(message) => self.sip(endpoint::Input::Message { flow, message }),
                Frame::Malformed(error) => self.sip(endpoint::Input::Malformed { flow, error }),
                Frame::Invalid(error) => {
                    self.sip(endpoint::Input::Malformed { flow, error });
                    self.hang_up_connection();
                }
                Frame::Error(_) => self.hang_up_connection(),
                Frame::Ping | Frame::Pong => {}
            }
        }
    }

    fn hang_up_connection(&mut self) {
        self.framer = Framer::new();
        let connection = ConnectionId(self.connection);
        self.connection += 1;
        self.sip(endpoint::Input::ConnectionClosed(connection));
    }

    fn sip(&mut self, input: endpoint::Input) {
        self.switch.handle(Input::Sip(input), self.now);
        self.settle();
    }

    /// The text with what `$t`, `$b` and `$i` stand for.
    fn filled(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((&byte, behind)) = rest.split_first() {
            let index = match rest {
                [b'$', name, ..] => b"tbi".iter().position(|known| known == name),
                _ => None,
            };
            if let Some(index) = index {
                out.extend_from_slice(self.last[index].as_bytes());
                rest = &behind[1..];
            } else {
                out.push(byte);
                rest = behind;
            }
        }
        out
    }

    /// Time passes, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut before = 0;
        while let Some(at) = self.switch.poll_timeout().filter(|&at| at <= end) {
            before = if at > self.now { 0 } else { before + 1 };
            assert!(before < 10_000, "a timer is due again and again");
            self.now = self.now.max(at);
            self.switch.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        self.edge.carry_out(&mut self.switch, self.now);
        while let Some((_, bytes)) = self.edge.sent.pop_front() {
            let message = parse_datagram(&bytes).expect("what we send can be read");
            let (tag, headers) = match &message {
                Message::Response(response) => (response.to_tag(), &response.headers),
                Message::Request(request) => (request.from_tag(), &request.headers),
            };
            let via = headers.via().ok();
            let branch = via.as_ref().and_then(|via| via.branch());
            let call_id = headers.call_id().unwrap_or_default();
            self.last = [
                tag.unwrap_or_default(),
                branch.unwrap_or_default().to_owned(),
                call_id.to_owned(),
            ];
        }
        assert!(
            self.edge.bound() <= self.switch.calls(),
            "ports without a call"
        );
        let ended = self.edge.ended + self.switch.calls() as u64;
        assert_eq!(self.edge.started, ended, "each call ends once");
    }

    /// Everything comes to its end.
    fn end(&mut self) {
        self.edge.give_ports(&mut self.switch, true, self.now);
        self.edge.hold_ports = false;
        self.switch.hang_up_all(&EndReason::Shutdown, self.now);
        self.settle();
        self.pass(ENOUGH);
        assert_eq!(self.switch.leftovers(), 0, "left over in the switch");
        assert_eq!(self.switch.transactions(), 0, "transactions left over");
        assert_eq!(self.edge.leftovers(), 0, "left over at the edge");
    }
}

/// The switch is 192.0.2.1.
fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 5060))
}

/// At most ten minutes.
fn milliseconds(text: &[u8]) -> Duration {
    let text = std::str::from_utf8(text).unwrap_or_default();
    Duration::from_millis(text.trim().parse().unwrap_or(500u64).min(600_000))
}

fn settings() -> Settings {
    Settings {
        call: call::Settings {
            capabilities: Capabilities::default(),
            advertised: Advertised::default(),
            session_expires: Duration::from_secs(90),
            min_se: Duration::from_secs(90),
            max_length: Duration::from_mins(5),
            srtp: SrtpPolicy::Optional,
            srtp_suites: Suite::ALL.to_vec(),
            fingerprint: None,
            dtls_offered: false,
            media_from_anywhere: false,
        },
        demand: super::Demand::default(),
        endpoint: endpoint::Settings {
            limits: Limits {
                transactions: 100,
                calls_per_second_per_source: 50,
                sources: 2,
            },
            ..endpoint::Settings::default()
        },
        registration: crate::sip::registration::Settings::default(),
        max_calls: 10,
        max_rooms: 2,
        workers: 2,
        legs_per_worker: 8,
        unacknowledged: 6,
        bridges_per_worker: 2,
        jitter_max_ms: 100,
        media_timeout_ms: 30_000,
        inband_digits: false,
        process: crate::audio::process::ProcessSettings::default(),
    }
}

fn routes() -> Routes {
    let conference = ConferenceSpec {
        room: "$0".to_owned(),
        lone_prompt: true,
        max_members: 2,
        ..ConferenceSpec::default()
    };
    let tone = PlayItem::Tone {
        hz: 1000.0,
        level_dbm0: -10.0,
        length: Duration::from_secs(1),
    };
    let play = PlaySpec {
        items: vec![tone],
        repeat: 1,
    };
    let record = RecordSpec {
        beep: false,
        max: None,
        silence: None,
        file: None,
    };
    let digits = DigitsSpec {
        collect: CollectSpec::default(),
        type_ahead: true,
        goodbye: true,
    };
    let row = |pattern, spec| Route {
        pattern: anchored(pattern).expect("a pattern"),
        sources: Vec::new(),
        denied: Vec::new(),
        auth: false,
        srtp: SrtpPolicy::Optional,
        spec,
    };
    Routes(vec![
        row("e", AppSpec::Echo),
        row("p", AppSpec::Play(play)),
        row("r", AppSpec::Record(record)),
        row("d", AppSpec::Digits(digits)),
        row("c.", AppSpec::Conference(conference)),
    ])
}
