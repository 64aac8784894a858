//! Calls and rooms: who enters which, how its leg gets there, and what rooms want done.
//!
//! A room is mixed by one worker. A leg that runs on another goes there first:
//!
//! ```text
//! join --> same worker: arrive
//!      '-> another: Detach --Detached--> Open over there, what was held back, arrive
//!      '-> on its way elsewhere: once it is there, join again
//! arrive --> the room decides --> Join | waits | refused
//! ```

use std::sync::Arc;
use std::time::Instant;

use super::{Event, LegPlace, Moving, Output, Switch};
use crate::app::Happened;
use crate::app::room::{Entrant, Refusal, RoomNews, RoomRequest, RoomSettings};
use crate::bridge::{Bridge, Classes, Port, Relation};
use crate::call::CallHandle;
use crate::codec::Codec;
use crate::leg::{Leg, LegId};
use crate::room::{Hearing, Room, RoomError, RoomOperation, RoomOutput, RoomState};
use crate::worker::{BridgeId, Command, SharedEncoder};

impl Switch {
    /// Does something with a room, as a program wants it.
    pub fn room_operation(
        &mut self,
        room: &str,
        operation: RoomOperation,
        now: Instant,
    ) -> Result<(), RoomError> {
        if let RoomOperation::Move { member, to } = &operation {
            self.may_move(room, *member, to)?;
        }
        if let RoomOperation::Dial { uri } = &operation {
            if !self.rooms.contains_key(room) {
                return Err(RoomError::NoRoom(room.to_owned()));
            }
            return self.dial_from(room, uri, None, now);
        }
        if let RoomOperation::Record(order) = operation {
            let result = self.record_room(room, order, now);
            self.settle(now);
            return result;
        }
        let known = self.rooms.get_mut(room);
        let known = known.ok_or_else(|| RoomError::NoRoom(room.to_owned()))?;
        let result = known.operate(operation, now);
        self.pump_room(room, now);
        self.settle(now);
        result
    }

    /// Whether there is a place for a member where it is to be moved to. Who is no member, the room says.
    fn may_move(&self, room: &str, member: CallHandle, to: &str) -> Result<(), RoomError> {
        let from = self.rooms.get(room);
        let Some(from) = from.filter(|from| from.member(member).is_some() && room != to) else {
            return Ok(());
        };
        if let Some(other) = self.rooms.get(to) {
            let full = || RoomError::Full(to.to_owned());
            return other.has_room().then_some(()).ok_or_else(full);
        }
        // The one that ends with the move makes room at once, and so does its bridge.
        let ends = from.ends_without(member);
        let others = self.rooms.len() - usize::from(ends);
        let has_bridge = self.worker_for_bridge(None).is_some()
            || ends && self.bridge_places[from.worker].has_free_behind();
        let may = others < self.settings.max_rooms && has_bridge;
        may.then_some(()).ok_or(RoomError::TooManyRooms)
    }

    /// All that is known of all rooms, by their names.
    pub fn room_states(&self) -> Vec<RoomState> {
        let mut rooms: Vec<RoomState> = self.rooms.values().map(Room::state).collect();
        rooms.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        rooms
    }

    /// All that is known of a room.
    pub fn room_state(&self, room: &str) -> Option<RoomState> {
        self.rooms.get(room).map(Room::state)
    }

