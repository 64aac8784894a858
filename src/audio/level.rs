//! Level measurement and talk-spurt detection.
//!
//! dBov is relative to the overload point, RMS of a full-scale square wave (RFC 6464 §3): a
//! full-scale sine is -3 dBov, and digital silence is reported as -127.

/// What digital silence, and anything below it, is reported as (RFC 6464).
pub const SILENCE_DBOV: f32 = -127.0;

/// The RMS level of `samples`, dBov, from [`SILENCE_DBOV`] to 0.
pub fn rms_dbov(samples: &[i16]) -> f32 {
    to_dbov(mean_square(samples))
}

/// The mean of the squared samples; cheap, and enough to compare against a threshold.
pub fn mean_square(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    // Eight sums side by side, so that it vectorises; their rounding is far below 0.01 dB.
    let mut sums = [0f32; 8];
    let (eights, rest) = samples.as_chunks::<8>();
    for eight in eights {
        for (sum, sample) in sums.iter_mut().zip(eight) {
            *sum += f32::from(*sample) * f32::from(*sample);
        }
    }
    for (sum, sample) in sums.iter_mut().zip(rest) {
        *sum += f32::from(*sample) * f32::from(*sample);
    }
    sums.iter().sum::<f32>() / samples.len() as f32
}

/// A mean square as dBov.
pub fn to_dbov(mean_square: f32) -> f32 {
    const FULL: f32 = 32768.0 * 32768.0;
    if mean_square <= 0.0 {
        SILENCE_DBOV
    } else {
        (10.0 * (mean_square / FULL).log10()).max(SILENCE_DBOV)
    }
}

/// How a [`TalkSpurt`] decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TalkSpurtSettings {
    /// A frame at or above this level starts a talk spurt, dBov.
    pub on_dbov: f32,
    /// A frame below this level counts towards the end, dBov; not above `on_dbov`.
    pub off_dbov: f32,
    /// How long frames must stay below before the spurt ends, milliseconds.
    pub hangover_ms: u32,
}

impl Default for TalkSpurtSettings {
    fn default() -> Self {
        // Speech on the telephone lies near -25 dBov, line noise below -60; 200 ms spans the
        // gaps within a word.
        Self {
            on_dbov: -50.0,
            off_dbov: -53.0,
            hangover_ms: 200,
        }
    }
}

/// Tells whether a party talks, with hysteresis and hangover. The thresholds are absolute on
/// purpose: a steady tone never adapts away. The first loud frame counts at once, so that no
/// onset is clipped.
#[derive(Clone, Debug)]
pub struct TalkSpurt {
    on: f32,
    off: f32,
    hangover_samples: u32,
    quiet_samples: u32,
    talking: bool,
}

impl TalkSpurt {
    /// A detector for audio at `rate` Hz that starts silent.
    pub fn new(settings: TalkSpurtSettings, rate: u32) -> Self {
        let square = |dbov: f32| 10f32.powf(dbov / 10.0) * 32768.0 * 32768.0;
        Self {
            on: square(settings.on_dbov),
            off: square(settings.off_dbov.min(settings.on_dbov)),
            hangover_samples: (u64::from(settings.hangover_ms) * u64::from(rate) / 1000)
                .min(u32::MAX.into()) as u32,
            quiet_samples: 0,
            talking: false,
        }
    }

    /// Takes the next frame; true while the party talks, the hangover included.
    pub fn update(&mut self, frame: &[i16]) -> bool {
        self.update_mean_square(mean_square(frame), frame.len())
    }

    /// The same for a caller that has measured the frame already.
    pub fn update_mean_square(&mut self, mean_square: f32, samples: usize) -> bool {
        if mean_square >= self.on || (self.talking && mean_square >= self.off) {
            self.talking = true;
            self.quiet_samples = 0;
        } else if self.talking {
            self.quiet_samples = self.quiet_samples.saturating_add(samples as u32);
            self.talking = self.quiet_samples <= self.hangover_samples;
        }
        self.talking
    }

    /// Whether the last frame belonged to a talk spurt.
    pub fn is_talking(&self) -> bool {
        self.talking
    }

    /// Forgets the past: silent again.
    pub fn reset(&mut self) {
        self.talking = false;
        self.quiet_samples = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(amplitude: i16) -> [i16; 160] {
        std::array::from_fn(|i| if i % 2 == 0 { amplitude } else { -amplitude })
    }

    #[test]
    fn levels() {
        assert!(rms_dbov(&[]) <= SILENCE_DBOV);
        assert!(rms_dbov(&[0; 160]) <= SILENCE_DBOV);
        assert!(rms_dbov(&[i16::MIN; 160]).abs() < 0.001);
        assert!((rms_dbov(&square(3277)) + 20.0).abs() < 0.01);
        assert!((rms_dbov(&square(1)) + 90.3).abs() < 0.01);
    }

    #[test]
    fn starts_at_once_and_ends_after_the_hangover() {
        let mut spurt = TalkSpurt::new(TalkSpurtSettings::default(), 8000);
        assert!(!spurt.update(&square(50)));
        assert!(spurt.update(&square(3000)));
        for frame in 0..10 {
            assert!(
                spurt.update(&[0; 160]),
                "still in hangover at frame {frame}"
            );
        }
        assert!(!spurt.update(&[0; 160]));
        assert!(!spurt.is_talking());
    }

    #[test]
    fn a_word_within_the_hangover_starts_it_anew() {
        let mut spurt = TalkSpurt::new(TalkSpurtSettings::default(), 8000);
        spurt.update(&square(3000));
        for frame in 0..60 {
            let loud = frame % 8 == 7;
            assert!(
                spurt.update(&square(if loud { 3000 } else { 0 })),
                "frame {frame}"
            );
        }
    }

    #[test]
    fn hysteresis_keeps_a_level_between_the_thresholds() {
        let mut spurt = TalkSpurt::new(TalkSpurtSettings::default(), 8000);
        let between = square(85); // -51.7 dBov
        assert!(!spurt.update(&between));
        spurt.update(&square(3000));
        for _ in 0..100 {
            assert!(spurt.update(&between));
        }
    }

    #[test]
    fn a_steady_tone_never_adapts_away() {
        let mut spurt = TalkSpurt::new(TalkSpurtSettings::default(), 8000);
        assert!((0..50 * 60).all(|_| spurt.update(&square(300))));
    }
}
