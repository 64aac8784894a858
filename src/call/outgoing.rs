//! A call that we place (the UAC side), and what comes of our requests within the dialog.

use std::sync::Arc;
use std::time::Instant;

use super::branch::Branch;
use super::media::{Keys, request_with_sdp};
use super::path::is_behind_nat;
use super::sources::Hops;
use super::{Call, CallHandle, EndReason, Output, Settings, State, allows_update};
use crate::app::AppSpec;
use crate::sip::dialog::{Dialog, Role};
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::session_timer::{self, Due, SessionTimer};
use crate::sip::transport::Flow;

/// What a call that we place starts from.
#[derive(Clone, Debug)]
pub struct Originate {
    /// Whom to call: the Request-URI and To.
    pub uri: String,
    /// Who calls: the user of From.
    pub from_user: String,
    /// The path towards it.
    pub flow: Flow,
    /// Where else it may be (RFC 3263 §4.3), in the order in which they are tried.
    pub alternatives: Vec<Flow>,
    /// What the call does once it is answered.
    pub spec: AppSpec,
    /// Its Call-ID, fresh.
    pub call_id: String,
    /// Our tag, fresh.
    pub local_tag: String,
}

impl Call {
    /// Prepares a call; the INVITE goes out when the ports are bound.
    pub fn outgoing(
        handle: CallHandle,
        settings: Arc<Settings>,
        originate: Originate,
        now: Instant,
    ) -> Call {
        let flow = originate.flow;
        let state = State::Calling {
            sent: false,
            cancelled: false,
        };
        let invite = Request::new(Method::Invite, &originate.uri);
        let identity = (invite, originate.local_tag);
        let mut call = Call::new(handle, settings, state, flow, originate.spec, identity, now);
        call.is_outgoing = true;
        call.dialled = flow.connection.is_none();
        let host = crate::sip::uri::Host::from(call.advertised());
        let from = format!(
            "<sip:{}@{host}>;tag={}",
            originate.from_user, call.local_tag
        );
        call.alternatives = originate.alternatives.into();
        let contact = call.contact();
        let headers = &mut call.invite.headers;
        headers.set(Name::MaxForwards, "70");
        headers.set(Name::From, from);
        headers.set(Name::To, format!("<{}>", originate.uri));
        headers.set(Name::CallId, originate.call_id);
        headers.set(Name::CSeq, "1 INVITE");
        headers.set(Name::Contact, contact);
        headers.set(Name::Supported, "timer, 100rel");
        call.outputs
            .push_back(Output::ReserveMedia(call.flow.local.ip()));
        call
    }

    pub(super) fn send_invite(&mut self, now: Instant) {
        let Some(offer) = self.our_offer(Keys::Fresh) else {
            return;
        };
        let settings = self.timer_settings();
        session_timer::uac_headers(&mut self.invite, &settings, None);
        self.invite = request_with_sdp(self.invite.clone(), offer);
        // From the first place on.
        self.ends_at.get_or_insert(now + self.settings.max_length);
        self.resend_invite();
    }

    /// A response to one of our requests.
    pub fn on_response(&mut self, response: &Response, now: Instant) {
        let Ok(cseq) = response.headers.cseq() else {
            return;
        };
        if self.challenged(response, now) {
            return;
        }
        match (&self.state, &cseq.method) {
            (State::Calling { .. }, Method::Invite) => self.on_invite_response(response, now),
            // Another 2xx to the same INVITE: ours was lost, or another branch answered.
            (State::Established | State::Ending(_), Method::Invite)
                if self.placed_with(cseq.number) =>
            {
                self.on_late_answer(response);
            }
            // Our ACK of it was lost.
            (State::Established | State::Ending(_), Method::Invite)
                if self.pending.acknowledged == Some(cseq.number) =>
            {
                self.acknowledge(response.status, cseq.number);
            }
            (State::Established, Method::Invite | Method::Update) if self.pending.refresh => {
                self.on_refreshed(response, now);
            }
            (State::Established, Method::Info) => self.info_answered(Some(response), now),
            (State::Established, Method::Refer) => self.refer_answered(response),
            _ => {}
        }
    }

    fn invite_number(&self) -> u32 {
        self.invite.headers.cseq().map_or(1, |c| c.number)
    }

    /// Whether we have placed the call, with an INVITE of this CSeq. In a call that came in, our
    /// first re-INVITE may have the same number.
    fn placed_with(&self, cseq: u32) -> bool {
        self.dialog.as_ref().is_some_and(|d| d.role == Role::Uac)
            && self.invite.headers.cseq().is_ok_and(|c| c.number == cseq)
    }

