//! Resampling of files, by `rubato`'s band-limited interpolation.
//!
//! Sits behind the WAV reader, off the media thread: this allocates. A click stays where it was
//! to within a sample: `SincFixedIn` already starts half a filter ahead, whatever its
//! `output_delay` says (measured; the test holds it).

use rubato::{
    Resampler, SincFixedIn, SincInterpolationParameters, SincInterpolationType, WindowFunction,
    calculate_cutoff,
};

/// Samples that go through the filter at once.
const CHUNK: usize = 480;
/// The filter's length in samples of the lower rate: a transition band of about 5 % of it.
const SINC_LEN: usize = 128;

/// Resamples a whole clip. The result has `samples.len() * to / from` samples, rounded.
pub fn resample_file(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
    let mut out = Vec::with_capacity(expected(samples.len() as u64, from, to) as usize);
    let mut resampler = StreamResampler::new(from, to);
    resampler.push(samples, &mut out);
    resampler.finish(&mut out);
    out
}

/// Resamples a stream that comes in pieces of any length.
pub struct StreamResampler {
    from: u32,
    to: u32,
    /// `None`: the rates are equal, samples pass unchanged.
    filter: Option<Box<Filter>>,
    received: u64,
    delivered: u64,
}

struct Filter {
    sinc: SincFixedIn<f32>,
    pending: Vec<f32>,
    output: Vec<Vec<f32>>,
}

impl StreamResampler {
    /// A resampler from the rate `from` to `to`, Hz. Rates that the filter refuses (zero) pass
    /// the samples unchanged.
    pub fn new(from: u32, to: u32) -> Self {
        let filter = if from == to {
            None
        } else {
            Filter::new(from, to).map(Box::new)
        };
        let (from, to) = if filter.is_some() { (from, to) } else { (1, 1) };
        Self {
            from,
            to,
            filter,
            received: 0,
            delivered: 0,
        }
    }

    /// Takes `samples` and appends what is ready to `out`.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.received += samples.len() as u64;
        let before = out.len();
        match &mut self.filter {
            None => out.extend_from_slice(samples),
            Some(filter) => {
                for sample in samples {
                    filter.pending.push(f32::from(*sample));
                    if filter.pending.len() == CHUNK {
                        filter.run(out);
                    }
                }
            }
        }
        self.delivered += (out.len() - before) as u64;
    }

    /// Ends the stream: appends the rest, so that the whole has the right length.
    pub fn finish(&mut self, out: &mut Vec<i16>) {
        let missing = expected(self.received, self.from, self.to).saturating_sub(self.delivered);
        let end = out.len() + missing as usize;
        if let Some(filter) = &mut self.filter {
            while out.len() < end {
                let before = out.len();
                filter.pending.resize(CHUNK, 0.0);
                filter.run(out);
                if out.len() == before {
                    break;
                }
            }
            filter.pending.clear();
        }
        // Also cuts what the padding made too much, and fills what rounding left short.
        out.resize(end, 0);
        self.delivered += missing;
    }
}

impl Filter {
    fn new(from: u32, to: u32) -> Option<Self> {
        if from == 0 || to == 0 {
            return None;
        }
        let ratio = f64::from(to) / f64::from(from);
        let window = WindowFunction::BlackmanHarris2;
        // Downwards the filter must span more input for the same steepness.
        let sinc_len = (SINC_LEN as f64 / ratio.min(1.0)).min(2048.0) as usize / 8 * 8;
        let parameters = SincInterpolationParameters {
            sinc_len,
            f_cutoff: calculate_cutoff(sinc_len, window),
            oversampling_factor: 128,
            interpolation: SincInterpolationType::Quadratic,
            window,
        };
        let sinc = SincFixedIn::new(ratio, 1.0, parameters, CHUNK, 1).ok()?;
        let output = sinc.output_buffer_allocate(true);
        Some(Self {
            sinc,
            pending: Vec::with_capacity(CHUNK),
            output,
        })
    }

    /// Sends the full chunk in `pending` through the filter.
    fn run(&mut self, out: &mut Vec<i16>) {
        let done = self
            .sinc
            .process_into_buffer(&[&self.pending], &mut self.output, None);
        self.pending.clear();
        // The buffers have the sizes that the filter asked for, so it cannot refuse them.
        let Ok((_, count)) = done else { return };
        out.extend(self.output[0][..count].iter().map(|s| s.round() as i16));
    }
}

