//! SIP transports: listeners, connections on demand. Sits between the network and
//! `endpoint`: events go out by a bounded channel, messages come in by [`Net::send`], which never
//! blocks.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::net::connections::Connections;
use crate::net::gate::{AccessLists, Gate};
use crate::net::handshakes::Handshakes;
use crate::net::hosts::Hosts;
use crate::net::queues::Queues;
use crate::net::route::RouteCache;
use crate::net::tls::Tls;
use crate::net::{pktinfo, sys, tcp, udp};
use crate::sip::message::{Message, ParseError};
use crate::sip::transport::{ConnectionId, Flow, Transport};
use crate::sip::uri::Host;

/// SO_RCVBUF asked for on a UDP listener, bytes: a burst of calls while the control side is busy.
/// Without the privilege (CAP_NET_ADMIN) the kernel gives what net.core.rmem_max allows.
const UDP_RECEIVE_BUFFER: usize = 1 << 20;
/// Pending connections that the kernel keeps for a TCP listener.
const TCP_BACKLOG: i32 = 1024;

/// Where to listen, and the limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// UDP listeners.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners.
    pub tls: Vec<SocketAddr>,
    /// WebSocket listeners.
    pub ws: Vec<SocketAddr>,
    /// Listeners of WebSocket over TLS.
    pub wss: Vec<SocketAddr>,
    /// Origins of web pages that may use WebSocket, in lower case; empty: all.
    pub ws_origins: Vec<String>,
    /// What TLS stands on; without it there is none.
    pub security: Option<Arc<Tls>>,
    /// The longest message that is read, bytes; a longer one gets 513.
    pub max_message: usize,
    /// Stream connections in all; a tenth is kept for those that we open and for trusted peers.
    pub tcp_connections: usize,
    /// Accepted stream connections per source address (with IPv6 per /64, four times as many per /48).
    pub tcp_connections_per_address: usize,
    /// Handshakes of accepted connections at once; half of them from one source.
    pub handshakes: usize,
    /// Handshakes that one source may begin in a second; 0: no limit.
    pub handshakes_per_second_per_source: u32,
    /// How long a message may take from its first byte to its last on a stream, an accepted
    /// connection for its handshakes and until its first message, and a peer to read what we send.
    pub message_time: Duration,
    /// How long a stream connection may be silent.
    pub idle: Duration,
    /// How long opening a stream connection may take.
    pub connect_time: Duration,
    /// After how much silence of ours a ping goes out, on connections that we opened and on
    /// WebSockets (RFC 5626 §4.4.1, RFC 6455 §5.5.2); none: never.
    pub keep_alive: Option<Duration>,
    /// Who is heard.
    pub access: AccessLists,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            ws: Vec::new(),
            wss: Vec::new(),
            ws_origins: Vec::new(),
            security: None,
            max_message: 65_535,
            tcp_connections: 4096,
            tcp_connections_per_address: 64,
            handshakes: 500,
            handshakes_per_second_per_source: 50,
            message_time: Duration::from_secs(10),
            idle: Duration::from_hours(1),
            connect_time: Duration::from_secs(5),
            keep_alive: Some(Duration::from_secs(30)),
            access: AccessLists::default(),
        }
    }
}

/// What the network tells the control side.
#[derive(Debug)]
pub enum NetEvent {
    /// A message came.
    Message {
        /// Its path; `local` is concrete.
        flow: Flow,
        /// The message.
        message: Message,
    },
    /// Something came that is no valid message. A stream on which it is not certain where the next
    /// one begins closes soon after, in time for an answer.
    Malformed {
        /// Its path.
        flow: Flow,
        /// What is wrong, and what could be read.
        error: ParseError,
    },
    /// A connection ended on which a message came, or was to go.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// What was to be sent on this flow could not be (RFC 3261 §17.1.4, §17.2.4); it names the connection
    /// that could not be opened.
    Failed(Flow),
}

/// Why a listener could not be opened.
#[derive(Debug, Error)]
pub enum NetError {
    /// The address cannot be listened on.
    #[error("cannot listen on {transport} {address}: {error}{}", Hint(*address, error.kind()))]
    Bind {
        /// The transport.
        transport: Transport,
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        error: io::Error,
    },
}

