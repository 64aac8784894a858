//! A media thread's figures: written by it without locks, read by anybody.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::audio::MediaTime;
use crate::leg::MediaTotals;

/// Four buckets to each power of two of microseconds, from 1 us to over 16 s: a figure is exact to a
/// quarter of itself.
const BUCKETS: usize = 96;

/// A histogram of durations that one thread fills and others read.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            sum_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, value: Duration) {
        let us = value.as_micros().min(u128::from(u32::MAX)) as u32;
        self.counts[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(u64::from(us), Ordering::Relaxed);
        // One thread writes: no exchange is needed.
        if u64::from(us) > self.max_us.load(Ordering::Relaxed) {
            self.max_us.store(u64::from(us), Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: std::array::from_fn(|i| self.counts[i].load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
            max_us: self.max_us.load(Ordering::Relaxed),
        }
    }
}

/// 0 to 3 us each by themselves, then a quarter of a power of two each.
fn bucket(us: u32) -> usize {
    if us < 4 {
        return us as usize;
    }
    let power = us.ilog2();
    let quarter = (us >> (power - 2)) & 3;
    ((power as usize - 1) * 4 + quarter as usize).min(BUCKETS - 1)
}

/// The least that a bucket holds, us.
fn lower_us(bucket: usize) -> u64 {
    match bucket as u64 {
        b @ 0..4 => b,
        b => (4 + b % 4) << (b / 4 - 1),
    }
}

/// Counts by duration, four for each power of two of microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistogramSnapshot {
    counts: [u64; BUCKETS],
    sum_us: u64,
    max_us: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum_us: 0,
            max_us: 0,
        }
    }
}

impl HistogramSnapshot {
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }

    /// An upper bound of the quantile `q` (0 to 1), a quarter too high at most; zero of nothing.
    pub fn quantile(&self, q: f64) -> Duration {
        let wanted = (self.count() as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (i, &n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= wanted.max(1) {
                // The last bucket has no end.
                let end = if i + 1 < BUCKETS {
                    lower_us(i + 1) - 1
                } else {
                    u64::MAX
                };
                return Duration::from_micros(end.min(self.max_us));
            }
        }
        Duration::ZERO
    }

    /// What was counted since `before`, an earlier snapshot of the same. Its maximum is that of all
    /// time where it lies in the highest bucket of the interval, else that bucket's end.
    pub fn since(&self, before: &HistogramSnapshot) -> HistogramSnapshot {
        let counts: [u64; BUCKETS] =
            std::array::from_fn(|i| self.counts[i].saturating_sub(before.counts[i]));
        let highest = counts.iter().rposition(|&n| n > 0);
        let max_us = match highest {
            None => 0,
            Some(i) if i + 1 < BUCKETS => self.max_us.min(lower_us(i + 1) - 1),
            Some(_) => self.max_us,
        };
        HistogramSnapshot {
            counts,
            sum_us: self.sum_us.saturating_sub(before.sum_us),
            max_us,
        }
    }

    /// How many were counted in each bucket, with the least that it holds: ascending, those with any.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counted = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        counted.map(|(i, &n)| (Duration::from_micros(lower_us(i)), n))
    }

    fn add(&mut self, other: &HistogramSnapshot) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.sum_us += other.sum_us;
        self.max_us = self.max_us.max(other.max_us);
    }
}

/// One thread's figures.
#[derive(Debug, Default)]
pub(super) struct ThreadStats {
    pub stop: AtomicBool,
    pub lateness: Histogram,
    pub length: Histogram,
    pub overruns: AtomicU64,
    pub skipped: AtomicU64,
    pub legs: AtomicU64,
    pub bridges: AtomicU64,
    pub stale_commands: AtomicU64,
    pub lost_events: AtomicU64,
    pub send_failures: AtomicU64,
    pub bypass_received: AtomicU64,
    pub bypass_sent: AtomicU64,
    pub bypass_dropped: AtomicU64,
    pub cpu_us: AtomicU64,
    pub media: MediaCounts,
}

/// [`MediaTotals`] that one thread writes and others read.
#[derive(Debug, Default)]
pub(super) struct MediaCounts([AtomicU64; 9]);

impl MediaCounts {
    pub fn set(&self, totals: &MediaTotals) {
        let MediaTotals {
            received,
            lost,
            discarded,
            unauthenticated,
            sent,
            concealed_samples,
            concealed_us,
            jitter_us,
            receiving,
        } = *totals;
        let values = [
            received,
            lost,
            discarded,
            unauthenticated,
            sent,
            concealed_samples,
            concealed_us,
            jitter_us,
            receiving,
        ];
        for (to, value) in self.0.iter().zip(values) {
            to.store(value, Ordering::Relaxed);
        }
    }

    fn get(&self) -> MediaTotals {
        let [
            received,
            lost,
            discarded,
            unauthenticated,
            sent,
            concealed_samples,
            concealed_us,
            jitter_us,
            receiving,
        ] = std::array::from_fn(|n| self.0[n].load(Ordering::Relaxed));
        MediaTotals {
            received,
            lost,
            discarded,
            unauthenticated,
            sent,
            concealed_samples,
            concealed_us,
            jitter_us,
            receiving,
        }
    }
}

