//! The spoken prompts in what was heard: which, in which order, where.
//!
//! A prompt counts as heard where its own samples correlate with what was heard. The narrow-band
//! samples that it is compared with are made here, by other means than the server's.

use std::f64::consts::{PI, TAU};
use std::path::Path;

/// Samples of a second.
const RATE: usize = 8000;
/// What correlates less is something else. Another prompt of the same voice reaches 0.6.
pub const LIKE: f64 = 0.85;

/// A prompt as it should be heard.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// Either sample of a pair may be the one that the server's resampler keeps.
    pub phases: [Vec<f64>; 2],
}

/// A prompt that was heard.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Where it begins, samples.
    pub at: usize,
    /// How many samples were looked for.
    pub len: usize,
    /// 1: the same.
    pub likeness: f64,
    /// How much louder it was heard, dB.
    pub gain: f64,
}

impl Found {
    /// Where it begins, seconds.
    pub fn seconds(&self) -> f64 {
        self.at as f64 / RATE as f64
    }
}

impl Prompt {
    /// One of the built-in ones, without the silence around it.
    pub fn named(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("media/{name}.wav"));
        Self {
            name: name.to_owned(),
            phases: [0, 1].map(|phase| trimmed(narrowband(&path, phase))),
        }
    }

    /// Its first seconds, which are there even where a digit cuts it short.
    pub fn begin(mut self, seconds: f64) -> Self {
        let len = (seconds * RATE as f64) as usize;
        for phase in &mut self.phases {
            phase.truncate(len);
        }
        self
    }

    /// Its last seconds: they are there only where nothing cut it short.
    pub fn end(mut self, seconds: f64) -> Self {
        let len = (seconds * RATE as f64) as usize;
        for phase in &mut self.phases {
            let from = phase.len().saturating_sub(len);
            phase.drain(..from);
        }
        self
    }

    /// Where it is heard best.
    pub fn best(&self, heard: &[i16]) -> Option<Found> {
        let found = self.phases.iter().map(|phase| {
            let likeness = correlate(phase, heard);
            let best = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
            let (at, likeness) = likeness.iter().enumerate().max_by(best)?;
            Some(self.found(phase, heard, at, *likeness))
        });
        found
            .flatten()
            .max_by(|a, b| a.likeness.total_cmp(&b.likeness))
    }

    /// Every place where it is heard, in order.
    pub fn all(&self, heard: &[i16]) -> Vec<Found> {
        let likeness = self.phases.each_ref().map(|phase| correlate(phase, heard));
        let mut found: Vec<Found> = Vec::new();
        for (phase, likeness) in self.phases.iter().zip(&likeness) {
            for (at, value) in likeness.iter().enumerate().filter(|(_, v)| **v >= LIKE) {
                let new = self.found(phase, heard, at, *value);
                match found
                    .iter_mut()
                    .find(|f| f.at.abs_diff(at) < phase.len() / 2)
                {
                    Some(old) if old.likeness < new.likeness => *old = new,
                    Some(_) => {}
                    None => found.push(new),
                }
            }
        }
        found.sort_by_key(|f| f.at);
        found
    }

    fn found(&self, phase: &[f64], heard: &[i16], at: usize, likeness: f64) -> Found {
        let part: Vec<f64> = heard[at..at + phase.len()]
            .iter()
            .map(|s| f64::from(*s))
            .collect();
        Found {
            name: self.name.clone(),
            at,
            len: phase.len(),
            likeness,
            gain: 10.0 * (energy(&part).max(1.0) / energy(phase).max(1.0)).log10(),
        }
    }
}

/// Which of these prompts are heard, in order; of a longer one its first second. Where two are
/// alike ("Message", "message.") it is the one that is more so.
pub fn said(heard: &[i16], names: &[&str]) -> Vec<Found> {
    let mut found: Vec<Found> = names
        .iter()
        .flat_map(|name| Prompt::named(name).begin(1.0).all(heard))
        .collect();
    found.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    let mut kept: Vec<Found> = Vec::new();
    for one in found {
        let same_place = |k: &Found| k.at.abs_diff(one.at) < k.len.min(one.len) / 2;
        if !kept.iter().any(same_place) {
            kept.push(one);
        }
    }
    kept.sort_by_key(|f| f.at);
    kept
}

/// Their names alone.
pub fn names(found: &[Found]) -> Vec<&str> {
    found.iter().map(|f| f.name.as_str()).collect()
}

