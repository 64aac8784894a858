//! What a worker tells: a bounded channel that never lacks room for what must be told.
//!
//! The places of the channel are reserved for what a leg can have to tell at its end, whatever
//! happens. Digits come as often as a peer likes: they take what is left, and wait in their leg
//! where nothing is. DTLS does the same.

use std::collections::VecDeque;

use crossbeam_channel::Sender;

use super::Event;
use crate::audio::MediaTime;
use crate::leg::{Leg, LegEvent};

/// Events that can be waiting for each leg: a play's end, a recording's, a dial's, the time-out, a
/// refused join, freed memory (ports, encoders, codecs, keys), the statistics, the move and the close;
/// its track's end; and, since a room has a leg at least, the ends of its plays and recording, and who
/// talks.
const EVENTS_PER_LEG: usize = 20;
/// Digits on top of these, per leg.
const DIGITS_PER_LEG: usize = 2;
/// For bridges.
const OTHER_EVENTS: usize = 64;

/// How many events the channel of a worker for `max_legs` must hold.
pub fn event_capacity(max_legs: usize) -> usize {
    max_legs * (EVENTS_PER_LEG + DIGITS_PER_LEG) + OTHER_EVENTS
}

#[derive(Debug)]
pub(super) struct Outbox {
    events: Sender<Event>,
    waiting: VecDeque<Event>,
    /// Events that may be in the channel for digits still to fit.
    room_for_digits: usize,
    /// Digits, or DTLS, that fit into the present run.
    digits: usize,
    lost: u64,
}

impl Outbox {
    pub fn new(events: Sender<Event>, max_legs: usize) -> Self {
        Self {
            events,
            waiting: VecDeque::with_capacity(event_capacity(max_legs)),
            room_for_digits: max_legs * DIGITS_PER_LEG + OTHER_EVENTS / 2,
            digits: 0,
            lost: 0,
        }
    }

    /// Events that found no room: a bug, since room is reserved.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A run begins: finds out how many digits may be told in it.
    pub fn begin(&mut self) {
        let used = self.events.len() + self.waiting.len();
        self.digits = self.room_for_digits.saturating_sub(used);
    }

    /// Tells the leg's next digit, if there is one and room for it; at most one a tick.
    pub fn tell_digit(&mut self, leg: &mut Leg, now: MediaTime) {
        if self.digits == 0 {
            return;
        }
        if let Some(digit) = leg.take_digit(now) {
            self.digits -= 1;
            self.tell(Event::Leg(leg.id(), LegEvent::Digit(digit)));
        }
    }

    /// Tells that the leg's party has begun or ceased to talk, where that is wanted and there is room: it
    /// too changes as often as a peer likes.
    pub fn tell_talk(&mut self, leg: &mut Leg) {
        if self.digits > 0
            && let Some(talk) = leg.take_talk()
        {
            self.digits -= 1;
            self.tell(Event::Leg(leg.id(), talk));
        }
    }

    /// Tells the DTLS that has come to the leg, as far as there is room: it too comes as often as a peer
    /// likes.
    pub fn tell_flights(&mut self, leg: &mut Leg) {
        while self.digits > 0
            && let Some(flight) = leg.take_flight()
        {
            self.digits -= 1;
            self.tell(Event::Leg(leg.id(), LegEvent::Dtls(flight)));
        }
    }

    /// Tells the leg's statistics, where that is wanted. Their box is one of the leg's places: without
    /// another from the control side there is no second event.
    pub fn tell_stats(&mut self, leg: &mut Leg, now: MediaTime) {
        if let Some(stats) = leg.take_stats(now) {
            self.tell(Event::Leg(leg.id(), LegEvent::Stats(stats)));
        }
    }

    pub fn tell(&mut self, event: Event) {
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
            self.lost += 1;
        }
    }

    pub fn retell(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if let Err(e) = self.events.try_send(event) {
                self.waiting.push_front(e.into_inner());
                return;
            }
        }
    }
}
