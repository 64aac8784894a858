//! The conference mix's limiter: `cargo bench --bench limiter`. Two tables: what 20 parties at
//! full scale sound like beside hard clipping, and the CPU time for a frame; the least of several
//! rounds, since what disturbs a round only makes it longer.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::Instant;

use antiphon::audio::limiter::{Limiter, accumulate, limit_slice, limit_without};

const RATES: [u32; 3] = [8000, 16_000, 48_000];
const ROUNDS: u32 = 30;
const PARTIES: usize = 20;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!("cargo bench --bench limiter\n\nTwo tables. It has no options.");
        return;
    }
    println!("Distortion of {PARTIES} parties at full scale, at 8 kHz, dB\n");
    println!("| signal | limiter | clipped |\n|---|---|---|");
    let same: Vec<f64> = vec![440.0; PARTIES];
    let different: Vec<f64> = (0..PARTIES).map(|n| 210.0 + 150.0 * n as f64).collect();
    for (name, tones) in [
        ("one tone of all, THD+N", same),
        ("20 tones, THD+N", different),
    ] {
        let sums = sum(tones.iter().map(|hz| sine(*hz)));
        row(name, &sums, |out| thd(out, &tones));
    }
    let sums = sum((0..PARTIES).map(|seed| noise(seed as u32, 1.0)));
    row("noise, unlike the sum", &sums, |out| unlike(out, &sums));
    let sums = sum((0..PARTIES).map(|seed| words(seed as u32)));
    row("noise in syllables, unlike the sum", &sums, |out| {
        unlike(out, &sums)
    });

    println!("\nns for a frame of 20 ms\n");
    println!("| rate | saturated | fits | turned down | own mix: saturated | fits | turned down |");
    println!("|---|---|---|---|---|---|---|");
    for rate in RATES {
        costs(rate);
    }
}

fn row(name: &str, sums: &[i32], measure: impl Fn(&[i16]) -> f64) {
    let mut limiter = Limiter::default();
    let mut out = vec![0; sums.len()];
    for (sums, out) in sums.chunks(160).zip(out.chunks_mut(160)) {
        limiter.limit(sums, out);
    }
    let mut clipped = vec![0; sums.len()];
    limit_slice(sums, &mut clipped);
    println!(
        "| {name} | {:.1} | {:.1} |",
        measure(&out),
        measure(&clipped)
    );
}

fn sum(parties: impl Iterator<Item = Vec<i16>>) -> Vec<i32> {
    let mut sums = vec![0; 16_000];
    parties.for_each(|party| accumulate(&mut sums, &party));
    sums
}

fn sine(hz: f64) -> Vec<i16> {
    (0..16_000)
        .map(|n| (32_767.0 * (TAU * hz * f64::from(n) / 8000.0).sin()) as i16)
        .collect()
}

fn noise(seed: u32, amplitude: f64) -> Vec<i16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let random = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (f64::from(state as i32) / 65_536.0 * amplitude) as i16
    };
    (0..16_000).map(random).collect()
}

/// Noise that comes and goes four times a second.
fn words(seed: u32) -> Vec<i16> {
    let mut noise = noise(seed, 1.0);
    for (n, sample) in noise.iter_mut().enumerate() {
        let phase = TAU * (4.0 * n as f64 / 8000.0 + f64::from(seed) / 7.0);
        *sample = (f64::from(*sample) * phase.sin().max(0.0)) as i16;
    }
    noise
}

/// What is in the last 100 ms beside the tones, relative to them.
fn thd(out: &[i16], tones: &[f64]) -> f64 {
    let window = &out[out.len() - 800..];
    let total = window.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 800.0;
    let mut tones = tones.to_vec();
    tones.dedup();
    let wanted: f64 = tones
        .iter()
        .map(|hz| {
            let (re, im) = window
                .iter()
                .enumerate()
                .fold((0.0, 0.0), |(re, im), (n, s)| {
                    let (sin, cos) = (TAU * hz * n as f64 / 8000.0).sin_cos();
                    (re + f64::from(*s) * cos, im + f64::from(*s) * sin)
                });
            2.0 * (re * re + im * im) / (800.0 * 800.0)
        })
        .sum();
    10.0 * ((total - wanted).max(1e-9) / wanted).log10()
}

/// How much of `out` is not the sums, each 10 ms at a gain of its own.
fn unlike(out: &[i16], sums: &[i32]) -> f64 {
    let (mut rest, mut all) = (0.0, 0.0);
    for (out, sums) in out.chunks(80).zip(sums.chunks(80)) {
        let pairs = || {
            out.iter()
                .zip(sums)
                .map(|(o, s)| (f64::from(*o), f64::from(*s)))
        };
        let square: f64 = pairs().map(|(_, s)| s * s).sum();
        let gain = pairs().map(|(o, s)| o * s).sum::<f64>() / square.max(1.0);
        rest += pairs().map(|(o, s)| (o - gain * s).powi(2)).sum::<f64>();
        all += gain * gain * square;
    }
    10.0 * (rest / all).log10()
}

fn costs(rate: u32) {
    let frame = rate as usize / 50;
    let own = &noise(50, 0.1)[..frame];
    let quiet: Vec<i32> = noise(51, 0.5)[..frame]
        .iter()
        .map(|s| i32::from(*s))
        .collect();
    let loud: Vec<i32> = quiet.iter().map(|s| s * 8).collect();
    let mut out = vec![0; frame];
    let mut cells = Vec::new();
    cells.push(least(|| limit_slice(black_box(&loud), black_box(&mut out))));
    for sums in [&quiet, &loud] {
        let mut limiter = Limiter::default();
        cells.push(least(|| {
            limiter.limit(black_box(sums), black_box(&mut out));
        }));
    }
    cells.push(least(|| {
        limit_without(black_box(&loud), own, black_box(&mut out));
    }));
    for sums in [&quiet, &loud] {
        let mut limiter = Limiter::default();
        cells.push(least(|| {
            limiter.limit_without(black_box(sums), own, black_box(&mut out));
        }));
    }
    let cells: Vec<String> = cells.iter().map(|ns| format!("{ns:.0}")).collect();
    println!("| {rate} | {} |", cells.join(" | "));
}

fn least(mut work: impl FnMut()) -> f64 {
    let mut round = || {
        let begin = Instant::now();
        (0..1000).for_each(|_| work());
        begin.elapsed().as_nanos() as f64 / 1000.0
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}
