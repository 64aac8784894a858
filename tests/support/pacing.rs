//! Whether this machine let the senders of a test send in time.
//!
//! A phone that got no processor sends late, and what the server makes of that is not what the
//! test asks. So each sender's waiting for a processor is read from the kernel (`schedstat`: time
//! spent on a run queue) every few milliseconds; a run in which one waited over 10 ms is void and
//! repeated, at most three times.
//!
//! A virtual machine's host can stop a processor without the kernel knowing. So a thread for each
//! processor, with a priority over all, sees how late it wakes: what a run has found wrong while a
//! processor stood still, or a sender waited, for over three milliseconds, is void as well. That is what
//! the server waits for in a young call (`leg::phase`); a later packet is concealed, as it should be.
//! What is wrong in each of three runs is wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use antiphon::audio::MediaTime;
use antiphon::net::sys;

/// A sender that was later than this makes a run void.
pub const LATE: Duration = Duration::from_millis(10);
/// Packets that were later than this make what was found wrong void; less a playout has to bear.
const BORNE: Duration = Duration::from_millis(3);
/// The priority of who watches for that: over the media threads'.
const WATCH_PRIORITY: u8 = 40;
/// Runs before the machine counts as too busy.
const RUNS: usize = 3;
/// How often the kernel is asked.
const LOOK: Duration = Duration::from_millis(5);

/// Watches processes while it lives.
#[derive(Debug)]
pub struct Watch {
    pids: Arc<Mutex<Vec<u32>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
    processors: Vec<JoinHandle<Duration>>,
}

/// How late a run was.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// The longest that a sender waited for a processor between two looks.
    pub senders: Duration,
    /// The longest that a processor stood still; zero where nobody may watch.
    pub still: Duration,
}

impl Watch {
    /// Starts to watch.
    pub fn start() -> Self {
        let pids = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (watched, stopped) = (Arc::clone(&pids), Arc::clone(&stop));
        let permitted = !on_time().is_empty();
        let thread = std::thread::spawn(move || {
            let mut last = std::collections::HashMap::new();
            let mut worst = 0;
            while !stopped.load(Ordering::Relaxed) {
                let pids: Vec<u32> = watched.lock().unwrap().clone();
                for (task, waited) in pids.into_iter().flat_map(|pid| waits(pid, permitted)) {
                    let before = last.insert(task, waited).unwrap_or(waited);
                    worst = worst.max(waited.saturating_sub(before));
                }
                // A sample is due at an interval: there is no event to wait for.
                std::thread::sleep(LOOK);
            }
            Duration::from_nanos(worst)
        });
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let watch = |_| {
            let stopped = Arc::clone(&stop);
            std::thread::spawn(move || stood_still(&stopped))
        };
        Self {
            processors: (0..processors).map(watch).collect(),
            pids,
            stop,
            thread,
        }
    }

    /// A sender.
    pub fn add(&self, pid: u32) {
        self.pids.lock().unwrap().push(pid);
    }

    /// What was seen.
    pub fn finish(self) -> Lateness {
        self.stop.store(true, Ordering::Relaxed);
        let still = self.processors.into_iter().map(|t| t.join().unwrap());
        Lateness {
            still: still.max().unwrap_or_default(),
            senders: self.thread.join().unwrap(),
        }
    }
}

/// Wakes each millisecond. How late at most, where the priority is permitted that says something.
fn stood_still(stop: &AtomicBool) -> Duration {
    let mut worst = Duration::ZERO;
    if sys::set_fifo(WATCH_PRIORITY).is_err() {
        return worst;
    }
    while !stop.load(Ordering::Relaxed) {
        let due = MediaTime::from_micros(sys::monotonic_now().as_micros() + 1000);
        sys::sleep_until(due);
        worst = worst.max(sys::monotonic_now().since(due));
    }
    worst
}

/// Runs a test until its senders were in time. What a void run found does not count, whether good
/// or bad.
pub fn in_time(run: impl Fn(&Watch) -> Result<(), String>) {
    let mut found = Vec::new();
    for _ in 0..RUNS {
        let watch = Watch::start();
        let result = run(&watch);
        let late = watch.finish();
        if late.senders <= LATE {
            match &result {
                Ok(()) => return,
                Err(error) if late.still.max(late.senders) <= BORNE => {
                    panic!("{error}\n({late:?})")
                }
                Err(_) => {}
            }
        }
        eprintln!("void: {late:?}; the run found {result:?}");
        found.push((result, late));
    }
    panic!(
        "wrong in each of {RUNS} runs, or machine too busy (a sender over {LATE:?} late, or a \
         processor that stood still for over {BORNE:?}): {found:#?}"
    );
}

/// Each sending thread of a process with the time that it has waited for a processor so far, ns:
/// those with a real-time priority where that is permitted, else all.
fn waits(pid: u32, permitted: bool) -> Vec<(String, u64)> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let of = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let waited = text.split_whitespace().nth(1)?.parse().ok()?;
        Some((is_real_time(&path), (path.display().to_string(), waited)))
    };
    let threads: Vec<_> = tasks.flatten().filter_map(|task| of(task.path())).collect();
    let senders = threads
        .into_iter()
        .filter(|(real_time, _)| *real_time || !permitted);
    senders.map(|(_, wait)| wait).collect()
}

/// proc(5), /proc/PID/stat: field 41 is the policy (1 FIFO, 2 RR); the second field, a name in
/// parentheses, may have blanks.
fn is_real_time(task: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
    let behind_name = text.rsplit(')').next().unwrap_or_default();
    matches!(behind_name.split_whitespace().nth(41 - 3), Some("1" | "2"))
}

/// Words before a sender's command that give it a real-time priority, where that is permitted:
/// below that of the server's media threads. It makes void runs rare; it decides nothing.
pub fn on_time() -> &'static [&'static str] {
    let granted = std::process::Command::new("chrt")
        .args(["-f", "5", "true"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if granted { &["chrt", "-f", "5"] } else { &[] }
}
