//! An edge without sockets, threads and files: it does what a switch wants as fast as it can, and
//! holds what the real one would hold, so that what is left over can be counted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};

use crate::app::Happened;
use crate::audio::MediaTime;
use crate::bridge::Bridge;
use crate::call::CallHandle;
use crate::dtmf::Digit;
use crate::leg::player::{Play, PlayEnd, PlayEndReason};
use crate::leg::tap::{RecordFrame, Tap, TapSettings};
use crate::leg::{Leg, LegEvent, LegId};
use crate::sip::transport::Flow;
use crate::switch::{Event, Input, Output, RoomFiles, Switch};
use crate::worker::{self, BridgeId, Command};

/// The most outputs that one input may have: more is a loop.
const MAX_OUTPUTS: usize = 100_000;

/// The edge.
#[derive(Debug)]
pub struct Edge {
    free: VecDeque<u16>,
    ports: BTreeMap<CallHandle, u16>,
    /// Calls that wait for their ports, while these are held back.
    waiting: VecDeque<CallHandle>,
    /// Ports are not given before [`Edge::give_ports`].
    pub hold_ports: bool,
    legs: BTreeMap<(usize, LegId), Box<Leg>>,
    bridges: BTreeMap<(usize, BridgeId), Box<Bridge>>,
    plays: BTreeMap<(usize, LegId), Box<Play>>,
    frames: Sender<RecordFrame>,
    /// Messages that were sent and not taken yet.
    pub sent: VecDeque<(Flow, Vec<u8>)>,
    /// Recordings whose file is open.
    pub recordings: usize,
    /// Calls that began.
    pub started: u64,
    /// Calls that are over.
    pub ended: u64,
    /// INVITEs that were refused without a call.
    pub refused: u64,
}

impl Edge {
    /// With so many pairs of ports.
    pub fn new(ports: u16) -> Self {
        Self {
            free: (0..ports).map(|n| 20_000 + 2 * n).collect(),
            ports: BTreeMap::new(),
            waiting: VecDeque::new(),
            hold_ports: false,
            legs: BTreeMap::new(),
            bridges: BTreeMap::new(),
            plays: BTreeMap::new(),
            // Nobody reads: a leg that does not run writes nothing.
            frames: bounded(1).0,
            sent: VecDeque::new(),
            recordings: 0,
            started: 0,
            ended: 0,
            refused: 0,
        }
    }

    /// Pairs of ports that are bound.
    pub fn bound(&self) -> usize {
        self.ports.len()
    }

    /// Calls whose ports are held back.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that a call could have left here.
    pub fn leftovers(&self) -> usize {
        self.ports.len()
            + self.waiting.len()
            + self.legs.len()
            + self.bridges.len()
            + self.plays.len()
            + self.recordings
    }

    /// Does what the switch wants.
    ///
    /// # Panics
    /// Where it wants more than any input can ask for: that is a bug.
    pub fn carry_out(&mut self, switch: &mut Switch, now: Instant) {
        for _ in 0..MAX_OUTPUTS {
            let Some(output) = switch.poll_output() else {
                return;
            };
            if let Some(input) = self.done(output) {
                switch.handle(input, now);
            }
        }
        panic!("the outputs of one input do not end");
    }

    /// Gives the ports that were held back, or says that there are none.
    pub fn give_ports(&mut self, switch: &mut Switch, there_are: bool, now: Instant) {
        while let Some(call) = self.waiting.pop_front() {
            let input = if there_are {
                self.reserve(call)
            } else {
                no_ports(call)
            };
            switch.handle(input, now);
            self.carry_out(switch, now);
        }
    }

    /// Each leg tells of a digit, or of a play that has ended, or of silence for too long.
    pub fn tell_of_legs(&mut self, switch: &mut Switch, what: u8, now: Instant) {
        let legs: Vec<_> = self.legs.keys().copied().collect();
        for (worker, leg) in legs {
            let event = match what % 4 {
                0 => LegEvent::MediaTimeout,
                1 => match self.plays.remove(&(worker, leg)) {
                    Some(play) => LegEvent::PlayEnded(play, PLAYED),
                    None => continue,
                },
                2 => LegEvent::Digit(Digit::POUND),
                _ => LegEvent::Digit(Digit::STAR),
            };
            let event = worker::Event::Leg(leg, event);
            switch.handle(Input::Media { worker, event }, now);
            self.carry_out(switch, now);
        }
    }

