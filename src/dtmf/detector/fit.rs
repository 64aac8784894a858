//! Two sines fitted to a piece of signal by least squares: what they are, and what is left over.

use std::f32::consts::{SQRT_2, TAU};

/// Two sines in a piece of signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Frequencies of the low and the high tone, radians per sample.
    pub(super) omega: [f32; 2],
    /// Their amplitudes.
    pub(super) amplitude: [f32; 2],
    /// Their amplitudes in the first and in the second half of the piece.
    pub(super) halves: [[f32; 2]; 2],
    /// The share of the energy that the two leave over, 0.0..=1.0.
    pub(super) residual: f32,
    /// The part of the residual in which each sample is like the one before. Nothing of white
    /// noise, quantisation noise included; most of what speech leaves over.
    pub(super) coloured: f32,
    /// The energy of the piece.
    pub(super) energy: f32,
    len: f32,
}

/// Samples handled at once: one SSE register. Pieces are multiples of twice as many.
const LANES: usize = 4;
/// The least residual that errors are reckoned with: a pure tone has its edges, too.
const LEAST_RESIDUAL: f32 = 0.004;

/// Where two sines near `omega` are, by the phase advance between the halves of `x`.
pub(super) fn frequencies(x: &[f32], omega: [f32; 2]) -> [f32; 2] {
    let half = x.len() / 2;
    let basis = Basis::new(half, omega);
    let [a, b] = basis.project(x).map(|v| basis.solve(v));
    [0, 1].map(|t| {
        let expected = basis.ends[t].times(basis.ends[t]);
        let advance = b[t].times(a[t].conj()).times(expected.conj());
        omega[t] + advance.im.atan2(advance.re) / half as f32
    })
}

impl Fit {
    /// Fits sines of these frequencies to `x`.
    pub(super) fn new(x: &[f32], omega: [f32; 2]) -> Self {
        let basis = Basis::new(x.len() / 2, omega);
        let [p, q] = basis.project(x);
        let halves = [basis.solve(p), basis.solve(q)].map(|half| half.map(Complex::abs));
        // The middles of the halves are a quarter of the piece from its own.
        let whole = [0, 1].map(|t| {
            let turn = basis.ends[t];
            p[t].times(turn).plus(q[t].times(turn.conj()))
        });
        let basis = basis.doubled();
        let sines = basis.solve(whole);
        let energy = energy(x).max(1.0);
        let (rest, lagged) = basis.rest(x, sines);
        Self {
            omega,
            amplitude: sines.map(Complex::abs),
            halves,
            residual: rest / energy,
            coloured: lagged / energy,
            energy,
            len: x.len() as f32,
        }
    }

    /// The standard deviation of an amplitude over half of the piece, if what is left over is
    /// white noise.
    pub(super) fn amplitude_error(&self) -> f32 {
        let noise = self.residual.max(LEAST_RESIDUAL) * self.energy / self.len;
        (4.0 * noise / self.len).sqrt()
    }

    /// The same of the frequency of tone `t` as [`frequencies`] finds it, radians per sample.
    pub(super) fn omega_error(&self, t: usize) -> f32 {
        self.amplitude_error() / self.amplitude[t] * (2.0 * SQRT_2) / self.len
    }

    /// Samples in the piece.
    pub(super) fn len(&self) -> f32 {
        self.len
    }
}

/// Radians per sample at 8 kHz.
pub(super) fn omega(hz: f32) -> f32 {
    TAU * hz / 8000.0
}

/// Sum of squares.
pub(super) fn energy(x: &[f32]) -> f32 {
    let (parts, tail) = x.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for part in parts {
        for (lane, v) in lanes.iter_mut().zip(part) {
            *lane += v * v;
        }
    }
    lanes.iter().sum::<f32>() + tail.iter().map(|v| v * v).sum::<f32>()
}

/// Cosine and sine of two frequencies over a piece, counted from its middle.
struct Basis {
    /// exp(i w / 2), of which all others are powers.
    steps: [Complex; 2],
    /// exp(i w len / 2)
    ends: [Complex; 2],
    /// Inner products: low with itself, low with high, high with itself. From the middle, cosines
    /// and sines are orthogonal: two systems of two remain of one of four.
    cos: [f32; 3],
    sin: [f32; 3],
}

impl Basis {
    fn new(len: usize, omega: [f32; 2]) -> Self {
        let steps = omega.map(|w| Complex::unit(w * 0.5));
        let ends = steps.map(|step| step.power(len));
        Self::of(len as f32, steps, ends)
    }

    /// The same frequencies over twice the length.
    fn doubled(&self) -> Self {
        let ends = self.ends.map(|end| end.times(end));
        // cos + sin of a diagonal element is the length.
        Self::of((self.cos[0] + self.sin[0]) * 2.0, self.steps, ends)
    }

