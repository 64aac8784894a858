//! All SIP transactions of this user agent: matching, validation, admission, repetition.
//!
//! Sits between `net` (messages with their flows) and the calls. Sans-IO: `handle` what came in,
//! drain `poll_output`, call `handle_timeout` at `poll_timeout`. The caller gets each request once,
//! valid and new; whatever can be answered without knowing a call is answered here.

mod abandon;
mod bans;
mod client;
mod guard;
mod late;
mod server;
mod table;
mod validate;

#[cfg(test)]
mod tests;

use crate::sip::auth::Key;
use crate::sip::message::{Message, ParseError, Request, Response};
use crate::sip::method::Method;
use crate::sip::source::{Recent, Sources};
use crate::sip::transaction::{Keys, Timers};
use crate::sip::transport::{Advertised, ConnectionId, Flow};
use guard::Guard;
use late::Late;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use table::{Path, Table};

/// What the endpoint serves, and how much of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// T1, T2, T4.
    pub timers: Timers,
    /// The methods that are served: others are answered 405, unknown ones 501. ACK and CANCEL are
    /// always served; naming them puts them into Allow.
    pub allow: Vec<Method>,
    /// Media types that a body may have; others are answered 415.
    pub accept: Vec<String>,
    /// Bounds.
    pub limits: Limits,
    /// The value of Server and User-Agent; empty: neither is sent.
    pub user_agent: String,
    /// Option tags that a request may require; others are answered 420.
    pub extensions: Vec<String>,
    /// What Via says instead of the flow's local address, behind a NAT.
    pub advertised: Advertised,
    /// Who is heard.
    pub access: Access,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timers: Timers::default(),
            allow: vec![
                Method::Invite,
                Method::Ack,
                Method::Bye,
                Method::Cancel,
                Method::Options,
                Method::Register,
                Method::Update,
                Method::Info,
                Method::Prack,
            ],
            accept: [
                "application/sdp",
                "application/dtmf-relay",
                "application/dtmf",
            ]
            .map(str::to_owned)
            .to_vec(),
            limits: Limits::default(),
            user_agent: "antiphon".to_owned(),
            extensions: ["100rel", "timer"].map(str::to_owned).to_vec(),
            advertised: Advertised::default(),
            access: Access::default(),
        }
    }
}

/// Bounds on what peers can make the endpoint hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions at once. One with over 4 KiB of headers counts once more for each 4 KiB.
    /// One source holds three quarters of them at most, so that others always find room. Requests
    /// within dialogs, and our own, may go a quarter above the limit, so that calls still end; of one
    /// source as many as the limit, so that those of others find room there too.
    pub transactions: usize,
    /// New INVITEs per second from one IPv4 address or one IPv6 /64, in bursts of one second's
    /// worth; 0: no limit.
    pub calls_per_second_per_source: u32,
    /// Sources that are remembered for that; the one idle for longest is forgotten first.
    pub sources: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            transactions: 20_000,
            calls_per_second_per_source: 200,
            sources: 10_000,
        }
    }
}

pub use crate::sip::transaction::{ClientId, ServerId};
pub use bans::{Ban, BanSettings, Offence, Scope};
pub use guard::Access;

/// What happened on the network.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message arrived.
    Message {
        /// Its path.
        flow: Flow,
        /// The message.
        message: Message,
    },
    /// Something arrived that is not a message.
    Malformed {
        /// Its path.
        flow: Flow,
        /// What is wrong, and what could be read for the answer.
        error: ParseError,
    },
    /// A stream connection ended.
    ConnectionClosed(ConnectionId),
    /// Sending on this path failed.
    TransportFailed(Flow),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Transmit {
        /// The path.
        flow: Flow,
        /// One message.
        bytes: Vec<u8>,
        /// A request's transaction, which is to hear on which connection it went ([`Endpoint::sent`]).
        transaction: Option<ClientId>,
    },
    /// A new and valid request, to be answered with [`Endpoint::respond`]. Never ACK or CANCEL.
    Request {
        /// Its transaction.
        transaction: ServerId,
        /// The request; its top Via has `received` and `rport`.
        request: Request,
        /// The path on which it came.
        flow: Flow,
    },
    /// An INVITE without a final response was cancelled: answer it 487. The CANCEL is answered.
    Cancelled {
        /// The transaction of the INVITE.
        transaction: ServerId,
        /// The CANCEL (it may give a Reason).
        request: Request,
    },
    /// The ACK of our 2xx; once.
    Ack {
        /// The transaction of the INVITE.
        transaction: ServerId,
        /// The ACK (its body may be the answer to our offer).
        request: Request,
    },
    /// Our 2xx was not acknowledged for 64*T1: end the dialog with BYE (RFC 3261 §13.3.1.4).
    AckTimeout {
        /// The transaction of the INVITE.
        transaction: ServerId,
    },
    /// A reliable provisional response was not acknowledged for 64*T1: answer 5xx (RFC 3262 §3).
    ProvisionalTimeout {
        /// The transaction of the INVITE.
        transaction: ServerId,
    },
    /// A response to our request: provisional ones, the final one, and each 2xx to an INVITE (the
    /// call acknowledges every one of them).
    Response {
        /// The transaction of the request.
        transaction: ClientId,
        /// The response.
        response: Response,
    },
    /// No final response in time: as 408 (RFC 3261 §8.1.3.1).
    Timeout {
        /// The transaction of the request.
        transaction: ClientId,
    },
    /// The request could not be sent, or its connection broke: as 503 (RFC 3261 §8.1.3.1).
    TransportError {
        /// The transaction of the request.
        transaction: ClientId,
    },
    /// A source is not heard any more.
    Banned(Ban),
}

