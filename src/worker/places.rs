//! Who runs where: legs and bridges come and go, join, leave and move.

use super::placement::Phase;
use super::shared::{RoomEncoders, SharedEncoder};
use super::solo::Solo;
use super::{BridgeId, Entry, Event, Freed, Place, Recoding, Room, Seat, Then, Worker};
use crate::bridge::{Bridge, PortMemory, Relation};
use crate::leg::{Leg, LegId, LegParams, MAX_TICK, MediaIo, TickTime};

/// How much of what waits to be played is still recorded at a leg's end: 500 ms, in one tick.
const TAIL_TICKS: usize = 25;

impl Worker {
    /// What a leg does after it has left a bridge.
    pub(super) fn settle<I: MediaIo>(&mut self, index: u32, time: TickTime, io: &mut I) {
        let Some(Some(seat)) = self.seats.get_mut(index as usize) else {
            return;
        };
        let Place::Bridged { then, .. } = seat.place else {
            return;
        };
        let id = seat.leg.id();
        let next = seat.next.take();
        if matches!(then, Then::Close | Then::Detach) {
            if let Some((_, entry)) = next {
                self.free(entry);
            }
            if then == Then::Close {
                self.finish(index, time, io);
            } else {
                self.take_out(index, io);
            }
            return;
        }
        let slot = self.slots.for_leg();
        if let Some(Some(seat)) = self.seats.get_mut(index as usize) {
            seat.place = Place::Solo(Solo::at(slot));
            seat.leg.moved();
        }
        self.slots.add_leg(slot, index);
        if let Some((bridge, entry)) = next {
            self.rejoins.push((id, bridge, entry));
        }
    }

    pub(super) fn open(&mut self, leg: Box<Leg>) {
        let index = leg.id().index;
        match self.seats.get_mut(index as usize) {
            Some(place @ None) => {
                let slot = self.slots.for_leg();
                *place = Some(Seat {
                    leg,
                    place: Place::Solo(Solo::at(slot)),
                    closing: false,
                    next: None,
                });
                self.slots.add_leg(slot, index);
                self.counts.legs += 1;
            }
            _ => self.outbox.tell(Event::Freed(Freed::Leg(leg))),
        }
    }

    pub(super) fn close(&mut self, id: LegId) {
        let Some(seat) = self.seat(id) else { return };
        match &mut seat.place {
            Place::Solo(_) => seat.closing = true,
            Place::Bridged { bridge, port, then } => {
                *then = Then::Close;
                let (bridge, port) = (*bridge, *port);
                if let Some(Some(room)) = self.rooms.get_mut(bridge as usize) {
                    room.bridge.leave(port);
                }
            }
        }
    }

    /// Takes a leg out, so that it can go on with another worker.
    pub(super) fn detach<I: MediaIo>(&mut self, id: LegId, io: &mut I) {
        let Some(seat) = self.seat(id).filter(|seat| !seat.closing) else {
            return;
        };
        match &mut seat.place {
            Place::Solo(solo) => {
                let slot = solo.slot;
                self.slots.remove_leg(slot, id.index);
                self.take_out(id.index, io);
            }
            Place::Bridged { then, .. } => {
                if *then != Then::Close {
                    *then = Then::Detach;
                }
                self.fade_out(id);
            }
        }
    }

    fn take_out<I: MediaIo>(&mut self, index: u32, io: &mut I) {
        let Some(mut seat) = self.seats.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        seat.leg.count_now(false, &mut self.counts.media);
        // The leg takes up its peer anew over there, which may be another by then.
        io.connect(index, None);
        io.closed(index);
        self.counts.legs -= 1;
        if let Some((_, entry)) = seat.next {
            self.free(entry);
        }
        self.outbox.tell(Event::Detached(seat.leg));
    }

    /// Ends a leg that is to close, after its tick in `slot`.
    pub(super) fn finish_solo<I: MediaIo>(
        &mut self,
        index: u32,
        slot: usize,
        time: TickTime,
        io: &mut I,
    ) {
        self.slots.remove_leg(slot, index);
        self.finish(index, time, io);
    }

    fn finish<I: MediaIo>(&mut self, index: u32, time: TickTime, io: &mut I) {
        let Some(mut seat) = self.seats.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        let mut rx = [0i16; MAX_TICK];
        let rx = &mut rx[..seat.leg.tick_samples()];
        for _ in 0..TAIL_TICKS {
            let Some(ended) = seat.leg.record_rest(rx) else {
                break;
            };
            if let Some(event) = ended {
                self.outbox.tell(Event::Leg(seat.leg.id(), event));
            }
        }
        seat.leg.close(time, io);
        seat.leg.count_now(false, &mut self.counts.media);
        io.closed(index);
        self.counts.legs -= 1;
        if let Some((_, entry)) = seat.next {
            self.free(entry);
        }
        self.outbox.tell(Event::Closed(seat.leg));
    }

