//! The legs and bridges of one media thread: the only place where leg and bridge meet.
//!
//! The engine (or a simulation) applies commands between ticks and calls [`Worker::run`] for each
//! millisecond that has work. Nothing in here locks, allocates, logs or reads a clock: memory comes
//! boxed with a command and leaves boxed with an event.

mod message;
mod slots;

pub use message::{BridgeId, Command, Event, Freed};
pub use slots::SLOTS;

use std::collections::VecDeque;

use crossbeam_channel::Sender;

use crate::audio::{MediaTime, TICK_SAMPLES};
use crate::bridge::{Bridge, Port, Tx};
use crate::codec::Codec;
use crate::leg::{Encoded, HELD_SLOTS, Leg, LegEvent, LegId, MediaIo, Outgoing, TickTime};
use slots::Slots;

/// Events that can be waiting for each leg: a play's end, a recording's, the time-out, a refused
/// join, a freed port and the close.
const EVENTS_PER_LEG: usize = 8;

/// Where a leg runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a slot of its own.
    Solo { slot: usize },
    /// In a bridge, at a port; when `then` says so, it closes or goes on alone after its fade.
    Bridged {
        bridge: u32,
        port: usize,
        then: Then,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Stay,
    Solo,
    Close,
}

#[derive(Debug)]
struct Seat {
    leg: Box<Leg>,
    place: Place,
    /// The join that follows the fade out of another bridge.
    next: Option<(BridgeId, Box<Port>)>,
}

#[derive(Debug)]
struct Room {
    id: BridgeId,
    bridge: Box<Bridge>,
    slot: usize,
    closing: bool,
}

/// Counts of a worker, read by the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Legs now.
    pub legs: u32,
    /// Bridges now.
    pub bridges: u32,
    /// Commands for a leg or bridge that was gone.
    pub stale_commands: u64,
    /// Events that found no room: a bug, since room is reserved.
    pub lost_events: u64,
}

/// All legs and bridges of one media thread.
#[derive(Debug)]
pub struct Worker {
    seats: Vec<Option<Seat>>,
    rooms: Vec<Option<Room>>,
    slots: Slots,
    events: Sender<Event>,
    waiting: VecDeque<Event>,
    /// Joins that wait until the bridge that is being left is back in its place.
    rejoins: Vec<(LegId, BridgeId, Box<Port>)>,
    counts: WorkerCounts,
}

/// How many events the channel of a worker for `max_legs` must hold.
pub fn event_capacity(max_legs: usize) -> usize {
    max_legs * EVENTS_PER_LEG + 64
}

impl Worker {
    /// A worker with room for so many legs and bridges. All its memory is allocated here.
    pub fn new(max_legs: usize, max_bridges: usize, events: Sender<Event>) -> Self {
        Self {
            seats: (0..max_legs).map(|_| None).collect(),
            rooms: (0..max_bridges).map(|_| None).collect(),
            slots: Slots::new(max_legs, max_bridges),
            events,
            waiting: VecDeque::with_capacity(event_capacity(max_legs)),
            rejoins: Vec::with_capacity(max_legs),
            counts: WorkerCounts::default(),
        }
    }

    /// What is in it.
    pub fn counts(&self) -> WorkerCounts {
        self.counts
    }

    /// The first millisecond from `from_ms` on that has work, if there is any.
    pub fn next_due(&self, from_ms: u64) -> Option<u64> {
        // Events that found no room are told again with each run, also when nobody is left.
        if !self.waiting.is_empty() {
            return Some(from_ms);
        }
        let slot = (from_ms % SLOTS as u64) as usize;
        Some(from_ms + self.slots.next_busy(slot)? as u64)
    }

