//! The live path's resampler: `cargo bench --bench resample`. Prints, for each pair of rates, how
//! flat the pass band is, the loudest that folds or is mirrored into what is sent, the delay, and
//! the CPU time for a second of audio; the least of several rounds, since what disturbs a round
//! only makes it longer.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Instant;

use antiphon::audio::polyphase::Resampler;

const RATES: [u32; 3] = [8000, 16_000, 48_000];
const ROUNDS: u32 = 30;
const AMPLITUDE: f64 = 1e9;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!("cargo bench --bench resample\n\nA table over pairs of rates. It has no options.");
        return;
    }
    println!(
        "| from | to | pass band: dB | worst alias or image dB | delay ms | us per s of audio |"
    );
    println!("|---|---|---|---|---|---|");
    for (from, to) in RATES.iter().flat_map(|from| RATES.map(|to| (*from, to))) {
        if from == to {
            continue;
        }
        let (ripple, worst) = quality(from, to);
        let delay = Resampler::new(from, to).delay().as_secs_f64() * 1000.0;
        let cost = cost(from, to);
        println!("| {from} | {to} | {ripple:.2} | {worst:.1} | {delay:.2} | {cost:.0} |");
    }
}

/// The largest departure from 0 dB up to 0.85 of the lower Nyquist frequency, and the largest of
/// what comes out beside a sine that lies there or is to be removed, both in dB.
fn quality(from: u32, to: u32) -> (f64, f64) {
    let nyquist = f64::from(from.min(to)) / 2.0;
    let (mut ripple, mut worst) = (0f64, f64::MIN);
    let steps = from / 2 / 20;
    for hz in (0..steps).map(|step| f64::from(step) * 20.0 + 10.0) {
        let (level, rest) = response(hz, from, to);
        if hz <= 0.85 * nyquist {
            ripple = ripple.max(level.abs());
            worst = worst.max(rest);
        } else if hz >= 1.15 * nyquist {
            worst = worst.max(rest).max(level);
        }
    }
    (ripple, worst)
}

/// A sine's way through: its level, and that of all else that comes out, dB.
fn response(hz: f64, from: u32, to: u32) -> (f64, f64) {
    let angle = |n: usize, rate: u32| TAU * hz * n as f64 / f64::from(rate);
    let ms = |ms: u32, rate: u32| (rate / 1000 * ms) as usize;
    let input: Vec<i32> = (0..ms(140, from))
        .map(|n| (AMPLITUDE * angle(n, from).sin()) as i32)
        .collect();
    let mut out = vec![0; ms(140, to)];
    Resampler::new(from, to).process_sums(&input, &mut out);
    // 100 ms, a whole number of periods of all frequencies here.
    let window = &out[ms(20, to)..ms(120, to)];
    let n = window.len() as f64;
    let total = window.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / n;
    let amplitude = if hz < f64::from(to) / 2.0 {
        let (re, im) = window
            .iter()
            .enumerate()
            .fold((0.0, 0.0), |(re, im), (i, s)| {
                let (sin, cos) = angle(i, to).sin_cos();
                (re + f64::from(*s) * cos, im + f64::from(*s) * sin)
            });
        2.0 * f64::hypot(re, im) / n
    } else {
        0.0
    };
    let rest = (2.0 * total - amplitude * amplitude).max(0.0).sqrt();
    let db = |amplitude: f64| 20.0 * (amplitude / AMPLITUDE).max(1e-12).log10();
    (db(amplitude), db(rest))
}

/// us for a second of noise in frames of 20 ms.
fn cost(from: u32, to: u32) -> f64 {
    let mut state = 1u32;
    let input: Vec<i16> = (0..from / 50)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 18) as i16
        })
        .collect();
    let mut out = vec![0; to as usize / 50];
    let mut resampler = Resampler::new(from, to);
    let mut round = || {
        let begin = Instant::now();
        for _ in 0..200 {
            resampler.process(black_box(&input), black_box(&mut out));
        }
        begin.elapsed().as_secs_f64() * 1e6 / 4.0
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}
