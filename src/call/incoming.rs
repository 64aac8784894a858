//! A call that comes in (the UAS side): from INVITE to ACK.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::media::{Keys, offer_of, with_sdp};
use super::path::{behind_nat, is_translated};
use super::sources::Hops;
use super::{Call, CallHandle, EndReason, Output, RETRY_AFTER, Settings, State, allows_update};
use crate::app::{App, AppSpec, Happened, PlayItem};
use crate::sdp::negotiate::{Local, NegotiateError};
use crate::sip::dialog::Dialog;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::session_timer::{self, Agreed, SessionTimer};
use crate::sip::transaction::ServerId;
use crate::sip::transport::Flow;

impl Call {
    /// Takes an INVITE that starts a call. Refusals are among its outputs.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is what an INVITE comes with"
    )]
    pub fn incoming(
        handle: CallHandle,
        settings: Arc<Settings>,
        spec: AppSpec,
        invite: Request,
        transaction: ServerId,
        flow: Flow,
        local_tag: String,
        now: Instant,
    ) -> Call {
        let state = State::Reserving {
            invite: transaction,
        };
        let mut call = Call {
            translated: is_translated(&invite, &flow).unwrap_or(false),
            behind_nat: behind_nat(&invite, &flow).unwrap_or(false),
            peer_updates: allows_update(&invite.headers),
            hops: Hops::of(&invite, flow.remote.ip()),
            ..Call::new(
                handle,
                settings,
                state,
                flow,
                spec,
                (invite, local_tag),
                now,
            )
        };
        call.begin_waiting(now);
        call.begin(transaction);
        call
    }

    fn begin(&mut self, transaction: ServerId) {
        if let Err(small) = session_timer::uas(&self.invite, &self.timer_settings()) {
            let mut response = self.response_to_invite(422);
            response
                .headers
                .set(Name::MinSe, small.min_se.as_secs().to_string());
            self.refuse(transaction, response);
            return;
        }
        match Dialog::uas(&self.invite, &self.local_tag) {
            Ok(dialog) => {
                self.outputs.push_back(Output::Dialog(dialog.id.clone()));
                self.dialog = Some(dialog);
                let output = match &self.spec {
                    // RFC 4240 §3: what cannot be found is said before the call is taken.
                    AppSpec::Announcement(spec) => Output::Locate(spec.wanted.clone()),
                    _ => Output::ReserveMedia(self.flow.local.ip()),
                };
                self.outputs.push_back(output);
            }
            Err(error) => {
                let response = self.response_to_invite(400).with_reason(&error.to_string());
                self.refuse(transaction, response);
            }
        }
    }

    pub(super) fn timer_settings(&self) -> session_timer::Settings {
        session_timer::Settings {
            expires: self.settings.session_expires,
            min_se: self.settings.min_se,
        }
    }

    pub(super) fn refuse(&mut self, transaction: ServerId, response: Response) {
        let reason = EndReason::Rejected(response.status, response.reason.clone());
        self.outputs
            .push_back(Output::Respond(transaction, response));
        self.ending(reason);
    }

    /// What the announcement is; none: there is no such thing.
    pub fn located(&mut self, items: Option<Vec<PlayItem>>) {
        let State::Reserving { invite } = self.state else {
            return;
        };
        if let (Some(items), AppSpec::Announcement(spec)) = (items, &mut self.spec) {
            spec.items = items;
            self.app = App::new(&self.spec);
            self.outputs
                .push_back(Output::ReserveMedia(self.flow.local.ip()));
        } else {
            let response = self.response_to_invite(404);
            self.refuse(invite, response);
        }
    }

    /// The ports are bound.
    pub fn media_ready<R: Rng>(
        &mut self,
        (rtp_port, rtcp_port): (u16, u16),
        now: Instant,
        rng: &mut R,
        keys: &mut StdRng,
    ) {
        self.keys = Some(StdRng::from_rng(keys));
        self.local = Some(Local {
            address: self.advertised(),
            rtp_port,
            rtcp_port,
            session_id: rng.random_range(1..1 << 31),
            version: 1,
        });
        match self.state {
            State::Reserving { invite } => {
                if self.is_driven() {
                    self.wait(rng.random_range(1..1 << 30));
                } else if self.is_to_be_proven() {
                    self.prove(invite, rng.random_range(1..1 << 30), now);
                } else {
                    self.accept(invite, now);
                }
            }
            State::Calling { .. } if self.is_unsignalled() => self.begin_unsignalled(now),
            State::Calling { .. } => self.send_invite(now),
            _ => {}
        }
    }

    /// No ports could be had.
    pub fn media_failed(&mut self, why: &str) {
        if let State::Reserving { invite } = self.state {
            let mut response = self.response_to_invite(503);
            response.headers.set(Name::RetryAfter, RETRY_AFTER);
            self.refuse(invite, response);
            return;
        }
        let none = || EndReason::Rejected(503, why.to_owned());
        let reason = self.lost.take().unwrap_or_else(none);
        // For no other place that is reached from there either.
        let address = self.flow.local.ip();
        self.alternatives
            .retain(|other| other.local.ip() != address);
        let calling = matches!(self.state, State::Calling { .. });
        if !(calling && self.try_elsewhere(reason.clone())) {
            self.end(reason);
        }
    }

    /// The caller requires reliable provisional responses: one is sent and its PRACK awaited
    /// (RFC 3262 §3). The first carries our offer where the INVITE had none (§5).
    pub(super) fn prove(&mut self, invite: ServerId, rseq: u32, now: Instant) {
        let late = offer_of(&self.invite).is_empty() && self.agreed.is_none();
        // A program may have the caller wait without anybody being alerted.
        let alerted = !self.is_driven() || self.waiting.rung || self.waiting.answered;
        let status = if alerted && !late { 180 } else { 183 };
        self.told_waiting(status, now);
        let mut response = self.response_to_invite(status);
        response.headers.set(Name::Require, "100rel");
        response.headers.set(Name::RSeq, rseq.to_string());
        if late && let Some(sdp) = self.our_offer(Keys::Fresh) {
            response = with_sdp(response, sdp);
        }
        self.state = State::Proving { invite, rseq };
        self.outputs
            .push_back(Output::RespondReliable(invite, response));
    }

    /// PRACK (RFC 3262 §3).
    pub(super) fn on_prack(&mut self, request: &Request, transaction: ServerId, now: Instant) {
        let acknowledged = match (&self.state, request.headers.rack()) {
            (&State::Proving { invite, rseq }, Ok(rack))
                if rack.rseq == rseq
                    && self.invite.headers.cseq().is_ok_and(|c| c == rack.cseq) =>
            {
                Some((invite, rseq))
            }
            _ => None,
        };
        let Some((invite, rseq)) = acknowledged else {
            let response = self.response(request, 481);
            self.outputs
                .push_back(Output::Respond(transaction, response));
            return;
        };
        self.outputs.push_back(Output::Proven(invite, rseq));
        if let Some(ours) = self.offered.take() {
            match self.accepted(&ours, offer_of(request)) {
                Ok(agreed) => self.agree(agreed),
                Err(error) => {
                    let response = refusal(self.response(request, error.status()), &error);
                    self.outputs
                        .push_back(Output::Respond(transaction, response));
                    let response = refusal(self.response_to_invite(error.status()), &error);
                    self.refuse(invite, response);
                    return;
                }
            }
        }
        let response = self.response(request, 200);
        self.outputs
            .push_back(Output::Respond(transaction, response));
        if !self.waits_on(invite, now) {
            self.accept(invite, now);
        }
    }

    /// The PRACK never came (RFC 3262 §3: reject with a 5xx).
    pub fn provisional_timeout(&mut self) {
        if let State::Proving { invite, .. } = self.state {
            let response = self
                .response_to_invite(504)
                .with_reason("PRACK Not Received");
            self.refuse(invite, response);
        }
    }

    /// The 200: with the answer, or with our offer where the INVITE had none.
    pub(super) fn accept(&mut self, invite: ServerId, now: Instant) {
        let Some(local) = self.local else { return };
        let mut ok = self.response_to_invite(200);
        if !offer_of(&self.invite).is_empty() {
            let offer = offer_of(&self.invite).to_vec();
            match self.answered(&offer, &local) {
                Ok((answer, agreed)) => {
                    let answer = self.settle(local, answer);
                    ok = with_sdp(ok, answer);
                    self.agree(agreed);
                }
                Err(error) => {
                    let response = refusal(self.response_to_invite(error.status()), &error);
                    self.refuse(invite, response);
                    return;
                }
            }
        } else if self.agreed.is_none()
            && let Some(sdp) = self.our_offer(Keys::Fresh)
        {
            ok = with_sdp(ok, sdp);
        }
        self.session_headers(&mut ok, now);
        if let Some(dialog) = &mut self.dialog {
            dialog.confirm();
        }
        self.ends_at = Some(now + self.settings.max_length);
        self.state = State::Accepted { invite };
        self.outputs.push_back(Output::Respond(invite, ok));
    }

    /// What the 2xx says of the session timer, and our own side of it (RFC 4028 §9).
    pub(super) fn session_headers(&mut self, ok: &mut Response, now: Instant) {
        if let Ok(agreed) = session_timer::uas(&self.invite, &self.timer_settings()) {
            if let Some(agreed) = &agreed {
                session_timer::uas_headers(ok, &self.invite, agreed);
            }
            self.set_session(agreed, now);
        }
    }

    pub(super) fn session_answer(&mut self, request: &Request, ok: &mut Response, now: Instant) {
        if let Ok(agreed) = session_timer::uas(request, &self.timer_settings()) {
            if let Some(agreed) = &agreed {
                session_timer::uas_headers(ok, request, agreed);
            }
            self.set_session(agreed, now);
        }
    }

    fn set_session(&mut self, agreed: Option<Agreed>, now: Instant) {
        // Without one in the 2xx the session does not expire any more.
        self.session = agreed.map(|agreed| SessionTimer::new(agreed, now));
    }

    /// Makes an offer of ours, that waits for its answer.
    pub(super) fn our_offer(&mut self, keys: Keys) -> Option<String> {
        let local = self.next_local()?;
        let sdp = self.offered(&local, keys);
        let sdp = self.settle(local, sdp);
        self.offered = Some(sdp.clone());
        Some(sdp)
    }

    /// ACK for our 2xx: of the first INVITE, or of a re-INVITE.
    pub fn on_ack(&mut self, transaction: ServerId, ack: &Request, now: Instant) {
        if self.parts(transaction) {
            return;
        }
        if self.pending.reinvite == Some(transaction) {
            self.pending.reinvite = None;
        }
        let first = matches!(self.state, State::Accepted { invite } if invite == transaction);
        if let Some(ours) = self.offered.take() {
            match self.accepted(&ours, offer_of(ack)) {
                Ok(agreed) => self.agree(agreed),
                // RFC 3261 §13.2.2.4 in reverse: without a usable answer there is no session.
                Err(error) if first => {
                    self.send_bye();
                    self.ending(EndReason::Rejected(error.status(), error.to_string()));
                    return;
                }
                // A re-INVITE that led to nothing leaves the session as it was.
                Err(_) => {}
            }
        }
        if first {
            self.state = State::Established;
            self.send_media();
            self.established(now);
        }
    }

    pub(super) fn established(&mut self, now: Instant) {
        self.state = State::Established;
        self.answered = Some(now);
        self.outputs.push_back(Output::Answered);
        self.app.handle(&Happened::Established, now);
        for digit in std::mem::take(&mut self.early) {
            self.app.handle(&Happened::Digit(digit), now);
        }
    }

    /// No ACK for our 2xx came within 64*T1 (RFC 3261 §13.3.1.4: BYE).
    pub fn ack_timeout(&mut self, transaction: ServerId) {
        if self.parts(transaction) {
            return;
        }
        let first = matches!(self.state, State::Accepted { invite } if invite == transaction);
        if first || self.pending.reinvite == Some(transaction) {
            self.send_bye();
            self.ending(EndReason::NoAck);
        }
    }

    /// CANCEL matched our INVITE; too late once it is answered (RFC 3261 §9.2).
    pub fn on_cancel(&mut self) {
        if let State::Reserving { invite } | State::Proving { invite, .. } = self.state {
            let response = self.response_to_invite(487);
            self.outputs.push_back(Output::Respond(invite, response));
            self.ending(EndReason::Cancelled);
        }
    }

    /// The address of our end.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.local.map(|l| l.address)
    }
}

/// 488 (or 400) with the Warning that says why (RFC 3261 §20.43).
pub(super) fn refusal(mut response: Response, error: &NegotiateError) -> Response {
    let (code, text) = error.warning();
    response
        .headers
        .set(Name::Warning, format!("{code} antiphon \"{text}\""));
    if response.status == 400 {
        response.reason = text;
    }
    response
}
