//! Media threads: each drives one worker by the clock.
//!
//! Commands go in and events come out by bounded channels. The threads look at the commands when the
//! clock wakes them, so that no system call is spent on waking them; a [`Bell`] tells the control
//! side of events. A thread sleeps until the next slot with work (absolute time, so that being late
//! once does not shift what follows); a tick that is late by more than a whole period is counted
//! and skipped.

mod bell;
mod bypass;
mod drain;
mod outbound;
mod sockets;
mod stats;
mod thread;

pub use bell::Bell;
pub use stats::{EngineStats, Histogram, HistogramSnapshot};

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::leg::Leg;
use crate::net::media::{SendRing, SocketPair};
use crate::net::sys::xdp;
use crate::worker::{Command, Event, Worker, event_capacity};
use sockets::Sockets;
use stats::ThreadStats;
use thread::{MediaThread, Told};

/// Commands that fit between two polls of a media thread; what does not fit waits on the control
/// side.
const COMMANDS: usize = 4096;
/// Commands that may wait on the control side before a new call is refused.
const MAX_BACKLOG: usize = 65_536;

/// How the engine is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Media threads.
    pub workers: usize,
    /// Places for legs in each.
    pub legs_per_worker: usize,
    /// Places for bridges in each.
    pub bridges_per_worker: usize,
    /// SCHED_FIFO priority to ask for, 1 to 99; none: normal scheduling.
    pub realtime_priority: Option<u8>,
    /// Whether packets may be sent many at once by io_uring.
    pub io_uring: bool,
    /// The network interface that RTP takes past the network stack, if any (AF_XDP).
    pub bypass: Option<String>,
}

/// What is sent to a media thread.
#[derive(Debug)]
pub enum Input {
    /// A leg with its sockets. The control side keeps a reference to them until the leg has closed,
    /// so that they are never closed on the media thread.
    Open(Box<Leg>, Arc<SocketPair>),
    /// Anything else.
    Command(Command),
}

/// Whether the media threads got real-time priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealTime {
    /// All of them, at this priority.
    Granted(u8),
    /// It was refused: the system's reason.
    Refused(String),
    /// It was not asked for.
    Off,
}

/// How the media threads send their packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Many with one system call, by io_uring.
    Together,
    /// Each with a system call of its own, since io_uring was refused: the system's reason.
    Refused(String),
    /// The same since it is so wanted.
    OneByOne,
}

#[derive(Debug)]
struct Handle {
    inputs: Sender<Input>,
    events: Receiver<Event>,
    backlog: VecDeque<Input>,
    stats: Arc<ThreadStats>,
    thread: Option<JoinHandle<()>>,
}

/// The media threads, seen from the control side.
#[derive(Debug)]
pub struct Engine {
    handles: Vec<Handle>,
    realtime: RealTime,
    sending: Sending,
    bypass: Bypassing,
}

/// Whether RTP takes a way past the network stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypassing {
    /// By this interface, as far as it comes by that.
    On(String),
    /// It was refused: why.
    Refused(String),
    /// It is not wanted.
    Off,
}

impl Engine {
    /// Starts the media threads. They ring the bell when there is something to [`Engine::poll`].
    pub fn start(settings: Settings, bell: &Bell) -> io::Result<Engine> {
        Self::start_confined(settings, bell, || {})
    }

