//! Requests of those whom our INVITE has reached, before one of them answers: each in a dialog of its own
//! (RFC 3261 §12.1).

use std::time::Instant;

use super::branch::Branch;
use super::incoming::refusal;
use super::media::{offer_of, with_sdp};
use super::{Call, EndReason, Output};
use crate::sip::message::Request;
use crate::sip::method::Method;
use crate::sip::transaction::ServerId;

impl Call {
    /// A request of somebody whom we call. Where the INVITE goes does not change by it.
    pub(super) fn on_early_request(
        &mut self,
        transaction: ServerId,
        request: &Request,
        now: Instant,
    ) {
        let tag = request.tag_of_from().unwrap_or_default();
        let branch = Branch::talking(tag, &mut self.branches);
        let Some(dialog) = branch.and_then(|branch| branch.dialog.as_mut()) else {
            return self.respond(transaction, request, 481);
        };
        // RFC 3261 §12.2.2: a lower CSeq is out of order.
        if dialog.on_request(request).is_err() {
            let response = self.response(request, 500).with_reason("CSeq Out Of Order");
            self.outputs
                .push_back(Output::Respond(transaction, response));
            return;
        }
        match request.method {
            // RFC 3261 §14.2: ours is not settled yet.
            Method::Invite => self.busy(transaction, request, 491),
            Method::Update => self.early_update(transaction, request, tag),
            Method::Bye => {
                self.respond(transaction, request, 200);
                self.early_bye(tag);
            }
            Method::Info => self.on_info(transaction, request, now),
            Method::Options => self.respond(transaction, request, 200),
            // We send it no provisional response.
            Method::Prack => self.respond(transaction, request, 481),
            _ => self.respond(transaction, request, 405),
        }
    }

    fn respond(&mut self, transaction: ServerId, request: &Request, status: u16) {
        let response = self.response(request, status);
        self.outputs
            .push_back(Output::Respond(transaction, response));
    }

    /// News of where it is or who it is, or another offer (RFC 3311 §5.2). What is agreed takes effect with
    /// its answer to the call.
    fn early_update(&mut self, transaction: ServerId, request: &Request, tag: &str) {
        let has_offer = !offer_of(request).is_empty();
        let branch = Branch::talking(tag, &mut self.branches);
        if has_offer && branch.is_none_or(|branch| !branch.settled) {
            // One offer at a time, and ours has no answer yet.
            self.busy(transaction, request, 491);
            return;
        }
        let Some(mut response) = self.timer_ok(transaction, request) else {
            return;
        };
        let mut updated = None;
        if has_offer {
            let Some(local) = self.next_local() else {
                return;
            };
            match self.answered(offer_of(request), &local) {
                Ok((sdp, agreed)) => {
                    let sdp = self.settle(local, sdp);
                    updated = Some(Box::new(agreed));
                    response = with_sdp(response, sdp);
                }
                Err(error) => {
                    let response = refusal(self.response(request, error.status()), &error);
                    self.outputs
                        .push_back(Output::Respond(transaction, response));
                    return;
                }
            }
        }
        if let Some(branch) = Branch::talking(tag, &mut self.branches) {
            if let Some(dialog) = &mut branch.dialog {
                dialog.refresh_target(&request.headers);
            }
            if updated.is_some() {
                branch.updated = updated;
            }
        }
        self.outputs
            .push_back(Output::Respond(transaction, response));
    }

    /// It hangs up, which is not its to do before it has answered (RFC 3261 §15): our INVITE stands. Where
    /// nobody else is known to ring, that is called off.
    fn early_bye(&mut self, tag: &str) {
        if let Some(branch) = Branch::talking(tag, &mut self.branches) {
            branch.dialog = None;
            branch.gone = true;
        }
        if self.branches.iter().all(|branch| branch.dialog.is_none()) {
            self.end(EndReason::RemoteHungUp);
        }
    }
}
