//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1), with reliable provisional
//! responses (RFC 3262) and the repetition of the 2xx (RFC 3261 §13.3.1.4), which the RFC gives to
//! the transaction user: here one place holds all that is resent.

use super::timers::{Alarms, TRYING_AFTER};
use super::{ServerEvent, ServerOutput, Timer, Timers};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Reliable provisional responses that may wait for the one before to be acknowledged.
pub const MAX_PROVISIONALS: usize = 16;

/// Where an INVITE server transaction is.
///
/// ```text
///                  INVITE
///                    v              200 ms unanswered: 100
///             +------------+ ----.  INVITE: last 1xx again
///             | Proceeding |     |  1xx: send; reliable 1xx: resend until PRACK
///             +------------+ <---'
///          300-699 |   | 2xx
///         .--------'   '-----------.
///         v                        v
///  +-----------+ -.         +----------+ -. INVITE, Success: 2xx again
///  | Completed |  | INVITE, | Accepted |  |  until the first ACK, which goes
///  +-----------+ <' G: send +----------+ <'  to the user; then absorbs all
///    |    |  ACK                   | L (unacknowledged: AckTimeout)
///    |    v                        |
///    |  +-----------+              |
///    |  | Confirmed | absorbs all  |
///    |  +-----------+              |
///    | H, failure  | I             |
///    v             v               v
///  +-------------------------------------+
///  |              Terminated             |
///  +-------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No final response yet.
    Proceeding,
    /// Answered 2xx.
    Accepted,
    /// Answered 300-699, not acknowledged yet.
    Completed,
    /// Answered 300-699 and acknowledged.
    Confirmed,
    /// Over: to be dropped.
    Terminated,
}

#[derive(Debug)]
struct Provisional {
    rseq: u32,
    bytes: Vec<u8>,
}

/// An INVITE server transaction.
#[derive(Debug)]
pub struct ServerInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    alarms: Alarms,
    /// Between the next two repetitions of `last`, or of the first of `provisionals`.
    interval: Duration,
    /// The latest response, for repetition; empty before the first.
    last: Vec<u8>,
    acknowledged: bool,
    /// Not acknowledged yet; the first is on its way, the others wait for it (RFC 3262 §3).
    provisionals: VecDeque<Provisional>,
    outputs: VecDeque<ServerOutput>,
}

impl ServerInvite {
    /// A transaction for an INVITE that has just arrived.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        let mut alarms = Alarms::default();
        alarms.set(Timer::Trying, now + TRYING_AFTER);
        ServerInvite {
            state: State::Proceeding,
            timers,
            reliable,
            alarms,
            interval: timers.t1,
            last: Vec::new(),
            acknowledged: false,
            provisionals: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it is over.
    pub fn is_terminated(&self) -> bool {
        self.state == State::Terminated
    }

    /// Whether a PRACK of this RSeq number is still expected.
    pub fn awaits(&self, rseq: u32) -> bool {
        self.provisionals.front().is_some_and(|p| p.rseq == rseq)
    }

    /// Takes one event.
    pub fn handle(&mut self, event: ServerEvent, now: Instant) {
        match self.state {
            State::Proceeding => self.proceeding(event, now),
            State::Accepted => self.accepted(&event),
            State::Completed => self.completed(&event, now),
            State::Confirmed | State::Terminated => {}
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.alarms.pop_due(now) {
            self.fire(timer, now);
        }
    }

    /// When `handle_timeout` is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.next()
    }

    #[cfg(test)]
    pub(super) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        self.outputs.pop_front()
    }

    fn proceeding(&mut self, event: ServerEvent, now: Instant) {
        match event {
            ServerEvent::Retransmission if self.last.is_empty() => {
                self.outputs.push_back(ServerOutput::Trying);
            }
            ServerEvent::Retransmission => self.send_last(),
            ServerEvent::Respond { status, bytes } => self.respond(status, bytes, now),
            ServerEvent::RespondReliable { rseq, bytes } => {
                if self.provisionals.len() < MAX_PROVISIONALS {
                    self.provisionals.push_back(Provisional { rseq, bytes });
                    if self.provisionals.len() == 1 {
                        self.start_provisional(now);
                    }
                }
            }
            ServerEvent::Acknowledged { rseq } => {
                if self.awaits(rseq) {
                    self.provisionals.pop_front();
                    self.start_provisional(now);
                }
            }
            // RFC 6026 §7.1: the user may still find another way, so the transaction stays.
            ServerEvent::Ack | ServerEvent::TransportFailed => {}
        }
    }

