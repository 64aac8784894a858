//! Time stretching by one pitch period at a time, with overlap-add: shorter to give delay back,
//! longer to build it up.
//!
//! Sits in `leg::playout`, on samples that are about to be played. Allocates nothing.

use std::ops::Range;

/// The lag at which a signal is most like itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestLag {
    /// In samples.
    pub lag: usize,
    /// Normalised cross-correlation there, -1.0..=1.0; 1.0 for silence.
    pub similarity: f32,
}

/// The best lag to compare the last `window` samples of `history` with earlier ones.
/// `history` must hold `window` and the longest lag. Every lag is tried: 13,000 products, about
/// 3 us, for a loss at 8 kHz; higher rates grow by the square and will want decimation.
pub fn best_lag_back(history: &[i16], window: usize, lags: Range<usize>) -> BestLag {
    let at = history.len() - window;
    search(&history[at..], lags, |lag| {
        &history[at - lag..at - lag + window]
    })
}

/// The best lag to compare the first `window` samples of `input` with later ones.
/// `input` must hold `window` and the longest lag.
pub fn best_lag_ahead(input: &[i16], window: usize, lags: Range<usize>) -> BestLag {
    search(&input[..window], lags, |lag| &input[lag..lag + window])
}

/// Fills `out` from `input` leaving out up to `input.len() - out.len()` samples, at a place where
/// the signal repeats itself. Returns how many; `None`, with `out` untouched, if the best place
/// is less similar than `similarity` asks. Quiet passages lose the full number.
pub fn shorten(input: &[i16], out: &mut [i16], similarity: f32) -> Option<usize> {
    let len = out.len();
    let most = input
        .len()
        .checked_sub(len)
        .filter(|&most| most > 0)?
        .min(len);
    let removed = if is_quiet(input) {
        most
    } else {
        let least = most.min(len / 5);
        let window = (len / 2).min(input.len() - most);
        let best = best_lag_ahead(input, window, least..most + 1);
        if best.similarity < similarity {
            return None;
        }
        best.lag
    };
    let overlap = removed.clamp(len / 10, len / 2);
    out[..overlap].copy_from_slice(&input[..overlap]);
    blend(&mut out[..overlap], &input[removed..removed + overlap]);
    out[overlap..].copy_from_slice(&input[removed + overlap..removed + len]);
    Some(removed)
}

/// Fills `out` from fewer samples: up to `most` are played twice, where the signal repeats
/// itself. `input` must be as long as `out`. Returns how many were added; `None`, with `out`
/// untouched, if the best place is less similar than `similarity` asks.
pub fn lengthen(input: &[i16], out: &mut [i16], most: usize, similarity: f32) -> Option<usize> {
    let len = out.len();
    let most = most.min(len / 2);
    if most == 0 || input.len() < len {
        return None;
    }
    let added = if is_quiet(input) {
        most
    } else {
        let best = best_lag_ahead(input, len / 2, most.min(len / 5)..most + 1);
        if best.similarity < similarity {
            return None;
        }
        best.lag
    };
    let overlap = added.clamp(len / 10, len / 2).min(len - added);
    out[..added + overlap].copy_from_slice(&input[..added + overlap]);
    blend(&mut out[added..added + overlap], &input[..overlap]);
    out[added + overlap..].copy_from_slice(&input[overlap..len - added]);
    Some(added)
}

/// Whether a stretch of any length would pass unheard: about -50 dBov.
pub fn is_quiet(samples: &[i16]) -> bool {
    let sum: u32 = samples.iter().map(|&s| u32::from(s.unsigned_abs())).sum();
    (sum as usize) < samples.len() * QUIET_MEAN
}

/// Cross-fades from `old`, in place, to `new`.
fn blend(old: &mut [i16], new: &[i16]) {
    let scale = 1.0 / (old.len() + 1) as f32;
    for (n, (sample, &new)) in old.iter_mut().zip(new).enumerate() {
        let weight = (n + 1) as f32 * scale;
        *sample = (f32::from(*sample) + (f32::from(new) - f32::from(*sample)) * weight) as i16;
    }
}

