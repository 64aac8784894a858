//! What is told of conference rooms.

use schemars::JsonSchema;
use serde::Serialize;

use super::State;
use super::v1::{MemberBody, PlayBody, tenths};
use crate::app::PlayOutcome;
use crate::room::{LeaveReason, RoomChange, RoomEvent, RoomTalk};

/// Something that happened in a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoomEventBody<'a> {
    /// The room's name.
    room: &'a str,
    /// Counts the events of a room from 1.
    number: u64,
    /// What happened.
    #[serde(flatten)]
    what: What<'a>,
}

/// What happened.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "change", rename_all = "kebab-case")]
enum What<'a> {
    /// The room begins to exist, with nobody in it.
    Created,
    /// A member waits to be let in.
    Waiting { member: Box<MemberBody> },
    /// A member is in.
    Joined { member: Box<MemberBody> },
    /// A member is not what it was: all that it is now.
    Changed { member: Box<MemberBody> },
    /// A member has gone.
    Left {
        /// Its call.
        id: String,
        /// Who it was.
        party: &'a str,
        /// `left`, `kicked`, `moved` or `ended`.
        reason: &'a str,
        /// The room that it was moved to.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        /// For how many seconds it has talked, where that was followed.
        #[serde(skip_serializing_if = "Option::is_none")]
        talked_seconds: Option<f64>,
    },
    /// What a program wants played is heard from now on.
    PlayBegan {
        /// The play.
        play: Box<PlayBody>,
    },
    /// A play is over.
    PlayEnded {
        /// Its number.
        play: u32,
        /// It was stopped, or had no time to be heard to its end.
        stopped: bool,
        /// So much of it was heard, s.
        seconds: f64,
    },
    /// A play failed, or an announcement of the room's own.
    PlayFailed {
        /// Its number.
        play: u32,
        /// Why.
        error: &'a str,
    },
    /// Whether only moderators may come.
    Locked { locked: bool },
    /// The room will end, unless something changes that.
    Ending {
        /// In so many seconds.
        seconds: u64,
        /// `empty`, `asked`, `no-moderator` or `time-limit`.
        cause: &'a str,
    },
    /// A member has pressed the keys for a recording to begin or to end.
    RecordingAsked {
        /// To begin.
        on: bool,
        /// The member's call.
        by: String,
    },
    /// A recording of the room has begun, or has ended.
    Recording { on: bool },
    /// Somebody is being called, and will be asked to join.
    Dialling {
        /// Whom.
        uri: &'a str,
        /// The call.
        id: String,
    },
    /// Somebody was called, and has not joined.
    NotJoined {
        /// Whom.
        uri: &'a str,
        /// Why not.
        reason: &'a str,
    },
    /// The room does not exist any more.
    Ended {
        /// As in `ending`.
        cause: &'a str,
    },
}

impl<'a> RoomEventBody<'a> {
    pub fn of(event: &'a RoomEvent, state: &State) -> Self {
        let member = |member| Box::new(MemberBody::of(member, state));
        let what = match &event.change {
            RoomChange::Created => What::Created,
            RoomChange::Waiting(m) => What::Waiting { member: member(m) },
            RoomChange::Joined(m) => What::Joined { member: member(m) },
            RoomChange::Changed(m) => What::Changed { member: member(m) },
            RoomChange::Left {
                call,
                party,
                reason,
                talked,
            } => What::Left {
                id: state.call_id(*call),
                party,
                reason: reason.word(),
                to: match reason {
                    LeaveReason::Moved(to) => Some(to),
                    _ => None,
                },
                talked_seconds: talked.map(tenths),
            },
            RoomChange::PlayBegan(play) => What::PlayBegan {
                play: Box::new(PlayBody::of(play, state)),
            },
            RoomChange::PlayEnded {
                id,
                outcome: PlayOutcome::Failed(error),
                ..
            } => What::PlayFailed { play: id.0, error },
            RoomChange::PlayEnded { id, outcome, heard } => What::PlayEnded {
                play: id.0,
                stopped: *outcome == PlayOutcome::Stopped,
                seconds: tenths(*heard),
            },
            RoomChange::Locked(locked) => What::Locked { locked: *locked },
            RoomChange::Ending { after, cause } => What::Ending {
                seconds: after.as_secs(),
                cause: cause.word(),
            },
            RoomChange::RecordingAsked { on, by } => What::RecordingAsked {
                on: *on,
                by: state.call_id(*by),
            },
            RoomChange::Recording(on) => What::Recording { on: *on },
            RoomChange::Dialling { uri, call } => What::Dialling {
                uri,
                id: state.call_id(*call),
            },
            RoomChange::NotJoined { uri, reason } => What::NotJoined { uri, reason },
            RoomChange::Ended(cause) => What::Ended {
                cause: cause.word(),
            },
        };
        Self {
            room: &event.room,
            number: event.number,
            what,
        }
    }
}

/// Who talks in a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TalkersBody<'a> {
    /// The room's name.
    room: &'a str,
    /// How many talk; more than are told of where they are very many.
    talking: u32,
    /// The call of who was clearly the loudest last. Absent: nobody has talked, or it has left.
    #[serde(skip_serializing_if = "Option::is_none")]
    dominant: Option<String>,
    /// Those who talk.
    talkers: Vec<TalkerBody>,
}

/// One who talks.
#[derive(Debug, Serialize, JsonSchema)]
struct TalkerBody {
    /// The member's call.
    id: String,
    /// How loud, dBov.
    level_dbov: i8,
    /// For how many seconds it has talked since it came in, as far as that was followed.
    seconds: f64,
}

impl<'a> TalkersBody<'a> {
    pub fn of(talk: &'a RoomTalk, state: &State) -> Self {
        let talkers = talk.members.iter().filter(|(_, member)| member.talking);
        Self {
            room: &talk.room,
            talking: talk.talking,
            dominant: talk.dominant.map(|call| state.call_id(call)),
            talkers: talkers
                .map(|(call, member)| TalkerBody {
                    id: state.call_id(*call),
                    level_dbov: member.level_dbov,
                    seconds: tenths(member.talked),
                })
                .collect(),
        }
    }
}
