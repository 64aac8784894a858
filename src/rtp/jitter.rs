//! The store behind the playout: decoded samples on the extended timestamp line, and the
//! history of delays that decides how far behind the line to play.
//!
//! Sits after `rtp::session`, under `leg::playout`. All memory is taken at construction.

use std::ops::RangeInclusive;
use std::slice;

/// Samples by their position on the extended timestamp line, in a ring, each valid or missing.
///
/// Packets of any length, order and overlap fall into place; what lies before `start` is gone.
#[derive(Clone, Debug)]
pub struct JitterBuffer {
    samples: Box<[i16]>,
    /// A bit per sample of the ring.
    valid: Box<[u64]>,
    start: i64,
    end: i64,
}

/// What became of samples that were put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// At least one sample was missing before.
    Stored,
    /// All were there already.
    Duplicate,
    /// All lie before the start.
    Late,
    /// They end beyond the capacity; nothing was stored.
    Overflow,
}

/// The ring's indices are masked.
fn ring_size(capacity: usize) -> usize {
    capacity.next_power_of_two().max(64)
}

impl JitterBuffer {
    /// A buffer for at least `capacity` samples.
    pub fn new(capacity: usize) -> Self {
        let capacity = ring_size(capacity);
        Self {
            samples: vec![0; capacity].into(),
            valid: vec![0; capacity / 64].into(),
            start: 0,
            end: 0,
        }
    }

    /// The same as [`JitterBuffer::new`], in this one's memory where that has the size: no sample of
    /// this one can be read there.
    pub fn recycled(mut self, capacity: usize) -> Self {
        if self.capacity() != ring_size(capacity) {
            return Self::new(capacity);
        }
        self.restart(0);
        self
    }

    /// The position that is read next.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The end of what was stored; never before the start.
    pub fn end(&self) -> i64 {
        self.end.max(self.start)
    }

    /// The number of samples that fit.
    pub fn capacity(&self) -> usize {
        self.samples.len()
    }

    /// Forgets all samples, and goes to `start`.
    pub fn restart(&mut self, start: i64) {
        self.valid.fill(0);
        self.start = start;
        self.end = start;
    }

    /// Stores `samples` at position `at`; the part before the start is left out.
    pub fn put(&mut self, at: i64, samples: &[i16]) -> Put {
        self.put_with(at, samples.len(), |from, out| {
            out.copy_from_slice(&samples[from..from + out.len()]);
        })
    }

    /// The same for `len` samples that are written where they will lie: `write` is told which is
    /// the first that its slice has room for.
    pub fn put_with(
        &mut self,
        at: i64,
        len: usize,
        mut write: impl FnMut(usize, &mut [i16]),
    ) -> Put {
        let late = (self.start - at).max(0);
        if late >= len as i64 {
            return Put::Late;
        }
        let at = at + late;
        let late = late as usize;
        let len = len - late;
        let end = at + len as i64;
        if end - self.start > self.capacity() as i64 {
            return Put::Overflow;
        }
        let (valid, run) = self.run(at, len);
        if valid && run == len {
            return Put::Duplicate;
        }
        let index = self.index(at);
        let first = len.min(self.capacity() - index);
        write(late, &mut self.samples[index..index + first]);
        if first < len {
            write(late + first, &mut self.samples[..len - first]);
        }
        self.mark(at, len, true);
        self.end = self.end.max(end);
        Put::Stored
    }

    /// The memory that a packet of `len` samples at the end touches, as far as it is in one piece.
    pub fn next_piece(&self, len: usize) -> (&[i16], &[u64]) {
        let index = self.index(self.end());
        let end = (index + len).min(self.capacity());
        (
            &self.samples[index..end],
            &self.valid[index / 64..end.div_ceil(64)],
        )
    }

    /// Whether the sample at `at` is valid, and how many from there on, at most `max`, are alike.
    pub fn run(&self, at: i64, max: usize) -> (bool, usize) {
        let mut index = self.index(at);
        let valid = self.valid[index / 64] >> (index % 64) & 1 == 1;
        let max = max.min(self.capacity());
        // Nothing lies behind the end: a long gap need not be looked through.
        let stored = (self.end - at).clamp(0, max as i64) as usize;
        let mut run = 0;
        while run < stored {
            let (word, bit) = (index / 64, index % 64);
            let differs = if valid {
                !self.valid[word]
            } else {
                self.valid[word]
            } >> bit;
            let alike = (differs.trailing_zeros() as usize).min(64 - bit);
            run += alike;
            if alike < 64 - bit {
                break;
            }
            index = (index + alike) & (self.capacity() - 1);
        }
        if !valid && run >= stored {
            return (false, max);
        }
        (valid, run.min(max))
    }

