//! Packet indices: their estimation from a sequence number, and which were seen (RFC 3711 §3.3.1,
//! §3.3.2).

use super::SrtpError;

/// How far behind the newest packet one may be and still be told from one seen before; those
/// further behind are refused. RFC 3711 asks for 64 at least.
pub const REPLAY_WINDOW: u64 = u128::BITS as u64;

/// The roll-over counter has 32 bits, so an index has 48.
const MAX_INDEX: u64 = (1 << 48) - 1;
const HALF: i32 = 1 << 15;

/// The index that a sequence number most likely belongs to, after `highest`.
pub(super) fn estimate(highest: u64, seq: u16) -> Result<u64, SrtpError> {
    let roc = highest >> 16;
    let distance = i32::from(seq) - i32::from(highest as u16);
    let roc = if distance > HALF {
        // Before the first roll-over there is nothing further back.
        roc.saturating_sub(1)
    } else if distance < -HALF {
        roc + 1
    } else {
        roc
    };
    let index = roc << 16 | u64::from(seq);
    (index <= MAX_INDEX)
        .then_some(index)
        .ok_or(SrtpError::Exhausted)
}

/// Which indices were seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    highest: Option<u64>,
    /// Bit n: `highest - n` was seen.
    seen: u128,
}

impl Window {
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Whether this index may be new.
    pub fn check(&self, index: u64) -> Result<(), SrtpError> {
        let Some(highest) = self.highest.filter(|highest| index <= *highest) else {
            return Ok(());
        };
        let behind = highest - index;
        if behind >= REPLAY_WINDOW || self.seen & (1 << behind) != 0 {
            return Err(SrtpError::Replayed);
        }
        Ok(())
    }

    /// An authentic packet had this index.
    pub fn mark(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                self.seen |= 1u128.checked_shl((highest - index) as u32).unwrap_or(0);
            }
            highest => {
                let by = highest.map_or(u64::MAX, |highest| index - highest);
                let by = u32::try_from(by).unwrap_or(u32::MAX);
                self.seen = self.seen.checked_shl(by).unwrap_or(0) | 1;
                self.highest = Some(index);
            }
        }
    }
}