    /// Keeps a place in a room, which begins to exist with its first caller, on the worker `near` if
    /// that has a bridge left. Where it is mixed; none: there is no room or no place.
    pub(super) fn expect_in_room(
        &mut self,
        handle: CallHandle,
        name: &str,
        settings: &Arc<RoomSettings>,
        near: Option<usize>,
        now: Instant,
    ) -> Option<usize> {
        if !self.rooms.contains_key(name) {
            self.begin_room(name, settings, near, now)?;
        }
        let room = self.rooms.get_mut(name)?;
        if !room.expect(handle) {
            return None;
        }
        let worker = room.worker;
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.room = Some(name.to_owned());
        }
        self.pump_room(name, now);
        Some(worker)
    }

    /// A room begins, for whoever gets its first place at once: without one it would never end.
    fn begin_room(
        &mut self,
        name: &str,
        settings: &Arc<RoomSettings>,
        near: Option<usize>,
        now: Instant,
    ) -> Option<()> {
        let capacity = settings.max_members.min(self.settings.legs_per_worker);
        if capacity == 0 || self.rooms.len() >= self.settings.max_rooms {
            return None;
        }
        let worker = self.worker_for_bridge(near)?;
        let (index, generation) = self.bridge_places[worker].take()?;
        let id = BridgeId { index, generation };
        self.outputs.push_back(Output::Media {
            worker,
            command: Command::CreateBridge(id, Box::new(Bridge::new(capacity))),
        });
        let place = (worker, id);
        let room = Room::new(name.to_owned(), place, settings.clone(), capacity, now);
        self.rooms.insert(name.to_owned(), room);
        self.mixer_begins(name, place);
        Some(())
    }

    /// A call enters a room, out of the one that it was in.
    pub(super) fn join(&mut self, handle: CallHandle, entrant: Box<Entrant>, now: Instant) {
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let name = entrant.room.as_str();
        let (place, moving) = (entry.leg, entry.moving.is_some());
        let mixed = entry.mixed;
        if entry.room.as_deref().is_some_and(|room| room != name) {
            self.leave_room(handle, now);
        }
        if moving {
            // It goes on from where its leg arrives.
            if let Some(entry) = self.calls.get_mut(&handle) {
                entry.entrant = Some(entrant);
            }
            return;
        }
        let full = self.rooms.get(name).is_some_and(|room| !room.has_room());
        let worker = place.and_then(|p| {
            self.expect_in_room(handle, name, &entrant.settings, Some(p.worker), now)
        });
        let (Some(place), Some(worker)) = (place, worker) else {
            if mixed {
                self.unmix(handle);
            }
            let happened = if full {
                Happened::Room(RoomNews::Refused(Refusal::Full))
            } else {
                Happened::JoinFailed
            };
            self.with_call(handle, |c| c.happened(&happened, now));
            return;
        };
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.entrant = Some(entrant);
        }
        if worker == place.worker {
            self.arrive(handle, now);
            return;
        }
        self.media(handle, Command::Detach);
        if let Some(entry) = self.calls.get_mut(&handle) {
            // Who is detached is in no mix.
            entry.mixed = false;
            entry.moving = Some(Moving {
                to: worker,
                held: Vec::new(),
            });
        }
    }

    /// The leg is where its room is: the room lets it in, or not.
    fn arrive(&mut self, handle: CallHandle, now: Instant) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let Some((name, entrant)) = entry.room.clone().zip(entry.entrant.take()) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(&name) {
            room.arrive(handle, &entry.party, &entrant, now);
        }
        // Who came out of another room's mix waits in none.
        let waits = self.rooms.get(&name).and_then(|room| room.member(handle));
        if waits.is_some_and(|state| state.waiting) {
            self.unmix(handle);
        }
        self.pump_room(&name, now);
    }

    /// A leg that was on its way is there: in the worker of its room, or of where its call was to be
    /// before it wanted into one.
    fn arrive_or_join(&mut self, handle: CallHandle, now: Instant) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        if !entry.call.is_established() {
            // It was hung up on its way: the room is not to hear of it.
            return self.leave_room(handle, now);
        }
        let wanted = entry.entrant.as_ref().map(|entrant| &entrant.room);
        if wanted == entry.room.as_ref() {
            self.arrive(handle, now);
        } else if let Some(entrant) = entry.entrant.take() {
            self.join(handle, entrant, now);
        }
    }

    /// A member has asked for something by its keys.
    pub(super) fn room_request(&mut self, handle: CallHandle, request: RoomRequest, now: Instant) {
        let Some(name) = self.calls.get(&handle).and_then(|e| e.room.clone()) else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(&name) {
            room.request(handle, request, now);
        }
        self.pump_room(&name, now);
    }

    /// A call leaves its room and goes on.
    pub(super) fn quit_room(&mut self, handle: CallHandle, now: Instant) {
        self.leave_room(handle, now);
        self.unmix(handle);
    }

    /// Some room's time has come.
    pub(super) fn room_timeouts(&mut self, now: Instant) {
        while let Some((at, name)) = self.room_wakes.first().cloned() {
            if at > now {
                break;
            }
            self.room_wakes.pop_first();
            if let Some(room) = self.rooms.get_mut(&name) {
                room.wake = None;
                room.handle_timeout(now);
            }
            self.pump_room(&name, now);
        }
    }

    /// Does all that a room wants; one that has ended goes.
    pub(super) fn pump_room(&mut self, name: &str, now: Instant) {
        while let Some(output) = self.rooms.get_mut(name).and_then(Room::poll_output) {
            self.carry_out_room(name, output, now);
        }
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        let wake = room.poll_timeout().filter(|_| !room.is_over());
        let old = std::mem::replace(&mut room.wake, wake);
        if old != wake {
            if let Some(old) = old {
                self.room_wakes.remove(&(old, name.to_owned()));
            }
            if let Some(wake) = wake {
                self.room_wakes.insert((wake, name.to_owned()));
            }
        }
        if room.is_over()
            && let Some(room) = self.rooms.remove(name)
        {
            self.recording_of_ended_room(name);
            self.mixers.remove(&(room.worker, room.bridge));
            self.bridge_places[room.worker].end();
            self.outputs.push_back(Output::Media {
                worker: room.worker,
                command: Command::CloseBridge(room.bridge),
            });
        }
    }

    fn carry_out_room(&mut self, name: &str, output: RoomOutput, now: Instant) {
        match output {
            RoomOutput::Classes(count) => {
                if let Some(room) = self.rooms.get(name) {
                    self.outputs.push_back(Output::Media {
                        worker: room.worker,
                        command: Command::Classes(room.bridge, Classes::new(count)),
                    });
                }
            }
            RoomOutput::Enter(call, hearing) => self.mix(call, name, hearing),
            RoomOutput::Port(call, hearing) => self.relate(call, hearing),
            RoomOutput::Withdraw { call, moved } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.room = None;
                    entry.entrant = None;
                }
                self.gain(call, (0, 0));
                if !moved {
                    self.unmix(call);
                }
            }
            RoomOutput::Gain(call, said, heard) => self.gain(call, (said, heard)),
            RoomOutput::Tell(call, news) => {
                let happened = Happened::Room(news);
                self.with_call(call, |c| c.happened(&happened, now));
            }
            RoomOutput::Alone(call) => {
                self.with_call(call, |c| c.happened(&Happened::Alone, now));
            }
            RoomOutput::Company(call) => {
                self.with_call(call, |c| c.happened(&Happened::Company, now));
            }
            output @ (RoomOutput::Play(_)
            | RoomOutput::ControlPlay(..)
            | RoomOutput::StopPlay(_)) => self.play_output(name, output),
            RoomOutput::Dial(uri, by) => self.dial_by(name, &uri, by, now),
            RoomOutput::Record(on) => self.toggle_recording(name, on, now),
            RoomOutput::RecordFirst => self.record_from_start(name, now),
            RoomOutput::Event(event) => {
                self.note_recorded(name, &event.change, now);
                self.outputs
                    .push_back(Output::Event(Event::Room(Box::new(event))));
            }
        }
    }

    /// A member's leg goes into the mix.
    fn mix(&mut self, handle: CallHandle, name: &str, hearing: Hearing) {
        let Some(room) = self.rooms.get(name) else {
            return;
        };
        let bridge = room.bridge;
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        entry.mixed = true;
        entry.ears = hearing.ears;
        // Whom a room has called is in.
        entry.dial = None;
        let (params, rate) = (entry.params, entry.ports_for);
        let codec = params.map_or(Codec::Pcmu, |p| p.codec);
        // Without it the leg encodes for itself.
        let encoder = params.and_then(|p| SharedEncoder::new(p.codec, p.opus).ok().flatten());
        self.media(handle, |leg| Command::Join {
            leg,
            bridge,
            port: Box::new(
                Port::new(leg.index, codec.sample_rate())
                    .with_relation(relation(hearing))
                    .with_memory_for(rate),
            ),
            encoder,
        });
    }

    fn unmix(&mut self, handle: CallHandle) {
        let entry = self.calls.get_mut(&handle);
        if entry.is_some_and(|entry| std::mem::take(&mut entry.mixed)) {
            self.media(handle, Command::Leave);
        }
    }

    /// Whom a member hears and who hears it, in the mix that it is in.
    fn relate(&mut self, handle: CallHandle, hearing: Hearing) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let moved = std::mem::replace(&mut entry.ears, hearing.ears) != hearing.ears;
        let params = entry.params.filter(|_| moved && hearing.ears.is_some());
        let encoder = params.and_then(|p| SharedEncoder::new(p.codec, p.opus).ok().flatten());
        self.media(handle, |leg| {
            Command::Relate(leg, relation(hearing), encoder)
        });
    }

    /// What a member says and hears is as much louder in its room, dB.
    fn gain(&mut self, handle: CallHandle, gains: (i8, i8)) {
        let entry = self.calls.get_mut(&handle);
        let Some(entry) = entry.filter(|entry| entry.room_gains != gains) else {
            return;
        };
        entry.room_gains = gains;
        let settings = entry.process;
        self.process(handle, settings);
    }

    /// A leg is out of its worker: it goes on in the one that it is wanted in.
    pub(super) fn detached(&mut self, worker: usize, mut leg: Box<Leg>, now: Instant) {
        let old = leg.id();
        let handle = self.legs.get(&(worker, old)).copied();
        let entry = handle.and_then(|handle| self.calls.get_mut(&handle));
        let moving = entry.and_then(|e| e.moving.take());
        let (Some(handle), Some(moving)) = (handle, moving) else {
            self.leg_closed(worker, leg, now);
            return;
        };
        // Each worker has a place for every call that there may be.
        let Some((index, generation)) = self.leg_places[moving.to].take() else {
            self.leg_closed(worker, leg, now);
            return;
        };
        self.legs.remove(&(worker, old));
        self.leg_places[worker].give_back(old.index);
        let new = LegId { index, generation };
        let rate = leg.rate();
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
        // A change of codec may be among what waits: its port is for what it has now, too.
        self.set_ports_for(handle, rate);
        self.arrive_or_join(handle, now);
        self.arrive_in_bridge(handle);
        self.set_ports_for(handle, 0);
        for command in moving.held {
            self.media(handle, |leg| command.for_leg(leg));
        }
    }

    fn set_ports_for(&mut self, handle: CallHandle, rate: u32) {
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.ports_for = rate;
        }
    }

    /// Takes a call out of its room, or off the way into one; an empty room ends.
    pub(super) fn leave_room(&mut self, handle: CallHandle, now: Instant) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        entry.entrant = None;
        let Some(name) = entry.room.take() else {
            return;
        };
        if let Some(room) = self.rooms.get_mut(&name) {
            room.leave(handle, now);
        }
        self.gain(handle, (0, 0));
        self.pump_room(&name, now);
    }
}

/// The same as the bridge has it.
fn relation(hearing: Hearing) -> Relation {
    Relation {
        voice: hearing.voice,
        ears: hearing.ears.unwrap_or(Relation::DEAF),
    }
}