impl ThreadStats {
    /// A slot ran from `began` to `ended`; the next with work is due at millisecond `next_due`.
    pub fn ran(&self, began: MediaTime, ended: MediaTime, next_due: Option<u64>) {
        self.length.record(ended.since(began));
        if next_due.is_some_and(|ms| ended > MediaTime::from_millis(ms)) {
            self.overruns.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The figures of all media threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineStats {
    /// How late slots started.
    pub lateness: HistogramSnapshot,
    /// How long slots ran.
    pub length: HistogramSnapshot,
    /// Slots that ran past the start of the next one with work.
    pub overruns: u64,
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
    /// Packets received past the network stack.
    pub bypass_received: u64,
    /// Packets sent past it.
    pub bypass_sent: u64,
    /// Packets received past it and not heard: of another than the peer, damaged, or too many at once.
    pub bypass_dropped: u64,
    /// CPU time of the threads.
    pub cpu: Duration,
    /// The media of all calls so far, up to a second ago.
    pub media: MediaTotals,
}

impl EngineStats {
    pub(super) fn of<'a>(threads: impl Iterator<Item = &'a ThreadStats>) -> Self {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let mut all = EngineStats::default();
        for t in threads {
            all.lateness.add(&t.lateness.snapshot());
            all.length.add(&t.length.snapshot());
            all.overruns += load(&t.overruns);
            all.skipped_ticks += load(&t.skipped);
            all.legs += load(&t.legs);
            all.bridges += load(&t.bridges);
            all.stale_commands += load(&t.stale_commands);
            all.lost_events += load(&t.lost_events);
            all.send_failures += load(&t.send_failures);
            all.bypass_received += load(&t.bypass_received);
            all.bypass_sent += load(&t.bypass_sent);
            all.bypass_dropped += load(&t.bypass_dropped);
            all.cpu += Duration::from_micros(load(&t.cpu_us));
            all.media.replace(&MediaTotals::default(), &t.media.get());
        }
        all
    }

    /// The figures of the time since `before`; legs, bridges and the sums of media are those of now.
    pub fn since(&self, before: &EngineStats) -> EngineStats {
        EngineStats {
            lateness: self.lateness.since(&before.lateness),
            length: self.length.since(&before.length),
            overruns: self.overruns.saturating_sub(before.overruns),
            skipped_ticks: self.skipped_ticks.saturating_sub(before.skipped_ticks),
            legs: self.legs,
            bridges: self.bridges,
            stale_commands: self.stale_commands.saturating_sub(before.stale_commands),
            lost_events: self.lost_events.saturating_sub(before.lost_events),
            send_failures: self.send_failures.saturating_sub(before.send_failures),
            bypass_received: self.bypass_received.saturating_sub(before.bypass_received),
            bypass_sent: self.bypass_sent.saturating_sub(before.bypass_sent),
            bypass_dropped: self.bypass_dropped.saturating_sub(before.bypass_dropped),
            cpu: self.cpu.saturating_sub(before.cpu),
            media: self.media,
        }
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
        assert_eq!(s.quantile(0.5), Duration::from_micros(111));
        assert_eq!(s.quantile(1.0), Duration::from_millis(9));
        h.record(Duration::from_secs(100_000));
        assert_eq!(h.snapshot().count(), 101);
        assert_eq!(HistogramSnapshot::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn each_duration_has_its_bucket() {
        for us in (0..10_000).chain([1 << 20, (1 << 25) - 1]) {
            let b = bucket(us);
            assert!(lower_us(b) <= u64::from(us), "{us}");
            assert!(u64::from(us) < lower_us(b + 1), "{us}");
            // A quarter too high at most.
            assert!(
                lower_us(b + 1) - 1 <= u64::from(us) + u64::from(us) / 4,
                "{us}"
            );
        }
        assert_eq!(bucket(u32::MAX), BUCKETS - 1);
    }

    #[test]
    fn an_interval_has_what_came_in_it() {
        let h = Histogram::default();
        h.record(Duration::from_millis(50));
        let before = h.snapshot();
        for _ in 0..10 {
            h.record(Duration::from_micros(6));
        }
        let interval = h.snapshot().since(&before);
        assert_eq!(interval.count(), 10);
        assert_eq!(interval.max(), Duration::from_micros(6));
        assert_eq!(interval.quantile(0.99), Duration::from_micros(6));
        let buckets: Vec<_> = interval.buckets().collect();
        assert_eq!(buckets, [(Duration::from_micros(6), 10)]);
        assert_eq!(before.since(&before), HistogramSnapshot::default());
    }

    #[test]
    fn a_slot_that_runs_into_the_next_one_is_an_overrun() {
        let stats = ThreadStats::default();
        let us = MediaTime::from_micros;
        stats.ran(us(5_000), us(6_500), Some(7));
        stats.ran(us(5_000), us(9_000), None);
        assert_eq!(stats.overruns.load(Ordering::Relaxed), 0);
        stats.ran(us(5_000), us(7_001), Some(7));
        assert_eq!(stats.overruns.load(Ordering::Relaxed), 1);
        assert_eq!(stats.length.snapshot().count(), 3);
    }
}
