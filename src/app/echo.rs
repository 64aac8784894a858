//! Echo: the caller hears itself.

use std::time::Instant;

use super::{Action, Actions, Happened, Machine};

#[derive(Debug)]
pub(super) struct Echo;

impl Machine for Echo {
    fn handle(&mut self, happened: &Happened, _now: Instant, out: &mut Actions) {
        if *happened == Happened::Established {
            out.push_back(Action::Echo(true));
        }
    }
}