    /// Applies a command. `time` is the present millisecond.
    pub fn apply<I: MediaIo>(&mut self, command: Command, time: TickTime, io: &mut I) {
        match command {
            Command::Open(leg) => self.open(leg),
            Command::Close(id) => self.close(id, time, io),
            Command::CreateBridge(id, bridge) => self.create_bridge(id, bridge),
            Command::CloseBridge(id) => self.close_bridge(id),
            Command::Join { leg, bridge, port } => self.join(leg, bridge, port),
            Command::Leave(id) => self.leave(id),
            Command::Configure(id, params) => {
                if let Some(seat) = self.seat(id) {
                    seat.leg.configure(params, time.now);
                }
            }
            Command::Play(id, play) => match self.seat(id) {
                Some(seat) => {
                    if let Some((old, end)) = seat.leg.play(play) {
                        self.tell(Event::Leg(id, LegEvent::PlayEnded(old, end)));
                    }
                }
                None => self.tell(Event::Freed(Freed::Play(play))),
            },
            Command::StopPlay(id) => {
                if let Some((play, end)) = self.seat(id).and_then(|s| s.leg.stop_play()) {
                    self.tell(Event::Leg(id, LegEvent::PlayEnded(play, end)));
                }
            }
            Command::Record(id, tap) => {
                let old = match self.seat(id) {
                    Some(seat) => seat.leg.record(tap),
                    None => Some(tap),
                };
                self.tell_recorded(id, old);
            }
            Command::StopRecord(id) => {
                if let Some(seat) = self.seat(id) {
                    let old = seat.leg.stop_record();
                    self.tell_recorded(id, old);
                }
            }
            Command::Echo(id, on) => {
                if let Some(seat) = self.seat(id) {
                    seat.leg.set_echo(on);
                }
            }
        }
    }

    /// Runs the slot of millisecond `ms`.
    pub fn run<I: MediaIo>(&mut self, ms: u64, ntp: u64, io: &mut I) {
        let slot = (ms % SLOTS as u64) as usize;
        let time = TickTime {
            now: MediaTime::from_millis(ms),
            ntp,
        };
        self.run_held(slot, io);
        for i in 0..self.slots.get(slot).legs.len() {
            let index = self.slots.get(slot).legs[i];
            self.run_solo(index, slot, time, io);
        }
        let mut i = 0;
        while let Some(&bridge) = self.slots.get(slot).bridges.get(i) {
            self.run_bridge(bridge, slot, time, io);
            // A bridge that closed has given its place in the list to another.
            if self.slots.get(slot).bridges.get(i) == Some(&bridge) {
                i += 1;
            }
        }
        io.flush();
        self.retell();
    }

    fn run_held<I: MediaIo>(&mut self, slot: usize, io: &mut I) {
        while let Some(index) = self.slots.get(slot).held.pop() {
            if let Some(Some(seat)) = self.seats.get_mut(index as usize) {
                seat.leg.tick_held(io);
            }
        }
    }

    fn run_solo<I: MediaIo>(&mut self, index: u32, slot: usize, time: TickTime, io: &mut I) {
        let Some(Some(seat)) = self.seats.get_mut(index as usize) else {
            return;
        };
        let leg = &mut seat.leg;
        if leg.is_early(time.now) {
            return;
        }
        let id = leg.id();
        let mut rx = [0i16; TICK_SAMPLES];
        leg.tick_rx(&mut rx, time, io);
        let recorded = leg.tick_record(&rx, time.now);
        let base = leg.solo(&rx, &SILENCE);
        let (held, played) = leg.tick_tx(Outgoing::Samples(base), time, io);
        if held {
            self.slots.hold(slot, HELD_SLOTS as usize, index);
        }
        for event in [recorded, played].into_iter().flatten() {
            self.tell(Event::Leg(id, event));
        }
    }

    fn run_bridge<I: MediaIo>(&mut self, bridge: u32, slot: usize, time: TickTime, io: &mut I) {
        let Some(Some(mut room)) = self.rooms.get_mut(bridge as usize).map(Option::take) else {
            return;
        };
        for port in 0..room.bridge.len() {
            self.bridge_rx(&mut room, port, time, io);
        }
        room.bridge.mix();
        let mut shared = SharedEncodings::default();
        for port in 0..room.bridge.len() {
            self.bridge_tx(&room, port, slot, &mut shared, time, io);
        }
        // Back in its place before the sweep: who has faded out may come in again.
        self.rooms[bridge as usize] = Some(room);
        self.sweep(bridge, time, io);
        let ended = |room: &mut Room| room.closing && room.bridge.is_empty();
        if let Some(room) = self.rooms[bridge as usize].take_if(ended) {
            self.slots.remove_bridge(slot, bridge);
            self.counts.bridges -= 1;
            self.tell(Event::BridgeClosed(room.id, room.bridge));
        }
        while let Some((leg, bridge, port)) = self.rejoins.pop() {
            self.join(leg, bridge, port);
        }
    }

    fn bridge_rx<I: MediaIo>(&mut self, room: &mut Room, port: usize, time: TickTime, io: &mut I) {
        let Some(owner) = room.bridge.owner(port) else {
            return;
        };
        let Some(Some(seat)) = self.seats.get_mut(owner as usize) else {
            return;
        };
        let early = seat.leg.is_early(time.now);
        room.bridge.postpone(port, early);
        let Some(rx) = room.bridge.rx(port).filter(|_| !early) else {
            return;
        };
        seat.leg.tick_rx(rx, time, io);
        if let Some(event) = seat.leg.tick_record(rx, time.now) {
            let id = seat.leg.id();
            self.tell(Event::Leg(id, event));
        }
    }

