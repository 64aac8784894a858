//! Sound in memory at both rates that a player has.
//!
//! Made on the control side, so that the media thread only copies. Positions and lengths are in samples
//! at 8 kHz, whichever of the two is heard.

use std::sync::Arc;

use super::polyphase::Resampler;
use super::resample::resample_file;
use super::{NARROWBAND, WIDEBAND};

/// What a player is asked for: how many samples of its own stand for one at 8 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// 8 kHz.
    Narrow,
    /// 16 kHz.
    Wide,
}

impl Band {
    /// Samples for each one at 8 kHz.
    pub const fn scale(self) -> usize {
        match self {
            Band::Narrow => 1,
            Band::Wide => 2,
        }
    }

    /// The sampling rate, Hz.
    pub const fn rate(self) -> u32 {
        match self {
            Band::Narrow => NARROWBAND,
            Band::Wide => WIDEBAND,
        }
    }

    /// What a listener at this rate is to hear.
    pub const fn of(rate: u32) -> Self {
        if rate < WIDEBAND {
            Band::Narrow
        } else {
            Band::Wide
        }
    }
}

/// The samples, shared by all that play them.
#[derive(Clone, Debug)]
pub struct Sound {
    narrow: Arc<[i16]>,
    /// Twice as many.
    wide: Arc<[i16]>,
}

impl Sound {
    /// Of samples at `rate`, Hz. A minute of sound may take tens of milliseconds.
    pub fn new(samples: &[i16], rate: u32) -> Self {
        let narrow = resample_file(samples, rate, NARROWBAND);
        let wide = if rate > NARROWBAND {
            resample_file(samples, rate, WIDEBAND)
        } else {
            let mut wide = Vec::with_capacity(2 * narrow.len());
            let mut doubler = Doubler::new();
            doubler.push(&narrow, &mut wide);
            doubler.finish(&mut wide);
            wide
        };
        Self::of(narrow, wide)
    }

    /// Of both, where they are known; `wide` has twice as many.
    pub fn of(narrow: Vec<i16>, mut wide: Vec<i16>) -> Self {
        wide.resize(2 * narrow.len(), 0);
        Self {
            narrow: narrow.into(),
            wide: wide.into(),
        }
    }

    /// Samples at 8 kHz.
    pub fn len(&self) -> usize {
        self.narrow.len()
    }

    /// Whether there is nothing to hear.
    pub fn is_empty(&self) -> bool {
        self.narrow.is_empty()
    }

    /// The samples at one of the rates.
    pub fn samples(&self, band: Band) -> &[i16] {
        match band {
            Band::Narrow => &self.narrow,
            Band::Wide => &self.wide,
        }
    }

    /// Whether these are the same memory.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.narrow, &other.narrow)
    }
}

/// Brings samples at 8 kHz to 16, each to its place. Cheaper by far than the filter for files, which is
/// for rates of any ratio; above 4 kHz there is nothing to keep.
#[derive(Debug)]
pub struct Doubler {
    resampler: Resampler,
    /// What the resampler puts out before the first sample.
    early: usize,
}

impl Doubler {
    /// One to which nothing has come yet.
    pub fn new() -> Self {
        let resampler = Resampler::new(NARROWBAND, WIDEBAND);
        let per_ms = WIDEBAND as u128 / 1000;
        let early = (resampler.delay().as_nanos() * per_ms / 1_000_000) as usize;
        Self { resampler, early }
    }

    /// Takes samples and appends to `wide` what is ready.
    pub fn push(&mut self, narrow: &[i16], wide: &mut Vec<i16>) {
        let from = wide.len();
        wide.resize(from + 2 * narrow.len(), 0);
        self.resampler.process(narrow, &mut wide[from..]);
        let early = self.early.min(2 * narrow.len());
        wide.drain(from..from + early);
        self.early -= early;
    }

    /// Appends the rest, and up to a millisecond of silence.
    pub fn finish(&mut self, wide: &mut Vec<i16>) {
        self.push(&[0; 2 * (NARROWBAND / 1000) as usize], wide);
    }
}

impl Default for Doubler {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone::{Oscillator, Tone};

    #[test]
    fn a_narrow_sound_is_the_same_at_the_other_rate() {
        let tone = |rate, samples| {
            let mut tone = vec![0i16; samples];
            Oscillator::new(Tone::sine(1100.0, -10.0), rate).fill(&mut tone);
            tone
        };
        let narrow = tone(8000, 8001);
        let sound = Sound::new(&narrow, 8000);
        assert_eq!(sound.samples(Band::Narrow), narrow);
        let (wide, expected) = (sound.samples(Band::Wide), tone(16_000, 16_002));
        assert_eq!(wide.len(), expected.len());
        let off = |n: usize| (i32::from(wide[n]) - i32::from(expected[n])).abs();
        // Of 8,000; at the edges the tone breaks off.
        let worst = (100..15_900).map(off).max().unwrap();
        assert!(worst < 30, "{worst}");
    }
}
