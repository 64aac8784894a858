//! The server side: requests in, responses out.
//!
//! What is refused without a call is refused without a transaction (RFC 3261 §8.2.7): a repetition
//! gets the same answer with the same tag, and nothing is held for it.

use super::table::{Server, ServerMachine};
use super::validate::{Refusal, check_content, check_extensions, check_method};
use super::{Endpoint, Offence, Output, ServerId};
use crate::sip::header::{Headers, Name};
use crate::sip::message::{ParseError, Request, Response};
use crate::sip::method::Method;
use crate::sip::source::subscriber;
use crate::sip::transaction::{
    Key, Keys, ServerEvent, ServerInvite, ServerNonInvite, ServerOutput, server_invite,
};
use crate::sip::transport::Flow;
use crate::sip::validate::validate;
use std::net::SocketAddr;
use std::time::Instant;

/// Retry-After in seconds when a source calls too fast: its bucket holds one second's worth.
const RETRY_AFTER_RATE: &str = "1";
/// Retry-After in seconds when there are too many transactions: they last 32 s at most.
const RETRY_AFTER_FULL: &str = "10";
/// Room for a Via with a stamp.
const VIA_BYTES: usize = 160;
/// A transaction with more header text than this counts once more for each such piece.
const WEIGHT_BYTES: usize = 4096;

impl Endpoint {
    /// Answers a request. Above 100 a To tag is added if there is none; Server is added. A 2xx to
    /// an INVITE is resent until its ACK. Unknown transactions and second final responses are
    /// ignored.
    pub fn respond(&mut self, id: ServerId, response: Response, now: Instant) {
        self.now = Some(now);
        let status = response.status;
        if let Some(bytes) = self.prepare(id, response) {
            self.tell_server(id, ServerEvent::Respond { status, bytes }, None, now);
        }
    }

    /// Sends a provisional response to an INVITE until it is acknowledged (RFC 3262): it has RSeq,
    /// and `Require: 100rel`. One waits for the one before; without RSeq it goes out once.
    pub fn respond_reliable(&mut self, id: ServerId, response: Response, now: Instant) {
        let (Ok(Some(rseq)), 101..=199) = (response.headers.rseq(), response.status) else {
            return self.respond(id, response, now);
        };
        self.now = Some(now);
        if let Some(bytes) = self.prepare(id, response) {
            self.tell_server(id, ServerEvent::RespondReliable { rseq, bytes }, None, now);
        }
    }

    /// A PRACK has come for this RSeq. Whether it was expected: if not, it is answered 481.
    pub fn provisional_acknowledged(&mut self, id: ServerId, rseq: u32) -> bool {
        let (Some(now), Some(server)) = (self.now, self.table.server(id)) else {
            return false;
        };
        let expected =
            matches!(&server.machine, ServerMachine::Invite(machine) if machine.awaits(rseq));
        if expected {
            self.tell_server(id, ServerEvent::Acknowledged { rseq }, None, now);
        }
        expected
    }

    pub(super) fn on_malformed(&mut self, flow: Flow, error: ParseError, now: Instant) {
        self.offend(&flow, Offence::Malformed, now);
        let refusal = Refusal::from(&error);
        // Without a Via nobody is waiting for an answer that could be recognised.
        if let Some(mut request) = error.request
            && request.headers.contains(&Name::Via)
            && self.admits(&flow, &request, false, now)
        {
            let arrival = self.stamp(&mut request, flow);
            let reply = arrival.map_or(flow, |arrival| arrival.reply);
            self.refuse(&request, reply, refusal);
        }
    }

