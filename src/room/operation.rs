//! What programs may do with a room and its members.

use super::plays::{MAX_MEMBER_PLAYS, MAX_PLAYS, MAX_PLAYS_TO_MEMBERS};
use super::relations::Scope;
use crate::app::PlayId;
use crate::app::room::Role;
use crate::app::room_record::RoomRecordSettings;
use crate::call::CallHandle;

/// Something to be done with a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomOperation {
    /// Nobody hears this member, and it cannot change that; or no longer. What it has muted itself
    /// is undone as well.
    Mute(CallHandle, bool),
    /// All but moderators are muted so, or no longer.
    MuteAll(bool),
    /// This member hears nobody, or no longer.
    Deafen(CallHandle, bool),
    /// This member hears music alone and nobody hears it, or no longer.
    Hold(CallHandle, bool),
    /// This member wants to say something, or no longer.
    RaiseHand(CallHandle, bool),
    /// What this member says and hears is as much louder, dB; none: as it was.
    Gain {
        /// Which.
        member: CallHandle,
        /// Of what it says.
        in_db: Option<i8>,
        /// Of what it hears.
        out_db: Option<i8>,
    },
    /// Whom this member hears, and who hears it; none: as it was. All of it or nothing.
    Relate {
        /// Which.
        member: CallHandle,
        /// Whom it hears.
        hears: Option<Scope>,
        /// Who hears it.
        heard_by: Option<Scope>,
        /// Its side conversation; empty: back to the room's.
        group: Option<String>,
    },
    /// Members of one side conversation hear each other alone; none: back to the room's.
    Group {
        /// Which member.
        member: CallHandle,
        /// Which side conversation.
        group: Option<String>,
    },
    /// What this member may do.
    SetRole(CallHandle, Role),
    /// This member need not wait any longer.
    Admit(CallHandle),
    /// Nobody needs to wait any longer.
    AdmitAll,
    /// This member goes.
    Kick(CallHandle),
    /// This member goes to another room, as if it had dialled that.
    Move {
        /// Which.
        member: CallHandle,
        /// Where to.
        to: String,
    },
    /// Nobody else may come but moderators, or no longer.
    Lock(bool),
    /// Something about the recording of the room.
    Record(RecordOrder),
    /// Somebody is called, and asked to join. The answer tells whether that is being tried.
    Dial {
        /// Whom.
        uri: String,
    },
    /// The end of the room.
    End,
}

/// Something to be done about the recording of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOrder {
    /// It begins.
    Start {
        /// How; none: as the room has it.
        settings: Option<RoomRecordSettings>,
        /// In stereo, who is on the left; none: who came first.
        left: Option<CallHandle>,
    },
    /// Nothing is recorded until it is resumed.
    Pause {
        /// Silence is written meanwhile, in place of leaving the time out.
        silence: bool,
    },
    /// It goes on.
    Resume,
    /// It ends.
    Stop,
}

/// Why an operation cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// There is no such room.
    #[error("there is no room {0:?}")]
    NoRoom(String),
    /// There is no such member in it.
    #[error("there is no member {} in this room", .0.0)]
    NoMember(CallHandle),
    /// The relations would need more different mixes than a room has.
    #[error(
        "members of a room can hear {} different mixes at most, and this would need more",
        super::relations::MAX_CLASSES
    )]
    TooManyRelations,
    /// A gain out of bounds.
    #[error("a gain is {} to {} dB, and not {}", super::GAIN_DB.start(), super::GAIN_DB.end(), .0)]
    Gain(i8),
    /// A group without a name, or with one too long.
    #[error("a side conversation has a name of 1 to {} bytes", super::MAX_GROUP)]
    Group,
    /// The room that somebody is to be moved to.
    #[error("room {0:?} has as many members as it may")]
    Full(String),
    /// The same would have to begin, and cannot.
    #[error("there are as many rooms as there may be; try again later")]
    TooManyRooms,
    /// Whom to call.
    #[error("{0:?} is not a SIP URI such as sip:600@192.0.2.1")]
    Uri(String),
    /// A recording of the room runs.
    #[error("room {0:?} is being recorded already")]
    Recorded(String),
    /// No recording of the room runs.
    #[error("room {0:?} is not being recorded")]
    NotRecorded(String),
    /// Files of the room's recordings before are still being closed.
    #[error("the files of earlier recordings of this room are still being closed; try again later")]
    TooManyRecordings,
    /// As many calls as may be are being placed or there, or the server is about to end.
    #[error("no more calls can be placed now; try again later")]
    TooManyCalls,
    /// There is no such play.
    #[error("there is no play {} in this room, or no longer", .0.0)]
    NoPlay(PlayId),
    /// A play that is not heard yet.
    #[error("play {} has not begun", .0.0)]
    NotPlaying(PlayId),
    /// The room has as many plays as it may.
    #[error("the room has {MAX_PLAYS} plays already; stop one, or wait for the end of one")]
    TooManyPlays,
    /// So has the member, or all members of the room.
    #[error(
        "{MAX_MEMBER_PLAYS} plays wait for member {} already, or {MAX_PLAYS_TO_MEMBERS} for all members \
         of the room; stop one, or wait for the end of one", .0.0
    )]
    TooManyPlaysTo(CallHandle),
    /// Something plays in the background already.
    #[error("something plays in the background already; stop it first")]
    Background,
}
