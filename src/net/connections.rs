//! The registry of stream connections: which there are, whom they reach, how many more may come.
//! Locked for an instant on the control side; a connection's task holds a [`Registered`], whose
//! drop takes it out.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::net::crowd::Crowd;
use crate::net::gate::Gate;
use crate::net::sip::{Settings, Shared, count};
use crate::sip::source::subscriber;
use crate::sip::transport::{ConnectionId, HostId, Transport};

/// Messages that wait for a peer to read. A peer with more unread is not reading.
const QUEUE_MESSAGES: usize = 64;
/// Of so many connections one is kept for trusted peers and for those that we open.
const RESERVED_OF: usize = 10;

/// Whom a connection reaches, and how.
pub(super) type Peer = (Transport, SocketAddr);

/// All open connections.
#[derive(Default)]
pub(super) struct Connections {
    next_id: u64,
    /// Set on shutdown: no new ones.
    closed: bool,
    open: usize,
    by_id: HashMap<ConnectionId, Entry>,
    /// The newest connection to each peer, over TLS to each host there that it was checked for.
    by_peer: HashMap<(Peer, Option<HostId>), ConnectionId>,
    /// Where else who has proven something is to be reached, by its own word.
    aliases: HashMap<Peer, ConnectionId>,
    /// Accepted ones of peers that are not trusted.
    crowd: Crowd,
}

/// Who has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opener {
    /// The peer.
    Peer,
    /// We have, to this host, if it has a name.
    We(Option<HostId>),
}

struct Entry {
    peer: Peer,
    host: Option<HostId>,
    alias: Option<Peer>,
    /// What the peer has shown and we have checked.
    certificate: Option<CertificateDer<'static>>,
    accepted: bool,
    queue: mpsc::Sender<Vec<u8>>,
    kill: Arc<Notify>,
    known: Known,
}

/// Whether the control side knows of a connection: something came or went on it. Of others it is told
/// nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<AtomicBool>);

impl Known {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection's place in the registry; left on drop.
pub(super) struct Registered {
    pub(super) id: ConnectionId,
    pub(super) known: Known,
    /// Where it comes from, if it is one of the crowd.
    source: Option<IpAddr>,
    shared: Arc<Shared>,
}

/// What a new connection's task works with.
pub(super) struct Opened {
    pub(super) registered: Registered,
    /// What to send.
    pub(super) queue: mpsc::Receiver<Vec<u8>>,
    /// For what the connection itself answers (pong); weak, so that the queue ends with the entry.
    pub(super) answers: mpsc::WeakSender<Vec<u8>>,
    /// Notified when the connection is to end at once.
    pub(super) kill: Arc<Notify>,
}

/// What became of a message for the connection that a flow names.
pub(super) enum Queued {
    Yes,
    /// The peer does not read; its connection is being closed.
    Full,
    /// There is no such connection.
    Unknown,
}

impl Connections {
    /// Enters a connection, unless a limit forbids it.
    pub(super) fn register(
        &mut self,
        shared: &Arc<Shared>,
        peer: Peer,
        opener: Opener,
    ) -> Option<Opened> {
        if self.closed || self.open >= shared.settings.tcp_connections {
            return None;
        }
        let (accepted, host) = match opener {
            Opener::Peer => (true, None),
            Opener::We(host) => (false, host),
        };
        let ip = peer.1.ip();
        let source = Some(ip).filter(|&ip| accepted && !shared.gate.trusts(ip));
        if source.is_some() && !self.has_room_for(ip, shared) {
            return None;
        }
        self.open += 1;
        self.next_id += 1;
        let id = ConnectionId(self.next_id);
        if let Some(source) = source {
            self.crowd.enter(source, id);
        }
        let (sender, queue) = mpsc::channel(QUEUE_MESSAGES);
        let kill = Arc::new(Notify::new());
        let answers = sender.downgrade();
        let known = Known::default();
        let entry = Entry {
            peer,
            host,
            alias: None,
            certificate: None,
            accepted,
            queue: sender,
            kill: Arc::clone(&kill),
            known: known.clone(),
        };
        self.by_id.insert(id, entry);
        // A port behind a NAT may be another's the next time: over TLS only who has proven who it is
        // is called back, which is told by its alias.
        if !(accepted && peer.0.is_secure()) {
            self.by_peer.insert((peer, host), id);
        }
        let registered = Registered {
            id,
            known,
            source,
            shared: Arc::clone(shared),
        };
        Some(Opened {
            registered,
            queue,
            answers,
            kill,
        })
    }

