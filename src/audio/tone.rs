//! Tone generation: one or two sines, phase-continuous, with soft edges where wanted.
//!
//! Feeds the player (beeps, signals) and the DTMF generator. Allocates nothing.

use std::f64::consts::TAU;

/// 0 dBm0 below a full-scale sine: G.711's overload point is +3.14 dBm0 (A-law).
#[allow(clippy::approx_constant)] // ITU-T G.711 §4, not pi
pub const OVERLOAD_DBM0: f32 = 3.14;

/// The length of a click-free edge, milliseconds.
pub const EDGE_MS: u32 = 5;

/// A signal of one or two sines of equal level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// The first frequency, Hz.
    pub frequency_hz: f32,
    /// The second frequency, Hz, where there is one.
    pub second_hz: Option<f32>,
    /// The level of each sine, dBm0 (a full-scale sine is +3.14).
    pub level_dbm0: f32,
}

impl Tone {
    /// A single sine.
    pub const fn sine(frequency_hz: f32, level_dbm0: f32) -> Self {
        Self {
            frequency_hz,
            second_hz: None,
            level_dbm0,
        }
    }

    /// The peak amplitude of each sine, in units of one sample step.
    pub fn amplitude(&self) -> f32 {
        (32767.0 * 10f32.powf((self.level_dbm0 - OVERLOAD_DBM0) / 20.0)).min(32767.0)
    }
}

/// Generates a [`Tone`] without end; consecutive fills continue its phase.
#[derive(Clone, Debug)]
pub struct Oscillator {
    first: Phasor,
    second: Phasor,
}

impl Oscillator {
    /// An oscillator at `rate` Hz that starts at phase zero.
    pub fn new(tone: Tone, rate: u32) -> Self {
        let amplitude = f64::from(tone.amplitude());
        Self {
            first: Phasor::new(tone.frequency_hz, amplitude, rate),
            second: tone
                .second_hz
                .map_or(Phasor::SILENT, |hz| Phasor::new(hz, amplitude, rate)),
        }
    }

    /// Overwrites `out` with the next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        // The rotation's length drifts by rounding, about 1e-16 a step: put right each fill.
        self.first.normalise();
        self.second.normalise();
        for sample in out {
            let sum = self.first.next() + self.second.next();
            *sample = sum.round_ties_even() as i16;
        }
    }
}

/// A rotating vector: a sine at the cost of four multiplications, and no library call.
#[derive(Clone, Debug)]
struct Phasor {
    re: f64,
    im: f64,
    step_re: f64,
    step_im: f64,
    amplitude: f64,
}

impl Phasor {
    const SILENT: Phasor = Phasor {
        re: 1.0,
        im: 0.0,
        step_re: 1.0,
        step_im: 0.0,
        amplitude: 0.0,
    };

    fn new(frequency_hz: f32, amplitude: f64, rate: u32) -> Self {
        let step = TAU * f64::from(frequency_hz) / f64::from(rate.max(1));
        if !step.is_finite() || !amplitude.is_finite() {
            return Self::SILENT;
        }
        Self {
            re: 1.0,
            im: 0.0,
            step_re: step.cos(),
            step_im: step.sin(),
            amplitude,
        }
    }

    #[inline]
    fn next(&mut self) -> f64 {
        let value = self.im * self.amplitude;
        let re = self.re * self.step_re - self.im * self.step_im;
        self.im = self.re * self.step_im + self.im * self.step_re;
        self.re = re;
        value
    }

    fn normalise(&mut self) {
        let length = self.re.hypot(self.im);
        if length > 0.0 {
            self.re /= length;
            self.im /= length;
        }
    }
}

/// A [`Tone`] of bounded length with raised-cosine edges: no click at either end.
#[derive(Clone, Debug)]
pub struct Burst {
    oscillator: Oscillator,
    edge_samples: u64,
    position: u64,
    samples: u64,
}

