//! In-band DTMF detection at 8 kHz.
//!
//! Sits behind decoding and concealment, before the mix.

mod filter;
mod fit;
mod spectrum;

use super::digit::{Digit, HIGH_HZ, LOW_HZ};
use filter::HighPass;
use fit::{Fit, fit, omega};
use spectrum::{Bins, TABLES, Tables, WINDOW};

/// Samples between looks: 2.5 ms.
const HOP: usize = 20;
/// Samples kept: the longest fit, and as much again before it moves to the front.
const HISTORY: usize = 512;

/// What the detector says of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detection {
    /// A digit that was recognised in this frame; told once, at the point where it is certain.
    pub digit: Option<Digit>,
    /// The frame is, or may be, part of a digit's tone: a conference leaves it out.
    pub suspect: bool,
}

/// What can be tuned.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug)]
pub struct Params {
    pub fit: usize,
    pub residual: f32,
    pub need: u32,
    pub proof: usize,
    pub proof_residual: f32,
    pub proof_hz: f32,
    pub steady: f32,
    pub gap: u32,
    pub hold: u32,
    pub early: bool,
    pub early_residual: f32,
    pub early_rise: f32,
    pub suspect_run: u32,
    pub low: f32,
    pub broken: u32,
}

impl Params {
    #[allow(missing_docs)]
    pub const DEFAULT: Params = Params {
        fit: 96,
        residual: 0.07,
        need: 8,
        proof: 192,
        proof_residual: 0.07,
        proof_hz: 0.024,
        steady: 1.35,
        gap: 9,
        hold: 9,
        early: true,
        early_residual: 0.12,
        early_rise: 10.0,
        suspect_run: 3,
        low: 1e9,
        broken: 7,
    };
}

/// A candidate: a pair of tones that is there, not yet long enough.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    pair: (usize, usize),
    /// Good hops in all, and without a break.
    good: u32,
    run: u32,
    /// Hops since the last good one.
    gap: u32,
    omega_sum: [f32; 2],
}

#[derive(Clone, Copy, Debug)]
struct Held {
    pair: (usize, usize),
    level: f32,
    absent: u32,
}

/// The detector of one stream.
#[derive(Clone, Debug)]
pub struct Detector {
    tables: &'static Tables,
    params: Params,
    filter: HighPass,
    input: [f32; HOP],
    filled: usize,
    history: [f32; HISTORY],
    end: usize,
    bins: [Bins; WINDOW],
    energy: [f32; 8],
    raw: [f32; 16],
    quiet: u32,
    candidate: Option<Candidate>,
    held: Option<Held>,
    /// debug
    #[allow(missing_docs)]
    pub trace: Option<Trace>,
}

/// debug
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    pub coarse: f32,
    pub residual: f32,
    pub delta: [f32; 2],
    pub amp: [f32; 2],
    pub good: u32,
    pub run: u32,
    pub proof: f32,
    pub proof_delta: [f32; 2],
    pub steady: f32,
    pub low: f32,
}

