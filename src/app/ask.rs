//! Says things to the caller and reads its answers: what all applications with digits stand on.
//!
//! ```text
//! say: Playing ----------------------------------------> Said
//! ask: Playing --end, or a digit (barge-in)--> Reading --> Answered
//! ```
//!
//! Digits that come while nothing is asked are kept (type-ahead) and answer the next question,
//! unless that wants none of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::collect::{Answer, CollectSpec, Collector};
use super::{Action, Actions, Happened, PlayId, PlayItem, PlayOutcome};
use crate::dtmf::Digit;

/// Digits that are kept ahead of their question; further ones are dropped.
const MAX_AHEAD: usize = 32;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub prompts: Vec<PlayItem>,
    /// A digit ends the prompt.
    pub barge_in: bool,
    /// Digits that came before count.
    pub type_ahead: bool,
    pub collect: CollectSpec,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// All was said.
    Said,
    /// A digit has cut it short, or it could not be played.
    Cut,
    Answered(Answer),
}

#[derive(Debug, Default)]
pub(super) struct Asker {
    next: u32,
    playing: Option<PlayId>,
    barge_in: bool,
    collector: Option<Collector>,
    ahead: VecDeque<Digit>,
}

impl Asker {
    /// Says something. Done at once where a digit that came ahead would cut it short.
    pub fn say(
        &mut self,
        items: Vec<PlayItem>,
        barge_in: bool,
        out: &mut Actions,
    ) -> Option<Heard> {
        self.collector = None;
        if items.is_empty() || (barge_in && !self.ahead.is_empty()) {
            self.hush(out);
            return Some(Heard::Cut);
        }
        self.play(items, barge_in, out);
        None
    }

    /// Asks. Answered at once where that came ahead.
    pub fn ask(&mut self, question: Question, now: Instant, out: &mut Actions) -> Option<Heard> {
        if !question.type_ahead {
            self.ahead.clear();
        }
        self.collector = Some(Collector::new(question.collect));
        if question.barge_in && !self.ahead.is_empty() {
            self.hush(out);
            return self.take_ahead(now);
        }
        if question.prompts.is_empty() {
            self.hush(out);
            return self.take_ahead(now);
        }
        self.play(question.prompts, question.barge_in, out);
        None
    }

    /// Takes what happened; what has come of the question, if that settles it.
    pub fn handle(
        &mut self,
        happened: &Happened,
        now: Instant,
        out: &mut Actions,
    ) -> Option<Heard> {
        match happened {
            Happened::PlayEnded(id, outcome, _) if self.playing == Some(*id) => {
                self.playing = None;
                if self.collector.is_none() {
                    let failed = matches!(outcome, PlayOutcome::Failed(_));
                    return Some(if failed { Heard::Cut } else { Heard::Said });
                }
                self.take_ahead(now)
            }
            Happened::Digit(digit) => self.digit(*digit, now, out),
            _ => None,
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.collector.as_ref().and_then(Collector::poll_timeout)
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Heard> {
        let answer = self.collector.as_mut()?.handle_timeout(now)?;
        self.collector = None;
        Some(Heard::Answered(answer))
    }

    /// Takes the next key that came ahead, for somebody else.
    pub fn pop_ahead(&mut self) -> Option<Digit> {
        self.ahead.pop_front()
    }

    /// What the caller has pressed so far does not count any more.
    pub fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// Drops this key from what came ahead.
    pub fn forget(&mut self, key: char) {
        self.ahead.retain(|digit| digit.as_char() != key);
    }

    /// Whether this is what plays, or is to.
    pub fn plays(&self, id: PlayId) -> bool {
        self.playing == Some(id)
    }

    /// Stops what plays.
    pub fn hush(&mut self, out: &mut Actions) {
        if self.playing.take().is_some() {
            out.push_back(Action::StopPlay);
        }
    }

    /// Plays something so many times; 0: until something else is to be heard.
    pub fn repeat(&mut self, items: Vec<PlayItem>, repeat: u32, out: &mut Actions) {
        self.collector = None;
        let id = self.begin(false);
        out.push_back(Action::Play {
            id,
            items,
            repeat,
            gap: Duration::ZERO,
        });
    }

    fn play(&mut self, items: Vec<PlayItem>, barge_in: bool, out: &mut Actions) {
        let id = self.begin(barge_in);
        out.push_back(Action::play(id, items));
    }

    fn begin(&mut self, barge_in: bool) -> PlayId {
        let id = PlayId(self.next);
        self.next = self.next.wrapping_add(1);
        self.playing = Some(id);
        self.barge_in = barge_in;
        id
    }

    fn digit(&mut self, digit: Digit, now: Instant, out: &mut Actions) -> Option<Heard> {
        if self.playing.is_some() && self.barge_in {
            self.hush(out);
            if self.collector.is_none() {
                self.keep(digit);
                return Some(Heard::Cut);
            }
        }
        if self.playing.is_some() || self.collector.is_none() {
            self.keep(digit);
            return None;
        }
        self.push(digit, now)
    }

    fn keep(&mut self, digit: Digit) {
        if self.ahead.len() < MAX_AHEAD {
            self.ahead.push_back(digit);
        }
    }

    /// Reading begins, with what came ahead.
    fn take_ahead(&mut self, now: Instant) -> Option<Heard> {
        while let Some(digit) = self.ahead.pop_front() {
            let heard = self.push(digit, now);
            if heard.is_some() {
                return heard;
            }
        }
        if let Some(collector) = &mut self.collector {
            collector.start(now);
        }
        None
    }

    fn push(&mut self, digit: Digit, now: Instant) -> Option<Heard> {
        let answer = self.collector.as_mut()?.push(digit, now)?;
        self.collector = None;
        Some(Heard::Answered(answer))
    }
}
