//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2), with CANCEL (RFC 3261 §9.1).

use super::timers::{Alarms, TIMER_D};
use super::{ClientEvent, ClientOutput, Timer, Timers};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Where an INVITE client transaction is.
///
/// ```text
///              request: send INVITE
///                    v
///              +---------+ -.
///              | Calling |  | A: send again
///              +---------+ <'        B: Timeout, failure: TransportError --> Terminated
///           1xx  |  |  | 300-699: ACK, to the user
///                v  |  '-------------------------------.
///     +------------+|                                  |
///     | Proceeding || 1xx: to the user; failure and no |
///     |            || more for 64*T1: CANCEL and       |
///     |            || TransportError --> Terminated    |
///     +------------+| Cancelled: Timeout --> Terminated|
///         |  | 300-699: ACK, to the user               |
///     2xx |  '------+------------------------------.   |
///         v         v 2xx: to the user             v   v
///     +----------------+ -.                     +-----------+ -.
///     |    Accepted    |  | 2xx: to the user    | Completed |  | 300-699: ACK
///     +----------------+ <'                     +-----------+ <'
///              | M                                    | D, failure: TransportError
///              v                                      v
///     +-----------------------------------------------------+
///     |                     Terminated                      |
///     +-----------------------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No response yet.
    Calling,
    /// A provisional response has come.
    Proceeding,
    /// A 2xx has come; others may follow.
    Accepted,
    /// A non-2xx final response has come, and is acknowledged here.
    Completed,
    /// Over: to be dropped.
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// Wanted, but nothing has shown yet that the INVITE got there (RFC 3261 §9.1).
    Wanted,
    Sent,
}

/// An INVITE client transaction.
#[derive(Debug)]
pub struct ClientInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    alarms: Alarms,
    interval: Duration,
    request: Vec<u8>,
    cancel: Cancel,
    /// The way to where it is was lost, and nothing has come by another since.
    lost: bool,
    outputs: VecDeque<ClientOutput>,
}