    pub(super) fn on_request(&mut self, flow: Flow, mut request: Request, now: Instant) {
        let Some(arrival) = self.stamp(&mut request, flow) else {
            let error = validate(&request).err();
            return self.on_malformed(
                flow,
                ParseError {
                    request: Some(Box::new(request)),
                    ..error.unwrap_or(ParseError {
                        status: 400,
                        phrase: "Bad Via header".to_owned(),
                        request: None,
                    })
                },
                now,
            );
        };
        let Arrival { key, reply, .. } = arrival;
        let of_another = matches!(request.method, Method::Ack | Method::Cancel);
        let known = key.filter(|_| !of_another);
        let known = known.and_then(|key| self.table.find_server(key));
        let in_dialog = request.has_to_tag();
        let belongs = known.is_some() || of_another || in_dialog;
        if !self.admits(&flow, &request, belongs, now) {
            return;
        }
        if request.method == Method::Ack {
            return self.on_ack(key, request, now);
        }
        if let Some(id) = known {
            return self.tell_server(id, ServerEvent::Retransmission, None, now);
        }
        if let Err(error) = validate(&request) {
            if error.status == 400 {
                self.offend(&flow, Offence::Malformed, now);
            }
            return self.refuse(&request, reply, Refusal::from(&error));
        }
        if request.method == Method::Cancel {
            return self.on_cancel(key, request, reply, now);
        }
        let call = self.keys.call(&request, &request.method);
        let copied = !in_dialog && call.is_some_and(|call| self.is_ongoing(call));
        if let Err(refusal) = self.check(&request, copied, in_dialog, flow, now) {
            return self.refuse(&request, reply, refusal);
        }
        self.accept(&arrival, call, request, flow, now);
    }

    /// Whether there is a request of the same Call-ID, From tag and CSeq: one that comes by another way is
    /// its copy (RFC 3261 §8.2.2.2). An INVITE that was refused is over: a proxy may try elsewhere, and
    /// that here again.
    fn is_ongoing(&mut self, call: Key) -> bool {
        let Some(id) = self.table.find_call(call) else {
            return false;
        };
        let Some(server) = self.table.server(id) else {
            return false;
        };
        !matches!(
            server.machine.invite_state(),
            Some(server_invite::State::Completed | server_invite::State::Confirmed)
        )
    }

    /// Writes into the top Via where the request came from.
    fn stamp(&self, request: &mut Request, flow: Flow) -> Option<Arrival> {
        let (arrival, line) = stamped(request, &self.keys, flow)?;
        request.headers.replace_first_via(&line);
        Some(arrival)
    }

    fn check(
        &mut self,
        request: &Request,
        copied: bool,
        in_dialog: bool,
        flow: Flow,
        now: Instant,
    ) -> Result<(), Refusal> {
        check_method(request, &self.settings)?;
        if copied {
            return Err(Refusal::new(482));
        }
        check_extensions(request, &self.settings)?;
        check_content(request, &self.settings)?;
        let limit = self.settings.limits.transactions;
        let weight = weight(request);
        let trusted = self.guard.trusts(flow.remote.ip());
        let held = self.table.weight_of(subscriber(flow.remote.ip()));
        // Dialogs have a quarter more, in all and of each source: so others always find room.
        let (limit, share) = if in_dialog {
            (limit + limit / 4, limit)
        } else {
            (limit, limit - limit / 4)
        };
        let full = self.table.weight() + weight > limit;
        if full || (held + weight > share && !trusted) {
            return Err(Refusal::new(503).with(Name::RetryAfter, RETRY_AFTER_FULL));
        }
        if request.method == Method::Invite
            && !in_dialog
            && !trusted
            && !self.sources.admit(flow.remote.ip(), now)
        {
            self.offend(&flow, Offence::RateExcess, now);
            return Err(Refusal::new(503).with(Name::RetryAfter, RETRY_AFTER_RATE));
        }
        Ok(())
    }

    /// Starts a transaction and hands the request to the caller.
    fn accept(
        &mut self,
        arrival: &Arrival,
        call: Option<Key>,
        request: Request,
        flow: Flow,
        now: Instant,
    ) {
        let Some(key) = arrival.key else {
            return;
        };
        let timers = self.settings.timers;
        let reliable = flow.transport.is_reliable();
        let invite = request.method == Method::Invite;
        let machine = if invite {
            ServerMachine::Invite(ServerInvite::new(timers, reliable, now))
        } else {
            ServerMachine::Other(ServerNonInvite::new(timers, reliable, now))
        };
        let id = self.table.add_server(Server {
            machine,
            key,
            call,
            flow: arrival.reply,
            sent_by_port: arrival.sent_by_port,
            trying: invite.then(|| Response::bytes_to(&request, 100)),
            tag: request.to_tag(),
            cancelled: false,
            source: subscriber(flow.remote.ip()),
            weight: weight(&request),
            wake: None,
        });
        self.table.settle_server(id);
        self.outputs.push_back(Output::Request {
            transaction: id,
            request,
            flow,
        });
    }

