//! One member of a room, as the room keeps it and as it tells others of it.

use std::time::Instant;

use super::Hearing;
use super::relations::Relations;
use crate::app::room::Role;
use crate::call::CallHandle;

/// Everything about a member that others may know.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberState {
    /// Its call.
    pub call: CallHandle,
    /// Who it is: the user of its address.
    pub party: String,
    /// What it may do.
    pub role: Role,
    /// It is not let in yet: it hears nobody, and nobody hears it.
    pub waiting: bool,
    /// It has muted itself.
    pub muted: bool,
    /// Somebody has muted it: it cannot unmute itself.
    pub muted_by_moderator: bool,
    /// It hears nobody.
    pub deaf: bool,
    /// It hears music alone, and nobody hears it.
    pub on_hold: bool,
    /// It wants to say something.
    pub hand_raised: bool,
    /// The gain of what it says, dB.
    pub gain_in_db: i8,
    /// The gain of what it hears, dB.
    pub gain_out_db: i8,
    /// Whom it hears, and who hears it.
    pub relations: Relations,
    /// Its spoken name: the number of a recording.
    pub name: Option<u64>,
    /// Since when it is in, or waits.
    pub since: Instant,
}

impl MemberState {
    /// Whether anybody may hear it.
    pub fn is_heard(&self) -> bool {
        !(self.waiting || self.muted || self.muted_by_moderator || self.on_hold)
    }

    /// Whether it may hear anybody.
    pub fn listens(&self) -> bool {
        !(self.waiting || self.deaf || self.on_hold)
    }
}

/// The same with what the room alone needs.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub state: MemberState,
    /// Counts the members in the order in which they came in.
    pub number: u64,
    /// What the bridge was told of it.
    pub told: Hearing,
}
