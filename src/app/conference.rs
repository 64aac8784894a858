//! Conference entry: joins the room, and tells a lone member that it is one.

use std::time::Instant;

use super::{Action, Actions, Happened, Machine, PlayId, PlayItem};

/// Which room, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConferenceSpec {
    /// The room's name.
    pub room: String,
    /// Say so to a member that is alone.
    pub lone_prompt: bool,
    /// The most members; the next caller gets 486.
    pub max_members: usize,
}

#[derive(Debug)]
pub(super) struct Member {
    spec: ConferenceSpec,
    prompting: bool,
}

impl Member {
    pub fn new(spec: ConferenceSpec) -> Self {
        Self {
            spec,
            prompting: false,
        }
    }
}

impl Machine for Member {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => out.push_back(Action::Join(self.spec.room.clone())),
            Happened::Alone if self.spec.lone_prompt && !self.prompting => {
                self.prompting = true;
                out.push_back(Action::Play {
                    id: PlayId(0),
                    items: vec![PlayItem::Prompt("only-one".into())],
                    repeat: 1,
                });
            }
            Happened::Company if self.prompting => {
                self.prompting = false;
                out.push_back(Action::StopPlay);
            }
            Happened::PlayEnded(..) => self.prompting = false,
            Happened::JoinFailed => out.push_back(Action::HangUp),
            _ => {}
        }
    }
}
