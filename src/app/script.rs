//! What `antiphon call` does: play a file, record what comes, hang up after so long.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Action, Actions, Happened, Machine, PlayId, PlayItem};

/// The caller's plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScriptSpec {
    /// What the other side hears.
    pub play: Option<PathBuf>,
    /// Where what it says goes.
    pub record: Option<PathBuf>,
    /// Hang up after so long. Without it: when the play ends, else when the other side hangs up.
    pub length: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Script {
    spec: ScriptSpec,
    hang_up_at: Option<Instant>,
}

impl Script {
    pub fn new(spec: ScriptSpec) -> Self {
        Self {
            spec,
            hang_up_at: None,
        }
    }
}

impl Machine for Script {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => {
                self.hang_up_at = self.spec.length.map(|l| now + l);
                if let Some(file) = &self.spec.record {
                    out.push_back(Action::Record {
                        file: Some(file.clone()),
                        max: None,
                        silence: None,
                    });
                }
                if let Some(file) = &self.spec.play {
                    out.push_back(Action::Play {
                        id: PlayId(0),
                        items: vec![PlayItem::File(file.clone())],
                        repeat: 1,
                    });
                }
            }
            Happened::PlayEnded(..) if self.spec.length.is_none() => {
                out.push_back(Action::HangUp);
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.hang_up_at
    }

    fn handle_timeout(&mut self, _now: Instant, out: &mut Actions) {
        self.hang_up_at = None;
        out.push_back(Action::HangUp);
    }
}