impl Burst {
    /// A burst of `samples` at `rate` Hz, edges included ([`EDGE_MS`], or half of a shorter burst).
    pub fn new(tone: Tone, rate: u32, samples: u64) -> Self {
        Self {
            oscillator: Oscillator::new(tone, rate),
            edge_samples: (u64::from(rate) * u64::from(EDGE_MS) / 1000).min(samples / 2),
            position: 0,
            samples,
        }
    }

    /// Samples still to come.
    pub fn remaining(&self) -> u64 {
        self.samples - self.position
    }

    /// Overwrites the start of `out`; returns how many samples, fewer than asked at the end.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let count = (out.len() as u64).min(self.remaining()) as usize;
        let out = &mut out[..count];
        self.oscillator.fill(out);
        for sample in out {
            let from_edge = self.position.min(self.samples - 1 - self.position);
            if from_edge < self.edge_samples {
                *sample = (f64::from(*sample) * raised_cosine(from_edge, self.edge_samples)) as i16;
            }
            self.position += 1;
        }
        count
    }
}

/// The factor at `position` of a rising edge of `length` samples.
fn raised_cosine(position: u64, length: u64) -> f64 {
    0.5 - 0.5 * (TAU * 0.5 * position as f64 / length as f64).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::rms_dbov;

    #[test]
    fn level_and_frequency_are_as_asked() {
        let mut out = vec![0; 8000];
        Oscillator::new(Tone::sine(1000.0, 0.0), 8000).fill(&mut out);
        // 0 dBm0 is 3.14 dB under a full-scale sine, which is itself -3.01 dBov.
        assert!((rms_dbov(&out) + 6.15).abs() < 0.02, "{}", rms_dbov(&out));
        let rises = out.windows(2).filter(|w| w[0] <= 0 && w[1] > 0).count();
        assert!((999..=1000).contains(&rises), "{rises}");
    }

    #[test]
    fn fills_continue_the_phase_for_an_hour() {
        let mut oscillator = Oscillator::new(Tone::sine(440.0, -10.0), 8000);
        let mut out = [0i16; 160];
        for _ in 0..180_000 {
            oscillator.fill(&mut out);
        }
        oscillator.fill(&mut out);
        let amplitude = f64::from(Tone::sine(440.0, -10.0).amplitude());
        for (i, sample) in out.iter().enumerate() {
            let n = (180_000 * 160 + i) as f64;
            let expected = amplitude * (TAU * f64::from(440.0f32) * n / 8000.0).sin();
            assert!(
                (f64::from(*sample) - expected).abs() < 2.0,
                "{i}: {sample} {expected}"
            );
        }
    }

    #[test]
    fn two_sines_never_wrap() {
        let tone = Tone {
            frequency_hz: 697.0,
            second_hz: Some(1209.0),
            level_dbm0: OVERLOAD_DBM0,
        };
        let mut out = vec![0; 8000];
        Oscillator::new(tone, 8000).fill(&mut out);
        // A wrap would show as a step of nearly the full range.
        let step = out
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max();
        assert!(step < Some(55_000), "{step:?}");
    }

    #[test]
    fn a_burst_has_its_length_and_soft_edges() {
        let mut burst = Burst::new(Tone::sine(1000.0, 0.0), 8000, 1000);
        let mut out = [0i16; 160];
        let mut all = Vec::new();
        loop {
            let count = burst.fill(&mut out);
            all.extend_from_slice(&out[..count]);
            if count < out.len() {
                break;
            }
        }
        assert_eq!((all.len(), burst.remaining()), (1000, 0));
        assert!(
            all[..5].iter().chain(&all[995..]).all(|s| s.abs() < 1500),
            "{:?}",
            &all[..5]
        );
        assert!(all[100..900].iter().any(|s| *s > 22000));
    }

    #[test]
    fn nonsense_is_silence() {
        let mut out = [7i16; 160];
        Oscillator::new(Tone::sine(f32::NAN, 0.0), 8000).fill(&mut out);
        assert_eq!(out, [0; 160]);
        assert_eq!(Burst::new(Tone::sine(440.0, 0.0), 0, 1).fill(&mut out), 1);
    }
}