    /// Copies the samples from `at` on, valid or not; at most the capacity.
    pub fn copy(&self, at: i64, out: &mut [i16]) {
        let index = self.index(at);
        let len = out.len();
        let first = len.min(self.capacity() - index);
        out[..first].copy_from_slice(&self.samples[index..index + first]);
        out[first..].copy_from_slice(&self.samples[..len - first]);
    }

    /// Moves the start forward, forgetting what lies before it.
    pub fn advance(&mut self, samples: usize) {
        if samples >= self.capacity() {
            let end = self.end;
            self.restart(self.start + samples as i64);
            self.end = end.min(self.start);
            return;
        }
        self.mark(self.start, samples, false);
        self.start += samples as i64;
    }

    /// Moves the start back by `samples`, where all is missing. Refused, with `false`, if what
    /// is stored would no longer fit.
    pub fn rewind(&mut self, samples: usize) -> bool {
        let start = self.start - samples as i64;
        if self.end() - start > self.capacity() as i64 {
            return false;
        }
        self.start = start;
        true
    }

    fn index(&self, at: i64) -> usize {
        // The capacity is a power of two: two's complement makes negative positions right too.
        at as usize & (self.capacity() - 1)
    }

    fn mark(&mut self, at: i64, len: usize, valid: bool) {
        let mut index = self.index(at);
        let mut left = len;
        while left > 0 {
            let (word, bit) = (index / 64, index % 64);
            let count = left.min(64 - bit);
            let mask = (u64::MAX >> (64 - count)) << bit;
            if valid {
                self.valid[word] |= mask;
            } else {
                self.valid[word] &= !mask;
            }
            left -= count;
            index = (index + count) & (self.capacity() - 1);
        }
    }
}

/// How early packets came, in samples against the tick that read them, over the last 20 s.
///
/// The decision follows the 99.9th percentile of delay: of about 1,000 ticks, the worst event is
/// left out. So a single stall costs nothing afterwards, and a second one within 20 s counts,
/// until packets have come within less than half of that variation for 4 s: the network has
/// recovered. If what was forgiven so comes again, it had not: the next recovery takes 8 s, and 16 s
/// at most; 20 s without a relapse halve that again.
#[derive(Clone, Debug)]
pub struct DelayHistory {
    /// Boxed: a tick touches one of them.
    buckets: Box<[Bucket; BUCKETS]>,
    current: usize,
    /// Ticks until the current bucket is full.
    left: u32,
    observed: u32,
    scale: Scale,
    summary: Summary,
    /// The variation that a recovery has forgiven, us.
    forgiven_us: Option<i32>,
    /// Relapses behind recoveries, as far as they count, and buckets since the last.
    relapses: u32,
    since_relapse: usize,
    stale: bool,
    /// The summary is the same wherever in here the ticks have moved to, us: a summary is dear, and a
    /// bridge moves for many ticks on end.
    same_within: RangeInclusive<i32>,
}

/// How lateness counts in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Samples of a tick, which are 20 ms.
    pub tick: i32,
    /// By how much the ticks have moved later since the beginning, us.
    pub moved_us: i32,
    /// How long before its tick a packet must be there to count as in time, us.
    pub guard_us: i32,
}

impl Scale {
    /// By how many samples a packet is early (negative: late) for the tick that reads it.
    fn early(&self, packet: Lateness) -> i32 {
        let missed = self.behind_us(packet).div_euclid(TICK_US);
        packet.offset - missed.saturating_mul(self.tick)
    }

    /// How much later than the last moment for the tick before the one that reads it.
    fn behind_us(&self, packet: Lateness) -> i32 {
        (packet.late_us - self.moved_us + self.guard_us).saturating_sub(1)
    }

    /// Where the ticks may move to and `early` is the same.
    fn same_within(&self, packet: Lateness) -> RangeInclusive<i32> {
        let later = self.behind_us(packet).rem_euclid(TICK_US);
        self.moved_us - (TICK_US - 1 - later)..=self.moved_us + later
    }
}

const TICK_US: i32 = 20_000;

/// When a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lateness {
    /// How much later than the tick before the one that reads it without delay, on the scale of
    /// ticks that have not moved, us.
    pub late_us: i32,
    /// How far into that tick it begins, samples.
    pub offset: i32,
}

