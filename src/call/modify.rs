//! Requests within the dialog: re-INVITE, UPDATE, BYE, INFO, OPTIONS, PRACK.

use std::time::Instant;

use super::incoming::refusal;
use super::media::{Keys, offer_of, with_sdp};
use super::{Call, EndReason, Output, State};
use crate::sdp::negotiate;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::session_timer;
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;

impl Call {
    /// A request of the dialog.
    pub fn on_request(
        &mut self,
        transaction: ServerId,
        request: &Request,
        flow: Flow,
        now: Instant,
    ) {
        if matches!(self.state, State::Calling { .. }) {
            return self.on_early_request(transaction, request, now);
        }
        let Some(dialog) = &mut self.dialog else {
            let response = self.response(request, 481);
            self.outputs
                .push_back(Output::Respond(transaction, response));
            return;
        };
        // Another branch of a fork (RFC 3261 §13.2.2.4): it is no part of this dialog, and goes by itself.
        if request.tag_of_from().unwrap_or_default() != dialog.id.remote_tag {
            let status = if request.method == Method::Bye {
                200
            } else {
                481
            };
            let response = self.response(request, status);
            self.outputs
                .push_back(Output::Respond(transaction, response));
            return;
        }
        // RFC 3261 §12.2.2: a lower CSeq is out of order; a gap is fine.
        if dialog.on_request(request).is_err() {
            let response = self.response(request, 500).with_reason("CSeq Out Of Order");
            self.outputs
                .push_back(Output::Respond(transaction, response));
            return;
        }
        self.note_path(request, flow);
        match request.method {
            Method::Invite => self.on_reinvite(transaction, request, now),
            Method::Update => self.on_update(transaction, request, now),
            Method::Bye => self.on_bye(transaction, request),
            Method::Prack => self.on_prack(request, transaction, now),
            Method::Info => self.on_info(transaction, request, now),
            Method::Options => {
                let response = self.response(request, 200);
                self.outputs
                    .push_back(Output::Respond(transaction, response));
            }
            _ => {
                let response = self.response(request, 405);
                self.outputs
                    .push_back(Output::Respond(transaction, response));
            }
        }
    }

    fn on_bye(&mut self, transaction: ServerId, request: &Request) {
        let response = self.response(request, 200);
        self.outputs
            .push_back(Output::Respond(transaction, response));
        match self.state {
            // RFC 3261 §15.1.2: the pending INVITE gets 487.
            State::Reserving { invite } | State::Proving { invite, .. } => {
                let response = self.response_to_invite(487);
                self.outputs.push_back(Output::Respond(invite, response));
            }
            State::Accepted { invite } => self.outputs.push_back(Output::Abandon(invite)),
            State::Ending(_) | State::Ended => return self.both_part(),
            State::Calling { .. } | State::Established => {}
        }
        self.ending(EndReason::RemoteHungUp);
    }

    fn on_reinvite(&mut self, transaction: ServerId, request: &Request, now: Instant) {
        match self.state {
            State::Established if self.pending.reinvite.is_some() => {
                // RFC 3261 §14.2: the first is not settled yet.
                self.busy(transaction, request, 500);
                return;
            }
            State::Established if self.pending.refresh => {
                self.busy(transaction, request, 491);
                return;
            }
            State::Established => {}
            State::Ending(_) | State::Ended => {
                self.busy(transaction, request, 481);
                return;
            }
            _ => {
                self.busy(transaction, request, 500);
                return;
            }
        }
        let Some(mut ok) = self.timer_ok(transaction, request) else {
            return;
        };
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh_target(&request.headers);
        }
        if offer_of(request).is_empty() {
            // RFC 3261 §14.2: a re-INVITE without an offer gets one.
            if let Some(sdp) = self.our_offer(Keys::Fresh) {
                ok = with_sdp(ok, sdp);
            }
        } else {
            match self.answer(request) {
                Ok(sdp) => ok = with_sdp(ok, sdp),
                Err(error) => {
                    let response = refusal(self.response(request, error.status()), &error);
                    self.outputs
                        .push_back(Output::Respond(transaction, response));
                    return;
                }
            }
        }
        self.session_answer(request, &mut ok, now);
        self.pending.reinvite = Some(transaction);
        self.outputs.push_back(Output::Respond(transaction, ok));
    }

    fn on_update(&mut self, transaction: ServerId, request: &Request, now: Instant) {
        let has_offer = !offer_of(request).is_empty();
        match self.state {
            State::Ending(_) | State::Ended => {
                self.busy(transaction, request, 481);
                return;
            }
            // RFC 3311 §5.2: one offer at a time.
            _ if has_offer && self.offered.is_some() => {
                self.busy(transaction, request, 491);
                return;
            }
            State::Established => {}
            _ if has_offer => {
                self.busy(transaction, request, 500);
                return;
            }
            _ => {}
        }
        let Some(mut ok) = self.timer_ok(transaction, request) else {
            return;
        };
        if let Some(dialog) = &mut self.dialog {
            dialog.refresh_target(&request.headers);
        }
        if has_offer {
            match self.answer(request) {
                Ok(sdp) => ok = with_sdp(ok, sdp),
                Err(error) => {
                    let response = refusal(self.response(request, error.status()), &error);
                    self.outputs
                        .push_back(Output::Respond(transaction, response));
                    return;
                }
            }
        }
        self.session_answer(request, &mut ok, now);
        self.outputs.push_back(Output::Respond(transaction, ok));
    }

    /// Answers an offer within the dialog; what is agreed takes effect at once.
    fn answer(&mut self, request: &Request) -> Result<String, negotiate::NegotiateError> {
        let Some(local) = self.next_local() else {
            return Err(negotiate::NegotiateError::NoAudio);
        };
        match self.answered(offer_of(request), &local) {
            Ok((sdp, agreed)) => {
                let sdp = self.settle(local, sdp);
                self.agree(agreed);
                Ok(sdp)
            }
            // RFC 3264 §8.2: the audio is taken out, the call goes on without.
            Err(negotiate::NegotiateError::NoAudio) if !negotiate::wants_fax(offer_of(request)) => {
                let sdp = negotiate::reject(offer_of(request), &local)?;
                let sdp = self.settle(local, sdp);
                self.silence_media();
                Ok(sdp)
            }
            Err(error) => Err(error),
        }
    }

    /// The 200 to come, unless the session interval is too small (422).
    pub(super) fn timer_ok(
        &mut self,
        transaction: ServerId,
        request: &Request,
    ) -> Option<Response> {
        match session_timer::uas(request, &self.timer_settings()) {
            Ok(_) => Some(self.response(request, 200)),
            Err(small) => {
                let mut response = self.response(request, 422);
                response
                    .headers
                    .set(Name::MinSe, small.min_se.as_secs().to_string());
                self.outputs
                    .push_back(Output::Respond(transaction, response));
                None
            }
        }
    }

    pub(super) fn busy(&mut self, transaction: ServerId, request: &Request, status: u16) {
        let mut response = self.response(request, status);
        if status == 500 {
            response.headers.set(Name::RetryAfter, "2");
        }
        self.outputs
            .push_back(Output::Respond(transaction, response));
    }
}
