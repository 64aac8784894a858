//! Echo: the caller hears itself, until it presses `#`.

use std::time::Instant;

use super::{Action, Actions, Happened, Machine};
use crate::dtmf::Digit;

#[derive(Debug)]
pub(super) struct Echo;

impl Machine for Echo {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        match happened {
            Happened::Established => out.push_back(Action::Echo(true)),
            Happened::Digit(Digit::POUND) => {
                out.push_back(Action::Echo(false));
                out.push_back(Action::HangUp);
            }
            _ => {}
        }
    }
}
