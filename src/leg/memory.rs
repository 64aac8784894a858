//! What a leg that is over leaves for another: memory, and nothing that was in it. Calls come and go
//! one by one, and to take and give back a leg's memory costs as much as half of its signalling's
//! parsing.

use super::Leg;
use super::coding::Coding;
use super::digits::Digits;

/// The memory of a leg of the plain telephone codecs, some 17 KiB.
#[derive(Debug)]
pub struct LegMemory {
    pub(super) coding: Coding,
    pub(super) digits: Digits,
}

impl Leg {
    /// What of its memory another leg may have. Its keys go now.
    pub fn into_memory(self: Box<Self>) -> Option<LegMemory> {
        let plain = self.coding.is_plain();
        plain.then_some(LegMemory {
            coding: self.coding,
            digits: self.digits,
        })
    }
}
