//! Where a party's audio lies in a tick.

use super::bands::{band_of, frame_of};

/// Memory for what a party says and hears in a tick, at one rate or a lower one.
#[derive(Debug, Default)]
pub struct PortMemory(Box<[i16]>);

impl PortMemory {
    /// Memory for a party whose samples have the rate `rate` Hz.
    pub fn new(rate: u32) -> Self {
        Self(vec![0; 2 * frame_of(band_of(rate))].into())
    }

    /// Whether a frame of that band fits, each way.
    pub(super) fn serves(&self, band: usize) -> bool {
        self.0.len() >= 2 * frame_of(band)
    }

    /// What the party says (rx).
    pub(super) fn rx(&self, band: usize) -> &[i16] {
        &self.0[..frame_of(band)]
    }

    pub(super) fn rx_mut(&mut self, band: usize) -> &mut [i16] {
        self.both(band).0
    }

    /// What the party hears (tx), where it has a mix of its own.
    pub(super) fn tx(&self, band: usize) -> &[i16] {
        &self.0[frame_of(band)..2 * frame_of(band)]
    }

    pub(super) fn tx_mut(&mut self, band: usize) -> &mut [i16] {
        self.both(band).1
    }

    /// What it says, and what it hears.
    pub(super) fn both(&mut self, band: usize) -> (&mut [i16], &mut [i16]) {
        self.0[..2 * frame_of(band)].split_at_mut(frame_of(band))
    }
}
