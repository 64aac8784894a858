//! Leave a message: greeting, beep, recording until `#`, silence, the limit or the end of the call.
//!
//! ```text
//! [Box] --> Opening --list--> Greeting --> Beep --> Recording --its end--> Storing --> Farewell
//!             '-- full, or no such box --------------------------------------------------^
//! ```

use std::time::{Duration, Instant};

use super::{MAX_TRIES, VoicemailSpec, farewell, hang_up, number, sooner};
use crate::app::ask::{Asker, Heard};
use crate::app::{Action, Actions, Happened, Machine, MessageOutcome, beep, speak};
use crate::dtmf::Digit;

/// How long it may take to be told of the box or of the message.
const STORE_TIME: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Box,
    Opening,
    Greeting,
    Beep,
    Recording,
    Storing,
    Farewell,
}

#[derive(Debug)]
pub(in crate::app) struct Leave {
    spec: VoicemailSpec,
    mailbox: String,
    asker: Asker,
    tries: u32,
    state: State,
    give_up: Option<Instant>,
}

impl Leave {
    pub fn new(spec: VoicemailSpec) -> Self {
        Self {
            mailbox: spec.mailbox.clone().unwrap_or_default(),
            spec,
            asker: Asker::default(),
            tries: 0,
            state: State::Box,
            give_up: None,
        }
    }

    fn begin(&mut self, now: Instant, out: &mut Actions) -> Option<Heard> {
        if self.spec.mailbox.is_none() {
            return self.asker.ask(
                number(&self.spec.mailboxes, speak::prompts(&["vm-mailbox"])),
                now,
                out,
            );
        }
        self.open(now, out)
    }

    fn open(&mut self, now: Instant, out: &mut Actions) -> Option<Heard> {
        if self.spec.mailboxes.find(&self.mailbox).is_some() {
            self.state = State::Opening;
            self.give_up = Some(now + STORE_TIME);
            out.push_back(Action::ListMessages(self.mailbox.clone()));
            return None;
        }
        self.tries += 1;
        if self.spec.mailbox.is_some() || self.tries >= MAX_TRIES {
            return self.part(&["vm-no-box"], out);
        }
        self.state = State::Box;
        self.asker.forget_ahead();
        let prompts = speak::prompts(&["vm-no-box", "vm-mailbox"]);
        self.asker
            .ask(number(&self.spec.mailboxes, prompts), now, out)
    }

    fn part(&mut self, said: &[&str], out: &mut Actions) -> Option<Heard> {
        self.state = State::Farewell;
        self.give_up = None;
        farewell(&mut self.asker, said, self.spec.goodbye, out)
    }

    fn opened(&mut self, messages: Option<usize>, out: &mut Actions) -> Option<Heard> {
        self.give_up = None;
        match messages {
            None => self.part(&["vm-failed"], out),
            Some(n) if n >= self.spec.mailboxes.max_messages => self.part(&["vm-full"], out),
            Some(_) => {
                self.state = State::Greeting;
                let mailbox = self.spec.mailboxes.find(&self.mailbox);
                let greeting = mailbox.map(|b| b.greeting.clone()).unwrap_or_default();
                self.asker.say(greeting, true, out)
            }
        }
    }

    fn stored(&mut self, outcome: &MessageOutcome, out: &mut Actions) -> Option<Heard> {
        let said = match outcome {
            MessageOutcome::Kept => "vm-kept",
            MessageOutcome::TooShort => "vm-short",
            MessageOutcome::Full => "vm-full",
            MessageOutcome::Failed(_) => "vm-failed",
        };
        self.part(&[said], out)
    }

    fn go_on(&mut self, heard: Option<Heard>, now: Instant, out: &mut Actions) {
        let mut heard = heard;
        while let Some(h) = heard.take() {
            heard = match (self.state, h) {
                (State::Box, Heard::Answered(answer)) => {
                    self.mailbox = answer.text();
                    self.open(now, out)
                }
                (State::Greeting, _) => {
                    // What cut the greeting short is no part of anything.
                    self.asker.forget_ahead();
                    self.state = State::Beep;
                    self.asker.say(vec![beep()], false, out)
                }
                (State::Beep, _) => {
                    self.asker.forget_ahead();
                    self.state = State::Recording;
                    self.give_up = Some(now + self.spec.mailboxes.max_message + STORE_TIME);
                    out.push_back(Action::LeaveMessage {
                        mailbox: self.mailbox.clone(),
                        max: self.spec.mailboxes.max_message,
                        silence: self.spec.mailboxes.silence,
                    });
                    None
                }
                (State::Farewell, _) => hang_up(out),
                _ => None,
            };
        }
    }
}

impl Machine for Leave {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        let heard = match (self.state, happened) {
            (State::Box, Happened::Established) => self.begin(now, out),
            (State::Opening, Happened::Messages(result)) => {
                self.opened(result.as_ref().ok().map(Vec::len), out)
            }
            (State::Recording, Happened::Digit(Digit::POUND)) => {
                self.give_up = Some(now + STORE_TIME);
                out.push_back(Action::StopRecord);
                None
            }
            // It is not stored before it has ended.
            (State::Recording, Happened::RecordEnded(..)) => {
                self.state = State::Storing;
                self.give_up = Some(now + STORE_TIME);
                None
            }
            (State::Recording | State::Storing, Happened::MessageLeft(outcome)) => {
                self.stored(outcome, out)
            }
            (State::Recording | State::Storing | State::Opening, _) => None,
            (_, other) => self.asker.handle(other, now, out),
        };
        self.go_on(heard, now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        sooner(self.asker.poll_timeout(), self.give_up)
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        let heard = if self.give_up.is_some_and(|at| at <= now) {
            if self.state == State::Recording {
                out.push_back(Action::StopRecord);
            }
            self.part(&["vm-failed"], out)
        } else {
            self.asker.handle_timeout(now)
        };
        self.go_on(heard, now, out);
    }
}
