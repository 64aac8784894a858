use super::*;
use crate::audio::testing::{Random, noise, speech};

#[test]
fn passes_what_fits_and_saturates_the_rest() {
    for (sum, expected) in [
        (0, 0),
        (32767, 32767),
        (32768, 32767),
        (-32768, -32768),
        (-32769, -32768),
        (i32::MAX, 32767),
    ] {
        assert_eq!(limit(sum), expected);
        let mut out = [0];
        limit_slice(&[sum], &mut out);
        assert_eq!(out[0], expected);
    }
}

#[test]
fn the_own_share_is_taken_out_before_limiting() {
    let (a, b) = ([30000i16; 8], [20000i16; 8]);
    let mut sum = [0i32; 8];
    accumulate(&mut sum, &a);
    accumulate(&mut sum, &b);
    let mut out = [0i16; 8];
    limit_without(&sum, &a, &mut out);
    assert_eq!(out, b);
    limit_slice(&sum, &mut out);
    assert_eq!(out, [32767; 8]);
}

const RATES: [u32; 3] = [8000, 16_000, 48_000];

/// Runs sums through in frames of 20 ms.
fn limited(limiter: &mut Limiter, sums: &[i32], rate: u32) -> Vec<i16> {
    let mut out = vec![0; sums.len()];
    let frame = rate as usize / 50;
    for (sums, out) in sums.chunks(frame).zip(out.chunks_mut(frame)) {
        limiter.limit(sums, out);
    }
    out
}

fn sum_of(parties: &[Vec<i16>]) -> Vec<i32> {
    let mut sums = vec![0; parties[0].len()];
    for party in parties {
        accumulate(&mut sums, party);
    }
    sums
}

fn sine(hz: f32, rate: u32, seconds: f32) -> Vec<i16> {
    let step = std::f64::consts::TAU * f64::from(hz) / f64::from(rate);
    (0..(rate as f32 * seconds) as usize)
        .map(|n| (32_767.0 * (step * n as f64).sin()) as i16)
        .collect()
}

/// What is in a second half of `out` beside the sines, relative to them, dB (THD+N). The window
/// is 100 ms, in which all of them have whole periods.
fn distortion(out: &[i16], tones: &[f32], rate: u32) -> f64 {
    let window = &out[out.len() - rate as usize / 10..];
    let n = window.len() as f64;
    let total = window.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / n;
    let wanted: f64 = tones
        .iter()
        .map(|hz| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, sample) in window.iter().enumerate() {
                let angle = std::f64::consts::TAU * f64::from(*hz) * i as f64 / f64::from(rate);
                re += f64::from(*sample) * angle.cos();
                im += f64::from(*sample) * angle.sin();
            }
            2.0 * (re * re + im * im) / n / n
        })
        .sum();
    10.0 * ((total - wanted).max(1e-9) / wanted).log10()
}

fn clipped(sums: &[i32]) -> Vec<i16> {
    let mut out = vec![0; sums.len()];
    limit_slice(sums, &mut out);
    out
}

#[test]
fn what_fits_passes_bit_for_bit() {
    let mut random = Random::new(1);
    let sums: Vec<i32> = (0..8000)
        .map(|_| (random.next() * 32_767.0) as i32)
        .collect();
    let mut limiter = Limiter::default();
    let out = limited(&mut limiter, &sums, 8000);
    assert!(
        out.iter()
            .zip(&sums)
            .all(|(out, sum)| i32::from(*out) == *sum)
    );
    let edges = [i32::from(i16::MIN), i32::from(i16::MAX)].repeat(80);
    let out = limited(&mut limiter, &edges, 8000);
    assert_eq!(out, [i16::MIN, i16::MAX].repeat(80));
    assert_eq!(limiter, Limiter::default());
}

#[test]
fn twenty_equal_tones_stay_a_tone() {
    for rate in RATES {
        for hz in [50.0, 100.0, 440.0, 1000.0, 3000.0] {
            let sums: Vec<i32> = sine(hz, rate, 1.0)
                .iter()
                .map(|s| i32::from(*s) * 20)
                .collect();
            let out = limited(&mut Limiter::default(), &sums, rate);
            let db = distortion(&out, &[hz], rate);
            assert!(db < -60.0, "{rate}: {hz} Hz: {db} dB");
            assert!(
                out[out.len() / 2..].iter().any(|s| *s > 30_000),
                "not too quiet"
            );
        }
    }
}