/// A key's prompt.
pub fn of_key(key: char) -> String {
    match key {
        '*' => "digit-star".to_owned(),
        '#' => "digit-pound".to_owned(),
        key => format!("digit-{}", key.to_ascii_lowercase()),
    }
}

/// What the prompts say that are heard between `after` and the end: keys as they are spoken.
pub fn keys_said(heard: &[i16]) -> String {
    let keys = "0123456789*#ABCD";
    let named: Vec<(char, String)> = keys.chars().map(|key| (key, of_key(key))).collect();
    let names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
    let key = |found: &Found| {
        let of_name = |(_, name): &&(char, String)| *name == found.name;
        named.iter().find(of_name).unwrap().0
    };
    said(heard, &names).iter().map(key).collect()
}

fn trimmed(mut samples: Vec<f64>) -> Vec<f64> {
    let loud = |s: &f64| s.abs() > 200.0;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).unwrap_or(0);
    samples.truncate(last + 1);
    samples.drain(..first);
    samples
}

/// A file at 16 kHz by every other sample, behind a short low-pass: good enough to be compared
/// with.
pub fn narrowband(path: &Path, phase: i64) -> Vec<f64> {
    let reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().sample_rate, 16_000);
    let samples: Vec<f64> = reader
        .into_samples::<i16>()
        .map(|s| f64::from(s.unwrap()))
        .collect();
    let taps: Vec<f64> = (-31..=31)
        .map(|n| {
            let x = PI * f64::from(n) / 2.0;
            let window = 0.5 + 0.5 * (PI * f64::from(n) / 32.0).cos();
            let sinc = if n == 0 { 1.0 } else { x.sin() / x };
            0.5 * sinc * window
        })
        .collect();
    let at = |n: i64| samples.get(usize::try_from(n).ok()?).copied();
    let filtered = |n: i64| {
        taps.iter()
            .zip(n - 31..)
            .map(|(t, m)| t * at(m).unwrap_or(0.0))
            .sum()
    };
    (phase..samples.len() as i64)
        .step_by(2)
        .map(filtered)
        .collect()
}

fn energy(part: &[f64]) -> f64 {
    part.iter().map(|s| s * s).sum()
}

/// The normalised correlation of `what` with each place of `heard` that has room for it.
pub fn correlate(what: &[f64], heard: &[i16]) -> Vec<f64> {
    if what.is_empty() || heard.len() < what.len() {
        return Vec::new();
    }
    let size = heard.len().next_power_of_two();
    let spectrum = |samples: &mut dyn Iterator<Item = f64>| {
        let mut points: Vec<(f64, f64)> = samples.map(|s| (s, 0.0)).collect();
        points.resize(size, (0.0, 0.0));
        transform(&mut points);
        points
    };
    let mut product = spectrum(&mut heard.iter().map(|s| f64::from(*s)));
    let other = spectrum(&mut what.iter().copied());
    // heard times the conjugate of what; the conjugate of that goes forth instead of back.
    for ((re, im), (a, b)) in product.iter_mut().zip(&other) {
        (*re, *im) = (*re * a + *im * b, -(*im * a - *re * b));
    }
    transform(&mut product);
    let mut squares = vec![0.0];
    for s in heard {
        squares.push(squares[squares.len() - 1] + f64::from(*s).powi(2));
    }
    let own = energy(what);
    (0..=heard.len() - what.len())
        .map(|at| {
            let there: f64 = squares[at + what.len()] - squares[at];
            // Below a hundredth of its energy it is not the prompt, however alike.
            let there = there.max(own / 100.0);
            product[at].0 / size as f64 / (there * own).sqrt().max(1.0)
        })
        .collect()
}

/// The discrete Fourier transform, in place; the length is a power of two.
fn transform(points: &mut [(f64, f64)]) {
    let n = points.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = (i as u64).reverse_bits() >> (64 - bits.max(1));
        let j = if bits == 0 { 0 } else { j as usize };
        if i < j {
            points.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        let steps: Vec<(f64, f64)> = (0..half)
            .map(|k| {
                let angle = -TAU * k as f64 / (2 * half) as f64;
                (angle.cos(), angle.sin())
            })
            .collect();
        for block in points.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), (cos, sin)) in low.iter_mut().zip(high).zip(&steps) {
                let turned = (b.0 * cos - b.1 * sin, b.0 * sin + b.1 * cos);
                *b = (a.0 - turned.0, a.1 - turned.1);
                *a = (a.0 + turned.0, a.1 + turned.1);
            }
        }
        half *= 2;
    }
}
