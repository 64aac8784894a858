//! What a program orders of a call or a bridge, and what it is told of that.

use std::time::Duration;

use crate::app::PlayItem;
use crate::dtmf::Digit;

/// Orders are numbered from here: no application takes the end of a program's play, which it was
/// handed the call with, for the end of its own.
pub const FIRST_ORDER: u32 = 1 << 24;
/// And no higher: what is above is for what is played without an order.
pub const LAST_ORDER: u32 = u32::MAX - (1 << 16);

/// Which program, and what it is told of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StasisSpec {
    /// The program's name.
    pub app: String,
    /// What its configuration, or who placed the call, has to say.
    pub args: Vec<String>,
    /// The extension at which the call goes on where the program is not there; none: it ends.
    pub otherwise: Option<String>,
}

/// What ends a recording, besides its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopOn {
    /// No digit.
    #[default]
    Nothing,
    /// Any digit.
    Any,
    /// This digit.
    Digit(Digit),
}

/// A recording that is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordOrder {
    /// Its name in the recording directory, without `.wav`.
    pub name: String,
    /// Whether it takes the place of one of this name.
    pub overwrite: bool,
    /// Beep before it.
    pub beep: bool,
    /// Stop after so long.
    pub max: Option<Duration>,
    /// Stop after so much silence.
    pub silence: Option<Duration>,
    /// Stop at a digit.
    pub stop_on: StopOn,
}

/// What a program wants of its call. Plays and recordings are numbered by who orders them.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Play this, so many times (0: until it is stopped), once those before it are over.
    Play(u32, Vec<PlayItem>, u32),
    /// Record, once those before it are over.
    Record(u32, RecordOrder),
    /// End a play or a recording, or do not begin it.
    Stop(u32),
    /// The same, and keep nothing of what was recorded.
    Discard(u32),
    /// Pause a play that is heard, or move within it.
    Change(u32, PlayChange),
    /// Pause a recording under way, or go on.
    ChangeRecord(u32, RecordChange),
    /// Music while nothing is played; none: silence.
    Music(Option<Vec<PlayItem>>),
    /// Digits to the party.
    SendDigits {
        /// Which.
        digits: Vec<Digit>,
        /// The length of each.
        tone: Duration,
        /// The pause behind each.
        pause: Duration,
    },
}

/// What can be done to a play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayChange {
    /// Silence from now on.
    Pause,
    /// Goes on.
    Resume,
    /// Begins anew.
    Restart,
    /// Skips so many ms; back where negative.
    Skip(i32),
}

/// What can be done to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordChange {
    /// The time until it goes on is left out.
    Pause,
    /// It is silence.
    Mute,
    /// It goes on.
    Resume,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A play or a recording begins.
    Started(u32),
    /// It is over, after so long, or has failed.
    Ended(u32, Result<OrderEnd, String>, Duration),
}

/// How a play or a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    /// By itself.
    Finished,
    /// It was told to.
    Stopped,
    /// The same, and nothing is kept.
    Discarded,
}
