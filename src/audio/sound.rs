//! Sound in memory at both rates that a player has.
//!
//! Made on the control side, so that the media thread only copies. Positions and lengths are in samples
//! at 8 kHz, whichever of the two is heard.

use std::sync::Arc;

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
    /// Of samples at `rate`, Hz. May take milliseconds.
    pub fn new(samples: &[i16], rate: u32) -> Self {
        let narrow = resample_file(samples, rate, NARROWBAND);
        Self::of(narrow, resample_file(samples, rate, WIDEBAND))
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
