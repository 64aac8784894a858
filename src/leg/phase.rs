//! When in the 20 ms a party's packets come, against the media clock.
//!
//! Sits beside the way in. The worker puts a bridge just behind the packets of who talks: this
//! tells where that is.

use crate::audio::{MediaTime, TICK_MS};

/// Follows the phase of arrivals, and how much later than that they come. As for the playout, the
/// worst event of some 20 s is left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArrivalPhase {
    /// The mean phase, us within the tick.
    phase_us: i64,
    packets: u32,
    /// The latest behind the mean of each hundred packets, in turn.
    buckets: [Bucket; BUCKETS],
    /// How much behind the mean all are there but for the worst event, us.
    late_us: i32,
}

/// The latest packet, and the latest that is no part of the same event.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    worst: Late,
    second: Late,
}

#[derive(Clone, Copy, Debug, Default)]
struct Late {
    us: i32,
    packet: u32,
}

impl Late {
    fn is_apart(self, other: Late) -> bool {
        self.packet.abs_diff(other.packet) > EVENT_PACKETS
    }
}

impl ArrivalPhase {
    /// Takes in the arrival of a packet whose length is a whole number of ticks.
    pub fn observe(&mut self, arrival: MediaTime) {
        let at = (arrival.as_micros() % TICK_US as u64) as i64;
        if self.packets == 0 {
            self.phase_us = at;
        }
        self.packets = self.packets.saturating_add(1);
        let deviation = wrap(at - self.phase_us);
        // Quick at first; later slow enough for jitter, and quick enough for 200 ppm of drift,
        // which is 4 us a packet.
        let weight = i64::from(self.packets.min(32));
        let follow = deviation / weight;
        self.phase_us = (self.phase_us + follow).rem_euclid(TICK_US);
        let begins = self.packets.is_multiple_of(BUCKET_PACKETS);
        let bucket = &mut self.buckets[(self.packets / BUCKET_PACKETS) as usize % BUCKETS];
        if begins {
            *bucket = Bucket::default();
        }
        let late = Late {
            us: deviation as i32,
            packet: self.packets,
        };
        if bucket.take(late) || begins {
            self.late_us = self.usual();
        }
    }

    fn usual(&self) -> i32 {
        let worst = self.buckets.iter().map(|b| b.worst).max_by_key(|l| l.us);
        let worst = worst.unwrap_or_default();
        let all = self.buckets.iter().flat_map(|b| [b.worst, b.second]);
        let apart = all.filter(|late| late.is_apart(worst));
        apart.map(|late| late.us).max().unwrap_or(0)
    }

    /// Forgets what was: another sender, or another packet time.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Until when in the tick the packets have been there for `guard_us`, but for the worst event, and
    /// at least 1 ms behind their mean, 3 ms in the first 5 s; us, 0 to 19,999. None while too little is known, and where
    /// jitter leaves no phase.
    pub fn deadline_us(&self, guard_us: i32) -> Option<u32> {
        let margin_us = self.margin_us(guard_us)?;
        let known = self.packets >= MIN_PACKETS;
        known.then(|| (self.phase_us + margin_us).rem_euclid(TICK_US) as u32)
    }

    /// The mean phase, us, and by how much behind it the packets have been there, as for the deadline;
    /// from the first packet on.
    pub fn window_us(&self, guard_us: i32) -> Option<(u32, u32)> {
        let margin_us = self.margin_us(guard_us)?;
        Some((self.phase_us as u32, margin_us as u32))
    }

    fn margin_us(&self, guard_us: i32) -> Option<i64> {
        let is_known = self.packets > 0 && self.late_us <= MAX_LATE_US;
        let at_least = if self.packets < YOUNG_PACKETS {
            YOUNG_MARGIN_US
        } else {
            MIN_MARGIN_US
        };
        is_known.then(|| i64::from((self.late_us + guard_us).max(at_least)))
    }
}

