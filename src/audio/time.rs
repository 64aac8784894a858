//! Media time: the one clock of the media plane.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Microseconds since the process-wide media epoch (RFC 3550 calls its like the wall clock;
/// ours is monotonic). The engine supplies it; nothing below reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(u64);

impl MediaTime {
    /// The epoch itself.
    pub const ZERO: MediaTime = MediaTime(0);

    /// A time from microseconds since the epoch.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// A time from milliseconds since the epoch.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1000)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Samples since the epoch at `rate` Hz, rounded down.
    pub const fn samples(self, rate: u32) -> u64 {
        // Split so that centuries of uptime cannot overflow.
        (self.0 / 1_000_000) * rate as u64 + (self.0 % 1_000_000) * rate as u64 / 1_000_000
    }

    /// How long after `earlier` this is; zero if it is not.
    pub const fn since(self, earlier: MediaTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for MediaTime {
    type Output = MediaTime;
    fn add(self, rhs: Duration) -> MediaTime {
        MediaTime(self.0 + rhs.as_micros() as u64)
    }
}

impl Sub<Duration> for MediaTime {
    type Output = MediaTime;
    fn sub(self, rhs: Duration) -> MediaTime {
        MediaTime(self.0.saturating_sub(rhs.as_micros() as u64))
    }
}
