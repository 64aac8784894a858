//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use super::timers::Alarms;
use super::{ClientEvent, ClientOutput, Timer, Timers};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Where a non-INVITE client transaction is.
///
/// ```text
///          request: send
///               v
///          +--------+ -.
///          | Trying |  | E: send again
///          +--------+ <'         F: Timeout, failure: TransportError --> Terminated
///        1xx |    | 200-699: to the user
///            v    '----------.
///     +------------+ -.      |
///     | Proceeding |  | E: send again; 1xx: to the user
///     +------------+ <'      |   F, failure as above
///            | 200-699       |
///            v               v
///         +--------------------+
///         |     Completed      | absorbs repeated responses
///         +--------------------+
///                   | K
///                   v
///             +------------+
///             | Terminated |
///             +------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No response yet.
    Trying,
    /// A provisional response has come.
    Proceeding,
    /// The final response has come.
    Completed,
    /// Over: to be dropped.
    Terminated,
}

/// A non-INVITE client transaction.
#[derive(Debug)]
pub struct ClientNonInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    alarms: Alarms,
    interval: Duration,
    request: Vec<u8>,
    outputs: VecDeque<ClientOutput>,
}

impl ClientNonInvite {
    /// Sends `request`, serialised.
    pub fn new(request: Vec<u8>, timers: Timers, reliable: bool, now: Instant) -> Self {
        let mut alarms = Alarms::default();
        alarms.set(Timer::F, now + timers.patience());
        let mut outputs = VecDeque::with_capacity(2);
        let request = if reliable {
            outputs.push_back(ClientOutput::Send(request));
            Vec::new()
        } else {
            alarms.set(Timer::E, now + timers.t1);
            outputs.push_back(ClientOutput::Send(request.clone()));
            request
        };
        ClientNonInvite {
            state: State::Trying,
            timers,
            reliable,
            alarms,
            interval: timers.t1,
            request,
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

    /// Takes one event; a CANCEL of anything but INVITE is ignored (RFC 3261 §9.1).
    pub fn handle(&mut self, event: ClientEvent, now: Instant) {
        if !matches!(self.state, State::Trying | State::Proceeding) {
            return;
        }
        match event {
            ClientEvent::Response(status) => self.response(status, now),
            ClientEvent::TransportFailed => {
                self.outputs.push_back(ClientOutput::TransportError);
                self.terminate();
            }
            ClientEvent::Cancel => {}
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.alarms.pop_due(now) {
            match timer {
                Timer::E => {
                    let bytes = self.request.clone();
                    self.outputs.push_back(ClientOutput::Send(bytes));
                    self.interval = if self.state == State::Proceeding {
                        self.timers.t2
                    } else {
                        self.timers.back_off(self.interval)
                    };
                    self.alarms.set(Timer::E, now + self.interval);
                }
                Timer::F => {
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
        self.outputs.push_back(ClientOutput::Response);
        if status < 200 {
            self.state = State::Proceeding;
            return;
        }
        self.alarms.clear();
        self.request = Vec::new();
        if self.reliable {
            self.terminate();
        } else {
            self.state = State::Completed;
            self.alarms.set(Timer::K, now + self.timers.t4);
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
        Trying,
        Wake,
    }
    use On::{Trying, Wake};

    fn new(reliable: bool, now: Instant) -> ClientNonInvite {
        ClientNonInvite::new(b"BYE".to_vec(), Timers::default(), reliable, now)
    }

    fn apply(machine: &mut ClientNonInvite, on: On, now: &mut Instant) -> String {
        let event = match on {
            Trying => Some(ClientEvent::Response(100)),
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

    fn drain(machine: &mut ClientNonInvite) -> String {
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
    fn repetition_backs_off_to_t2_and_a_provisional_makes_it_t2() {
        let start = Instant::now();
        let times = |answer_at_first: bool| {
            let mut now = start;
            let mut machine = new(false, now);
            drain(&mut machine);
            if answer_at_first {
                apply(&mut machine, Trying, &mut now);
            }
            let mut times = Vec::new();
            while machine.poll_timeout().is_some() {
                apply(&mut machine, Wake, &mut now);
                times.push(now.duration_since(start).as_millis());
            }
            times
        };
        assert_eq!(
            times(false),
            [
                500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 32000
            ]
        );
        assert_eq!(
            times(true),
            [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500, 32000]
        );
    }
}
