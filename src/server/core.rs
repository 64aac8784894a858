//! Carries out what the switch decides.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rand::Rng;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::build::{self, BuildError};
use super::reload::{ReloadError, Reloaded};
use crate::app::{PlayId, PlayItem};
use crate::audio::NARROWBAND;
use crate::audio::source::Source;
use crate::audio::tone::Tone;
use crate::call::CallHandle;
use crate::config::Config;
use crate::engine::{self, Engine, RealTime};
use crate::leg::player::Play;
use crate::leg::tap::{Tap, TapSettings};
use crate::leg::{Leg, LegId};
use crate::net::media::{PortPool, SocketPair};
use crate::net::sip::{Net, NetError, NetEvent};
use crate::net::sys;
use crate::store::layout;
use crate::store::prompts::{PromptError, Prompts};
use crate::store::recorder::{Recorder, RecorderEvent, RecorderSettings};
use crate::switch::{Event, Input, Output, Switch};
use crate::worker::Command;
use crate::{audio, endpoint};

/// SIP events that may wait for the core.
const NET_EVENTS: usize = 4096;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A prompt.
    #[error(transparent)]
    Prompts(#[from] PromptError),
    /// A route.
    #[error(transparent)]
    Routes(#[from] BuildError),
    /// A thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What the start has found out, for people.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where it listens.
    pub listening: Vec<(crate::sip::transport::Transport, std::net::SocketAddr)>,
    /// Whether the media threads have real-time priority.
    pub realtime: RealTime,
    /// The most calls at once.
    pub max_calls: usize,
    /// Open files that the system allows.
    pub descriptors: u64,
    /// Media threads.
    pub workers: usize,
}

/// What a blocking task has found.
pub(super) enum Done {
    Reloaded(PathBuf, Result<Box<Reloaded>, ReloadError>),
    Loaded {
        worker: usize,
        leg: LegId,
        call: CallHandle,
        id: PlayId,
        repeat: u32,
        sources: Result<Vec<Source>, String>,
    },
    Opened {
        worker: usize,
        leg: LegId,
        recording: u64,
        max: Option<Duration>,
        silence: Option<Duration>,
        file: Result<PathBuf, String>,
    },
}

/// Everything that one task owns.
pub struct Core {
    /// The signalling side.
    pub switch: Switch,
    /// The SIP transports.
    pub net: Net,
    pub(super) net_events: mpsc::Receiver<NetEvent>,
    pub(super) done_rx: mpsc::UnboundedReceiver<Done>,
    pub(super) done: mpsc::UnboundedSender<Done>,
    engine: Engine,
    pool: PortPool,
    sockets: HashMap<CallHandle, Arc<SocketPair>>,
    recorder: Arc<Recorder>,
    pub(super) prompts: Arc<Prompts>,
    pub(super) config: Config,
    started: Started,
    events: Vec<Event>,
    recordings: HashMap<u64, String>,
    /// Plays whose files are being read: the last of each leg.
    loading: HashMap<(usize, LegId), PlayId>,
}

impl Core {
    /// Opens the listeners and starts the threads.
    pub fn start(config: Config) -> Result<Core, StartError> {
        let prompts = Prompts::load(
            config.prompts.directory.as_deref(),
            &config.prompts.language,
        )?;
        let routes = build::routes(&config, &prompts)?;
        let descriptors = sys::raise_nofile().unwrap_or(1024);
        let mut rng = rand::rng();
        let addresses = rtp_addresses(&config);
        let pool = PortPool::new(
            config.media.rtp_ports.clone(),
            addresses,
            config.media.port_rest,
            rng.random(),
        );
        let max_calls = build::max_calls(&config, descriptors, pool.capacity());
        let (net_tx, net_events) = mpsc::channel(NET_EVENTS);
        let net = Net::bind(build::net_settings(&config), net_tx)?;
        let engine = Engine::start(build::engine_settings(&config, max_calls))?;
        let recorder = Recorder::start(RecorderSettings::default())?;
        let (done, done_rx) = mpsc::unbounded_channel();
        let started = Started {
            listening: net.listening(),
            realtime: engine.realtime().clone(),
            max_calls,
            descriptors,
            workers: build::workers(&config),
        };
        Ok(Core {
            switch: Switch::new(
                build::switch_settings(&config, max_calls),
                routes,
                rng.random(),
            ),
            net,
            net_events,
            done_rx,
            done,
            engine,
            pool,
            sockets: HashMap::new(),
            recorder: Arc::new(recorder),
            prompts: Arc::new(prompts),
            config,
            started,
            events: Vec::new(),
            recordings: HashMap::new(),
            loading: HashMap::new(),
        })
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
            NetEvent::Message { flow, message } => endpoint::Input::Message { flow, message },
            NetEvent::Malformed { flow, error } => endpoint::Input::Malformed { flow, error },
            NetEvent::Closed { connection } => endpoint::Input::ConnectionClosed(connection),
            NetEvent::Failed(flow) => endpoint::Input::TransportFailed(flow),
        };
        self.switch.handle(Input::Sip(input), now);
        self.carry_out(now);
    }

    /// Looks at what the media threads and the writer have told; every 2 ms while there are calls.
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

    /// A blocking task has ended.
    pub(super) fn on_done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Reloaded(path, result) => self.adopt(&path, result),
            Done::Loaded {
                worker,
                leg,
                call,
                id,
                repeat,
                sources,
            } => match sources {
                // Stopped, or replaced, meanwhile.
                _ if self.loading.get(&(worker, leg)) != Some(&id) => {}
                Ok(items) => self.start_play(worker, leg, id, items, repeat),
                Err(error) => {
                    self.switch
                        .handle(Input::PlayFailed { call, id, error }, now);
                    self.carry_out(now);
                }
            },
            Done::Opened {
                worker,
                leg,
                recording,
                max,
                silence,
                file,
            } => match file {
                Ok(path) => {
                    info!(recording, path = %path.display(), "recording");
                    let settings = TapSettings {
                        recording,
                        max_samples: max.map(samples),
                        silence_stop_samples: silence.map(samples),
                        start: audio::MediaTime::ZERO,
                    };
                    let tap = Tap::new(settings, self.recorder.sender());
                    self.media(worker, Command::Record(leg, tap));
                }
                Err(error) => {
                    self.recordings.remove(&recording);
                    self.switch
                        .handle(Input::RecordingFailed { recording, error }, now);
                    self.carry_out(now);
                }
            },
        }
    }

    /// Does everything that the switch has decided.
    pub fn carry_out(&mut self, now: Instant) {
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => self.net.send(flow, bytes),
                Output::Reserve { call, address } => self.reserve(call, address, now),
                Output::Release { call } => {
                    if let Some(pair) = self.sockets.remove(&call) {
                        self.pool.release_port(pair.rtp_port, now);
                    }
                }
                Output::Open { worker, call, leg } => self.open(worker, call, leg),
                Output::Media { worker, command } => {
                    if let Command::StopPlay(leg) | Command::Close(leg) = &command {
                        // What is still being loaded for the leg is not wanted any more.
                        self.loading.remove(&(worker, *leg));
                    }
                    self.media(worker, command);
                }
                output @ Output::Play { .. } => self.play(output, now),
                output @ Output::Record { .. } => self.record(output),
                Output::CloseRecording { recording, samples } => {
                    self.recorder.close(recording, samples);
                }
                Output::Event(event) => {
                    super::log::event(&event);
                    self.events.push(event);
                }
            }
        }
    }

    /// Ends every recording properly; nothing is written after.
    pub fn close_recordings(&mut self) {
        if let Some(recorder) = Arc::get_mut(&mut self.recorder) {
            recorder.stop();
        }
        while let Ok(event) = self.recorder.events().try_recv() {
            self.log_closed(&event);
        }
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
        if let Some(pair) = self.sockets.get(&call) {
            self.engine
                .send(worker, engine::Input::Open(leg, pair.clone()));
        }
    }

    fn media(&mut self, worker: usize, command: Command) {
        self.engine.send(worker, engine::Input::Command(command));
    }

    /// What is in memory starts at once: a stop that follows must not overtake it. Files are read
    /// elsewhere.
    fn play(&mut self, output: Output, now: Instant) {
        let Output::Play {
            worker,
            leg,
            call,
            id,
            items,
            repeat,
        } = output
        else {
            return;
        };
        self.loading.insert((worker, leg), id);
        let blocks = items.iter().any(|i| matches!(i, PlayItem::File(_)));
        let load = move |prompts: &Prompts| Done::Loaded {
            worker,
            leg,
            call,
            id,
            repeat,
            sources: sources(&items, prompts),
        };
        let prompts = self.prompts.clone();
        if blocks {
            let done = self.done.clone();
            // Refused only when the core is gone.
            tokio::task::spawn_blocking(move || {
                let _ = done.send(load(&prompts));
            });
        } else {
            self.on_done(load(&prompts), now);
        }
    }

    fn start_play(
        &mut self,
        worker: usize,
        leg: LegId,
        id: PlayId,
        items: Vec<Source>,
        repeat: u32,
    ) {
        let play = Box::new(Play {
            id: u64::from(id.0),
            items,
            repeat,
            gap_samples: 0,
        });
        self.media(worker, Command::Play(leg, play));
    }

    fn record(&mut self, output: Output) {
        let Output::Record {
            worker,
            leg,
            recording,
            file,
            trusted,
            max,
            silence,
            caller,
            call_id,
        } = output
        else {
            return;
        };
        let directory = self.config.recording.directory.clone();
        let path = match file {
            Some(file) if trusted => file,
            Some(file) => {
                let name = layout::sanitise(&file.to_string_lossy());
                directory.join(format!("{name}.wav"))
            }
            None => layout::recording_path(&directory, SystemTime::now(), &caller, &call_id),
        };
        let min_free = self.config.recording.min_free_mb * 1_000_000;
        let recorder = self.recorder.clone();
        let done = self.done.clone();
        self.recordings.insert(recording, call_id);
        tokio::task::spawn_blocking(move || {
            let file = free_space(&path, min_free).and_then(|()| {
                recorder
                    .open(recording, &path, NARROWBAND)
                    .map_err(|e| e.to_string())
            });
            drop(recorder);
            // Refused only when the core is gone.
            let _ = done.send(Done::Opened {
                worker,
                leg,
                recording,
                max,
                silence,
                file,
            });
        });
    }

    fn log_closed(&mut self, event: &RecorderEvent) {
        let call_id = match event {
            RecorderEvent::Closed { id, .. }
            | RecorderEvent::RolledOver { id, .. }
            | RecorderEvent::Failed { id, .. } => self.recordings.remove(id),
        };
        log_recorder(event, call_id.as_deref());
    }

    fn on_recorder(&mut self, event: &RecorderEvent, now: Instant) {
        match event {
            RecorderEvent::Closed { .. } => self.log_closed(event),
            RecorderEvent::RolledOver { id, .. } => {
                log_recorder(event, self.recordings.get(id).map(String::as_str));
            }
            RecorderEvent::Failed {
                id, path, error, ..
            } => {
                let call_id = self.recordings.remove(id);
                log_recorder(event, call_id.as_deref());
                let input = Input::RecordingFailed {
                    recording: *id,
                    error: format!("{}: {error}", path.display()),
                };
                self.switch.handle(input, now);
            }
        }
    }
}