/// What would be right instead, where that is known.
struct Hint(SocketAddr, io::ErrorKind);

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port();
        match self.1 {
            io::ErrorKind::AddrInUse => write!(
                f,
                ": another program has this port; stop it (`ss -lnp 'sport = :{port}'` names it) \
                 or configure another port"
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                ": a port below 1024 needs CAP_NET_BIND_SERVICE; grant it or configure a port \
                 from 1024 up (SIP's own is 5060)"
            ),
            io::ErrorKind::AddrNotAvailable => {
                let any = if self.0.is_ipv4() { "0.0.0.0" } else { "[::]" };
                write!(
                    f,
                    ": this machine has no such address; configure one that `ip address` lists, \
                     or {any} for all"
                )
            }
            _ => Ok(()),
        }
    }
}

/// What the network has dropped or refused, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Datagrams received.
    pub udp_received: u64,
    /// Datagrams dropped because the control side did not keep up.
    pub udp_dropped: u64,
    /// Keep-alives and datagrams of other protocols, ignored.
    pub udp_ignored: u64,
    /// Datagrams that could not be sent.
    pub udp_send_failed: u64,
    /// Stream connections accepted.
    pub tcp_accepted: u64,
    /// Stream connections closed because of a limit: at once, or for another source to have one.
    pub tcp_refused: u64,
    /// Stream connections closed because a message or a handshake took too long.
    pub tcp_timed_out: u64,
    /// Stream connections closed because the peer did not read.
    pub tcp_slow_readers: u64,
    /// Stream connections closed because of what came on them.
    pub tcp_malformed: u64,
    /// Connections closed at once because of a limit on handshakes.
    pub handshakes_refused: u64,
    /// Handshakes of TLS and WebSocket that came to nothing.
    pub handshakes_failed: u64,
    /// `Failed` events that found the channel full.
    pub events_dropped: u64,
    /// Datagrams and connections from who is not heard: by an access list, or banned.
    pub not_heard: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) udp_received: AtomicU64,
    pub(super) udp_dropped: AtomicU64,
    pub(super) udp_ignored: AtomicU64,
    pub(super) udp_send_failed: AtomicU64,
    pub(super) tcp_accepted: AtomicU64,
    pub(super) tcp_refused: AtomicU64,
    pub(super) tcp_timed_out: AtomicU64,
    pub(super) tcp_slow_readers: AtomicU64,
    pub(super) tcp_malformed: AtomicU64,
    pub(super) handshakes_refused: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) events_dropped: AtomicU64,
    pub(super) not_heard: AtomicU64,
}

/// What listeners and connections share.
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) events: Queues,
    pub(super) counters: Counters,
    pub(super) gate: Gate,
    /// For [`Net::send`], which may be called from outside of the runtime.
    pub(super) runtime: Handle,
    routes: Mutex<RouteCache>,
    connections: Mutex<Connections>,
    handshakes: Mutex<Handshakes>,
    hosts: Mutex<Hosts>,
}

/// The SIP transports of the server. Dropping it closes the listeners at once, and connections
/// after they have sent what is queued.
pub struct Net {
    shared: Arc<Shared>,
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    streams: Vec<(Transport, SocketAddr)>,
    tasks: Vec<AbortHandle>,
}

impl Net {
    /// Opens all listeners; call it within a tokio runtime. Events go to `events`, whose capacity
    /// bounds what waits for the control side: beyond it datagrams are dropped (their senders
    /// retransmit) and TCP connections are not read.
    pub fn bind(settings: Settings, events: impl Into<Queues>) -> Result<Self, NetError> {
        let shared = Arc::new(Shared {
            gate: Gate::new(settings.access.clone()),
            handshakes: Mutex::new(Handshakes::new(
                settings.handshakes,
                settings.handshakes_per_second_per_source,
            )),
            settings,
            events: events.into(),
            counters: Counters::default(),
            runtime: Handle::current(),
            routes: Mutex::default(),
            connections: Mutex::default(),
            hosts: Mutex::default(),
        });
        // From here on an error drops what is open already.
        let mut net = Self {
            shared: Arc::clone(&shared),
            udp: Vec::new(),
            streams: Vec::new(),
            tasks: Vec::new(),
        };
        for &address in &shared.settings.udp {
            net.listen_udp(address)
                .map_err(|error| NetError::bind(Transport::Udp, address, error))?;
        }
        let settings = &shared.settings;
        for (transport, addresses) in [
            (Transport::Tcp, &settings.tcp),
            (Transport::Tls, &settings.tls),
            (Transport::Ws, &settings.ws),
            (Transport::Wss, &settings.wss),
        ] {
            for &address in addresses {
                net.listen_stream(transport, address)
                    .map_err(|error| NetError::bind(transport, address, error))?;
            }
        }
        Ok(net)
    }

