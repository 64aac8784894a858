//! Conference entry: what is asked before the room, and what a member says and hears in it.
//!
//! ```text
//! [Invited] --1--> [Pin] --right--> [Name: say it, hear it, accept] --> Joining --> (Waiting) --> In
//!    | no            | 3 wrong                                            | locked, full        | kicked, ended
//!    v               v                                                    v                     v
//!  Farewell <--------+----------------------------------------------------+---------------------+
//! ```

mod entry;
mod speech;

use std::sync::Arc;
use std::time::Instant;

use super::ask::{Asker, Heard};
use super::collect::Collector;
use super::keypad::KeypadAction;
use super::room::{Entrant, MemberPlay, Refusal, Role, RoomNews, RoomSettings, RoomTable};
use super::{Action, Actions, Happened, Machine, speak};
use crate::dtmf::Digit;
use speech::Speech;

/// Which room, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConferenceSpec {
    /// The room's name.
    pub room: String,
    /// Say so to a member that is alone, in a room that is not in `rooms`.
    pub lone_prompt: bool,
    /// The most members of such a room; the next caller gets 486.
    pub max_members: usize,
    /// What rooms are like.
    pub rooms: Arc<RoomTable>,
    /// The room has called, and not the member: it is asked whether it wants to join.
    pub invited: bool,
}

impl ConferenceSpec {
    /// What its room is like.
    pub fn settings(&self) -> Arc<RoomSettings> {
        let declared = self.rooms.find(&self.room).cloned();
        declared.unwrap_or_else(|| {
            Arc::new(RoomSettings {
                lone_prompt: self.lone_prompt,
                max_members: self.max_members,
                ..RoomSettings::default()
            })
        })
    }

    /// What of the configuration its room is like: rooms of one entry share their PINs.
    fn entry(&self) -> String {
        let entry = self.rooms.entry(&self.room);
        entry.map_or_else(String::new, |(name, _)| name.to_string())
    }

    /// Whether a caller is in as soon as it is answered.
    pub fn is_direct(&self) -> bool {
        let asks = self.rooms.find(&self.room).is_some_and(|s| s.asks());
        !asks && !self.invited
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked whether it wants to join.
    Invited,
    Pin,
    Unlocking(Role),
    /// Asked for its name.
    Name,
    Beep,
    Recording,
    /// Its name was played back.
    Review,
    Joining,
    Waiting,
    In,
    Farewell,
    Over,
}

#[derive(Debug)]
pub(super) struct Member {
    spec: ConferenceSpec,
    settings: Arc<RoomSettings>,
    state: State,
    asker: Asker,
    speech: Speech,
    tries: u32,
    role: Role,
    /// Its spoken name.
    name: Option<u64>,
    /// Keys of a sequence that is not complete.
    keys: Option<Collector>,
}

impl Member {
    pub fn new(spec: ConferenceSpec) -> Self {
        Self {
            settings: spec.settings(),
            spec,
            state: State::Joining,
            asker: Asker::default(),
            speech: Speech::default(),
            tries: 0,
            role: Role::Member,
            name: None,
            keys: None,
        }
    }

    fn join(&mut self, invited: bool, out: &mut Actions) {
        self.state = State::Joining;
        self.asker.forget_ahead();
        out.push_back(Action::Join(Box::new(Entrant {
            room: self.spec.room.clone(),
            settings: self.settings.clone(),
            role: self.role,
            name: self.name,
            invited,
        })));
    }

    /// A last thing is said; then the call, or this part of it, ends.
    fn part(&mut self, said: &[&str], out: &mut Actions) -> Option<Heard> {
        self.state = State::Farewell;
        self.keys = None;
        self.speech = Speech::default();
        self.asker.forget_ahead();
        self.asker.say(speak::prompts(said), false, out)
    }