    /// Does one thing, and answers where an answer is due.
    fn done(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Transmit { flow, bytes, .. } => self.sent.push_back((flow, bytes)),
            Output::Reserve { call, .. } if self.hold_ports => self.waiting.push_back(call),
            Output::Reserve { call, .. } => return Some(self.reserve(call)),
            Output::RoomFiles(RoomFiles::Open(wanted)) => {
                let (recording, error) = (wanted.recording, "no files".to_owned());
                return Some(Input::RecordingFailed { recording, error });
            }
            Output::Banned(_)
            | Output::RoomFiles(_)
            | Output::Unbanned(_)
            | Output::DiscardRecording(_)
            | Output::ForgetNames(_)
            | Output::GiveUpPlay(_)
            | Output::PlayInBridge(_)
            | Output::RecordBridge(_) => {}
            Output::Release { call } => {
                self.waiting.retain(|&waiting| waiting != call);
                self.free.extend(self.ports.remove(&call));
            }
            Output::Open { worker, leg, call } => {
                assert!(self.ports.contains_key(&call), "a leg without ports");
                let double = self.legs.insert((worker, leg.id()), leg);
                assert!(double.is_none(), "a place is used twice");
            }
            Output::Media { worker, command } => return self.command(worker, command),
            Output::Play { call, id, .. } => {
                let play = Box::new(Play::once(u64::from(id.0), Vec::new()));
                return Some(Input::PlayReady { call, id, play });
            }
            Output::Record { recording, .. } => {
                self.recordings += 1;
                let settings = TapSettings {
                    recording,
                    max_samples: None,
                    silence_stop_samples: None,
                    start: MediaTime::ZERO,
                };
                let tap = Tap::new(settings, self.frames.clone());
                return Some(Input::RecordReady { recording, tap });
            }
            Output::CloseRecording { .. } => self.recordings -= 1,
            Output::Resolve { dial, .. } => {
                let ways = Err("nobody can be called".to_owned());
                return Some(Input::Resolved { dial, ways });
            }
            Output::Mailbox { call, number, .. } => {
                return Some(Input::Mailbox {
                    call,
                    request: number,
                    happened: Happened::Messages(Ok(Vec::new())),
                });
            }
            Output::Locate { call, .. } => return Some(Input::Located { call, items: None }),
            Output::Event(event) => self.count(&event),
        }
        None
    }

    fn reserve(&mut self, call: CallHandle) -> Input {
        let Some(rtp_port) = self.free.pop_front() else {
            return no_ports(call);
        };
        let double = self.ports.insert(call, rtp_port);
        assert!(double.is_none(), "a call has ports twice");
        Input::MediaReady {
            call,
            rtp_port,
            rtcp_port: rtp_port + 1,
        }
    }

    fn command(&mut self, worker: usize, command: Command) -> Option<Input> {
        let event = match command {
            Command::Close(id) => {
                self.plays.remove(&(worker, id));
                worker::Event::Closed(self.legs.remove(&(worker, id))?)
            }
            Command::Detach(id) => {
                self.plays.remove(&(worker, id));
                worker::Event::Detached(self.legs.remove(&(worker, id))?)
            }
            Command::Open(leg) => {
                self.legs.insert((worker, leg.id()), leg);
                return None;
            }
            Command::CreateBridge(id, bridge) => {
                self.bridges.insert((worker, id), bridge);
                return None;
            }
            Command::CloseBridge(id) => {
                let bridge = self.bridges.remove(&(worker, id))?;
                worker::Event::BridgeClosed(id, bridge)
            }
            Command::Join {
                leg, bridge, port, ..
            } => {
                if self.bridges.contains_key(&(worker, bridge)) {
                    return None;
                }
                worker::Event::JoinRefused(leg, bridge, port)
            }
            Command::Play(id, play) => {
                let before = self.plays.insert((worker, id), play)?;
                worker::Event::Leg(id, LegEvent::PlayEnded(before, STOPPED))
            }
            Command::StopPlay(id) => {
                let play = self.plays.remove(&(worker, id))?;
                worker::Event::Leg(id, LegEvent::PlayEnded(play, STOPPED))
            }
            Command::Record(id, tap) => {
                let Some(leg) = self.legs.get_mut(&(worker, id)) else {
                    return Some(stopped(worker, id, &tap));
                };
                return leg.record(tap).map(|before| stopped(worker, id, &before));
            }
            Command::StopRecord(id) => {
                let tap = self.legs.get_mut(&(worker, id))?.stop_record()?;
                return Some(stopped(worker, id, &tap));
            }
            _ => return None,
        };
        Some(Input::Media { worker, event })
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Started { .. } => self.started += 1,
            Event::Ended(_) => self.ended += 1,
            Event::Refused { .. } => self.refused += 1,
            _ => {}
        }
    }
}

const PLAYED: PlayEnd = PlayEnd {
    reason: PlayEndReason::Finished,
    samples: 8000,
    underruns: 0,
};
const STOPPED: PlayEnd = PlayEnd {
    reason: PlayEndReason::Stopped,
    ..PLAYED
};

fn no_ports(call: CallHandle) -> Input {
    let why = "all ports are taken".to_owned();
    Input::MediaFailed { call, why }
}

fn stopped(worker: usize, leg: LegId, tap: &Tap) -> Input {
    let event = LegEvent::RecordingStopped {
        recording: tap.recording(),
        reason: None,
        samples: tap.end_position(),
        length: tap.length(),
        memory: None,
    };
    let event = worker::Event::Leg(leg, event);
    Input::Media { worker, event }
}
