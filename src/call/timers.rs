//! Everything that can wake a call.

use std::time::{Duration, Instant};

/// Why a call wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The longest call length.
    MaxLength,
    /// It is our turn to refresh the session (RFC 4028 §7.2).
    Refresh,
    /// The peer has not refreshed the session (RFC 4028 §10).
    Expire,
}

const ALL: [Timer; 3] = [Timer::MaxLength, Timer::Refresh, Timer::Expire];

/// When each timer is due.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; ALL.len()]);

impl Timers {
    pub fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.0[timer as usize] = at;
    }

    pub fn clear(&mut self) {
        self.0 = [None; ALL.len()];
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes the first timer that is due.
    pub fn expired(&mut self, now: Instant) -> Option<Timer> {
        ALL.into_iter().find(|&t| {
            let due = self.0[t as usize].is_some_and(|at| at <= now);
            if due {
                self.0[t as usize] = None;
            }
            due
        })
    }

    /// Sets both session timers for an interval that starts now (RFC 4028 §10: refresh at half of
    /// it; give up a third of it, at most 32 s, before its end).
    pub fn session(&mut self, interval: Duration, we_refresh: bool, now: Instant) {
        let early = (interval / 3).min(Duration::from_secs(32));
        self.set(Timer::Refresh, we_refresh.then(|| now + interval / 2));
        self.set(
            Timer::Expire,
            Some(if we_refresh {
                now + interval
            } else {
                now + interval - early
            }),
        );
    }
}
