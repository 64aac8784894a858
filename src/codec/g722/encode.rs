//! The encoder (G.722 §3).

use super::band::Band;
use super::mirror::{Mirror, saturate};

/// One stream's state.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Encoder {
    mirror: Mirror,
    lower: Band,
    upper: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            mirror: Mirror::default(),
            lower: Band::lower(),
            upper: Band::upper(),
        }
    }
}

impl Encoder {
    /// Two samples to a byte, as many as fit; returns the bytes written. An odd sample at the end
    /// is left out.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        let (pairs, _) = pcm.as_chunks::<2>();
        for (byte, &[first, second]) in out.iter_mut().zip(pairs) {
            let (low, high) = self.mirror.split(first, second);
            let low_code = quantise_lower(saturate(low - self.lower.prediction), self.lower.scale);
            self.lower.adapt_lower(low_code);
            let high_code =
                quantise_upper(saturate(high - self.upper.prediction), self.upper.scale);
            self.upper.adapt_upper(high_code);
            *byte = high_code << 6 | low_code;
        }
        pairs.len().min(out.len())
    }
}

/// The code of a difference of the lower band (QUANTL).
fn quantise_lower(difference: i32, scale: i32) -> u8 {
    let magnitude = magnitude(difference);
    // Codes go down as the magnitude goes up; the last two of the negative ones would be 3 and 2,
    // and a byte of them is kept free: 63 and 62 stand in for the two least.
    let interval = DECISIONS.partition_point(|level| (level * scale) >> 12 <= magnitude) as u8;
    match (difference < 0, interval) {
        (true, 0 | 1) => 63 - interval,
        (true, _) => 33 - interval,
        (false, _) => 61 - interval,
    }
}

/// The code of a difference of the upper band (QUANTH).
fn quantise_upper(difference: i32, scale: i32) -> u8 {
    let is_large = magnitude(difference) >= (UPPER_DECISION * scale) >> 12;
    match (difference < 0, is_large) {
        (true, false) => 1,
        (true, true) => 0,
        (false, false) => 3,
        (false, true) => 2,
    }
}

/// By one's complement, so that -1 and 0 are alike.
fn magnitude(difference: i32) -> i32 {
    if difference < 0 {
        !difference
    } else {
        difference
    }
}

/// Where the intervals of the lower band's quantiser end, in units of 1/4096 of the scale.
const DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];
const UPPER_DECISION: i32 = 564;