/// There are as many transactions as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many SIP transactions")]
pub struct Overload;

/// Addresses that are remembered for having refused TCP.
const MAX_NO_TCP: usize = 1000;

/// All SIP transactions of this user agent.
#[derive(Debug)]
pub struct Endpoint {
    settings: Settings,
    /// Our Allow and our Supported.
    allowed: String,
    extensions: String,
    rng: StdRng,
    keys: Keys,
    table: Table,
    sources: Sources,
    guard: Guard,
    /// Addresses that have refused TCP.
    no_tcp: Recent,
    /// INVITEs that were given up.
    late: Late,
    outputs: VecDeque<Output>,
    /// The latest time we were told, for calls that bring none.
    now: Option<Instant>,
}

impl Endpoint {
    /// Whether a source speaks for many others: no limit of its own holds for it.
    pub fn trusts(&self, source: IpAddr) -> bool {
        self.guard.trusts(source)
    }

    /// Gives back the room of tables that were fuller once.
    pub fn shrink(&mut self) {
        self.table.shrink();
        self.outputs.shrink_to_fit();
    }

    /// With no transactions. Tags, branches and Call-IDs come from `seed`.
    pub fn new(mut settings: Settings, seed: u64) -> Self {
        let floor = Duration::from_millis(1);
        let timers = &mut settings.timers;
        // A zero interval would repeat without end in one instant.
        timers.t1 = timers.t1.max(floor);
        timers.t2 = timers.t2.max(timers.t1);
        let mut rng = StdRng::seed_from_u64(seed);
        let keys = Keys::new([rng.random(), rng.random()]);
        let limits = settings.limits;
        let seeded = [Key(rng.random()), Key(rng.random())];
        let guard = Guard::new(std::mem::take(&mut settings.access), seeded);
        Endpoint {
            allowed: validate::allow(&settings),
            extensions: settings.extensions.join(", "),
            settings,
            rng,
            keys,
            table: Table::default(),
            sources: Sources::new(limits.calls_per_second_per_source, limits.sources),
            guard,
            no_tcp: Recent::new(MAX_NO_TCP),
            late: Late::default(),
            outputs: VecDeque::new(),
            now: None,
        }
    }

    /// Takes what happened on the network.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.now = Some(now);
        match input {
            Input::Message { flow, message } => match message {
                Message::Request(request) => self.on_request(flow, request, now),
                Message::Response(response) => self.on_response(flow, response, now),
            },
            Input::Malformed { flow, error } => self.on_malformed(flow, error, now),
            Input::ConnectionClosed(connection) => {
                for id in self.table.on_path(Path::Connection(connection)) {
                    self.table.unbind(ClientId(id));
                    self.fail_client(ClientId(id), now);
                    self.table.reroute(ServerId(id));
                }
            }
            Input::TransportFailed(flow) => {
                for id in self.table.on_path(Path::remote(&flow)) {
                    if self.table.uses(id, &flow) {
                        self.fail_client(ClientId(id), now);
                        self.fail_server(ServerId(id), now);
                    }
                }
            }
        }
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = Some(now);
        while let Some(id) = self.table.pop_due(now) {
            self.wake_server(ServerId(id), now);
            self.wake_client(ClientId(id), now);
        }
    }

    /// When [`Endpoint::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.next_wake()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How many transactions there are.
    pub fn transactions(&self) -> usize {
        self.table.len()
    }

    /// A tag for From or To (RFC 3261 §19.3).
    pub fn new_tag(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }

    /// Whether MESSAGE is served.
    pub fn take_texts(&mut self, taken: bool) {
        let allow = &mut self.settings.allow;
        allow.retain(|method| *method != Method::Message);
        allow.extend(taken.then_some(Method::Message));
        self.allowed = validate::allow(&self.settings);
    }

    /// A Call-ID.
    pub fn new_call_id(&mut self) -> String {
        format!("{:032x}", self.rng.random::<u128>())
    }

    fn transmit(&mut self, flow: Flow, bytes: Vec<u8>) {
        self.outputs.push_back(Output::Transmit {
            flow,
            bytes,
            transaction: None,
        });
    }
}
