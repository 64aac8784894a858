//! Two sines fitted to a piece of signal by least squares: what they are, and what is left over.

use std::f32::consts::{PI, TAU};

/// The result of a fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Frequencies of the low and the high tone, radians per sample.
    pub(super) omega: [f32; 2],
    /// Their amplitudes.
    pub(super) amplitude: [f32; 2],
    /// The amplitudes in the first and in the second half, each for low and high.
    pub(super) halves: [[f32; 2]; 2],
    /// The share of the energy that the two sines leave unexplained, 0.0..=1.0.
    pub(super) residual: f32,
    /// The energy of the piece.
    pub(super) energy: f32,
}

/// Samples handled at once: two SSE registers.
const LANES: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    fn unit(angle: f32) -> Self {
        let (im, re) = angle.sin_cos();
        Self { re, im }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    fn conj(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    fn abs(self) -> f32 {
        (self.re * self.re + self.im * self.im).sqrt()
    }
}

/// Fits two sines near `omega` to `x`, whose length must be a multiple of 16. The frequencies
/// are taken from the phase advance between the two halves.
pub(super) fn fit(x: &[f32], omega: [f32; 2]) -> Fit {
    let half = x.len() / 2;
    let (first, second) = x.split_at(half);
    let gram = Gram::new(half, omega);
    let a = gram.solve(project(first, omega));
    let b = gram.solve(project(second, omega));
    let refined = [0, 1].map(|t| {
        let advance = b[t]
            .times(a[t].conj())
            .times(Complex::unit(-omega[t] * half as f32));
        omega[t] + advance.im.atan2(advance.re) / half as f32
    });
    // Refined frequencies, so that the whole length counts coherently.
    let p = project(first, refined);
    let q = project(second, refined);
    let gram = Gram::new(half, refined);
    let halves = [gram.solve(p), gram.solve(q)].map(|h| [h[0].abs(), h[1].abs()]);
    let whole = [0, 1].map(|t| {
        let turn = Complex::unit(refined[t] * half as f32 * 0.5);
        p[t].times(turn).plus(q[t].times(turn.conj()))
    });
    let c = Gram::new(x.len(), refined).solve(whole);
    let explained: f32 = (0..2)
        .map(|t| c[t].re * whole[t].re + c[t].im * whole[t].im)
        .sum();
    let energy = energy(x);
    Fit {
        omega: refined,
        amplitude: [c[0].abs(), c[1].abs()],
        halves,
        residual: (1.0 - explained / energy.max(1.0)).max(0.0),
        energy,
    }
}

/// Sum of squares.
pub(super) fn energy(x: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for part in x.chunks_exact(LANES) {
        for (l, v) in lanes.iter_mut().zip(part) {
            *l += v * v;
        }
    }
    let tail: f32 = x
        .chunks_exact(LANES)
        .remainder()
        .iter()
        .map(|v| v * v)
        .sum();
    lanes.iter().sum::<f32>() + tail
}

/// The sums of `x[n] exp(-i w m)`, m counted from the middle, for both frequencies.
fn project(x: &[f32], omega: [f32; 2]) -> [Complex; 2] {
    omega.map(|w| {
        let step = Complex::unit(-w);
        let mut phase = Complex::unit(w * (x.len() - 1) as f32 * 0.5);
        let mut re = [0.0f32; LANES];
        let mut im = [0.0f32; LANES];
        for lane in 0..LANES {
            (re[lane], im[lane]) = (phase.re, phase.im);
            phase = phase.times(step);
        }
        let turn = Complex::unit(-w * LANES as f32);
        let mut sum_re = [0.0f32; LANES];
        let mut sum_im = [0.0f32; LANES];
        for part in x.chunks_exact(LANES) {
            for lane in 0..LANES {
                sum_re[lane] += part[lane] * re[lane];
                sum_im[lane] += part[lane] * im[lane];
                let r = re[lane] * turn.re - im[lane] * turn.im;
                im[lane] = re[lane] * turn.im + im[lane] * turn.re;
                re[lane] = r;
            }
        }
        Complex {
            re: sum_re.iter().sum(),
            im: sum_im.iter().sum(),
        }
    })
}

/// The inner products of the four basis functions (cosine and sine of each frequency). Counted
/// from the middle of the piece, cosines and sines are orthogonal: two systems of two remain.
struct Gram {
    cos: [f32; 3],
    sin: [f32; 3],
}

impl Gram {
    fn new(len: usize, omega: [f32; 2]) -> Self {
        let n = len as f32;
        // Sum of cos(x m) over m from -(n-1)/2 to (n-1)/2.
        let d = |x: f32| (n * x * 0.5).sin() / (x * 0.5).sin();
        let ll = d(2.0 * omega[0]);
        let hh = d(2.0 * omega[1]);
        let minus = d(omega[1] - omega[0]);
        let plus = d(omega[1] + omega[0]);
        Self {
            cos: [(n + ll) * 0.5, (minus + plus) * 0.5, (n + hh) * 0.5],
            sin: [(n - ll) * 0.5, (minus - plus) * 0.5, (n - hh) * 0.5],
        }
    }

    /// The complex amplitudes c with x = Re(c exp(i w m)), for projections `v`.
    fn solve(&self, v: [Complex; 2]) -> [Complex; 2] {
        let two = |g: &[f32; 3], l: f32, h: f32| {
            let det = g[0] * g[2] - g[1] * g[1];
            [(g[2] * l - g[1] * h) / det, (g[0] * h - g[1] * l) / det]
        };
        let re = two(&self.cos, v[0].re, v[1].re);
        let im = two(&self.sin, v[0].im, v[1].im);
        [0, 1].map(|t| Complex {
            re: re[t],
            im: im[t],
        })
    }
}

/// Radians per sample at 8 kHz.
pub(super) fn omega(hz: f32) -> f32 {
    debug_assert!(hz > 0.0 && PI > 0.0);
    TAU * hz / 8000.0
}
