//! The transactions and the ways to find them: by id, by key, by call, by path, by next timer.
//! An entry is in each index exactly as long as it is in the table.

use super::{ClientId, ServerId};
use crate::sip::message::Request;
use crate::sip::transaction::{
    ClientEvent, ClientInvite, ClientNonInvite, ClientOutput, Key, ServerEvent, ServerInvite,
    ServerNonInvite, ServerOutput, Timers, server_invite,
};
use crate::sip::transport::{ConnectionId, Flow};
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// A server transaction's machine.
#[derive(Debug)]
pub(super) enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerNonInvite),
}

impl ServerMachine {
    pub(super) fn handle(&mut self, event: ServerEvent, now: Instant) {
        match self {
            ServerMachine::Invite(machine) => machine.handle(event, now),
            ServerMachine::Other(machine) => machine.handle(event, now),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            ServerMachine::Invite(machine) => machine.handle_timeout(now),
            ServerMachine::Other(machine) => machine.handle_timeout(now),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<ServerOutput> {
        match self {
            ServerMachine::Invite(machine) => machine.poll_output(),
            ServerMachine::Other(machine) => machine.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            ServerMachine::Invite(machine) => machine.poll_timeout(),
            ServerMachine::Other(machine) => machine.poll_timeout(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            ServerMachine::Invite(machine) => machine.is_terminated(),
            ServerMachine::Other(machine) => machine.is_terminated(),
        }
    }

    /// The state of an INVITE.
    pub(super) fn invite_state(&self) -> Option<server_invite::State> {
        match self {
            ServerMachine::Invite(machine) => Some(machine.state()),
            ServerMachine::Other(_) => None,
        }
    }
}

/// A client transaction's machine.
#[derive(Debug)]
pub(super) enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientNonInvite),
}

impl ClientMachine {
    /// A machine that sends this request.
    pub(super) fn new(
        invite: bool,
        bytes: Vec<u8>,
        timers: Timers,
        reliable: bool,
        now: Instant,
    ) -> Self {
        if invite {
            ClientMachine::Invite(ClientInvite::new(bytes, timers, reliable, now))
        } else {
            ClientMachine::Other(ClientNonInvite::new(bytes, timers, reliable, now))
        }
    }

    pub(super) fn hurry(&mut self, now: Instant) {
        if let ClientMachine::Invite(machine) = self {
            machine.hurry(now);
        }
    }

    /// An INVITE that the user has given up.
    pub(super) fn is_cancelled(&self) -> bool {
        matches!(self, ClientMachine::Invite(machine) if machine.is_cancelled())
    }

    pub(super) fn handle(&mut self, event: ClientEvent, now: Instant) {
        match self {
            ClientMachine::Invite(machine) => machine.handle(event, now),
            ClientMachine::Other(machine) => machine.handle(event, now),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            ClientMachine::Invite(machine) => machine.handle_timeout(now),
            ClientMachine::Other(machine) => machine.handle_timeout(now),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<ClientOutput> {
        match self {
            ClientMachine::Invite(machine) => machine.poll_output(),
            ClientMachine::Other(machine) => machine.poll_output(),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            ClientMachine::Invite(machine) => machine.poll_timeout(),
            ClientMachine::Other(machine) => machine.poll_timeout(),
        }
    }

    fn is_terminated(&self) -> bool {
        match self {
            ClientMachine::Invite(machine) => machine.is_terminated(),
            ClientMachine::Other(machine) => machine.is_terminated(),
        }
    }
}

/// A server transaction.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) machine: ServerMachine,
    pub(super) key: Key,
    pub(super) call: Option<Key>,
    /// Where responses go.
    pub(super) flow: Flow,
    /// The port that the peer listens on, should its connection be lost (RFC 3261 §18.2.2).
    pub(super) sent_by_port: u16,
    /// The 100, until anything is answered.
    pub(super) trying: Option<Vec<u8>>,
    /// The To tag: the request's own, or that of our responses.
    pub(super) tag: Option<String>,
    pub(super) cancelled: bool,
    /// Who sent it, as admission counts sources.
    pub(super) source: IpAddr,
    pub(super) weight: usize,
    pub(super) wake: Option<Instant>,
}

/// A client transaction.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) machine: ClientMachine,
    pub(super) key: Key,
    pub(super) flow: Flow,
    /// An INVITE, without its body: what its ACK and CANCEL are made from.
    pub(super) invite: Option<Request>,
    /// The way that is left where TCP is refused; until there is a response.
    pub(super) over_udp: Option<Box<OverUdp>>,
    /// A silent place is given up soon.
    pub(super) hurried: bool,
    /// A CANCEL: nobody waits for what becomes of it.
    pub(super) silent: bool,
    pub(super) wake: Option<Instant>,
}

/// A request that is too long for UDP, as it would go there.
#[derive(Debug)]
pub(super) struct OverUdp {
    pub(super) flow: Flow,
    pub(super) bytes: Vec<u8>,
}

/// What a network failure may hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Path {
    /// Whether the transport is reliable, and the peer.
    Remote(bool, SocketAddr),
    Connection(ConnectionId),
}

