//! What a leg adds to the sums over all legs, while it runs: once a second, and at its end.

use std::time::Duration;

use super::Leg;
use crate::audio::MediaTime;

/// How often it does.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sums over legs, those that run and those that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MediaTotals {
    /// RTP packets that came.
    pub received: u64,
    /// That did not; what comes late after all stays counted.
    pub lost: u64,
    /// That came too late or too early to be heard.
    pub discarded: u64,
    /// That were not protected with their leg's key.
    pub unauthenticated: u64,
    /// That were sent.
    pub sent: u64,
    /// Samples that were made up for missing ones.
    pub concealed_samples: u64,
    /// The same in time, us.
    pub concealed_us: u64,
    /// The jitter of all running legs that something comes to, us.
    pub jitter_us: u64,
    /// So many are these.
    pub receiving: u64,
}

impl MediaTotals {
    /// The sums with what a leg is now in the place of what it was.
    pub fn replace(&mut self, before: &Self, now: &Self) {
        let each = |sum: &mut u64, before: u64, now: u64| {
            *sum = (*sum + now).saturating_sub(before);
        };
        each(&mut self.received, before.received, now.received);
        each(&mut self.lost, before.lost, now.lost);
        each(&mut self.discarded, before.discarded, now.discarded);
        let (old, new) = (before.unauthenticated, now.unauthenticated);
        each(&mut self.unauthenticated, old, new);
        each(&mut self.sent, before.sent, now.sent);
        let (old, new) = (before.concealed_samples, now.concealed_samples);
        each(&mut self.concealed_samples, old, new);
        each(
            &mut self.concealed_us,
            before.concealed_us,
            now.concealed_us,
        );
        each(&mut self.jitter_us, before.jitter_us, now.jitter_us);
        each(&mut self.receiving, before.receiving, now.receiving);
    }
}

impl Leg {
    /// Brings the sums up to date, where a second is over.
    pub fn count(&mut self, now: MediaTime, sums: &mut MediaTotals) {
        if now >= self.next_count {
            self.next_count = now + INTERVAL;
            self.count_now(true, sums);
        }
    }

    /// The same at once; `stays`: it goes on here, and so its jitter is one of those of now.
    pub fn count_now(&mut self, stays: bool, sums: &mut MediaTotals) {
        let before = self.counted;
        let receive = self.receiver.stats();
        let concealed_samples = self.coding.playout.stats().concealed_samples;
        // What is repaired after all stays counted, and is not counted again.
        let more = concealed_samples.saturating_sub(self.concealed_counted);
        self.concealed_counted += more;
        let rate = u64::from(self.coding.rate().max(1));
        let receives = stays && receive.packets > 0;
        let now = MediaTotals {
            received: receive.packets,
            // Sums only grow.
            lost: receive.lost.max(0).unsigned_abs().max(before.lost),
            discarded: self.receiver.pattern().discarded,
            unauthenticated: self.statistics.unauthenticated + self.statistics.before_keys,
            sent: self.transmit.sender().stats().packets,
            concealed_samples: before.concealed_samples + more,
            concealed_us: before.concealed_us + more * 1_000_000 / rate,
            jitter_us: if receives {
                receive.jitter_us.into()
            } else {
                0
            },
            receiving: receives.into(),
        };
        sums.replace(&before, &now);
        self.counted = now;
        if !stays {
            // With its first tick elsewhere.
            self.next_count = MediaTime::ZERO;
        }
    }
}
