//! What a member hears of its room besides the others: one thing after the other, and music when
//! there is nothing to say.

use std::collections::VecDeque;
use std::time::Duration;

use crate::app::ask::Asker;
use crate::app::room::{MemberPlay, RoomRequest};
use crate::app::{Action, Actions, PlayChange, PlayId, PlayItem, PlayOutcome, speak};

/// Things that wait to be said; the oldest makes room.
const MAX_WAITING: usize = 8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Now {
    #[default]
    Nothing,
    Saying,
    /// That the member is alone: it is cut short when company comes.
    Lone,
    /// What a program plays is being looked for, and whether it is to be paused as soon as it is there: until
    /// then what was heard before goes on.
    Loading {
        id: PlayId,
        paused: bool,
    },
    /// What a program plays.
    Playing(PlayId),
    Music,
}

impl Now {
    /// The play of a program's that it is.
    fn play(self) -> Option<PlayId> {
        match self {
            Now::Loading { id, .. } | Now::Playing(id) => Some(id),
            Now::Nothing | Now::Saying | Now::Lone | Now::Music => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Speech {
    now: Now,
    waiting: VecDeque<Vec<PlayItem>>,
    /// The member is to be told that it is alone.
    lone: bool,
    /// What programs play: as many as the room lets them.
    plays: VecDeque<MemberPlay>,
    music: Vec<PlayItem>,
    /// How what played last has ended.
    outcome: Option<(PlayOutcome, Duration)>,
}

impl Speech {
    /// What plays when there is nothing to say; nothing: silence.
    pub fn set_music(&mut self, music: Vec<PlayItem>) {
        self.music = music;
    }

    /// Says something when its turn comes.
    pub fn say(&mut self, items: Vec<PlayItem>, asker: &mut Asker, out: &mut Actions) {
        if !items.is_empty() {
            if self.waiting.len() == MAX_WAITING {
                self.waiting.pop_front();
            }
            self.waiting.push_back(items);
        }
        if matches!(self.now, Now::Nothing | Now::Music) {
            self.next(asker, out);
        }
    }

    /// Plays something of a program's when its turn comes.
    pub fn play(&mut self, play: MemberPlay, asker: &mut Asker, out: &mut Actions) {
        self.plays.push_back(play);
        if matches!(self.now, Now::Nothing | Now::Music) {
            self.next(asker, out);
        }
    }

    /// What is to be heard is there.
    pub fn began(&mut self, out: &mut Actions) {
        let Now::Loading { id, paused } = self.now else {
            return;
        };
        self.now = Now::Playing(id);
        if paused {
            out.push_back(Action::ControlPlay(PlayChange::Pause));
        }
        out.push_back(Action::Room(RoomRequest::PlayBegan { id, paused }));
    }

    /// A program's play is paused, or goes on.
    pub fn control(&mut self, id: PlayId, change: PlayChange, out: &mut Actions) {
        match &mut self.now {
            Now::Playing(now) if *now == id => out.push_back(Action::ControlPlay(change)),
            Now::Loading { id: now, paused } if *now == id => {
                *paused = change == PlayChange::Pause;
            }
            _ => {}
        }
    }

    /// It stops, or does not begin.
    pub fn stop(&mut self, id: PlayId, asker: &mut Asker, out: &mut Actions) {
        let over = RoomRequest::PlayEnded(id, PlayOutcome::Stopped, Duration::ZERO);
        if self.now.play() == Some(id) {
            self.now = Now::Nothing;
            asker.hush(out);
            out.push_back(Action::Room(over));
            self.next(asker, out);
        } else if self.plays.iter().any(|play| play.id == id) {
            self.plays.retain(|play| play.id != id);
            out.push_back(Action::Room(over));
        }
    }

    /// Something that was played has ended so.
    pub fn note(&mut self, outcome: &PlayOutcome, length: Duration) {
        self.outcome = Some((outcome.clone(), length));
    }

    /// The member is alone.
    pub fn lone(&mut self, asker: &mut Asker, out: &mut Actions) {
        if self.now != Now::Lone {
            self.lone = true;
        }
        if self.now == Now::Nothing {
            self.next(asker, out);
        }
    }

    /// It is not any more.
    pub fn company(&mut self, asker: &mut Asker, out: &mut Actions) {
        self.lone = false;
        if self.now == Now::Lone {
            self.now = Now::Nothing;
            asker.hush(out);
            self.next(asker, out);
        }
    }

    /// Another music, or none: what plays of the old one stops.
    pub fn interrupt(&mut self, asker: &mut Asker, out: &mut Actions) {
        if self.now == Now::Music {
            self.now = Now::Nothing;
            asker.hush(out);
        }
        if self.now == Now::Nothing {
            self.next(asker, out);
        }
    }

    /// What was said is over, or could not be said.
    pub fn ended(&mut self, asker: &mut Asker, out: &mut Actions) {
        if self.now == Now::Music {
            // It goes on for ever, unless it cannot be played.
            self.music.clear();
        }
        if let (Some(id), Some((outcome, length))) = (self.now.play(), self.outcome.take()) {
            out.push_back(Action::Room(RoomRequest::PlayEnded(id, outcome, length)));
        }
        self.now = Now::Nothing;
        self.next(asker, out);
    }

    fn next(&mut self, asker: &mut Asker, out: &mut Actions) {
        if let Some(items) = self.waiting.pop_front() {
            self.now = Now::Saying;
            asker.say(items, false, out);
        } else if std::mem::take(&mut self.lone) {
            self.now = Now::Lone;
            asker.say(speak::prompts(&["only-one"]), false, out);
        } else if let Some(play) = self.plays.pop_front() {
            let (id, paused) = (play.id, false);
            self.now = Now::Loading { id, paused };
            out.push_back(Action::Room(RoomRequest::PlayLoading(id)));
            asker.repeat(play.items, play.repeat, out);
        } else if !self.music.is_empty() && self.now != Now::Music {
            self.now = Now::Music;
            asker.repeat(self.music.clone(), 0, out);
        }
    }
}
