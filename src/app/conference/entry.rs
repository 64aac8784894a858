//! What is asked of a caller before it is in: whether it wants to, the PIN, its name.

use std::time::{Duration, Instant};

use super::{Member, State};
use crate::app::ask::{Heard, Question};
use crate::app::collect::{Answer, CollectSpec, Pattern};
use crate::app::room::{Names, PinTry, Role};
use crate::app::{Action, Actions, PlayItem, beep, speak};

/// Tries at a PIN, at saying a name, at an answer to an invitation.
const MAX_TRIES: u32 = 3;
/// The longest name.
const NAME_LENGTH: Duration = Duration::from_secs(5);
/// The silence that ends one.
const NAME_SILENCE: Duration = Duration::from_millis(1_500);

impl Member {
    pub(super) fn begin(&mut self, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.tries = 0;
        if self.spec.invited {
            return self.ask_whether(now, out);
        }
        if self.settings.has_pin() {
            return self.ask_pin(&[], now, out);
        }
        self.ask_name(&[], out)
    }

    fn ask_whether(&mut self, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.state = State::Invited;
        self.asker.ask(one_key("conf-invited", &["1"]), now, out)
    }

    fn ask_pin(&mut self, before: &[&str], now: Instant, out: &mut Actions) -> Option<Heard> {
        self.state = State::Pin;
        let question = Question {
            prompts: speak::prompts(&[before, &["conf-pin"]].concat()),
            barge_in: true,
            type_ahead: true,
            collect: self.settings.collect.clone(),
        };
        self.asker.ask(question, now, out)
    }

    fn pin_entered(&mut self, entered: &str, now: Instant, out: &mut Actions) -> Option<Heard> {
        let role = self.settings.role_of(entered);
        if entered.is_empty() {
            // Nobody has tried anything.
            return self.unlocked(role, now, out);
        }
        self.state = State::Unlocking(role.unwrap_or_default());
        out.push_back(Action::UnlockRoom(PinTry {
            room: self.spec.room.clone(),
            entry: self.spec.entry(),
            at: self.settings.roles_with_pin(),
            opens: role,
        }));
        None
    }

    pub(super) fn unlocked(
        &mut self,
        role: Option<Role>,
        now: Instant,
        out: &mut Actions,
    ) -> Option<Heard> {
        if let Some(role) = role {
            self.role = role;
            self.tries = 0;
            return self.ask_name(&[], out);
        }
        self.tries += 1;
        if self.tries >= MAX_TRIES {
            return self.part(&["conf-wrong-pin", "goodbye"], out);
        }
        self.asker.forget_ahead();
        self.ask_pin(&["conf-wrong-pin"], now, out)
    }

    fn ask_name(&mut self, before: &[&str], out: &mut Actions) -> Option<Heard> {
        if self.settings.names == Names::Off || self.spec.invited {
            self.join(self.spec.invited, out);
            return None;
        }
        self.state = State::Name;
        self.asker.forget_ahead();
        let said = speak::prompts(&[before, &["conf-say-name"]].concat());
        self.asker.say(said, false, out)
    }

    pub(super) fn recorded(
        &mut self,
        name: Option<u64>,
        now: Instant,
        out: &mut Actions,
    ) -> Option<Heard> {
        self.name = name;
        self.tries += 1;
        match name {
            // Without a name of its own, after that many tries or where none can be recorded.
            None if self.tries >= MAX_TRIES => {
                self.join(false, out);
                None
            }
            None => self.ask_name(&["conf-no-name"], out),
            Some(_) if self.settings.names == Names::Record => {
                self.join(false, out);
                None
            }
            Some(name) => {
                self.state = State::Review;
                let mut question = one_key("conf-review", &["1", "2"]);
                question.prompts.insert(0, PlayItem::Recording(name));
                self.asker.ask(question, now, out)
            }
        }
    }

    fn reviewed(&mut self, answer: &Answer, out: &mut Actions) -> Option<Heard> {
        // Who says nothing has accepted.
        if answer.text() == "2" && self.tries < MAX_TRIES {
            return self.ask_name(&[], out);
        }
        self.join(false, out);
        None
    }

    pub(super) fn go_on(&mut self, heard: Option<Heard>, now: Instant, out: &mut Actions) {
        let mut heard = heard;
        // Bounded: each round plays something, or uses up a digit that came ahead.
        while let Some(h) = heard.take() {
            heard = match (self.state, h) {
                (State::Invited, Heard::Answered(answer)) => self.answered(&answer, now, out),
                (State::Pin, Heard::Answered(answer)) => self.pin_entered(&answer.text(), now, out),
                (State::Name, _) => {
                    self.state = State::Beep;
                    self.asker.say(vec![beep()], false, out)
                }
                (State::Beep, _) => {
                    self.state = State::Recording;
                    self.asker.forget_ahead();
                    out.push_back(Action::RecordName {
                        max: NAME_LENGTH,
                        silence: NAME_SILENCE,
                    });
                    None
                }
                (State::Review, Heard::Answered(answer)) => self.reviewed(&answer, out),
                (State::Farewell, _) => {
                    self.state = State::Over;
                    out.push_back(Action::HangUp);
                    None
                }
                _ if self.is_inside() => {
                    self.speech.ended(&mut self.asker, out);
                    None
                }
                _ => None,
            };
        }
    }

    fn answered(&mut self, answer: &Answer, now: Instant, out: &mut Actions) -> Option<Heard> {
        if !answer.timed_out && answer.text() == "1" {
            self.join(true, out);
            return None;
        }
        self.tries += 1;
        if self.tries >= MAX_TRIES {
            return self.part(&["goodbye"], out);
        }
        self.ask_whether(now, out)
    }
}

/// A question that one key answers.
fn one_key(prompt: &str, keys: &[&str]) -> Question {
    Question {
        prompts: vec![speak::prompt(prompt)],
        barge_in: true,
        type_ahead: false,
        collect: CollectSpec {
            patterns: keys.iter().filter_map(|k| Pattern::parse(k)).collect(),
            max: 1,
            terminator: None,
            first_digit: Duration::from_secs(6),
            ..CollectSpec::default()
        },
    }
}