    fn bridge_tx<I: MediaIo>(
        &mut self,
        room: &Room,
        port: usize,
        slot: usize,
        shared: &mut SharedEncodings,
        time: TickTime,
        io: &mut I,
    ) {
        let (Some(owner), Some(tx)) = (room.bridge.owner(port), room.bridge.tx(port)) else {
            return;
        };
        let Some(Some(seat)) = self.seats.get_mut(owner as usize) else {
            return;
        };
        let leg = &mut seat.leg;
        let id = leg.id();
        let outgoing = match tx {
            Tx::Own(samples) => Outgoing::Samples(samples),
            Tx::Common(samples) => {
                Outgoing::Shared(samples, shared.get(leg.params().codec, samples))
            }
        };
        let (held, event) = leg.tick_tx(outgoing, time, io);
        if held {
            self.slots.hold(slot, HELD_SLOTS as usize, owner);
        }
        if let Some(event) = event {
            self.tell(Event::Leg(id, event));
        }
    }

    /// Takes out who has faded out.
    fn sweep<I: MediaIo>(&mut self, bridge: u32, time: TickTime, io: &mut I) {
        let mut port = 0;
        while let Some(Some(room)) = self.rooms.get_mut(bridge as usize)
            && port < room.bridge.len()
        {
            if !room.bridge.has_left(port) {
                port += 1;
                continue;
            }
            let Some((freed, moved)) = room.bridge.remove(port) else {
                return;
            };
            self.slots.weigh(room.slot, false);
            if let Some(moved) = moved
                && let Some(Some(seat)) = self.seats.get_mut(moved as usize)
                && let Place::Bridged { port: at, .. } = &mut seat.place
            {
                *at = port;
            }
            let owner = freed.owner;
            self.tell(Event::Freed(Freed::Port(freed)));
            self.settle(owner, time, io);
        }
    }

    /// What a leg does after it has left a bridge.
    fn settle<I: MediaIo>(&mut self, index: u32, time: TickTime, io: &mut I) {
        let Some(Some(seat)) = self.seats.get_mut(index as usize) else {
            return;
        };
        let Place::Bridged { then, .. } = seat.place else {
            return;
        };
        let id = seat.leg.id();
        let next = seat.next.take();
        if then == Then::Close {
            if let Some((_, port)) = next {
                self.tell(Event::Freed(Freed::Port(port)));
            }
            self.finish(index, time, io);
            return;
        }
        let slot = self.slots.quietest();
        if let Some(Some(seat)) = self.seats.get_mut(index as usize) {
            seat.place = Place::Solo { slot };
        }
        self.slots.add_leg(slot, index);
        if let Some((bridge, port)) = next {
            self.rejoins.push((id, bridge, port));
        }
    }

    fn open(&mut self, leg: Box<Leg>) {
        let index = leg.id().index;
        match self.seats.get_mut(index as usize) {
            Some(place @ None) => {
                let slot = self.slots.quietest();
                *place = Some(Seat {
                    leg,
                    place: Place::Solo { slot },
                    next: None,
                });
                self.slots.add_leg(slot, index);
                self.counts.legs += 1;
            }
            _ => self.tell(Event::Freed(Freed::Leg(leg))),
        }
    }

    fn close<I: MediaIo>(&mut self, id: LegId, time: TickTime, io: &mut I) {
        let Some(seat) = self.seat(id) else { return };
        match &mut seat.place {
            Place::Solo { slot } => {
                let slot = *slot;
                self.slots.remove_leg(slot, id.index);
                self.finish(id.index, time, io);
            }
            Place::Bridged { bridge, port, then } => {
                *then = Then::Close;
                let (bridge, port) = (*bridge, *port);
                if let Some(Some(room)) = self.rooms.get_mut(bridge as usize) {
                    room.bridge.leave(port);
                }
            }
        }
    }

    fn finish<I: MediaIo>(&mut self, index: u32, time: TickTime, io: &mut I) {
        let Some(mut seat) = self.seats.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        seat.leg.close(time, io);
        io.closed(index);
        self.counts.legs -= 1;
        if let Some((_, port)) = seat.next {
            self.tell(Event::Freed(Freed::Port(port)));
        }
        self.tell(Event::Closed(seat.leg));
    }

