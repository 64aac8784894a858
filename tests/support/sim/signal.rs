//! What is in audio: tones, their level, the rest.

use std::f64::consts::TAU;

/// Amplitude of the sine of `hz`. Exact over whole seconds and whole Hz.
pub fn amplitude(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &s) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * hz * n as f64 / 8000.0).sin_cos();
        re += f64::from(s) * cos;
        im += f64::from(s) * sin;
    }
    re.hypot(im) * 2.0 / samples.len() as f64
}

/// Level of a tone against `reference`, dB.
pub fn db(samples: &[i16], hz: f64, reference: f64) -> f64 {
    20.0 * (amplitude(samples, hz).max(1e-9) / reference).log10()
}

/// Signal to noise: the tones against everything else, dB.
pub fn snr(samples: &[i16], tones: &[f64]) -> f64 {
    let power = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64;
    let signal: f64 = tones
        .iter()
        .map(|&hz| amplitude(samples, hz).powi(2) / 2.0)
        .sum();
    10.0 * (signal / (power - signal).max(1e-9)).log10()
}

/// The sharpest bend in the audio: the largest second difference. A sine bends little, the noise of
/// G.711 a little more, a step as much as it is high.
pub fn sharpest(samples: &[i16]) -> i32 {
    samples
        .windows(3)
        .map(|w| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs())
        .max()
        .unwrap_or(0)
}

/// Loudest sample.
pub fn peak(samples: &[i16]) -> i32 {
    samples
        .iter()
        .map(|&s| i32::from(s).abs())
        .max()
        .unwrap_or(0)
}
