//! What a call does. An application is a sans-IO machine: it gets what happens in its call
//! ([`Happened`]) and says what is to be done ([`Action`]); it knows neither SIP nor RTP.
//!
//! ```text
//! Happened --> App::handle(happened, now) --> poll_action() --> Action
//!                                        '--> poll_timeout() --> App::handle_timeout(now)
//! ```

mod announcement;
mod ask;
pub mod collect;
mod conference;
mod digits;
mod echo;
pub mod keypad;
pub mod menu;
mod message;
mod play;
mod record;
pub mod room;
pub mod room_record;
mod script;
pub mod speak;
mod stasis;
pub mod voicemail;

pub use announcement::{AnnouncementSpec, Wanted};
pub use conference::ConferenceSpec;
pub(crate) use conference::count as conference_count;
pub use digits::DigitsSpec;
pub use menu::MenuSpec;
pub use message::Message;
pub use play::PlaySpec;
pub use record::{MAX_FILE_NAME, MAX_INSERTED, RecordSpec, split_reference};
pub use script::{ScriptDigits, ScriptSpec};
pub use stasis::{
    FIRST_ORDER, LAST_ORDER, Order, OrderEnd, PlayChange, RecordChange, RecordOrder, Report,
    StasisSpec, StopOn,
};
pub use voicemail::{VoicemailSpec, VoicemailTask};

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::dtmf::Digit;

/// Names one play of a call, chosen by its application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PlayId(pub u32);

/// One thing to be heard.
#[derive(Clone, Debug, PartialEq)]
pub enum PlayItem {
    /// A prompt by name.
    Prompt(String),
    /// A WAV file.
    File(PathBuf),
    /// A WAV file by its name in the directories of announcements.
    Library(String),
    /// What a web server has (RFC 4240 §3), as far as its host is allowed.
    Web(String),
    /// Text, said by the configured command.
    Speech {
        /// What is said.
        text: String,
        /// The language; none: the usual one.
        language: Option<String>,
    },
    /// A sine.
    Tone {
        /// Its frequency, Hz.
        hz: f32,
        /// Its level, dBm0.
        level_dbm0: f32,
        /// Its length.
        length: Duration,
    },
    /// Silence.
    Silence(Duration),
    /// What a caller has said of itself: a recording that [`Happened::NameRecorded`] has told.
    Recording(u64),
}

/// How a play ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayOutcome {
    /// All of it was heard.
    Finished,
    /// It was stopped or replaced.
    Stopped,
    /// It could not be played: which item, and why.
    Failed(String),
}

/// How a recording ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// As asked, or with the call.
    Stopped,
    /// Nobody spoke for the configured time.
    Silence,
    /// It reached its longest.
    MaxLength,
    /// It could not be written: the error. What was written stays valid.
    Failed(String),
    /// Its file could not be opened: the error.
    NotBegun(String),
}

/// What happens in a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// The call is answered and its media flows.
    Established,
    /// What is to be played was found: it is heard from now on.
    PlayBegan(PlayId),
    /// A play came to its end, having played for so long.
    PlayEnded(PlayId, PlayOutcome, Duration),
    /// The recording came to its end, so long.
    RecordEnded(RecordOutcome, Duration),
    /// The room could not be joined.
    JoinFailed,
    /// Nobody else is in the room.
    Alone,
    /// Somebody else is in the room again.
    Company,
    /// What the room tells.
    Room(room::RoomNews),
    /// What was said of [`Action::RecordName`] has this number; none: nothing was, or it could not
    /// be recorded.
    NameRecorded(Option<u64>),
    /// The party has pressed a digit, in whatever way it came.
    Digit(Digit),
    /// The digits of [`Action::SendDigits`] are out, or why not.
    DigitsSent(Result<(), String>),
    /// Whether the PIN opens the box or the room: not even the right one does after too many wrong
    /// ones.
    Unlocked(bool),
    /// What [`Action::ListMessages`] asked for, or why it cannot be told.
    Messages(Result<Vec<Message>, String>),
    /// A message was marked as saved, or deleted; false: it was not there any more. Or why not.
    MessageChanged(Result<bool, String>),
    /// What has become of the message that was left.
    MessageLeft(MessageOutcome),
    /// A program wants something.
    Ordered(Box<Order>),
}

