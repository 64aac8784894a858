//! INVITEs that have come and whose ACK has not, by call and by source.

use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::net::IpAddr;

use crate::call::CallHandle;
use crate::sip::transaction::ServerId;

/// All of them. A peer that never acknowledges what we answer (a 2xx, or a reliable provisional
/// response) holds a call for each, for 32 s: the number of those is bounded, and no source has more
/// than half, so that others find room. Those that only ring are bounded as calls are.
#[derive(Debug, Default)]
pub(super) struct Invites {
    by_id: FxHashMap<ServerId, Invite>,
    /// How many have an answer that is not acknowledged.
    awaited: usize,
    per_source: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Invite {
    call: CallHandle,
    source: IpAddr,
    /// Its ACK, or PRACK, is awaited.
    awaited: bool,
}

impl Invites {
    /// Whether one more may come from this source (an address, or an IPv6 /64); none: from a trusted
    /// one, which speaks for many.
    pub fn has_room(&self, source: Option<IpAddr>, limit: usize) -> bool {
        let of_source = source.and_then(|source| self.per_source.get(&source));
        self.awaited < limit && of_source.copied().unwrap_or(0) < limit.div_ceil(2)
    }

    pub fn insert(&mut self, id: ServerId, call: CallHandle, source: IpAddr) {
        let invite = Invite {
            call,
            source,
            awaited: false,
        };
        self.by_id.entry(id).or_insert(invite);
    }

    /// It has an answer that the peer is to acknowledge.
    pub fn answer(&mut self, id: ServerId) {
        if let Some(invite) = self.by_id.get_mut(&id)
            && !std::mem::replace(&mut invite.awaited, true)
        {
            self.awaited += 1;
            *self.per_source.entry(invite.source).or_default() += 1;
        }
    }

    /// The PRACK has come: it rings on.
    pub fn acknowledge(&mut self, id: ServerId) {
        if let Some(invite) = self.by_id.get_mut(&id)
            && std::mem::replace(&mut invite.awaited, false)
        {
            let source = invite.source;
            self.forget(source);
        }
    }

    /// Whose it is.
    pub fn get(&self, id: ServerId) -> Option<CallHandle> {
        self.by_id.get(&id).map(|invite| invite.call)
    }

    /// Whose it was.
    pub fn remove(&mut self, id: ServerId) -> Option<CallHandle> {
        let invite = self.by_id.remove(&id)?;
        if invite.awaited {
            self.forget(invite.source);
        }
        Some(invite.call)
    }

    /// One less is awaited of a source.
    fn forget(&mut self, source: IpAddr) {
        self.awaited -= 1;
        if let Some(of_source) = self.per_source.get_mut(&source) {
            *of_source -= 1;
            if *of_source == 0 {
                self.per_source.remove(&source);
            }
        }
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
        for n in 0..20 {
            invites.insert(ServerId(n), CallHandle(n), ip(1 + n as u8 / 5));
        }
        assert!(invites.has_room(Some(ip(1)), 10), "all of them only ring");
        for n in 0..5 {
            assert!(invites.has_room(Some(ip(1)), 10));
            invites.answer(ServerId(n));
            invites.answer(ServerId(n));
        }
        assert!(!invites.has_room(Some(ip(1)), 10));
        assert!(invites.has_room(None, 10), "who is trusted has all");
        for n in 5..10 {
            assert!(invites.has_room(Some(ip(2)), 10));
            invites.answer(ServerId(n));
        }
        assert!(!invites.has_room(Some(ip(3)), 10));
        assert_eq!(invites.remove(ServerId(13)), Some(CallHandle(13)));
        assert!(!invites.has_room(Some(ip(3)), 10), "it was not answered");
        assert_eq!(invites.remove(ServerId(3)), Some(CallHandle(3)));
        assert_eq!(invites.remove(ServerId(3)), None);
        assert!(invites.has_room(Some(ip(1)), 10) && invites.has_room(Some(ip(3)), 10));
        // A reliable provisional response, and its PRACK.
        invites.answer(ServerId(15));
        assert!(!invites.has_room(Some(ip(1)), 10));
        invites.acknowledge(ServerId(15));
        invites.acknowledge(ServerId(15));
        assert!(invites.has_room(Some(ip(1)), 10));
        for n in 0..20 {
            invites.remove(ServerId(n));
        }
        assert!(invites.len() == 0 && invites.awaited == 0 && invites.per_source.is_empty());
    }
}
