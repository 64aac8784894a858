//! Which counts of which nonces were used (RFC 7616 §3.4.5, §5.12), in a bounded table.

use std::collections::BTreeMap;

use super::nonce::NonceId;

/// Counts below the highest one that may still come: messages overtake each other on UDP.
const WINDOW: u32 = 64;

/// The nonces that somebody has authenticated with; others are not remembered, so that nobody without
/// a password fills the table.
#[derive(Debug)]
pub(super) struct Replays {
    capacity: usize,
    used: BTreeMap<NonceId, Used>,
    /// What is not in the table and not above this may have been forgotten: it counts as expired.
    floor: Option<NonceId>,
}

#[derive(Debug)]
struct Used {
    /// Who used it first.
    user: u64,
    highest: u32,
    /// Bit n: `highest - n` was used.
    seen: u64,
}

impl Replays {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            used: BTreeMap::new(),
            floor: None,
        }
    }

    /// Takes a count of a nonce for a user (a hash of the name); whether that is its first use.
    pub(super) fn take(&mut self, nonce: NonceId, user: u64, nc: u32) -> bool {
        if nc == 0 {
            return false;
        }
        let Some(used) = self.used.get_mut(&nonce) else {
            if self.floor.is_some_and(|floor| nonce <= floor) {
                return false;
            }
            self.used.insert(
                nonce,
                Used {
                    user,
                    highest: nc,
                    seen: 1,
                },
            );
            while self.used.len() > self.capacity {
                // The oldest is forgotten, and all that is as old with it.
                let oldest = self.used.pop_first().map(|(id, _)| id);
                self.floor = self.floor.max(oldest);
            }
            return true;
        };
        if nc > used.highest {
            let by = nc - used.highest;
            used.seen = if by < WINDOW { used.seen << by } else { 0 } | 1;
            used.highest = nc;
            return true;
        }
        let back = used.highest - nc;
        let fresh = back < WINDOW && used.seen >> back & 1 == 0;
        if fresh {
            used.seen |= 1 << back;
        }
        fresh
    }

    /// Whether this user has authenticated with this nonce.
    pub(super) fn is_of(&self, nonce: NonceId, user: u64) -> bool {
        self.used.get(&nonce).is_some_and(|used| used.user == user)
    }

    /// Forgets nonces made before this (ms): they have expired.
    pub(super) fn forget(&mut self, before: u64) {
        while let Some(entry) = self.used.first_entry()
            && entry.key().0 < before
        {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.used.len()
    }
}