impl Path {
    pub(super) fn remote(flow: &Flow) -> Path {
        Path::Remote(flow.transport.is_reliable(), flow.remote)
    }

    fn all(flow: &Flow) -> impl Iterator<Item = Path> {
        [
            Some(Path::remote(flow)),
            flow.connection.map(Path::Connection),
        ]
        .into_iter()
        .flatten()
    }
}

/// The transactions on each path, by age.
#[derive(Debug, Default)]
struct Paths(HashMap<Path, BTreeSet<u64>>);

impl Paths {
    fn insert(&mut self, flow: &Flow, id: u64) {
        for path in Path::all(flow) {
            self.0.entry(path).or_default().insert(id);
        }
    }

    fn remove(&mut self, flow: &Flow, id: u64) {
        for path in Path::all(flow) {
            if let Some(ids) = self.0.get_mut(&path) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.0.remove(&path);
                }
            }
        }
    }
}

/// All transactions.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Boxed: 64,000 of them that a growing table moves hold up all calls by some 20 ms.
    servers: FxHashMap<u64, Box<Server>>,
    clients: FxHashMap<u64, Box<Client>>,
    by_key: FxHashMap<Key, u64>,
    by_call: FxHashMap<Key, u64>,
    wakes: BTreeSet<(Instant, u64)>,
    paths: Paths,
    weight: usize,
    /// The weight of the server transactions of each source.
    by_source: HashMap<IpAddr, usize>,
    last_id: u64,
}

impl Table {
    /// Gives back the room that is not needed.
    pub fn shrink(&mut self) {
        self.servers.shrink_to_fit();
        self.clients.shrink_to_fit();
        self.by_key.shrink_to_fit();
        self.by_call.shrink_to_fit();
        self.by_source.shrink_to_fit();
        self.paths.0.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// What the transactions count against the limit.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The part of that which one source holds.
    pub(super) fn weight_of(&self, source: IpAddr) -> usize {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn add_server(&mut self, server: Server) -> ServerId {
        let id = self.next_id();
        self.by_key.insert(server.key, id);
        if let Some(call) = server.call {
            self.by_call.insert(call, id);
        }
        self.paths.insert(&server.flow, id);
        self.weight += server.weight;
        *self.by_source.entry(server.source).or_default() += server.weight;
        self.servers.insert(id, Box::new(server));
        ServerId(id)
    }

    pub(super) fn add_client(&mut self, client: Client) -> ClientId {
        let id = self.next_id();
        self.by_key.insert(client.key, id);
        self.paths.insert(&client.flow, id);
        self.weight += 1;
        self.clients.insert(id, Box::new(client));
        ClientId(id)
    }

    pub(super) fn server(&mut self, id: ServerId) -> Option<&mut Server> {
        self.servers.get_mut(&id.0).map(Box::as_mut)
    }

    pub(super) fn client(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(&id.0).map(Box::as_mut)
    }

    pub(super) fn find_server(&self, key: Key) -> Option<ServerId> {
        self.by_key.get(&key).copied().map(ServerId)
    }

    pub(super) fn find_client(&self, key: Key) -> Option<ClientId> {
        self.by_key.get(&key).copied().map(ClientId)
    }

    /// The server transaction of the same Call-ID, From tag and CSeq.
    pub(super) fn find_call(&self, call: Key) -> Option<ServerId> {
        self.by_call.get(&call).copied().map(ServerId)
    }

    /// After the machine has been moved: its next timer, or its removal.
    pub(super) fn settle_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id.0) else {
            return;
        };
        if server.machine.is_terminated() {
            self.remove_server(id);
            return;
        }
        let next = server.machine.poll_timeout();
        reschedule(&mut self.wakes, &mut server.wake, next, id.0);
    }