    pub(super) fn create_bridge(&mut self, id: BridgeId, bridge: Box<Bridge>) {
        match self.rooms.get_mut(id.index as usize) {
            Some(place @ None) => {
                let slot = self.slots.quietest();
                *place = Some(Room {
                    id,
                    bridge,
                    encoders: RoomEncoders::default(),
                    slot,
                    phase: Phase::default(),
                    closing: false,
                    watch: super::talkers::Watch::default(),
                });
                self.slots.add_bridge(slot, id.index);
                self.counts.bridges += 1;
            }
            _ => self.outbox.tell(Event::Freed(Freed::Bridge(bridge))),
        }
    }

    pub(super) fn close_bridge(&mut self, id: BridgeId) {
        let Some(Some(room)) = self.rooms.get_mut(id.index as usize) else {
            self.counts.stale_commands += 1;
            return;
        };
        if room.id != id {
            self.counts.stale_commands += 1;
            return;
        }
        // It ends in its own next tick, when all have faded out.
        room.closing = true;
        for port in 0..room.bridge.len() {
            room.bridge.leave(port);
            if let Some(owner) = room.bridge.owner(port)
                && let Some(Some(seat)) = self.seats.get_mut(owner as usize)
                && let Place::Bridged { then, .. } = &mut seat.place
                && *then == Then::Stay
            {
                *then = Then::Solo;
            }
        }
    }

    /// What was brought along for a bridge goes back.
    fn free(&mut self, entry: Entry) {
        self.outbox.tell(Event::Freed(Freed::Port(entry.port)));
        self.free_encoder(entry.encoder);
    }

    fn free_encoder(&mut self, encoder: Option<Box<SharedEncoder>>) {
        if let Some(encoder) = encoder {
            self.outbox.tell(Event::Freed(Freed::Encoder(encoder)));
        }
    }

    /// What a re-INVITE or UPDATE decided. In a bridge, another rate is another place in the sums.
    pub(super) fn configure(
        &mut self,
        id: LegId,
        params: LegParams,
        mut recoding: Option<Box<Recoding>>,
        time: TickTime,
    ) {
        if let Some(seat) = self.seat(id) {
            let coding = recoding.as_mut().map(|recoding| &mut recoding.coding);
            seat.leg.configure(params, coding, time.now);
            let rate = seat.leg.rate();
            let mut none = [PortMemory::default(), PortMemory::default()];
            let [now, next] = recoding.as_mut().map_or(&mut none, |r| &mut r.ports);
            if let Some((_, entry)) = &mut seat.next {
                entry.port.set_rate(rate, next);
            }
            if let Place::Bridged { bridge, port, .. } = seat.place
                && let Some(Some(room)) = self.rooms.get_mut(bridge as usize)
            {
                room.bridge.set_rate(port, rate, now);
                let encoder = recoding.as_mut().and_then(|r| r.shared.take());
                let class = room.bridge.relation(port).ears;
                let unused = encoder.and_then(|encoder| room.encoders.add(encoder, class));
                self.free_encoder(unused);
            }
        }
        if let Some(recoding) = recoding {
            self.outbox.tell(Event::Freed(Freed::Recoding(recoding)));
        }
    }

    pub(super) fn join(&mut self, id: LegId, bridge: BridgeId, entry: Entry) {
        let Some(seat) = self.seat(id).filter(|seat| !seat.closing) else {
            self.free(entry);
            return;
        };
        match &mut seat.place {
            Place::Solo(solo) => {
                let slot = solo.slot;
                if let Some((_, old)) = seat.next.take() {
                    self.free(old);
                }
                self.join_solo(id, slot, bridge, entry);
            }
            Place::Bridged { then, .. } => {
                if !matches!(then, Then::Close | Then::Detach) {
                    *then = Then::Solo;
                }
                if let Some((_, old)) = seat.next.replace((bridge, entry)) {
                    self.free(old);
                }
                self.fade_out(id);
            }
        }
    }

