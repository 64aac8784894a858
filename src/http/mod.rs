//! HTTP/1.1 in front of the control API: sockets, TLS, keys, limits, WebSockets.
//!
//! On a thread and a runtime of its own, so that nobody who reads slowly, sends much or asks often
//! takes the core's time: it gets a request when that is whole, has shown its key and has found its
//! operation, by a bounded queue.
//!
//! ```text
//! accept --> [TLS] --> hyper --> serve: route, key, rate, body --Ask--> core (api) --Outcome--> answer
//! core --Published--> hub --> queue of each reader --> WebSocket
//! ```

mod accept;
pub mod auth;
mod hub;
mod limits;
mod pieces;
mod reader;
mod serve;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::api::{Operation, Published, Request, Response, Subscription};
use crate::net::sip::stream_listener;
use crate::net::tls::Tls;
use auth::Keys;
use hub::Hub;
use limits::{Connections, Rates};
pub use reader::Reader;

/// Requests that wait for the core.
const WAITING: usize = 256;
/// Events that wait for this thread, in bunches of one turn of the core.
const BUNCHES: usize = 4_096;
/// Jobs that read files at once; further ones wait.
const JOBS: usize = 8;
/// Answers longer than this, bytes, are few: recordings that are fetched.
const LONG: usize = 64 << 10;
/// Bytes of those that wait to be read, over all connections.
const MAX_UNREAD: usize = 256 << 20;
/// How long a shutdown waits for answers that are being written.
const DRAIN: Duration = Duration::from_secs(1);

/// Where to listen, and the limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Where others of this server listen on streams.
    pub beside: Vec<SocketAddr>,
    /// What TLS stands on; none: without TLS.
    pub security: Option<Arc<Tls>>,
    /// Who may.
    pub keys: Keys,
    /// From where `/health`, `/ready` and `/metrics` need no key.
    pub monitoring: Monitoring,
    /// Origins whose scripts may, and read what is answered: `https://example.org`, or `*`.
    pub cors_origins: Vec<String>,
    /// The longest body of a request, bytes.
    pub max_body: usize,
    /// How long a connection may be without a whole head of a request, its handshake included.
    pub header_time: Duration,
    /// How long a request may take, from its head to its answer; and its answer to be read.
    pub request_time: Duration,
    /// The most connections.
    pub connections: usize,
    /// The most from one address (of IPv6: one /64).
    pub connections_per_address: usize,
    /// The most requests a second of a key, or of an address without one; twice as many at once.
    pub requests_per_second: u32,
}

/// From where `/health`, `/ready` and `/metrics` need no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Monitoring {
    /// From this machine.
    #[default]
    Loopback,
    /// From anywhere.
    Anywhere,
    /// From nowhere.
    Nowhere,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            beside: Vec::new(),
            security: None,
            keys: Keys::default(),
            monitoring: Monitoring::Loopback,
            cors_origins: Vec::new(),
            max_body: 64 * 1024,
            header_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            connections: 1_024,
            connections_per_address: 256,
            requests_per_second: 100,
        }
    }
}

impl Settings {
    /// Whether IPv4 has a listener of this port: one on `[::]` would be in its way.
    fn is_apart(&self, address: SocketAddr) -> bool {
        let mut all = self.listen.iter().chain(&self.beside);
        address.port() != 0 && all.any(|other| other.is_ipv4() && other.port() == address.port())
    }
}

/// A request for the core.
#[derive(Debug)]
pub struct Ask {
    /// What is to be done.
    pub operation: &'static Operation,
    /// With what.
    pub request: Request,
    /// Where the answer goes; who asked may be gone.
    pub answer: oneshot::Sender<Outcome>,
}

/// What becomes of a request.
pub enum Outcome {
    /// An answer.
    Response(Response),
    /// What this finds, which may block.
    Job(Box<dyn FnOnce() -> Response + Send>),
    /// A reader of events.
    Reader(Reader),
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Outcome::Response(response) => response.fmt(f),
            Outcome::Job(_) => f.write_str("Job"),
            Outcome::Reader(reader) => reader.fmt(f),
        }
    }
}

/// What comes to the core.
#[derive(Debug)]
pub struct Inbox {
    /// Requests.
    pub asked: mpsc::Receiver<Ask>,
    /// Readers that are gone: one for each that there was.
    pub left: mpsc::UnboundedReceiver<Subscription>,
}

/// The server; gone with this.
#[derive(Debug)]
pub struct Http {
    published: mpsc::Sender<Vec<Published>>,
    stop: watch::Sender<bool>,
    done: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    listening: Vec<SocketAddr>,
}

