//! INVITEs that have come and whose ACK has not, by call and by source.

use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::net::IpAddr;

use crate::call::CallHandle;
use crate::sip::transaction::ServerId;

/// All of them. A peer that sends INVITEs and never acknowledges the answers holds a call for each,
/// for 32 s: their number is bounded, and no source has more than half, so that others find room.
#[derive(Debug, Default)]
pub(super) struct Invites {
    by_id: FxHashMap<ServerId, (CallHandle, IpAddr)>,
    per_source: HashMap<IpAddr, usize>,
}

impl Invites {
    /// Whether one more may come from this source (an address, or an IPv6 /64); none: from a trusted
    /// one, which speaks for many.
    pub fn has_room(&self, source: Option<IpAddr>, limit: usize) -> bool {
        let of_source = source.and_then(|source| self.per_source.get(&source));
        self.by_id.len() < limit && of_source.copied().unwrap_or(0) < limit.div_ceil(2)
    }

    pub fn insert(&mut self, id: ServerId, call: CallHandle, source: IpAddr) {
        if self.by_id.insert(id, (call, source)).is_none() {
            *self.per_source.entry(source).or_default() += 1;
        }
    }

    /// Whose it is.
    pub fn get(&self, id: ServerId) -> Option<CallHandle> {
        self.by_id.get(&id).map(|(call, _)| *call)
    }

    /// Whose it was.
    pub fn remove(&mut self, id: ServerId) -> Option<CallHandle> {
        let (call, source) = self.by_id.remove(&id)?;
        if let Some(of_source) = self.per_source.get_mut(&source) {
            *of_source -= 1;
            if *of_source == 0 {
                self.per_source.remove(&source);
            }
        }
        Some(call)
    }

    /// Gives back the room that is not needed.
    pub fn shrink(&mut self) {
        self.by_id.shrink_to_fit();
        self.per_source.shrink_to_fit();
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_half_and_all_have_the_limit() {
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut invites = Invites::default();
        for n in 0..5 {
            assert!(invites.has_room(Some(ip(1)), 10));
            invites.insert(ServerId(n), CallHandle(n), ip(1));
        }
        assert!(!invites.has_room(Some(ip(1)), 10));
        assert!(invites.has_room(None, 10), "who is trusted has all");
        for n in 5..10 {
            assert!(invites.has_room(Some(ip(2)), 10));
            invites.insert(ServerId(n), CallHandle(n), ip(2));
        }
        assert!(!invites.has_room(Some(ip(3)), 10));
        assert_eq!(invites.remove(ServerId(3)), Some(CallHandle(3)));
        assert_eq!(invites.remove(ServerId(3)), None);
        assert!(invites.has_room(Some(ip(1)), 10) && invites.has_room(Some(ip(3)), 10));
        for n in 0..10 {
            invites.remove(ServerId(n));
        }
        assert!(invites.len() == 0 && invites.per_source.is_empty());
    }
}
