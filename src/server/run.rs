//! `antiphon serve`: the loop, signals, shutdown.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{info, warn};

use super::control::Asked;
use super::core::StartError;
use super::room_files::write_all;
use super::statistics::{self, Statistics};
use super::{Core, banner, machine};
use crate::call::EndReason;
use crate::config::Config;
use crate::engine::{Bypassing, RealTime, Sending};
use crate::net::{pages, sys};
use crate::store::recorder::STOP_TIME;

/// How often a media thread that has no room for more commands is tried again.
const RETRY: Duration = Duration::from_millis(2);
/// How often the threads are looked at although no bell has rung: whether they still run.
const LOOK: Duration = Duration::from_millis(100);
/// Messages taken in one go.
const BURST: usize = 64;
/// How long a hang-up of everything may take.
const HANG_UP_TIME: Duration = Duration::from_secs(2);
/// How long anything may take once a second signal has come.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Why the server ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] io::Error),
    /// A bug in the media plane: running on without it would answer calls in silence.
    #[error("a media thread has ended; the recordings are closed")]
    MediaThread,
}

impl Core {
    /// Waits for the next thing and deals with it.
    pub async fn step(&mut self) {
        let poll = if self.engine.is_behind() { RETRY } else { LOOK };
        let poll_at = Instant::now() + poll;
        let wake = self
            .switch
            .poll_timeout()
            .map_or(poll_at, |t| t.min(poll_at));
        tokio::select! {
            Some(event) = self.net_events.next() => {
                self.on_net(event, Instant::now());
                for _ in 0..BURST {
                    let Some(event) = self.net_events.try_next() else { break };
                    self.on_net(event, Instant::now());
                }
            }
            Some(asked) = next(&mut self.questions) => self.on_asked(asked, Instant::now()),
            coming = self.programs.next() => self.on_http(coming, Instant::now()),
            Some(done) = self.done_rx.recv() => self.on_done(done, Instant::now()),
            () = self.ear.heard() => {}
            () = self.alarm.until(wake) => {}
        }
        let now = Instant::now();
        if self.switch.poll_timeout().is_some_and(|t| t <= now) {
            self.handle_timeout(now);
        }
        self.poll_media(now);
        self.answer_waiting(None, now);
        self.programs.keep_time();
        let load = self.switch.calls() + self.switch.transactions();
        if self.memory.look(load, now) {
            self.switch.shrink();
            sys::trim_memory();
        }
    }
}

/// The next question, where any can come.
async fn next(questions: &mut Option<mpsc::Receiver<Asked>>) -> Option<Asked> {
    match questions {
        Some(questions) => questions.recv().await,
        None => std::future::pending().await,
    }
}

