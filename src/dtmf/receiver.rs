//! Digits out of telephone-event packets, each once, whatever the network does to them.
//!
//! Sits after `rtp::session`, which has dropped exact duplicates and strays, before the leg's queue
//! of digits. rx is what the party sends.
//!
//! An event is named by its source, timestamp and code: all its packets repeat them (RFC 4733
//! §2.5.1.2), so any one of them is enough, and no further one counts. A digit is told at its first
//! packet. Where sequence numbers just before it are missing, an earlier digit may be among them:
//! it is held back until they have come, or cannot come any more, or 40 ms have passed.
//!
//! ```text
//! packet --> known? --yes--> (update)
//!              | no: continues an event that has not ended? --yes--> (a segment)
//!              '-----------------------> numbers missing? --no--> ready --> poll
//!                                              '--yes--> held --40 ms, or they came--> ready
//! ```

use std::time::Duration;

use super::Digit;
use super::event::{self, Event, MAX_DURATION};
use crate::audio::MediaTime;
use crate::rtp::{Packet, SeqNo, Ssrc, Timestamp};

/// How long a digit is held back at most.
pub const MAX_HOLD: Duration = Duration::from_millis(40);
/// Packets may come this many places late and digits still be in order.
pub const MAX_REORDER: i16 = 3;
/// Digits that wait to be fetched. At the bound new ones are dropped and counted.
pub const MAX_READY: usize = 32;
/// Events that are remembered. 128 packets back is as far as `rtp::session` lets any through, and
/// an event has four packets at least.
const MAX_KNOWN: usize = 32;
/// Digits that are held at once; at the bound the first of them goes.
const MAX_HELD: usize = 8;
/// From this duration on an event is about to go on in another segment.
const NEARLY_FULL: u16 = 60_000;
/// An event of the same name so long after its last packet is another one: there are senders whose
/// timestamps stand still.
const MEMORY: Duration = Duration::from_secs(5);

/// An event of which a packet has come.
#[derive(Clone, Copy, Debug)]
struct Known {
    ssrc: Ssrc,
    timestamp: Timestamp,
    code: u8,
    /// The longest duration that was told, clock units.
    duration: u16,
    ended: bool,
    last: MediaTime,
    /// The highest number of its packets.
    seq: SeqNo,
}

/// A digit that waits for what may come before it.
#[derive(Clone, Copy, Debug)]
struct Held {
    digit: Digit,
    seq: SeqNo,
    /// Its place in its packet.
    index: u8,
    arrival: MediaTime,
}

/// What a packet told of the event under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// An event goes on.
    Sounding,
    /// It has ended: before this timestamp, in the events' clock.
    Ended(Timestamp),
    /// Nothing that could be read.
    None,
}

/// The receiver of one stream. All memory is taken at construction.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    /// Boxed, as is what is ready: rarely touched.
    known: Box<[Option<Known>; MAX_KNOWN]>,
    next_known: usize,
    held: Box<[Option<Held>; MAX_HELD]>,
    holds: bool,
    ready: Box<[Option<Digit>; MAX_READY]>,
    first_ready: usize,
    ready_len: usize,
    source: Option<Ssrc>,
    highest: SeqNo,
    /// Bit n: `highest - n` has come.
    seen: u64,
    dropped: u64,
}

impl Default for EventReceiver {
    fn default() -> Self {
        Self::new()
    }
}

impl EventReceiver {
    /// A receiver of which nothing is known yet.
    pub fn new() -> Self {
        Self::in_memory(
            Box::new([None; MAX_KNOWN]),
            Box::new([None; MAX_HELD]),
            Box::new([None; MAX_READY]),
        )
    }

    /// The same, in this one's memory.
    pub fn recycled(mut self) -> Self {
        self.known.fill(None);
        self.held.fill(None);
        self.ready.fill(None);
        Self::in_memory(self.known, self.held, self.ready)
    }

