//! Record: a beep, then what the caller says goes to a WAV until it presses `#`,
//! or another end is reached.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Action, Actions, Happened, Machine, PlayId, RecordOutcome, beep, speak};
use crate::dtmf::Digit;

/// What callers put into one place of a file's name is cut to so many characters.
pub const MAX_INSERTED: usize = 40;
/// The longest name of a file, its number and ending left out, with all that callers may put in.
pub const MAX_FILE_NAME: usize = 200;

/// Splits a template at the first place where callers put something in, as `$1` or `${name}`: what is
/// before it, it, and what is behind it.
pub fn split_reference(template: &str) -> Option<(&str, &str, &str)> {
    let (before, behind) = template.split_once('$')?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = if behind.starts_with('$') {
        1
    } else if behind.starts_with('{') {
        behind.find('}').map_or(behind.len(), |end| end + 1)
    } else {
        behind.find(|c| !is_part(c)).unwrap_or(behind.len())
    };
    let (reference, rest) = template[before.len()..].split_at(1 + length);
    Some((before, reference, rest))
}

/// How a recording is made.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSpec {
    /// Beep before it.
    pub beep: bool,
    /// Hang up after so long.
    pub max: Option<Duration>,
    /// Hang up after so much silence.
    pub silence: Option<Duration>,
    /// A file name below the recording directory, in place of date and call. Of what callers have put into
    /// it nothing is longer than [`MAX_INSERTED`].
    pub file: Option<PathBuf>,
}

/// The beep.
const BEEP: PlayId = PlayId(0);
/// What is said where nothing can be recorded.
const SORRY: PlayId = PlayId(1);

#[derive(Debug)]
pub(super) struct Recorder {
    spec: RecordSpec,
    recording: bool,
    failed: bool,
}

impl Recorder {
    pub fn new(spec: RecordSpec) -> Self {
        Self {
            spec,
            recording: false,
            failed: false,
        }
    }

    fn record(&self) -> Action {
        Action::Record {
            file: self.spec.file.clone(),
            max: self.spec.max,
            silence: self.spec.silence,
        }
    }
}

impl Machine for Recorder {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established if self.spec.beep => {
                out.push_back(Action::play(BEEP, vec![beep()]));
            }
            Happened::PlayEnded(SORRY, ..) => out.push_back(Action::HangUp),
            Happened::Established | Happened::PlayEnded(..) => {
                self.recording = true;
                out.push_back(self.record());
            }
            // Nobody is to talk into nothing.
            Happened::RecordEnded(RecordOutcome::NotBegun(_), _) => {
                self.failed = true;
                out.push_back(Action::play(SORRY, speak::prompts(&["vm-failed"])));
            }
            // What goes wrong on the disk later ends the recording, never the call: pound still ends that.
            Happened::RecordEnded(RecordOutcome::Failed(_), _) => self.failed = true,
            Happened::Digit(Digit::POUND) if self.failed => out.push_back(Action::HangUp),
            Happened::Digit(Digit::POUND) if self.recording => out.push_back(Action::StopRecord),
            Happened::RecordEnded(..) => out.push_back(Action::HangUp),
            _ => {}
        }
    }
}
