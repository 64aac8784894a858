//! The timer values of RFC 3261 table 4, and a small set of running alarms.

use std::time::{Duration, Instant};

/// The three values that all others derive from (RFC 3261 §17.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round-trip time.
    pub t1: Duration,
    /// Longest interval between retransmissions of a non-INVITE request or a final response.
    pub t2: Duration,
    /// Longest time that a message stays in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// 64*T1: how long an answer is waited for (timers B, F, H, J, L, M).
    pub fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// The interval after `interval`: doubled, at most T2.
    pub fn back_off(&self, interval: Duration) -> Duration {
        (interval * 2).min(self.t2)
    }
}

/// Timer D on unreliable transports: at least 32 s (RFC 3261 §17.1.1.2).
pub(super) const TIMER_D: Duration = Duration::from_secs(32);

/// How long a transaction user may think before an INVITE is answered 100 (RFC 3261 §17.2.1).
pub(super) const TRYING_AFTER: Duration = Duration::from_millis(200);

/// Everything that can wake a transaction; the letters are those of RFC 3261 table 4 and RFC 6026.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// INVITE sent again, client.
    A,
    /// INVITE without any response, client.
    B,
    /// Repeated non-2xx responses are still acknowledged until this fires, client.
    D,
    /// Non-INVITE request sent again, client.
    E,
    /// Non-INVITE request without a final response, client.
    F,
    /// Non-2xx response to INVITE sent again, server.
    G,
    /// Non-2xx response to INVITE never acknowledged, server.
    H,
    /// Repeated ACKs are absorbed until this fires, server.
    I,
    /// Repeated non-INVITE requests are answered until this fires, server.
    J,
    /// Repeated final responses are absorbed until this fires, client.
    K,
    /// Repeated INVITEs after a 2xx are answered until this fires, server (RFC 6026).
    L,
    /// Further 2xx responses are passed on until this fires, client (RFC 6026).
    M,
    /// No answer to an INVITE yet: 100 is due, server.
    Trying,
    /// 2xx to INVITE sent again, server (RFC 3261 §13.3.1.4).
    Success,
    /// Reliable provisional response sent again, server (RFC 3262 §3).
    Provisional,
    /// Reliable provisional response never acknowledged, server (RFC 3262 §3).
    ProvisionalEnd,
    /// The transaction user has not answered a non-INVITE in the time its client waits, server
    /// (RFC 4320 §4.2).
    Unanswered,
    /// CANCEL sent, and still no final response to the INVITE, client (RFC 3261 §9.1).
    Cancelled,
}

/// The running timers of one transaction: at most three at once, so a fixed array.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms([Option<(Instant, Timer)>; 4]);

impl Alarms {
    /// Starts `timer`, or moves it.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        let free = self.0.iter_mut().find(|slot| slot.is_none());
        debug_assert!(free.is_some(), "more timers than any state runs");
        if let Some(slot) = free {
            *slot = Some((at, timer));
        }
    }

    /// Stops `timer` if it runs.
    pub(super) fn stop(&mut self, timer: Timer) {
        for slot in &mut self.0 {
            if slot.is_some_and(|(_, running)| running == timer) {
                *slot = None;
            }
        }
    }

    /// Stops all.
    pub(super) fn clear(&mut self) {
        self.0 = [None; 4];
    }

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().map(|(at, _)| *at).min()
    }

    /// When `timer` fires, if it runs.
    #[cfg(test)]
    pub(super) fn at(&self, timer: Timer) -> Option<Instant> {
        let mut running = self.0.iter().flatten();
        running.find(|(_, t)| *t == timer).map(|(at, _)| *at)
    }

    /// Removes and returns the earliest that is due at `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let next = self.next().filter(|at| *at <= now)?;
        let slot = self
            .0
            .iter_mut()
            .find(|slot| slot.is_some_and(|(at, _)| at == next))?;
        slot.take().map(|(_, timer)| timer)
    }
}