impl Bucket {
    /// Whether it has changed.
    fn take(&mut self, late: Late) -> bool {
        let apart = late.is_apart(self.worst);
        if late.us > self.worst.us {
            if apart {
                self.second = self.worst;
            }
            self.worst = late;
        } else if apart && late.us > self.second.us {
            self.second = late;
        } else {
            return false;
        }
        true
    }
}

/// The shortest way around the tick.
fn wrap(us: i64) -> i64 {
    (us + TICK_US / 2).rem_euclid(TICK_US) - TICK_US / 2
}

const TICK_US: i64 = TICK_MS as i64 * 1000;
const MIN_PACKETS: u32 = 3;
const MIN_MARGIN_US: i32 = 1000;
/// How long too little is known for that margin (5 s of packets of 20 ms): the one event that is left
/// out would be the first.
const YOUNG_PACKETS: u32 = 250;
const YOUNG_MARGIN_US: i32 = 3000;
/// With more delay variation than this, being behind the packets is no better than anywhere.
pub(super) const MAX_LATE_US: i32 = 6000;
/// 20 s of packets of 20 ms.
const BUCKETS: usize = 10;
const BUCKET_PACKETS: u32 = 100;
/// Late packets within this many have one cause.
const EVENT_PACKETS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets every 20 ms from `start_us` on, each later by what `delay_us` says.
    fn run(start_us: u64, packets: u64, delay_us: impl Fn(u64) -> u64) -> ArrivalPhase {
        let mut phase = ArrivalPhase::default();
        for n in 0..packets {
            phase.observe(MediaTime::from_micros(start_us + n * 20_000 + delay_us(n)));
        }
        phase
    }

    #[test]
    fn steady_packets_give_their_phase_and_a_millisecond_once_they_are_known() {
        for start in [0, 700, 7_300, 19_500] {
            for (packets, margin) in [(3, 3000), (249, 3000), (250, 1000)] {
                let steady = run(1_000_000 + start, packets, |_| 0);
                let deadline = steady.deadline_us(0).unwrap();
                assert_eq!(u64::from(deadline), (start + margin) % 20_000, "{packets}");
            }
        }
        assert_eq!(run(0, 2, |_| 0).deadline_us(0), None);
    }

    #[test]
    fn the_margin_is_what_but_one_event_keeps_within() {
        // 0 to 3 ms of jitter, evenly spread, around the end of a tick.
        let jittered = |n: u64| (n * 7919) % 3000;
        let deadline = i64::from(run(18_000, 5_000, jittered).deadline_us(0).unwrap());
        let behind_the_latest = wrap(deadline - (18_000 + 3000));
        assert!(
            (-300..=700).contains(&behind_the_latest),
            "{behind_the_latest} us"
        );
        // One stall does not move it, two of some milliseconds do, and for 20 s.
        let stalled = |packets, stalls: &[u64]| {
            let delay = |n| if stalls.contains(&n) { 3_000 } else { 0 };
            run(5_000, packets, delay).deadline_us(0).unwrap()
        };
        assert!(stalled(300, &[100, 102]) <= 6_300);
        let twice = stalled(300, &[100, 140]);
        assert!((7_900..=8_100).contains(&twice), "{twice} us");
        assert!((7_900..=8_100).contains(&stalled(1000, &[100, 140])));
        assert!(stalled(1200, &[100, 140]) <= 6_100);
        assert_eq!(run(0, 1000, |n| (n * 7919) % 19_000).deadline_us(0), None);
    }

    #[test]
    fn it_keeps_up_with_a_drifting_clock() {
        for ppm in [200i64, -200] {
            let mut phase = ArrivalPhase::default();
            let mut at = 0i64;
            for n in 0..180_000i64 {
                at = 5_000_000 + n * 20_000 + n * 20_000 * ppm / 1_000_000;
                phase.observe(MediaTime::from_micros(at as u64));
                if n > 100 {
                    let ahead = wrap(i64::from(phase.deadline_us(0).unwrap()) - at % TICK_US);
                    let margin = if n < 249 { 3000 } else { 1000 };
                    assert!((-200..400).contains(&(ahead - margin)), "{ahead} us at {n}");
                }
            }
            assert!(at > 0);
        }
    }
}
