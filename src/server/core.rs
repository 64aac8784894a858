//! Carries out what the switch decides.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::warn;

use super::announcements::Announcements;
use super::api::Programs;
use super::apps::{self, BuildError};
use super::build;
use super::control::{self, Asked, Control};
use super::descriptors::Shares;
use super::ear::Ear;
use super::files::{Done, Loading, Wanted};
use super::memory::Memory;
use super::names::Names;
use super::recordings::Recorded;
use super::reload::Reloading;
use crate::call::CallHandle;
use crate::config::Config;
use crate::dtls::IdentityError;
use crate::endpoint::{self, Scope};
use crate::engine::{self, Bell, Bypassing, Engine, RealTime, Sending};
use crate::http::HttpError;
use crate::leg::Leg;
use crate::net::Alarm;
use crate::net::media::{PortPool, SocketPair};
use crate::net::queues::{Inbox, queues};
use crate::net::resolve::Resolver;
use crate::net::sip::{Net, NetError, NetEvent};
use crate::net::sys;
use crate::net::tls::{Tls, TlsError};
use crate::store::prompts::{PromptError, Prompts};
use crate::store::recorder::{Recorder, RecorderSettings};
use crate::store::room_files::RoomFileTable;
use crate::store::voicemail::{MessageStore, StoreError};
use crate::switch::{Event, Input, Output, Switch};
use crate::worker::Command;

