//! Gain and fades on 16-bit samples, saturating.

/// A linear amplification factor. 1.0 leaves samples bit for bit as they are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain(f32);

impl Gain {
    /// No change.
    pub const UNITY: Gain = Gain(1.0);
    /// Silence.
    pub const MUTE: Gain = Gain(0.0);

    /// A factor from decibels; anything that is not a finite number mutes.
    pub fn from_db(db: f32) -> Self {
        let linear = 10f32.powf(db / 20.0);
        Self(if linear.is_finite() { linear } else { 0.0 })
    }

    /// A linear factor; negative and non-finite ones mute.
    pub fn from_linear(linear: f32) -> Self {
        Self(if linear.is_finite() && linear > 0.0 {
            linear
        } else {
            0.0
        })
    }

    /// The linear factor.
    pub const fn linear(self) -> f32 {
        self.0
    }

    /// Scales `samples` in place, rounding and saturating.
    pub fn apply(self, samples: &mut [i16]) {
        if self == Gain::UNITY {
            return;
        }
        for sample in samples {
            *sample = scale(*sample, self.0);
        }
    }
}

impl Default for Gain {
    fn default() -> Self {
        Gain::UNITY
    }
}

/// Scales `samples` by a factor that moves linearly from `from` (at the first sample) towards
/// `to` (reached just behind the last one), so that consecutive ramps join without a step.
pub fn ramp(samples: &mut [i16], from: f32, to: f32) {
    let step = (to - from) / samples.len().max(1) as f32;
    for (i, sample) in samples.iter_mut().enumerate() {
        *sample = scale(*sample, from + step * i as f32);
    }
}

#[inline]
fn scale(sample: i16, factor: f32) -> i16 {
    let scaled = f32::from(sample) * factor;
    // Half away from zero; `as` saturates, and vectorises where `round()` calls a function.
    (scaled + 0.5f32.copysign(scaled)) as i16
}

/// The nearest sample, saturating.
#[inline]
pub fn to_sample(value: f32) -> i16 {
    // So large that whole numbers are in the last bits: the sum rounds to one, and unlike `as`
    // all of it vectorises.
    const WHOLE: f32 = 12_582_912.0;
    (value.clamp(-32_768.0, 32_767.0) + WHOLE).to_bits() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_and_saturates() {
        let mut samples = [1000, -1000, 30000, i16::MIN];
        Gain::from_db(6.0206).apply(&mut samples);
        assert_eq!(samples, [2000, -2000, i16::MAX, i16::MIN]);
    }

    #[test]
    fn unity_is_exact_and_nonsense_mutes() {
        let mut samples = [i16::MIN, -1, 0, 1, i16::MAX];
        Gain::from_db(0.0).apply(&mut samples);
        assert_eq!(samples, [i16::MIN, -1, 0, 1, i16::MAX]);
        assert_eq!(Gain::from_db(f32::NAN), Gain::MUTE);
        assert_eq!(Gain::from_linear(-2.0), Gain::MUTE);
    }

    #[test]
    fn the_nearest_sample() {
        for (value, expected) in [
            (0.0, 0),
            (-0.4, 0),
            (0.6, 1),
            (-1234.6, -1235),
            (32_767.4, i16::MAX),
            (1e30, i16::MAX),
            (-1e30, i16::MIN),
        ] {
            assert_eq!(to_sample(value), expected, "{value}");
        }
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(to_sample(f32::from(sample)), sample);
        }
    }

    #[test]
    fn two_ramps_join_without_a_step() {
        let mut samples = [10000i16; 320];
        let (head, tail) = samples.split_at_mut(160);
        ramp(head, 0.0, 0.5);
        ramp(tail, 0.5, 1.0);
        assert_eq!(samples[0], 0);
        let step = samples.windows(2).map(|w| w[1] - w[0]).max();
        assert!(step <= Some(32), "{step:?}");
        assert!(samples[319] > 9900);
    }
}
