//! Tones in WAV files: written, and measured with Goertzel's filter.
//!
//! Frequencies are multiples of 50 Hz: over whole 20 ms frames at 8 kHz they are orthogonal, so
//! that several tones in one file do not disturb each other's measurement.

use std::path::Path;

/// The rate of a telephone call.
pub const RATE: usize = 8000;
/// 20 ms.
pub const FRAME: usize = RATE / 50;

/// A sine of `hz` whose peak is `amplitude` (1.0: full scale).
pub fn sine(hz: f64, amplitude: f64, rate: usize, seconds: f64) -> Vec<f64> {
    let count = (seconds * rate as f64) as usize;
    let step = std::f64::consts::TAU * hz / rate as f64;
    (0..count)
        .map(|n| amplitude * (step * n as f64).sin())
        .collect()
}

/// The same as 16-bit samples at 8 kHz.
pub fn sine_16(hz: f64, amplitude: f64, seconds: f64) -> Vec<i16> {
    let samples = sine(hz, amplitude, RATE, seconds);
    samples
        .into_iter()
        .map(|s| (s * 32767.0).round() as i16)
        .collect()
}

/// The same in any format: what baresip sends by a codec of this rate and so many channels.
pub fn write_sine(path: &Path, hz: f64, amplitude: f64, seconds: f64, format: (usize, u16)) {
    let (rate, channels) = format;
    let samples = sine(hz, amplitude, rate, seconds).into_iter();
    let samples = samples.map(|s| (s * 32767.0).round() as i16);
    let each = samples.flat_map(|s| std::iter::repeat_n(s, usize::from(channels)));
    write_as(path, each, format);
}

/// Writes 16-bit mono at 8 kHz.
pub fn write(path: &Path, samples: &[i16]) {
    write_as(path, samples.iter().copied(), (RATE, 1));
}

fn write_as(path: &Path, samples: impl Iterator<Item = i16>, (rate, channels): (usize, u16)) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
}

/// Reads 16-bit mono at 8 kHz; the header has to be right.
pub fn read(path: &Path) -> Vec<i16> {
    let reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    assert_eq!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample),
        (1, 8000, 16)
    );
    reader.into_samples().collect::<Result<_, _>>().unwrap()
}

/// Reads 16 bits at any rate, and of several channels the first: the samples and the rate.
pub fn read_any(path: &Path) -> (Vec<i16>, usize) {
    let reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    assert_eq!(spec.bits_per_sample, 16);
    let first = reader.into_samples().step_by(usize::from(spec.channels));
    let samples = first.collect::<Result<_, _>>().unwrap();
    (samples, spec.sample_rate as usize)
}

/// Reads two channels of 16 bits: left, right, and the rate.
pub fn read_stereo(path: &Path) -> (Vec<i16>, Vec<i16>, usize) {
    let reader = hound::WavReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.bits_per_sample), (2, 16));
    let samples: Vec<i16> = reader.into_samples().collect::<Result<_, _>>().unwrap();
    let side = |first: usize| samples.iter().copied().skip(first).step_by(2).collect();
    (side(0), side(1), spec.sample_rate as usize)
}

/// The level of one frequency, dB relative to a full-scale sine.
pub fn level(samples: &[i16], hz: f64) -> f64 {
    level_at(samples, hz, RATE)
}

/// The same at any rate.
pub fn level_at(samples: &[i16], hz: f64, rate: usize) -> f64 {
    let step = std::f64::consts::TAU * hz / rate as f64;
    let coefficient = 2.0 * step.cos();
    let (mut one, mut two) = (0.0, 0.0);
    for &sample in samples {
        (one, two) = (f64::from(sample) / 32768.0 + coefficient * one - two, one);
    }
    let power = one * one + two * two - coefficient * one * two;
    let amplitude = 2.0 * power.max(0.0).sqrt() / samples.len().max(1) as f64;
    db(amplitude)
}

/// An amplitude in dB; nothing at all is -120.
pub fn db(amplitude: f64) -> f64 {
    20.0 * amplitude.max(1e-6).log10()
}

/// Where a tone is: from the first frame of its longest unbroken run to the frame behind the last.
/// A frame has the tone when it is within `tolerance` dB of `expected`.
pub fn longest_run(
    samples: &[i16],
    hz: f64,
    expected: f64,
    tolerance: f64,
) -> std::ops::Range<usize> {
    longest_run_at(samples, hz, expected, tolerance, RATE)
}

/// The same at any rate; the places are samples of it.
pub fn longest_run_at(
    samples: &[i16],
    hz: f64,
    expected: f64,
    tolerance: f64,
    rate: usize,
) -> std::ops::Range<usize> {
    let size = rate / 50;
    let mut best = 0..0;
    let mut start = None;
    let frames = samples.len() / size;
    for n in 0..=frames {
        let has = n < frames
            && (level_at(&samples[n * size..(n + 1) * size], hz, rate) - expected).abs()
                <= tolerance;
        match (has, start) {
            (true, None) => start = Some(n),
            (false, Some(from)) => {
                if n - from > best.len() {
                    best = from..n;
                }
                start = None;
            }
            _ => {}
        }
    }
    best.start * size..best.end * size
}

/// Seconds of `count` samples.
pub fn seconds(count: usize) -> f64 {
    count as f64 / RATE as f64
}

/// The tone is there from end to end of `samples`: within 1 dB as a whole, and no frame of 20 ms
/// further off than 3 dB (a gap, a click, a repeated or lost frame would be).
pub fn check_steady(samples: &[i16], hz: f64, expected: f64, what: &str) -> Result<(), String> {
    let whole = level(samples, hz);
    if (whole - expected).abs() > 1.0 {
        return Err(format!(
            "{what}: {hz} Hz at {whole:.1} dB, expected {expected:.1}"
        ));
    }
    for (n, frame) in samples.chunks_exact(FRAME).enumerate() {
        let level = level(frame, hz);
        if (level - expected).abs() > 3.0 {
            let at = seconds(n * FRAME);
            return Err(format!(
                "{what}: {hz} Hz at {at:.2} s is {level:.1} dB, expected {expected:.1}"
            ));
        }
    }
    Ok(())
}

/// The tone is nowhere: at least `below` dB under `reference` in the whole.
pub fn check_absent(samples: &[i16], hz: f64, limit: f64, what: &str) -> Result<(), String> {
    let found = level(samples, hz);
    if found > limit {
        return Err(format!(
            "{what}: {hz} Hz at {found:.1} dB, at most {limit:.1} expected"
        ));
    }
    Ok(())
}