    fn news(&mut self, news: &RoomNews, out: &mut Actions) -> Option<Heard> {
        match news {
            RoomNews::Refused(Refusal::Locked) => return self.part(&["conf-locked"], out),
            RoomNews::Refused(Refusal::Full) => return self.part(&["conf-full"], out),
            RoomNews::Kicked => return self.part(&["conf-kicked"], out),
            RoomNews::Ended => return self.part(&["conf-ended"], out),
            RoomNews::Waiting => {
                self.state = State::Waiting;
                self.speech.set_music(self.settings.waiting_music.clone());
                self.say(speak::prompts(&["conf-waiting"]), out);
            }
            RoomNews::Entered {
                members,
                muted,
                recorded,
            } => {
                self.state = State::In;
                self.speech.set_music(Vec::new());
                let mut items = Vec::new();
                if self.settings.announce_count && *members > 1 {
                    items.extend(count(*members));
                }
                if *muted {
                    items.push(speak::prompt("conf-muted"));
                }
                if *recorded {
                    items.extend(self.settings.recording_prompts.clone());
                }
                self.speech.interrupt(&mut self.asker, out);
                self.say(items, out);
            }
            RoomNews::Say(items) => self.say(items.clone(), out),
            RoomNews::Play(play) if self.is_inside() => {
                let play = MemberPlay::clone(play);
                self.speech.play(play, &mut self.asker, out);
            }
            RoomNews::Play(_) => {}
            RoomNews::ControlPlay(id, change) => self.speech.control(*id, *change, out),
            RoomNews::StopPlay(id) => self.speech.stop(*id, &mut self.asker, out),
            RoomNews::Held(held) => {
                let music = held.then(|| self.settings.hold_music.clone());
                self.speech.set_music(music.unwrap_or_default());
                self.speech.interrupt(&mut self.asker, out);
            }
            RoomNews::Role(role) => self.role = *role,
            RoomNews::Moved(room) => {
                self.spec.room.clone_from(room);
                self.settings = self.spec.settings();
                self.speech = Speech::default();
                self.asker.hush(out);
                self.join(true, out);
            }
        }
        None
    }

    fn say(&mut self, items: Vec<super::PlayItem>, out: &mut Actions) {
        self.speech.say(items, &mut self.asker, out);
    }

    fn key(&mut self, digit: Digit, now: Instant, out: &mut Actions) {
        let keypad = self.settings.keypad(self.role).clone();
        let keys = self
            .keys
            .get_or_insert_with(|| Collector::new(keypad.collect()));
        if let Some(answer) = keys.push(digit, now) {
            self.keys = None;
            self.pressed(&answer.digits, out);
        }
    }

    fn pressed(&mut self, digits: &[Digit], out: &mut Actions) {
        let keypad = self.settings.keypad(self.role).clone();
        match keypad.find(digits) {
            Some(KeypadAction::Request(request)) => out.push_back(Action::Room(request.clone())),
            Some(KeypadAction::Leave) => self.leave(Action::HangUp, out),
            Some(KeypadAction::LeaveTo(menu)) => self.leave(Action::GoTo(menu.clone()), out),
            Some(KeypadAction::Help) => self.say(keypad.help.clone(), out),
            None => {}
        }
    }

    fn leave(&mut self, next: Action, out: &mut Actions) {
        self.state = State::Over;
        self.keys = None;
        self.asker.hush(out);
        out.extend([Action::LeaveRoom, next]);
    }

    fn is_inside(&self) -> bool {
        matches!(self.state, State::In | State::Waiting)
    }
}

impl Machine for Member {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        if let Happened::PlayEnded(_, outcome, length) = happened {
            self.speech.note(outcome, *length);
        }
        let heard = match (self.state, happened) {
            (State::Over, _) => return,
            (_, Happened::Established) => self.begin(now, out),
            (_, Happened::Room(news)) => self.news(news, out),
            (_, Happened::PlayBegan(id)) => {
                if self.asker.plays(*id) {
                    self.speech.began(out);
                }
                None
            }
            (_, Happened::JoinFailed) => {
                self.state = State::Over;
                out.push_back(Action::HangUp);
                None
            }
            (State::In, Happened::Alone) if self.settings.lone_prompt => {
                self.speech.lone(&mut self.asker, out);
                None
            }
            (State::In, Happened::Company) => {
                self.speech.company(&mut self.asker, out);
                None
            }
            (State::In, Happened::Digit(digit)) => {
                self.key(*digit, now, out);
                None
            }
            (State::Waiting | State::Joining, Happened::Digit(_)) => None,
            (State::Unlocking(role), Happened::Unlocked(open)) => {
                self.unlocked(open.then_some(role), now, out)
            }
            (State::Recording, Happened::Digit(_)) => {
                out.push_back(Action::StopRecord);
                None
            }
            (State::Recording, Happened::NameRecorded(name)) => self.recorded(*name, now, out),
            (_, other) => self.asker.handle(other, now, out),
        };
        self.go_on(heard, now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let keys = self.keys.as_ref().and_then(Collector::poll_timeout);
        let asked = self.asker.poll_timeout();
        [keys, asked].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        if let Some(answer) = self.keys.as_mut().and_then(|k| k.handle_timeout(now)) {
            self.keys = None;
            if !answer.timed_out {
                self.pressed(&answer.digits, out);
            }
        }
        let heard = self.asker.handle_timeout(now);
        self.go_on(heard, now, out);
    }
}

/// How many are in.
pub(crate) fn count(members: usize) -> Vec<super::PlayItem> {
    let mut items = speak::prompts(&["conf-count"]);
    items.extend(speak::number(members));
    items
}

#[cfg(test)]
mod tests;
