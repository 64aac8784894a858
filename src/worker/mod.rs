//! The legs and bridges of one media thread: the only place where leg and bridge meet.
//!
//! The engine (or a simulation) applies commands between ticks and calls [`Worker::run`] for each
//! millisecond that has work. Nothing in here locks, allocates, logs or reads a clock: memory comes
//! boxed with a command and leaves boxed with an event.

mod fetch;
mod message;
mod outbox;
mod placement;
mod places;
mod rooms;
mod shared;
mod slots;
mod solo;
mod talkers;

pub use message::{BridgeId, Command, Event, Freed, Recoding};
pub use outbox::event_capacity;
pub use shared::SharedEncoder;
pub use slots::SLOTS;
pub use talkers::{MAX_TALKERS, Talker, Talkers};

use std::collections::VecDeque;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::audio::MediaTime;
use crate::bridge::{Bridge, Port, Tx};
use crate::leg::{
    Dial, DialEnd, HELD_SLOTS, Leg, LegEvent, LegId, MAX_TICK, MediaIo, MediaTotals, TickTime,
};
use fetch::{Deferred, LONGEST_WAIT, NEAR};
use outbox::Outbox;
use placement::Phase;
use shared::{Class, RoomEncoders, SharedEncodings};
use slots::Slots;
use solo::Solo;

/// Where a leg runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Without a bridge.
    Solo(Solo),
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
    Detach,
}

#[derive(Debug)]
struct Seat {
    leg: Box<Leg>,
    place: Place,
    /// Without a bridge: it ends with its next tick, so that all that has come is still taken in.
    closing: bool,
    /// The join that follows the fade out of another bridge, or that of another leg whose port it gets.
    next: Option<(BridgeId, Entry)>,
}

/// Bridges that a worker holds beyond those that may be used: they stand in for some that have ended, and
/// whose legs fade out for a tick more.
pub const SPARE_BRIDGES: usize = 16;

/// What a leg brings along into a bridge.
#[derive(Debug)]
struct Entry {
    port: Box<Port>,
    encoder: Option<Box<SharedEncoder>>,
}

#[derive(Debug)]
struct Room {
    id: BridgeId,
    bridge: Box<Bridge>,
    encoders: RoomEncoders,
    slot: usize,
    phase: Phase,
    closing: bool,
    watch: talkers::Watch,
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
    /// Steps that bridges took towards their talkers, and legs without a bridge out of the way of their
    /// packets.
    pub moves: u64,
    /// Of the media of all legs so far.
    pub media: MediaTotals,
}

/// All legs and bridges of one media thread.
#[derive(Debug)]
pub struct Worker {
    seats: Vec<Option<Seat>>,
    rooms: Vec<Option<Room>>,
    slots: Slots,
    outbox: Outbox,
    /// Joins that wait until the bridge that is being left is back in its place.
    rejoins: Vec<(LegId, BridgeId, Entry)>,
    /// Legs without a bridge whose join waits for a port; each once at most.
    waiting: VecDeque<u32>,
    /// Ports whose packets have not come yet, in the tick of the bridge that runs.
    deferred: Vec<Deferred>,
    /// What the bridges of a slot may still wait for those whom they are placed behind.
    wait_left: Duration,
    /// Of the bridge that runs.
    shared: Option<Box<SharedEncodings>>,
    counts: WorkerCounts,
}

impl Worker {
    /// A worker with room for so many legs and bridges. All its memory is allocated here.
    pub fn new(max_legs: usize, max_bridges: usize, events: Sender<Event>) -> Self {
        Self {
            seats: (0..max_legs).map(|_| None).collect(),
            rooms: (0..max_bridges + SPARE_BRIDGES).map(|_| None).collect(),
            slots: Slots::new(max_legs, max_bridges + SPARE_BRIDGES),
            outbox: Outbox::new(events, max_legs),
            rejoins: Vec::with_capacity(max_legs),
            waiting: VecDeque::with_capacity(max_legs),
            deferred: Vec::with_capacity(max_legs),
            wait_left: Duration::ZERO,
            shared: Some(Box::new(SharedEncodings::new())),
            counts: WorkerCounts::default(),
        }
    }

    /// What is in it.
    pub fn counts(&self) -> WorkerCounts {
        WorkerCounts {
            lost_events: self.outbox.lost(),
            ..self.counts
        }
    }

    /// Whether events wait for room in their channel: no command is to be applied then.
    pub fn is_behind(&self) -> bool {
        self.outbox.is_waiting()
    }

    /// The first millisecond from `from_ms` on that has work, if there is any.
    pub fn next_due(&self, from_ms: u64) -> Option<u64> {
        // Events that found no room are told again with each run, also when nobody is left.
        if self.outbox.is_waiting() {
            return Some(from_ms);
        }
        let slot = (from_ms % SLOTS as u64) as usize;
        Some(from_ms + self.slots.next_busy(slot)? as u64)
    }