    fn create_bridge(&mut self, id: BridgeId, bridge: Box<Bridge>) {
        match self.rooms.get_mut(id.index as usize) {
            Some(place @ None) => {
                let slot = self.slots.quietest();
                *place = Some(Room {
                    id,
                    bridge,
                    slot,
                    closing: false,
                });
                self.slots.add_bridge(slot, id.index);
                self.counts.bridges += 1;
            }
            _ => self.tell(Event::Freed(Freed::Bridge(bridge))),
        }
    }

    fn close_bridge(&mut self, id: BridgeId) {
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

    fn join(&mut self, id: LegId, bridge: BridgeId, port: Box<Port>) {
        let Some(seat) = self.seat(id) else {
            self.tell(Event::Freed(Freed::Port(port)));
            return;
        };
        match &mut seat.place {
            Place::Solo { slot } => {
                let slot = *slot;
                self.join_solo(id, slot, bridge, port);
            }
            Place::Bridged { then, .. } => {
                if *then != Then::Close {
                    *then = Then::Solo;
                }
                if let Some((_, old)) = seat.next.replace((bridge, port)) {
                    self.tell(Event::Freed(Freed::Port(old)));
                }
                self.fade_out(id);
            }
        }
    }

    fn join_solo(&mut self, id: LegId, slot: usize, bridge: BridgeId, mut port: Box<Port>) {
        port.owner = id.index;
        let room = match self.rooms.get_mut(bridge.index as usize) {
            Some(Some(room)) if room.id == bridge && !room.closing => room,
            _ => {
                self.tell(Event::JoinRefused(id, port));
                return;
            }
        };
        match room.bridge.join(port) {
            Ok(at) => {
                let room_slot = room.slot;
                self.slots.remove_leg(slot, id.index);
                self.slots.weigh(room_slot, true);
                if let Some(seat) = self.seat(id) {
                    seat.place = Place::Bridged {
                        bridge: bridge.index,
                        port: at,
                        then: Then::Stay,
                    };
                }
            }
            Err(full) => self.tell(Event::JoinRefused(id, full.0)),
        }
    }

    fn leave(&mut self, id: LegId) {
        let Some(seat) = self.seat(id) else { return };
        let Place::Bridged { then, .. } = &mut seat.place else {
            return;
        };
        if *then == Then::Stay {
            *then = Then::Solo;
        }
        // A join that was to follow is taken back.
        if let Some((_, port)) = seat.next.take() {
            self.tell(Event::Freed(Freed::Port(port)));
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

    fn seat(&mut self, id: LegId) -> Option<&mut Seat> {
        match self.seats.get_mut(id.index as usize) {
            Some(Some(seat)) if seat.leg.id() == id => Some(seat),
            _ => {
                self.counts.stale_commands += 1;
                None
            }
        }
    }

    fn tell_recorded(&mut self, id: LegId, tap: Option<crate::leg::tap::Tap>) {
        if let Some(tap) = tap {
            let event = LegEvent::RecordingStopped {
                recording: tap.recording(),
                reason: None,
                samples: tap.end_position(),
            };
            self.tell(Event::Leg(id, event));
        }
    }

    fn tell(&mut self, event: Event) {
        // Never before what waits already: a leg's last event is its close.
        if !self.waiting.is_empty() {
            self.keep(event);
        } else if let Err(e) = self.events.try_send(event) {
            self.keep(e.into_inner());
        }
    }

    fn keep(&mut self, event: Event) {
        if self.waiting.len() < self.waiting.capacity() {
            self.waiting.push_back(event);
        } else {
            self.counts.lost_events += 1;
        }
    }

    fn retell(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Err(e) = self.events.try_send(event) {
                self.waiting.push_front(e.into_inner());
                return;
            }
        }
    }
}

static SILENCE: [i16; TICK_SAMPLES] = [0; TICK_SAMPLES];

/// The common frame, encoded at most once per codec.
struct SharedEncodings {
    payload: [[u8; TICK_SAMPLES]; 2],
    len: [usize; 2],
}

impl Default for SharedEncodings {
    fn default() -> Self {
        Self {
            payload: [[0; TICK_SAMPLES]; 2],
            len: [0; 2],
        }
    }
}

impl SharedEncodings {
    fn get(&mut self, codec: Codec, samples: &[i16]) -> Encoded<'_> {
        let i = match codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 1,
        };
        if self.len[i] == 0 {
            self.len[i] = codec.encode(samples, &mut self.payload[i]);
        }
        Encoded {
            codec,
            payload: &self.payload[i][..self.len[i]],
        }
    }
}
