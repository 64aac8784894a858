//! Resampling of the live path: 8, 16 and 48 kHz into each other, frame by frame.
//!
//! Sits between a leg and a bridge of another rate, and between a bridge's sums and a party of
//! another rate. A polyphase FIR filter of linear phase: 20 taps of the lower rate, designed once
//! for each ratio. Linear, so a sum of resampled parties is the resampled sum.
//!
//! In terms of the lower rate's Nyquist frequency (4 kHz, 8 kHz):
//!
//! | band | what happens |
//! | --- | --- |
//! | up to 0.85 | passes, within 0.2 dB; what folds or is mirrored into it is below -60 dB |
//! | 0.85 to 1.15 | the transition: -6 dB at 1. Downwards, what lies above 1 folds into 0.85 to 1, upwards what lies below 1 is mirrored to above it, weakened as the filter falls |
//! | above 1.15 | below -60 dB |
//!
//! The delay is 9 samples of the lower rate downwards, and 9.5 to 9.83 upwards: 1.1 to 1.25 ms
//! at 8 kHz, half of it at 16 kHz. `audio::resample` is for files and has a sharper filter.

mod design;

use std::time::Duration;

use super::gain::to_sample;
use design::{Kernel, TAPS, kernel};

/// Samples that a phase of the filter remembers.
const HISTORY: usize = TAPS - 1;
/// Samples of the lower rate that go through the filter at once: 20 ms at 16 kHz.
const CHUNK: usize = 320;
/// Outputs that the inner loop computes side by side.
const BLOCK: usize = 16;
/// The highest ratio of two rates.
const MAX_RATIO: usize = 6;

/// Designs the filters of all ratios, so that no call has to wait for it.
pub fn prepare() {
    for (from, to) in [(8000, 16_000), (8000, 48_000), (16_000, 48_000)] {
        let _ = Resampler::new(from, to);
    }
}

/// Resamples one stream. Holds all its memory itself: neither making nor using it allocates.
#[derive(Clone, Debug)]
pub struct Resampler {
    kernel: &'static Kernel,
    direction: Direction,
    /// The last samples of each phase of the input, oldest first; upwards there is one phase.
    history: [[f32; HISTORY]; MAX_RATIO],
    quiet: bool,
    low_rate: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Same,
    Up,
    Down,
}