/// What the history says, in samples of earliness; larger is earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The earliness that 99.9 % reach.
    pub typical: i32,
    /// The least of as long as a recovery takes: of the last 4 s, more after a relapse.
    pub recent: i32,
    /// The greatest, but for the half second that had the best.
    pub best: i32,
    /// Delay varied by less than half in that time: `recent` counts, and not `typical`.
    pub recovered: bool,
}

/// By how much delay varies, us.
#[derive(Clone, Copy, Debug, Default)]
struct Variation {
    /// In the last 20 s, but for the worst event.
    usual_us: i32,
    /// In as long as a recovery takes.
    lately_us: i32,
}

/// What came in half a second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    low: Low,
    /// The lowest that is no part of the event of `low`.
    second: Low,
    /// The earliest.
    high: Option<Lateness>,
    /// The least and the greatest lateness, us.
    span_us: (i32, i32),
}

/// A packet that came late.
#[derive(Clone, Copy, Debug)]
struct Low {
    packet: Option<Lateness>,
    tick: u32,
}

impl Low {
    const NONE: Low = Low {
        packet: None,
        tick: 0,
    };

    fn is_some(&self) -> bool {
        self.packet.is_some()
    }

    fn early(&self, scale: &Scale) -> i32 {
        self.packet.map_or(i32::MAX, |packet| scale.early(packet))
    }

    /// Whether the other is of another event.
    fn is_apart(&self, other: &Low) -> bool {
        let since = self.tick.wrapping_sub(other.tick);
        since.min(since.wrapping_neg()) > EVENT_TICKS
    }
}

const EMPTY: Bucket = Bucket {
    low: Low::NONE,
    second: Low::NONE,
    high: None,
    span_us: (i32::MAX, i32::MIN),
};

impl DelayHistory {
    /// An empty history.
    pub fn new(scale: Scale) -> Self {
        Self::in_memory(Box::new([EMPTY; BUCKETS]), scale)
    }

    /// The same, in this one's memory.
    pub fn recycled(mut self, scale: Scale) -> Self {
        self.buckets.fill(EMPTY);
        Self::in_memory(self.buckets, scale)
    }

    fn in_memory(buckets: Box<[Bucket; BUCKETS]>, scale: Scale) -> Self {
        Self {
            buckets,
            current: 0,
            left: BUCKET_TICKS,
            observed: 0,
            scale,
            summary: Summary::default(),
            forgiven_us: None,
            relapses: 0,
            since_relapse: 0,
            stale: false,
            same_within: i32::MIN..=i32::MAX,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        // In place: a stream may begin anew on the media thread.
        self.buckets.fill(EMPTY);
        self.current = 0;
        self.left = BUCKET_TICKS;
        self.observed = 0;
        self.summary = Summary::default();
        self.forgiven_us = None;
        self.relapses = 0;
        self.since_relapse = 0;
        self.stale = false;
        self.same_within = i32::MIN..=i32::MAX;
    }

    /// By how much the ticks have moved later since the beginning, us.
    pub fn move_to(&mut self, moved_us: i32) {
        self.scale.moved_us = moved_us;
        self.stale |= !self.same_within.contains(&moved_us);
    }

    /// The guard is another. Small changes do not count.
    pub fn set_guard(&mut self, guard_us: i32) {
        if self.scale.guard_us.abs_diff(guard_us) > GUARD_STEP_US {
            self.scale.guard_us = guard_us;
            self.stale = true;
        }
    }

    /// How many packets were observed since it was empty.
    pub fn observed(&self) -> u32 {
        self.observed
    }

    /// Notes a packet that was there at `tick`.
    pub fn observe(&mut self, packet: Lateness, tick: u32) {
        self.observed = self.observed.saturating_add(1);
        let scale = self.scale;
        let bucket = &mut self.buckets[self.current];
        let early = scale.early(packet);
        let seen = Low {
            packet: Some(packet),
            tick,
        };
        let same_event = bucket.low.is_some() && !seen.is_apart(&bucket.low);
        let (least, most) = bucket.span_us;
        bucket.span_us = (least.min(packet.late_us), most.max(packet.late_us));
        if early < bucket.low.early(&scale) {
            if !same_event {
                bucket.second = bucket.low;
            }
            bucket.low = seen;
            self.stale = true;
        } else if !same_event && early < bucket.second.early(&scale) {
            bucket.second = seen;
            self.stale = true;
        }
        if bucket.high.is_none_or(|high| early > scale.early(high)) {
            bucket.high = Some(packet);
            self.stale = true;
        }
    }

    /// The memory that the next packet touches.
    pub fn present(&self) -> &[Bucket] {
        slice::from_ref(&self.buckets[self.current])
    }

    /// Ends a tick.
    pub fn tick(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = BUCKET_TICKS;
            self.current = (self.current + 1) % BUCKETS;
            self.buckets[self.current] = EMPTY;
            self.stale = true;
            self.since_relapse += 1;
            if self.since_relapse >= BUCKETS {
                self.since_relapse = 0;
                self.relapses = self.relapses.saturating_sub(1);
            }
        }
    }