/// What has become of a message that was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageOutcome {
    /// It is in the box.
    Kept,
    /// It was too short to be one.
    TooShort,
    /// The box has as many as it may.
    Full,
    /// It could not be recorded or stored.
    Failed(String),
}

/// How digits are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtmfMethod {
    /// As telephone events (RFC 4733) where those were negotiated, else as tones.
    #[default]
    Auto,
    /// As telephone events.
    Rfc4733,
    /// As tones.
    Inband,
    /// By SIP INFO.
    Info,
}

/// What an application wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Play a list, so many times (0: until stopped).
    Play {
        /// The application's name for it.
        id: PlayId,
        /// What is heard, in order.
        items: Vec<PlayItem>,
        /// How often.
        repeat: u32,
        /// Silence between two passes.
        gap: Duration,
    },
    /// Stop what plays.
    StopPlay,
    /// Record what the party says.
    Record {
        /// A file that was asked for; without one the layout of the recording directory.
        file: Option<PathBuf>,
        /// Stop after so long.
        max: Option<Duration>,
        /// Stop after so much silence.
        silence: Option<Duration>,
    },
    /// Record what the party says into a file of this name in the recording directory.
    RecordNamed {
        /// The number of the order.
        order: u32,
        /// The name, without `.wav`; whoever gave it has seen to it that it leads nowhere else.
        name: String,
        /// Whether it takes the place of one of this name.
        overwrite: bool,
        /// Stop after so long.
        max: Option<Duration>,
        /// Stop after so much silence.
        silence: Option<Duration>,
    },
    /// Pause what plays, or move within it.
    ControlPlay(PlayChange),
    /// Pause the recording, or go on.
    ControlRecord(RecordChange),
    /// Keep nothing of the recording.
    DiscardRecord,
    /// Stop the recording.
    StopRecord,
    /// Send back what the party says.
    Echo(bool),
    /// Enter a room; it answers by [`Happened::Room`], or [`Happened::JoinFailed`].
    Join(Box<room::Entrant>),
    /// Ask something of the room.
    Room(room::RoomRequest),
    /// Leave the room.
    LeaveRoom,
    /// A PIN was entered; [`Happened::Unlocked`] tells at once whether it opens the room.
    UnlockRoom(room::PinTry),
    /// Record what the caller says of itself, for as long as the call lasts;
    /// [`Happened::NameRecorded`] follows.
    RecordName {
        /// Stop after so long.
        max: Duration,
        /// Stop after so much silence.
        silence: Duration,
    },
    /// Go on in a menu, by its name: this application is over. Where there is no such menu, the call
    /// ends.
    GoTo(String),
    /// Send digits to the party.
    SendDigits {
        /// Which.
        digits: Vec<Digit>,
        /// How.
        method: DtmfMethod,
        /// The length of each.
        tone: Duration,
        /// The pause behind each.
        pause: Duration,
    },
    /// A PIN was entered; [`Happened::Unlocked`] tells at once whether it opens the box.
    Unlock {
        /// Which box.
        mailbox: String,
        /// Whether it is the box's own.
        right: bool,
    },
    /// Tell what is in a mailbox.
    ListMessages(String),
    /// Record a message for a mailbox; [`Happened::RecordEnded`], then [`Happened::MessageLeft`]
    /// follow. It is kept if it is long enough, also where the caller hangs up.
    LeaveMessage {
        /// Whose.
        mailbox: String,
        /// Stop after so long.
        max: Duration,
        /// Stop after so much silence.
        silence: Option<Duration>,
    },
    /// Mark a message as saved.
    SaveMessage {
        /// Whose.
        mailbox: String,
        /// Which.
        id: String,
    },
    /// Delete a message.
    DeleteMessage {
        /// Whose.
        mailbox: String,
        /// Which.
        id: String,
    },
    /// Tell the program that drives the call.
    Report(Report),
    /// End the call.
    HangUp,
}

/// What a route leads to, with its settings.
#[derive(Clone, Debug, PartialEq)]
pub enum AppSpec {
    /// The caller hears itself.
    Echo,
    /// Prompts, then hang up.
    Play(PlaySpec),
    /// A recording.
    Record(RecordSpec),
    /// A conference room.
    Conference(ConferenceSpec),
    /// Digits, spoken back.
    Digits(DigitsSpec),
    /// What the request's URI asks for (RFC 4240 §3).
    Announcement(AnnouncementSpec),
    /// A menu.
    Menu(MenuSpec),
    /// Leave a message, or hear one's own.
    Voicemail(VoicemailSpec),
    /// What `antiphon call` does.
    Script(ScriptSpec),
    /// What a program wants.
    Stasis(StasisSpec),
}

