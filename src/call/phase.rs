//! How far a call is, for who looks at it from outside.

use super::{Call, State};

/// How far a call is, for who looks at it from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not answered yet.
    Setup,
    /// Answered.
    Up,
    /// Hung up; its media closes.
    Ending,
}

impl Phase {
    /// One word for lists and events.
    pub const fn word(self) -> &'static str {
        match self {
            Phase::Setup => "setup",
            Phase::Up => "up",
            Phase::Ending => "ending",
        }
    }
}

impl Call {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Reserving { .. } | State::Proving { .. } | State::Calling { .. } => Phase::Setup,
            State::Accepted { .. } | State::Established => Phase::Up,
            State::Ending(_) | State::Ended => Phase::Ending,
        }
    }
}