fn expected(samples: u64, from: u32, to: u32) -> u64 {
    let (from, to) = (u128::from(from.max(1)), u128::from(to.max(1)));
    ((u128::from(samples) * to + from / 2) / from) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::rms_dbov;
    use crate::audio::tone::{Oscillator, Tone};

    fn sine(hz: f32, rate: u32, samples: usize) -> Vec<i16> {
        let mut out = vec![0; samples];
        Oscillator::new(Tone::sine(hz, -6.0), rate).fill(&mut out);
        out
    }

    #[test]
    fn a_tone_keeps_level_place_and_length() {
        for from in [11_025, 16_000, 22_050, 44_100, 48_000, 6_000] {
            let out = resample_file(&sine(1000.0, from, from as usize), from, 8000);
            assert_eq!(out.len(), 8000, "{from}");
            // Fit a 1 kHz sine (eight samples a period) to the middle; the rest is distortion.
            let middle = &out[1000..7000];
            let angle = |i: usize| (i % 8) as f64 * std::f64::consts::FRAC_PI_4;
            let fit = |wave: fn(f64) -> f64| {
                let sum: f64 = middle
                    .iter()
                    .enumerate()
                    .map(|(i, s)| f64::from(*s) * wave(angle(i)))
                    .sum();
                sum * 2.0 / middle.len() as f64
            };
            let (in_phase, quadrature) = (fit(f64::sin), fit(f64::cos));
            let amplitude = f64::from(Tone::sine(1000.0, -6.0).amplitude());
            let db = 20.0 * (in_phase.hypot(quadrature) / amplitude).log10();
            assert!(db.abs() < 0.05, "{from} Hz: level {db} dB");
            let rest: f64 = middle
                .iter()
                .enumerate()
                .map(|(i, s)| {
                    let (sin, cos) = angle(i).sin_cos();
                    (f64::from(*s) - in_phase * sin - quadrature * cos).powi(2)
                })
                .sum();
            let noise = 10.0 * (rest / middle.len() as f64 * 2.0 / amplitude.powi(2)).log10();
            assert!(noise < -60.0, "{from} Hz: distortion {noise} dB");
        }
    }

    #[test]
    fn a_click_stays_in_its_place() {
        for from in [4000, 6000, 7999, 8001, 11_025, 16_000, 44_100, 48_000] {
            let (rate, at) = (from as usize, from as usize / 2);
            let mut input = vec![0i16; rate];
            for (i, sample) in input[at - 100..at + 100].iter_mut().enumerate() {
                *sample = (10_000.0 * (-((i as f64 - 100.0) / 20.0).powi(2)).exp()) as i16;
            }
            let out = resample_file(&input, from, 8000);
            let sum: f64 = out.iter().map(|s| f64::from(*s)).sum();
            let centre: f64 = out
                .iter()
                .enumerate()
                .map(|(i, s)| i as f64 * f64::from(*s))
                .sum();
            let moved = centre / sum - at as f64 * 8000.0 / f64::from(from);
            assert!(moved.abs() < 1.1, "{from} Hz: moved by {moved} samples");
        }
    }

    #[test]
    fn what_would_alias_is_removed() {
        let out = resample_file(&sine(5000.0, 16_000, 16_000), 16_000, 8000);
        assert!(
            rms_dbov(&out[500..7500]) < -70.0,
            "{}",
            rms_dbov(&out[500..7500])
        );
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let input = sine(440.0, 44_100, 20_011);
        let whole = resample_file(&input, 44_100, 8000);
        let mut pieces = Vec::new();
        let mut resampler = StreamResampler::new(44_100, 8000);
        for piece in input.chunks(333) {
            resampler.push(piece, &mut pieces);
        }
        resampler.finish(&mut pieces);
        assert_eq!(whole, pieces);
    }

    #[test]
    fn equal_and_impossible_rates_pass() {
        assert_eq!(resample_file(&[1, 2, 3], 8000, 8000), [1, 2, 3]);
        assert_eq!(resample_file(&[1, 2, 3], 0, 8000), [1, 2, 3]);
        assert!(resample_file(&[], 16_000, 8000).is_empty());
    }
}
