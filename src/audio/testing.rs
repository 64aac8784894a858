//! Signals that tests make: noise and something like speech, the same for the same seed.

use std::f32::consts::TAU;

/// A small generator of random numbers (xorshift).
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9) | 1)
    }

    /// From -1 to 1, evenly.
    pub(crate) fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as f32 / 2_147_483_648.0 - 1.0
    }
}

/// White noise of a level, dBov.
pub(crate) fn noise(rate: u32, seconds: f32, dbov: f32, seed: u32) -> Vec<i16> {
    let mut random = Random::new(seed);
    let raw: Vec<f32> = (0..(rate as f32 * seconds) as usize)
        .map(|_| random.next())
        .collect();
    scaled(&raw, 1.0, dbov)
}

/// Speech as far as levels and rhythm go: syllables of 160 ms, four a second, each a voiced sound
/// (glottal pulses of a gliding pitch through three formants, which change) with a hiss at its
/// beginning, and a pause of half a second after each six. `dbov` is the level of the syllables.
pub(crate) fn speech(rate: u32, seconds: f32, dbov: f32, seed: u32) -> Vec<i16> {
    let mut random = Random::new(seed);
    let total = (rate as f32 * seconds) as usize;
    let mut raw = vec![0.0; total];
    let (period, length) = (rate as usize / 4, rate as usize * 4 / 25);
    let mut at = 0;
    let mut syllables = 0;
    while at + length < total {
        syllable(rate, &mut random, &mut raw[at..at + length]);
        syllables += 1;
        at += period;
        if syllables % 6 == 0 {
            at += rate as usize / 2;
        }
    }
    let spoken = (syllables * length) as f32 / total as f32;
    scaled(&raw, spoken, dbov)
}

/// Whether a moment of [`speech`] lies in a syllable, `at` in samples.
pub(crate) fn is_spoken(rate: u32, at: usize) -> bool {
    let group = rate as usize * 2;
    let within = at % group;
    within < rate as usize * 3 / 2 && within % (rate as usize / 4) < rate as usize * 4 / 25
}

fn syllable(rate: u32, random: &mut Random, out: &mut [f32]) {
    let centres = [
        500.0 + 250.0 * random.next(),
        1500.0 + 500.0 * random.next(),
        2600.0 + 300.0 * random.next(),
    ];
    let mut formants = centres.map(|hz| Resonator::new(hz, 90.0, rate));
    let pitch = 140.0 + 40.0 * random.next();
    let (mut phase, hiss) = (0.0, out.len() / 5);
    let length = out.len() as f32;
    for (n, out) in out.iter_mut().enumerate() {
        phase += pitch * (1.1 - 0.2 * n as f32 / length) / rate as f32;
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase -= phase.floor();
        let breath = 0.01 * random.next();
        let voiced: f32 = formants.iter_mut().map(|f| f.next(pulse + breath)).sum();
        let rise = (n as f32 / hiss as f32).min(1.0);
        let fall = ((length - n as f32) / hiss as f32).min(1.0);
        let hissed = if n < hiss { 0.05 * random.next() } else { 0.0 };
        *out = (voiced * rise + hissed) * fall;
    }
}

/// A formant.
struct Resonator {
    feedback: [f32; 2],
    gain: f32,
    past: [f32; 2],
}

impl Resonator {
    fn new(hz: f32, width_hz: f32, rate: u32) -> Self {
        let radius = (-std::f32::consts::PI * width_hz / rate as f32).exp();
        let angle = TAU * hz.min(rate as f32 * 0.45) / rate as f32;
        Self {
            feedback: [2.0 * radius * angle.cos(), -radius * radius],
            gain: 1.0 - radius,
            past: [0.0; 2],
        }
    }

    fn next(&mut self, input: f32) -> f32 {
        let [a, b] = self.feedback;
        let out = self.gain * input + a * self.past[0] + b * self.past[1];
        self.past = [out, self.past[0]];
        out
    }
}

/// To 16 bits, so that the part of the time that it fills has the level.
fn scaled(raw: &[f32], filled: f32, dbov: f32) -> Vec<i16> {
    let square = raw.iter().map(|s| s * s).sum::<f32>() / raw.len() as f32 / filled;
    let factor = 32_768.0 * 10f32.powf(dbov / 20.0) / square.sqrt();
    raw.iter().map(|s| (s * factor) as i16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::rms_dbov;

    #[test]
    fn levels_are_as_said() {
        for rate in [8000, 16_000, 48_000] {
            assert!((rms_dbov(&noise(rate, 1.0, -30.0, 1)) + 30.0).abs() < 0.1);
            let speech = speech(rate, 4.0, -20.0, 1);
            let spoken = speech
                .iter()
                .enumerate()
                .filter(|(at, _)| is_spoken(rate, *at));
            let spoken: Vec<i16> = spoken.map(|(_, sample)| *sample).collect();
            assert!(
                (rms_dbov(&spoken) + 20.0).abs() < 0.6,
                "{}",
                rms_dbov(&spoken)
            );
        }
    }
}
