//! Concealment of lost audio after the manner of ITU-T G.711 Appendix I: the last pitch period
//! is repeated, fades from 10 ms on, and is silence at 60 ms.
//!
//! Unlike the Appendix it delays nothing: instead of holding 3.75 ms back for an overlap at the
//! beginning of a loss, the step to the repeated period is spread over its first quarter.

use super::stretch;

/// Conceals gaps in one stream. All memory is taken at construction.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// The latest output, a ring whose oldest sample is at `next`.
    history: Box<[i16]>,
    next: usize,
    /// How many of the latest samples are known to be zero. Where all are, more of them need no
    /// writing: most parties are silent most of the time, and memory is what a tick costs.
    silent: usize,
    /// The period that is repeated: its tail leads smoothly into its head.
    period: Box<[i16]>,
    period_len: usize,
    /// Samples since the loss began; `None` outside a loss.
    lost: Option<usize>,
    /// Something else has concealed since the loss began.
    foreign: bool,
    /// How far the overlap behind a loss is, and how long.
    overlap: Option<(usize, usize)>,
    /// The step between the last sample and the repeated one before it.
    step: f32,
    ms: usize,
}

impl Concealer {
    /// A concealer for `rate` Hz.
    pub fn new(rate: u32) -> Self {
        let ms = (rate as usize / 1000).max(1);
        let history = vec![0; HISTORY_MS * ms].into();
        let period = vec![0; MAX_PERIOD_MS * ms].into();
        Self::in_memory(history, period, ms)
    }

    /// The same, in this one's memory where that has the size.
    pub fn recycled(mut self, rate: u32) -> Self {
        let ms = (rate as usize / 1000).max(1);
        if self.ms != ms {
            return Self::new(rate);
        }
        self.history.fill(0);
        Self::in_memory(self.history, self.period, ms)
    }

    fn in_memory(history: Box<[i16]>, period: Box<[i16]>, ms: usize) -> Self {
        Self {
            history,
            next: 0,
            silent: HISTORY_MS * ms,
            period,
            period_len: 0,
            lost: None,
            foreign: false,
            overlap: None,
            step: 0.0,
            ms,
        }
    }

    /// Whether the last sample was concealed, at least in part.
    pub fn is_active(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether the concealment has faded to silence.
    pub fn is_faded(&self) -> bool {
        self.lost.is_some_and(|lost| lost >= FADED_MS * self.ms)
    }

    /// How many samples were concealed since the last good one.
    pub fn lost(&self) -> usize {
        self.lost.unwrap_or(0)
    }

    /// Takes note of a loss that something else has concealed. Its end is left to that as well.
    pub fn filled(&mut self, out: &[i16]) {
        self.foreign = true;
        self.overlap = None;
        self.lost = Some(self.lost().saturating_add(out.len()));
        self.push(out);
    }

    /// Takes note of samples that were played.
    pub fn push(&mut self, played: &[i16]) {
        let len = self.history.len();
        let played = &played[played.len().saturating_sub(len)..];
        let silent = played.iter().fold(0, |all, sample| all | sample) == 0;
        if silent && self.silent >= len {
            return;
        }
        self.silent = if silent {
            self.silent + played.len()
        } else {
            0
        };
        let first = played.len().min(len - self.next);
        self.history[self.next..self.next + first].copy_from_slice(&played[..first]);
        self.history[..played.len() - first].copy_from_slice(&played[first..]);
        self.next = (self.next + played.len()) % len;
    }

    /// Brings the history into order, oldest first.
    fn order(&mut self) {
        self.history.rotate_left(self.next);
        self.next = 0;
    }

    /// Fills `out` with what may have been lost, and takes note of it.
    pub fn conceal(&mut self, out: &mut [i16]) {
        // Lost again before the last loss has ended, or left by what has concealed so far.
        let begins = self.overlap.take().is_some() | std::mem::take(&mut self.foreign);
        if begins {
            self.lost = None;
        }
        if self.is_faded() {
            out.fill(0);
        } else {
            let begin = self.begin();
            for (n, sample) in out.iter_mut().enumerate() {
                *sample = self.synthesised(begin + n);
            }
        }
        if let Some(lost) = &mut self.lost {
            *lost = lost.saturating_add(out.len());
        }
        self.push(out);
    }

    /// Ends a loss: blends the concealment into the first good samples, in place. What `good` is
    /// too short for is left to the next call. Does not [`Concealer::push`].
    pub fn resume(&mut self, good: &mut [i16]) {
        let Some(lost) = self.lost else {
            return;
        };
        if std::mem::take(&mut self.foreign) {
            self.lost = None;
            return;
        }
        let (done, overlap) = self.overlap.unwrap_or((0, self.overlap_after(lost)));
        let piece = good.len().min(overlap - done);
        for (n, sample) in (done..).zip(&mut good[..piece]) {
            let weight = (n + 1) as f32 / (overlap + 1) as f32;
            let old = f32::from(self.synthesised(lost + n));
            *sample = (old + (f32::from(*sample) - old) * weight) as i16;
        }
        self.overlap = Some((done + piece, overlap));
        if done + piece == overlap {
            self.overlap = None;
            self.lost = None;
        }
    }

    /// Appendix I §I.2.7: the longer the loss, the longer the overlap, up to 10 ms.
    fn overlap_after(&self, lost: usize) -> usize {
        if lost >= FADED_MS * self.ms {
            return 4 * self.ms;
        }
        (self.period_len / 4 + lost * 4 / 10).clamp(4 * self.ms, 10 * self.ms)
    }

    /// Forgets the stream: the next samples stand on their own.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.silent = self.history.len();
        self.lost = None;
        self.overlap = None;
    }