    /// The summary; `None` while all that is known of the last 20 s is a single event.
    pub fn summary(&mut self) -> Option<Summary> {
        if self.stale {
            self.stale = false;
            let (summary, variation) = self.summarise();
            self.summary = summary;
            self.same_within = self.same_within();
            self.learn_relapse(variation);
        }
        (self.summary.typical != i32::MAX).then_some(self.summary)
    }

    fn learn_relapse(&mut self, variation: Variation) {
        let comes_again = |forgiven_us| variation.lately_us >= forgiven_us / 2;
        if self.forgiven_us.is_some_and(comes_again) {
            self.relapses = (self.relapses + 1).min(MAX_RELAPSES);
            self.since_relapse = 0;
        }
        // Less than a tick is drift, and no delay that is given back and missed.
        let counts = self.summary.recovered && variation.usual_us >= TICK_US;
        self.forgiven_us = counts.then_some(variation.usual_us);
    }

    fn same_within(&self) -> RangeInclusive<i32> {
        let noted = |b: &Bucket| [b.low.packet, b.second.packet, b.high];
        let packets = self.buckets.iter().flat_map(noted).flatten();
        packets.fold(i32::MIN..=i32::MAX, |all, packet| {
            let one = self.scale.same_within(packet);
            *all.start().max(one.start())..=*all.end().min(one.end())
        })
    }

    fn summarise(&self) -> (Summary, Variation) {
        let scale = &self.scale;
        let lows = || self.buckets.iter().map(|b| b.low).filter(Low::is_some);
        let Some(worst) = lows().min_by_key(|low| low.early(scale)) else {
            let nothing = Summary {
                typical: i32::MAX,
                ..Summary::default()
            };
            return (nothing, Variation::default());
        };
        let seconds = self.buckets.iter().map(|b| b.second).filter(Low::is_some);
        let typical = lows()
            .chain(seconds)
            .filter(|low| low.is_apart(&worst))
            .min_by_key(|low| low.early(scale))
            .unwrap_or(Low::NONE);
        let recent = || {
            (0..RECENT_BUCKETS << self.relapses)
                .map(|back| &self.buckets[(self.current + BUCKETS - back) % BUCKETS])
        };
        let joined = |a: (i32, i32), b: &Bucket| (a.0.min(b.span_us.0), a.1.max(b.span_us.1));
        let all_us = self.buckets.iter().fold(EMPTY.span_us, joined);
        let recent_us = recent().fold(EMPTY.span_us, joined);
        let usual = typical
            .packet
            .map_or(i32::MIN, |packet| packet.late_us)
            .saturating_sub(all_us.0);
        let variation = Variation {
            usual_us: usual,
            lately_us: recent_us.1.saturating_sub(recent_us.0).max(0),
        };
        // Without the best bucket: one stray packet must not push all others against the bound.
        let mut highs = (i32::MIN, i32::MIN);
        for high in self.buckets.iter().filter_map(|b| b.high) {
            let early = scale.early(high);
            highs = (highs.0.max(early), highs.1.max(early.min(highs.0)));
        }
        let summary = Summary {
            typical: typical.early(scale),
            recent: recent()
                .map(|b| b.low.early(scale))
                .min()
                .unwrap_or(i32::MAX),
            best: if highs.1 == i32::MIN {
                highs.0
            } else {
                highs.1
            },
            recovered: recent_us.0 <= recent_us.1 && variation.lately_us < usual / 2,
        };
        (summary, variation)
    }
}

/// So much more or less guard changes nothing.
const GUARD_STEP_US: u32 = 200;
/// 40 buckets of half a second.
const BUCKETS: usize = 40;
const BUCKET_TICKS: u32 = 25;
/// 4 s, and half a second less where the current bucket has just begun: what is left of 5 s is for
/// giving the delay back.
const RECENT_BUCKETS: usize = 8;
/// Each doubles the time that a recovery takes: to 16 s at most, less than the history's 20 s.
const MAX_RELAPSES: u32 = 2;
/// Late packets within this many ticks have one cause.
const EVENT_TICKS: u32 = 5;

#[cfg(test)]
#[path = "jitter_tests.rs"]
mod tests;