    fn of(len: f32, steps: [Complex; 2], ends: [Complex; 2]) -> Self {
        // The sum of cos(x m) over m from -(len-1)/2 to (len-1)/2 is sin(x len/2) / sin(x/2).
        let sum = |end: Complex, step: Complex| end.im / step.im;
        let [low, high] = [0, 1].map(|t| sum(ends[t].times(ends[t]), steps[t].times(steps[t])));
        let apart = sum(
            ends[1].times(ends[0].conj()),
            steps[1].times(steps[0].conj()),
        );
        let together = sum(ends[1].times(ends[0]), steps[1].times(steps[0]));
        Self {
            steps,
            ends,
            cos: [len + low, apart + together, len + high].map(|v| v * 0.5),
            sin: [len - low, apart - together, len - high].map(|v| v * 0.5),
        }
    }

    /// The complex amplitudes c of sines Re(c exp(i w m)) whose projections are `v`.
    fn solve(&self, v: [Complex; 2]) -> [Complex; 2] {
        let two = |g: &[f32; 3], low: f32, high: f32| {
            let scale = 1.0 / (g[0] * g[2] - g[1] * g[1]);
            [
                (g[2] * low - g[1] * high) * scale,
                (g[0] * high - g[1] * low) * scale,
            ]
        };
        let re = two(&self.cos, v[0].re, v[1].re);
        let im = two(&self.sin, v[0].im, v[1].im);
        [0, 1].map(|t| Complex {
            re: re[t],
            im: im[t],
        })
    }

    /// The sums of `x[n] exp(-i w m)` over the first and over the second half of `x`, each
    /// counted from its own middle. The halves have the length of the basis.
    fn project(&self, x: &[f32]) -> [[Complex; 2]; 2] {
        let (first, second) = x.split_at(x.len() / 2);
        let (first, second) = (first.as_chunks().0, second.as_chunks().0);
        let mut wheels = [self.wheel(0), self.wheel(1)];
        // For each tone: real and imaginary parts of the first half, then of the second.
        let mut sums = [[[0.0f32; LANES]; 4]; 2];
        for (p, q) in first.iter().zip(second) {
            let (p, q): (&[f32; LANES], &[f32; LANES]) = (p, q);
            for (sums, wheel) in sums.iter_mut().zip(&mut wheels) {
                for lane in 0..LANES {
                    sums[0][lane] += p[lane] * wheel.re[lane];
                    sums[1][lane] -= p[lane] * wheel.im[lane];
                    sums[2][lane] += q[lane] * wheel.re[lane];
                    sums[3][lane] -= q[lane] * wheel.im[lane];
                }
                *wheel = wheel.turn();
            }
        }
        let sums = sums.map(|tone| tone.map(|lanes| lanes.iter().sum()));
        [0, 2].map(|half| {
            [0, 1].map(|t| Complex {
                re: sums[t][half],
                im: sums[t][half + 1],
            })
        })
    }

    /// What `x` is without the sines: its energy, and its correlation with itself one sample on.
    fn rest(&self, x: &[f32], sines: [Complex; 2]) -> (f32, f32) {
        let mut low = self.wheel(0).times(sines[0]);
        let mut high = self.wheel(1).times(sines[1]);
        let mut square = [0.0f32; LANES];
        let mut lagged = [0.0f32; LANES];
        let mut left = [0.0f32; LANES + 1];
        for part in x.as_chunks::<LANES>().0 {
            for lane in 0..LANES {
                left[lane + 1] = part[lane] - low.re[lane] - high.re[lane];
            }
            for lane in 0..LANES {
                square[lane] += left[lane + 1] * left[lane + 1];
                lagged[lane] += left[lane + 1] * left[lane];
            }
            left[0] = left[LANES];
            low = low.turn();
            high = high.turn();
        }
        (square.iter().sum(), lagged.iter().sum())
    }

    /// The sine of tone `t` at the begin of the piece.
    fn wheel(&self, t: usize) -> Wheel {
        let step = self.steps[t].times(self.steps[t]);
        let mut at = self.ends[t].times(self.steps[t].conj()).conj();
        let mut wheel = Wheel {
            re: [0.0; LANES],
            im: [0.0; LANES],
            turn: step.power(LANES),
        };
        for lane in 0..LANES {
            (wheel.re[lane], wheel.im[lane]) = (at.re, at.im);
            at = at.times(step);
        }
        wheel
    }
}

/// exp(i w m) for some consecutive m at once.
#[derive(Clone, Copy)]
struct Wheel {
    re: [f32; LANES],
    im: [f32; LANES],
    turn: Complex,
}

impl Wheel {
    /// All of them times `c`.
    fn times(mut self, c: Complex) -> Self {
        for lane in 0..LANES {
            let (re, im) = (self.re[lane], self.im[lane]);
            self.re[lane] = re * c.re - im * c.im;
            self.im[lane] = re * c.im + im * c.re;
        }
        self
    }

    /// On by as many as there are lanes.
    fn turn(self) -> Self {
        let turn = self.turn;
        self.times(turn)
    }
}

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

    fn power(self, mut exponent: usize) -> Self {
        let mut result = Self { re: 1.0, im: 0.0 };
        let mut square = self;
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result.times(square);
            }
            square = square.times(square);
            exponent >>= 1;
        }
        result
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
