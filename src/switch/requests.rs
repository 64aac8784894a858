//! What the endpoint hands up: new calls, requests of dialogs, responses.

use std::time::Instant;

use super::login::Comer;
use super::{Event, Output, Switch};
use crate::app::{AnnouncementSpec, AppSpec, VoicemailTask};
use crate::call::{Call, CallHandle};
use crate::endpoint;
use crate::sdp::SrtpPolicy;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::source::subscriber;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::{ConnectionId, Flow};
use crate::sip::uri::{Uri, unescaped};

/// What a refused caller may wait before it tries again, seconds.
const RETRY_AFTER: &str = "10";

impl Switch {
    /// A request of ours has gone out on this connection: it fails where that ends without an answer.
    pub fn sent(&mut self, request: ClientId, connection: ConnectionId) {
        self.endpoint.sent(request, connection);
    }

    pub(super) fn on_endpoint(&mut self, output: endpoint::Output, now: Instant) {
        use endpoint::Output as Out;
        match output {
            Out::Transmit {
                flow,
                bytes,
                transaction,
            } => self.outputs.push_back(Output::Transmit {
                flow,
                bytes,
                transaction,
            }),
            Out::Request {
                transaction,
                request,
                flow,
            } => self.on_request(transaction, request, flow, now),
            Out::Cancelled { transaction, .. } => {
                if let Some(handle) = self.invites.get(transaction) {
                    self.with_call(handle, Call::on_cancel);
                }
            }
            Out::Ack {
                transaction,
                request,
            } => {
                if let Some(handle) = self.forget_invite(transaction) {
                    self.with_call(handle, |c| c.on_ack(transaction, &request, now));
                }
            }
            Out::AckTimeout { transaction } => {
                if let Some(handle) = self.forget_invite(transaction) {
                    self.with_call(handle, |c| c.ack_timeout(transaction));
                }
            }
            Out::ProvisionalTimeout { transaction } => {
                if let Some(handle) = self.invites.get(transaction) {
                    self.with_call(handle, Call::provisional_timeout);
                }
            }
            Out::Response {
                transaction,
                response,
            } => self.on_response(transaction, &response, now),
            Out::Banned(ban) => self.banned(ban),
            Out::Timeout { transaction } => {
                if let Some((handle, method)) = self.clients.remove(&transaction) {
                    self.answer_bye(handle, transaction, None, now);
                    self.with_call(handle, |c| c.on_timeout(&method, now));
                }
            }
            Out::TransportError { transaction } => {
                if let Some((handle, method)) = self.clients.remove(&transaction) {
                    self.answer_bye(handle, transaction, None, now);
                    self.with_call(handle, |c| c.on_transport_error(&method, now));
                }
            }
        }
    }

    fn on_response(&mut self, transaction: ClientId, response: &Response, now: Instant) {
        let Some((handle, method)) = self.clients.get(&transaction).cloned() else {
            return;
        };
        // A 2xx to INVITE may come again, until the transaction's own time is over.
        let last = response.status >= 300 || (response.status >= 200 && method != Method::Invite);
        if last {
            self.clients.remove(&transaction);
            self.answer_bye(handle, transaction, Some(response), now);
        }
        self.with_call(handle, |c| c.on_response(response, now));
    }

    fn on_request(&mut self, transaction: ServerId, request: Request, flow: Flow, now: Instant) {
        if request.has_to_tag() {
            self.in_dialog(transaction, &request, flow, now);
            return;
        }
        let uri = request.parsed_uri().ok();
        let user = uri.as_ref().and_then(|u| u.user.clone());
        let user = user.unwrap_or_default();
        let Some(comer) = self.lets_in(transaction, &request, &user, &flow, now) else {
            return;
        };
        match request.method {
            Method::Invite => self.on_invite(transaction, request, (uri, user), flow, now),
            Method::Options => {
                let response = self.options(&request);
                self.endpoint.respond(transaction, response, now);
            }
            Method::Register => {
                let source = flow.remote.ip();
                let counts = comer == Comer::Unasked && !self.endpoint.trusts(source);
                let holder = counts.then(|| subscriber(source));
                let response = self.registrar.handle(&request, holder, flow, now);
                self.endpoint.respond(transaction, response, now);
            }
            Method::Message => self.on_text(transaction, &request, now),
            // BYE, UPDATE, INFO, PRACK make sense in a dialog only.
            _ => self
                .endpoint
                .respond(transaction, Response::to(&request, 481), now),
        }
    }

    fn in_dialog(&mut self, transaction: ServerId, request: &Request, flow: Flow, now: Instant) {
        let key = self.dialog_keys.dialog(
            request.headers.call_id().unwrap_or_default(),
            request.tag_of_to().unwrap_or_default(),
            request.tag_of_from().unwrap_or_default(),
        );
        let Some(&handle) = self.dialogs.get(&key) else {
            return self.endpoint.refuse_unknown(transaction, request);
        };
        if request.method == Method::Invite {
            let source = subscriber(flow.remote.ip());
            self.invites.insert(transaction, handle, source);
            if let Some(entry) = self.calls.get_mut(&handle) {
                entry.invites.push(transaction);
            }
        }
        self.with_call(handle, |c| c.on_request(transaction, request, flow, now));
    }

