//! Menu: a declared tree of questions; each choice leads to another menu, to an application, or to
//! the end of the call.
//!
//! ```text
//!            choice: another menu
//!         .----------------------.
//!         v                      |
//! enter: Asking --no, wrong--> again, up to `retries` --> on_timeout, on_invalid
//!         |  choice: prompts                choice: an application
//!         |---------------> Saying --.      |
//!         '---------------------------------'--> Running --its end--> `then`: a menu, or hang up
//! ```

use std::sync::Arc;
use std::time::Instant;

use super::ask::{Asker, Heard, Question};
use super::collect::{CollectSpec, Pattern};
use super::{Action, Actions, AppSpec, Happened, Machine, PlayId, PlayItem};
use crate::dtmf::Digit;

/// All menus of a configuration; they name each other by their place in here.
pub type Menus = Arc<Vec<Menu>>;

/// Where a call enters.
#[derive(Clone, Debug, PartialEq)]
pub struct MenuSpec {
    /// All menus.
    pub menus: Menus,
    /// The first one's place.
    pub start: usize,
}

/// One menu.
#[derive(Clone, Debug, PartialEq)]
pub struct Menu {
    /// Its name.
    pub name: String,
    /// What it asks.
    pub prompts: Vec<PlayItem>,
    /// What is said before it asks again where the answer was none of the choices.
    pub invalid: Vec<PlayItem>,
    /// The same where there was no answer in time.
    pub timeout: Vec<PlayItem>,
    /// How an answer is read. Its patterns are those of the choices.
    pub collect: CollectSpec,
    /// A digit ends the prompt.
    pub barge_in: bool,
    /// Digits pressed before the prompt count.
    pub type_ahead: bool,
    /// How often it asks again.
    pub retries: u32,
    /// What follows one wrong answer too many.
    pub on_invalid: Branch,
    /// What follows one missing answer too many.
    pub on_timeout: Branch,
    /// The first that matches is taken.
    pub choices: Vec<Choice>,
}

/// One answer of a menu, and what it leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The digits.
    pub pattern: Pattern,
    /// What follows.
    pub branch: Branch,
}

/// What follows an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Branch {
    /// A menu, by its place.
    Menu(usize),
    /// An application, and the menu that follows its end; none: hang up. `$0` in a name stands for
    /// the digits.
    Run {
        /// Which, with its settings.
        app: Box<AppSpec>,
        /// The menu behind it.
        then: Option<usize>,
    },
    /// The end of the call.
    HangUp,
}

#[derive(Debug)]
enum State {
    Asking,
    /// A choice's prompts, so often (0: until a digit comes); then this menu, or the end.
    Saying {
        left: u32,
        items: Vec<PlayItem>,
        then: Option<usize>,
    },
    Running {
        sub: Box<dyn Machine>,
        then: Option<usize>,
    },
    Over,
}

#[derive(Debug)]
pub(super) struct Navigator {
    menus: Menus,
    at: usize,
    tries: u32,
    asker: Asker,
    state: State,
    /// Counts the applications that were run: their plays are told apart by it.
    run: u32,
}

/// Plays of a menu have numbers below, those of its applications a run in the upper bits.
const RUN_SHIFT: u32 = 16;
const RUN_MASK: u32 = (1 << RUN_SHIFT) - 1;

impl Navigator {
    pub fn new(spec: MenuSpec) -> Self {
        Self {
            menus: spec.menus,
            at: spec.start,
            tries: 0,
            asker: Asker::default(),
            state: State::Asking,
            run: 0,
        }
    }

    fn enter(&mut self, at: usize, now: Instant, out: &mut Actions) -> Option<Heard> {
        self.at = at;
        self.tries = 0;
        self.ask(&[], now, out)
    }

    fn ask(&mut self, before: &[PlayItem], now: Instant, out: &mut Actions) -> Option<Heard> {
        let Some(menu) = self.menus.get(self.at) else {
            return self.hang_up(out);
        };
        self.state = State::Asking;
        let question = Question {
            prompts: [before, &menu.prompts].concat(),
            barge_in: menu.barge_in,
            type_ahead: menu.type_ahead,
            collect: menu.collect.clone(),
        };
        self.asker.ask(question, now, out)
    }

    fn hang_up(&mut self, out: &mut Actions) -> Option<Heard> {
        self.state = State::Over;
        out.push_back(Action::HangUp);
        None
    }

    fn go_on(&mut self, heard: Option<Heard>, now: Instant, out: &mut Actions) {
        let mut heard = heard;
        // Bounded: each round plays something, or uses up a digit that came ahead.
        while let Some(h) = heard.take() {
            heard = match (&mut self.state, h) {
                (State::Asking, Heard::Answered(answer)) => {
                    self.answered(&answer.digits, answer.timed_out, now, out)
                }
                (State::Saying { left, items, .. }, Heard::Said) if *left != 1 => {
                    *left = left.saturating_sub(1);
                    let items = items.clone();
                    self.asker.say(items, true, out)
                }
                (State::Saying { then, .. }, _) => {
                    let then = *then;
                    self.leave_for(then, now, out)
                }
                (State::Asking | State::Running { .. } | State::Over, _) => None,
            };
        }
    }

