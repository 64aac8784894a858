//! The yardstick: concealment as ITU-T G.711 Appendix I describes it, on frames of 10 ms at
//! 8 kHz, behind an ideal buffer. Unlike the server's it holds 3.75 ms back, and knows nothing
//! of what comes after a loss.

const FRAME: usize = 80;
const PERIOD_MIN: usize = 40;
const PERIOD_MAX: usize = 120;
/// History: three of the longest periods, and a quarter of one to blend.
const HISTORY: usize = PERIOD_MAX * 3 + PERIOD_MAX / 4;
/// What is held back.
pub const DELAY: usize = PERIOD_MAX / 4;
/// The window of the correlation: 20 ms.
const WINDOW: usize = 160;

/// Conceals one stream.
pub struct Appendix {
    /// The latest output, of which the last [`DELAY`] samples are still to be given out.
    history: Vec<f64>,
    erased: usize,
    /// What is repeated: the last 3.25 periods when the loss began.
    pitch: Vec<f64>,
    period: usize,
    /// How many periods are in use, and the place in them.
    periods: usize,
    offset: usize,
}

impl Appendix {
    /// A new stream.
    pub fn new() -> Self {
        Self {
            history: vec![0.0; HISTORY],
            erased: 0,
            pitch: vec![0.0; HISTORY],
            period: PERIOD_MIN,
            periods: 1,
            offset: 0,
        }
    }

    /// A received frame of 10 ms; gives one out, [`DELAY`] samples late.
    pub fn good(&mut self, frame: &[i16]) -> Vec<i16> {
        let mut samples: Vec<f64> = frame.iter().map(|&s| f64::from(s)).collect();
        if self.erased > 0 {
            // A quarter period, and 4 ms more for each 10 ms that were lost; at most a frame.
            let overlap = (self.period / 4 + (self.erased - 1) * 32).min(FRAME);
            let mut tail = self.synthesise(overlap);
            self.attenuate(&mut tail);
            blend(&tail, &mut samples[..overlap]);
            self.erased = 0;
        }
        self.give_out(&samples)
    }

    /// A frame was lost.
    pub fn lost(&mut self) -> Vec<i16> {
        let mut samples;
        if self.erased == 0 {
            self.begin();
            samples = self.synthesise(FRAME);
        } else if self.erased < 3 {
            // From one period to two, and to three: the place goes back by whole periods, and a
            // quarter period is blended.
            let quarter = self.period / 4;
            let before = (self.periods, self.offset);
            let old = self.synthesise(quarter);
            (self.periods, self.offset) = before;
            self.periods += 1;
            self.offset %= self.period;
            samples = self.synthesise(FRAME);
            blend(&old, &mut samples[..quarter]);
        } else {
            samples = self.synthesise(FRAME);
        }
        if self.erased > 0 {
            self.attenuate(&mut samples);
        }
        self.erased += 1;
        self.give_out(&samples)
    }

    fn begin(&mut self) {
        self.pitch.clone_from(&self.history);
        self.period = self.find_period();
        self.periods = 1;
        self.offset = 0;
        // The seam of the repeated period: its end leads into its begin, from what came before.
        // What is held back gets the same, so that the loss begins without a step.
        let quarter = self.period / 4;
        let before = HISTORY - self.period - quarter;
        let mut tail = self.pitch[before..before + quarter].to_vec();
        blend(&self.pitch[HISTORY - quarter..], &mut tail);
        self.pitch[HISTORY - quarter..].copy_from_slice(&tail);
        self.history[HISTORY - quarter..].copy_from_slice(&tail);
    }

    /// The peak of the normalised cross-correlation, 66 to 200 Hz.
    fn find_period(&self) -> usize {
        let end = &self.history[HISTORY - WINDOW..];
        let score = |lag: usize| {
            let other = &self.history[HISTORY - WINDOW - lag..HISTORY - lag];
            let product: f64 = end.iter().zip(other).map(|(a, b)| a * b).sum();
            let energy: f64 = other.iter().map(|b| b * b).sum();
            product / energy.max(250_000.0).sqrt()
        };
        (PERIOD_MIN..=PERIOD_MAX)
            .max_by(|&a, &b| score(a).total_cmp(&score(b)))
            .unwrap_or(PERIOD_MIN)
    }

    fn synthesise(&mut self, count: usize) -> Vec<f64> {
        let used = self.periods * self.period;
        let begin = HISTORY - used;
        (0..count)
            .map(|_| {
                let sample = self.pitch[begin + self.offset];
                self.offset = (self.offset + 1) % used;
                sample
            })
            .collect()
    }

    /// 20 % less per 10 ms, from 10 ms on; nothing from 60 ms on.
    fn attenuate(&self, samples: &mut [f64]) {
        let begin = 1.0 - 0.2 * (self.erased - 1) as f64;
        for (n, sample) in samples.iter_mut().enumerate() {
            *sample *= (begin - 0.2 * n as f64 / FRAME as f64).max(0.0);
        }
    }

    fn give_out(&mut self, samples: &[f64]) -> Vec<i16> {
        self.history.drain(..samples.len());
        self.history.extend(samples);
        let end = HISTORY - DELAY;
        self.history[end - samples.len()..end]
            .iter()
            .map(|&s| s as i16)
            .collect()
    }
}

/// From `old` to `new`, in place.
fn blend(old: &[f64], new: &mut [f64]) {
    let step = 1.0 / (new.len() + 1) as f64;
    for (n, (new, old)) in new.iter_mut().zip(old).enumerate() {
        let weight = (n + 1) as f64 * step;
        *new = *old * (1.0 - weight) + *new * weight;
    }
}