impl ClientInvite {
    /// Sends `request`, the serialised INVITE.
    pub fn new(request: Vec<u8>, timers: Timers, reliable: bool, now: Instant) -> Self {
        let mut alarms = Alarms::default();
        alarms.set(Timer::B, now + timers.patience());
        let mut outputs = VecDeque::with_capacity(2);
        let request = if reliable {
            outputs.push_back(ClientOutput::Send(request));
            Vec::new()
        } else {
            alarms.set(Timer::A, now + timers.t1);
            outputs.push_back(ClientOutput::Send(request.clone()));
            request
        };
        ClientInvite {
            state: State::Calling,
            timers,
            reliable,
            alarms,
            interval: timers.t1,
            request,
            cancel: Cancel::No,
            lost: false,
            outputs,
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

    /// Whether the user has given it up.
    pub fn is_cancelled(&self) -> bool {
        self.cancel != Cancel::No
    }

    /// The called party may be elsewhere too (RFC 3263 §4.3): without any response it is given up after
    /// 12*T1, when the INVITE has been sent four times.
    pub fn hurry(&mut self, now: Instant) {
        if self.state == State::Calling {
            self.alarms.set(Timer::B, now + self.timers.t1 * 12);
        }
    }

    /// Takes one event.
    pub fn handle(&mut self, event: ClientEvent, now: Instant) {
        match (self.state, event) {
            (State::Calling | State::Proceeding, ClientEvent::Response(status)) => {
                self.response(status, now);
            }
            (State::Accepted, ClientEvent::Response(200..=299)) => {
                self.outputs.push_back(ClientOutput::Response);
            }
            (State::Completed, ClientEvent::Response(300..)) => {
                self.outputs.push_back(ClientOutput::Ack);
            }
            (State::Calling, ClientEvent::Cancel) => self.cancel = Cancel::Wanted,
            (State::Proceeding, ClientEvent::Cancel) => self.send_cancel(now),
            // The INVITE is there: its response comes by another way (RFC 3261 §18.2.2), or who had it has
            // gone with the way.
            (State::Proceeding, ClientEvent::TransportFailed)
                if !self.lost && self.cancel != Cancel::Sent =>
            {
                self.lost = true;
                self.alarms.set(Timer::B, now + self.timers.patience());
            }
            (State::Calling | State::Completed, ClientEvent::TransportFailed) => {
                // In Completed it is the ACK that failed; the user has its final response.
                if self.state != State::Completed {
                    self.outputs.push_back(ClientOutput::TransportError);
                }
                self.terminate();
            }
            _ => {}
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.alarms.pop_due(now) {
            match timer {
                Timer::A => {
                    let bytes = self.request.clone();
                    self.outputs.push_back(ClientOutput::Send(bytes));
                    // RFC 3261 §17.1.1.2: doubles without the bound of T2.
                    self.interval *= 2;
                    self.alarms.set(Timer::A, now + self.interval);
                }
                Timer::B if self.lost => {
                    // It may ring there still: a CANCEL finds a way of its own.
                    self.outputs.push_back(ClientOutput::Cancel);
                    self.outputs.push_back(ClientOutput::TransportError);
                    self.terminate();
                }
                Timer::B | Timer::Cancelled => {
                    self.outputs.push_back(ClientOutput::Timeout);
                    self.terminate();
                }
                _ => self.terminate(),
            }
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
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    fn response(&mut self, status: u16, now: Instant) {
        self.request = Vec::new();
        if status < 200 {
            self.alarms.stop(Timer::A);
            self.alarms.stop(Timer::B);
            self.lost = false;
            self.state = State::Proceeding;
            self.outputs.push_back(ClientOutput::Response);
            if self.cancel == Cancel::Wanted {
                self.send_cancel(now);
            }
            return;
        }
        self.alarms.clear();
        if status < 300 {
            self.state = State::Accepted;
            self.alarms.set(Timer::M, now + self.timers.patience());
        } else {
            self.outputs.push_back(ClientOutput::Ack);
            if self.reliable {
                self.terminate();
            } else {
                self.state = State::Completed;
                self.alarms.set(Timer::D, now + TIMER_D);
            }
        }
        self.outputs.push_back(ClientOutput::Response);
    }

    fn send_cancel(&mut self, now: Instant) {
        if self.cancel != Cancel::Sent {
            self.cancel = Cancel::Sent;
            self.alarms.stop(Timer::B);
            self.alarms
                .set(Timer::Cancelled, now + self.timers.patience());
            self.outputs.push_back(ClientOutput::Cancel);
        }
    }

    fn terminate(&mut self) {
        self.state = State::Terminated;
        self.alarms.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum On {
        Busy,
        Wake,
    }
    use On::{Busy, Wake};

    fn new(reliable: bool, now: Instant) -> ClientInvite {
        ClientInvite::new(b"INVITE".to_vec(), Timers::default(), reliable, now)
    }

    fn apply(machine: &mut ClientInvite, on: On, now: &mut Instant) -> String {
        let event = match on {
            Busy => Some(ClientEvent::Response(486)),
            Wake => None,
        };
        if let Some(event) = event {
            machine.handle(event, *now);
        } else {
            *now = machine.poll_timeout().unwrap_or(*now);
            machine.handle_timeout(*now);
        }
        drain(machine)
    }

    fn drain(machine: &mut ClientInvite) -> String {
        let mut words = Vec::new();
        while let Some(output) = machine.poll_output() {
            words.push(match output {
                ClientOutput::Send(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                other => format!("{other:?}"),
            });
        }
        words.join(" ")
    }

    #[test]
    fn an_unanswered_invite_is_sent_seven_times() {
        let start = Instant::now();
        for (reliable, sends) in [(false, 7), (true, 1)] {
            let mut now = start;
            let mut machine = new(reliable, now);
            let mut log = drain(&mut machine);
            while machine.poll_timeout().is_some() {
                log.push(' ');
                log += &apply(&mut machine, Wake, &mut now);
            }
            assert_eq!(log.matches("INVITE").count(), sends);
            assert!(log.ends_with(" Timeout"));
            assert_eq!(now.duration_since(start).as_secs(), 32);
        }
    }

    #[test]
    fn on_a_reliable_transport_a_refusal_ends_it_at_once() {
        let mut now = Instant::now();
        let mut machine = new(true, now);
        drain(&mut machine);
        assert_eq!(apply(&mut machine, Busy, &mut now), "Ack Response");
        assert!(machine.is_terminated());
    }
}