    fn in_memory(
        known: Box<[Option<Known>; MAX_KNOWN]>,
        held: Box<[Option<Held>; MAX_HELD]>,
        ready: Box<[Option<Digit>; MAX_READY]>,
    ) -> Self {
        Self {
            known,
            next_known: 0,
            held,
            holds: false,
            ready,
            first_ready: 0,
            ready_len: 0,
            source: None,
            highest: SeqNo(0),
            seen: u64::MAX,
            dropped: 0,
        }
    }

    /// Digits that found [`MAX_READY`] others before them.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a packet of the stream that carries audio: only its number counts.
    pub fn on_audio(&mut self, packet: &Packet<'_>, arrival: MediaTime) {
        self.note(packet, arrival);
        self.release(None);
    }

    /// Takes a telephone-event packet, in order of arrival.
    pub fn on_event(&mut self, packet: &Packet<'_>, arrival: MediaTime) -> Activity {
        self.note(packet, arrival);
        let mut activity = Activity::None;
        for (index, (offset, event)) in event::events(packet.payload).enumerate() {
            let timestamp = packet.timestamp.add(offset);
            // The marker is of the first event of a packet.
            let marker = packet.marker && index == 0;
            let name = (packet.ssrc, timestamp, packet.seq);
            let (is_news, ended) = self.learn(name, marker, event, arrival);
            activity = if ended {
                Activity::Ended(timestamp.add(event.duration.into()))
            } else {
                Activity::Sounding
            };
            if let (true, Some(digit)) = (is_news, Digit::from_event(event.code)) {
                self.hold(Held {
                    digit,
                    seq: packet.seq,
                    index: index as u8,
                    arrival,
                });
            }
        }
        self.release(None);
        activity
    }

    /// The next digit, in order; `now` is the time up to which everything has been taken in.
    pub fn poll(&mut self, now: MediaTime) -> Option<Digit> {
        self.release(Some((now, true)));
        if self.ready_len == 0 {
            return None;
        }
        let digit = self.ready[self.first_ready].take();
        self.first_ready = (self.first_ready + 1) % MAX_READY;
        self.ready_len -= 1;
        digit
    }

    /// Notes that a number has come. What was held for 40 ms before that goes first.
    fn note(&mut self, packet: &Packet<'_>, arrival: MediaTime) {
        self.release(Some((arrival, false)));
        if self.source != Some(packet.ssrc) {
            // Another source counts anew: nothing before its first packet is missing.
            self.flush();
            self.source = Some(packet.ssrc);
            self.highest = packet.seq;
            self.seen = u64::MAX;
            return;
        }
        let ahead = packet.seq.distance(self.highest);
        if ahead > 0 {
            self.seen = self.seen.checked_shl(ahead as u32).unwrap_or(0) | 1;
            self.highest = packet.seq;
        } else if ahead > -64 {
            self.seen |= 1 << u32::from(ahead.unsigned_abs());
        }
    }

    /// Remembers an event; whether it is a new one, and whether it has ended.
    fn learn(
        &mut self,
        (ssrc, timestamp, seq): (Ssrc, Timestamp, SeqNo),
        marker: bool,
        event: Event,
        arrival: MediaTime,
    ) -> (bool, bool) {
        let fresh = |k: &&mut Known| arrival.since(k.last) < MEMORY;
        let mut of_code = self
            .known
            .iter_mut()
            .flatten()
            .filter(|k| k.ssrc == ssrc && k.code == event.code)
            .filter(fresh);
        if let Some(known) = of_code.find(|k| k.timestamp == timestamp) {
            let is_behind = seq.distance(known.seq) > 0;
            known.seq = if is_behind { seq } else { known.seq };
            known.last = known.last.max(arrival);
            // Its timestamp stands still, and it says itself that it begins.
            if known.ended && is_behind && marker && !event.end {
                (known.duration, known.ended) = (event.duration, false);
                return (true, false);
            }
            known.duration = known.duration.max(event.duration);
            known.ended |= event.end;
            return (false, known.ended);
        }
        let continues = self
            .known
            .iter_mut()
            .flatten()
            .filter(|k| k.ssrc == ssrc && k.code == event.code)
            .filter(fresh)
            .any(|k| k.is_continued_at(timestamp, marker));
        self.known[self.next_known] = Some(Known {
            ssrc,
            timestamp,
            code: event.code,
            duration: event.duration,
            ended: event.end,
            last: arrival,
            seq,
        });
        self.next_known = (self.next_known + 1) % MAX_KNOWN;
        (!continues, event.end)
    }