    /// An ACK of a non-2xx belongs to the INVITE's transaction, one of a 2xx to its call.
    fn on_ack(&mut self, key: Option<Key>, request: Request, now: Instant) {
        let id = key.and_then(|key| self.table.find_server(key));
        if let Some(id) = id
            && let Some(server) = self.table.server(id)
            && server.machine.invite_state() != Some(server_invite::State::Accepted)
        {
            return self.tell_server(id, ServerEvent::Ack, None, now);
        }
        let call = self.keys.call(&request, &Method::Invite);
        let Some(id) = id.or_else(|| self.table.find_call(call?)) else {
            return;
        };
        let Some(server) = self.table.server(id) else {
            return;
        };
        // The tag tells it from the ACK of a 482 to another copy of the same INVITE. Only a 2xx
        // is meant here: the ACK of a refusal has been found by its branch.
        let meant = request
            .tag_of_to()
            .is_none_or(|tag| server.tag.as_deref() == Some(tag));
        if meant && server.machine.invite_state() == Some(server_invite::State::Accepted) {
            self.tell_server(id, ServerEvent::Ack, Some(request), now);
        }
    }

    fn on_cancel(&mut self, key: Option<Key>, request: Request, reply: Flow, now: Instant) {
        let Some(id) = key.and_then(|key| self.table.find_server(key)) else {
            return self.refuse(&request, reply, Refusal::new(481));
        };
        // RFC 3261 §9.2: the tag is the one that the INVITE is answered with.
        let tag = self.server_tag(id);
        let mut response = Response::to(&request, 200);
        response.add_to_tag(&tag);
        self.add_server_header(&mut response);
        self.transmit(reply, response.to_bytes());
        self.now = Some(now);
        if let Some(server) = self.table.server(id)
            && server.machine.invite_state() == Some(server_invite::State::Proceeding)
            && !std::mem::replace(&mut server.cancelled, true)
        {
            self.outputs.push_back(Output::Cancelled {
                transaction: id,
                request,
            });
        }
    }

    pub(super) fn wake_server(&mut self, id: ServerId, now: Instant) {
        if let Some(server) = self.table.server(id) {
            server.machine.handle_timeout(now);
            self.drive_server(id, None, now);
        }
    }

    pub(super) fn fail_server(&mut self, id: ServerId, now: Instant) {
        self.tell_server(id, ServerEvent::TransportFailed, None, now);
    }

    pub(super) fn tell_server(
        &mut self,
        id: ServerId,
        event: ServerEvent,
        request: Option<Request>,
        now: Instant,
    ) {
        if let Some(server) = self.table.server(id) {
            server.machine.handle(event, now);
            self.drive_server(id, request, now);
        }
    }

    /// Does what the machine wants; `request` is the ACK just handled.
    fn drive_server(&mut self, id: ServerId, mut request: Option<Request>, now: Instant) {
        let Some(server) = self.table.server(id) else {
            return;
        };
        while let Some(output) = server.machine.poll_output() {
            self.outputs.push_back(match output {
                ServerOutput::Send(bytes) => Output::Transmit {
                    flow: server.flow,
                    bytes,
                    transaction: None,
                },
                ServerOutput::Trying => {
                    if let Some(bytes) = server.trying.take() {
                        let event = ServerEvent::Respond { status: 100, bytes };
                        server.machine.handle(event, now);
                    }
                    continue;
                }
                ServerOutput::Ack => match request.take() {
                    Some(request) => Output::Ack {
                        transaction: id,
                        request,
                    },
                    None => continue,
                },
                ServerOutput::AckTimeout => Output::AckTimeout { transaction: id },
                ServerOutput::ProvisionalTimeout => Output::ProvisionalTimeout { transaction: id },
            });
        }
        self.table.settle_server(id);
    }

