//! Each requirement in small; `cargo bench --bench dtmf` asks the same of many thousand presses.

use std::f64::consts::TAU;

use super::*;
use crate::audio::TICK_SAMPLES;
use crate::audio::conceal::Concealer;
use crate::audio::tone::Tone;
use crate::codec::g711;

/// How a key is pressed: 50 ms at -10 dBm0 each, unless said otherwise.
#[derive(Clone, Copy)]
struct Press {
    ms: usize,
    /// Of the low and of the high tone.
    dbm0: [f64; 2],
    off_percent: [f64; 2],
    /// White noise below the pair.
    snr_db: f64,
}

const PRESS: Press = Press {
    ms: 50,
    dbm0: [-10.0; 2],
    off_percent: [0.0; 2],
    snr_db: f64::INFINITY,
};

/// A line at 8 kHz, and what looks random on it.
struct Line {
    samples: Vec<f64>,
    seed: u64,
}

impl Line {
    fn new(seed: u64) -> Self {
        let mut line = Self {
            samples: Vec::new(),
            // Small seeds would begin with small numbers.
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1),
        };
        // Anywhere against the frames.
        let lead = 400 + (line.unit() * 160.0) as usize;
        line.samples.resize(lead, 0.0);
        line
    }

    /// From 0 to 1 (an xorshift).
    fn unit(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    fn pause(&mut self, ms: usize) {
        self.samples.resize(self.samples.len() + ms * 8, 0.0);
    }

    fn press(&mut self, digit: Digit, press: Press) {
        let peak = press.dbm0.map(peak);
        let power = f64::midpoint(peak[0] * peak[0], peak[1] * peak[1]);
        // Uniform noise of width w has the power w^2 / 12.
        let noise = (12.0 * power / 10f64.powf(press.snr_db / 10.0)).sqrt();
        let (low, high) = digit.frequencies();
        let hz = [f64::from(low), f64::from(high)];
        let step = [0, 1].map(|t| TAU * hz[t] * (1.0 + press.off_percent[t] / 100.0) / 8000.0);
        let phase = [self.unit() * TAU, self.unit() * TAU];
        for n in 0..press.ms * 8 {
            let tones: f64 = (0..2)
                .map(|t| peak[t] * (step[t] * n as f64 + phase[t]).sin())
                .sum();
            let noise = noise * (self.unit() - 0.5);
            self.samples.push(tones + noise);
        }
    }

    /// All digits, with pauses of 40 ms.
    fn press_all(seed: u64, press: Press) -> Self {
        let mut line = Self::new(seed);
        for digit in Digit::all() {
            line.press(digit, press);
            line.pause(40);
        }
        line
    }

    /// As it arrives, in whole frames.
    fn frames(mut self) -> Vec<[i16; TICK_SAMPLES]> {
        self.pause(60);
        let samples: Vec<i16> = self.samples.iter().map(|s| s.round() as i16).collect();
        samples.as_chunks().0.to_vec()
    }

    fn heard(self) -> String {
        heard(&self.frames())
    }
}

/// The peak of a sine.
fn peak(dbm0: f64) -> f64 {
    f64::from(Tone::sine(1000.0, dbm0 as f32).amplitude())
}

/// The digits that are told.
fn heard(frames: &[[i16; TICK_SAMPLES]]) -> String {
    let mut detector = Detector::new();
    let told = frames.iter().filter_map(|f| detector.process(f).digit);
    told.map(Digit::as_char).collect()
}

const ALL: &str = "0123456789*#ABCD";

#[test]
fn every_digit_is_told_once_however_long() {
    for (seed, ms) in [(1, 40), (2, 55), (3, 70), (4, 100), (5, 1000)] {
        assert_eq!(
            Line::press_all(seed, Press { ms, ..PRESS }).heard(),
            ALL,
            "{ms} ms"
        );
    }
}

#[test]
fn levels_from_0_to_minus_30_dbm0_and_either_codec() {
    for (seed, dbm0) in [(1, 0.0), (2, -15.0), (3, -30.0)] {
        let press = Press {
            ms: 40,
            dbm0: [dbm0; 2],
            ..PRESS
        };
        let linear = Line::press_all(seed, press).frames();
        let a_law = linear
            .clone()
            .map(|s| g711::alaw_decode(g711::alaw_encode(s)));
        let u_law = linear
            .clone()
            .map(|s| g711::ulaw_decode(g711::ulaw_encode(s)));
        assert_eq!(
            [heard(&linear), heard(&a_law), heard(&u_law)],
            [ALL; 3],
            "{dbm0} dBm0"
        );
    }
}

trait Each {
    fn map(self, change: fn(i16) -> i16) -> Self;
}

impl Each for Vec<[i16; TICK_SAMPLES]> {
    fn map(mut self, change: fn(i16) -> i16) -> Self {
        self.as_flattened_mut()
            .iter_mut()
            .for_each(|s| *s = change(*s));
        self
    }
}