    /// Sends a message, without blocking. On UDP it leaves from the socket of `flow.local`. On a
    /// stream it takes the flow's connection, or else one to that peer, or else opens one (not to a
    /// WebSocket, which cannot be called), and says which. Failure comes as [`NetEvent::Failed`], the
    /// end of a connection on which something went or came as [`NetEvent::Closed`].
    pub fn send(&self, flow: Flow, bytes: Vec<u8>) -> Option<ConnectionId> {
        let (sent, connection) = if flow.transport == Transport::Udp {
            (self.send_udp(flow, &bytes), None)
        } else {
            let connection = tcp::send(&self.shared, flow, bytes);
            (connection.is_some(), connection)
        };
        let queues = &self.shared.events;
        let queue = match flow.transport {
            Transport::Udp => &queues.datagrams,
            _ => &queues.streams,
        };
        if !sent && queue.try_send(NetEvent::Failed(flow)).is_err() {
            // Without the event the transaction ends by its timer.
            count(&self.shared.counters.events_dropped);
        }
        connection
    }

    /// Closes a connection once what is queued on it has been sent.
    pub fn close_after(&self, connection: ConnectionId) {
        self.shared.connections().remove(connection);
    }

    /// Does not read anything from a source (an address, or its IPv6 /64) until then, and closes its
    /// connections.
    pub fn ban(&self, source: IpAddr, until: Instant) {
        self.shared.gate.ban(source, until);
        self.shared.connections().cut_off(source);
    }

    /// Reads again what comes from a source.
    pub fn lift_ban(&self, source: IpAddr) {
        self.shared.gate.lift(source);
    }

    /// The sources that are not read, and until when, in place of those that there were; their
    /// connections have been closed before.
    pub fn set_bans(&self, bans: impl Iterator<Item = (IpAddr, Instant)>) {
        self.shared.gate.set_bans(bans);
    }

    /// Puts other access lists in force; accepted connections of who is not heard any more end at once.
    pub fn set_access(&self, lists: AccessLists) {
        self.shared.gate.set_lists(lists);
        self.shared.connections().keep_admitted(&self.shared.gate);
    }

    /// All listeners, with the ports that the system chose for port 0.
    pub fn listening(&self) -> Vec<(Transport, SocketAddr)> {
        let udp = self
            .udp
            .iter()
            .map(|(address, _)| (Transport::Udp, *address));
        udp.chain(self.streams.iter().copied()).collect()
    }

    /// The local address of the route to `remote`.
    pub fn local_address_for(&self, remote: IpAddr) -> io::Result<IpAddr> {
        self.shared.local_address_for(SocketAddr::new(remote, 0))
    }

    /// A flow for a message to a peer from whom none has come: `local` is the address of the
    /// route towards it, and the port of our listener there (the one to name in Contact and Via).
    pub fn flow_to(&self, transport: Transport, remote: SocketAddr) -> io::Result<Flow> {
        let ip = self.shared.local_address_for(remote)?;
        let listeners = || {
            self.listening().into_iter().filter(move |(of, address)| {
                *of == transport && address.is_ipv4() == remote.is_ipv4()
            })
        };
        let local = listeners()
            .find(|(_, address)| address.ip() == ip)
            .or_else(|| listeners().find(|(_, address)| address.ip().is_unspecified()))
            .or_else(|| listeners().next())
            .map(|(_, address)| address);
        let local = match local {
            Some(address) if address.ip().is_unspecified() => SocketAddr::new(ip, address.port()),
            Some(address) => address,
            // A stream may be opened without a listener; UDP leaves from one.
            None if transport.is_reliable() => SocketAddr::new(ip, 0),
            None => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        Ok(Flow {
            transport,
            local,
            remote,
            connection: None,
            host: None,
        })
    }

    /// The same to where a host leads that is called: over TLS it has to prove to be that host, or to
    /// have that address where it was called by one.
    pub fn flow_to_host(
        &self,
        transport: Transport,
        remote: SocketAddr,
        host: &Host,
    ) -> io::Result<Flow> {
        let mut flow = self.flow_to(transport, remote)?;
        if let (Transport::Tls, Host::Name(name)) = (transport, host) {
            flow.host = Some(self.shared.hosts().note(name));
        }
        Ok(flow)
    }

    /// Open stream connections.
    pub fn connections(&self) -> usize {
        self.shared.connections().open()
    }

    /// What was dropped or refused so far.
    pub fn stats(&self) -> NetStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        NetStats {
            udp_received: of(&counters.udp_received),
            udp_dropped: of(&counters.udp_dropped),
            udp_ignored: of(&counters.udp_ignored),
            udp_send_failed: of(&counters.udp_send_failed),
            tcp_accepted: of(&counters.tcp_accepted),
            tcp_refused: of(&counters.tcp_refused),
            tcp_timed_out: of(&counters.tcp_timed_out),
            tcp_slow_readers: of(&counters.tcp_slow_readers),
            tcp_malformed: of(&counters.tcp_malformed),
            handshakes_refused: of(&counters.handshakes_refused),
            handshakes_failed: of(&counters.handshakes_failed),
            events_dropped: of(&counters.events_dropped),
            not_heard: of(&counters.not_heard),
        }
    }