fn search<'a>(pattern: &[i16], lags: Range<usize>, at: impl Fn(usize) -> &'a [i16]) -> BestLag {
    let own = energy(pattern);
    let mut best = BestLag {
        lag: lags.start,
        similarity: f32::MIN,
    };
    for lag in lags {
        let other = at(lag);
        let norm = (own * energy(other)).sqrt();
        let similarity = if norm > 0.0 {
            product(pattern, other) / norm
        } else {
            1.0
        };
        if similarity > best.similarity {
            best = BestLag { lag, similarity };
        }
    }
    best
}

fn energy(samples: &[i16]) -> f32 {
    product(samples, samples)
}

/// The sum of products. Twelve bits of each sample, summed in `i32` over pieces of 256, so that
/// the loop vectorises and cannot overflow.
fn product(a: &[i16], b: &[i16]) -> f32 {
    let mut sum = 0i64;
    for (a, b) in a.chunks(256).zip(b.chunks(256)) {
        let piece: i32 = a
            .iter()
            .zip(b)
            .map(|(&a, &b)| i32::from(a >> 4) * i32::from(b >> 4))
            .sum();
        sum += i64::from(piece);
    }
    sum as f32
}

const QUIET_MEAN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(period: f32, len: usize) -> Vec<i16> {
        (0..len)
            .map(|n| ((n as f32 / period * std::f32::consts::TAU).sin() * 9000.0) as i16)
            .collect()
    }

    fn largest_step(samples: &[i16]) -> i32 {
        samples
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max()
            .unwrap()
    }

    #[test]
    fn shortening_removes_whole_periods() {
        for period in [33.3, 50.0, 64.0, 71.7] {
            let input = sine(period, 320);
            let mut out = [0; 160];
            let removed = shorten(&input, &mut out, 0.9).unwrap();
            let periods = removed as f32 / period;
            assert!(
                (periods - periods.round()).abs() < 0.05,
                "{removed} of {period}"
            );
            assert!(largest_step(&out) <= largest_step(&input) * 11 / 10);
            // It goes on where the next tick begins.
            assert_eq!(out[159], input[removed + 159]);
            assert!(out[0].abs_diff(input[0]) < 50);
        }
    }

    #[test]
    fn lengthening_repeats_whole_periods() {
        for period in [33.3, 50.0, 64.0, 71.7] {
            let input = sine(period, 160);
            let mut out = [0; 160];
            let added = lengthen(&input, &mut out, 80, 0.9).unwrap();
            let periods = added as f32 / period;
            assert!(
                (periods - periods.round()).abs() < 0.05,
                "{added} of {period}"
            );
            assert!(largest_step(&out) <= largest_step(&input) * 11 / 10);
            assert_eq!(out[159], input[159 - added]);
        }
    }

    #[test]
    fn what_does_not_repeat_is_left_alone_unless_it_must() {
        let mut state = 1u32;
        let noise: Vec<i16> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i16
        })
        .take(320)
        .collect();
        let mut out = [7; 160];
        assert_eq!(shorten(&noise, &mut out, 0.9), None);
        assert_eq!(lengthen(&noise[..160], &mut out, 80, 0.9), None);
        assert_eq!(out, [7; 160]);
        assert!(shorten(&noise, &mut out, -1.0).is_some());
    }

    #[test]
    fn silence_gives_all_at_once() {
        let input = [3; 320];
        let mut out = [0; 160];
        assert_eq!(shorten(&input, &mut out, 0.9), Some(160));
        assert_eq!(out, [3; 160]);
        assert_eq!(shorten(&input[..161], &mut out, 0.9), Some(1));
        assert_eq!(shorten(&input[..160], &mut out, 0.9), None);
        assert_eq!(lengthen(&input, &mut out, 1, 0.9), Some(1));
        assert_eq!(lengthen(&input, &mut out, 0, 0.9), None);
    }

    #[test]
    fn any_lengths_hold() {
        let input = sine(40.0, 400);
        for len in 1..200 {
            let mut out = vec![0; len];
            for more in [0, 1, 2, len / 3, len, 2 * len] {
                if len + more <= input.len() {
                    shorten(&input[..len + more], &mut out, -1.0);
                }
                lengthen(&input[..len], &mut out, more, -1.0);
            }
        }
    }
}