    /// After the machine has been moved: its next timer, or its removal.
    pub(super) fn settle_client(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id.0) else {
            return;
        };
        let ended = client.machine.is_terminated();
        let next = client.machine.poll_timeout().filter(|_| !ended);
        reschedule(&mut self.wakes, &mut client.wake, next, id.0);
        if ended && let Some(client) = self.clients.remove(&id.0) {
            self.by_key.remove(&client.key);
            self.paths.remove(&client.flow, id.0);
            self.weight -= 1;
        }
    }

    fn remove_server(&mut self, id: ServerId) {
        let Some(mut server) = self.servers.remove(&id.0) else {
            return;
        };
        reschedule(&mut self.wakes, &mut server.wake, None, id.0);
        self.by_key.remove(&server.key);
        // Another transaction of a peer that repeats its CSeq may have taken the place.
        if let Some(call) = server.call
            && self.by_call.get(&call) == Some(&id.0)
        {
            self.by_call.remove(&call);
        }
        self.paths.remove(&server.flow, id.0);
        self.weight -= server.weight;
        if let Some(held) = self.by_source.get_mut(&server.source) {
            *held -= server.weight;
            if *held == 0 {
                self.by_source.remove(&server.source);
            }
        }
    }

    /// Drops a server transaction that is answered without one (RFC 3261 §8.2.7). Where its answer
    /// goes.
    pub(super) fn forget_server(&mut self, id: ServerId) -> Option<Flow> {
        let flow = self.servers.get(&id.0)?.flow;
        self.remove_server(id);
        Some(flow)
    }

    /// The request of a client transaction has gone out on this connection, whatever its flow names.
    pub(super) fn sent_on(&mut self, id: ClientId, connection: ConnectionId) {
        if let Some(client) = self.clients.get(&id.0)
            && client.flow.transport.is_reliable()
            && client.flow.connection != Some(connection)
        {
            let flow = Flow {
                connection: Some(connection),
                ..client.flow
            };
            self.redirect_client(id, flow);
        }
    }

    /// Learns the connection of a client transaction whose request went out before it was lost.
    pub(super) fn bind(&mut self, id: ClientId, connection: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id.0)
            && client.flow.transport.is_reliable()
            && client.flow.connection.is_none()
        {
            self.paths.remove(&client.flow, id.0);
            client.flow.connection = Some(connection);
            self.paths.insert(&client.flow, id.0);
        }
    }

    /// The connection of a client transaction is lost: what it sends yet goes by another one.
    pub(super) fn unbind(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id.0) {
            let flow = Flow {
                connection: None,
                ..client.flow
            };
            self.redirect_client(id, flow);
        }
    }

    /// Points a client transaction to another flow.
    pub(super) fn redirect_client(&mut self, id: ClientId, flow: Flow) {
        let Some(client) = self.clients.get_mut(&id.0) else {
            return;
        };
        self.paths.remove(&client.flow, id.0);
        client.flow = flow;
        self.paths.insert(&flow, id.0);
    }

    /// Points a server transaction whose connection is lost to where its peer listens
    /// (RFC 3261 §18.2.2).
    pub(super) fn reroute(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id.0) else {
            return;
        };
        self.paths.remove(&server.flow, id.0);
        server.flow.connection = None;
        server.flow.remote.set_port(server.sent_by_port);
        self.paths.insert(&server.flow, id.0);
    }

    /// The transactions on a path, oldest first.
    pub(super) fn on_path(&self, path: Path) -> Vec<u64> {
        let ids = self.paths.0.get(&path);
        ids.into_iter().flatten().copied().collect()
    }

    /// Whether a failure of `flow` is one of this transaction, and not of another connection to
    /// the same peer.
    pub(super) fn uses(&self, id: u64, flow: &Flow) -> bool {
        let ours = match (self.servers.get(&id), self.clients.get(&id)) {
            (Some(server), _) => server.flow,
            (_, Some(client)) => client.flow,
            _ => return false,
        };
        match (ours.connection, flow.connection) {
            (Some(ours), Some(failed)) => ours == failed,
            // Who proves to be one host of an address need not prove to be another.
            _ => ours.host == flow.host,
        }
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Takes a transaction whose timer is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<u64> {
        let &(at, id) = self.wakes.first()?;
        if at > now {
            return None;
        }
        self.wakes.pop_first();
        if let Some(server) = self.servers.get_mut(&id) {
            server.wake = None;
        }
        if let Some(client) = self.clients.get_mut(&id) {
            client.wake = None;
        }
        Some(id)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Whether nothing is left in any index.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
            && self.clients.is_empty()
            && self.by_key.is_empty()
            && self.by_call.is_empty()
            && self.wakes.is_empty()
            && self.paths.0.is_empty()
            && self.by_source.is_empty()
            && self.weight == 0
    }
}

fn reschedule(
    wakes: &mut BTreeSet<(Instant, u64)>,
    wake: &mut Option<Instant>,
    next: Option<Instant>,
    id: u64,
) {
    if *wake == next {
        return;
    }
    if let Some(old) = wake.take() {
        wakes.remove(&(old, id));
    }
    if let Some(next) = next {
        wakes.insert((next, id));
    }
    *wake = next;
}