    fn join_solo(&mut self, id: LegId, slot: usize, bridge: BridgeId, entry: Entry) {
        let Entry { mut port, encoder } = entry;
        port.owner = id.index;
        let rate = self.seat(id).map(|seat| seat.leg.rate());
        let class = port.relation_asked_for().ears;
        let room = match self.rooms.get_mut(bridge.index as usize) {
            Some(Some(room)) if room.id == bridge && !room.closing => room,
            _ => return self.refuse(id, bridge, Entry { port, encoder }),
        };
        // Another codec may have come, or be on its way, since the port was made: each brings its memory.
        let fits = rate.is_some_and(|rate| port.set_rate(rate, &mut PortMemory::default()));
        if !fits {
            return self.refuse(id, bridge, Entry { port, encoder });
        }
        match room.bridge.join(port) {
            Ok(at) => {
                let room_slot = room.slot;
                let unused = encoder.and_then(|encoder| room.encoders.add(encoder, class));
                self.free_encoder(unused);
                self.slots.remove_leg(slot, id.index);
                self.slots.weigh(room_slot, true);
                if let Some(seat) = self.seat(id) {
                    seat.place = Place::Bridged {
                        bridge: bridge.index,
                        port: at,
                        then: Then::Stay,
                    };
                    seat.leg.moved();
                }
            }
            Err(full) => {
                let entry = Entry {
                    port: full.0,
                    encoder,
                };
                if room.bridge.is_vacating() {
                    self.wait_for_port(id, bridge, entry);
                } else {
                    self.refuse(id, bridge, entry);
                }
            }
        }
    }

    fn refuse(&mut self, id: LegId, bridge: BridgeId, entry: Entry) {
        self.free_encoder(entry.encoder);
        self.outbox.tell(Event::JoinRefused(id, bridge, entry.port));
    }

    /// The control side gives a place anew as soon as somebody is to leave it, who fades out until the
    /// bridge's next tick: so long the leg goes on alone.
    fn wait_for_port(&mut self, id: LegId, bridge: BridgeId, entry: Entry) {
        let Some(seat) = self.seat(id) else {
            return self.free(entry);
        };
        seat.next = Some((bridge, entry));
        if !self.waiting.contains(&id.index) {
            self.waiting.push_back(id.index);
        }
    }

    /// Legs that wait for a port of this bridge come in, in their order, now that who has left is out.
    pub(super) fn admit_waiting(&mut self, bridge: u32) {
        for _ in 0..self.waiting.len() {
            let Some(index) = self.waiting.pop_front() else {
                return;
            };
            let Some(Some(seat)) = self.seats.get_mut(index as usize) else {
                continue;
            };
            let to = seat.next.as_ref().map(|(to, _)| to.index);
            // What follows the fade out of a bridge comes by itself.
            if to.is_none() || !matches!(seat.place, Place::Solo(_)) {
                continue;
            }
            if to != Some(bridge) {
                self.waiting.push_back(index);
                continue;
            }
            let id = seat.leg.id();
            if let Some((to, entry)) = seat.next.take() {
                self.join(id, to, entry);
            }
        }
    }

    /// Who hears a leg, and whom it hears: in its bridge, or in the one that it is on its way to.
    pub(super) fn relate(
        &mut self,
        id: LegId,
        relation: Relation,
        encoder: Option<Box<SharedEncoder>>,
    ) {
        let Some(seat) = self.seat(id) else {
            self.free_encoder(encoder);
            return;
        };
        if let Some((_, entry)) = &mut seat.next {
            entry.port.relate(relation);
            let unused = match encoder {
                Some(encoder) => entry.encoder.replace(encoder),
                None => None,
            };
            self.free_encoder(unused);
            return;
        }
        let place = seat.place;
        let mut unused = encoder;
        if let Place::Bridged { bridge, port, .. } = place
            && let Some(Some(room)) = self.rooms.get_mut(bridge as usize)
        {
            room.bridge.relate(port, relation);
            let add = |encoder| room.encoders.add(encoder, relation.ears);
            unused = unused.and_then(add);
        }
        self.free_encoder(unused);
    }

    pub(super) fn leave(&mut self, id: LegId) {
        let Some(seat) = self.seat(id) else { return };
        if let Place::Bridged { then, .. } = &mut seat.place
            && *then == Then::Stay
        {
            *then = Then::Solo;
        }
        // A join that was to follow is taken back.
        if let Some((_, entry)) = seat.next.take() {
            self.free(entry);
        }
        self.fade_out(id);
    }

    fn fade_out(&mut self, id: LegId) {
        if let Some(seat) = self.seat(id)
            && let Place::Bridged { bridge, port, .. } = seat.place
            && let Some(Some(room)) = self.rooms.get_mut(bridge as usize)
        {
            room.bridge.leave(port);
        }
    }
}
