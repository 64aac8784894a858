//! A play whose files are being looked for, and what is wanted of it by then.

use crate::app::{PlayChange, PlayId};

/// A play of a call or a bridge that is not there yet: what was heard before goes on until it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loading {
    /// By which the edge knows it.
    pub number: PlayId,
    /// By which its application does.
    pub id: PlayId,
    /// It begins in silence.
    pub paused: bool,
}

impl Loading {
    pub fn new(number: PlayId, id: PlayId) -> Self {
        Self {
            number,
            id,
            paused: false,
        }
    }

    /// A change before any of it is heard: there is nothing yet to move in.
    pub fn change(&mut self, change: PlayChange) {
        match change {
            PlayChange::Pause => self.paused = true,
            PlayChange::Resume => self.paused = false,
            PlayChange::Restart | PlayChange::Skip(_) => {}
        }
    }
}
