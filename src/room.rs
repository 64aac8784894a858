//! A conference: its roster and where it is mixed.

use crate::call::CallHandle;
use crate::worker::BridgeId;

/// A conference room. It exists from the moment in which its first member's media opens until the
/// last has gone.
#[derive(Debug)]
pub struct Room {
    /// Its name: what the caller dialled.
    pub name: String,
    /// The worker that mixes it.
    pub worker: usize,
    /// Its bridge in there.
    pub bridge: BridgeId,
    /// The most members.
    pub max_members: usize,
    members: Vec<CallHandle>,
    /// Calls on their way in: the media is open, the ACK is not there yet.
    coming: Vec<CallHandle>,
}

/// What a change of the roster means for those who are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anybody must be told.
    None,
    /// This member is alone.
    Alone(CallHandle),
    /// This member was alone and has company now.
    Company(CallHandle),
}

impl Room {
    /// An empty room.
    pub fn new(name: String, worker: usize, bridge: BridgeId, max_members: usize) -> Self {
        Self {
            name,
            worker,
            bridge,
            max_members,
            members: Vec::new(),
            coming: Vec::new(),
        }
    }

    /// Whether one more may come.
    pub fn has_room(&self) -> bool {
        self.members.len() + self.coming.len() < self.max_members
    }

    /// Who is in.
    pub fn members(&self) -> &[CallHandle] {
        &self.members
    }

    /// Keeps a place for a call whose media is opening or on its way. Whether it has one.
    pub fn expect(&mut self, call: CallHandle) -> bool {
        if self.members.contains(&call) || self.coming.contains(&call) {
            return true;
        }
        let has_room = self.has_room();
        if has_room {
            self.coming.push(call);
        }
        has_room
    }

    /// A call enters.
    pub fn enter(&mut self, call: CallHandle) -> Change {
        self.coming.retain(|&c| c != call);
        if !self.members.contains(&call) {
            self.members.push(call);
        }
        match self.members[..] {
            [lone] => Change::Alone(lone),
            [first, _] => Change::Company(first),
            _ => Change::None,
        }
    }

    /// A call goes, or never came.
    pub fn leave(&mut self, call: CallHandle) -> Change {
        self.coming.retain(|&c| c != call);
        let before = self.members.len();
        self.members.retain(|&c| c != call);
        match self.members[..] {
            [lone] if before == 2 => Change::Alone(lone),
            _ => Change::None,
        }
    }

    /// Whether nobody is in or on the way.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.coming.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(max: usize) -> Room {
        let bridge = BridgeId {
            index: 0,
            generation: 0,
        };
        Room::new("600".into(), 0, bridge, max)
    }

    #[test]
    fn the_first_is_alone_until_the_second_and_again_after() {
        let (a, b, c) = (CallHandle(1), CallHandle(2), CallHandle(3));
        let mut r = room(5);
        assert_eq!(r.enter(a), Change::Alone(a));
        assert_eq!(r.enter(b), Change::Company(a));
        assert_eq!(r.enter(c), Change::None);
        assert_eq!(r.leave(a), Change::None);
        assert_eq!(r.leave(c), Change::Alone(b));
        assert_eq!(r.leave(b), Change::None);
        assert!(r.is_empty());
    }

    #[test]
    fn who_is_on_the_way_counts_and_may_give_up() {
        let mut r = room(1);
        assert!(r.expect(CallHandle(1)) && r.expect(CallHandle(1)));
        assert!(!r.expect(CallHandle(2)));
        assert!(!r.has_room() && !r.is_empty());
        assert_eq!(r.leave(CallHandle(1)), Change::None);
        assert!(r.has_room() && r.is_empty());
    }
}