    /// Finds the period if the loss begins here. Returns the samples lost so far.
    fn begin(&mut self) -> usize {
        if let Some(lost) = self.lost {
            return lost;
        }
        self.lost = Some(0);
        if self.silent >= self.history.len() {
            // Silence has no period to seek.
            self.period_len = 0;
            return 0;
        }
        self.order();
        let history = &self.history;
        let len = history.len();
        let window = PATTERN_MS * self.ms;
        let lags = MIN_PERIOD_MS * self.ms..MAX_PERIOD_MS * self.ms;
        let period = stretch::best_lag_back(history, window, lags).lag;
        let overlap = period / 4;
        self.period_len = period;
        self.period[..period].copy_from_slice(&history[len - period..]);
        for n in 0..overlap {
            let weight = (n + 1) as f32 / (overlap + 1) as f32;
            let tail = f32::from(history[len - overlap + n]);
            let before = f32::from(history[len - period - overlap + n]);
            self.period[period - overlap + n] = (tail + (before - tail) * weight) as i16;
        }
        self.step = f32::from(history[len - 1]) - f32::from(history[len - period - 1]);
        0
    }

    /// The `n`-th sample since the loss began.
    fn synthesised(&self, n: usize) -> i16 {
        let faded = FADED_MS * self.ms;
        let full = FULL_MS * self.ms;
        if n >= faded || self.period_len == 0 {
            return 0;
        }
        let mut sample = f32::from(self.period[n % self.period_len]);
        let bridge = self.period_len / 4;
        if n < bridge {
            sample += self.step * (bridge - n) as f32 / bridge as f32;
        }
        if n > full {
            sample *= (faded - n) as f32 / (faded - full) as f32;
        }
        sample as i16
    }
}

// Appendix I §I.2: 48.75 ms of history, pitch from 66 to 200 Hz, 20 ms of correlation, 20 % less
// per 10 ms.
const HISTORY_MS: usize = 49;
const MIN_PERIOD_MS: usize = 5;
const MAX_PERIOD_MS: usize = 15;
const PATTERN_MS: usize = 20;
const FULL_MS: usize = 10;
const FADED_MS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, from: usize, len: usize) -> Vec<i16> {
        (from..from + len)
            .map(|n| ((n as f32 * hz / 8000.0 * std::f32::consts::TAU).sin() * 8000.0) as i16)
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
    fn the_seams_of_a_concealed_sine_are_smooth() {
        for hz in [97.0, 150.0, 211.3, 440.0, 1004.0, 1733.0] {
            for lost_ms in [5, 10, 20, 30, 40, 80, 200] {
                let mut concealer = Concealer::new(8000);
                let mut heard = sine(hz, 0, 800);
                concealer.push(&heard);
                let mut gap = vec![1; lost_ms * 8];
                for frame in gap.chunks_mut(160) {
                    concealer.conceal(frame);
                }
                heard.extend(&gap);
                let mut after = sine(hz, 800 + gap.len(), 160);
                // What comes in pieces is blended as a whole.
                for piece in after.chunks_mut(if lost_ms % 20 == 0 { 7 } else { 160 }) {
                    concealer.resume(piece);
                    concealer.push(piece);
                }
                assert!(!concealer.is_active());
                heard.extend(&after);
                let plain = largest_step(&sine(hz, 0, 800));
                let step = largest_step(&heard);
                assert!(
                    step <= plain * 13 / 10 + 60,
                    "{hz} Hz, {lost_ms} ms: {step} > {plain}"
                );
            }
        }
    }

    #[test]
    fn a_growing_sound_is_continued_without_a_step() {
        // At its peak, where the period before was lower by more than any step of the sine.
        let growing: Vec<i16> = sine(100.0, 0, 821)
            .iter()
            .enumerate()
            .map(|(n, &s)| (i32::from(s) * n as i32 / 800) as i16)
            .collect();
        let mut concealer = Concealer::new(8000);
        concealer.push(&growing);
        let mut gap = [0; 160];
        concealer.conceal(&mut gap);
        let step = (i32::from(gap[0]) - i32::from(growing[820])).abs();
        assert!(step < 100, "{step}");
        assert!(largest_step(&gap) <= 700, "{}", largest_step(&gap));
    }

    #[test]
    fn a_short_loss_is_filled_at_level_and_a_long_one_fades() {
        let mut concealer = Concealer::new(8000);
        concealer.push(&sine(200.0, 0, 800));
        let mut gap = vec![0; 640];
        concealer.conceal(&mut gap);
        let energy =
            |s: &[i16]| s.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / s.len() as f64;
        let level = energy(&sine(200.0, 0, 800));
        assert!(energy(&gap[..80]) > level * 0.9);
        assert!(energy(&gap[240..320]) < level * 0.5);
        assert!(gap[480..].iter().all(|&s| s == 0));
        assert!(concealer.is_faded());
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        let mut concealer = Concealer::new(8000);
        let mut gap = [9; 160];
        concealer.conceal(&mut gap);
        assert_eq!(gap, [0; 160]);
    }
}
