//! Calls and rooms: who enters which, and how its leg gets there.
//!
//! A room is mixed by one worker. A leg that runs on another goes there first:
//!
//! ```text
//! join --> same worker: Join
//!      '-> another: Detach --Detached--> Open over there, what was held back, Join
//! ```

use std::time::Instant;

use super::{LegPlace, Moving, Output, Switch};
use crate::app::Happened;
use crate::bridge::{Bridge, Port};
use crate::call::CallHandle;
use crate::codec::Codec;
use crate::leg::{Leg, LegId};
use crate::room::{Change, Room};
use crate::worker::{BridgeId, Command, SharedEncoder};

impl Switch {
    /// Keeps a place in a room, which begins to exist with its first caller, on the worker `near`
    /// as far as that has a bridge left. Where it is mixed; none: there is no room or no place.
    pub(super) fn expect_in_room(
        &mut self,
        handle: CallHandle,
        name: &str,
        max_members: usize,
        near: usize,
    ) -> Option<usize> {
        if !self.rooms.contains_key(name) {
            if self.rooms.len() >= self.settings.max_rooms {
                return None;
            }
            let (index, generation) = self.bridge_places[near].take()?;
            let id = BridgeId { index, generation };
            let capacity = max_members.min(self.settings.legs_per_worker);
            let bridge = Box::new(Bridge::new(capacity));
            self.outputs.push_back(Output::Media {
                worker: near,
                command: Command::CreateBridge(id, bridge),
            });
            let room = Room::new(name.to_owned(), near, id, capacity);
            self.rooms.insert(name.to_owned(), room);
        }
        let room = self.rooms.get_mut(name)?;
        if !room.expect(handle) {
            return None;
        }
        let worker = room.worker;
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.room = Some(name.to_owned());
        }
        Some(worker)
    }

    /// A call enters a room, out of the one that it was in.
    pub(super) fn join(
        &mut self,
        handle: CallHandle,
        name: &str,
        max_members: usize,
        now: Instant,
    ) {
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let (place, moving) = (entry.leg, entry.moving.is_some());
        let elsewhere = entry.room.as_deref().is_some_and(|room| room != name);
        if elsewhere {
            self.leave_room(handle, now);
        }
        let worker = place
            .filter(|_| !moving)
            .and_then(|p| self.expect_in_room(handle, name, max_members, p.worker));
        let (Some(place), Some(worker)) = (place, worker) else {
            if elsewhere {
                self.media(handle, Command::Leave);
            }
            self.with_call(handle, |c| c.happened(&Happened::JoinFailed, now));
            return;
        };
        if worker == place.worker {
            self.enter(handle, place.leg, now);
            return;
        }
        self.media(handle, Command::Detach);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.moving = Some(Moving {
                to: worker,
                held: Vec::new(),
            });
        }
    }

    /// The leg is where its room is.
    fn enter(&mut self, handle: CallHandle, leg: LegId, now: Instant) {
        let name = self.calls.get(&handle).and_then(|e| e.room.clone());
        let Some(room) = name.and_then(|name| self.rooms.get_mut(&name)) else {
            return;
        };
        let bridge = room.bridge;
        let change = room.enter(handle);
        let params = self.calls.get(&handle).and_then(|e| e.params);
        let codec = params.map_or(Codec::Pcmu, |p| p.codec);
        // Without it the leg encodes for itself.
        let encoder = params.and_then(|p| SharedEncoder::new(p.codec, p.opus).ok().flatten());
        self.media(handle, |_| Command::Join {
            leg,
            bridge,
            port: Box::new(Port::new(leg.index, codec.sample_rate())),
            encoder,
        });
        self.announce(change, now);
    }

    /// A leg is out of its worker: it goes on in the one that it is wanted in.
    pub(super) fn detached(&mut self, worker: usize, mut leg: Box<Leg>, now: Instant) {
        let old = leg.id();
        let handle = self.legs.get(&(worker, old)).copied();
        let entry = handle.and_then(|handle| self.calls.get_mut(&handle));
        let moving = entry.and_then(|e| e.moving.take());
        let (Some(handle), Some(moving)) = (handle, moving) else {
            self.leg_closed(worker, *leg, now);
            return;
        };
        // Each worker has a place for every call that there may be.
        let Some((index, generation)) = self.leg_places[moving.to].take() else {
            self.leg_closed(worker, *leg, now);
            return;
        };
        self.legs.remove(&(worker, old));
        self.leg_places[worker].give_back(old.index);
        let new = LegId { index, generation };
        leg.rehome(new);
        self.legs.insert((moving.to, new), handle);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.leg = Some(LegPlace {
                worker: moving.to,
                leg: new,
            });
        }
        self.outputs.push_back(Output::Open {
            worker: moving.to,
            call: handle,
            leg,
        });
        self.enter(handle, new, now);
        for command in moving.held {
            self.media(handle, |leg| command.for_leg(leg));
        }
    }

    fn announce(&mut self, change: Change, now: Instant) {
        let (handle, happened) = match change {
            Change::None => return,
            Change::Alone(handle) => (handle, Happened::Alone),
            Change::Company(handle) => (handle, Happened::Company),
        };
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    /// Takes a call out of its room; an empty room ends.
    pub(super) fn leave_room(&mut self, handle: CallHandle, now: Instant) {
        let Some(name) = self.calls.get_mut(&handle).and_then(|e| e.room.take()) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        let change = room.leave(handle);
        if room.is_empty()
            && let Some(room) = self.rooms.remove(&name)
        {
            self.outputs.push_back(Output::Media {
                worker: room.worker,
                command: Command::CloseBridge(room.bridge),
            });
        }
        self.announce(change, now);
    }
}
