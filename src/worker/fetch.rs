//! What all parties of a bridge say in a tick: many sockets read in a row, those last whose packets
//! come just then.

use std::ops::Range;
use std::slice;
use std::time::Duration;

use super::{Event, Room, Worker, seat_at};
use crate::leg::{MAX_TICK, MediaIo, TickTime};

impl Worker {
    /// Fetches what all say. Those whose packets have not come yet, or are about to, are asked once
    /// more when all others have been: that takes some time. So is the dominant party, whose packet
    /// comes just then. What has come by the end of the fetch is in time, whoever it is from; a fetch
    /// that is quicker than others waits for those that the bridge is placed behind.
    pub(super) fn fetch<I: MediaIo>(&mut self, room: &mut Room, time: TickTime, io: &mut I) {
        let began = io.elapsed();
        let dominant = room.bridge.dominant();
        let parties = room.bridge.len();
        let after = room.phase.fetch();
        let mut deferred = std::mem::take(&mut self.deferred);
        for port in 0..FAR {
            self.expect(room, port, false, io);
        }
        for first in (0..parties).step_by(GATHERED) {
            let ports = first..parties.min(first + GATHERED);
            self.gather(room, ports.clone(), dominant, time, io);
            for port in ports {
                if self.bridge_begin(room, port, dominant, time, io) {
                    self.bridge_rx(room, port, after, time);
                } else {
                    deferred.push(Deferred { port, read: false });
                }
            }
        }
        room.phase.fetched_in(io.elapsed().saturating_sub(began));
        let mut awaited = self.read_deferred(room, &mut deferred, time, io);
        awaited &= io.elapsed() + WORTH_WAITING < began + after;
        if awaited && self.wait(began + after, io) {
            self.read_deferred(room, &mut deferred, time, io);
        }
        for Deferred { port, .. } in deferred.drain(..) {
            self.bridge_rx(room, port, after, time);
        }
        self.deferred = deferred;
    }

    /// Reads those who have said nothing yet. Whether one of them is worth waiting for.
    fn read_deferred<I: MediaIo>(
        &mut self,
        room: &Room,
        deferred: &mut [Deferred],
        time: TickTime,
        io: &mut I,
    ) -> bool {
        let by = time.now + room.phase.fetch();
        let mut awaited = false;
        for party in deferred.iter_mut().filter(|party| !party.read) {
            if let Some(seat) = seat_at(&mut self.seats, room, party.port) {
                party.read = seat.leg.read_again(time, io);
                awaited |= !party.read && seat.leg.is_awaited(by);
            }
        }
        awaited
    }

    /// Waits until the tick has run so long, as far as the slot's bridges may. Whether it did at all.
    fn wait<I: MediaIo>(&mut self, until: Duration, io: &mut I) -> bool {
        let now = io.elapsed();
        let wait = until.saturating_sub(now).min(self.wait_left);
        self.wait_left -= wait;
        if wait.is_zero() {
            return false;
        }
        io.wait(now + wait);
        true
    }

    /// Has the packets of some parties read one after the other, ahead of their work; and the memory
    /// fetched of those who follow.
    fn gather<I: MediaIo>(
        &self,
        room: &Room,
        ports: Range<usize>,
        dominant: Option<u32>,
        time: TickTime,
        io: &mut I,
    ) {
        io.begin_gathering();
        for port in ports {
            self.expect(room, port + FAR, false, io);
            self.expect(room, port + NEAR, true, io);
            if let Some(owner) = room.bridge.owner(port)
                && dominant != Some(owner)
                && let Some(Some(seat)) = self.seats.get(owner as usize)
                && !seat.leg.is_early(time.now)
            {
                io.gather(owner);
            }
        }
    }

    /// Has the memory of a party fetched that is worked on later; `soon`: what that leads to.
    pub(super) fn expect<I: MediaIo>(&self, room: &Room, port: usize, soon: bool, io: &I) {
        let Some(place) = room.bridge.port(port) else {
            return;
        };
        if !soon {
            io.prefetch(slice::from_ref(place));
        }
        if let Some(owner) = room.bridge.owner(port)
            && let Some(Some(seat)) = self.seats.get(owner as usize)
        {
            io.expect(owner, soon);
            if soon {
                seat.leg.expect(io);
            } else {
                io.prefetch(slice::from_ref(&*seat.leg));
            }
        }
    }

    /// Begins the tick of a bridge's port. Whether what it says can be taken at once.
    fn bridge_begin<I: MediaIo>(
        &mut self,
        room: &mut Room,
        port: usize,
        dominant: Option<u32>,
        time: TickTime,
        io: &mut I,
    ) -> bool {
        let Some(seat) = seat_at(&mut self.seats, room, port) else {
            return true;
        };
        let early = seat.leg.is_early(time.now);
        room.bridge.postpone(port, early);
        if early {
            return true;
        }
        if dominant == Some(seat.leg.id().index) {
            seat.leg.begin_tick_unread(time, io);
            return false;
        }
        seat.leg.begin_tick(time, io) && !seat.leg.expects_more(time.now + room.phase.fetch())
    }

    /// What a port's party says. `after`: how far into the tick its packets were read.
    fn bridge_rx(&mut self, room: &mut Room, port: usize, after: Duration, time: TickTime) {
        if room.bridge.is_postponed(port) {
            return;
        }
        let Some(seat) = seat_at(&mut self.seats, room, port) else {
            return;
        };
        // Most parties are silent most of the time: their ports are not written to.
        let mut frame = [0i16; MAX_TICK];
        let rx = &mut frame[..seat.leg.tick_samples()];
        seat.leg.say(rx, after, time);
        room.bridge.say(port, rx);
        let id = seat.leg.id();
        let recorded = seat.leg.tick_record(rx, time.now);
        self.outbox.tell_digit(&mut seat.leg, time.now);
        self.outbox.tell_talk(&mut seat.leg);
        self.outbox.tell_flights(&mut seat.leg);
        self.outbox.tell_stats(&mut seat.leg, time.now);
        seat.leg.count(time.now, &mut self.counts.media);
        if let Some(event) = recorded {
            self.outbox.tell(Event::Leg(id, event));
        }
    }
}

/// How many parties' packets are read one after the other: the kernel's part of the work in a row,
/// then ours, is cheaper than each in turn.
const GATHERED: usize = 16;
/// How many parties ahead memory is fetched, and what that leads to.
const FAR: usize = 24;
pub(super) const NEAR: usize = 16;
/// A party that is read when all others have been.
#[derive(Debug)]
pub(super) struct Deferred {
    port: usize,
    /// Its packet has come.
    read: bool,
}

/// In a slot, all its bridges together: others' ticks are due behind it, and a peer can be waited for
/// and not send.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(4);
/// The bridge's margin covers this much.
const WORTH_WAITING: Duration = Duration::from_micros(400);
