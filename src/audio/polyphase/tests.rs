use super::*;

const RATES: [u32; 3] = [8000, 16_000, 48_000];

fn pairs() -> impl Iterator<Item = (u32, u32)> {
    RATES
        .into_iter()
        .flat_map(|from| RATES.map(|to| (from, to)))
        .filter(|(from, to)| from != to)
}

/// Runs a whole signal through in frames of 20 ms.
fn run(from: u32, to: u32, input: &[i32]) -> Vec<i32> {
    let (frame_in, frame_out) = (from as usize / 50, to as usize / 50);
    let mut resampler = Resampler::new(from, to);
    let mut out = vec![0; input.len() / frame_in * frame_out];
    for (input, out) in input.chunks(frame_in).zip(out.chunks_mut(frame_out)) {
        resampler.process_sums(input, out);
    }
    out
}

const AMPLITUDE: f64 = 1e9;

fn sine(hz: f64, rate: u32, ms: u32) -> Vec<i32> {
    (0..rate / 1000 * ms)
        .map(|n| {
            (AMPLITUDE * (std::f64::consts::TAU * hz * f64::from(n) / f64::from(rate)).sin()) as i32
        })
        .collect()
}

/// A sine's way through: its level, and that of all else that comes out, dB. Only whole frames in
/// the middle are looked at, with a period of 100 ms, which all frequencies here fit.
fn response(hz: f64, from: u32, to: u32) -> (f64, f64) {
    let out = run(from, to, &sine(hz, from, 240));
    let window = &out[to as usize / 50..][..to as usize / 10];
    let total = window.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / window.len() as f64;
    let (mut re, mut im) = (0.0, 0.0);
    if hz < f64::from(to) / 2.0 {
        for (n, sample) in window.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / f64::from(to);
            re += f64::from(*sample) * angle.cos();
            im += f64::from(*sample) * angle.sin();
        }
    }
    let amplitude = 2.0 * f64::hypot(re, im) / window.len() as f64;
    let rest = (total - amplitude * amplitude / 2.0).max(0.0) * 2.0;
    (
        20.0 * (amplitude / AMPLITUDE).max(1e-12).log10(),
        10.0 * (rest / AMPLITUDE.powi(2)).max(1e-24).log10(),
    )
}

#[test]
fn the_pass_band_is_flat_and_nothing_folds_into_it() {
    for (from, to) in pairs() {
        let nyquist = f64::from(from.min(to)) / 2.0;
        for step in 0..=(f64::from(from) / 2.0 / 100.0) as u32 {
            let hz = f64::from(step) * 100.0 + 10.0;
            let (level, rest) = response(hz, from, to);
            if hz <= 0.85 * nyquist {
                assert!(level.abs() < 0.2, "{from}->{to}: {hz} Hz at {level} dB");
                assert!(rest < -60.0, "{from}->{to}: {hz} Hz leaves {rest} dB");
            } else if hz >= 1.15 * nyquist && hz < f64::from(from) / 2.0 {
                assert!(level < -60.0, "{from}->{to}: {hz} Hz at {level} dB");
                assert!(rest < -60.0, "{from}->{to}: {hz} Hz leaves {rest} dB");
            }
        }
    }
}

#[test]
fn an_impulse_comes_out_after_the_delay() {
    for (from, to) in pairs() {
        let at = from as usize / 20;
        let mut input = vec![0; from as usize / 10];
        // As wide as the lower rate can carry, so that it is not reshaped.
        let width = 3.0 * f64::from(from) / f64::from(from.min(to));
        for (n, sample) in input.iter_mut().enumerate() {
            *sample = (1e9 * (-((n as f64 - at as f64) / width).powi(2)).exp()) as i32;
        }
        let out = run(from, to, &input);
        let sum: f64 = out.iter().map(|s| f64::from(*s)).sum();
        let moment: f64 = out
            .iter()
            .enumerate()
            .map(|(n, s)| n as f64 * f64::from(*s))
            .sum();
        let delay = moment / sum / f64::from(to) - at as f64 / f64::from(from);
        let said = Resampler::new(from, to).delay().as_secs_f64();
        assert!(
            (delay - said).abs() < 2e-6,
            "{from}->{to}: {delay} s, said {said}"
        );
        assert!(delay < 0.001_25, "{from}->{to}: {delay} s");
    }
}

