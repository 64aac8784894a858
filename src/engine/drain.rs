//! How often a leg's socket is read in a tick.
//!
//! Reading until nothing is left costs a call that fails, a third of the price of the packet. A
//! stream that has brought exactly one packet of the next sequence number in each of many ticks is
//! _even_: one read is enough for it, and what would be waiting behind that packet is not needed
//! before the next tick. The reading goes on until nothing is left
//!
//! - in a stream that is not even: the last ticks brought none, or several, or a gap, as packet
//!   times under or over a tick do, and as jitter over the slot does;
//! - where the last packet was read longer ago than a tick, as after a stall, or a tick without one;
//! - behind a packet that is not the next of the sequence, is no RTP, or has no time stamp;
//! - behind a packet that was there already when the socket was last read, and so was left: no
//!   packet is left twice;
//! - behind a packet that holds a sound: the telephone event that tells of it, and that keeps it from
//!   everybody else, may stand right behind it;
//! - once a second, so that no fault of the clock can hide what is left for longer.
//!
//! A packet that is left has come early, within one tick with the one before it, which plays in
//! this tick; so it is in time for its own, the next.

use std::time::Duration;

use crate::audio::MediaTime;
use crate::leg::Content;
use crate::rtp::packet;

/// Ticks with one packet each that make a stream even.
const EVEN: u8 = 25;
/// Ticks after which an even stream is read until nothing is left.
const LOOK: u8 = 50;
/// From one reading to the next: one and a half ticks.
const LONG: Duration = Duration::from_millis(30);

/// What is known of one stream from its last ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain {
    /// When the reading of the last tick began.
    read: MediaTime,
    /// The sequence number that comes next.
    next: u16,
    /// Ticks in a row with one packet each.
    even: u8,
    /// The last reading found nothing; a tick may read twice, and a gap of a tick is seen by `read`.
    empty: bool,
}

impl Drain {
    /// Whether one packet may be enough in this tick. It is also long since anything was read that
    /// came from elsewhere than the peer that the socket is connected to.
    pub fn is_even(&self) -> bool {
        self.even >= EVEN
    }

    /// Whether nothing needs to be read behind the first packet of the tick that began to read at
    /// `began`: its sequence number, its arrival, and what the leg has found in it.
    pub fn is_enough(
        &self,
        number: Option<u16>,
        arrival: Option<MediaTime>,
        began: MediaTime,
        heard: Content,
    ) -> bool {
        self.even > EVEN
            && began.since(self.read) < LONG
            && number == Some(self.next)
            && arrival.is_some_and(|at| at >= self.read)
            && heard == Content::Silence
    }

    /// The reading of a tick is over, which began at `began`, with so many packets; `sequence` is
    /// that of the last.
    pub fn done(&mut self, began: MediaTime, packets: usize, sequence: Option<u16>) {
        if packets == 0 && self.is_even() && !self.empty {
            self.empty = true;
            return;
        }
        self.empty = false;
        self.read = began;
        let one = packets == 1 && sequence == Some(self.next);
        self.even = match self.even {
            _ if !one => 0,
            n if n >= EVEN + LOOK => EVEN,
            n => n + 1,
        };
        if let Some(sequence) = sequence {
            self.next = sequence.wrapping_add(1);
        }
    }
}

