//! What a program does with its call: it rings, answers, orders, hands on.
//!
//! ```text
//! INVITE, ports --> Waiting --ring--> 180 --answer--> as any other call
//!                      '--- [PRACK] ---'
//! ```

use std::time::{Duration, Instant};

use super::{Call, EndReason, Output, State};
use crate::app::{App, AppSpec, Happened, Order};
use crate::sip::header::Name;
use crate::sip::message::Response;
use crate::sip::method::Method;
use crate::sip::status;
use crate::sip::transaction::ServerId;

impl Call {
    /// Whether somebody else than the application decides when it is answered.
    pub(super) fn is_driven(&self) -> bool {
        matches!(self.spec, AppSpec::Stasis(_))
    }

    /// The ports are bound: a program's call waits.
    pub(super) fn wait(&mut self, rseq: u32) {
        self.waiting.rseq = Some(rseq);
        self.outputs.push_back(Output::Waiting);
    }

    /// The PRACK has come. Whether the call goes on to wait.
    pub(super) fn waits_on(&mut self, invite: ServerId, now: Instant) -> bool {
        self.waiting.proven = true;
        self.waiting.rseq = self.waiting.rseq.map(|rseq| rseq.wrapping_add(1));
        let waits = self.is_driven() && !self.waiting.answered;
        if waits {
            self.state = State::Reserving { invite };
            // It has rung meanwhile, or with a description in the place of that.
            if self.waiting.rung
                && self.waiting.told != Some(180)
                && let Some(rseq) = self.waiting.rseq
            {
                self.tell_waiting(invite, rseq, now);
            }
        }
        waits
    }

    /// Tells the caller that somebody is alerted. Whether it can be told.
    pub fn ring(&mut self, now: Instant) -> bool {
        match (&self.state, self.waiting.rseq) {
            (&State::Reserving { invite }, Some(rseq)) => {
                self.waiting.rung = true;
                self.tell_waiting(invite, rseq, now);
                true
            }
            (State::Proving { .. }, Some(_)) => {
                self.waiting.rung = true;
                true
            }
            _ => false,
        }
    }

    /// Answers the call; one that is answered stays so. Whether it is, or will be with its PRACK.
    pub fn answer_now(&mut self, now: Instant) -> bool {
        match (&self.state, self.waiting.rseq) {
            (&State::Reserving { invite }, Some(rseq)) => {
                self.waiting.answered = true;
                if self.is_to_be_proven() {
                    self.prove(invite, rseq, now);
                } else {
                    self.accept(invite, now);
                }
                true
            }
            (State::Proving { .. }, Some(_)) => {
                self.waiting.answered = true;
                true
            }
            (State::Accepted { .. } | State::Established, _) => true,
            _ => false,
        }
    }

    /// Whether it takes what a program wants of it: it is answered, or will be with its PRACK.
    pub fn takes_orders(&self) -> bool {
        let proving = matches!(self.state, State::Proving { .. });
        self.is_answered() || (proving && self.waiting.answered)
    }

    /// What the program wants done once the call is established.
    pub fn order(&mut self, order: Order, now: Instant) {
        self.app.handle(&Happened::Ordered(Box::new(order)), now);
    }

    /// Another application goes on with the call, and answers it where it is not answered yet.
    pub fn hand_on(&mut self, spec: AppSpec, now: Instant) {
        self.runs = self.runs.wrapping_add(1);
        self.app = App::new(&spec);
        self.spec = spec;
        if matches!(self.state, State::Established) {
            self.app.handle(&Happened::Established, now);
        } else if !self.is_driven() {
            self.answer_now(now);
        }
    }

    /// Gives up where nobody has answered after this time.
    pub fn ring_at_most(&mut self, time: Duration, now: Instant) {
        self.give_up_at = Some(now + time);
    }

    pub(super) fn give_up(&mut self, now: Instant) {
        if self.give_up_at.is_some_and(|at| at <= now) {
            self.give_up_at = None;
            if matches!(self.state, State::Calling { .. }) {
                self.end(EndReason::NoAnswer);
            }
        }
    }

    /// Sends the other side elsewhere: by 302 before the answer, by REFER after it. Whether it can
    /// be.
    pub fn redirect(&mut self, uri: &str) -> bool {
        match self.state {
            State::Reserving { invite } | State::Proving { invite, .. } => {
                let mut response = self.response_to_invite(302);
                response.headers.set(Name::Contact, format!("<{uri}>"));
                self.refuse(invite, response);
                true
            }
            State::Established => {
                self.pending.referred = Some(uri.to_owned());
                self.refer()
            }
            _ => false,
        }
    }

    /// Sends our REFER, or sends it again. Whether there is one.
    pub(super) fn refer(&mut self) -> bool {
        let contact = self.contact();
        let (Some(uri), Some(dialog)) = (&self.pending.referred, &mut self.dialog) else {
            return false;
        };
        let mut refer = dialog.request(Method::Refer);
        refer.headers.set(Name::Contact, contact);
        refer.headers.set(Name::ReferTo, format!("<{uri}>"));
        let flow = self.target();
        self.outputs.push_back(Output::Request(refer, flow));
        true
    }

    /// A REFER of ours is answered (RFC 5589 §6.1): who follows it does not need us any more.
    pub(super) fn refer_answered(&mut self, response: &Response) {
        if response.status >= 200 {
            self.pending.referred = None;
        }
        if (200..300).contains(&response.status) {
            self.end(EndReason::HungUp);
        }
    }
}

/// A refusal with the usual phrase of its status.
pub fn rejected(status: u16) -> EndReason {
    EndReason::Rejected(status, status::reason(status).to_owned())
}
