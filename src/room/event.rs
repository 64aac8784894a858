//! What a room tells whoever wants to know. Events come in order, and whoever applies them all has
//! the roster: [`Roster`] does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MemberState, PlayState};
use crate::app::{PlayId, PlayOutcome};
use crate::call::CallHandle;

/// Something happened in a room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomEvent {
    /// The room's name.
    pub room: String,
    /// Counts the events of a room from 1.
    pub number: u64,
    /// What happened.
    pub change: RoomChange,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomChange {
    /// The room begins to exist, with nobody in it.
    Created,
    /// A member waits to be let in.
    Waiting(Box<MemberState>),
    /// A member is in.
    Joined(Box<MemberState>),
    /// A member is not what it was: all that it is now.
    Changed(Box<MemberState>),
    /// A member has gone.
    Left {
        /// Its call.
        call: CallHandle,
        /// Who it was.
        party: String,
        /// How it went.
        reason: LeaveReason,
        /// For how long it has talked, where that was followed.
        talked: Option<Duration>,
    },
    /// Nobody else may come, or no longer.
    Locked(bool),
    /// The room will end, unless something changes that.
    Ending {
        /// In so long.
        after: Duration,
        /// Why.
        cause: EndCause,
    },
    /// A member has pressed the keys for a recording of the room to begin, or to end.
    RecordingAsked {
        /// To begin.
        on: bool,
        /// Who.
        by: CallHandle,
    },
    /// A recording of the room has begun, or has ended.
    Recording(bool),
    /// What a program wants played is heard from now on.
    PlayBegan(Box<PlayState>),
    /// A play is over; one of the room's own, which are not told of otherwise, has failed.
    PlayEnded {
        /// Which.
        id: PlayId,
        /// How.
        outcome: PlayOutcome,
        /// So much of it was heard.
        heard: Duration,
    },
    /// Somebody is being called, and will be asked to join.
    Dialling {
        /// Whom.
        uri: String,
        /// The call.
        call: CallHandle,
    },
    /// Somebody was called, and has not joined.
    NotJoined {
        /// Whom.
        uri: String,
        /// Why not.
        reason: String,
    },
    /// The room does not exist any more.
    Ended(EndCause),
}

/// How a member went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// It left, or its call has ended.
    Left,
    /// It was thrown out.
    Kicked,
    /// It was moved to another room.
    Moved(String),
    /// The room has ended.
    Ended,
}

/// Why a room ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// Nobody is in it.
    Empty,
    /// Somebody has ended it.
    Asked,
    /// Its last moderator has gone.
    NoModerator,
    /// It has had its time.
    TimeLimit,
}

/// Who is in which room, by what events tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster(pub BTreeMap<String, BTreeMap<CallHandle, MemberState>>);

impl Roster {
    /// Takes an event.
    pub fn apply(&mut self, event: &RoomEvent) {
        let room = event.room.as_str();
        match &event.change {
            RoomChange::Created => {
                self.0.insert(room.to_owned(), BTreeMap::new());
            }
            RoomChange::Waiting(state) | RoomChange::Joined(state) | RoomChange::Changed(state) => {
                if let Some(members) = self.0.get_mut(room) {
                    members.insert(state.call, MemberState::clone(state));
                }
            }
            RoomChange::Left { call, .. } => {
                if let Some(members) = self.0.get_mut(room) {
                    members.remove(call);
                }
            }
            RoomChange::Ended(_) => {
                self.0.remove(room);
            }
            RoomChange::Locked(_)
            | RoomChange::Ending { .. }
            | RoomChange::Recording(_)
            | RoomChange::RecordingAsked { .. }
            | RoomChange::PlayBegan(_)
            | RoomChange::PlayEnded { .. }
            | RoomChange::Dialling { .. }
            | RoomChange::NotJoined { .. } => {}
        }
    }
}

impl RoomChange {
    /// Whether something could not be played.
    pub const fn is_failed_play(&self) -> bool {
        matches!(
            self,
            RoomChange::PlayEnded {
                outcome: PlayOutcome::Failed(_),
                ..
            }
        )
    }
}

impl LeaveReason {
    /// One word for logs and programs.
    pub const fn word(&self) -> &'static str {
        match self {
            LeaveReason::Left => "left",
            LeaveReason::Kicked => "kicked",
            LeaveReason::Moved(_) => "moved",
            LeaveReason::Ended => "ended",
        }
    }
}

impl EndCause {
    /// One word for logs and programs.
    pub const fn word(self) -> &'static str {
        match self {
            EndCause::Empty => "empty",
            EndCause::Asked => "asked",
            EndCause::NoModerator => "no-moderator",
            EndCause::TimeLimit => "time-limit",
        }
    }
}
