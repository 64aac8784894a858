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
    /// The prompt that plays.
    prompting: Option<PlayId>,
    next: u32,
}

impl Member {
    pub fn new(spec: ConferenceSpec) -> Self {
        Self {
            spec,
            prompting: None,
            next: 0,
        }
    }
}

impl Machine for Member {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => out.push_back(Action::Join {
                room: self.spec.room.clone(),
                max_members: self.spec.max_members,
            }),
            Happened::Alone if self.spec.lone_prompt && self.prompting.is_none() => {
                let id = PlayId(self.next);
                self.next = self.next.wrapping_add(1);
                self.prompting = Some(id);
                let items = vec![PlayItem::Prompt("only-one".into())];
                out.push_back(Action::play(id, items));
            }
            Happened::Company if self.prompting.take().is_some() => {
                out.push_back(Action::StopPlay);
            }
            Happened::PlayEnded(id, ..) if self.prompting == Some(*id) => self.prompting = None,
            Happened::JoinFailed => out.push_back(Action::HangUp),
            _ => {}
        }
    }
}
