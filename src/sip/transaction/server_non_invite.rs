//! The non-INVITE server transaction (RFC 3261 §17.2.2).

use super::timers::Alarms;
use super::{ServerEvent, ServerOutput, Timer, Timers};
use std::collections::VecDeque;
use std::time::Instant;

/// Where a non-INVITE server transaction is.
///
/// ```text
///            request
///               v
///          +--------+   request: absorbed
///          | Trying |---------------------.
///          +--------+                     |
///               | 1xx                     | 200-699
///               v                         |
///        +------------+ -.                |
///        | Proceeding |  | request, 1xx:  |
///        +------------+ <' send           |
///               | 200-699                 |
///               v                         |
///        +-----------+ <------------------'
///        | Completed | request: send again
///        +-----------+
///               | J, failure          (Trying, Proceeding: Unanswered, failure)
///               v
///        +------------+
///        | Terminated |
///        +------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing answered yet.
    Trying,
    /// A provisional response went out.
    Proceeding,
    /// The final response went out.
    Completed,
    /// Over: to be dropped.
    Terminated,
}

/// A non-INVITE server transaction.
#[derive(Debug)]
pub struct ServerNonInvite {
    state: State,
    timers: Timers,
    reliable: bool,
    alarms: Alarms,
    last: Vec<u8>,
    outputs: VecDeque<ServerOutput>,
}

impl ServerNonInvite {
    /// A transaction for a request that has just arrived.
    pub fn new(timers: Timers, reliable: bool, now: Instant) -> Self {
        let mut alarms = Alarms::default();
        // Its client gives up then (timer F), so an answer is of no use afterwards.
        alarms.set(Timer::Unanswered, now + timers.patience());
        ServerNonInvite {
            state: State::Trying,
            timers,
            reliable,
            alarms,
            last: Vec::new(),
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

    /// Takes one event; those that concern INVITE are ignored.
    pub fn handle(&mut self, event: ServerEvent, now: Instant) {
        match (self.state, event) {
            (State::Proceeding | State::Completed, ServerEvent::Retransmission) => self.send_last(),
            (State::Trying | State::Proceeding, ServerEvent::Respond { status, bytes }) => {
                self.respond(status, bytes, now);
            }
            // In Trying nothing has been sent that could have failed.
            (State::Proceeding | State::Completed, ServerEvent::TransportFailed) => {
                self.terminate();
            }
            _ => {}
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.alarms.pop_due(now).is_some() {
            self.terminate();
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

    fn respond(&mut self, status: u16, bytes: Vec<u8>, now: Instant) {
        self.last = bytes;
        self.send_last();
        if status < 200 {
            self.state = State::Proceeding;
        } else if self.reliable {
            self.terminate();
        } else {
            self.state = State::Completed;
            self.alarms.clear();
            self.alarms.set(Timer::J, now + self.timers.patience());
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
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum On {
        Ok,
        Wake,
    }
    use On::{Ok, Wake};

    fn apply(machine: &mut ServerNonInvite, on: On, now: &mut Instant) -> String {
        let respond = |status, text: &str| ServerEvent::Respond {
            status,
            bytes: text.as_bytes().to_vec(),
        };
        let event = match on {
            Ok => Some(respond(200, "200")),
            Wake => None,
        };
        if let Some(event) = event {
            machine.handle(event, *now);
        } else {
            *now = machine.poll_timeout().unwrap_or(*now);
            machine.handle_timeout(*now);
        }
        let mut words = Vec::new();
        while let Some(output) = machine.poll_output() {
            words.push(match output {
                ServerOutput::Send(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                other => format!("{other:?}"),
            });
        }
        words.join(" ")
    }

    #[test]
    fn timer_j_is_64_t1_or_nothing() {
        let start = Instant::now();
        let mut now = start;
        let mut machine = ServerNonInvite::new(Timers::default(), false, now);
        apply(&mut machine, Ok, &mut now);
        apply(&mut machine, Wake, &mut now);
        assert_eq!(now.duration_since(start).as_secs(), 32);
        let mut machine = ServerNonInvite::new(Timers::default(), true, now);
        apply(&mut machine, Ok, &mut now);
        assert!(machine.is_terminated());
    }
}
