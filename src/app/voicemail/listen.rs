//! Hear one's messages: number, PIN, how many there are, then each with what to do with it.
//!
//! ```text
//! [Box] --> Pin --3 wrong--> Farewell       1: again   2: save   3: delete   #: next   *: leave
//!            '--right--> Opening --> Count --> Message, Options --> (Changing --> Told) --> next ... Farewell
//! ```

use std::time::{Duration, Instant};

use super::{MAX_TRIES, Mailboxes, VoicemailSpec, farewell, hang_up, number, sooner};
use crate::app::ask::{Asker, Heard, Question};
use crate::app::collect::{CollectSpec, Pattern};
use crate::app::{Action, Actions, Happened, Machine, Message, PlayItem, PlayOutcome, speak};

/// How long it may take to be told of the box or of a change.
const STORE_TIME: Duration = Duration::from_secs(10);
/// How often a message's options go unanswered before the call ends.
const MAX_SILENT: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Box,
    Pin,
    Unlocking,
    Opening,
    Count,
    /// A message, and what can be done with it.
    Message,
    /// The same without the message.
    Options,
    /// It is under way.
    Changing(Change),
    Told,
    Farewell,
}

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Save,
    Delete,
}

#[derive(Debug)]
pub(in crate::app) struct Listen {
    spec: VoicemailSpec,
    mailbox: String,
    asker: Asker,
    tries: u32,
    silent: u32,
    messages: Vec<Message>,
    /// The message under way.
    at: usize,
    state: State,
    give_up: Option<Instant>,
}

impl Listen {
    pub fn new(spec: VoicemailSpec) -> Self {
        Self {
            mailbox: spec.mailbox.clone().unwrap_or_default(),
            spec,
            asker: Asker::default(),
            tries: 0,
            silent: 0,
            messages: Vec::new(),
            at: 0,
            state: State::Box,
            give_up: None,
        }
    }

    fn ask_number(&mut self, before: &[&str], now: Instant, out: &mut Actions) -> Option<Heard> {
        let (state, what) = match self.spec.mailbox {
            Some(_) => (State::Pin, "vm-pin"),
            None => (State::Box, "vm-mailbox"),
        };
        self.state = state;
        let prompts = speak::prompts(&[before, &[what]].concat());
        self.asker
            .ask(number(&self.spec.mailboxes, prompts), now, out)
    }

    /// Whether there is such a box is told by nothing: a wrong number is asked for its PIN too.
    fn ask_pin(&mut self, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.state = State::Pin;
        self.asker.ask(
            number(&self.spec.mailboxes, speak::prompts(&["vm-pin"])),
            now,
            out,
        )
    }

    fn pin_entered(&mut self, entered: &str, now: Instant, out: &mut Actions) -> Option<Heard> {
        // Who keys in nothing has tried nothing: that locks no box.
        let tried = !entered.is_empty();
        let mailbox = self.spec.mailboxes.find(&self.mailbox);
        if let Some(mailbox) = mailbox.filter(|_| tried) {
            self.state = State::Unlocking;
            out.push_back(Action::Unlock {
                right: mailbox.pin.is(entered),
                mailbox: self.mailbox.clone(),
            });
            return None;
        }
        self.unlocked(false, now, out)
    }

    fn unlocked(&mut self, open: bool, now: Instant, out: &mut Actions) -> Option<Heard> {
        if open {
            self.state = State::Opening;
            self.give_up = Some(now + STORE_TIME);
            out.push_back(Action::ListMessages(self.mailbox.clone()));
            return None;
        }
        self.tries += 1;
        if self.tries >= MAX_TRIES {
            return self.part(&["vm-wrong"], out);
        }
        self.asker.forget_ahead();
        self.ask_number(&["vm-wrong"], now, out)
    }

    fn part(&mut self, said: &[&str], out: &mut Actions) -> Option<Heard> {
        self.state = State::Farewell;
        self.give_up = None;
        farewell(&mut self.asker, said, self.spec.goodbye, out)
    }

    fn opened(
        &mut self,
        messages: &Result<Vec<Message>, String>,
        out: &mut Actions,
    ) -> Option<Heard> {
        self.give_up = None;
        match messages {
            // No prompt tells of it.
            Err(_) => self.part(&[], out),
            Ok(none) if none.is_empty() => self.part(&["vm-none"], out),
            Ok(messages) => {
                self.messages.clone_from(messages);
                self.state = State::Count;
                let mut items = speak::prompts(&["vm-you-have"]);
                items.extend(speak::number(messages.len()));
                let word = if messages.len() == 1 {
                    "vm-message"
                } else {
                    "vm-messages"
                };
                items.push(speak::prompt(word));
                self.asker.say(items, true, out)
            }
        }
    }