/// The sequence number of what looks like RTP.
pub(super) fn sequence(packet: &[u8]) -> Option<u16> {
    if packet.len() < 12 || packet[0] >> 6 != 2 || packet::is_rtcp(packet) {
        return None;
    }
    Some(u16::from_be_bytes([packet[2], packet[3]]))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A socket on the line of milliseconds, read each 20 ms.
    #[derive(Default)]
    struct Line {
        drain: Drain,
        tick: u64,
        waiting: VecDeque<(u16, MediaTime)>,
        /// Reads that found nothing.
        failed: usize,
    }

    impl Line {
        fn is_enough(&self, packet: &[u8], at: Option<MediaTime>, began: MediaTime) -> bool {
            let number = sequence(packet);
            self.drain.is_enough(number, at, began, Content::Silence)
        }

        fn packet(&mut self, sequence: u16, at_ms: u64) {
            self.waiting
                .push_back((sequence, MediaTime::from_millis(at_ms)));
        }

        /// As the engine does it. Returns what was read.
        fn tick(&mut self) -> Vec<u16> {
            self.tick += 1;
            let now = MediaTime::from_millis(self.tick * 20);
            let mut got = Vec::new();
            loop {
                let Some(&(number, at)) = self.waiting.front().filter(|(_, at)| *at <= now) else {
                    self.failed += 1;
                    break;
                };
                self.waiting.pop_front();
                got.push(number);
                if got.len() == 1 && self.is_enough(&rtp(number), Some(at), now) {
                    break;
                }
            }
            self.drain.done(now, got.len(), got.last().copied());
            got
        }

        /// An even stream from sequence 0 on, for so many ticks.
        fn even(ticks: u16) -> Line {
            let mut line = Line::default();
            for n in 0..ticks {
                line.packet(n, u64::from(n) * 20 + 10);
                assert_eq!(line.tick(), [n]);
            }
            line
        }
    }

    fn rtp(sequence: u16) -> [u8; 12] {
        let [high, low] = sequence.to_be_bytes();
        [0x80, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 1]
    }

    #[test]
    fn behind_a_sound_the_rest_is_read() {
        let line = Line::even(100);
        let at = Some(MediaTime::from_millis(2010));
        let began = MediaTime::from_millis(2020);
        let enough = |heard| line.drain.is_enough(Some(100), at, began, heard);
        assert!(enough(Content::Silence));
        assert!(!enough(Content::Other));
    }

    #[test]
    fn an_even_stream_is_read_once_a_tick_and_emptied_once_a_second() {
        let line = Line::even(1000);
        assert!((30..60).contains(&line.failed), "{}", line.failed);
    }

    #[test]
    fn a_packet_that_came_early_is_read_in_the_next_tick_with_what_is_behind_it() {
        let mut line = Line::even(40);
        line.packet(40, 810);
        line.packet(41, 812);
        line.packet(42, 830);
        assert_eq!(line.tick(), [40]);
        assert_eq!(line.tick(), [41, 42]);
        assert!(!line.drain.is_even());
    }

    #[test]
    fn a_late_packet_is_read_with_what_is_behind_it() {
        let mut line = Line::even(40);
        assert!(line.tick().is_empty());
        line.packet(40, 830);
        line.packet(41, 831);
        assert_eq!(line.tick(), [40, 41]);
    }

    #[test]
    fn a_gap_and_what_is_no_rtp_are_read_past() {
        let mut line = Line::even(40);
        line.packet(41, 810);
        line.packet(42, 811);
        assert_eq!(line.tick(), [41, 42]);
        let line = Line::even(40);
        let now = MediaTime::from_millis(820);
        let at = Some(MediaTime::from_millis(810));
        assert!(line.is_enough(&rtp(40), at, now));
        assert!(!line.is_enough(&rtp(39), at, now));
        assert!(!line.is_enough(&rtp(40)[..11], at, now));
        assert!(!line.is_enough(&rtp(40), None, now));
        let mut report = rtp(40);
        report[1] = 200;
        assert!(!line.is_enough(&report, at, now));
    }

    #[test]
    fn two_packets_a_tick_are_always_read_in_their_tick() {
        let mut line = Line::default();
        for n in 0..200 {
            let lost = n % 7 == 3;
            line.packet(2 * n, u64::from(n) * 20 + 5);
            if !lost {
                line.packet(2 * n + 1, u64::from(n) * 20 + 15);
            }
            assert_eq!(line.tick().len(), if lost { 1 } else { 2 });
        }
    }

    #[test]
    fn after_a_stall_everything_is_read() {
        let mut line = Line::even(40);
        for n in 40..60 {
            line.packet(n, u64::from(n) * 20 + 10);
        }
        line.tick = 59;
        assert_eq!(line.tick().len(), 20);
    }
}
