//! Legs without a bridge: their tick, and where in the 20 ms it is.
//!
//! Such legs share slots, since each slot in use is a wake-up. Where that puts a leg's ticks among its
//! packets' arrivals, some would come behind the tick that they are due in, and be concealed: the leg
//! then moves later, by 1 ms a tick, until they have all been there for a while. Its ticks stay within
//! half a tick of where they began, and go back there when they can.

use super::slots::Due;
use super::{Event, Place, SILENCE, SLOTS, Worker};
use crate::leg::{HELD_SLOTS, MAX_TICK, MediaIo, Outgoing, TickTime};

/// How far from its home a leg may move, in slots.
const REACH: u8 = SLOTS as u8 / 2;
const SLOT_US: i32 = 1000;
const TICK_US: i32 = SLOTS as i32 * SLOT_US;
/// How long the latest packets are to have been there, us: delay matters less here than in a bridge.
const SPARE_US: i32 = 3000;
/// By how much more they have to have been there before a leg goes back, us: arrivals vary by some
/// tenths.
const STEADY_US: i32 = 300;

/// Where a leg runs that is in no bridge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Solo {
    pub slot: usize,
    /// Slots later than its home.
    offset: u8,
    due: Due,
}

impl Solo {
    pub fn at(slot: usize) -> Self {
        Self {
            slot,
            offset: 0,
            due: Due::default(),
        }
    }

    /// Moves by a slot or not at all; `window` is the leg's
    /// [`arrival_window_us`](crate::leg::Leg::arrival_window_us).
    fn step(&mut self, window: Option<(u32, u32)>) {
        let Some((mean_us, margin_us)) = window else {
            return;
        };
        let margin_us = margin_us as i32;
        let behind_us = (self.slot as i32 * SLOT_US - mean_us as i32).rem_euclid(TICK_US);
        if behind_us < margin_us {
            if self.offset < REACH {
                self.offset += 1;
                self.slot = (self.slot + 1) % SLOTS;
            }
        } else if self.offset > 0 && behind_us >= margin_us + SLOT_US + STEADY_US {
            self.offset -= 1;
            self.slot = (self.slot + SLOTS - 1) % SLOTS;
        }
    }
}

impl Worker {
    pub(super) fn run_solo<I: MediaIo>(&mut self, index: u32, ms: u64, time: TickTime, io: &mut I) {
        let Some(Some(seat)) = self.seats.get_mut(index as usize) else {
            return;
        };
        let Place::Solo(solo) = &mut seat.place else {
            return;
        };
        let slot = solo.slot;
        let leg = &mut seat.leg;
        if !solo.due.is_due(ms) || leg.is_early(time.now) {
            return;
        }
        let id = leg.id();
        let mut rx = [0i16; MAX_TICK];
        let rx = &mut rx[..leg.tick_samples()];
        leg.tick_rx(rx, time, io);
        let recorded = leg.tick_record(rx, time.now);
        if seat.closing {
            if let Some(event) = recorded {
                self.outbox.tell(Event::Leg(id, event));
            }
            self.finish_solo(index, slot, time, io);
            return;
        }
        let base = leg.solo(rx, &SILENCE[..rx.len()]);
        let (held, ended) = leg.tick_tx(Outgoing::own(base), time, io);
        if held {
            self.slots.hold(slot, HELD_SLOTS as usize, index);
        }
        self.outbox.tell_digit(leg, time.now);
        self.outbox.tell_talk(leg);
        self.outbox.tell_flights(leg);
        self.outbox.tell_stats(leg, time.now);
        leg.count(time.now, &mut self.counts.media);
        for event in recorded.into_iter().chain(ended.into_iter().flatten()) {
            self.outbox.tell(Event::Leg(id, event));
        }
        solo.step(leg.arrival_window_us(SPARE_US));
        let to = solo.slot;
        if to != slot {
            self.slots.move_leg(index, slot, to);
            self.counts.moves += 1;
        }
    }
}