fn log_recorder(event: &RecorderEvent, call_id: Option<&str>) {
    let call_id = call_id.unwrap_or("-");
    match event {
        RecorderEvent::Closed {
            path,
            samples,
            overflow_filled,
            ..
        } => info!(
            call_id,
            path = %path.display(),
            seconds = *samples as f64 / f64::from(NARROWBAND),
            filled_samples = overflow_filled,
            "recording closed"
        ),
        RecorderEvent::RolledOver { full, path, .. } => info!(
            call_id,
            full = %full.display(),
            path = %path.display(),
            "recording goes on in another file"
        ),
        RecorderEvent::Failed {
            path,
            error,
            samples,
            ..
        } => warn!(
            call_id,
            path = %path.display(),
            error,
            samples,
            "recording broke off; what is written is valid"
        ),
    }
}

fn samples(length: Duration) -> u64 {
    length.as_millis() as u64 * u64::from(NARROWBAND) / 1000
}

fn sources(items: &[PlayItem], prompts: &Prompts) -> Result<Vec<Source>, String> {
    items
        .iter()
        .map(|item| match item {
            PlayItem::Prompt(name) => prompts
                .get(name)
                .map(|p| p.source())
                .ok_or_else(|| format!("there is no prompt {name:?}")),
            PlayItem::File(path) => prompts.load_file(path).map_err(|e| e.to_string()),
            PlayItem::Tone {
                hz,
                level_dbm0,
                length,
            } => Ok(Source::Tone {
                tone: Tone {
                    frequency_hz: *hz,
                    second_hz: None,
                    level_dbm0: *level_dbm0,
                },
                samples: samples(*length),
            }),
            PlayItem::Silence(length) => Ok(Source::Silence {
                samples: samples(*length),
            }),
        })
        .collect()
}

/// Refuses a recording where the disk has less than `min` bytes left.
fn free_space(path: &std::path::Path, min: u64) -> Result<(), String> {
    if min == 0 {
        return Ok(());
    }
    let existing = path
        .ancestors()
        .skip(1)
        .find(|p| p.exists() || p.as_os_str().is_empty());
    let directory = match existing {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => std::path::Path::new("."),
    };
    match sys::free_bytes(directory) {
        Ok(free) if free < min => Err(format!(
            "{}: {} MB free, recording.min_free_mb is {}",
            directory.display(),
            free / 1_000_000,
            min / 1_000_000
        )),
        // What cannot be asked is not refused: the write itself will tell.
        _ => Ok(()),
    }
}

/// Where RTP is bound: the addresses of the SIP listeners.
fn rtp_addresses(config: &Config) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = config
        .sip
        .udp
        .iter()
        .chain(&config.sip.tcp)
        .map(std::net::SocketAddr::ip)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        addresses = vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    }
    addresses
}