/// Datagrams that may wait for the core.
const DATAGRAMS: usize = 4096;
/// Messages of streams that may: the rest waits in the sockets.
const STREAM_MESSAGES: usize = 1024;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The certificate of DTLS.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A prompt.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// A route.
    #[error(transparent)]
    Routes(#[from] BuildError),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The voicemail directory.
    #[error("voicemail.directory: {0}")]
    Voicemail(#[from] StoreError),
    /// The directory of recordings.
    #[error("recording.directory: {path}: {source}")]
    Recordings {
        /// Where it would be.
        path: PathBuf,
        /// Why it cannot be.
        source: std::io::Error,
    },
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the start has found out, for people.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where it listens.
    pub listening: Vec<(crate::sip::transport::Transport, std::net::SocketAddr)>,
    /// Where HTTP listens, and whether as HTTP or HTTPS.
    pub http: Vec<(&'static str, std::net::SocketAddr)>,
    /// Whether the media threads have real-time priority.
    pub realtime: RealTime,
    /// How they send their packets.
    pub sending: Sending,
    /// Whether RTP takes a way past the network stack.
    pub bypass: Bypassing,
    /// The most calls at once.
    pub max_calls: usize,
    /// Open files that the system allows.
    pub descriptors: u64,
    /// Why there can be less at once than is configured, if so.
    pub shortfall: Option<String>,
    /// Whether there are mailboxes, and where to keep their messages.
    pub has_mailboxes: bool,
    /// Media threads.
    pub workers: usize,
}

/// Everything that one task owns.
pub struct Core {
    /// The signalling side.
    pub switch: Switch,
    /// The SIP transports.
    pub net: Net,
    /// What TLS stands on, shared with them.
    pub(super) security: Arc<Tls>,
    pub(super) net_events: Inbox,
    pub(super) done_rx: mpsc::UnboundedReceiver<Done>,
    pub(super) done: mpsc::UnboundedSender<Done>,
    /// Questions of the command line; without a control socket none come.
    pub(super) questions: Option<mpsc::Receiver<Asked>>,
    pub(super) control: Option<Control>,
    pub(super) programs: Programs,
    /// Made when somebody is called by name.
    pub(super) resolver: Option<Resolver>,
    pub(super) engine: Engine,
    pub(super) ear: Ear,
    pub(super) alarm: Alarm,
    pool: PortPool,
    sockets: HashMap<CallHandle, Arc<SocketPair>>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) store: Option<Arc<dyn MessageStore>>,
    pub(super) announcements: Arc<Announcements>,
    pub(super) prompts: Arc<Prompts>,
    pub(super) names: Arc<Names>,
    pub(super) config: Config,
    pub(super) reloading: Reloading,
    pub(super) memory: Memory,
    pub(super) started: Started,
    events: Vec<Event>,
    pub(super) recordings: HashMap<u64, Recorded>,
    /// The files of rooms' recordings.
    pub(super) room_files: RoomFileTable,
    /// Those of which nothing is to be kept.
    pub(super) discarded: HashSet<u64>,
    /// Calls for which files are being read.
    pub(super) loading: HashMap<CallHandle, Loading>,
    /// What is fetched, or said, for calls.
    pub(super) fetching: HashMap<CallHandle, AbortHandle>,
}

impl Core {
    /// Opens the listeners and starts the threads.
    pub fn start(mut config: Config) -> Result<Core, StartError> {
        let prompts = Prompts::load(
            config.prompts.directory.as_deref(),
            &config.prompts.language,
        )?;
        let tables = apps::tables(&config, &prompts)?;
        let descriptors = sys::raise_nofile().unwrap_or(1024);
        let mut rng = rand::rng();
        let addresses = rtp_addresses(&config);
        let pool = PortPool::new(
            config.media.rtp_ports.clone(),
            addresses,
            config.media.port_rest,
            rng.random(),
        );
        let shares = Shares::new(&config, descriptors, pool.capacity());
        config.limits.tcp_connections = shares.sip;
        config.http.connections = shares.http;
        let max_calls = shares.calls;
        let (net_tx, net_events) = queues(DATAGRAMS, STREAM_MESSAGES);
        let security = Arc::new(build::security(&config, false)?);
        let net = Net::bind(build::net_settings(&config, Arc::clone(&security)), net_tx)?;
        let (bell, line) = Bell::new()?;
        let engine = Engine::start(build::engine_settings(&config, max_calls), &bell)?;
        let ear = Ear::new(bell.clone(), line)?;
        let settings = RecorderSettings {
            space: super::recordings::space_limit(&config),
            ..RecorderSettings::for_calls(config.recording.rate, config.recording.stereo)
        };
        let recorder = Recorder::start_telling(settings, move || bell.ring())?;
        let (done, done_rx) = mpsc::unbounded_channel();
        let store = build::message_store(&config)?;
        let started = Started {
            listening: net.listening(),
            http: Vec::new(),
            realtime: engine.realtime().clone(),
            sending: engine.sending().clone(),
            bypass: engine.bypass().clone(),
            max_calls,
            descriptors,
            shortfall: shares.shortfall,
            has_mailboxes: store.is_some(),
            workers: build::workers(&config),
        };
        let settings = build::switch_settings(&config, max_calls);
        let mut switch = Switch::new(settings, tables.routes, rng.random());
        switch.set_menus(tables.menus);
        switch.set_room_table(tables.rooms);
        switch.set_dial(build::dial(&config));
        build::programs(&config, &mut switch);
        switch.set_key_source(StdRng::from_os_rng());
        switch.set_identity(build::identity()?);
        Ok(Core {
            switch,
            net,
            security: Arc::clone(&security),
            net_events,
            done_rx,
            done,
            questions: None,
            control: None,
            programs: Programs::new(&config),
            resolver: None,
            engine,
            ear,
            alarm: Alarm::new(),
            pool,
            sockets: HashMap::new(),
            recorder: Arc::new(recorder),
            store,
            announcements: Arc::new(Announcements::new(&config, &security)),
            prompts: Arc::new(prompts),
            names: Arc::new(Names::new(&config.recording.directory)),
            config,
            reloading: Reloading::default(),
            memory: Memory::default(),
            started,
            events: Vec::new(),
            recordings: HashMap::new(),
            room_files: RoomFileTable::default(),
            discarded: HashSet::new(),
            loading: HashMap::new(),
            fetching: HashMap::new(),
        })
    }

    /// Listens on the control socket, if there is to be one. The server does without it where it
    /// cannot be had.
    pub(super) fn open_control(&mut self) {
        let configured = self.config.server.control_socket.as_deref();
        let Some(path) = control::socket_path(configured) else {
            return;
        };
        match Control::listen(path.clone()) {
            Ok((control, questions)) => {
                self.control = Some(control);
                self.questions = Some(questions);
            }
            Err(error) => warn!(
                path = %path.display(), %error,
                "no control socket, so `antiphon bans` will not reach this server \
                 (server.control_socket)"
            ),
        }
    }

    /// Removes the control socket: what comes after this server may have it.
    pub(super) fn close_control(&mut self) {
        self.questions = None;
        self.control = None;
    }

    /// Whether TLS is listened for, by SIP or HTTP.
    pub(super) fn listens_for_tls(&self) -> bool {
        let of_sip = self.started.listening.iter().any(|(t, _)| t.is_secure());
        of_sip || self.programs.is_secure()
    }

    /// What the start has found out.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The figures of the media threads.
    pub fn engine_stats(&self) -> engine::EngineStats {
        self.engine.stats()
    }

    /// Whether all media threads run.
    pub fn media_alive(&self) -> bool {
        self.engine.is_alive()
    }

    /// What happened to calls since the last look.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Something came from a transport.
    pub fn on_net(&mut self, event: NetEvent, now: Instant) {
        let input = match event {
            NetEvent::Message { flow, message } => {
                self.programs.sip.received(&message);
                endpoint::Input::Message { flow, message }
            }
            NetEvent::Malformed { flow, error } => endpoint::Input::Malformed { flow, error },
            NetEvent::Closed { connection } => endpoint::Input::ConnectionClosed(connection),
            NetEvent::Failed(flow) => endpoint::Input::TransportFailed(flow),
        };
        self.switch.handle(Input::Sip(input), now);
        self.carry_out(now);
    }

    /// Looks at what the media threads and the writer have told.
    pub fn poll_media(&mut self, now: Instant) {
        let Core { engine, switch, .. } = self;
        engine.poll(|worker, event| switch.handle(Input::Media { worker, event }, now));
        while let Ok(event) = self.recorder.events().try_recv() {
            self.on_recorder(&event, now);
        }
        self.carry_out(now);
    }

    /// The time that the switch asked for has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.switch.handle_timeout(now);
        self.carry_out(now);
    }

    /// Does everything that the switch has decided.
    pub fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit {
                    flow,
                    bytes,
                    transaction,
                } => {
                    self.programs.sip.sent(&bytes);
                    let connection = self.net.send(flow, bytes);
                    if let (Some(request), Some(connection)) = (transaction, connection) {
                        self.switch.sent(request, connection);
                    }
                }
                Output::Reserve { call, address } => self.reserve(call, address, now),
                Output::Release { call } => {
                    if let Some(pair) = self.sockets.remove(&call) {
                        self.pool.release_port(pair.rtp_port, now);
                    }
                }
                Output::Open { worker, call, leg } => self.open(worker, call, leg),
                Output::Media { worker, command } => {
                    self.engine.send(worker, engine::Input::Command(command));
                }
                Output::Play {
                    call,
                    id,
                    items,
                    repeat,
                    gap,
                } => self.play(
                    Wanted {
                        call,
                        id,
                        repeat,
                        gap,
                    },
                    items,
                    now,
                ),
                Output::GiveUpPlay(call) => self.give_up_play(call),
                output @ Output::Record { .. } => self.record(output),
                output @ Output::Mailbox { .. } => self.mailbox(output),
                Output::Locate {
                    call,
                    call_id,
                    wanted,
                } => self.locate(call, call_id, wanted),
                Output::CloseRecording { recording, samples } => {
                    self.recorder.close(recording, samples);
                }
                Output::Resolve { dial, uri } => self.resolve(dial, uri),
                Output::ForgetNames(recordings) => self.forget_names(recordings),
                Output::PlayInBridge(wanted) => self.play_in_bridge(wanted, now),
                Output::RecordBridge(wanted) => self.record_bridge(wanted),
                Output::RoomFiles(wanted) => self.room_files(wanted),
                Output::DiscardRecording(recording) => self.discard(recording),
                Output::Banned(ban) => {
                    if ban.scope == Scope::All {
                        self.net.ban(ban.source, ban.until);
                    }
                    super::log::banned(&ban);
                    self.programs.api.on_ban(&ban, now);
                }
                Output::Unbanned(source) => {
                    self.net.lift_ban(source);
                    super::log::lifted(source);
                    self.programs.api.on_ban_lifted(source, now);
                }
                Output::Event(event) => {
                    super::log::event(&event);
                    self.programs.api.on_event(&event, &mut self.switch, now);
                    match &event {
                        Event::Stats { call, stats } => {
                            self.answer_waiting(Some((*call, stats)), now);
                        }
                        Event::Ended(summary) => self.give_up(summary.call),
                        Event::BridgePlayFailed { bridge, error } => {
                            let bridge = self.programs.api.bridge_name(*bridge);
                            super::log::bridge_play_failed(&bridge, error);
                        }
                        _ => {}
                    }
                    self.events.push(event);
                }
            }
        }
        self.publish();
    }

    fn reserve(&mut self, call: CallHandle, address: IpAddr, now: Instant) {
        if !self.engine.has_room() {
            let why = "the media threads are too far behind".to_owned();
            self.switch.handle(Input::MediaFailed { call, why }, now);
            return;
        }
        let input = match self.pool.reserve(address, now) {
            Ok(pair) => {
                let (rtp_port, rtcp_port) = (pair.rtp_port, pair.rtcp_port);
                self.sockets.insert(call, Arc::new(pair));
                Input::MediaReady {
                    call,
                    rtp_port,
                    rtcp_port,
                }
            }
            Err(error) => {
                warn!(%error, "no RTP ports for a call");
                Input::MediaFailed {
                    call,
                    why: error.to_string(),
                }
            }
        };
        self.switch.handle(input, now);
    }

    fn open(&mut self, worker: usize, call: CallHandle, leg: Box<Leg>) {
        let input = match self.sockets.get(&call) {
            Some(pair) => engine::Input::Open(leg, pair.clone()),
            // One that has no peer.
            None => engine::Input::Command(Command::Open(leg)),
        };
        self.engine.send(worker, input);
    }
}

/// Where RTP is bound: the addresses of the SIP listeners.
fn rtp_addresses(config: &Config) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = config
        .sip
        .udp
        .iter()
        .chain(&config.sip.tcp)
        .chain(&config.sip.tls)
        .chain(&config.sip.ws)
        .chain(&config.sip.wss)
        .map(std::net::SocketAddr::ip)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        addresses = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    }
    addresses
}
