//! Waiting payloads -> samples in the buffer, in order, when they are about to be played; and what
//! the codec itself does about loss.

use super::store::Kept;
use super::{Decoders, Newest, Playout, decoders};
use crate::codec::Codec;
use crate::rtp::jitter::Put;

impl Playout {
    /// Exchanges the decoders, which must be made for this playout's rate; the old ones come back,
    /// to be freed elsewhere. What waited in them is gone.
    pub fn set_decoders(&mut self, decoders: Option<Box<Decoders>>) -> Option<Box<Decoders>> {
        std::mem::replace(&mut self.decoders, decoders)
    }

    /// Whether packets of a codec can be played.
    pub fn takes(&self, codec: Codec) -> bool {
        !decoders::is_needed(codec, self.settings.rate)
            || self.decoders.as_ref().is_some_and(|d| d.has(codec))
    }

    /// Keeps a payload until its turn.
    pub(super) fn keep(&mut self, packet: Newest, codec: Codec, payload: &[u8]) -> Put {
        let Newest { seq, at, len, .. } = packet;
        let start = self.buffer.start();
        let Some(decoders) = &mut self.decoders else {
            return Put::Overflow;
        };
        if at + len <= start {
            return Put::Late;
        }
        if at + len - start > self.buffer.capacity() as i64 {
            return Put::Overflow;
        }
        if at + len <= decoders.decoded_to {
            // Repaired, or passed over.
            let there = self.buffer.run(at.max(start), 1).0;
            return if there { Put::Duplicate } else { Put::Late };
        }
        // It came while its predecessor was concealed: with more delay it would have repaired it.
        if self.gap_start.is_some()
            && seq.distance(decoders.last_seq) > 1
            && decoders.repairs(codec, payload)
        {
            self.repair_tick = Some(self.tick);
        }
        match decoders.store.put(seq, codec, (at, len), payload) {
            Kept::Stored => Put::Stored,
            Kept::Duplicate => Put::Duplicate,
            Kept::Full => Put::Overflow,
        }
    }

    /// Decodes what is to be played before `until`, up to the first gap.
    pub(super) fn decode_until(&mut self, until: i64) {
        let start = self.buffer.start();
        let Some(decoders) = &mut self.decoders else {
            return;
        };
        while let Some(first) = decoders.store.first() {
            if first.at >= until || first.at > decoders.decoded_to.max(start) {
                return;
            }
            // The number follows and the time does not: the sender has paused, and nothing is lost.
            let paused =
                first.seq.distance(decoders.last_seq) == 1 && first.at > decoders.decoded_to;
            if paused {
                let counted = self.gap_concealed;
                self.stats.concealed_samples = self.stats.concealed_samples.saturating_sub(counted);
            }
            self.gap_concealed = 0;
            let over = (start - first.at).max(0) as usize;
            let decoded = decoders.decode_first(first.len as usize, over);
            self.buffer.put(first.at, decoded);
        }
    }

    /// Fills the loss that is here by what the next packet carries of it.
    pub(super) fn repair(&mut self) -> bool {
        let start = self.buffer.start();
        let Some(decoders) = &mut self.decoders else {
            return false;
        };
        let (Some(first), Some(carried)) = (decoders.store.first(), decoders.carried()) else {
            return false;
        };
        let at = first.at - carried as i64;
        if start < at || start >= first.at {
            return false;
        }
        let over = (start - at) as usize;
        let Some(repaired) = decoders.repair(carried, over) else {
            return false;
        };
        self.buffer.put(at, repaired);
        self.repair_tick = Some(self.tick);
        self.stats.repaired += 1;
        true
    }

    /// How far the samples from `start` on are alike: whether they are there, and for how long.
    pub(super) fn run(&self, max: usize) -> (bool, usize) {
        let start = self.buffer.start();
        let (valid, run) = self.buffer.run(start, max);
        if valid {
            return (valid, run);
        }
        // A packet that waits ends a gap as well, and so does what it carries of that.
        let Some(decoders) = &self.decoders else {
            return (valid, run);
        };
        let first = decoders.store.first();
        let mut next = first.map_or(i64::MAX, |first| first.at - start);
        if let Some(carried) = decoders.carried().filter(|&carried| next > carried as i64) {
            next -= carried as i64;
        }
        (valid, run.min(next.max(1) as usize))
    }

    /// The end of what was received.
    pub(super) fn end(&self) -> i64 {
        let waiting = self.decoders.as_ref().and_then(|d| d.store.end());
        self.buffer.end().max(waiting.unwrap_or(i64::MIN))
    }

    /// One packet more while losses can be repaired by the packet that follows.
    pub(super) fn repair_delay(&self) -> i64 {
        let recent = |tick| self.tick.wrapping_sub(tick) <= REPAIR_TICKS;
        if self.repair_tick.is_some_and(recent) {
            self.newest.len
        } else {
            0
        }
    }
}

/// How long a loss that could be repaired keeps the delay up: 3.5 s.
const REPAIR_TICKS: u32 = 175;