    /// The response as it goes out; `None` if there is no such transaction.
    fn prepare(&mut self, id: ServerId, mut response: Response) -> Option<Vec<u8>> {
        self.table.server(id)?.trying = None;
        if response.status > 100 {
            match response.to_tag() {
                Some(tag) => self.table.server(id)?.tag = Some(tag),
                None => response.add_to_tag(&self.server_tag(id)),
            }
        }
        let method = response.headers.cseq().map(|c| c.method);
        if (101..300).contains(&response.status)
            && matches!(method, Ok(Method::Invite | Method::Options))
        {
            self.advertise(&mut response.headers);
        }
        self.add_server_header(&mut response);
        Some(response.to_bytes())
    }

    /// What we serve (RFC 3261 §13.3.1.4, §11.2): a peer sends UPDATE only to who allows it.
    pub(super) fn advertise(&self, headers: &mut Headers) {
        if !headers.contains(&Name::Allow) {
            headers.push(Name::Allow, &self.allowed);
        }
        if !headers.contains(&Name::Supported) {
            headers.push(Name::Supported, &self.extensions);
        }
    }

    /// The To tag of this transaction, made now if there is none yet.
    fn server_tag(&mut self, id: ServerId) -> String {
        if let Some(tag) = self.table.server(id).and_then(|server| server.tag.clone()) {
            return tag;
        }
        let tag = self.new_tag();
        if let Some(server) = self.table.server(id) {
            server.tag = Some(tag.clone());
        }
        tag
    }

    /// Answers without a transaction. An ACK is never answered.
    pub(super) fn refuse(&mut self, request: &Request, flow: Flow, refusal: Refusal) {
        if request.method == Method::Ack {
            return;
        }
        let mut response = Response::to(request, refusal.status);
        if let Some(phrase) = refusal.phrase {
            response = response.with_reason(&phrase);
        }
        response.add_to_tag(&self.keys.tag(request));
        for (name, value) in refusal.headers {
            response.headers.push(name, value);
        }
        // Who has not said who it is learns nothing of us.
        if refusal.status != 401 {
            self.add_server_header(&mut response);
        }
        self.transmit(flow, response.to_bytes());
    }

    fn add_server_header(&self, response: &mut Response) {
        let name = &self.settings.user_agent;
        if !name.is_empty() && !response.headers.contains(&Name::Server) {
            response.headers.push(Name::Server, name.as_str());
        }
    }
}

/// What the top Via of a request said.
struct Arrival {
    /// Its transaction; an ACK's and a CANCEL's is that of their INVITE.
    key: Option<Key>,
    /// Where responses go (RFC 3261 §18.2.2; `maddr` is ignored, since it would let a peer aim our
    /// responses at anybody).
    reply: Flow,
    /// The port that the peer listens on.
    sent_by_port: u16,
}

/// What the top Via said, and its text with `received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4).
fn stamped(request: &Request, keys: &Keys, flow: Flow) -> Option<(Arrival, String)> {
    let via = request.headers.top_via().ok()?;
    let method = match &request.method {
        Method::Ack | Method::Cancel => &Method::Invite,
        other => other,
    };
    let source = flow.remote;
    let ip = source.ip().to_canonical();
    let wants_port = via.param("rport").is_some();
    let is_told = wants_port || via.host.ip() != Some(ip);
    let mut line = String::with_capacity(VIA_BYTES);
    via.push_stamped(
        is_told.then_some(ip),
        wants_port.then(|| source.port()),
        &mut line,
    );
    let sent_by_port = via.port.unwrap_or(flow.transport.default_port());
    let mut reply = flow;
    if !flow.transport.is_reliable() && !wants_port {
        reply.remote = SocketAddr::new(source.ip(), sent_by_port);
    }
    let arrival = Arrival {
        key: keys.server(request, &via, method),
        reply,
        sent_by_port,
    };
    Some((arrival, line))
}

/// What a request counts against the limit on transactions.
fn weight(request: &Request) -> usize {
    let text: usize = request.headers.iter().map(|(_, value)| value.len()).sum();
    1 + text / WEIGHT_BYTES
}
