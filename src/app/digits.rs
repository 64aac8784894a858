//! Digits: reads them and speaks them back, until the caller has enough of it.

use std::time::Instant;

use super::ask::{Asker, Heard, Question};
use super::collect::CollectSpec;
use super::{Action, Actions, Happened, Machine, PlayItem, speak};

/// How digits are read.
#[derive(Clone, Debug, PartialEq)]
pub struct DigitsSpec {
    /// When an entry is complete.
    pub collect: CollectSpec,
    /// Digits pressed before the prompt count.
    pub type_ahead: bool,
    /// Say goodbye at the end: the call ends with it.
    pub goodbye: bool,
}

/// How often nothing is heard before the call ends.
const MAX_SILENT: u32 = 2;

#[derive(Debug)]
pub(super) struct Reader {
    spec: DigitsSpec,
    asker: Asker,
    /// Entries without a digit in a row.
    silent: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asking,
    SpeakingBack,
    Leaving,
}

impl Reader {
    pub fn new(spec: DigitsSpec) -> Self {
        Self {
            spec,
            asker: Asker::default(),
            silent: 0,
            state: State::Asking,
        }
    }

    fn ask(&mut self, prompts: Vec<PlayItem>, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.state = State::Asking;
        let question = Question {
            prompts,
            barge_in: true,
            type_ahead: self.spec.type_ahead,
            collect: self.spec.collect.clone(),
        };
        self.asker.ask(question, now, out)
    }

    fn go_on(&mut self, heard: Option<Heard>, now: Instant, out: &mut Actions) {
        let mut heard = heard;
        while let Some(h) = heard.take() {
            heard = match (self.state, h) {
                (State::Asking, Heard::Answered(answer)) if !answer.digits.is_empty() => {
                    self.silent = 0;
                    self.state = State::SpeakingBack;
                    let mut items = speak::prompts(&["digits-you-entered"]);
                    items.extend(answer.digits.iter().map(|&d| speak::digit(d)));
                    self.asker.say(items, true, out)
                }
                (State::Asking, _) => {
                    self.silent += 1;
                    if self.silent < MAX_SILENT {
                        let items = speak::prompts(&["digits-none", "digits-enter"]);
                        self.ask(items, now, out)
                    } else {
                        self.state = State::Leaving;
                        self.asker.forget_ahead();
                        let said = if self.spec.goodbye {
                            &["goodbye"][..]
                        } else {
                            &[]
                        };
                        self.asker.say(speak::prompts(said), false, out)
                    }
                }
                (State::SpeakingBack, _) => self.ask(speak::prompts(&["digits-enter"]), now, out),
                (State::Leaving, _) => {
                    out.push_back(Action::HangUp);
                    None
                }
            };
        }
    }
}

impl Machine for Reader {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        let heard = match happened {
            Happened::Established => self.ask(speak::prompts(&["digits-enter"]), now, out),
            other => self.asker.handle(other, now, out),
        };
        self.go_on(heard, now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.asker.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        let heard = self.asker.handle_timeout(now);
        self.go_on(heard, now, out);
    }
}