    fn answered(
        &mut self,
        digits: &[Digit],
        timed_out: bool,
        now: Instant,
        out: &mut Actions,
    ) -> Option<Heard> {
        let menus = self.menus.clone();
        let menu = menus.get(self.at)?;
        let choice = menu.choices.iter().find(|c| c.pattern.matches(digits));
        if let Some(choice) = choice.filter(|_| !timed_out) {
            return self.follow(&choice.branch, digits, now, out);
        }
        // What was pressed behind a mistake was pressed for something else.
        self.asker.forget_ahead();
        let silent = digits.is_empty();
        self.tries += 1;
        if self.tries <= menu.retries {
            let said = if silent { &menu.timeout } else { &menu.invalid };
            return self.ask(said, now, out);
        }
        let branch = if silent {
            &menu.on_timeout
        } else {
            &menu.on_invalid
        };
        self.follow(branch, digits, now, out)
    }

    fn follow(
        &mut self,
        branch: &Branch,
        digits: &[Digit],
        now: Instant,
        out: &mut Actions,
    ) -> Option<Heard> {
        match branch {
            Branch::Menu(at) => self.enter(*at, now, out),
            Branch::HangUp => self.hang_up(out),
            Branch::Run { app, then } => match &**app {
                // Said by the menu itself: a digit cuts it short and counts for what follows.
                AppSpec::Play(play) => {
                    self.state = State::Saying {
                        left: play.repeat,
                        items: play.items.clone(),
                        then: *then,
                    };
                    self.asker.say(play.items.clone(), true, out)
                }
                app => {
                    let entered: String = digits.iter().map(|d| d.as_char()).collect();
                    self.run = self.run.wrapping_add(1) & RUN_MASK;
                    let mut sub = super::machine(&app.with_digits(&entered));
                    let mut wanted = Actions::new();
                    sub.handle(&Happened::Established, now, &mut wanted);
                    // What was pressed ahead was meant for it, up to its end.
                    while !wanted.contains(&Action::HangUp)
                        && let Some(digit) = self.asker.pop_ahead()
                    {
                        sub.handle(&Happened::Digit(digit), now, &mut wanted);
                    }
                    self.state = State::Running { sub, then: *then };
                    self.pass_on(wanted, now, out)
                }
            },
        }
    }

    fn leave_for(&mut self, then: Option<usize>, now: Instant, out: &mut Actions) -> Option<Heard> {
        match then {
            Some(at) => self.enter(at, now, out),
            None => self.hang_up(out),
        }
    }

    /// Passes on what the application wants; where it hangs up, its part is over.
    fn pass_on(&mut self, wanted: Actions, now: Instant, out: &mut Actions) -> Option<Heard> {
        let mut over = false;
        for action in wanted {
            match action {
                Action::HangUp => over = true,
                Action::Play {
                    id,
                    items,
                    repeat,
                    gap,
                } => out.push_back(Action::Play {
                    id: PlayId(self.run << RUN_SHIFT | id.0 & RUN_MASK),
                    items,
                    repeat,
                    gap,
                }),
                other => out.push_back(other),
            }
        }
        let State::Running { then, .. } = self.state else {
            return None;
        };
        over.then(|| self.leave_for(then, now, out)).flatten()
    }

    /// What happened, as the running application knows it; none: it is not for it.
    fn for_sub(&self, happened: &Happened) -> Option<Happened> {
        let own = |id: &PlayId| {
            let mine = id.0 >> RUN_SHIFT == self.run;
            mine.then_some(PlayId(id.0 & RUN_MASK))
        };
        match happened {
            Happened::PlayBegan(id) => own(id).map(Happened::PlayBegan),
            Happened::PlayEnded(id, outcome, played) => {
                own(id).map(|id| Happened::PlayEnded(id, outcome.clone(), *played))
            }
            other => Some(other.clone()),
        }
    }
}

impl Machine for Navigator {
    fn handle(&mut self, happened: &Happened, now: Instant, out: &mut Actions) {
        let inner = self.for_sub(happened);
        let heard = match &mut self.state {
            State::Running { sub, .. } => {
                let Some(happened) = inner else { return };
                let mut wanted = Actions::new();
                sub.handle(&happened, now, &mut wanted);
                self.pass_on(wanted, now, out)
            }
            State::Over => return,
            _ if *happened == Happened::Established => self.enter(self.at, now, out),
            _ => self.asker.handle(happened, now, out),
        };
        self.go_on(heard, now, out);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Running { sub, .. } => sub.poll_timeout(),
            _ => self.asker.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Actions) {
        let heard = match &mut self.state {
            State::Running { sub, .. } => {
                let mut wanted = Actions::new();
                sub.handle_timeout(now, &mut wanted);
                self.pass_on(wanted, now, out)
            }
            _ => self.asker.handle_timeout(now),
        };
        self.go_on(heard, now, out);
    }
}

#[cfg(test)]
#[path = "menu_tests.rs"]
mod tests;