    /// The message under way and its options, or the end.
    fn tell(&mut self, whole: bool, now: Instant, out: &mut Actions) -> Option<Heard> {
        let Some(message) = self.messages.get(self.at) else {
            return self.part(&["vm-end"], out);
        };
        let mut prompts = Vec::new();
        if whole {
            prompts.push(speak::prompt(if message.saved {
                "vm-saved-message"
            } else {
                "vm-message-number"
            }));
            prompts.extend(speak::number(self.at + 1));
            prompts.push(PlayItem::File(message.file.clone()));
        }
        prompts.push(speak::prompt("vm-options"));
        self.state = if whole {
            State::Message
        } else {
            State::Options
        };
        let question = options(&self.spec.mailboxes, prompts);
        self.asker.ask(question, now, out)
    }

    fn chosen(&mut self, key: &str, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.silent = if key.is_empty() { self.silent + 1 } else { 0 };
        match key {
            "1" => self.tell(true, now, out),
            "2" => self.change(true, now, out),
            "3" => self.change(false, now, out),
            "#" => self.next(now, out),
            "*" => self.part(&[], out),
            _ if self.silent >= MAX_SILENT => self.part(&[], out),
            _ => self.tell(false, now, out),
        }
    }

    fn next(&mut self, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.at += 1;
        self.tell(true, now, out)
    }

    fn change(&mut self, save: bool, now: Instant, out: &mut Actions) -> Option<Heard> {
        let id = self.messages.get(self.at)?.id.clone();
        let mailbox = self.mailbox.clone();
        self.give_up = Some(now + STORE_TIME);
        if save {
            self.state = State::Changing(Change::Save);
            out.push_back(Action::SaveMessage { mailbox, id });
        } else {
            self.state = State::Changing(Change::Delete);
            out.push_back(Action::DeleteMessage { mailbox, id });
        }
        None
    }

    fn changed(
        &mut self,
        change: Change,
        result: &Result<bool, String>,
        now: Instant,
        out: &mut Actions,
    ) -> Option<Heard> {
        self.give_up = None;
        match (change, result) {
            // Somebody else has deleted it.
            (Change::Save, Ok(false)) => return self.next(now, out),
            (_, Ok(_)) => {}
            (_, Err(_)) => return self.not_changed(change, out),
        }
        self.state = State::Told;
        let said = match change {
            Change::Save => "vm-message-saved",
            Change::Delete => "vm-message-deleted",
        };
        self.asker.say(speak::prompts(&[said]), true, out)
    }

    fn not_changed(&mut self, change: Change, out: &mut Actions) -> Option<Heard> {
        match change {
            Change::Save => self.part(&["vm-failed"], out),
            // No prompt tells of it.
            Change::Delete => self.part(&[], out),
        }
    }

    fn go_on(&mut self, heard: Option<Heard>, now: Instant, out: &mut Actions) {
        let mut heard = heard;
        while let Some(h) = heard.take() {
            heard = match (self.state, h) {
                (State::Box, Heard::Answered(answer)) => {
                    self.mailbox = answer.text();
                    self.ask_pin(now, out)
                }
                (State::Pin, Heard::Answered(answer)) => self.pin_entered(&answer.text(), now, out),
                (State::Count, _) => self.tell(true, now, out),
                (State::Message | State::Options, Heard::Answered(answer)) => {
                    self.chosen(&answer.text(), now, out)
                }
                (State::Told, _) => {
                    // Pressed twice, it was for the same message: the next is not even heard yet.
                    self.asker.forget('3');
                    self.next(now, out)
                }
                (State::Farewell, _) => hang_up(out),
                _ => None,
            };
        }
    }
}

impl Machine for Listen {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        let heard = match (self.state, happened) {
            (State::Box, Happened::Established) => self.ask_number(&[], now, out),
            (State::Unlocking, Happened::Unlocked(open)) => self.unlocked(*open, now, out),
            (State::Opening, Happened::Messages(messages)) => self.opened(messages, out),
            (State::Changing(change), Happened::MessageChanged(result)) => {
                self.changed(change, result, now, out)
            }
            // It was deleted in another call, or cannot be read.
            (State::Message, Happened::PlayEnded(id, PlayOutcome::Failed(_), _))
                if self.asker.plays(*id) =>
            {
                self.next(now, out)
            }
            (_, other) => self.asker.handle(other, now, out),
        };
        self.go_on(heard, now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        sooner(self.asker.poll_timeout(), self.give_up)
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        let heard = if self.give_up.is_some_and(|at| at <= now) {
            match self.state {
                State::Changing(change) => self.not_changed(change, out),
                _ => self.part(&[], out),
            }
        } else {
            self.asker.handle_timeout(now)
        };
        self.go_on(heard, now, out);
    }
}

/// What can be done with a message: one key, that need not wait for the end.
fn options(mailboxes: &Mailboxes, prompts: Vec<PlayItem>) -> Question {
    Question {
        prompts,
        barge_in: true,
        type_ahead: mailboxes.type_ahead,
        collect: CollectSpec {
            patterns: ["1", "2", "3", "#", "*"]
                .iter()
                .filter_map(|k| Pattern::parse(k))
                .collect(),
            max: 1,
            terminator: None,
            first_digit: Duration::from_secs(8),
            ..CollectSpec::default()
        },
    }
}