#[test]
fn twenty_tones_do_not_buzz() {
    for rate in RATES {
        let tones: Vec<f32> = (0..20).map(|n| 210.0 + 150.0 * n as f32).collect();
        let parties: Vec<_> = tones.iter().map(|hz| sine(*hz, rate, 1.0)).collect();
        let sums = sum_of(&parties);
        let out = limited(&mut Limiter::default(), &sums, rate);
        let (ours, hard) = (
            distortion(&out, &tones, rate),
            distortion(&clipped(&sums), &tones, rate),
        );
        assert!(
            ours < -40.0 && hard > -10.0,
            "{rate}: {ours}, clipped {hard} dB"
        );
    }
}

/// How much of `out` is not the sums, each 10 ms at a gain of its own, dB.
fn unlike(out: &[i16], sums: &[i32], rate: u32) -> f64 {
    let (mut rest, mut all) = (0.0, 0.0);
    let block = rate as usize / 100;
    for (out, sums) in out.chunks(block).zip(sums.chunks(block)) {
        let product: f64 = out
            .iter()
            .zip(sums)
            .map(|(o, s)| f64::from(*o) * f64::from(*s))
            .sum();
        let square: f64 = sums.iter().map(|s| f64::from(*s).powi(2)).sum();
        let gain = if square > 0.0 { product / square } else { 0.0 };
        for (out, sum) in out.iter().zip(sums) {
            rest += (f64::from(*out) - gain * f64::from(*sum)).powi(2);
            all += (gain * f64::from(*sum)).powi(2);
        }
    }
    10.0 * (rest / all).log10()
}

#[test]
fn twenty_who_speak_or_hiss_are_turned_down_and_not_cut() {
    for rate in RATES {
        let speech: Vec<_> = (0..20).map(|n| speech(rate, 3.0, -12.0, n + 1)).collect();
        // Uniform noise at full scale.
        let noise: Vec<_> = (0..20).map(|n| noise(rate, 3.0, -4.8, n + 1)).collect();
        for (name, parties, expected) in [("speech", speech, -24.0), ("noise", noise, -25.0)] {
            let sums = sum_of(&parties);
            let out = limited(&mut Limiter::default(), &sums, rate);
            let (ours, hard) = (
                unlike(&out, &sums, rate),
                unlike(&clipped(&sums), &sums, rate),
            );
            assert!(
                ours < expected && ours < hard - 12.0,
                "{rate}: {name}: {ours}, clipped {hard} dB"
            );
        }
    }
}

/// Alternating signs of one magnitude: `out` over it is the gain at each sample.
fn gains(limiter: &mut Limiter, magnitudes: &[i32]) -> Vec<f32> {
    let sign = |n: usize| if n.is_multiple_of(2) { 1 } else { -1 };
    let sums: Vec<i32> = magnitudes
        .iter()
        .enumerate()
        .map(|(n, m)| m * sign(n))
        .collect();
    let mut out = vec![0; sums.len()];
    limiter.limit(&sums, &mut out);
    out.iter()
        .zip(&sums)
        .map(|(out, sum)| f32::from(*out) / *sum as f32)
        .collect()
}

#[test]
fn the_gain_falls_before_the_peak_and_joins_over_frames() {
    for rate in RATES {
        let frame = rate as usize / 50;
        let mut limiter = Limiter::default();
        let quiet = vec![20_000; frame];
        let mut course = gains(&mut limiter, &quiet);
        let mut loud = quiet.clone();
        loud[frame * 3 / 4] = 200_000;
        course.extend(gains(&mut limiter, &loud));
        for _ in 0..30 {
            course.extend(gains(&mut limiter, &quiet));
        }
        // From 1 to 0.16 within 15 ms, and not a step anywhere.
        let largest = course
            .windows(2)
            .map(|w| (w[1] - w[0]).abs())
            .fold(0.0, f32::max);
        let gentle = 0.84 / (frame as f32 * 0.6);
        assert!(
            largest < gentle,
            "{rate}: a step of {largest}, {gentle} is gentle"
        );
        let at = |ms: usize| course[ms * rate as usize / 1000];
        assert!(at(30) < 0.6, "half way down: {}", at(30));
        assert!(
            (at(36) - 0.164).abs() < 0.01 && (at(79) - 0.164).abs() < 0.01,
            "holds 40 ms"
        );
        // 15.7 dB at 50 dB/s.
        assert!(at(300) < 0.9 && at(420) >= 1.0, "{} {}", at(300), at(420));
        assert_eq!(limiter, Limiter::default());
    }
}