impl AppSpec {
    /// The same with `$0` in its names replaced by the digits that led to it.
    pub fn with_digits(&self, digits: &str) -> AppSpec {
        let fill = |text: &str| text.replace("$0", digits);
        let mut spec = self.clone();
        match &mut spec {
            AppSpec::Conference(c) => c.room = fill(&c.room),
            AppSpec::Record(r) => {
                if let Some(file) = &mut r.file {
                    *file = PathBuf::from(fill(&file.to_string_lossy()));
                }
            }
            AppSpec::Voicemail(v) => v.mailbox = v.mailbox.as_deref().map(fill),
            _ => {}
        }
        spec
    }

    /// The same where something follows its end: it does not say goodbye.
    pub fn goes_on(mut self) -> AppSpec {
        match &mut self {
            AppSpec::Voicemail(v) => v.goodbye = false,
            AppSpec::Digits(d) => d.goodbye = false,
            _ => {}
        }
        self
    }

    /// The word for it in the configuration and in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            AppSpec::Echo => "echo",
            AppSpec::Play(_) => "play",
            AppSpec::Record(_) => "record",
            AppSpec::Conference(_) => "conference",
            AppSpec::Digits(_) => "digits",
            AppSpec::Announcement(_) => "announcement",
            AppSpec::Menu(_) => "menu",
            AppSpec::Voicemail(_) => "voicemail",
            AppSpec::Script(_) => "call",
            AppSpec::Stasis(_) => "stasis",
        }
    }
}

impl fmt::Display for AppSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The machine of one application.
pub trait Machine: fmt::Debug + Send {
    /// Takes what happened.
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions);
    /// When it wants to be woken.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// The time asked for has come.
    fn handle_timeout(&mut self, _now: Instant, _out: &mut Actions) {}
}

/// Actions in the order in which they are to be done.
pub type Actions = VecDeque<Action>;

/// A running application.
#[derive(Debug)]
pub struct App {
    machine: Box<dyn Machine>,
    actions: Actions,
}

impl App {
    /// Starts the application of a route; it acts once the call is established.
    pub fn new(spec: &AppSpec) -> Self {
        Self {
            machine: machine(spec),
            actions: Actions::new(),
        }
    }

    /// Takes what happened in the call.
    pub fn handle(&mut self, happened: &Happened, now: Instant) {
        self.machine.handle(happened, now, &mut self.actions);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`App::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now, &mut self.actions);
        }
    }
}

fn machine(spec: &AppSpec) -> Box<dyn Machine> {
    match spec {
        AppSpec::Echo => Box::new(echo::Echo),
        AppSpec::Play(s) => Box::new(play::Player::new(s.clone())),
        AppSpec::Record(s) => Box::new(record::Recorder::new(s.clone())),
        AppSpec::Conference(s) => Box::new(conference::Member::new(s.clone())),
        AppSpec::Digits(s) => Box::new(digits::Reader::new(s.clone())),
        AppSpec::Announcement(s) => Box::new(announcement::Announcer::new(s.clone())),
        AppSpec::Menu(s) => Box::new(menu::Navigator::new(s.clone())),
        AppSpec::Voicemail(s) => match s.task {
            VoicemailTask::Leave => Box::new(voicemail::Leave::new(s.clone())),
            VoicemailTask::Listen => Box::new(voicemail::Listen::new(s.clone())),
        },
        AppSpec::Script(s) => Box::new(script::Script::new(s.clone())),
        AppSpec::Stasis(_) => Box::new(stasis::Driven::default()),
    }
}

impl Action {
    /// Plays a list once.
    pub(crate) fn play(id: PlayId, items: Vec<PlayItem>) -> Action {
        Action::Play {
            id,
            items,
            repeat: 1,
            gap: Duration::ZERO,
        }
    }
}

/// The beep before a recording.
pub(crate) fn beep() -> PlayItem {
    PlayItem::Prompt("beep".into())
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
