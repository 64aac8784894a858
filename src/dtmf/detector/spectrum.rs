//! The eight nominal frequencies in short pieces of signal.

use std::sync::LazyLock;

use super::HOP;
use super::fit::omega;
use super::proof::Pair;
use crate::dtmf::digit::{HIGH_HZ, LOW_HZ};

/// Hops in a window: 10 ms.
pub(super) const WINDOW: usize = 4;

/// Between the two samples in the middle of a hop.
const MIDDLE: f64 = (HOP - 1) as f64 / 2.0;

/// Real and imaginary parts at the four low, then the four high frequencies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bins {
    re: [f32; 8],
    im: [f32; 8],
}

/// Constant factors, the same for all detectors.
#[derive(Debug)]
pub(super) struct Tables {
    /// exp(-i w m) for the first half of a hop, m counted from its middle: eight real parts, then
    /// eight imaginary ones. The second half mirrors it.
    samples: [[f32; 16]; HOP / 2],
    /// exp(-i w HOP k) for each hop of a window.
    hops: [Bins; WINDOW],
}

/// Taken once in `new`, so that the media thread never meets the lock of the first use.
pub(super) static TABLES: LazyLock<Tables> = LazyLock::new(Tables::new);

impl Tables {
    fn new() -> Self {
        let frequency = |k: usize| omega(if k < 4 { LOW_HZ[k] } else { HIGH_HZ[k - 4] });
        let unit = |angle: f64| angle.sin_cos();
        let mut samples = [[0.0; 16]; HOP / 2];
        for (n, row) in samples.iter_mut().enumerate() {
            for k in 0..8 {
                let (sin, cos) = unit(-f64::from(frequency(k)) * (n as f64 - MIDDLE));
                row[k] = cos as f32;
                row[k + 8] = sin as f32;
            }
        }
        let mut hops = [Bins::default(); WINDOW];
        for (n, bins) in hops.iter_mut().enumerate() {
            for k in 0..8 {
                let (sin, cos) = unit(-f64::from(frequency(k)) * (n * HOP) as f64);
                bins.re[k] = cos as f32;
                bins.im[k] = sin as f32;
            }
        }
        Self { samples, hops }
    }

    /// The bins of one hop, phases counted from its middle.
    pub(super) fn hop(&self, x: &[f32]) -> Bins {
        let mut sums = [0.0f32; 16];
        for ((first, second), row) in x.iter().zip(x.iter().rev()).zip(&self.samples) {
            let (even, odd) = (first + second, first - second);
            for k in 0..8 {
                sums[k] += even * row[k];
                sums[k + 8] += odd * row[k + 8];
            }
        }
        let mut bins = Bins::default();
        bins.re.copy_from_slice(&sums[..8]);
        bins.im.copy_from_slice(&sums[8..]);
        bins
    }

    /// The energy of a sine at each frequency over the window of the last [`WINDOW`] hops,
    /// oldest first.
    pub(super) fn window(&self, hops: &[Bins; WINDOW]) -> [f32; 8] {
        let mut re = [0.0f32; 8];
        let mut im = [0.0f32; 8];
        for (bins, turn) in hops.iter().zip(&self.hops) {
            for k in 0..8 {
                re[k] += bins.re[k] * turn.re[k] - bins.im[k] * turn.im[k];
                im[k] += bins.re[k] * turn.im[k] + bins.im[k] * turn.re[k];
            }
        }
        // A sine of amplitude a sums to a N / 2, and has the energy a^2 N / 2.
        const SCALE: f32 = 2.0 / (WINDOW * HOP) as f32;
        std::array::from_fn(|k| (re[k] * re[k] + im[k] * im[k]) * SCALE)
    }
}

/// The strongest bin of each group.
pub(super) fn strongest(powers: &[f32; 8]) -> Pair {
    let pick = |from: usize| {
        (1..4).fold(0, |best, k| {
            if powers[from + k] > powers[from + best] {
                k
            } else {
                best
            }
        })
    };
    (pick(0), pick(4))
}
