//! A call that came in and is not answered yet: what its caller is told meanwhile, and when it ends.
//!
//! ```text
//! INVITE --1 min--> 183, or 180 once it has rung --1 min--> again ... --Expires--> 487
//!                                                                     '-- longest call --> 480
//! ```

use std::time::{Duration, Instant};

use super::{Call, EndReason, Output, State};
use crate::sip::transaction::ServerId;

/// RFC 3261 §13.3.1.1: proxies give up an INVITE of which they hear nothing for three minutes, and a
/// response may be lost.
const REMIND: Duration = Duration::from_mins(1);

/// How far a call that came in is with its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// A program's call: the RSeq of the next provisional response that a caller requires; none: there
    /// are no ports yet.
    pub rseq: Option<u32>,
    /// The caller has acknowledged it.
    pub proven: bool,
    /// The program has rung.
    pub rung: bool,
    /// The program has answered.
    pub answered: bool,
    /// The status of what the caller was told last; none: nothing yet.
    pub told: Option<u16>,
    /// It is told again then.
    remind_at: Option<Instant>,
    /// By then the caller does not want it any more.
    expires_at: Option<Instant>,
}

impl Call {
    /// The INVITE is taken; whatever the answer waits for, it does not do so for ever.
    pub(super) fn begin_waiting(&mut self, now: Instant) {
        let expires = self.invite.headers.expires().ok().flatten();
        self.waiting.expires_at = expires.map(|s| now + Duration::from_secs(s.into()));
        self.waiting.remind_at = Some(now + REMIND);
        self.ends_at = Some(now + self.settings.max_length);
    }

    /// RFC 3262 §3: then each provisional response but 100 is to be acknowledged.
    fn requires_100rel(&self) -> bool {
        let required = self.invite.headers.require();
        required.iter().any(|r| r.eq_ignore_ascii_case("100rel"))
    }

    /// Whether provisional responses are to be acknowledged, and none was yet.
    pub(super) fn is_to_be_proven(&self) -> bool {
        self.requires_100rel() && !self.waiting.proven
    }

    /// When [`Call::handle_waiting`] is due.
    pub(super) fn waiting_due(&self) -> Option<Instant> {
        let Waiting {
            remind_at,
            expires_at,
            ..
        } = self.waiting;
        match self.state {
            State::Reserving { .. } => remind_at.into_iter().chain(expires_at).min(),
            // What is to be acknowledged is sent again by itself, and for half a minute only.
            State::Proving { .. } => expires_at,
            _ => None,
        }
    }

    /// The caller has waited for so long that it is told again, or that it waits no more.
    pub(super) fn handle_waiting(&mut self, now: Instant) {
        let is_due = |at: Instant| at <= now;
        if self.waiting_due().is_none_or(|at| !is_due(at)) {
            return;
        }
        if self.waiting.expires_at.is_some_and(is_due) {
            self.end(EndReason::NoAnswer);
        } else if let State::Reserving { invite } = self.state {
            self.remind(invite, now);
        }
    }

    /// Tells the caller how far it is, as often as it takes.
    fn remind(&mut self, invite: ServerId, now: Instant) {
        self.waiting.remind_at = Some(now + REMIND);
        if let Some(rseq) = self.waiting.rseq {
            self.tell_waiting(invite, rseq, now);
        } else if !self.requires_100rel() {
            self.tell_plainly(invite, now);
        }
    }

    /// Tells the caller whether somebody is alerted.
    pub(super) fn tell_waiting(&mut self, invite: ServerId, rseq: u32, now: Instant) {
        if self.requires_100rel() {
            self.prove(invite, rseq, now);
        } else {
            self.tell_plainly(invite, now);
        }
    }

    fn tell_plainly(&mut self, invite: ServerId, now: Instant) {
        let status = if self.waiting.rung { 180 } else { 183 };
        self.told_waiting(status, now);
        let response = self.response_to_invite(status);
        self.outputs.push_back(Output::Respond(invite, response));
    }

    /// A provisional response goes out: the next is due in a minute.
    pub(super) fn told_waiting(&mut self, status: u16, now: Instant) {
        self.waiting.told = Some(status);
        self.waiting.remind_at = Some(now + REMIND);
    }
}
