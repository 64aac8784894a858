//! What encoder and decoder share of one band: the adaptive predictor and the quantisers' scales
//! and inverses (G.722 §6.2.1 and §6.2.2).

use super::mirror::saturate;

/// One band's state.
#[derive(Clone, Debug)]
pub(super) struct Band {
    /// The prediction of the next sample (PREDIC).
    pub prediction: i32,
    /// Its part from the zeros (FILTEZ).
    zero_part: i32,
    /// The logarithm of the quantiser's scale.
    log_scale: i32,
    /// The quantiser's scale.
    pub scale: i32,
    /// Coefficients of the two poles.
    poles: [i32; 2],
    /// Coefficients of the six zeros.
    zeros: [i32; 6],
    /// The last two reconstructed samples, newest first.
    reconstructed: [i32; 2],
    /// The last six quantised differences, newest first.
    differences: [i32; 6],
    /// The last two partly reconstructed samples, newest first.
    partial: [i32; 2],
}

impl Band {
    /// The lower band at the start of a stream.
    pub fn lower() -> Self {
        Self::with_scale(32)
    }

    /// The upper band at the start of a stream.
    pub fn upper() -> Self {
        Self::with_scale(8)
    }

    fn with_scale(scale: i32) -> Self {
        Self {
            prediction: 0,
            zero_part: 0,
            log_scale: 0,
            scale,
            poles: [0; 2],
            zeros: [0; 6],
            reconstructed: [0; 2],
            differences: [0; 6],
            partial: [0; 2],
        }
    }

    /// Takes a code of the lower band in; it is the four most significant of its bits that adapt.
    pub fn adapt_lower(&mut self, code: u8) {
        let index = usize::from(code >> 2) & 15;
        let difference = (self.scale * LOWER_LEVELS_4[index]) >> 15;
        let weight = LOWER_WEIGHTS[usize::from(LOWER_MAGNITUDE[index])];
        self.rescale(weight, 18_432, 8);
        self.predict(difference);
    }

    /// Takes a code of the upper band in; returns its quantised difference.
    pub fn adapt_upper(&mut self, code: u8) -> i32 {
        let index = usize::from(code & 3);
        let difference = (self.scale * UPPER_LEVELS[index]) >> 15;
        self.rescale(UPPER_WEIGHTS[index], 22_528, 10);
        self.predict(difference);
        difference
    }

    /// The difference that all six bits of a lower code stand for.
    pub fn lower_difference(&self, code: u8) -> i32 {
        (self.scale * LOWER_LEVELS_6[usize::from(code & 63)]) >> 15
    }

    /// The next scale (LOGSCL and SCALEL, LOGSCH and SCALEH).
    fn rescale(&mut self, weight: i32, bound: i32, octaves: i32) {
        self.log_scale = (((self.log_scale * 127) >> 7) + weight).clamp(0, bound);
        let mantissa = SCALES[(self.log_scale >> 6) as usize & 31];
        let shift = octaves - (self.log_scale >> 11);
        let scale = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        };
        self.scale = scale << 2;
    }

    /// Adapts the coefficients by a quantised difference and predicts the next sample.
    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.prediction + difference); // RECONS
        let partial = saturate(self.zero_part + difference); // PARREC
        self.adapt_poles(partial);
        self.adapt_zeros(difference);
        self.partial = [partial, self.partial[0]];
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        // FILTEP
        let pole = |i: usize| (self.poles[i] * saturate(2 * self.reconstructed[i])) >> 15;
        let pole_part = saturate(pole(0) + pole(1));
        // FILTEZ
        let zeros = self.zeros.iter().zip(self.differences);
        let sum = zeros.map(|(zero, d)| (zero * saturate(2 * d)) >> 15).sum();
        self.zero_part = saturate(sum);
        self.prediction = saturate(pole_part + self.zero_part);
    }

    /// UPPOL2, UPPOL1
    fn adapt_poles(&mut self, partial: i32) {
        let [first, second] = self.poles;
        let agrees = |i: usize| (partial < 0) == (self.partial[i] < 0);
        let four_first = saturate(4 * first);
        let push = if agrees(0) {
            (-four_first).min(i16::MAX.into())
        } else {
            four_first
        };
        let step = if agrees(1) { 128 } else { -128 };
        let new_second = (((second * 32_512) >> 15) + (push >> 7) + step).clamp(-12_288, 12_288);
        let step = if agrees(0) { 192 } else { -192 };
        let bound = 15_360 - new_second;
        let new_first = (((first * 32_640) >> 15) + step).clamp(-bound, bound);
        self.poles = [new_first, new_second];
    }

    /// UPZERO
    fn adapt_zeros(&mut self, difference: i32) {
        let step = if difference == 0 { 0 } else { 128 };
        for (zero, earlier) in self.zeros.iter_mut().zip(self.differences) {
            let leaked = (*zero * 32_640) >> 15;
            let agrees = (difference < 0) == (earlier < 0);
            *zero = saturate(leaked + if agrees { step } else { -step });
        }
    }
}

/// Scales within an octave, 32 of them.
const SCALES: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// How a four-bit magnitude of the lower band changes the scale.
const LOWER_WEIGHTS: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
/// The magnitude of a four-bit code of the lower band.
const LOWER_MAGNITUDE: [u8; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
/// How a code of the upper band changes the scale.
const UPPER_WEIGHTS: [i32; 4] = [798, -214, 798, -214];
const UPPER_LEVELS: [i32; 4] = [-7408, -1616, 7408, 1616];
/// What a four-bit code of the lower band stands for.
const LOWER_LEVELS_4: [i32; 16] = [
    0, -20_456, -12_896, -8968, -6288, -4240, -2584, -1200, 20_456, 12_896, 8968, 6288, 4240, 2584,
    1200, 0,
];
/// What a six-bit code of the lower band stands for. The first four are not sent.
const LOWER_LEVELS_6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168,
    -2776, -2400, -2032, -1688, -1360, -1040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512,
    12_280, 11_192, 10_232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168,
    2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