    fn send_udp(&self, flow: Flow, bytes: &[u8]) -> bool {
        let mut counters = sys::SendCounters::default();
        let sent = self.udp_socket(flow.local).is_some_and(|(bound, socket)| {
            // From the very address that the peer spoke to; where the kernel will not have that
            // (the address is gone), from the one of the route.
            let own = bound.ip().is_unspecified()
                && pktinfo::send(socket, bytes, flow.remote, flow.local.ip()).is_ok();
            own || sys::send(socket, bytes, Some(flow.remote), &mut counters)
        });
        if !sent {
            count(&self.shared.counters.udp_send_failed);
        }
        // A full buffer is loss, which retransmission mends; all else is final.
        sent || counters.would_block > 0
    }

    /// The socket that an answer from `local` leaves from: bound to it, or to the wildcard with
    /// its port.
    fn udp_socket(&self, local: SocketAddr) -> Option<&(SocketAddr, Arc<UdpSocket>)> {
        let exact = self.udp.iter().find(|(bound, _)| *bound == local);
        let wildcard = || {
            self.udp.iter().find(|(bound, _)| {
                bound.ip().is_unspecified()
                    && bound.is_ipv4() == local.is_ipv4()
                    && bound.port() == local.port()
            })
        };
        exact.or_else(wildcard)
    }

    fn listen_udp(&mut self, address: SocketAddr) -> io::Result<()> {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        if address.is_ipv6() {
            // IPv4 has listeners of its own: no mapped addresses in any header.
            socket.set_only_v6(true)?;
        }
        receive_buffer(&socket)?;
        pktinfo::enable(&socket, address.is_ipv4())?;
        socket.bind(&address.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        let bound = socket.local_addr()?;
        let task = udp::receive(Arc::clone(&socket), bound, Arc::clone(&self.shared));
        self.tasks.push(tokio::spawn(task).abort_handle());
        self.udp.push((bound, socket));
        Ok(())
    }

    fn listen_stream(&mut self, transport: Transport, address: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::from_std(stream_listener(address, true)?)?;
        self.streams.push((transport, listener.local_addr()?));
        let task = tcp::accept(listener, transport, Arc::clone(&self.shared));
        self.tasks.push(tokio::spawn(task).abort_handle());
        Ok(())
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.connections().close();
    }
}

impl NetError {
    fn bind(transport: Transport, address: SocketAddr, error: io::Error) -> Self {
        Self::Bind {
            transport,
            address,
            error,
        }
    }
}

impl Shared {
    /// The registry. A panic while it was held leaves it whole: each change is one insertion or
    /// removal.
    pub(super) fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is being shaken; see [`Shared::connections`].
    pub(super) fn handshakes(&self) -> MutexGuard<'_, Handshakes> {
        self.handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What is called by name; see [`Shared::connections`].
    pub(super) fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn local_address_for(&self, remote: SocketAddr) -> io::Result<IpAddr> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.local_address_for(remote, Instant::now())
    }
}

/// Adds one to a counter that only statistics read.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn receive_buffer(socket: &Socket) -> io::Result<()> {
    let forced = setsockopt(socket, sockopt::RcvBufForce, &UDP_RECEIVE_BUFFER);
    forced.or_else(|_| socket.set_recv_buffer_size(UDP_RECEIVE_BUFFER))
}

/// Listens on streams, without blocking; on `[::]` for IPv4 too, unless that has listeners of its own, ours
/// if it `is_apart`, or somebody else's.
pub fn stream_listener(address: SocketAddr, is_apart: bool) -> io::Result<std::net::TcpListener> {
    let listening = listen(address, is_apart);
    match listening {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_apart => {
            listen(address, true)
        }
        other => other,
    }
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<std::net::TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    // Connections of the last run in TIME_WAIT must not keep this one from its port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
