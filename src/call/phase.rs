//! What a call is to who looks at it from outside: how far it is, and whose.

use super::{Call, State};
use crate::sip::uri::Uri;

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

    /// The user part (or host) of who called: for names of recordings and for logs.
    pub fn remote_name(&self) -> String {
        let header = if self.is_outgoing {
            self.invite.headers.to()
        } else {
            self.invite.headers.from()
        };
        let uri = header.ok().and_then(|f| f.uri.sip().cloned());
        match uri {
            Some(Uri { user: Some(u), .. }) => u,
            Some(Uri { host, .. }) => host.to_string(),
            None => "unknown".into(),
        }
    }
}
