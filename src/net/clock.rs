//! Maps the wall clock of the kernel's packet stamps to media time. Read by a media thread, once
//! per tick.

#[cfg(test)]
use std::time::Duration;

use crate::audio::MediaTime;
use crate::net::sys;

/// A stamp further than this ahead of the sample means that the wall clock was stepped.
const MAX_AHEAD_NS: i64 = 100_000_000;
/// A stamp further than this behind the sample means the same where the socket is read in each tick.
const MAX_BEHIND_NS: i64 = 2_000_000_000;

/// A time of CLOCK_REALTIME as the kernel stamps packets with it, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallStamp(pub i64);

/// Maps kernel packet stamps (CLOCK_REALTIME) to [`MediaTime`]. Sample it anew on each tick, so
/// that slewing and stepping of the wall clock do not accumulate.
#[derive(Clone, Copy, Debug)]
pub struct ClockMap {
    /// Wall clock minus media time, nanoseconds.
    offset_ns: i64,
    /// When this was sampled.
    now: MediaTime,
    /// The same on the wall clock.
    wall_ns: i64,
    /// How old a packet can be.
    max_behind_ns: i64,
}

impl ClockMap {
    /// Reads both clocks.
    pub fn sample() -> Self {
        let before = sys::media_ns();
        let wall_ns = sys::wall_ns();
        let after = sys::media_ns();
        // The middle of two readings, so that being preempted once costs half of the error.
        let media = before + (after - before) / 2;
        Self::from_parts(media, wall_ns)
    }

    const fn from_parts(media_ns: i64, wall_ns: i64) -> Self {
        Self {
            offset_ns: wall_ns - media_ns,
            now: MediaTime::from_micros((media_ns / 1000) as u64),
            wall_ns,
            max_behind_ns: MAX_BEHIND_NS,
        }
    }

    /// The same for a socket that nobody has read yet: what waits there may be of any age, and is no sign
    /// of a step.
    #[must_use]
    pub const fn of_unread(self) -> Self {
        Self {
            max_behind_ns: i64::MAX,
            ..self
        }
    }

    /// As sampled so much later.
    #[cfg(test)]
    pub(crate) fn later(self, by: Duration) -> Self {
        Self {
            now: self.now + by,
            wall_ns: self.wall_ns + by.as_nanos() as i64,
            ..self
        }
    }

    /// The media time of this sample.
    pub const fn now(&self) -> MediaTime {
        self.now
    }

    /// The sampled wall clock as an NTP timestamp (RFC 3550 §4: 32.32 fixed point since 1900).
    pub const fn ntp(&self) -> u64 {
        const UNIX_TO_NTP_S: u64 = 2_208_988_800;
        let seconds = (self.wall_ns / 1_000_000_000) as u64 + UNIX_TO_NTP_S;
        let fraction = ((self.wall_ns % 1_000_000_000) as u64) << 32;
        (seconds << 32) | (fraction / 1_000_000_000)
    }

    /// The media time of a kernel stamp. A stamp that cannot be (the wall clock was stepped
    /// between it and the sample) becomes the time of the sample: a step must not look like jitter.
    pub const fn media_time(&self, stamp: WallStamp) -> MediaTime {
        let ahead_ns = stamp.0 - self.wall_ns;
        if ahead_ns > MAX_AHEAD_NS || ahead_ns < -self.max_behind_ns {
            return self.now;
        }
        let ns = stamp.0 - self.offset_ns;
        if ns < 0 {
            return MediaTime::ZERO;
        }
        MediaTime::from_micros((ns / 1000) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    #[test]
    fn a_stamp_maps_by_the_offset_of_the_sample() {
        let map = ClockMap::from_parts(5 * SECOND_NS, 1000 * SECOND_NS);
        let stamp = WallStamp(1000 * SECOND_NS - 7_000_000);
        assert_eq!(map.media_time(stamp), MediaTime::from_millis(4993));
        let later = WallStamp(1000 * SECOND_NS + 7_000_000);
        assert_eq!(map.media_time(later), MediaTime::from_millis(5007));
    }

    #[test]
    fn a_step_of_the_wall_clock_becomes_now() {
        let map = ClockMap::from_parts(5 * SECOND_NS, 1000 * SECOND_NS);
        for stamp in [0, 997 * SECOND_NS, 1001 * SECOND_NS] {
            assert_eq!(
                map.media_time(WallStamp(stamp)),
                MediaTime::from_millis(5000)
            );
        }
    }

    #[test]
    fn what_has_waited_unread_is_as_old_as_it_is() {
        let map = ClockMap::from_parts(50 * SECOND_NS, 1000 * SECOND_NS).of_unread();
        for (stamp, media) in [(990, 40), (997, 47), (1001, 50), (0, 0)] {
            assert_eq!(
                map.media_time(WallStamp(stamp * SECOND_NS)),
                MediaTime::from_millis(media * 1000)
            );
        }
    }

    #[test]
    fn a_packet_from_before_the_epoch_is_at_the_epoch() {
        let map = ClockMap::from_parts(1_000_000, 1000 * SECOND_NS);
        let stamp = WallStamp(1000 * SECOND_NS - 5_000_000);
        assert_eq!(map.media_time(stamp), MediaTime::ZERO);
    }

    #[test]
    fn ntp_counts_from_1900() {
        // Half a second after the Unix epoch.
        let map = ClockMap::from_parts(0, SECOND_NS / 2);
        assert_eq!(map.ntp(), (2_208_988_800 << 32) | 0x8000_0000);
    }
}