    fn accepted(&mut self, event: &ServerEvent) {
        match *event {
            // RFC 6026 §7.1: absorbed once the 2xx is known to have come.
            ServerEvent::Retransmission if !self.acknowledged => self.send_last(),
            ServerEvent::Ack if !self.acknowledged => {
                self.acknowledged = true;
                // It stays for 32 s, and with thousands of calls a second there are many.
                self.last = Vec::new();
                self.alarms.stop(Timer::Success);
                self.outputs.push_back(ServerOutput::Ack);
            }
            // A PRACK may cross the 2xx.
            ServerEvent::Acknowledged { rseq } if self.awaits(rseq) => self.provisionals.clear(),
            _ => {}
        }
    }

    fn completed(&mut self, event: &ServerEvent, now: Instant) {
        match event {
            ServerEvent::Retransmission => self.send_last(),
            ServerEvent::Ack => {
                self.alarms.clear();
                if self.reliable {
                    self.terminate();
                } else {
                    self.state = State::Confirmed;
                    self.last = Vec::new();
                    self.alarms.set(Timer::I, now + self.timers.t4);
                }
            }
            ServerEvent::TransportFailed => self.terminate(),
            _ => {}
        }
    }

    fn respond(&mut self, status: u16, bytes: Vec<u8>, now: Instant) {
        self.last = bytes;
        self.alarms.stop(Timer::Trying);
        if status >= 200 {
            self.alarms.clear();
            self.provisionals.truncate(1);
            self.interval = self.timers.t1;
            let end = now + self.timers.patience();
            let next = now + self.interval;
            if status < 300 {
                self.state = State::Accepted;
                self.alarms.set(Timer::L, end);
                // On reliable transports too: the next hop may be a proxy that is not on one.
                self.alarms.set(Timer::Success, next);
            } else {
                self.state = State::Completed;
                self.alarms.set(Timer::H, end);
                if !self.reliable {
                    self.alarms.set(Timer::G, next);
                }
            }
        }
        self.send_last();
    }

    /// Sends the first waiting reliable provisional response, if there is one.
    fn start_provisional(&mut self, now: Instant) {
        self.alarms.stop(Timer::Provisional);
        self.alarms.stop(Timer::ProvisionalEnd);
        let Some(first) = self.provisionals.front() else {
            return;
        };
        self.last.clone_from(&first.bytes);
        self.interval = self.timers.t1;
        self.alarms.stop(Timer::Trying);
        self.alarms.set(Timer::Provisional, now + self.interval);
        self.alarms
            .set(Timer::ProvisionalEnd, now + self.timers.patience());
        self.send_last();
    }

    fn fire(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::Trying => self.outputs.push_back(ServerOutput::Trying),
            Timer::Provisional => {
                if let Some(first) = self.provisionals.front() {
                    let bytes = first.bytes.clone();
                    self.outputs.push_back(ServerOutput::Send(bytes));
                    // RFC 3262 §3: doubles without the bound of T2.
                    self.interval *= 2;
                    self.alarms.set(Timer::Provisional, now + self.interval);
                }
            }
            Timer::ProvisionalEnd => {
                self.alarms.stop(Timer::Provisional);
                self.provisionals.clear();
                self.outputs.push_back(ServerOutput::ProvisionalTimeout);
            }
            Timer::G | Timer::Success => {
                self.send_last();
                self.interval = self.timers.back_off(self.interval);
                self.alarms.set(timer, now + self.interval);
            }
            Timer::L => {
                if !self.acknowledged {
                    self.outputs.push_back(ServerOutput::AckTimeout);
                }
                self.terminate();
            }
            _ => self.terminate(),
        }
    }

    fn send_last(&mut self) {
        let bytes = self.last.clone();
        self.outputs.push_back(ServerOutput::Send(bytes));
    }

    fn terminate(&mut self) {
        self.state = State::Terminated;
        self.alarms.clear();
    }
}

#[cfg(test)]
#[path = "server_invite_tests.rs"]
mod tests;