impl Resampler {
    /// A resampler from `from_hz` to `to_hz`, with silence behind it. The first of a ratio designs
    /// the filter, which takes some milliseconds: make it on the control side.
    ///
    /// # Panics
    /// If a rate is none of 8000, 16000 and 48000 Hz.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        for rate in [from_hz, to_hz] {
            assert!(matches!(rate, 8000 | 16_000 | 48_000), "the rate {rate} Hz");
        }
        let (low_rate, high_rate) = (from_hz.min(to_hz), from_hz.max(to_hz));
        let direction = match from_hz.cmp(&to_hz) {
            std::cmp::Ordering::Less => Direction::Up,
            std::cmp::Ordering::Equal => Direction::Same,
            std::cmp::Ordering::Greater => Direction::Down,
        };
        Self {
            kernel: kernel((high_rate / low_rate) as usize),
            direction,
            history: [[0.0; HISTORY]; MAX_RATIO],
            quiet: true,
            low_rate,
        }
    }

    /// Resamples the next frame, saturating. `out` takes `input.len() * to / from` samples; both
    /// are whole numbers of samples of the lower rate (20 ms, 10 ms, or any other), what is beyond
    /// is left alone.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) {
        self.run(input, out);
    }

    /// The same for a bridge's sums, in `f32` inside: exact to 24 bits.
    pub fn process_sums(&mut self, input: &[i32], out: &mut [i32]) {
        self.run(input, out);
    }

    /// Whether nothing is left of earlier frames: silence in gives silence out, so that a caller
    /// with a silent frame may leave this out.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Forgets earlier frames.
    pub fn reset(&mut self) {
        self.history = [[0.0; HISTORY]; MAX_RATIO];
        self.quiet = true;
    }

    /// How much later a sound comes out than it went in.
    pub fn delay(&self) -> Duration {
        // In samples of the higher rate; see `design`.
        let (ratio, half) = (
            self.kernel.ratio as u64,
            self.kernel.ratio as u64 * TAPS as u64 / 2,
        );
        let samples = match self.direction {
            Direction::Same => 0,
            Direction::Up => half - 1,
            Direction::Down => half - ratio,
        };
        Duration::from_nanos(samples * 1_000_000_000 / (u64::from(self.low_rate) * ratio))
    }

    fn run<S: Sample>(&mut self, input: &[S], out: &mut [S]) {
        let ratio = self.kernel.ratio;
        let (per_input, per_output) = match self.direction {
            Direction::Same => {
                let n = input.len().min(out.len());
                out[..n].copy_from_slice(&input[..n]);
                return;
            }
            Direction::Up => (1, ratio),
            Direction::Down => (ratio, 1),
        };
        let inputs = input.chunks(CHUNK * per_input);
        for (input, out) in inputs.zip(out.chunks_mut(CHUNK * per_output)) {
            let low = (input.len() / per_input).min(out.len() / per_output);
            let (input, out) = (&input[..low * per_input], &mut out[..low * per_output]);
            if self.quiet && input.iter().all(|sample| *sample == S::default()) {
                out.fill(S::default());
                continue;
            }
            match (self.direction, ratio) {
                (Direction::Up, 2) => self.up::<2, S>(input, out),
                (Direction::Up, 3) => self.up::<3, S>(input, out),
                (Direction::Up, _) => self.up::<6, S>(input, out),
                (_, 2) => self.down::<2, S>(input, out),
                (_, 3) => self.down::<3, S>(input, out),
                _ => self.down::<6, S>(input, out),
            }
            let used = &self.history[..per_input];
            self.quiet = used.as_flattened().iter().all(|sample| *sample == 0.0);
        }
    }

    /// One input, and each phase of the filter gives every `RATIO`-th output.
    fn up<const RATIO: usize, S: Sample>(&mut self, input: &[S], out: &mut [S]) {
        let line = Line::new(&mut self.history[0], input.iter().copied());
        let (groups, _) = out.as_chunks_mut::<RATIO>();
        for (phase, taps) in self.kernel.up().iter().enumerate() {
            let mut sums = [0.0; CHUNK];
            line.filter(input.len(), taps, &mut sums);
            let samples = sums.map(S::from_f32);
            for (group, sample) in groups.iter_mut().zip(&samples) {
                group[phase % RATIO] = *sample;
            }
        }
    }

    /// Each phase of the filter takes every `RATIO`-th input, and they add up.
    fn down<const RATIO: usize, S: Sample>(&mut self, input: &[S], out: &mut [S]) {
        let (groups, _) = input.as_chunks::<RATIO>();
        let mut sums = [0.0; CHUNK];
        for (phase, taps) in self.kernel.down().iter().enumerate() {
            // Phase 0 of the filter meets the newest sample.
            let samples = groups.iter().map(|group| group[RATIO - 1 - phase % RATIO]);
            let line = Line::new(&mut self.history[phase], samples);
            line.filter(out.len(), taps, &mut sums);
        }
        for (place, sum) in out.iter_mut().zip(&sums) {
            *place = S::from_f32(*sum);
        }
    }
}

/// One phase's input: its history, then the new samples.
struct Line([f32; HISTORY + CHUNK]);

impl Line {
    /// Takes the new samples behind the history, and their end into it.
    fn new<S: Sample>(
        history: &mut [f32; HISTORY],
        samples: impl ExactSizeIterator<Item = S>,
    ) -> Self {
        let new = samples.len();
        let mut line = [0.0; HISTORY + CHUNK];
        line[..HISTORY].copy_from_slice(history);
        for (place, sample) in line[HISTORY..].iter_mut().zip(samples) {
            *place = sample.to_f32();
        }
        history.copy_from_slice(&line[new..new + HISTORY]);
        Self(line)
    }

    /// Adds the filtered line to `sums`, in whole blocks that reach over `new`.
    fn filter(&self, new: usize, taps: &[f32; TAPS], sums: &mut [f32; CHUNK]) {
        let (blocks, _) = sums.as_chunks_mut::<BLOCK>();
        for (i, block) in blocks.iter_mut().take(new.div_ceil(BLOCK)).enumerate() {
            let Some(inputs) = self.0[i * BLOCK..].first_chunk::<{ BLOCK + HISTORY }>() else {
                return;
            };
            let mut accumulators = *block;
            for (n, tap) in taps.iter().enumerate() {
                for (k, accumulator) in accumulators.iter_mut().enumerate() {
                    *accumulator += tap * inputs[n + k];
                }
            }
            *block = accumulators;
        }
    }
}

/// What can be resampled.
trait Sample: Copy + Default + PartialEq {
    fn to_f32(self) -> f32;
    /// Rounds and saturates.
    fn from_f32(value: f32) -> Self;
}

impl Sample for i16 {
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    fn from_f32(value: f32) -> Self {
        to_sample(value)
    }
}

impl Sample for i32 {
    fn to_f32(self) -> f32 {
        self as f32
    }
    fn from_f32(value: f32) -> Self {
        (value + 0.5f32.copysign(value)) as i32
    }
}

#[cfg(test)]
mod tests;
