//! What a call does. An application is a sans-IO machine: it gets what happens in its call
//! ([`Happened`]) and says what is to be done ([`Action`]); it knows neither SIP nor RTP.
//!
//! ```text
//! Happened --> App::handle(happened, now) --> poll_action() --> Action
//!                                        '--> poll_timeout() --> App::handle_timeout(now)
//! ```

mod conference;
mod echo;
mod message;
mod play;
mod record;
mod script;

pub use conference::ConferenceSpec;
pub use message::Message;
pub use play::PlaySpec;
pub use record::RecordSpec;
pub use script::ScriptSpec;

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
}

/// What happens in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The call is answered and its media flows.
    Established,
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
    /// Stop the recording.
    StopRecord,
    /// Send back what the party says.
    Echo(bool),
    /// Enter the room.
    Join(String),
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
    /// What `antiphon call` does.
    Script(ScriptSpec),
}

impl AppSpec {
    /// The word for it in the configuration and in logs.
    pub const fn name(&self) -> &'static str {
        match self {
            AppSpec::Echo => "echo",
            AppSpec::Play(_) => "play",
            AppSpec::Record(_) => "record",
            AppSpec::Conference(_) => "conference",
            AppSpec::Script(_) => "call",
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
        let machine: Box<dyn Machine> = match spec {
            AppSpec::Echo => Box::new(echo::Echo),
            AppSpec::Play(s) => Box::new(play::Player::new(s.clone())),
            AppSpec::Record(s) => Box::new(record::Recorder::new(s.clone())),
            AppSpec::Conference(s) => Box::new(conference::Member::new(s.clone())),
            AppSpec::Script(s) => Box::new(script::Script::new(s.clone())),
        };
        Self {
            machine,
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

/// The beep before a recording.
pub(crate) fn beep() -> PlayItem {
    PlayItem::Prompt("beep".into())
}

#[cfg(test)]
mod tests;