    fn on_invite(
        &mut self,
        transaction: ServerId,
        request: Request,
        (uri, user): (Option<Uri>, String),
        flow: Flow,
        now: Instant,
    ) {
        let spec = self
            .admit(&user, flow)
            .and_then(|(spec, srtp)| Ok((with_parameters(spec, uri.as_ref())?, srtp)));
        let (spec, srtp) = match spec {
            Ok(found) => found,
            Err((status, reason)) => {
                let mut response = Response::to(&request, status);
                if status == 503 {
                    response.headers.set(Name::RetryAfter, RETRY_AFTER);
                }
                if let Some(reason) = reason {
                    response = response.with_reason(reason);
                }
                self.endpoint.respond(transaction, response, now);
                if status == 404 {
                    self.unknown_user(&flow, now);
                }
                self.outputs
                    .push_back(Output::Event(Event::Refused { flow, status, user }));
                return;
            }
        };
        let handle = self.next_handle();
        let tag = self.endpoint.new_tag();
        let mut call = Call::incoming(
            handle,
            self.call_settings.clone(),
            spec,
            request,
            transaction,
            flow,
            tag.clone(),
            now,
        );
        call.set_srtp(srtp);
        call.set_trusted(|address| self.endpoint.trusts(address));
        self.endpoint.set_tag(transaction, &tag);
        let source = subscriber(flow.remote.ip());
        self.invites.insert(transaction, handle, source);
        self.add_call(call);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.invites.push(transaction);
        }
    }

    /// Nothing more is expected of an INVITE. Whose it was.
    pub(super) fn forget_invite(&mut self, transaction: ServerId) -> Option<CallHandle> {
        let handle = self.invites.remove(transaction)?;
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.invites.retain(|&t| t != transaction);
        }
        Some(handle)
    }

    /// Whether a call may begin, and what it is to do.
    fn admit(&self, user: &str, flow: Flow) -> Result<(AppSpec, SrtpPolicy), Refusal> {
        let source = subscriber(flow.remote.ip());
        if !self.accepting
            || self.calls.len() >= self.settings.max_calls
            || !self.invites.has_room(
                (!self.endpoint.trusts(source)).then_some(source),
                self.settings.unacknowledged,
            )
        {
            return Err((503, None));
        }
        let found = self.routes.find(user, flow.remote.ip());
        let (spec, srtp) = found.ok_or_else(|| absent(user))?;
        if let AppSpec::Conference(conference) = &spec {
            match self.rooms.get(&conference.room) {
                Some(room) if !room.has_room() => return Err((486, None)),
                None if self.rooms.len() >= self.settings.max_rooms => return Err((503, None)),
                _ => {}
            }
        }
        Ok((spec, srtp))
    }

    /// RFC 3261 §11.2: what an INVITE would get, and what we can do.
    fn options(&self, request: &Request) -> Response {
        let available = self.accepting && self.calls.len() < self.settings.max_calls;
        let mut response = Response::to(request, if available { 200 } else { 503 });
        if !available {
            response.headers.set(Name::RetryAfter, RETRY_AFTER);
        }
        response.headers.set(Name::Accept, "application/sdp");
        response
    }
}

/// The status of a refused INVITE, and its reason phrase where the usual one says too little.
type Refusal = (u16, Option<&'static str>);

/// What is told of a user without a route.
fn absent(user: &str) -> Refusal {
    // RFC 4240 §4: a service that others have, and that is none of ours.
    if user.eq_ignore_ascii_case("dialog") {
        (488, Some("No VoiceXML Service"))
    } else {
        (404, None)
    }
}

/// What the parameters of the request's URI say of the service that it names.
fn with_parameters(spec: AppSpec, uri: Option<&Uri>) -> Result<AppSpec, Refusal> {
    let param = |name: &str| uri.and_then(|u| u.params.value(name));
    match spec {
        AppSpec::Announcement(_) => AnnouncementSpec::from_params(param, unescaped)
            .map(AppSpec::Announcement)
            .map_err(|reason| (400, Some(reason))),
        // RFC 4458 §2: a call that was not taken, redirected to voicemail; `target` is whose it was.
        AppSpec::Voicemail(mut spec) if spec.mailbox.is_none() => {
            let target = uri.and_then(|u| u.params.unescaped("target"));
            let target = target.and_then(|t| t.parse::<Uri>().ok());
            if let Some(user) = target.and_then(|t| t.user) {
                spec.mailbox = Some(user);
                spec.task = VoicemailTask::Leave;
            }
            Ok(AppSpec::Voicemail(spec))
        }
        other => Ok(other),
    }
}
