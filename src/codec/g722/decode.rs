//! The decoder (G.722 §4).

use super::band::Band;
use super::mirror::Mirror;

/// One stream's state.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Decoder {
    mirror: Mirror,
    lower: Band,
    upper: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            mirror: Mirror::default(),
            lower: Band::lower(),
            upper: Band::upper(),
        }
    }
}

impl Decoder {
    /// A byte to two samples, as many as fit; returns the samples written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let (pairs, _) = out.as_chunks_mut::<2>();
        let count = pairs.len().min(payload.len());
        for (pair, byte) in pairs.iter_mut().zip(payload) {
            let low = limit(self.lower.prediction + self.lower.lower_difference(*byte));
            self.lower.adapt_lower(*byte);
            let prediction = self.upper.prediction;
            let high = limit(prediction + self.upper.adapt_upper(byte >> 6));
            *pair = self.mirror.join(low, high);
        }
        count * 2
    }
}

/// The range of a band (LIMIT).
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}
