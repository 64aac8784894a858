//! The high-pass in front of the analysis: takes away hum and dial tone, keeps the digits.

use super::HOP;

/// Two second-order sections at 8 kHz, elliptic in kind: within 0.6 dB from 697 Hz upwards, 43 dB
/// down from 300 to 440 Hz (dial tones: 350 + 440, 400, 425 Hz), 29 dB at 0 Hz. It rings for 2 ms
/// only, so that the begin of a tone stays where it is.
#[derive(Clone, Debug, Default)]
pub(super) struct HighPass {
    /// The latest inputs, outputs of the first section, and outputs; oldest first.
    x: [f32; TAPS],
    u: [f32; TAPS],
    v: [f32; TAPS],
}

// Zeros on the unit circle at 300 and 418 Hz; poles at 677 Hz (radius 0.93) and 762 Hz (0.63).
// Found by a search for the least ripple above 682 Hz with 40 dB at the dial tones.
const GAIN: f32 = 0.527_316_3;
const B1: [f32; 2] = [-1.944_739_7, -1.893_025_7];
const A1: [f32; 2] = [-1.603_388_4, -1.042_046_6];
const A2: [f32; 2] = [0.864_899_9, 0.397_586];
/// What a section looks back.
const TAPS: usize = 4;

impl HighPass {
    /// Filters the next samples.
    pub(super) fn run(&mut self, input: &[f32; HOP], output: &mut [f32]) {
        let mut x = [0.0; HOP + TAPS];
        x[..TAPS].copy_from_slice(&self.x);
        x[TAPS..].copy_from_slice(input);
        self.x.copy_from_slice(&x[HOP..]);
        let u = section(0, &x, self.u);
        self.u.copy_from_slice(&u[HOP..]);
        let v = section(1, &u, self.v);
        self.v.copy_from_slice(&v[HOP..]);
        for (y, v) in output.iter_mut().zip(&v[TAPS..]) {
            *y = v * GAIN;
        }
    }

    /// The gain at `omega` radians per sample.
    pub(super) fn gain(omega: f32) -> f32 {
        let (cos, double) = (omega.cos(), (2.0 * omega).cos());
        let section = |k: usize| {
            let above = (2.0 * cos + B1[k]).powi(2);
            let below = 1.0
                + A1[k] * A1[k]
                + A2[k] * A2[k]
                + 2.0 * A1[k] * (1.0 + A2[k]) * cos
                + 2.0 * A2[k] * double;
            above / below
        };
        GAIN * (section(0) * section(1)).sqrt()
    }
}

/// One section: (1 + b1 z + z^2) / (1 + a1 z + a2 z^2), both multiplied by (1 - a1 z + a2 z^2). So
/// a sample depends on those two and four before and not on the last: half the time to wait, and
/// the longer sum is one that vectorises.
fn section(k: usize, x: &[f32; HOP + TAPS], before: [f32; TAPS]) -> [f32; HOP + TAPS] {
    let (a1, a2, b1) = (A1[k], A2[k], B1[k]);
    let (t1, t2, t3) = (b1 - a1, 1.0 + a2 - a1 * b1, b1 * a2 - a1);
    let (c2, c4) = (2.0 * a2 - a1 * a1, a2 * a2);
    let mut y = [0.0; HOP + TAPS];
    y[..TAPS].copy_from_slice(&before);
    for n in 0..HOP {
        y[n + 4] = x[n + 4] + t1 * x[n + 3] + t2 * x[n + 2] + t3 * x[n + 1] + a2 * x[n];
    }
    let [mut y4, mut y3, mut y2, mut y1] = before;
    for y in &mut y[TAPS..] {
        *y = (*y - c4 * y4) - c2 * y2;
        (y4, y3, y2, y1) = (y3, y2, y1, *y);
    }
    y
}
