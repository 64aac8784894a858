//! Level measurement and talk-spurt detection.
//!
//! dBov is relative to the overload point, RMS of a full-scale square wave (RFC 6464 §3): a
//! full-scale sine is -3 dBov, and digital silence is reported as -127.

use std::time::Duration;

use super::{NARROWBAND, TICK_MS, TICK_SAMPLES};

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

    /// Whether the last frame was loud itself, and no pause within a talk spurt.
    pub fn is_loud(&self) -> bool {
        self.talking && self.quiet_samples == 0
    }

    /// Forgets the past: silent again.
    pub fn reset(&mut self) {
        self.talking = false;
        self.quiet_samples = 0;
    }
}

/// What a [`LevelMeter`] has measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LevelStats {
    /// Mean level while the party talks, dBov; [`SILENCE_DBOV`] if it never has.
    pub speech_dbov: f32,
    /// Mean level of what is heard between, dBov; [`SILENCE_DBOV`] if that is nothing at all.
    pub noise_dbov: f32,
    /// The level of the last moments, about a tenth of a second, dBov.
    pub now_dbov: f32,
    /// How long the party has talked: its talk-spurts, without the pause behind each.
    pub talked: Duration,
}

impl Default for LevelStats {
    fn default() -> Self {
        Self {
            speech_dbov: SILENCE_DBOV,
            noise_dbov: SILENCE_DBOV,
            now_dbov: SILENCE_DBOV,
            talked: Duration::ZERO,
        }
    }
}

/// Some ticks of audio: the sum of their mean squares.
#[derive(Clone, Copy, Debug, Default)]
struct Passage {
    energy: f64,
    ticks: u64,
}

impl Passage {
    fn add(&mut self, other: Passage) {
        self.energy += other.energy;
        self.ticks += other.ticks;
    }

    fn dbov(self) -> f32 {
        to_dbov((self.energy / self.ticks.max(1) as f64) as f32)
    }
}

/// Measures speech, the noise between and talk time, tick by tick. The sampling rate may change.
#[derive(Clone, Debug)]
pub struct LevelMeter {
    spurt: TalkSpurt,
    recent: f32,
    speech: Passage,
    noise: Passage,
    /// Quiet ticks behind a loud one: a pause within the talk-spurt, or its end.
    pause: Passage,
}

impl Default for LevelMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl LevelMeter {
    /// A meter that has heard nothing.
    pub fn new() -> Self {
        Self {
            spurt: TalkSpurt::new(TalkSpurtSettings::default(), NARROWBAND),
            recent: 0.0,
            speech: Passage::default(),
            noise: Passage::default(),
            pause: Passage::default(),
        }
    }

    /// Takes the next tick, at any rate.
    pub fn update(&mut self, tick: &[i16]) {
        // Most parties say nothing most of the time: finding that out costs a fifth of the sum.
        let silent = tick.iter().fold(0, |any, sample| any | sample) == 0;
        let square = if silent { 0.0 } else { mean_square(tick) };
        self.recent += 0.2 * (square - self.recent);
        let passage = Passage {
            energy: square.into(),
            ticks: 1,
        };
        let talking = self.spurt.update_mean_square(square, TICK_SAMPLES);
        if talking && square >= self.spurt.off {
            self.speech.add(std::mem::take(&mut self.pause));
            self.speech.add(passage);
        } else if talking {
            self.pause.add(passage);
        } else {
            self.noise.add(std::mem::take(&mut self.pause));
            // No sound at all is a muted party or one that sends nothing, and no noise.
            if square > 0.0 {
                self.noise.add(passage);
            }
        }
    }

    /// What was measured so far.
    pub fn stats(&self) -> LevelStats {
        LevelStats {
            speech_dbov: self.speech.dbov(),
            noise_dbov: self.noise.dbov(),
            now_dbov: to_dbov(self.recent),
            talked: Duration::from_millis(self.speech.ticks * u64::from(TICK_MS)),
        }
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
    fn the_meter_tells_speech_noise_and_talk_time() {
        let mut meter = LevelMeter::new();
        assert_eq!(meter.stats(), LevelStats::default());
        // Half a second of -20 dBov, a pause of 100 ms within, then a second of line noise.
        for frame in 0..30 {
            let pause = (15..20).contains(&frame);
            meter.update(&square(if pause { 10 } else { 3277 }));
        }
        let talking = meter.stats();
        assert_eq!(talking.talked, Duration::from_millis(600));
        assert!((talking.now_dbov + 20.4).abs() < 0.5, "{talking:?}");
        for _ in 0..50 {
            meter.update(&square(10));
        }
        for _ in 0..500 {
            meter.update(&[0; 160]);
        }
        let stats = meter.stats();
        assert_eq!(stats.talked, Duration::from_millis(600));
        // 25 frames of 30 at -20 dBov: 0.8 dB less in the mean.
        assert!((stats.speech_dbov + 20.8).abs() < 0.1, "{stats:?}");
        assert!((stats.noise_dbov + 70.3).abs() < 0.1, "{stats:?}");
        assert!(stats.now_dbov <= -90.0, "{stats:?}");
    }

    #[test]
    fn a_steady_tone_never_adapts_away() {
        let mut spurt = TalkSpurt::new(TalkSpurtSettings::default(), 8000);
        assert!((0..50 * 60).all(|_| spurt.update(&square(300))));
    }
}
