//! What a digit's tones must be like: the limits, and where they are from.
//!
//! A digit in noise of 15 dB must pass, and speech must not. So a limit is given for clean tones
//! and widened by as many standard deviations as the noise in this very piece allows for; and the
//! noise must be white, while what speech has besides two tones is not.

use std::f32::consts::SQRT_2;
use std::ops::Range;

use super::PROOF;
use super::filter::HighPass;
use super::fit::{Fit, energy, frequencies, omega};
use crate::dtmf::digit::{HIGH_HZ, LOW_HZ};

/// Indices of a low and of a high tone.
pub(super) type Pair = (usize, usize);

/// How short a piece is judged.
pub(super) struct Limits {
    /// A frequency further off than this is not worth the fit.
    far: f32,
    /// What may be left over.
    residual: f32,
    /// What may be left over that is not white.
    coloured: Range<f32>,
}

/// For 12 ms: 15 dB below the tones there is 3.2 % noise, over so short a time up to 5 %.
pub(super) const LOOK: Limits = Limits {
    far: 0.03,
    residual: 0.06,
    coloured: -0.03..0.012,
};
/// For the 6 to 12 ms after an onset: it decides on a suspicion only.
pub(super) const GLANCE: Limits = Limits {
    far: 0.06,
    residual: 0.06,
    coloured: -0.03..0.012,
};

/// ITU-T Q.24 table A-1: right up to 1.5 % and wrong from 3.5 % on. Between them decides the error
/// of measurement: 0.1 % if the tones are clean.
const OFF: f32 = 0.0165;
/// Standard deviations: one tone in 10,000 is further off by chance.
const SIGMAS: f32 = 4.0;
/// High over low in a short piece: a first impression of [`TWIST_DB`].
const ROUGH_TWIST: Range<f32> = 0.25..2.6;

/// What may be left over of 24 ms: of noise of 15 dB, nearly always less.
const RESIDUAL: f32 = 0.042;
/// The same of 12 ms, when a lost packet broke the digit: no noise of 15 dB on top of that.
const RESIDUAL_BROKEN: f32 = 0.025;
/// White noise, high-passed, is within -0.015 and 0.002; concealed audio within a tone, and speech,
/// come to more.
const COLOURED: Range<f32> = -0.018..0.006;
/// Standard deviations of the difference between the halves, which an edge may add to.
const STEADY_SIGMAS: f32 = 6.5;
/// High over low. Q.24 table A-1: +4 dB (AT&T, others more) to -8 dB; noise adds 1.3 dB at most.
const TWIST_DB: Range<f32> = -9.4..5.4;
/// Energy below the tones, as a share of theirs: only a dial tone may have more.
const BELOW: f32 = 0.5;
/// Dial tones, Hz (ITU-T E.180 Suppl. 2: 350 + 440 in North America, 400 to 450 in most others).
const DIAL_HZ: Range<f32> = 340.0..460.0;
/// What may be left besides a dial tone and the digit, as a share of the digit.
const BESIDES_DIAL: f32 = 0.3;

/// The nominal frequencies of a pair, radians per sample.
pub(super) fn nominal(pair: Pair) -> [f32; 2] {
    [omega(LOW_HZ[pair.0]), omega(HIGH_HZ[pair.1])]
}

/// Whether a short piece may be of a digit, and of which; `near` is a guess.
pub(super) fn look(x: &[f32], near: Pair, limits: &Limits) -> Option<(Pair, Fit)> {
    let found = frequencies(x, nominal(near));
    let pair = (nearest(found[0], &LOW_HZ), nearest(found[1], &HIGH_HZ));
    let right = nominal(pair);
    let off = [0, 1].map(|t| (found[t] / right[t] - 1.0).abs());
    // Comparisons are such that a NaN refuses.
    if !(off[0] < limits.far && off[1] < limits.far) {
        return None;
    }
    let fit = Fit::new(x, found);
    let good = fit.residual < limits.residual
        && limits.coloured.contains(&fit.coloured)
        && (0..2).all(|t| off[t] < OFF + SIGMAS * fit.omega_error(t) / right[t])
        && ROUGH_TWIST.contains(&(fit.amplitude[1] / fit.amplitude[0]));
    good.then_some((pair, fit))
}

/// Whether a piece, as filtered and as it came, is of this digit beyond doubt; `near` is where its
/// frequencies were seen.
pub(super) fn prove(x: &[f32], raw: &[f32], pair: Pair, near: [f32; 2]) -> Option<Fit> {
    let residual = if x.len() < PROOF {
        RESIDUAL_BROKEN
    } else {
        RESIDUAL
    };
    let right = nominal(pair);
    let fit = Fit::new(x, frequencies(x, near));
    let off = |t: usize| (fit.omega[t] / right[t] - 1.0).abs();
    let change = |t: usize| (fit.halves[1][t] - fit.halves[0][t]).abs();
    let tones = [0, 1].map(|t| fit.amplitude[t] / HighPass::gain(fit.omega[t]));
    let pair_energy = (tones[0] * tones[0] + tones[1] * tones[1]) * 0.5 * fit.len();
    let proved = fit.residual < residual
        && COLOURED.contains(&fit.coloured)
        && (0..2).all(|t| off(t) < OFF + SIGMAS * fit.omega_error(t) / right[t])
        && (0..2).all(|t| change(t) < STEADY_SIGMAS * SQRT_2 * fit.amplitude_error())
        && TWIST_DB.contains(&(20.0 * (tones[1] / tones[0]).log10()))
        && (energy(raw) < (1.0 + BELOW) * pair_energy || is_dial_tone(raw, pair_energy));
    proved.then_some(fit)
}

/// Whether `raw` is a dial tone and besides has the energy of the pair.
fn is_dial_tone(raw: &[f32], pair_energy: f32) -> bool {
    let fit = Fit::new(raw, frequencies(raw, [350.0, 440.0].map(omega)));
    let least = 0.1 * fit.amplitude[0].max(fit.amplitude[1]);
    let is_dial = |t: usize| (omega(DIAL_HZ.start)..omega(DIAL_HZ.end)).contains(&fit.omega[t]);
    (0..2).all(|t| is_dial(t) || fit.amplitude[t] < least)
        && (fit.residual * fit.energy / pair_energy - 1.0).abs() < BESIDES_DIAL
}

/// The index of the frequency next to `w`.
fn nearest(w: f32, group: &[f32; 4]) -> usize {
    let distance = |k: usize| (omega(group[k]) - w).abs();
    (1..4).fold(0, |best, k| {
        if distance(k) < distance(best) {
            k
        } else {
            best
        }
    })
}