    /// Whether a peer without a privilege may have one more. Where all that such peers may have is open,
    /// who has the most of it gives one up for who has less.
    fn has_room_for(&mut self, source: IpAddr, shared: &Shared) -> bool {
        let Settings {
            tcp_connections: all,
            tcp_connections_per_address: share,
            ..
        } = shared.settings;
        if !self.crowd.admits(source, share) {
            return false;
        }
        if self.crowd.open() < all - all / RESERVED_OF {
            return true;
        }
        let Some(id) = self.crowd.give_up_for(source) else {
            return false;
        };
        count(&shared.counters.tcp_refused);
        if let Some(entry) = self.by_id.get(&id) {
            entry.kill.notify_one();
        }
        self.remove(id);
        true
    }

    /// Queues a message on a connection.
    pub(super) fn queue(&mut self, id: ConnectionId, bytes: Vec<u8>) -> Queued {
        let Some(entry) = self.by_id.get(&id) else {
            return Queued::Unknown;
        };
        match entry.queue.try_send(bytes) {
            Ok(()) => {
                entry.known.note();
                Queued::Yes
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Queued::Unknown,
            Err(mpsc::error::TrySendError::Full(_)) => {
                entry.kill.notify_one();
                self.remove(id);
                Queued::Full
            }
        }
    }

    /// Whether the connection is still there.
    pub(super) fn contains(&self, id: ConnectionId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The connection to reuse for a peer (RFC 3261 §18.1.1), over TLS if it is to that host.
    pub(super) fn to(&self, peer: Peer, host: Option<HostId>) -> Option<ConnectionId> {
        self.by_peer.get(&(peer, host)).copied()
    }

    /// The connection whose peer says that it is reached at `peer`, if its certificate names whom we
    /// call (RFC 5922 §7): its word is good for its own name alone.
    pub(super) fn called_back(
        &self,
        peer: Peer,
        is_called: impl Fn(&CertificateDer<'static>) -> bool,
    ) -> Option<ConnectionId> {
        let id = *self.aliases.get(&peer)?;
        let shown = self.by_id.get(&id)?.certificate.as_ref();
        shown.is_some_and(is_called).then_some(id)
    }

    /// The peer of a connection has shown a certificate that we have checked.
    pub(super) fn prove(&mut self, id: ConnectionId, certificate: CertificateDer<'static>) {
        let Some(entry) = self.by_id.get_mut(&id) else {
            return;
        };
        entry.certificate = Some(certificate);
        self.crowd.spare(entry.peer.1.ip(), id);
    }

    /// The peer behind a connection is also reached at `peer` (RFC 5923 §5), which is nobody's
    /// yet. The last of its aliases counts.
    pub(super) fn alias(&mut self, id: ConnectionId, peer: Peer) {
        if self.aliases.contains_key(&peer) {
            return;
        }
        let Some(entry) = self.by_id.get_mut(&id) else {
            return;
        };
        if let Some(old) = entry.alias.replace(peer) {
            self.aliases.remove(&old);
        }
        self.aliases.insert(peer, id);
    }

    /// Takes a connection out: nothing more is queued on it, and it ends when the rest is sent.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.retire(id);
        self.by_id.remove(&id);
    }

    /// Does not reuse a connection any longer, but lets answers go out on it.
    pub(super) fn retire(&mut self, id: ConnectionId) {
        let Some(entry) = self.by_id.get_mut(&id) else {
            return;
        };
        let peer = (entry.peer, entry.host);
        if self.by_peer.get(&peer) == Some(&id) {
            self.by_peer.remove(&peer);
        }
        if let Some(alias) = entry.alias.take() {
            self.aliases.remove(&alias);
        }
    }

    /// Ends every connection of a source at once.
    pub(super) fn cut_off(&mut self, source: IpAddr) {
        let source = subscriber(source);
        self.end_where(|entry| subscriber(entry.peer.1.ip()) == source);
    }

    /// Ends at once the accepted connections whose peers are not heard any more. Those that we have
    /// opened stay: whom we call answers on them.
    pub(super) fn keep_admitted(&mut self, gate: &Gate) {
        self.end_where(|entry| entry.accepted && !gate.admits(entry.peer.0, entry.peer.1.ip()));
    }

    fn end_where(&mut self, ends: impl Fn(&Entry) -> bool) {
        let ids = self.by_id.iter().filter(|(_, entry)| ends(entry));
        for id in ids.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(entry) = self.by_id.get(&id) {
                entry.kill.notify_one();
            }
            self.remove(id);
        }
    }

    /// Shutdown: every connection ends when its queue is sent; no new ones.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.by_id.clear();
        self.by_peer.clear();
        self.aliases.clear();
    }

    /// How many are open, those included that are ending.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    fn leave(&mut self, registered: &Registered) {
        self.remove(registered.id);
        self.open -= 1;
        if let Some(source) = registered.source {
            self.crowd.leave(source, registered.id);
        }
    }
}

impl Registered {
    /// See [`Connections::retire`].
    pub(super) fn retire(&self) {
        self.shared.connections().retire(self.id);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.connections().leave(self);
    }
}
