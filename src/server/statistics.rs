//! The media threads' figures in the log: every so often while there are calls, and at the end; and a
//! warning where the threads are late for want of real-time priority.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::engine::{EngineStats, RealTime};

/// Slots that are this late for one in a hundred are heard: the jitter buffers of phones do not
/// expect it from a server.
const LATE: Duration = Duration::from_millis(5);
/// The warning is not repeated within this time.
const WARN_AGAIN: Duration = Duration::from_mins(10);
/// How often lateness is looked at where the figures are not logged.
const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);
/// Fewer slots than this say nothing: one second of one leg.
const ENOUGH_SLOTS: u64 = 50;

/// What is due.
#[derive(Debug)]
pub(super) struct Due {
    /// The figures of the interval, to be logged.
    pub figures: Option<EngineStats>,
    /// The threads are late for want of priority: by so much for one slot in a hundred.
    pub late: Option<Duration>,
    /// How long the interval was.
    pub interval: Duration,
}

/// When the figures are due, and what has been told.
#[derive(Debug)]
pub(super) struct Statistics {
    /// None: only at the end.
    interval: Option<Duration>,
    has_priority: bool,
    began: Instant,
    before: EngineStats,
    warned: Option<Instant>,
}

impl Statistics {
    pub fn new(interval: Option<Duration>, realtime: &RealTime, now: Instant) -> Self {
        Self {
            interval,
            has_priority: matches!(realtime, RealTime::Granted(_)),
            began: now,
            before: EngineStats::default(),
            warned: None,
        }
    }

    /// Whether it is time to look: cheap enough for every turn of the loop.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.began + self.interval.unwrap_or(DEFAULT_INTERVAL)
    }

    /// Ends the interval.
    pub fn take(&mut self, stats: &EngineStats, now: Instant) -> Due {
        let interval = now - self.began;
        let figures = stats.since(&self.before);
        self.began = now;
        self.before = *stats;
        let ran = figures.lateness.count();
        let late = figures.lateness.quantile(0.99);
        let warn = !self.has_priority
            && ran >= ENOUGH_SLOTS
            && late > LATE
            && self.warned.is_none_or(|at| now >= at + WARN_AGAIN);
        if warn {
            self.warned = Some(now);
        }
        Due {
            figures: (self.interval.is_some() && ran > 0).then_some(figures),
            late: warn.then_some(late),
            interval,
        }
    }
}

impl Due {
    /// Writes the log.
    pub fn log(&self, realtime: &RealTime) {
        if let Some(figures) = &self.figures {
            log(figures, self.interval, "media");
        }
        if let Some(late) = self.late {
            let why = match realtime {
                RealTime::Refused(why) => why.as_str(),
                _ => "media.realtime_priority is 0",
            };
            warn!(
                lateness_p99_ms = milliseconds(late),
                why,
                "the media threads are late because they run without real-time priority: audio may \
                 stutter. Grant it with: {}",
                grant()
            );
        }
    }
}

/// How the priority is granted.
pub(super) fn grant() -> String {
    let program = std::env::current_exe();
    let program = program.map_or_else(|_| "antiphon".into(), |p| p.display().to_string());
    format!("sudo setcap cap_sys_nice+ep {program}")
}

/// One line with all figures.
pub(super) fn log(stats: &EngineStats, interval: Duration, message: &str) {
    let us = |d: Duration| d.as_micros() as u64;
    info!(
        seconds = (interval.as_secs_f64() * 10.0).round() / 10.0,
        slots = stats.length.count(),
        lateness_p50_us = us(stats.lateness.quantile(0.5)),
        lateness_p99_us = us(stats.lateness.quantile(0.99)),
        lateness_max_us = us(stats.lateness.max()),
        length_p50_us = us(stats.length.quantile(0.5)),
        length_p99_us = us(stats.length.quantile(0.99)),
        length_max_us = us(stats.length.max()),
        overruns = stats.overruns,
        skipped_ticks = stats.skipped_ticks,
        legs = stats.legs,
        bridges = stats.bridges,
        cpu_ms = stats.cpu.as_millis() as u64,
        send_failures = stats.send_failures,
        xdp_received = stats.bypass_received,
        xdp_sent = stats.bypass_sent,
        xdp_dropped = stats.bypass_dropped,
        stale_commands = stats.stale_commands,
        lost_events = stats.lost_events,
        "{message}"
    );
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Histogram;

    /// Slots of which some are late by `late_ms`.
    struct Threads(Histogram);

    impl Threads {
        fn run(&self, slots: u64, late_ms: u64) -> EngineStats {
            for n in 0..slots {
                let late = if n % 20 == 0 { late_ms } else { 0 };
                self.0.record(Duration::from_millis(late));
            }
            EngineStats {
                lateness: self.0.snapshot(),
                ..EngineStats::default()
            }
        }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_figures_are_due_while_slots_run() {
        let start = Instant::now();
        let every = Some(seconds(60));
        let mut statistics = Statistics::new(every, &RealTime::Granted(20), start);
        let threads = Threads(Histogram::default());
        assert!(!statistics.is_due(start + seconds(59)));
        assert!(statistics.is_due(start + seconds(60)));
        let due = statistics.take(&threads.run(1000, 0), start + seconds(60));
        assert_eq!(due.figures.map(|f| f.lateness.count()), Some(1000));
        assert!(!statistics.is_due(start + seconds(119)));
        // Nobody was there: nothing to be said.
        let due = statistics.take(&threads.run(0, 0), start + seconds(120));
        assert!(due.figures.is_none() && due.interval == seconds(60));
        let mut never = Statistics::new(None, &RealTime::Off, start);
        let due = never.take(&threads.run(1000, 0), start + seconds(60));
        assert!(due.figures.is_none());
    }

    #[test]
    fn late_threads_are_warned_of_every_ten_minutes_unless_they_have_priority() {
        let start = Instant::now();
        let refused = RealTime::Refused("Operation not permitted".into());
        for (realtime, late_ms, expected) in [
            (&refused, 20, vec![60, 660, 1260]),
            (&refused, 4, vec![]),
            (&RealTime::Off, 20, vec![60, 660, 1260]),
            (&RealTime::Granted(20), 20, vec![]),
        ] {
            let mut statistics = Statistics::new(None, realtime, start);
            let threads = Threads(Histogram::default());
            let warned: Vec<u64> = (1..=21)
                .map(|n| n * 60)
                .filter(|&s| {
                    let stats = threads.run(1000, late_ms);
                    statistics.take(&stats, start + seconds(s)).late.is_some()
                })
                .collect();
            assert_eq!(warned, expected, "{realtime:?}, {late_ms} ms");
        }
        // A handful of slots is no measure.
        let mut statistics = Statistics::new(None, &refused, start);
        let stats = Threads(Histogram::default()).run(20, 20);
        assert!(statistics.take(&stats, start + seconds(60)).late.is_none());
    }
}