const QUIET_PEAK: i32 = 100;
/// Least energy of a window: amplitude squared / 2 per sample; -40 dBm0.
const LEAST_POWER: f32 = 27_000.0;

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self::with(Params::DEFAULT)
    }

    /// Tuned.
    pub fn with(params: Params) -> Self {
        Self {
            tables: &TABLES,
            params,
            filter: HighPass::default(),
            input: [0.0; HOP],
            filled: 0,
            history: [0.0; HISTORY],
            end: HISTORY / 2,
            bins: [Bins::default(); WINDOW],
            energy: [0.0; 8],
            raw: [0.0; 16],
            quiet: u32::MAX,
            candidate: None,
            held: None,
            trace: None,
        }
    }

    /// Forgets all that was heard.
    pub fn reset(&mut self) {
        *self = Self::with(self.params);
    }

    /// Listens to the next samples of the stream.
    pub fn process(&mut self, frame: &[i16]) -> Detection {
        let mut detection = Detection::default();
        let peak = frame
            .iter()
            .fold(0i32, |peak, &s| peak.max(i32::from(s).abs()));
        if peak < QUIET_PEAK {
            if self.quiet >= HISTORY as u32 / 2 {
                return detection;
            }
            self.quiet += frame.len() as u32;
            if self.quiet >= HISTORY as u32 / 2 {
                *self = Self {
                    quiet: u32::MAX,
                    ..Self::with(self.params)
                };
                return detection;
            }
        } else {
            self.quiet = 0;
        }
        for &sample in frame {
            self.input[self.filled] = f32::from(sample);
            self.filled += 1;
            if self.filled == HOP {
                self.filled = 0;
                let (digit, suspect) = self.hop();
                detection.digit = detection.digit.or(digit);
                detection.suspect |= suspect;
            }
        }
        if !detection.suspect && self.params.early {
            detection.suspect = self.early();
        }
        detection
    }

    fn hop(&mut self) -> (Option<Digit>, bool) {
        if self.end + HOP > HISTORY {
            self.history.copy_within(HISTORY / 2.., 0);
            self.end -= HISTORY / 2;
        }
        let begin = self.end;
        self.end += HOP;
        let latest = &mut self.history[begin..begin + HOP];
        self.filter.run(&self.input, latest);
        self.energy.copy_within(1.., 0);
        self.energy[7] = fit::energy(latest);
        self.raw.copy_within(1.., 0);
        self.raw[15] = (fit::energy(&self.input) - self.energy[7]).max(0.0);
        self.bins.copy_within(1.., 0);
        self.bins[WINDOW - 1] = self.tables.hop(latest);
        let energy: f32 = self.energy[8 - WINDOW..].iter().sum();
        let powers = self.tables.window(&self.bins);
        let mut low = strongest(&powers[..4]);
        let mut high = strongest(&powers[4..]);
        let p = &self.params;
        let explained = powers[low] + powers[high + 4];

        let mut suspect = false;
        if let Some(held) = &mut self.held {
            let pair = powers[held.pair.0] + powers[held.pair.1 + 4];
            let present = pair > 0.4 * energy && pair > 0.1 * held.level;
            held.absent = if present { 0 } else { held.absent + 1 };
            suspect = held.absent <= 2;
            if held.absent > p.hold {
                self.held = None;
            } else if present {
                self.candidate = None;
                return (None, true);
            }
        }
        self.trace = None;
        let mut good = None;
        if energy > LEAST_POWER * (WINDOW * HOP) as f32 && explained > 0.5 * energy {
            let x = &self.history[self.end - p.fit..self.end];
            let nominal = [omega(LOW_HZ[low]), omega(HIGH_HZ[high])];
            let f = fit(x, nominal);
            // 10 ms tell neighbours apart only roughly; the fit knows better.
            low = nearest(f.omega[0], &LOW_HZ);
            high = nearest(f.omega[1], &HIGH_HZ);
            let nominal = [omega(LOW_HZ[low]), omega(HIGH_HZ[high])];
            let delta = [0, 1].map(|t| f.omega[t] / nominal[t] - 1.0);
            self.trace = Some(Trace {
                coarse: explained / energy,
                residual: f.residual,
                delta,
                amp: f.amplitude,
                good: 0,
                run: 0,
                proof: 9.0,
                proof_delta: [0.0; 2],
                steady: 0.0,
                low: 0.0,
            });
            if f.residual < p.residual && delta.iter().all(|d| d.abs() < 0.035) && twist_ok(&f) {
                good = Some(((low, high), f));
            }
        }
        match (&mut self.candidate, good) {
            (Some(c), Some((pair, f))) if c.pair == pair => {
                c.run = if c.gap == 0 { c.run + 1 } else { 1 };
                c.good += 1;
                c.gap = 0;
                c.omega_sum[0] += f.omega[0];
                c.omega_sum[1] += f.omega[1];
            }
            (candidate, Some((pair, f))) => {
                *candidate = Some(Candidate {
                    pair,
                    good: 1,
                    run: 1,
                    gap: 0,
                    omega_sum: f.omega,
                });
            }
            (Some(c), None) => {
                c.gap += 1;
                if c.gap > p.gap || c.good < 3 {
                    self.candidate = None;
                }
            }
            (None, None) => {}
        }
        let Some(c) = self.candidate else {
            return (None, suspect);
        };
        suspect |= c.good >= p.suspect_run;
        if c.gap == 0 && self.held.is_none_or(|h| h.pair != c.pair) {
            let nominal = [omega(LOW_HZ[c.pair.0]), omega(HIGH_HZ[c.pair.1])];
            let mean = [0, 1].map(|t| c.omega_sum[t] / c.good as f32);
            let mut sure = None;
            if c.run >= p.need {
                let x = &self.history[self.end - p.proof..self.end];
                let f = fit(x, mean);
                let delta = [0, 1].map(|t| f.omega[t] / nominal[t] - 1.0);
                let steady = (0..2)
                    .map(|t| f.halves[0][t] / f.halves[1][t])
                    .fold(1.0f32, |m, r| m.max(r).max(1.0 / r));
                let low: f32 = self.raw[16 - p.proof / HOP..].iter().sum::<f32>() / f.energy;
                if let Some(t) = &mut self.trace {
                    t.proof = f.residual;
                    t.proof_delta = delta;
                    t.steady = steady;
                    t.low = low;
                }
                if f.residual < p.proof_residual
                    && delta.iter().all(|d| d.abs() < p.proof_hz)
                    && steady < p.steady
                    && low < p.low
                    && twist_ok(&f)
                {
                    sure = Some(f.energy * (WINDOW * HOP) as f32 / p.proof as f32);
                }
            } else if c.good >= p.broken && c.run < c.good {
                let delta = [0, 1].map(|t| mean[t] / nominal[t] - 1.0);
                if delta.iter().all(|d| d.abs() < p.proof_hz) {
                    sure = Some(energy);
                }
            }
            if let Some(t) = &mut self.trace {
                t.good = c.good;
                t.run = c.run;
            }
            if let Some(level) = sure {
                self.held = Some(Held {
                    pair: c.pair,
                    level,
                    absent: 0,
                });
                self.candidate = None;
                return (Digit::from_keypad(c.pair.0, c.pair.1), true);
            }
        }
        (None, suspect)
    }

    fn early(&self) -> bool {
        let e = &self.energy;
        // The last 5 or 7.5 ms against what was before.
        let now = e[6] + e[7];
        let before = e[2] + e[3] + e[4].min(e[3]);
        if now < LEAST_POWER * 2.0 * HOP as f32 || now < before * self.params.early_rise * 2.0 / 3.0
        {
            return false;
        }
        let powers = {
            let mut bins = [Bins::default(); WINDOW];
            bins[WINDOW - 2..].copy_from_slice(&self.bins[WINDOW - 2..]);
            self.tables.window(&bins)
        };
        let low = strongest(&powers[..4]);
        let high = strongest(&powers[4..]);
        let nominal = [omega(LOW_HZ[low]), omega(HIGH_HZ[high])];
        let f = fit(&self.history[self.end - 48..self.end], nominal);
        f.residual < self.params.early_residual
            && twist_ok(&f)
            && (0..2).all(|t| (f.omega[t] / nominal[t] - 1.0).abs() < 0.05)
    }
}

fn twist_ok(f: &Fit) -> bool {
    let twist = f.amplitude[1] / f.amplitude[0];
    // +4 dB and -8 dB; the filter takes 1.3 dB from 686 Hz, noise the rest.
    twist > 0.29 && twist < 2.4
}

fn strongest(powers: &[f32]) -> usize {
    let mut best = 0;
    for (k, p) in powers.iter().enumerate() {
        if *p > powers[best] {
            best = k;
        }
    }
    best
}

/// The index of the frequency next to `w`.
fn nearest(w: f32, group: &[f32; 4]) -> usize {
    let mut best = 0;
    for k in 1..4 {
        if (omega(group[k]) - w).abs() < (omega(group[best]) - w).abs() {
            best = k;
        }
    }
    best
}
