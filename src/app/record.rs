//! Record: a beep, then what the caller says goes to a WAV until it presses `#`,
//! or another end is reached.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Action, Actions, Happened, Machine, PlayId, RecordOutcome, beep, speak};
use crate::dtmf::Digit;

/// How a recording is made.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSpec {
    /// Beep before it.
    pub beep: bool,
    /// Hang up after so long.
    pub max: Option<Duration>,
    /// Hang up after so much silence.
    pub silence: Option<Duration>,
    /// A file name below the recording directory, in place of date and call.
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
