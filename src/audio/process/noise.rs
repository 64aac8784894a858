//! Noise suppression by `sonora-ns`, the Wiener filter of WebRTC's audio processing in Rust.
//!
//! It works on 10 ms at 16 kHz. Other rates go there and back through the resampler; at 48 kHz
//! what lies above its band goes around, with the gain that it names for it. Steady noise is
//! turned down by up to 18 dB, after half a second in which it learns.

use sonora_ns::config::{NS_FRAME_SIZE, NsConfig, OVERLAP_SIZE, SuppressionLevel};
use sonora_ns::noise_suppressor::NoiseSuppressor;
use std::time::Duration;

use crate::audio::gain::to_sample;
use crate::audio::polyphase::Resampler;

/// The rate at which noise is suppressed, Hz.
const RATE: u32 = 16_000;
/// Samples of 20 ms there.
const FRAME: usize = 320;
/// Samples of 20 ms at 48 kHz.
const FULL_FRAME: usize = 960;

/// Noise suppression of one party. Large, so boxed; made and freed on the control side.
#[derive(Debug)]
pub struct NoiseSuppression {
    rate: u32,
    suppressor: NoiseSuppressor,
    there: Resampler,
    back: Resampler,
    above: Option<Above>,
}

impl NoiseSuppression {
    /// A suppressor for audio at `rate` Hz: 8000, 16000 or 48000.
    pub fn new(rate: u32) -> Box<Self> {
        let config = NsConfig {
            target_level: SuppressionLevel::K18dB,
        };
        Box::new(Self {
            rate,
            // With a second band, it says what to do above the first.
            suppressor: NoiseSuppressor::new_with_bands(config, 2),
            there: Resampler::new(rate, RATE),
            back: Resampler::new(RATE, rate),
            above: (rate > RATE).then(Above::new),
        })
    }

    /// How much later audio comes out: 6 ms, and up to 2.3 ms for the resampling.
    pub fn delay(&self) -> Duration {
        let filter = Duration::from_micros(OVERLAP_SIZE as u64 * 1_000_000 / u64::from(RATE));
        filter + self.there.delay() + self.back.delay()
    }

    /// Processes a frame of 20 ms in place; another length passes unchanged.
    pub fn process(&mut self, frame: &mut [i16]) {
        if frame.len() != self.rate as usize / 50 {
            return;
        }
        let mut wide = [0; FRAME];
        self.there.process(frame, &mut wide);
        if let Some(above) = &mut self.above {
            above.take(frame, &wide);
        }
        let (halves, _) = wide.as_chunks_mut::<NS_FRAME_SIZE>();
        let mut gains = [1.0; 2];
        for (half, gain) in halves.iter_mut().zip(&mut gains) {
            let mut samples = half.map(f32::from);
            self.suppressor.analyze(&samples);
            self.suppressor.process(&mut samples);
            *half = samples.map(to_sample);
            *gain = self.suppressor.upper_band_gain();
        }
        self.back.process(&wide, frame);
        if let Some(above) = &mut self.above {
            above.give(frame, gains);
        }
    }
}

/// The way of what lies above 8 kHz: the input less what goes through the suppressor, as late.
#[derive(Debug)]
struct Above {
    /// Brings the lower part back to 48 kHz, to be taken out.
    back: Resampler,
    /// The end of the last frame, as long as the resampling takes there and back.
    input: [i16; RESAMPLING],
    /// The upper part, as long as the suppressor takes and a frame more.
    waiting: [f32; SUPPRESSION + FULL_FRAME],
    gain: f32,
}

/// The delay of resampling to 16 kHz and back, samples at 48 kHz.
const RESAMPLING: usize = 56;
/// The delay of the suppressor, samples at 48 kHz.
const SUPPRESSION: usize = OVERLAP_SIZE * 3;

impl Above {
    fn new() -> Self {
        Self {
            back: Resampler::new(RATE, 48_000),
            input: [0; RESAMPLING],
            waiting: [0.0; SUPPRESSION + FULL_FRAME],
            gain: 1.0,
        }
    }

    fn take(&mut self, frame: &[i16], wide: &[i16; FRAME]) {
        let mut lower = [0; FULL_FRAME];
        self.back.process(wide, &mut lower);
        let whole = self.input.iter().chain(frame);
        let places = self.waiting[SUPPRESSION..].iter_mut();
        for ((place, whole), lower) in places.zip(whole).zip(&lower) {
            *place = f32::from(*whole) - f32::from(*lower);
        }
        if let Some(end) = frame.last_chunk() {
            self.input = *end;
        }
    }

    fn give(&mut self, frame: &mut [i16], gains: [f32; 2]) {
        let halves = frame.chunks_mut(FULL_FRAME / 2);
        for ((frame, upper), gain) in halves.zip(self.waiting.chunks(FULL_FRAME / 2)).zip(gains) {
            let step = (gain - self.gain) / frame.len() as f32;
            for (n, (sample, upper)) in frame.iter_mut().zip(upper).enumerate() {
                let part = upper * (self.gain + step * n as f32);
                *sample = to_sample(f32::from(*sample) + part);
            }
            self.gain = gain;
        }
        self.waiting.copy_within(FULL_FRAME.., 0);
    }
}
