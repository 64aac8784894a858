//! Play: prompts, then hang up.

use std::time::{Duration, Instant};

use super::{Action, Actions, Happened, Machine, PlayId, PlayItem};

/// What is played.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaySpec {
    /// In order.
    pub items: Vec<PlayItem>,
    /// How often; 0: until the caller hangs up.
    pub repeat: u32,
}

#[derive(Debug)]
pub(super) struct Player {
    spec: PlaySpec,
}

impl Player {
    pub fn new(spec: PlaySpec) -> Self {
        Self { spec }
    }
}

impl Machine for Player {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => out.push_back(Action::Play {
                id: PlayId(0),
                items: self.spec.items.clone(),
                repeat: self.spec.repeat,
                gap: Duration::ZERO,
            }),
            // A prompt that failed ends the same way: there is nothing more to be heard.
            Happened::PlayEnded(..) => out.push_back(Action::HangUp),
            _ => {}
        }
    }
}
