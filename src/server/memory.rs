//! Memory that a peak has left behind goes back to the system.
//!
//! The C library's allocator keeps what is freed in the middle of its heap, however much that is. It
//! is told to give that back where there was much more to do than there is now: a few ms on the
//! control side, at most once a second. (Another allocator would give back by itself; the system's
//! one is what libopus uses too, and trimming needs no second one beside it.)

use std::time::{Duration, Instant};

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(1);
/// What is left of a peak of fewer calls and transactions is not worth the trouble.
const WORTH: usize = 200;

/// Watches how much there is to do.
#[derive(Debug, Default)]
pub(super) struct Memory {
    peak: usize,
    looked: Option<Instant>,
}

impl Memory {
    /// `load`: calls and transactions now. Whether it is time to give memory back.
    pub fn look(&mut self, load: usize, now: Instant) -> bool {
        if self.looked.is_some_and(|at| now < at + INTERVAL) {
            return false;
        }
        self.looked = Some(now);
        self.peak = self.peak.max(load);
        if self.peak - load < WORTH || load > self.peak / 2 {
            return false;
        }
        self.peak = load;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys;

    #[test]
    fn it_is_time_when_a_peak_is_over() {
        let start = Instant::now();
        let mut memory = Memory::default();
        let mut at = |seconds, load| memory.look(load, start + Duration::from_secs(seconds));
        assert!(!at(0, 10) && !at(1, 5000) && !at(2, 3000));
        assert!(at(3, 2500));
        assert!(!at(4, 2000));
        assert!(at(5, 100));
        assert!(!at(6, 0), "not worth it");
        assert!(!at(7, 150) && !at(8, 0));
        assert!(!at(9, 300));
        assert!(!at(9, 0), "at most once a second");
        assert!(at(10, 0));
    }

    /// Resident memory, bytes.
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    }

    #[test]
    fn what_is_freed_between_what_is_kept_goes_back() {
        const PIECES: usize = 40_000;
        const BYTES: usize = 1024;
        let mut pieces: Vec<Box<[u8]>> = (0..PIECES).map(|_| vec![1; BYTES].into()).collect();
        let mut number = 0;
        pieces.retain(|_| {
            number += 1;
            number % 100 == 0
        });
        let before = resident();
        sys::trim_memory();
        let given_back = before.saturating_sub(resident());
        assert!(given_back > PIECES * BYTES / 2, "{given_back} bytes");
        assert_eq!(pieces.len(), PIECES / 100);
    }
}