#[test]
fn twist_offset_and_noise_at_once() {
    for (seed, dbm0) in [(1, [-14.0, -10.0]), (2, [-10.0, -18.0])] {
        for off in [[1.5, 1.5], [-1.5, 1.5], [1.5, -1.5], [-1.5, -1.5]] {
            let press = Press {
                ms: 40,
                dbm0,
                off_percent: off,
                snr_db: 15.0,
            };
            assert_eq!(
                Line::press_all(seed, press).heard(),
                ALL,
                "{dbm0:?} {off:?}"
            );
        }
    }
}

#[test]
fn more_twist_than_a_line_has_is_refused() {
    for (seed, dbm0) in [(1, [-18.0, -10.0]), (2, [-10.0, -22.0])] {
        assert_eq!(
            Line::press_all(seed, Press { dbm0, ..PRESS }).heard(),
            "",
            "{dbm0:?}"
        );
    }
}

#[test]
fn dial_tone_may_go_on_behind_the_digits() {
    let dial_tones: [(&[f64], f64); 2] = [(&[350.0, 440.0], -13.0), (&[425.0], -10.0)];
    for (frequencies, dbm0) in dial_tones {
        let press = Press {
            ms: 40,
            dbm0: [-20.0; 2],
            ..PRESS
        };
        let mut line = Line::press_all(1, press);
        let peak = peak(dbm0);
        for hz in frequencies {
            for (n, s) in line.samples.iter_mut().enumerate() {
                *s += peak * (TAU * hz * n as f64 / 8000.0).sin();
            }
        }
        assert_eq!(line.heard(), ALL, "{frequencies:?}");
    }
}

#[test]
fn a_tone_3_5_percent_off_is_refused() {
    for off in [
        [3.5, 0.0],
        [-3.5, 0.0],
        [0.0, 3.5],
        [0.0, -3.5],
        [3.5, -3.5],
        [-3.5, 1.5],
    ] {
        for snr_db in [f64::INFINITY, 15.0] {
            let press = Press {
                ms: 200,
                off_percent: off,
                snr_db,
                ..PRESS
            };
            assert_eq!(Line::press_all(1, press).heard(), "", "{off:?} {snr_db} dB");
        }
    }
}

#[test]
fn a_tone_of_23_ms_is_refused() {
    for seed in 1..8 {
        for snr_db in [f64::INFINITY, 15.0] {
            let press = Press {
                ms: 23,
                snr_db,
                ..PRESS
            };
            assert_eq!(
                Line::press_all(seed, press).heard(),
                "",
                "{seed} {snr_db} dB"
            );
        }
    }
}

#[test]
fn a_gap_of_10_ms_does_not_double_a_digit() {
    let mut line = Line::new(1);
    for digit in Digit::all() {
        line.press(digit, PRESS);
        line.pause(10);
        line.press(digit, PRESS);
        line.pause(40);
    }
    assert_eq!(line.heard(), ALL);
}

#[test]
fn a_pause_of_40_ms_doubles_a_digit() {
    let mut line = Line::new(1);
    for digit in Digit::all() {
        for _ in 0..2 {
            line.press(digit, Press { ms: 40, ..PRESS });
            line.pause(40);
        }
    }
    assert_eq!(line.heard(), "00112233445566778899**##AABBCCDD");
}

#[test]
fn another_digit_needs_no_pause() {
    let mut line = Line::new(1);
    for digit in Digit::all() {
        line.press(digit, PRESS);
    }
    assert_eq!(line.heard(), ALL);
}

/// These frames are lost, and concealed.
fn lose(mut frames: Vec<[i16; TICK_SAMPLES]>, lost: &[usize]) -> Vec<[i16; TICK_SAMPLES]> {
    let mut concealer = Concealer::new(8000);
    for (n, frame) in frames.iter_mut().enumerate() {
        if lost.contains(&n) {
            concealer.conceal(frame);
        } else {
            concealer.resume(frame);
            concealer.push(frame);
        }
    }
    frames
}

#[test]
fn a_digit_is_put_together_of_two_pieces() {
    let mut found = 0;
    for seed in 1..=4 {
        for digit in Digit::all() {
            let mut line = Line::new(seed);
            // 22 ms, a lost packet, and 26 ms of which concealment blends 8: neither is a digit.
            line.samples.resize(3 * TICK_SAMPLES - 22 * 8, 0.0);
            line.press(digit, Press { ms: 68, ..PRESS });
            let told = heard(&lose(line.frames(), &[3]));
            assert!(
                told.is_empty() || told == digit.to_string(),
                "{told} for {digit}"
            );
            found += told.len();
        }
    }
    assert!(found >= 56, "{found} of 64");
}

#[test]
fn a_lost_packet_costs_few_digits_and_doubles_none() {
    let mut found = 0;
    for seed in 1..=25 {
        let mut line = Line::new(seed);
        let mut lost = Vec::new();
        for digit in Digit::all() {
            // Somewhere in the tone, its edges included.
            let at = line.samples.len() + (line.unit() * 560.0) as usize;
            lost.push(at / TICK_SAMPLES);
            line.press(digit, Press { ms: 70, ..PRESS });
            line.pause(70);
        }
        let frames = lose(line.frames(), &lost);
        let told = heard(&frames);
        let mut wanted = ALL.chars();
        // In their order, and none twice.
        assert!(told.chars().all(|c| wanted.any(|w| w == c)), "{told}");
        found += told.len();
    }
    // At 2 % of packets lost, one digit in twelve is hit like this.
    assert!(found >= 385, "{found} of 400");
}