/// What there was so far, and what there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpStats {
    /// Answers by class: 1xx to 5xx.
    pub answers: [u64; 5],
    /// Connections that were turned away.
    pub refused: u64,
    /// Connections now.
    pub connections: u64,
    /// Readers of events now.
    pub readers: u64,
    /// Readers that were cut off since they did not read.
    pub readers_dropped: u64,
    /// Events that went to a reader's queue.
    pub events: u64,
}

#[derive(Debug, Default)]
struct Counters {
    answers: [AtomicU64; 5],
    refused: AtomicU64,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    keys: RwLock<Keys>,
    asks: mpsc::Sender<Ask>,
    left: mpsc::UnboundedSender<Subscription>,
    hub: Hub,
    connections: Arc<Connections>,
    rates: Rates,
    jobs: Arc<Semaphore>,
    counters: Counters,
    /// Bytes of long answers that wait to be read.
    unread: Arc<AtomicUsize>,
    stop: watch::Receiver<bool>,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Http {
    /// Opens the listeners and starts the thread.
    pub fn start(settings: Settings) -> Result<(Self, Inbox), HttpError> {
        let mut listeners = Vec::new();
        for &address in &settings.listen {
            let listener = stream_listener(address, settings.is_apart(address));
            listeners.push(listener.map_err(|error| HttpError::Listen(address, error))?);
        }
        let listening = listeners.iter().filter_map(|l| l.local_addr().ok());
        let listening = listening.collect();
        let (asks, asked) = mpsc::channel(WAITING);
        let (left_tx, left) = mpsc::unbounded_channel();
        let (published, events) = mpsc::channel(BUNCHES);
        let (stop, stopping) = watch::channel(false);
        let (ended, done) = oneshot::channel();
        let shared = Arc::new(Shared {
            asks,
            left: left_tx,
            hub: Hub::default(),
            connections: Arc::new(Connections::new(
                settings.connections,
                settings.connections_per_address,
            )),
            rates: Rates::new(settings.requests_per_second),
            jobs: Arc::new(Semaphore::new(JOBS)),
            counters: Counters::default(),
            unread: Arc::default(),
            stop: stopping,
            keys: RwLock::new(settings.keys.clone()),
            settings,
        });
        let of_thread = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(JOBS)
            .build()?;
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(accept::run(listeners, of_thread, events));
                // Jobs may hang in a file system: nobody waits for them.
                runtime.shutdown_background();
                let _ = ended.send(());
            })?;
        let http = Self {
            published,
            stop,
            done: Some(done),
            thread: Some(thread),
            shared,
            listening,
        };
        Ok((http, Inbox { asked, left }))
    }

    /// Where it listens.
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// These keys are good from now on. Who reads events by one that is not, or is good for something
    /// else, is cut off.
    pub fn set_keys(&self, keys: Keys) {
        let known = self.shared.keys.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        self.shared.hub.end_keys(&known.not_kept(&keys));
        *known = keys;
    }

    /// Whether it speaks TLS.
    pub fn is_secure(&self) -> bool {
        self.shared.settings.security.is_some()
    }

    /// Tells readers; never waits. Where this thread is too far behind, they are told that they
    /// have missed something.
    pub fn publish(&self, events: Vec<Published>) {
        let (hub, count) = (&self.shared.hub, events.len());
        if count == 0 {
            return;
        }
        if !hub.await_events(count) {
            hub.overrun();
        } else if self.published.try_send(events).is_err() {
            hub.forget_events(count);
            hub.overrun();
        }
    }

    /// One more who reads: what is published from now on is for it, too.
    pub fn enter(&self, subscription: Subscription) -> Reader {
        Reader::enter(subscription, Arc::clone(&self.shared))
    }

    /// What there was so far.
    pub fn stats(&self) -> HttpStats {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (readers, readers_dropped, events) = self.shared.hub.stats();
        HttpStats {
            answers: std::array::from_fn(|i| load(&self.shared.counters.answers[i])),
            refused: load(&self.shared.counters.refused),
            connections: self.shared.connections.open() as u64,
            readers,
            readers_dropped,
            events,
        }
    }

    /// No new connections; answers that are under way are written, WebSockets closed.
    pub async fn stop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(done) = self.done.take() {
            let _ = tokio::time::timeout(DRAIN * 2, done).await;
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.is_finished()
        {
            let _ = thread.join();
        }
    }
}

/// Why there is no HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// A listener.
    #[error("http.listen: cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The thread, or its runtime.
    #[error("http: cannot start a thread: {0}")]
    Thread(#[from] io::Error),
}