    fn on_invite_response(&mut self, response: &Response, now: Instant) {
        if (101..300).contains(&response.status) {
            self.behind_nat |= is_behind_nat(response, self.flow.remote.ip());
            // A proxy is no translator: the media goes past it.
            self.translated &= !response.headers.contains(&Name::RecordRoute);
        }
        match response.status {
            100 => {}
            101..=199 => self.on_provisional(response),
            200..=299 => self.on_answer(response, now),
            422 if !self.retried && !self.is_cancelled() => self.retry_longer(response),
            503 if self.try_elsewhere(EndReason::Rejected(503, response.reason.clone())) => {}
            status => {
                let reason = match self.state {
                    State::Calling {
                        cancelled: true, ..
                    } => self.cancelled_for.take().unwrap_or(EndReason::HungUp),
                    _ => EndReason::Rejected(status, response.reason.clone()),
                };
                self.ending(reason);
            }
        }
    }

    /// 422: once more with the interval that the other side asks for (RFC 4028 §7.4).
    fn retry_longer(&mut self, response: &Response) {
        let Some(min_se) = session_timer::raised(response) else {
            self.ending(EndReason::Rejected(422, response.reason.clone()));
            return;
        };
        self.retried = true;
        let headers = &mut self.invite.headers;
        headers.set(Name::MinSe, min_se.as_secs().to_string());
        headers.set(Name::SessionExpires, min_se.as_secs().to_string());
        headers.increment_cseq();
        self.resend_invite();
    }

    /// Whether a request of this method is the one that places the call.
    fn places(&self, method: &Method) -> bool {
        matches!(self.state, State::Calling { .. }) && *method == Method::Invite
    }

    fn is_cancelled(&self) -> bool {
        matches!(
            self.state,
            State::Calling {
                cancelled: true,
                ..
            }
        )
    }

    /// Whether there are other places where nobody has asked yet.
    pub fn may_be_elsewhere(&self) -> bool {
        matches!(self.state, State::Calling { .. }) && !self.alternatives.is_empty()
    }

    /// The same INVITE at the next place (RFC 3263 §4.3), where there is one and nobody has
    /// answered yet; `lost`: why not at the one before.
    pub(super) fn try_elsewhere(&mut self, lost: EndReason) -> bool {
        let proven = self.branches.iter().any(|branch| branch.rseq.is_some());
        if self.is_cancelled() || proven {
            return false;
        }
        let Some(flow) = self.alternatives.pop_front() else {
            return false;
        };
        let moves = flow.local.ip() != self.flow.local.ip();
        self.flow = flow;
        self.dialled = true;
        self.trust_place();
        let contact = self.contact();
        self.invite.headers.set(Name::Contact, contact);
        if moves {
            self.move_media(lost);
        } else {
            self.resend_invite();
        }
        true
    }

    /// The next place is reached from another address of ours. Its INVITE, which describes the media,
    /// goes out when ports are bound there.
    fn move_media(&mut self, lost: EndReason) {
        if let State::Calling { sent, .. } = &mut self.state {
            *sent = false;
        }
        self.lost = Some(lost);
        self.retried = false;
        self.last_sdp = None;
        self.outputs
            .push_back(Output::ReserveMedia(self.flow.local.ip()));
    }

