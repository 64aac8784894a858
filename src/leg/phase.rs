//! When in the 20 ms a party's packets come, against the media clock.
//!
//! Sits beside the way in. The worker puts a bridge just behind the packets of who talks: this
//! tells where that is.

use crate::audio::{MediaTime, TICK_MS};

/// Follows the phase of arrivals, and how much later than that one in a thousand comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ArrivalPhase {
    /// The mean phase, us within the tick.
    phase_us: i64,
    /// How much behind the mean 99.9 % are there, us.
    late_us: i64,
    packets: u32,
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
        // One in a thousand above: up a thousand times as fast as down.
        if deviation > self.late_us {
            self.late_us += (deviation - self.late_us).min(LATE_STEP_US);
        } else if self.late_us > 0 && self.packets.is_multiple_of(2) {
            self.late_us -= (LATE_STEP_US / 500).min(self.late_us);
        }
    }

    /// Forgets what was: another sender, or another packet time.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Until when in the tick 99.9 % of the packets are there, and at least 1 ms behind their mean;
    /// us, 0 to 19,999. None while too little is known, and where jitter leaves no phase.
    pub fn deadline_us(&self) -> Option<u32> {
        if self.packets < MIN_PACKETS || self.late_us > MAX_LATE_US {
            return None;
        }
        let deadline = self.phase_us + self.late_us.max(MIN_MARGIN_US);
        Some(deadline.rem_euclid(TICK_US) as u32)
    }
}

/// The shortest way around the tick.
fn wrap(us: i64) -> i64 {
    (us + TICK_US / 2).rem_euclid(TICK_US) - TICK_US / 2
}

const TICK_US: i64 = TICK_MS as i64 * 1000;
const MIN_PACKETS: u32 = 3;
const MIN_MARGIN_US: i64 = 1000;
const LATE_STEP_US: i64 = 500;
/// With more delay variation than this, being behind the packets is no better than anywhere.
const MAX_LATE_US: i64 = 6000;

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
    fn steady_packets_give_their_phase_and_a_millisecond() {
        for start in [0, 700, 7_300, 19_500] {
            let deadline = run(1_000_000 + start, 10, |_| 0).deadline_us().unwrap();
            assert_eq!(u64::from(deadline), (start + 1000) % 20_000);
        }
        assert_eq!(run(0, 2, |_| 0).deadline_us(), None);
    }

    #[test]
    fn the_margin_is_what_one_in_a_thousand_exceeds() {
        // 0 to 3 ms of jitter, evenly spread, around the end of a tick.
        let jittered = |n: u64| (n * 7919) % 3000;
        let deadline = i64::from(run(18_000, 5_000, jittered).deadline_us().unwrap());
        let behind_the_latest = wrap(deadline - (18_000 + 3000));
        assert!(
            (-300..=700).contains(&behind_the_latest),
            "{behind_the_latest} us"
        );
        // One stall in the past moves it by no more than a step.
        let stalled = run(5_000, 200, |n| if n == 100 { 9_000 } else { 0 });
        assert!(stalled.deadline_us().unwrap() <= 6_300);
        assert_eq!(run(0, 1000, |n| (n * 7919) % 19_000).deadline_us(), None);
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
                    let ahead = wrap(i64::from(phase.deadline_us().unwrap()) - at % TICK_US);
                    assert!((800..1400).contains(&ahead), "{ahead} us at {n}");
                }
            }
            assert!(at > 0);
        }
    }
}