impl Core {
    /// Goes on until no call is left, each BYE is answered, and all recordings are closed, at most until
    /// `deadline`, or until a media thread has ended: nothing more comes then.
    pub async fn finish(&mut self, deadline: Instant) {
        let left = |core: &Self| {
            let Self { switch, .. } = core;
            // What nobody wants is still to be removed.
            let awaited = core.recordings.iter().filter(|(number, recorded)| {
                recorded.is_of_call() || core.discarded.contains(*number)
            });
            let recordings = switch.room_recordings() + awaited.count();
            switch.calls() + switch.unanswered() + recordings
        };
        while left(self) > 0 && self.media_alive() && Instant::now() < deadline {
            tokio::select! {
                () = self.step() => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// One that wants the end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What is looked at after each step, while the server runs and while it ends.
struct Watch {
    statistics: Statistics,
    realtime: RealTime,
}

impl Watch {
    fn look(&mut self, core: &mut Core) -> Result<(), ServeError> {
        core.take_events();
        let now = Instant::now();
        if self.statistics.is_due(now) {
            let due = self.statistics.take(&core.engine_stats(), now);
            due.log(&self.realtime);
        }
        if core.media_alive() {
            Ok(())
        } else {
            Err(ServeError::MediaThread)
        }
    }
}

/// What comes before the first thread: memory in large pages, for which the program may start anew, and
/// the log.
pub fn prepare(config: &Config, path: Option<&Path>) {
    let wanted = config.media.huge_pages;
    let small = wanted.then(|| pages::use_huge_pages(path)).flatten();
    super::init_log(&config.server.log, config.server.log_format);
    if let Some(why) = small {
        info!(
            why,
            "memory stays in pages of 4 KB, at some percent more CPU time in large rooms \
             (media.huge_pages = false leaves it alone)"
        );
    }
}

/// Runs the server until it is told to stop. `path` is read again on SIGHUP.
pub async fn serve(config: Config, path: Option<PathBuf>) -> Result<(), ServeError> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
    };
    let shutdown = config.server.shutdown;
    let mut core = Core::start(config.clone())?;
    look_at_disks(&core, config.clone());
    core.open_control();
    core.open_http()?;
    print!("{}", banner(&config, core.started()));
    println!("ready");
    let began = Instant::now();
    let realtime = core.started().realtime.clone();
    if let Sending::Refused(why) = &core.started().sending {
        info!(
            why,
            "io_uring is not permitted here: each packet is sent with a system call of its own, at \
             somewhat more CPU time (media.io_uring = false leaves it alone)"
        );
    }
    if let Bypassing::Refused(why) = &core.started().bypass {
        warn!(
            why,
            "RTP goes through the network stack, and not past it as media.xdp_interface wants; it takes \
             CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, and an interface without another such program"
        );
    }
    if let Some(why) = &core.started().shortfall {
        warn!("less is possible at once than is configured: {why}");
    }
    let mut watch = Watch {
        statistics: Statistics::new(config.server.statistics, &realtime, began),
        realtime,
    };
    let mut served = run(&mut core, &mut signals, &mut watch, path.as_deref()).await;
    if served.is_ok() {
        served = stop(&mut core, &mut signals, &mut watch, shutdown).await;
    }
    close(&mut core, &mut signals).await;
    served?;
    statistics::log(&core.engine_stats(), began.elapsed(), "stopped");
    Ok(())
}

/// Until a signal wants the end.
async fn run(
    core: &mut Core,
    signals: &mut Signals,
    watch: &mut Watch,
    path: Option<&Path>,
) -> Result<(), ServeError> {
    loop {
        tokio::select! {
            () = core.step() => {}
            _ = signals.terminate.recv() => return Ok(()),
            _ = signals.interrupt.recv() => return Ok(()),
            _ = signals.hang_up.recv() => if let Some(path) = path {
                core.reload(path.to_owned());
            } else {
                warn!("SIGHUP: there is no configuration file to read again");
            }
        }
        watch.look(core)?;
    }
}

/// Takes no more calls, gives running ones their time, hangs up what is left. A second signal cuts the
/// time short.
async fn stop(
    core: &mut Core,
    signals: &mut Signals,
    watch: &mut Watch,
    time: Duration,
) -> Result<(), ServeError> {
    core.switch.stop_accepting();
    core.drain_http();
    core.close_control();
    info!(
        calls = core.switch.calls(),
        seconds = time.as_secs(),
        "shutting down: no new calls"
    );
    let deadline = Instant::now() + time;
    let mut at_once = false;
    while core.switch.calls() > 0 && Instant::now() < deadline && !at_once {
        tokio::select! {
            () = core.step() => {}
            () = signals.end() => at_once = true,
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        watch.look(core)?;
    }
    if core.switch.calls() > 0 {
        info!(calls = core.switch.calls(), at_once, "hanging up");
        let now = Instant::now();
        core.switch.hang_up_all(&EndReason::Shutdown, now);
        core.carry_out(now);
    }
    if !at_once {
        tokio::select! {
            () = core.finish(Instant::now() + HANG_UP_TIME) => {}
            () = signals.end() => at_once = true,
        }
    }
    if at_once {
        core.finish(Instant::now() + AT_ONCE).await;
    }
    watch.look(core)?;
    tokio::select! {
        () = core.close_http() => {}
        () = signals.end() => {}
        () = tokio::time::sleep(AT_ONCE), if at_once => {}
    }
    Ok(())
}

/// Throws away what killed servers have left, and says what is missing. Nobody waits for it: a disk may not
/// answer.
fn look_at_disks(core: &Core, config: Config) {
    let names = Arc::clone(&core.names);
    spawn_blocking(move || {
        for shortcoming in machine::shortcomings(&config) {
            warn!("{shortcoming}");
        }
        names.clear();
    });
}

/// Closes every recording. A signal cuts short the wait for a disk that does not answer.
async fn close(core: &mut Core, signals: &mut Signals) {
    let mut deadline = Instant::now() + STOP_TIME;
    let cut = core.cut_room_recordings(Instant::now());
    let writing = spawn_blocking(move || write_all(cut));
    let recorder = Arc::clone(&core.recorder);
    let stopping = spawn_blocking(move || recorder.stop(STOP_TIME));
    let stopped = awaited(stopping, &mut deadline, signals.end()).await;
    let mut closed = stopped == Some(true);
    if closed {
        let rest = spawn_blocking(core.last_work());
        closed = awaited(rest, &mut deadline, signals.end()).await.is_some();
    }
    closed &= awaited(writing, &mut deadline, signals.end())
        .await
        .is_some();
    if !closed {
        warn!("the disk does not answer: recordings under way end with what is on it");
    }
}

/// What a task that blocks comes to. It is waited for until the deadline, which `end` makes now: there
/// may be no thread left to run it on.
async fn awaited<T>(
    mut task: JoinHandle<T>,
    deadline: &mut Instant,
    end: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        done = &mut task => return done.ok(),
        () = end => *deadline = Instant::now(),
        () = tokio::time::sleep_until((*deadline).into()) => {}
    }
    tokio::time::timeout(AT_ONCE, task).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_is_waited_for_until_a_signal_or_the_deadline() {
        let mut deadline = Instant::now() + Duration::from_hours(1);
        let done = awaited(spawn_blocking(|| 5), &mut deadline, pending()).await;
        assert_eq!(done, Some(5));
        let (answer, disk) = std::sync::mpsc::channel::<()>();
        let hung = spawn_blocking(move || disk.recv().is_err());
        assert_eq!(awaited(hung, &mut deadline, ready(())).await, None);
        let (again, disk) = std::sync::mpsc::channel::<()>();
        let hung = spawn_blocking(move || disk.recv().is_err());
        // Nor for what comes behind it, any more.
        assert_eq!(awaited(hung, &mut deadline, pending()).await, None);
        drop((answer, again));
    }
}