    fn hold(&mut self, held: Held) {
        let free = |held: &[Option<Held>; MAX_HELD]| held.iter().position(Option::is_none);
        if free(&self.held).is_none() {
            self.let_go(0);
        }
        if let Some(place) = free(&self.held) {
            self.held[place] = Some(held);
            self.holds = true;
            let order = |h: &Option<Held>| {
                // Relative to the new one: within a few packets, so no wrap.
                h.map_or((i16::MAX, u8::MAX), |h| (h.seq.distance(held.seq), h.index))
            };
            self.held.sort_unstable_by_key(order);
        }
    }

    /// Tells what need not wait any more: by the numbers, and by the time where one is given
    /// (inclusive of digits whose time is up just then, or not).
    fn release(&mut self, time: Option<(MediaTime, bool)>) {
        if !self.holds {
            return;
        }
        let Some(last_due) = time.and_then(|time| self.last_due(time)) else {
            // Only from the front: whoever stands behind another waits for it.
            while let Some(Some(first)) = self.held.first()
                && !self.is_missing_before(first.seq)
            {
                self.let_go(0);
            }
            return;
        };
        // What stands before it comes before it.
        for _ in 0..=last_due {
            self.let_go(0);
        }
    }

    /// The last of the held whose time is up.
    fn last_due(&self, (now, inclusive): (MediaTime, bool)) -> Option<usize> {
        let is_due = |h: &Held| {
            let waited = now.since(h.arrival);
            waited > MAX_HOLD || (inclusive && waited == MAX_HOLD)
        };
        self.held
            .iter()
            .rposition(|h| h.as_ref().is_some_and(is_due))
    }

    /// Whether a packet that stands before `seq` may still come.
    fn is_missing_before(&self, seq: SeqNo) -> bool {
        (1..=MAX_REORDER).any(|back| {
            let missing = seq.add(back.wrapping_neg() as u16);
            let behind = self.highest.distance(missing);
            // Behind so many others it would be later than we wait for.
            (0..=MAX_REORDER).contains(&behind) && self.seen & (1 << behind) == 0
        })
    }

    fn let_go(&mut self, place: usize) {
        let Some(held) = self.held[place].take() else {
            return;
        };
        self.held[place..].rotate_left(1);
        self.holds = self.held[0].is_some();
        if self.ready_len == MAX_READY {
            self.dropped += 1;
            return;
        }
        self.ready[(self.first_ready + self.ready_len) % MAX_READY] = Some(held.digit);
        self.ready_len += 1;
    }

    fn flush(&mut self) {
        while self.held[0].is_some() {
            self.let_go(0);
        }
    }
}

impl Known {
    /// Whether a report with another timestamp is on the same event: its next segment (RFC 4733
    /// §2.5.1.3), or one of a sender that moves the timestamp on with each packet, those that repeat
    /// the end included.
    fn is_continued_at(&self, timestamp: Timestamp, marker: bool) -> bool {
        let ahead = timestamp.distance(self.timestamp);
        let duration = i32::from(self.duration);
        // While it sounded, no other can have begun.
        let within = (1..duration).contains(&ahead);
        let at_its_end = ahead == duration && duration > 0;
        // Not all senders fill a segment to its last unit, and its last report may be lost.
        let nearly_full =
            self.duration >= NEARLY_FULL && (duration..i32::from(MAX_DURATION)).contains(&ahead);
        let goes_on = at_its_end || nearly_full || ahead == i32::from(MAX_DURATION);
        !marker && (within || (!self.ended && goes_on))
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;
