//! Comfort noise: what a listener hears while nobody speaks, so that the line does not seem dead.

use crate::audio::gain::to_sample;
use crate::audio::level::mean_square;

use super::gate::square;

/// Added to frames that are quieter than itself, faded over a frame at each end.
#[derive(Debug)]
pub(super) struct Comfort {
    /// Its mean square.
    square: Option<f32>,
    /// Its RMS, kept while it fades out.
    rms: f32,
    /// How far it is faded in.
    part: f32,
    random: u32,
    last: f32,
}

impl Default for Comfort {
    fn default() -> Self {
        Self {
            square: None,
            rms: 0.0,
            part: 0.0,
            random: 0x9e37_79b9,
            last: 0.0,
        }
    }
}

impl Comfort {
    pub(super) fn set(&mut self, dbov: Option<i8>) {
        self.square = dbov.map(|dbov| square(f32::from(dbov)));
        if let Some(square) = self.square {
            self.rms = square.sqrt();
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.square.is_some() || self.part > 0.0
    }

    pub(super) fn apply(&mut self, frame: &mut [i16]) {
        let is_wanted = self
            .square
            .is_some_and(|square| mean_square(frame) < square);
        let wanted = if is_wanted { 1.0 } else { 0.0 };
        if !is_wanted && self.part <= 0.0 {
            return;
        }
        // Two evenly distributed values from -1 to 1 have a mean square of 2/3; their sum falls
        // off towards the high end, and is less sharp than white noise.
        let scale = self.rms * 1.5f32.sqrt();
        let step = (wanted - self.part) / frame.len().max(1) as f32;
        for (n, sample) in frame.iter_mut().enumerate() {
            let random = self.random();
            let noise = (random + self.last) * scale * (self.part + step * n as f32);
            self.last = random;
            *sample = to_sample(f32::from(*sample) + noise);
        }
        self.part = wanted;
    }

    /// From -1 to 1 (xorshift).
    fn random(&mut self) -> f32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random as f32 / 2_147_483_648.0 - 1.0
    }
}
