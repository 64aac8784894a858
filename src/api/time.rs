//! Times of the media and signalling sides as the wall clock has them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the wall clock may be from what is told of it. What is less is not followed: a moment that is
/// told twice is told alike.
const MAX_OFF: Duration = Duration::from_millis(50);

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Both, read at the same moment.
    pub const fn new(now: Instant, wall: SystemTime) -> Self {
        Self { now, wall }
    }

    /// Another moment on the wall clock.
    pub fn wall(&self, at: Instant) -> SystemTime {
        match at.checked_duration_since(self.now) {
            Some(after) => self.wall + after,
            None => self.wall - (self.now - at),
        }
    }

    /// The same as RFC 3339 has it, in UTC, with milliseconds.
    pub fn text(&self, at: Instant) -> String {
        rfc3339(self.wall(at))
    }

    /// Whole seconds since 1970 of another moment.
    pub fn seconds(&self, at: Instant) -> u64 {
        since_1970(self.wall(at)).as_secs()
    }

    /// Both were read again. Where somebody has set the wall clock, or the machine was suspended, that
    /// counts from now on.
    pub fn keep_up(&mut self, now: Instant, wall: SystemTime) {
        let told = self.wall(now);
        let off = wall.duration_since(told).unwrap_or_else(|e| e.duration());
        if off > MAX_OFF {
            *self = Self::new(now, wall);
        }
    }
}

/// The number of a run that begins at this time, which no other has: milliseconds, and three random
/// digits.
pub fn run_number(wall: SystemTime, random: u32) -> u64 {
    let ms = since_1970(wall).as_millis() as u64;
    ms.saturating_mul(1_000)
        .saturating_add(u64::from(random % 1_000))
}

fn since_1970(wall: SystemTime) -> Duration {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A time as RFC 3339 has it: `2026-01-31T12:34:56.789Z`.
pub fn rfc3339(wall: SystemTime) -> String {
    let since = since_1970(wall);
    let (seconds, ms) = (since.as_secs(), since.subsec_millis());
    // Proleptic Gregorian; Howard Hinnant's method, years that begin in March.
    let shifted = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year_of_era + next;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_001, "2025-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_moment_before_the_start_is_before_it() {
        let now = Instant::now();
        let clock = Clock::new(now, UNIX_EPOCH + Duration::from_secs(10));
        let at = |d: i64| {
            let by = Duration::from_secs(d.unsigned_abs());
            clock.text(if d < 0 {
                now.checked_sub(by).unwrap()
            } else {
                now + by
            })
        };
        assert_eq!(at(-9), "1970-01-01T00:00:01.000Z");
        assert_eq!(at(50), "1970-01-01T00:01:00.000Z");
        assert_eq!(clock.seconds(now + Duration::from_millis(2_500)), 12);
    }

    #[test]
    fn a_wall_clock_that_is_set_is_followed_and_its_trembling_is_not() {
        let now = Instant::now();
        let wall = UNIX_EPOCH + Duration::from_secs(10_000);
        let mut clock = Clock::new(now, wall);
        let later = now + Duration::from_mins(1);
        let at = wall + Duration::from_mins(1);
        for ms in [1, 50] {
            let by = Duration::from_millis(ms);
            clock.keep_up(later, at + by);
            assert_eq!(clock.wall(later), at);
            clock.keep_up(later, at - by);
            assert_eq!(clock.wall(later), at);
        }
        let hour = Duration::from_hours(1);
        for set in [at + hour, at - hour, at + Duration::from_millis(51)] {
            clock.keep_up(later, set);
            assert_eq!(clock.wall(later), set);
            assert_eq!(clock.wall(now), set - Duration::from_mins(1));
        }
    }

    #[test]
    fn runs_of_one_second_or_one_millisecond_have_numbers_of_their_own() {
        let wall = UNIX_EPOCH + Duration::from_millis(1_764_183_000_500);
        let number = run_number(wall, 7_123);
        assert_eq!(number, 1_764_183_000_500_123);
        assert_ne!(number, run_number(wall, 7_124));
        assert_ne!(number, run_number(wall + Duration::from_millis(1), 7_123));
    }
}