    /// Applies a command. `time` is the present millisecond.
    pub fn apply<I: MediaIo>(&mut self, command: Command, time: TickTime, io: &mut I) {
        match command {
            Command::Open(leg) => self.open(leg),
            Command::Close(id) => self.close(id),
            Command::Detach(id) => self.detach(id, io),
            Command::CreateBridge(id, bridge) => self.create_bridge(id, bridge),
            Command::CloseBridge(id) => self.close_bridge(id),
            Command::Join {
                leg,
                bridge,
                port,
                encoder,
            } => self.join(leg, bridge, Entry { port, encoder }),
            Command::Leave(id) => self.leave(id),
            Command::Relate(id, relation, encoder) => self.relate(id, relation, encoder),
            Command::Classes(id, classes) => self.set_classes(id, classes),
            Command::PlayRoom(id, play) => self.play_room(id, play),
            Command::StopPlayRoom(id, place) => self.stop_play_room(id, place),
            Command::ControlPlay(id, control) => self.control_play(id, control),
            Command::ControlPlayRoom(id, place, control) => {
                self.control_play_room(id, place, control);
            }
            Command::WatchTalkers(id, room) => self.watch_talkers(id, room),
            Command::RecordRoom(id, recording) => self.record_room(id, recording),
            Command::StopRecordRoom(id) => self.stop_record_room(id),
            Command::ControlRecordRoom(id, control) => self.control_record_room(id, control),
            Command::ControlRecord(id, control) => self.control_record(id, control),
            Command::RecordTrack(id, track) => self.record_track(id, track),
            Command::Configure(id, params, recoding) => {
                self.configure(id, params, recoding, time);
            }
            Command::Secure(id, mut keying) => {
                if let Some(seat) = self.seat(id) {
                    seat.leg.rekey(&mut keying, time.now);
                }
                self.outbox.tell(Event::Freed(Freed::Keying(keying)));
            }
            Command::Exchange(id, flight) => {
                let left = match self.seat(id) {
                    Some(seat) => seat.leg.exchange(flight, io),
                    None => Some(flight),
                };
                if let Some(flight) = left {
                    self.outbox.tell(Event::Freed(Freed::Flight(flight)));
                }
            }
            Command::Process(id, mut to) => {
                if let Some(seat) = self.seat(id) {
                    seat.leg.reprocess(&mut to);
                }
                self.outbox.tell(Event::Freed(Freed::Reprocessing(to)));
            }
            Command::Play(id, play) => match self.seat(id) {
                Some(seat) => {
                    if let Some((old, end)) = seat.leg.play(play) {
                        self.outbox
                            .tell(Event::Leg(id, LegEvent::PlayEnded(old, end)));
                    }
                }
                None => self.outbox.tell(Event::Freed(Freed::Play(play))),
            },
            Command::StopPlay(id) => {
                if let Some((play, end)) = self.seat(id).and_then(|s| s.leg.stop_play()) {
                    self.outbox
                        .tell(Event::Leg(id, LegEvent::PlayEnded(play, end)));
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
            Command::Dial(id, dial) => match self.seat(id) {
                Some(seat) => {
                    let old = seat.leg.dial(dial);
                    self.tell_dialled(id, old);
                }
                None => self.outbox.tell(Event::Freed(Freed::Dial(dial))),
            },
            Command::StopDial(id) => {
                let old = self.seat(id).and_then(|s| s.leg.stop_dial());
                self.tell_dialled(id, old);
            }
            Command::WatchStats(id, room) => self.watch_stats(id, room),
            Command::WatchTalk(id, watch) => self.watch_talk(id, watch),
            Command::Snoop(id, snoop) => self.snoop(id, snoop),
            Command::Unsnoop(id, number) => self.unsnoop(id, number),
        }
    }

    fn watch_stats(&mut self, id: LegId, room: Option<Box<crate::leg::LegStats>>) {
        let old = match self.seat(id) {
            Some(seat) => seat.leg.watch(room),
            None => room,
        };
        if let Some(room) = old {
            self.outbox.tell(Event::Freed(Freed::Stats(room)));
        }
    }

    fn watch_talk(&mut self, id: LegId, watch: Option<crate::leg::TalkWatch>) {
        if let Some(seat) = self.seat(id) {
            seat.leg.watch_talk(watch);
        }
    }

    fn snoop(&mut self, id: LegId, snoop: Box<crate::leg::Snoop>) {
        let unused = match self.seat(id) {
            Some(seat) => seat.leg.snoop(snoop),
            None => Some(snoop),
        };
        self.free_snoop(unused);
    }

    fn unsnoop(&mut self, id: LegId, number: u64) {
        let ended = self.seat(id).and_then(|seat| seat.leg.unsnoop(number));
        self.free_snoop(ended);
    }

    fn free_snoop(&mut self, snoop: Option<Box<crate::leg::Snoop>>) {
        if let Some(snoop) = snoop {
            self.outbox.tell(Event::Freed(Freed::Snoop(snoop)));
        }
    }

    /// Runs the slot of millisecond `ms`.
    pub fn run<I: MediaIo>(&mut self, ms: u64, ntp: u64, io: &mut I) {
        let slot = (ms % SLOTS as u64) as usize;
        let time = TickTime {
            now: MediaTime::from_millis(ms),
            ntp,
        };
        self.outbox.begin();
        self.wait_left = LONGEST_WAIT;
        self.run_held(slot, io);
        let mut i = 0;
        while let Some(&index) = self.slots.get(slot).legs.get(i) {
            self.run_solo(index, ms, time, io);
            // One that closed or moved has given its place in the list to another.
            if self.slots.get(slot).legs.get(i) == Some(&index) {
                i += 1;
            }
        }
        let mut i = 0;
        while let Some(&bridge) = self.slots.get(slot).bridges.get(i) {
            self.run_bridge(bridge, ms, time, io);
            // A bridge that closed or moved has given its place in the list to another.
            if self.slots.get(slot).bridges.get(i) == Some(&bridge) {
                i += 1;
            }
        }
        io.flush();
        self.outbox.retell();
    }

    fn run_held<I: MediaIo>(&mut self, slot: usize, io: &mut I) {
        while let Some(index) = self.slots.get(slot).held.pop() {
            if let Some(Some(seat)) = self.seats.get_mut(index as usize) {
                seat.leg.tick_held(io);
            }
        }
    }

    fn run_bridge<I: MediaIo>(&mut self, bridge: u32, ms: u64, time: TickTime, io: &mut I) {
        let place = self.rooms.get_mut(bridge as usize);
        let Some(mut room) = place.and_then(|r| r.take_if(|room| room.phase.due.is_due(ms))) else {
            return;
        };
        self.fetch(&mut room, time, io);
        room.bridge.mix_at(time.now);
        self.tell_room(&mut room, ms);
        if let Some(mut shared) = self.shared.take() {
            shared.begin(&mut room.encoders);
            for port in 0..room.bridge.len() {
                self.expect(&room, port + NEAR, false, io);
                self.bridge_tx(&mut room, port, &mut shared, time, io);
            }
            self.shared = Some(shared);
        }
        let slot = room.slot;
        // Back in its place before the sweep: who has faded out may come in again.
        self.rooms[bridge as usize] = Some(room);
        self.end_stopped_recording(bridge);
        self.sweep(bridge, time, io);
        let ended = |room: &mut Room| room.closing && room.bridge.is_empty();
        if let Some(mut room) = self.rooms[bridge as usize].take_if(ended) {
            self.end_room(&mut room);
            while let Some(encoder) = room.encoders.take() {
                self.outbox.tell(Event::Freed(Freed::Encoder(encoder)));
            }
            self.slots.remove_bridge(slot, bridge);
            self.counts.bridges -= 1;
            self.outbox.tell(Event::BridgeClosed(room.id, room.bridge));
        }
        self.admit_waiting(bridge);
        while let Some((leg, bridge, entry)) = self.rejoins.pop() {
            self.join(leg, bridge, entry);
        }
        self.place(bridge);
    }

    fn bridge_tx<I: MediaIo>(
        &mut self,
        room: &mut Room,
        port: usize,
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
        let key = leg.encoding_key();
        let (followed, frame) = room.bridge.classes_of(port);
        let class = Class { followed, frame };
        let outgoing = match tx {
            Tx::Own(samples) => SharedEncodings::own(&mut room.encoders, class, key, samples),
            Tx::Common(samples) => {
                if leg.lingers() && room.encoders.has(class.followed, key) && !shared.may_linger() {
                    leg.stop_lingering();
                }
                let loss = leg.expected_loss();
                shared.common(&mut room.encoders, class, key, loss, samples)
            }
        };
        let (held, ended) = leg.tick_tx(outgoing, time, io);
        if held {
            self.slots.hold(room.slot, HELD_SLOTS as usize, owner);
        }
        for event in ended.into_iter().flatten() {
            self.outbox.tell(Event::Leg(id, event));
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
            let Some((mut freed, moved)) = room.bridge.remove(port) else {
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
            if let Some(track) = freed.take_track()
                && let Some(Some(seat)) = self.seats.get(owner as usize)
            {
                let ended = Event::TrackEnded(seat.leg.id(), track);
                self.outbox.tell(ended);
            }
            self.outbox.tell(Event::Freed(Freed::Port(freed)));
            self.settle(owner, time, io);
        }
    }

    fn room(&mut self, id: BridgeId) -> Option<&mut Room> {
        match self.rooms.get_mut(id.index as usize) {
            Some(Some(room)) if room.id == id => Some(room),
            _ => {
                self.counts.stale_commands += 1;
                None
            }
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
                length: tap.length(),
                memory: tap.into_memory(),
            };
            self.outbox.tell(Event::Leg(id, event));
        }
    }

    fn tell_dialled(&mut self, id: LegId, dial: Option<Box<Dial>>) {
        if let Some(dial) = dial {
            let event = LegEvent::Dialled(dial, DialEnd::Stopped);
            self.outbox.tell(Event::Leg(id, event));
        }
    }
}

/// Who is at a port.
fn seat_at<'a>(seats: &'a mut [Option<Seat>], room: &Room, port: usize) -> Option<&'a mut Seat> {
    let owner = room.bridge.owner(port)?;
    seats.get_mut(owner as usize)?.as_mut()
}

static SILENCE: [i16; MAX_TICK] = [0; MAX_TICK];
