//! The client side: requests out, responses in.

use super::table::{Client, ClientMachine, OverUdp};
use super::{ClientId, Endpoint, Output, Overload};
use crate::sip::header::{CSeq, Name, Via};
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::params::Params;
use crate::sip::transaction::{ClientEvent, ClientOutput};
use crate::sip::transport::{ConnectionId, Flow, Transport};
use crate::sip::validate::{MAGIC_COOKIE, validate_response};
use rand::Rng;
use std::time::{Duration, Instant};

/// Max-Forwards of our requests (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: &str = "70";
/// The longest request that goes over UDP where TCP can be had, bytes (RFC 3261 §18.1.1).
const MAX_UDP_REQUEST: usize = 1300;
/// How long an address that refuses TCP is not asked for it again.
const NO_TCP_TIME: Duration = Duration::from_mins(10);

impl Endpoint {
    /// Sends a request; one that is too long for UDP over TCP, if the peer takes that. Adds the top Via, and Max-Forwards and User-Agent where they are missing.
    pub fn request(
        &mut self,
        mut request: Request,
        flow: Flow,
        now: Instant,
    ) -> Result<ClientId, Overload> {
        let limit = self.settings.limits.transactions;
        if self.table.weight() >= limit + limit / 4 {
            return Err(Overload);
        }
        let branch = self.complete(&mut request, flow);
        Ok(self.start_client(request, &branch, flow, false, now))
    }

    /// Gives up an INVITE (RFC 3261 §9.1): CANCEL goes out once a provisional response shows that
    /// the INVITE has arrived. The INVITE still ends with a final response (487, or 2xx if that
    /// was faster) or with a timeout. Nothing happens after a final response.
    pub fn cancel(&mut self, id: ClientId, now: Instant) {
        self.tell_client(id, ClientEvent::Cancel, None, now);
    }

    /// There are other places for an INVITE: one that is silent is given up soon.
    pub fn hurry(&mut self, id: ClientId, now: Instant) {
        if let Some(client) = self.table.client(id) {
            client.hurried = true;
            client.machine.hurry(now);
            self.drive_client(id, None, now);
        }
    }

    /// A request has gone out on this connection: where that ends without an answer, it has failed
    /// (RFC 3261 §17.1.4).
    pub fn sent(&mut self, id: ClientId, connection: ConnectionId) {
        self.table.sent_on(id, connection);
    }

    /// Sends an ACK of a 2xx, once. Adds the top Via.
    pub fn send_ack(&mut self, mut request: Request, flow: Flow) {
        self.complete(&mut request, flow);
        self.transmit(flow, request.to_bytes());
    }

    pub(super) fn on_response(&mut self, flow: Flow, response: Response, now: Instant) {
        // RFC 3261 §18.1.2: what is not a response to us, and what cannot be read, is dropped.
        if validate_response(&response).is_err() {
            return;
        }
        let (Ok(via), Ok(cseq)) = (response.headers.via(), response.headers.cseq()) else {
            return;
        };
        let Some(branch) = via.branch() else {
            return;
        };
        let key = self.keys.client(branch, &cseq.method);
        if let Some(id) = self.table.find_client(key) {
            if let Some(connection) = flow.connection {
                self.table.bind(id, connection);
            }
            if let Some(client) = self.table.client(id) {
                client.over_udp = None;
            }
            let event = ClientEvent::Response(response.status);
            self.tell_client(id, event, Some(response), now);
        } else if cseq.method == Method::Invite {
            self.on_late(key, &response, now);
        }
    }

    pub(super) fn wake_client(&mut self, id: ClientId, now: Instant) {
        if let Some(client) = self.table.client(id) {
            client.machine.handle_timeout(now);
            self.drive_client(id, None, now);
        }
    }

    pub(super) fn fail_client(&mut self, id: ClientId, now: Instant) {
        if !self.fall_back(id, now) {
            self.tell_client(id, ClientEvent::TransportFailed, None, now);
        }
    }

    /// Sends over UDP what was too long for it, where TCP cannot be had (RFC 3261 §18.1.1). Whether
    /// there is such a way.
    fn fall_back(&mut self, id: ClientId, now: Instant) -> bool {
        let Some(client) = self.table.client(id) else {
            return false;
        };
        // Who has hung up meanwhile wants nobody to ring.
        if client.machine.is_cancelled() {
            return false;
        }
        let Some(over_udp) = client.over_udp.take() else {
            return false;
        };
        let OverUdp { flow, bytes } = *over_udp;
        if let Some(invite) = &mut client.invite {
            set_via_transport(invite, Transport::Udp);
        }
        let timers = self.settings.timers;
        client.machine = ClientMachine::new(client.invite.is_some(), bytes, timers, false, now);
        if client.hurried {
            client.machine.hurry(now);
        }
        self.table.redirect_client(id, flow);
        self.no_tcp.insert(flow.remote.ip(), now + NO_TCP_TIME);
        self.drive_client(id, None, now);
        true
    }

    fn tell_client(
        &mut self,
        id: ClientId,
        event: ClientEvent,
        response: Option<Response>,
        now: Instant,
    ) {
        self.now = Some(now);
        if let Some(client) = self.table.client(id) {
            client.machine.handle(event, now);
            self.drive_client(id, response, now);
        }
    }

