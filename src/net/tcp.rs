//! SIP over TCP and what runs above it: the accept loops, connections on demand, the handshakes of
//! TLS and WebSocket. Each connection is a task of its own from its first byte on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::net::connections::{Opened, Opener, Queued};
use crate::net::handshakes::Handshake;
use crate::net::sip::{NetEvent, Shared, count};
use crate::net::stream::{self, Kind, Trust};
use crate::net::{tls, ws};
use crate::sip::transport::{ConnectionId, Flow, Transport};

/// How long the accept loop pauses when the system has no descriptor left (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the kernel probes whether the peer's host is there.
const PROBE_TIME: Duration = Duration::from_mins(1);
/// How long the peer's host may leave sent data unacknowledged: a transaction's life (RFC 3261
/// §17.1.1.2: timer B, 32 s).
const ACKNOWLEDGE_TIME: Duration = Duration::from_secs(32);

/// Accepts until aborted. Nothing that a peer does or omits holds it up.
pub(super) async fn accept(listener: TcpListener, transport: Transport, shared: Arc<Shared>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                failing = false;
                admit(stream, remote, transport, &shared);
            }
            // The peer gave up before we got to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(%transport, %error, "cannot accept connections; trying on");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Queues a message on the flow's connection, or one to its peer, or a new one. Returns which; none: it
/// cannot get there.
pub(super) fn send(shared: &Arc<Shared>, flow: Flow, bytes: Vec<u8>) -> Option<ConnectionId> {
    let mut connections = shared.connections();
    // A connection that is gone is replaced by another to the same peer (RFC 3261 §18.2.2).
    let named = flow.connection.filter(|&id| connections.contains(id));
    let peer = (flow.transport, flow.remote);
    let host = flow.host.filter(|_| flow.transport == Transport::Tls);
    let found = named.or_else(|| connections.to(peer, host)).or_else(|| {
        connections.called_back(peer, |shown| {
            called(shared, flow).is_some_and(|name| tls::certifies(shown, &name))
        })
    });
    let Some(id) = found else {
        // A browser cannot be called back (RFC 7118 §5).
        if matches!(flow.transport, Transport::Ws | Transport::Wss) {
            return None;
        }
        let opened = connections.register(shared, peer, Opener::We(host))?;
        let id = opened.registered.id;
        // An empty queue takes it.
        let _ = connections.queue(id, bytes);
        drop(connections);
        let shared_of_task = Arc::clone(shared);
        shared.runtime.spawn(open(opened, flow, shared_of_task));
        return Some(id);
    };
    match connections.queue(id, bytes) {
        Queued::Yes => Some(id),
        Queued::Unknown => None,
        Queued::Full => {
            count(&shared.counters.tcp_slow_readers);
            None
        }
    }
}

fn admit(stream: TcpStream, remote: SocketAddr, transport: Transport, shared: &Arc<Shared>) {
    let Ok(local) = stream.local_addr() else {
        return; // reset meanwhile
    };
    if !shared.gate.admits(transport, remote.ip()) {
        count(&shared.counters.not_heard);
        return;
    }
    let handshake = if transport == Transport::Tcp {
        None
    } else {
        let Some(begun) = Handshake::begin(shared, remote.ip()) else {
            count(&shared.counters.handshakes_refused);
            return;
        };
        Some(begun)
    };
    let registered = shared
        .connections()
        .register(shared, (transport, remote), Opener::Peer);
    let Some(opened) = registered else {
        count(&shared.counters.tcp_refused);
        return;
    };
    count(&shared.counters.tcp_accepted);
    let flow = Flow {
        transport,
        local,
        remote,
        connection: Some(opened.registered.id),
        host: None,
    };
    tokio::spawn(welcome(stream, opened, handshake, flow, Arc::clone(shared)));
}

/// An accepted connection's life, its handshakes included: they have the time of one message.
async fn welcome(
    stream: TcpStream,
    opened: Opened,
    handshake: Option<Handshake>,
    flow: Flow,
    shared: Arc<Shared>,
) {
    set_options(&stream);
    let plain = Kind {
        trust: Trust::None,
        is_verified: false,
    };
    match flow.transport {
        Transport::Udp | Transport::Tcp => {
            stream::serve(stream, opened, flow, plain, shared).await;
        }
        Transport::Tls => {
            let shaking = Box::pin(shake(stream, &shared));
            if let Some((stream, opened)) = greet(shaking, handshake, opened, &shared).await {
                let id = opened.registered.id;
                let kind = Kind {
                    is_verified: note_certificate(&stream, id, &shared),
                    ..plain
                };
                if kind.is_verified {
                    let peer = (flow.transport, flow.remote);
                    shared.connections().alias(id, peer);
                }
                Box::pin(stream::serve(stream, opened, flow, kind, shared)).await;
            }
        }
        Transport::Ws => {
            // Boxed, as below: large, and not for each TCP connection to have room for.
            let shaking = Box::pin(ws::accept(stream, &shared.settings.ws_origins));
            if let Some((stream, opened)) = greet(shaking, handshake, opened, &shared).await {
                Box::pin(ws::serve(stream, opened, flow, shared)).await;
            }
        }
        Transport::Wss => {
            let shaking = Box::pin(async {
                ws::accept(shake(stream, &shared).await?, &shared.settings.ws_origins).await
            });
            if let Some((stream, opened)) = greet(shaking, handshake, opened, &shared).await {
                Box::pin(ws::serve(stream, opened, flow, shared)).await;
            }
        }
    }
}

