//! Programs that nobody reads events for any more: their calls wait for them, for a while, and those that
//! they have placed and that are not answered yet.
//!
//! ```text
//! reader gone --program_lost--> calls stay as they are --program_back--> as before
//!                                      '-- time over --> `otherwise` of their route | hung up
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Switch;
use crate::app::AppSpec;
use crate::call::CallHandle;

/// What becomes of calls whose program does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// They go on at the extension that their route names for this, or are hung up without one.
    Otherwise,
    /// They are hung up.
    HungUp,
    /// They stay as they are.
    Kept,
}

/// How long calls wait for their program, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// How long.
    pub wait: Duration,
    /// What then.
    pub then: Abandoned,
}

impl Default for Absence {
    fn default() -> Self {
        Self {
            wait: Duration::from_mins(1),
            then: Abandoned::Otherwise,
        }
    }
}

/// The programs that calls wait for, and until when (none: for as long as there are such calls): no more
/// than there are calls.
#[derive(Debug, Default)]
pub(super) struct Absent {
    pub settings: Absence,
    until: BTreeMap<String, Option<Instant>>,
}

impl Absent {
    pub fn due(&self) -> Option<Instant> {
        self.until.values().flatten().min().copied()
    }

    pub fn leftovers(&self) -> usize {
        self.until.len()
    }
}

impl Switch {
    /// How long calls wait for a program that is gone.
    pub fn set_absence(&mut self, settings: Absence) {
        self.absent.settings = settings;
    }

    /// Nobody reads a program's events any more.
    pub fn program_lost(&mut self, app: &str, now: Instant) {
        let Absence { wait, then } = self.absent.settings;
        if self.calls_of(app).is_empty() {
            return;
        }
        let is_kept = then == Abandoned::Kept;
        if wait.is_zero() && !is_kept {
            self.abandon(app, now);
        } else {
            let until = (!is_kept).then(|| now + wait);
            self.absent.until.insert(app.to_owned(), until);
        }
    }

    /// Whether calls wait for a program that is gone.
    pub fn waits_for(&self, app: &str) -> bool {
        self.absent.until.contains_key(app)
    }

    /// Somebody reads them again.
    pub fn program_back(&mut self, app: &str) {
        self.absent.until.remove(app);
    }

    pub(super) fn absence_timeout(&mut self, now: Instant) {
        loop {
            let mut waited = self.absent.until.iter();
            let due = waited.find(|(_, at)| at.is_some_and(|at| at <= now));
            let Some(app) = due.map(|(app, _)| app.clone()) else {
                return;
            };
            self.absent.until.remove(&app);
            self.abandon(&app, now);
        }
    }

    /// Nobody has to wait for a program whose last call is over.
    pub(super) fn forget_absent(&mut self, app: &str) {
        if self.absent.until.contains_key(app) && self.calls_of(app).is_empty() {
            self.absent.until.remove(app);
        }
    }

    /// The calls that a program has been told of or has placed, in the order in which they began.
    fn calls_of(&self, app: &str) -> Vec<CallHandle> {
        let is_its = |handle: &CallHandle| {
            let entry = self.calls.get(handle);
            let known = entry.is_some_and(|e| e.driven.entered || e.call.is_outgoing());
            known && self.program(*handle).is_some_and(|spec| spec.app == app)
        };
        self.handles().into_iter().filter(is_its).collect()
    }

    fn abandon(&mut self, app: &str, now: Instant) {
        for handle in self.calls_of(app) {
            let extension = self.program(handle).and_then(|spec| spec.otherwise.clone());
            let extension = extension.filter(|_| self.absent.settings.then == Abandoned::Otherwise);
            if let Some(spec) = self.otherwise(handle, extension.as_deref()) {
                self.hand_on(handle, spec, now);
                continue;
            }
            self.leave_program(handle, now);
            // It is there: it has just been found.
            let _ = self.hang_up_with(handle, 503, now);
        }
    }

    /// What a call does whose program is not there.
    pub(super) fn otherwise(&self, handle: CallHandle, extension: Option<&str>) -> Option<AppSpec> {
        let source = self.calls.get(&handle)?.call.flow().remote.ip();
        let spec = self.routes.resolve(extension?, source)?;
        // What an announcement plays would have to be in the request; another program may not be there
        // either, and so on.
        let fits = !matches!(spec, AppSpec::Announcement(_) | AppSpec::Stasis(_));
        fits.then_some(spec)
    }
}