    /// The same; each thread calls `confine` on itself before its first tick, when all that it
    /// asks of the system besides the clock and its sockets is behind it. It is the place to take
    /// away rights from the thread: tests put a seccomp filter there.
    pub fn start_confined(settings: Settings, bell: &Bell, confine: fn()) -> io::Result<Engine> {
        crate::audio::polyphase::prepare();
        let mut handles = Vec::with_capacity(settings.workers);
        let mut realtime = RealTime::Off;
        let mut sending = Sending::OneByOne;
        let (mut ports, bypass) = match settings.bypass {
            None => (Vec::new(), Bypassing::Off),
            Some(interface) => match xdp::open(&interface, settings.workers) {
                Ok(ports) => (ports, Bypassing::On(interface)),
                Err(error) => (Vec::new(), Bypassing::Refused(error.to_string())),
            },
        };
        // The first thread's is the last.
        ports.reverse();
        for index in 0..settings.workers {
            let (inputs, input_rx) = bounded(COMMANDS);
            let (event_tx, events) = bounded(event_capacity(settings.legs_per_worker));
            let (started_tx, started) = bounded(1);
            let stats = Arc::new(ThreadStats::default());
            let worker = Worker::new(
                settings.legs_per_worker,
                settings.bridges_per_worker,
                event_tx.clone(),
            );
            let told = Told::new(event_tx, bell.clone());
            let ring = settings
                .io_uring
                .then(|| SendRing::new(settings.legs_per_worker));
            match &ring {
                Some(Err(error)) => sending = Sending::Refused(error.to_string()),
                Some(Ok(_)) if index == 0 => sending = Sending::Together,
                _ => {}
            }
            let ring = ring.and_then(Result::ok);
            let sockets = Sockets::new(settings.legs_per_worker, ring, ports.pop());
            let media = MediaThread::new(worker, input_rx, told, sockets, stats.clone());
            let thread = std::thread::Builder::new()
                .name(format!("media-{index}"))
                .spawn(move || media.run(settings.realtime_priority, &started_tx, confine))?;
            realtime = started.recv().unwrap_or(RealTime::Off);
            handles.push(Handle {
                inputs,
                events,
                backlog: VecDeque::new(),
                stats,
                thread: Some(thread),
            });
        }
        Ok(Engine {
            handles,
            realtime,
            sending,
            bypass,
        })
    }

    /// Whether the threads got real-time priority.
    pub fn realtime(&self) -> &RealTime {
        &self.realtime
    }

    /// How the threads send their packets.
    pub fn sending(&self) -> &Sending {
        &self.sending
    }

    /// Whether RTP goes past the network stack.
    pub fn bypass(&self) -> &Bypassing {
        &self.bypass
    }

    /// Whether the workers can take another call's commands.
    pub fn has_room(&self) -> bool {
        self.handles.iter().all(|h| h.backlog.len() < MAX_BACKLOG)
    }

    /// Whether something waits for room with a media thread, which rings no bell when it has some.
    pub fn is_behind(&self) -> bool {
        self.handles.iter().any(|h| !h.backlog.is_empty())
    }

    /// Whether all threads run: one that has ended has met a bug.
    pub fn is_alive(&self) -> bool {
        let ended = |h: &Handle| h.thread.as_ref().is_none_or(JoinHandle::is_finished);
        !self.handles.iter().any(ended)
    }

    /// Sends to a media thread, without blocking; the order is kept.
    pub fn send(&mut self, worker: usize, input: Input) {
        if let Some(handle) = self.handles.get_mut(worker) {
            handle.backlog.push_back(input);
            handle.flush();
        }
    }

    /// Takes what the media threads have told, and hands over what waited for them. To be called
    /// when the bell has rung, and every 2 ms or so while the engine [is behind](Self::is_behind).
    pub fn poll(&mut self, mut each: impl FnMut(usize, Event)) {
        for (worker, handle) in self.handles.iter_mut().enumerate() {
            handle.flush();
            // Bounded by what fits: a thread that tells without end must not hold up the caller.
            for _ in 0..handle.events.len() {
                match handle.events.try_recv() {
                    Ok(event) => each(worker, event),
                    Err(_) => break,
                }
            }
        }
    }

    /// The threads' own figures, added up.
    pub fn stats(&self) -> EngineStats {
        EngineStats::of(self.handles.iter().map(|h| &*h.stats))
    }
}

impl Handle {
    fn flush(&mut self) {
        while let Some(input) = self.backlog.pop_front() {
            match self.inputs.try_send(input) {
                Err(TrySendError::Full(input)) => {
                    self.backlog.push_front(input);
                    return;
                }
                // Where the thread has ended, nobody is left to act on it.
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.stats.stop.store(true, Ordering::Relaxed);
        }
        for handle in &mut self.handles {
            if let Some(thread) = handle.thread.take() {
                // A thread that panicked has said so on its own.
                let _ = thread.join();
            }
        }
    }
}