#[test]
fn all_but_the_first_ms_of_a_tone_are_suspect() {
    for (seed, dbm0) in (1..40).zip([0.0, -10.0, -20.0, -30.0].iter().cycle()) {
        let mut line = Line::new(seed);
        let begin = line.samples.len();
        let digit = Digit::from_event(seed as u8 % 16).unwrap();
        let press = Press {
            ms: 90,
            dbm0: [*dbm0; 2],
            ..PRESS
        };
        line.press(digit, press);
        let end = line.samples.len();
        let mut detector = Detector::new();
        let mut passed = 0;
        for (n, frame) in line.frames().iter().enumerate() {
            if !detector.process(frame).suspect {
                let (from, to) = (n * TICK_SAMPLES, (n + 1) * TICK_SAMPLES);
                passed += end.min(to).saturating_sub(begin.max(from));
            }
        }
        assert!(passed <= 10 * 8, "{seed}: {passed} samples");
    }
}

#[test]
fn suspicion_ends_soon_after_the_tone() {
    for ms in [20, 30, 60] {
        let mut line = Line::new(9);
        line.press(Digit::POUND, Press { ms, ..PRESS });
        let end = line.samples.len();
        // Not silence, in which all ends.
        for _ in 0..800 {
            let noise = (line.unit() - 0.5) * 600.0;
            line.samples.push(noise);
        }
        let mut detector = Detector::new();
        let frames = line.frames();
        let suspect: Vec<bool> = frames.iter().map(|f| detector.process(f).suspect).collect();
        let last = suspect.iter().rposition(|s| *s).unwrap();
        assert!(
            last * TICK_SAMPLES <= end + 40 * 8,
            "{ms} ms: {last}, {end}"
        );
    }
}

/// Voiced sound: harmonics of a falling pitch, under two formants.
fn vowel(pitch_hz: f64, formants_hz: [f64; 2]) -> Vec<[i16; TICK_SAMPLES]> {
    let mut phase = 0.0;
    let mut line = Line::new(1);
    for n in 0..4000 {
        phase += TAU * pitch_hz * (1.0 - f64::from(n) / 40_000.0) / 8000.0;
        let harmonics = (1..=16).map(|k| {
            let hz = f64::from(k) * pitch_hz;
            let near = |formant: f64| 1.0 / (1.0 + ((hz - formant) / 70.0).powi(2));
            (near(formants_hz[0]) + 0.5 * near(formants_hz[1]) + 0.02)
                * (f64::from(k) * phase).sin()
        });
        let sum: f64 = harmonics.sum();
        line.samples.push(sum * 8000.0);
    }
    line.frames()
}

#[test]
fn vowels_are_no_digits_and_rarely_suspect() {
    let (mut frames, mut suspect) = (0, 0);
    for (low, high) in Digit::all().map(Digit::frequencies) {
        for pitch in [90, 117, 140, 174, 200, 235, 290, 350] {
            let mut detector = Detector::new();
            for frame in &vowel(f64::from(pitch), [f64::from(low), f64::from(high)]) {
                let detection = detector.process(frame);
                assert_eq!(detection.digit, None, "{pitch} {low} {high}");
                frames += 1;
                suspect += u32::from(detection.suspect);
            }
        }
    }
    // Formants right on the tones, held for half a second: far worse than speech.
    assert!(suspect * 50 < frames, "{suspect} of {frames}");
}

#[test]
fn any_division_into_frames_hears_the_same() {
    let frames = Line::press_all(3, PRESS).frames();
    let samples = frames.as_flattened();
    for len in [1, 7, 80, 160, 240, 480] {
        let mut detector = Detector::new();
        let told: String = samples
            .chunks(len)
            .filter_map(|f| detector.process(f).digit)
            .map(Digit::as_char)
            .collect();
        assert_eq!(told, ALL, "{len}");
    }
}

#[test]
fn reset_forgets() {
    let mut line = Line::new(1);
    line.press(Digit::STAR, Press { ms: 200, ..PRESS });
    let frames = line.frames();
    let mut detector = Detector::new();
    // Within the tone, which is then told again.
    let before: usize = frames[..8]
        .iter()
        .filter(|f| detector.process(*f).digit.is_some())
        .count();
    detector.reset();
    let after: usize = frames[8..]
        .iter()
        .filter(|f| detector.process(*f).digit.is_some())
        .count();
    assert_eq!((before, after), (1, 1));
}

#[test]
fn no_input_is_too_strange() {
    let mut detector = Detector::new();
    for frame in [
        &[][..],
        &[i16::MIN; 160],
        &[],
        &[i16::MAX; 333],
        &[0; 1000],
        &[1; 5],
    ] {
        assert_eq!(detector.process(frame).digit, None);
    }
    for n in 0..100i32 {
        let square = [if n % 2 == 0 { i16::MIN } else { i16::MAX }; 5];
        assert_eq!(detector.process(&square).digit, None);
    }
}
