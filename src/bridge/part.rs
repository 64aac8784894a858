//! How much of what a party says goes into a sum in this tick.

use super::Relation;

/// A fade takes this part of the frame, 5 ms: short enough to lose no syllable, long enough not to
/// click.
pub(super) const FADE_PART: usize = 4;

/// A party's part in what an ear class hears. The two that fade make up the whole, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    None,
    Whole,
    /// It is heard from this tick on.
    FadesIn,
    /// It is not heard behind this tick.
    FadesOut,
}

impl Part {
    /// The part in what `class` hears of a party whose relation was `before` and is `now`.
    pub fn of(before: Relation, now: Relation, class: u8) -> Self {
        match (before.is_heard_by(class), now.is_heard_by(class)) {
            (false, false) => Self::None,
            (true, true) => Self::Whole,
            (false, true) => Self::FadesIn,
            (true, false) => Self::FadesOut,
        }
    }

    /// What it leaves of sample `i` of a fade of `n`.
    fn faded(self, sample: i16, i: usize, n: usize) -> i32 {
        let sample = i32::from(sample);
        let in_ = if i < n {
            sample * i as i32 / n as i32
        } else {
            sample
        };
        match self {
            Self::None => 0,
            Self::Whole => sample,
            Self::FadesIn => in_,
            Self::FadesOut => sample - in_,
        }
    }

    /// Adds this part of a frame to a sum.
    pub fn add(self, sum: &mut [i32], frame: &[i16]) {
        let n = frame.len() / FADE_PART;
        for (i, (sum, sample)) in sum.iter_mut().zip(frame).enumerate() {
            *sum += self.faded(*sample, i, n);
        }
    }

    /// Takes it away.
    pub fn subtract(self, sum: &mut [i32], frame: &[i16]) {
        let n = frame.len() / FADE_PART;
        for (i, (sum, sample)) in sum.iter_mut().zip(frame).enumerate() {
            *sum -= self.faded(*sample, i, n);
        }
    }

    /// Writes it.
    pub fn write(self, out: &mut [i16], frame: &[i16]) {
        let n = frame.len() / FADE_PART;
        for (i, (out, sample)) in out.iter_mut().zip(frame).enumerate() {
            *out = self.faded(*sample, i, n) as i16;
        }
    }
}