#[test]
fn a_peak_at_the_very_start_is_cut_for_half_a_millisecond() {
    for rate in RATES {
        let frame = rate as usize / 50;
        let mut limiter = Limiter::default();
        let mut out = vec![0; frame];
        limiter.limit(&vec![100_000; frame], &mut out);
        assert!(
            out.iter().all(|s| *s >= 32_000),
            "neither wrapped nor too low"
        );
        assert!(
            out[frame / 40 + 1..]
                .iter()
                .all(|s| (*s - 32_767).abs() <= 1)
        );
    }
}

#[test]
fn no_sum_wraps_or_changes_its_sign() {
    let mut random = Random::new(7);
    let mut limiter = Limiter::default();
    for round in 0..3000 {
        let frame = [160, 320, 960, 80, 7, 1, 0][round % 7];
        let exponent = (random.next() + 1.0) * 15.4;
        let sums: Vec<i32> = (0..frame)
            .map(|_| (random.next() * exponent.exp2()) as i32)
            .chain(
                [i32::MAX, i32::MIN]
                    .into_iter()
                    .take(usize::from(round % 50 == 0) * 2),
            )
            .collect();
        let mut out = vec![0; sums.len()];
        limiter.limit(&sums, &mut out);
        for (out, sum) in out.iter().zip(&sums) {
            assert!(i64::from(*out) * i64::from(*sum) >= 0, "{sum} became {out}");
            assert!(i32::from(*out).abs_diff(0) <= sum.abs_diff(0));
        }
        assert!(limiter.gain > 0.0 && limiter.gain <= 1.0);
    }
}

#[test]
fn the_own_mix_is_that_of_the_others() {
    let parties: Vec<_> = (0..5).map(|n| speech(8000, 2.0, -8.0, n + 1)).collect();
    let sums = sum_of(&parties);
    let others = sum_of(&parties[1..]);
    let (mut own, mut plain) = (Limiter::default(), Limiter::default());
    let (mut out, mut expected) = ([0; 160], [0; 160]);
    let mut lowest = 1f32;
    let frames = sums.chunks_exact(160).zip(parties[0].chunks_exact(160));
    for ((sums, party), others) in frames.zip(others.chunks_exact(160)) {
        own.limit_without(sums, party, &mut out);
        plain.limit(others, &mut expected);
        assert_eq!(out, expected);
        assert_eq!(own, plain);
        lowest = lowest.min(plain.gain());
    }
    assert!(lowest < 0.9, "it had something to do");
    assert!(size_of::<Limiter>() <= 8, "cheap enough for each party");
}

#[test]
fn a_party_goes_between_the_common_and_its_own_mix_without_a_step() {
    // A loud room; the party itself adds a peak in frame 5, and is silent from frame 6 on.
    let room = sine(100.0, 8000, 0.4)
        .iter()
        .map(|s| i32::from(*s) * 3)
        .collect::<Vec<_>>();
    let mut common = Limiter::default();
    let mut own: Option<Limiter> = None;
    let mut heard = Vec::new();
    for (n, room) in room.chunks_exact(160).enumerate() {
        let speaks = (3..6).contains(&n);
        let party = [if speaks { 25_000i16 } else { 0 }; 160];
        let sums: Vec<i32> = room
            .iter()
            .zip(&party)
            .map(|(r, p)| r + i32::from(*p))
            .collect();
        let before = common;
        let mut out = [0; 160];
        common.limit(&sums, &mut out);
        let mut of_own = [0; 160];
        if speaks {
            own.get_or_insert(before)
                .limit_without(&sums, &party, &mut of_own);
            out = of_own;
        } else if let Some(mut own) = own.take() {
            own.limit_without(&sums, &party, &mut of_own);
            cross_fade(&mut of_own, &out);
            out = of_own;
        }
        heard.extend(out);
    }
    // 100 Hz at full scale moves by at most 2573 in a sample; the gain's own moves are small.
    let steps = heard[160..]
        .windows(2)
        .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
    let largest = steps.max();
    assert!(largest < Some(2700), "{largest:?}");
}