    /// Does what the machine wants; `response` is the one just handled.
    fn drive_client(&mut self, id: ClientId, mut response: Option<Response>, now: Instant) {
        let mut cancel = None;
        let Some(client) = self.table.client(id) else {
            return;
        };
        while let Some(output) = client.machine.poll_output() {
            let flow = client.flow;
            self.outputs.push_back(match output {
                ClientOutput::Send(bytes) => Output::Transmit {
                    flow,
                    bytes,
                    transaction: Some(id),
                },
                ClientOutput::Ack => match (&client.invite, &response) {
                    (Some(invite), Some(response)) => Output::Transmit {
                        flow,
                        bytes: ack(invite, response).to_bytes(),
                        transaction: None,
                    },
                    _ => continue,
                },
                ClientOutput::Cancel => {
                    cancel = client
                        .invite
                        .as_ref()
                        .map(|invite| (derive(invite, Method::Cancel), flow));
                    continue;
                }
                _ if client.silent => continue,
                ClientOutput::Response => match response.take() {
                    Some(response) => Output::Response {
                        transaction: id,
                        response,
                    },
                    None => continue,
                },
                ClientOutput::Timeout => {
                    if client.hurried
                        && let Some(invite) = client.invite.take()
                    {
                        self.late.add(client.key, invite, flow, false, now);
                    }
                    Output::Timeout { transaction: id }
                }
                ClientOutput::TransportError => {
                    // Whom it has reached may answer all the same.
                    if cancel.is_some()
                        && let Some(invite) = client.invite.take()
                    {
                        self.late.add(client.key, invite, flow, true, now);
                    }
                    Output::TransportError { transaction: id }
                }
            });
        }
        self.table.settle_client(id);
        if let Some((request, flow)) = cancel
            && let Ok(via) = request.headers.via()
        {
            let branch = via.branch().unwrap_or_default();
            self.start_client(request, branch, flow, true, now);
        }
    }

    pub(super) fn start_client(
        &mut self,
        mut request: Request,
        branch: &str,
        mut flow: Flow,
        silent: bool,
        now: Instant,
    ) -> ClientId {
        self.now = Some(now);
        let timers = self.settings.timers;
        let mut bytes = request.to_bytes();
        let mut over_udp = None;
        let too_long = flow.transport == Transport::Udp && bytes.len() > MAX_UDP_REQUEST;
        if too_long && !self.no_tcp.contains(flow.remote.ip(), now) {
            over_udp = Some(Box::new(OverUdp { flow, bytes }));
            flow.transport = Transport::Tcp;
            set_via_transport(&mut request, Transport::Tcp);
            bytes = request.to_bytes();
        }
        let reliable = flow.transport.is_reliable();
        let invite = request.method == Method::Invite;
        let machine = ClientMachine::new(invite, bytes, timers, reliable, now);
        let key = self.keys.client(branch, &request.method);
        request.body = Vec::new();
        let id = self.table.add_client(Client {
            machine,
            key,
            flow,
            invite: invite.then_some(request),
            over_udp,
            hurried: false,
            silent,
            wake: None,
        });
        self.drive_client(id, None, now);
        id
    }

    /// Adds what each request of ours has; returns the branch.
    pub(super) fn complete(&mut self, request: &mut Request, flow: Flow) -> String {
        let branch = format!("{MAGIC_COOKIE}{:024x}", self.rng.random::<u128>() >> 32);
        let mut params = Params::new();
        params.set("branch", Some(&branch));
        params.set("rport", None);
        if flow.transport == Transport::Tls {
            // RFC 5923 §5: what comes back may come on the same connection.
            params.set("alias", None);
        }
        let address = self.settings.advertised.address(&flow);
        let via = Via {
            transport: flow.transport.as_str().to_owned(),
            sent_by_host: address.to_canonical().into(),
            sent_by_port: Some(flow.local.port()).filter(|port| *port != 0),
            params,
        };
        if request.method == Method::Invite {
            self.advertise(&mut request.headers);
        }
        let headers = &mut request.headers;
        headers.push_front(Name::Via, via.to_string());
        if !headers.contains(&Name::MaxForwards) {
            headers.push(Name::MaxForwards, MAX_FORWARDS);
        }
        let name = &self.settings.user_agent;
        if !name.is_empty() && !headers.contains(&Name::UserAgent) {
            headers.push(Name::UserAgent, name.as_str());
        }
        branch
    }
}

/// Names another transport in the top Via.
pub(super) fn set_via_transport(request: &mut Request, transport: Transport) {
    if let Ok(mut via) = request.headers.via() {
        transport.as_str().clone_into(&mut via.transport);
        request.headers.replace_top_via(&via);
    }
}

/// The ACK of a non-2xx response: its To is the response's (RFC 3261 §17.1.1.3).
pub(super) fn ack(invite: &Request, response: &Response) -> Request {
    let mut ack = derive(invite, Method::Ack);
    if let Some(to) = response.headers.get(&Name::To) {
        ack.headers.set(Name::To, to);
    }
    ack
}

/// An ACK or CANCEL on the INVITE's branch (RFC 3261 §9.1, §17.1.1.3).
pub(super) fn derive(invite: &Request, method: Method) -> Request {
    let mut request = Request::new(method.clone(), &invite.uri);
    let from = &invite.headers;
    if let Ok(via) = from.via() {
        request.headers.push(Name::Via, via.to_string());
    }
    for name in [Name::Route, Name::From, Name::To, Name::CallId] {
        for value in from.get_all(&name) {
            request.headers.push(name.clone(), value);
        }
    }
    if let Ok(CSeq { number, .. }) = from.cseq() {
        let cseq = CSeq { number, method };
        request.headers.push(Name::CSeq, cseq.to_string());
    }
    request.headers.push(Name::MaxForwards, MAX_FORWARDS);
    request
}
