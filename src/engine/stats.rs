//! A media thread's figures: written by it without locks, read by anybody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Buckets: powers of two of microseconds, from 1 us to over 16 s.
const BUCKETS: usize = 25;

/// A histogram of durations that one thread fills and others read.
#[derive(Debug, Default)]
pub struct Histogram([AtomicU64; BUCKETS]);

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, value: Duration) {
        let us = value.as_micros().min(u128::from(u32::MAX)) as u32;
        let bucket = (32 - us.leading_zeros()) as usize;
        self.0[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot(std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed)))
    }
}

/// Counts by power of two of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot([u64; BUCKETS]);

impl HistogramSnapshot {
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// An upper bound of the quantile `q` (0 to 1), exact to a factor of two.
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = (self.count() as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (i, &n) in self.0.iter().enumerate() {
            seen += n;
            if seen >= wanted.max(1) {
                return Duration::from_micros((1u64 << i) - u64::from(i == 0));
            }
        }
        Duration::ZERO
    }

    fn add(&mut self, other: &HistogramSnapshot) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

/// One thread's figures.
#[derive(Debug, Default)]
pub(super) struct ThreadStats {
    pub stop: AtomicBool,
    pub lateness: Histogram,
    pub length: Histogram,
    pub skipped: AtomicU64,
    pub legs: AtomicU64,
    pub bridges: AtomicU64,
    pub stale_commands: AtomicU64,
    pub lost_events: AtomicU64,
    pub send_failures: AtomicU64,
    pub cpu_us: AtomicU64,
}

/// The figures of all media threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineStats {
    /// How late slots started.
    pub lateness: HistogramSnapshot,
    /// How long slots ran.
    pub length: HistogramSnapshot,
    /// Ticks that were skipped because the thread was late by more than a period.
    pub skipped_ticks: u64,
    /// Legs now.
    pub legs: u64,
    /// Bridges now.
    pub bridges: u64,
    /// Commands that came for a leg or bridge that was gone.
    pub stale_commands: u64,
    /// Events that were lost for want of room: a bug.
    pub lost_events: u64,
    /// Packets that the kernel did not take.
    pub send_failures: u64,
    /// CPU time of the threads.
    pub cpu: Duration,
}

impl EngineStats {
    pub(super) fn of<'a>(threads: impl Iterator<Item = &'a ThreadStats>) -> Self {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let mut all = EngineStats::default();
        for t in threads {
            all.lateness.add(&t.lateness.snapshot());
            all.length.add(&t.length.snapshot());
            all.skipped_ticks += load(&t.skipped);
            all.legs += load(&t.legs);
            all.bridges += load(&t.bridges);
            all.stale_commands += load(&t.stale_commands);
            all.lost_events += load(&t.lost_events);
            all.send_failures += load(&t.send_failures);
            all.cpu += Duration::from_micros(load(&t.cpu_us));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_bound_what_was_counted() {
        let h = Histogram::default();
        for _ in 0..99 {
            h.record(Duration::from_micros(100));
        }
        h.record(Duration::from_millis(9));
        let s = h.snapshot();
        assert_eq!(s.count(), 100);
        assert_eq!(s.quantile(0.5), Duration::from_micros(128));
        assert_eq!(s.quantile(1.0), Duration::from_micros(16384));
        h.record(Duration::from_secs(100_000));
        assert_eq!(h.snapshot().count(), 101);
    }
}
