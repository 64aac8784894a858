//! Four parties, a tone each, mixed: what jitter takes from the signal-to-noise ratio.

use antiphon::codec::{Codec, CodecError};

use super::call::call;
use super::network::Profile;

const TONES_HZ: [f64; 4] = [310.0, 590.0, 1130.0, 1870.0];
const SECONDS: usize = 60;
/// Until the delay is found, s.
const SETTLED: usize = 10;

/// Prints the row; whether jitter takes at most 3 dB.
pub fn row() -> Result<bool, CodecError> {
    let clean = snr(Profile::Clean)?;
    let jitter = snr(Profile::Jitter)?;
    let met = jitter >= clean - 3.0;
    println!(
        "four tones mixed: SNR {clean:.1} dB clean, {jitter:.1} dB with 0-30 ms jitter, \
         at most 3 dB less: {}\n",
        if met { "met" } else { "MISSED" }
    );
    Ok(met)
}

fn snr(profile: Profile) -> Result<f64, CodecError> {
    let mut mix = vec![0.0; SECONDS * 8000];
    for (n, hz) in TONES_HZ.iter().enumerate() {
        let tone: Vec<i16> = (0..mix.len())
            .map(|t| ((t as f64 * hz / 8000.0 * std::f64::consts::TAU).sin() * 6000.0) as i16)
            .collect();
        let call = call(Codec::Pcmu, &tone, profile, 100 + n as u64)?;
        for (sum, heard) in mix.iter_mut().zip(call.heard) {
            *sum += f64::from(heard);
        }
    }
    // In pieces of a second: a shift between them is no noise, one within them is.
    let (mut signal, mut noise) = (0.0, 0.0);
    for piece in mix[SETTLED * 8000..].chunks_exact(8000) {
        let (own, rest) = fit(piece);
        signal += own;
        noise += rest;
    }
    Ok(10.0 * (signal / noise).log10())
}

/// The energy of the four tones and of all else. The tones have whole periods in a second, so
/// that they are orthogonal.
fn fit(piece: &[f64]) -> (f64, f64) {
    let all: f64 = piece.iter().map(|s| s * s).sum();
    let tones: f64 = TONES_HZ
        .iter()
        .map(|hz| {
            let (mut re, mut im) = (0.0, 0.0);
            for (t, sample) in piece.iter().enumerate() {
                let (sin, cos) = (t as f64 * hz / 8000.0 * std::f64::consts::TAU).sin_cos();
                re += sample * cos;
                im += sample * sin;
            }
            2.0 * (re * re + im * im) / piece.len() as f64
        })
        .sum();
    (tones, all - tones)
}
