//! The filter of [`Resampler`](super::Resampler): weighted least squares, solved once for each
//! ratio of rates.
//!
//! A low-pass filter at the higher rate, symmetric, of `ratio * TAPS - 1` taps. Its pass band ends
//! at 0.85 of the lower Nyquist frequency and its stop band begins at 1.15 of it, so that what
//! folds falls into the transition band. Least squares rather than a window: two thirds of the
//! delay for the same stop band, since the pass band need not be as flat as the stop band is deep.

use std::f64::consts::PI;
use std::sync::OnceLock;

use super::MAX_RATIO;

/// Taps of the filter in samples of the lower rate: the fewest (in fours) that reach -60 dB.
pub(super) const TAPS: usize = 20;

/// The edges of the pass band and the stop band, in terms of the lower Nyquist frequency.
const EDGES: (f64, f64) = (0.85, 1.15);
/// An error in the stop band weighs so much more than one in the pass band.
const STOP_WEIGHT: f64 = 256.0;
/// Points of the frequency grid for each unknown.
const DENSITY: usize = 16;

/// One ratio's filter, cut into phases. Taps stand newest sample last.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) ratio: usize,
    up: [[f32; TAPS]; MAX_RATIO],
    down: [[f32; TAPS]; MAX_RATIO],
}

impl Kernel {
    fn new(ratio: usize) -> Self {
        let mut taps = low_pass(ratio);
        taps.push(0.0); // one short of whole phases
        let mut down = [[0.0; TAPS]; MAX_RATIO];
        let mut up = down;
        for (n, tap) in taps.iter().enumerate() {
            let (phase, place) = (n % ratio, TAPS - 1 - n / ratio);
            down[phase][place] = *tap as f32;
            // Between the samples of the lower rate stand zeros, which take their share.
            up[phase][place] = (tap * ratio as f64) as f32;
        }
        Self { ratio, up, down }
    }

    pub(super) fn up(&self) -> &[[f32; TAPS]] {
        &self.up[..self.ratio]
    }

    pub(super) fn down(&self) -> &[[f32; TAPS]] {
        &self.down[..self.ratio]
    }
}

/// The filter of a ratio up to [`MAX_RATIO`], designed at its first use.
pub(super) fn kernel(ratio: usize) -> &'static Kernel {
    static KERNELS: [OnceLock<Kernel>; MAX_RATIO + 1] = [const { OnceLock::new() }; MAX_RATIO + 1];
    KERNELS[ratio].get_or_init(|| Kernel::new(ratio))
}

/// The taps, which add up to about 1.
fn low_pass(ratio: usize) -> Vec<f64> {
    if ratio == 1 {
        return vec![1.0];
    }
    // A symmetric filter's response is a sum of cosines, one for each tap from the centre on.
    let centre = ratio * TAPS / 2 - 1;
    let mut equations = Equations::new(centre + 1);
    let points = DENSITY * (centre + 1);
    for point in 0..=points {
        let nyquists = ratio as f64 * point as f64 / points as f64;
        let (wanted, weight) = if nyquists <= EDGES.0 {
            (1.0, 1.0)
        } else if nyquists >= EDGES.1 {
            (0.0, STOP_WEIGHT)
        } else {
            continue;
        };
        let angle = PI * point as f64 / points as f64;
        let cosines: Vec<f64> = (0..=centre).map(|k| (angle * k as f64).cos()).collect();
        equations.add(&cosines, wanted, weight);
    }
    let cosines = equations.solve();
    let tap = |n: usize| match n.abs_diff(centre) {
        0 => cosines[0],
        k => cosines[k] / 2.0,
    };
    (0..=2 * centre).map(tap).collect()
}

/// Normal equations of a least-squares problem: symmetric and positive definite.
struct Equations {
    matrix: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl Equations {
    fn new(unknowns: usize) -> Self {
        Self {
            matrix: vec![vec![0.0; unknowns]; unknowns],
            right: vec![0.0; unknowns],
        }
    }

    /// Wants `row` times the unknowns to be `wanted`.
    fn add(&mut self, row: &[f64], wanted: f64, weight: f64) {
        for (i, matrix) in self.matrix.iter_mut().enumerate() {
            self.right[i] += weight * row[i] * wanted;
            for (sum, factor) in matrix.iter_mut().zip(&row[..=i]) {
                *sum += weight * row[i] * factor;
            }
        }
    }

    /// By Cholesky's decomposition of the lower triangle, in place.
    fn solve(mut self) -> Vec<f64> {
        let n = self.right.len();
        for i in 0..n {
            for j in 0..=i {
                let done: f64 = (0..j).map(|k| self.matrix[i][k] * self.matrix[j][k]).sum();
                let rest = self.matrix[i][j] - done;
                self.matrix[i][j] = if i == j {
                    rest.sqrt()
                } else {
                    rest / self.matrix[j][j]
                };
            }
        }
        for i in 0..n {
            let done: f64 = (0..i).map(|k| self.matrix[i][k] * self.right[k]).sum();
            self.right[i] = (self.right[i] - done) / self.matrix[i][i];
        }
        for i in (0..n).rev() {
            let done: f64 = (i + 1..n).map(|k| self.matrix[k][i] * self.right[k]).sum();
            self.right[i] = (self.right[i] - done) / self.matrix[i][i];
        }
        self.right
    }
}