#[test]
fn frames_of_any_length_join_without_a_seam() {
    for (from, to) in pairs() {
        let input = sine(1234.0, from, 100);
        let whole = run(from, to, &input);
        let mut resampler = Resampler::new(from, to);
        let mut pieces = vec![0; whole.len()];
        let low = [1usize, 7, 80, 16, 640, 56];
        let (mut read, mut written) = (0, 0);
        for low in low.into_iter().cycle() {
            let (more, done) = (
                low * (from / from.min(to)) as usize,
                low * (to / from.min(to)) as usize,
            );
            if read + more > input.len() {
                break;
            }
            resampler.process_sums(
                &input[read..read + more],
                &mut pieces[written..written + done],
            );
            (read, written) = (read + more, written + done);
        }
        assert_eq!(whole[..written], pieces[..written], "{from}->{to}");
        assert!(written > whole.len() / 2);
    }
}

#[test]
fn the_sum_of_parties_is_the_parties_of_the_sum() {
    for (from, to) in pairs() {
        let (a, b) = (sine(310.0, from, 100), sine(2900.0, from, 100));
        let sum: Vec<i32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let parts = run(from, to, &a).into_iter().zip(run(from, to, &b));
        for (whole, (a, b)) in run(from, to, &sum).into_iter().zip(parts) {
            assert!((whole - a - b).abs() < 1000, "1e-6 of the amplitude");
        }
    }
}

#[test]
fn silence_stays_silence_and_a_tail_dies_out() {
    for (from, to) in pairs() {
        let (frame_in, frame_out) = (from as usize / 50, to as usize / 50);
        let mut resampler = Resampler::new(from, to);
        let mut out = vec![1i16; frame_out];
        resampler.process(&vec![0; frame_in], &mut out);
        assert!(resampler.is_quiet() && out.iter().all(|s| *s == 0));
        resampler.process(&vec![1000; frame_in], &mut out);
        assert!(!resampler.is_quiet());
        resampler.process(&vec![0; frame_in], &mut out);
        assert!(out.iter().any(|s| *s != 0), "{from}->{to}: the tail");
        assert!(resampler.is_quiet());
        resampler.process(&vec![1000; frame_in], &mut out);
        resampler.reset();
        resampler.process(&vec![0; frame_in], &mut out);
        assert!(resampler.is_quiet() && out.iter().all(|s| *s == 0));
    }
}

#[test]
fn samples_saturate_and_sums_do_not_wrap() {
    for (from, to) in pairs() {
        let (frame_in, frame_out) = (from as usize / 50, to as usize / 50);
        // A full-scale step overshoots.
        let mut input = vec![i16::MIN; frame_in];
        input[frame_in / 2..].fill(i16::MAX);
        let mut out = vec![0i16; frame_out];
        let mut resampler = Resampler::new(from, to);
        resampler.process(&vec![i16::MIN; frame_in], &mut out);
        resampler.process(&input, &mut out);
        assert!(
            out.contains(&i16::MAX) && out.contains(&i16::MIN),
            "{from}->{to}"
        );
        let rise = out
            .windows(2)
            .position(|w| w[0] < -20_000 && w[1] >= -20_000);
        let fall = out.windows(2).any(|w| w[0] > 20_000 && w[1] < 0);
        assert!(rise.is_some() && !fall, "{from}->{to}: wrapped");
        let sums = run(from, to, &vec![i32::MAX; frame_in * 3]);
        assert!(
            sums[frame_out..].iter().all(|s| *s > i32::MAX / 100 * 98),
            "{from}->{to}"
        );
    }
}

#[test]
fn equal_rates_pass_bit_for_bit() {
    let mut resampler = Resampler::new(16_000, 16_000);
    let input: [i16; 320] = std::array::from_fn(|n| (n as i16).wrapping_mul(12_345));
    let mut out = [0; 320];
    resampler.process(&input, &mut out);
    assert_eq!(out, input);
    assert!(resampler.is_quiet() && resampler.delay() == Duration::ZERO);
}