/// Carries out handshakes within their time. Nothing of SIP has come yet: a failure is counted,
/// and nobody else needs to know.
async fn greet<S>(
    shaking: impl Future<Output = Option<S>>,
    handshake: Option<Handshake>,
    opened: Opened,
    shared: &Shared,
) -> Option<(S, Opened)> {
    let shaken = tokio::select! {
        shaken = timeout(shared.settings.message_time, shaking) => shaken,
        () = opened.kill.notified() => return None,
    };
    drop(handshake);
    match shaken {
        Ok(Some(stream)) => return Some((stream, opened)),
        Ok(None) => count(&shared.counters.handshakes_failed),
        Err(_) => count(&shared.counters.tcp_timed_out),
    }
    None
}

async fn shake(stream: TcpStream, shared: &Shared) -> Option<TlsStream<TcpStream>> {
    let acceptor = shared.settings.security.as_ref()?.acceptor()?;
    match acceptor.accept(stream).await {
        Ok(stream) => Some(stream.into()),
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
    }
}

/// Remembers the peer's certificate, which the handshake has checked; whether it has shown one.
fn note_certificate(stream: &TlsStream<TcpStream>, id: ConnectionId, shared: &Shared) -> bool {
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let Some(own) = shown.first() else {
        return false;
    };
    shared.connections().prove(id, own.clone());
    true
}

async fn open(opened: Opened, flow: Flow, shared: Arc<Shared>) {
    let connecting = async {
        let stream = connect(flow).await?;
        set_options(&stream);
        let local = stream.local_addr();
        Ok::<_, io::Error>((secure(stream, flow, &shared).await?, local))
    };
    let stream = tokio::select! {
        stream = timeout(shared.settings.connect_time, connecting) => stream,
        () = opened.kill.notified() => Ok(Err(io::ErrorKind::ConnectionAborted.into())),
    };
    let (stream, local) = match stream {
        Ok(Ok(found)) => found,
        failed => {
            if let Ok(Err(error)) = failed {
                tracing::info!(peer = %flow.remote, transport = %flow.transport, %error, "no connection");
            }
            let connection = Some(opened.registered.id);
            drop(opened); // first out of the registry: what is sent next may try anew
            let failed = NetEvent::Failed(Flow { connection, ..flow });
            let _ = shared.events.streams.send(failed).await;
            return;
        }
    };
    let flow = Flow {
        local: local.unwrap_or(flow.local),
        connection: Some(opened.registered.id),
        ..flow
    };
    let kind = Kind {
        trust: Trust::Spoken,
        is_verified: flow.transport == Transport::Tls,
    };
    match stream {
        Way::Plain(stream) => stream::serve(stream, opened, flow, kind, shared).await,
        Way::Secure(stream) => {
            note_certificate(&stream, opened.registered.id, &shared);
            stream::serve(stream, opened, flow, kind, shared).await;
        }
    }
}

enum Way {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// The TLS handshake of a connection that we opened; the certificate has to name whom we call.
async fn secure(stream: TcpStream, flow: Flow, shared: &Shared) -> io::Result<Way> {
    if flow.transport != Transport::Tls {
        return Ok(Way::Plain(stream));
    }
    let security = shared.settings.security.as_ref();
    let security = security.ok_or(io::ErrorKind::Unsupported)?;
    let connector = security.connector().await.map_err(io::Error::other)?;
    let name = called(shared, flow);
    let name = name.ok_or_else(|| io::Error::other("the host that was called is forgotten"))?;
    let stream = connector.connect(name, stream).await?;
    Ok(Way::Secure(Box::new(stream.into())))
}

/// Whom a path leads to: what a certificate there has to name. None: the host is forgotten.
fn called(shared: &Shared, flow: Flow) -> Option<ServerName<'static>> {
    let name = match flow.host {
        None => None,
        Some(host) => Some(shared.hosts().name(host)?),
    };
    Some(tls::server_name(name.as_deref(), flow.remote.ip()))
}

async fn connect(flow: Flow) -> io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A link-local address wants the interface named too, which the flow need not know: the
    // kernel's choice is the same.
    let is_link_local = match flow.local.ip() {
        IpAddr::V6(address) => address.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    };
    if !flow.local.ip().is_unspecified() && !is_link_local {
        socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    }
    socket.connect(flow.remote).await
}

/// Ends idle connections to hosts that are gone: the kernel probes them, and gives up on what
/// they do not acknowledge. Only hints: a kernel without them closes by `idle`.
fn set_options(stream: &TcpStream) {
    // A message is written whole: nothing to wait for.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_TIME));
    let _ = socket.set_tcp_user_timeout(Some(ACKNOWLEDGE_TIME));
}