    fn on_provisional(&mut self, response: &Response) {
        self.outputs.push_back(Output::Progress(response.status));
        let reliable = response
            .headers
            .require()
            .iter()
            .any(|r| r.eq_ignore_ascii_case("100rel"));
        let rseq = response.headers.rseq().ok().flatten().filter(|_| reliable);
        let says_who = response.to_tag().is_some();
        if rseq.is_none() && response.body.is_empty() && !says_who {
            return;
        }
        let Some(branch) = Branch::of(response, &mut self.branches) else {
            return;
        };
        if let Some(id) = branch.learn(&self.invite, response, rseq) {
            self.outputs.push_back(Output::Dialog(id));
        }
        if !response.body.is_empty() {
            branch.answer = Some(response.body.clone());
        }
        let (Some(rseq), Some(dialog)) = (rseq, &mut branch.dialog) else {
            return;
        };
        // RFC 3262 §4: one that comes again, or out of its order, is not acknowledged.
        if branch.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return;
        }
        branch.rseq = Some(rseq);
        branch.settled |= !response.body.is_empty();
        let mut prack = dialog.request(Method::Prack);
        let early = dialog.clone();
        let cseq = self.invite_number();
        prack
            .headers
            .set(Name::RAck, format!("{rseq} {cseq} INVITE"));
        let flow = self.target_of(&early);
        self.outputs.push_back(Output::Request(prack, flow));
    }

    fn on_answer(&mut self, response: &Response, now: Instant) {
        let cancelled = self.is_cancelled();
        let branches = std::mem::take(&mut self.branches);
        let mut early = Branch::answering(response, branches);
        let Ok(mut dialog) = Dialog::uac(&self.invite, response) else {
            self.ending(EndReason::Rejected(502, "2xx without a dialog".to_owned()));
            return;
        };
        if let Some(before) = early.as_ref().and_then(|early| early.dialog.as_ref()) {
            dialog.local_cseq = dialog.local_cseq.max(before.local_cseq);
            dialog.remote_cseq = before.remote_cseq;
        }
        dialog.confirm();
        self.peer_updates = allows_update(&response.headers);
        let cseq = self.invite_number();
        let ack = self.with_credentials(dialog.ack(cseq));
        self.outputs.push_back(Output::Dialog(dialog.id.clone()));
        self.dialog = Some(dialog);
        let flow = self.target();
        self.outputs.push_back(Output::Ack(ack, flow));
        if cancelled {
            // The answer has crossed our CANCEL (RFC 3261 §9.1).
            self.send_bye();
            let reason = self.cancelled_for.take().unwrap_or(EndReason::HungUp);
            self.ending(reason);
            return;
        }
        let updated = early.as_mut().and_then(|early| early.updated.take());
        let answer = if response.body.is_empty() {
            early.and_then(|early| early.answer).unwrap_or_default()
        } else {
            response.body.clone()
        };
        self.hops = Hops::of_answer(response, self.flow.remote.ip());
        let ours = self.offered.take().unwrap_or_default();
        let agreed = match updated {
            Some(updated) => Ok(*updated),
            None => self.accepted(&ours, &answer),
        };
        match agreed {
            Ok(agreed) => {
                self.agree(agreed);
                self.session_agreed(response, now);
                self.established(now);
            }
            Err(error) => {
                self.send_bye();
                self.ending(EndReason::Rejected(error.status(), error.to_string()));
            }
        }
    }

    /// A 2xx that comes again is acknowledged again; one of another branch is also hung up
    /// (RFC 3261 §13.2.2.4).
    fn on_late_answer(&mut self, response: &Response) {
        if !(200..300).contains(&response.status) {
            return;
        }
        let Ok(mut other) = Dialog::uac(&self.invite, response) else {
            return;
        };
        let flow = self.target_of(&other);
        let cseq = self.invite_number();
        let ack = self.with_credentials(other.ack(cseq));
        self.outputs.push_back(Output::Ack(ack, flow));
        if self.dialog.as_ref().is_some_and(|d| d.id != other.id) {
            let bye = other.request(Method::Bye);
            self.outputs.push_back(Output::Request(bye, flow));
        }
    }

    /// A request of ours got no answer at all.
    pub fn on_timeout(&mut self, method: &Method, now: Instant) {
        if self.places(method) {
            if !self.try_elsewhere(EndReason::NoAnswer) {
                self.unreached(EndReason::NoAnswer);
            }
            return;
        }
        match (&self.state, method) {
            // RFC 4028 §10 and RFC 3261 §12.2.1.2: the dialog is dead.
            (State::Established, Method::Invite | Method::Update) => {
                self.end(EndReason::SessionExpired);
            }
            (State::Established, Method::Info) => self.info_answered(None, now),
            _ => {}
        }
    }

    /// Nothing final has come of our INVITE: for this reason, unless we had given it up before.
    fn unreached(&mut self, reason: EndReason) {
        let reason = self.cancelled_for.take().unwrap_or(reason);
        self.ending(reason);
    }

    /// A request of ours could not be sent.
    pub fn on_transport_error(&mut self, method: &Method, now: Instant) {
        if self.places(method) {
            if !self.try_elsewhere(EndReason::TransportFailed) {
                self.unreached(EndReason::TransportFailed);
            }
            return;
        }
        // Its name may lead elsewhere by now.
        self.found = None;
        match (&self.state, method) {
            // The path may be back before the session ends for want of a refresh.
            (State::Established, Method::Invite | Method::Update) => self.refresh_later(now),
            (State::Established, Method::Info) => self.info_answered(None, now),
            _ => {}
        }
    }

    /// When [`Call::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (app, info, hang_up) = match self.state {
            State::Established => (self.app.poll_timeout(), self.info_due(), self.hang_up_at),
            _ => (None, None, None),
        };
        let session = self.session.as_ref().and_then(SessionTimer::poll_timeout);
        let calling = matches!(self.state, State::Calling { .. });
        let give_up = self.give_up_at.filter(|_| calling);
        [
            self.ends_at,
            session,
            self.refresh_again,
            app,
            info,
            hang_up,
            give_up,
            self.waiting_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Some timer is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.state, State::Established) {
            self.app.handle_timeout(now);
            self.send_info(now);
        }
        self.hang_up_if_due(now);
        self.give_up(now);
        self.handle_waiting(now);
        if self.ends_at.is_some_and(|at| at <= now) {
            self.ends_at = None;
            self.end(EndReason::MaxLength);
        }
        if self.refresh_again.is_some_and(|at| at <= now) {
            self.refresh_again = None;
            self.refresh(now);
        }
        match self.session.as_mut().and_then(|s| s.handle_timeout(now)) {
            Some(Due::Refresh) => self.refresh(now),
            Some(Due::Expired) => self.end(EndReason::SessionExpired),
            None => {}
        }
    }
}
