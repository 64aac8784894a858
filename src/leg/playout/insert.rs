//! Packets into the buffer: time lines, lateness, and what they teach about the delay.

use super::{Newest, Playout, State};
use crate::audio::MediaTime;
use crate::codec::Codec;
use crate::rtp::Packet;
use crate::rtp::jitter::Put;

impl Playout {
    /// Takes a packet in, in order of arrival. What does not fit is dropped and counted.
    pub fn insert(&mut self, packet: &Packet<'_>, codec: Codec, arrival: MediaTime) {
        let len = codec.samples(packet.payload.len());
        if len == 0 {
            return;
        }
        if len > self.scratch.len() {
            self.stats.overflow += 1;
            return;
        }
        if self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc) {
            self.reset();
        }
        if self.state == State::Empty {
            self.begin(packet);
        }
        let len = codec.decode(packet.payload, &mut self.scratch[..len]);
        let at = self.place(packet, len as i64, arrival);
        self.observe(at, arrival);
        self.store(at, len);
    }

    /// Takes a comfort noise packet in (RFC 3389): instead of concealing, noise of its level is
    /// played until audio comes.
    pub fn comfort_noise(&mut self, packet: &Packet<'_>, _arrival: MediaTime) {
        self.noise.set(packet.payload);
        if self.ssrc == Some(packet.ssrc) && packet.seq.distance(self.newest.seq) > 0 {
            self.newest.seq = packet.seq;
        }
    }

    fn begin(&mut self, packet: &Packet<'_>) {
        self.state = State::Filled;
        self.ssrc = Some(packet.ssrc);
        self.rebase = 0;
        let at = i64::from(packet.timestamp.0);
        self.buffer.restart(at);
        self.line = at;
        self.newest = Newest {
            seq: packet.seq.add(u16::MAX),
            at,
            ..Newest::default()
        };
    }

    /// The packet's position on the line.
    ///
    /// Where sequence numbers go on but the timestamp does not follow the clock, the sender has
    /// taken up another line: the packet follows the last one, or is played at once.
    fn place(&mut self, packet: &Packet<'_>, len: i64, arrival: MediaTime) -> i64 {
        let mut at = self.position(packet.timestamp.0);
        let first = self.newest.len == 0;
        if !first && packet.seq == self.newest.seq.next() {
            let gap = at - self.newest.at;
            let elapsed_us = arrival.as_micros() as i64 - self.newest.arrival.as_micros() as i64;
            let per_ms = i64::from(self.settings.rate / 1000);
            let elapsed = elapsed_us * per_ms / 1000;
            let stopped_ms = if packet.marker {
                PAUSE_MARKED_MS
            } else {
                PAUSE_MS
            };
            let restarted =
                gap <= 0 || gap - elapsed > JUMP_MS * per_ms || elapsed - gap > stopped_ms * per_ms;
            if restarted {
                let follows = (self.newest.at + self.newest.len).max(self.buffer.start());
                self.rebase = self.rebase.wrapping_add((at - follows) as u32);
                self.stats.restarts += 1;
                at = follows;
            } else {
                let deviation = (elapsed_us - gap * 1000 / per_ms).abs();
                self.jitter_us += (deviation - self.jitter_us) / 16;
            }
        }
        if first || packet.seq.distance(self.newest.seq) > 0 {
            self.newest = Newest {
                seq: packet.seq,
                at,
                len,
                arrival,
            };
        }
        at
    }

    /// Extends a timestamp by its nearness to the buffer's start.
    fn position(&self, timestamp: u32) -> i64 {
        let start = self.buffer.start();
        let rebased = timestamp.wrapping_sub(self.rebase);
        start + i64::from(rebased.wrapping_sub(start as u32) as i32)
    }

    /// Notes how early the packet came. One that came so close to the tick that it may as well
    /// have missed it counts as if it had: drift and jitter then find the delay already there.
    fn observe(&mut self, at: i64, arrival: MediaTime) {
        let (State::Playing, Some(last)) = (self.state, self.last_pull) else {
            return;
        };
        let guard_us = (GUARD_JITTERS * self.jitter_us).min(MAX_GUARD_US);
        let due_us = last.as_micros() as i64 + TICK_US;
        let missed_us = arrival.as_micros() as i64 + guard_us - due_us;
        let missed = if missed_us > 0 {
            (missed_us + TICK_US - 1) / TICK_US
        } else {
            0
        };
        let tick = i64::from(self.settings.rate / 50);
        let early = at - self.line - missed.min(MAX_MISSED) * tick;
        // What no permissible delay would save, or is another line, teaches nothing.
        let bound = i64::from(self.max_delay());
        let headroom = at - self.buffer.start();
        if headroom < -bound || headroom > self.buffer.capacity() as i64 {
            return;
        }
        self.history.observe(early as i32, self.tick);
    }

    fn store(&mut self, at: i64, len: usize) {
        let lateness = self.buffer.start() - at;
        if lateness > 0 {
            self.reach_back(at, lateness);
        }
        match self.buffer.put(at, &self.scratch[..len]) {
            Put::Stored => self.misfits.0 = 0,
            Put::Duplicate => self.stats.duplicates += 1,
            Put::Late => {
                self.stats.late += 1;
                self.misfit(at, len);
            }
            Put::Overflow => {
                self.stats.overflow += 1;
                self.misfit(at, len);
            }
        }
    }

    /// Moves the start back to a late packet, where the history asks for more delay anyway and
    /// nothing but concealment was played since: an expansion that costs nothing.
    fn reach_back(&mut self, at: i64, lateness: i64) {
        let start = self.buffer.start();
        let wanted = match self.state {
            // A packet before the first one, not yet played.
            State::Filled => lateness.min(i64::from(self.max_delay())),
            _ => match self.gap_start {
                Some(gap) => {
                    let lateness = start - at.max(gap);
                    lateness.min(-self.excess())
                }
                None => 0,
            },
        };
        if wanted > 0 && self.buffer.rewind(wanted as usize) && self.state == State::Playing {
            self.stats.expanded += wanted as u64;
        }
    }

    /// After some ticks of packets that do not fit, the line is theirs.
    fn misfit(&mut self, at: i64, len: usize) {
        if self.misfits.0 > 0 && self.misfits.1 == self.tick {
            return;
        }
        self.misfits = (self.misfits.0 + 1, self.tick);
        if self.misfits.0 >= MISFIT_TICKS {
            self.restart_at(at);
            self.buffer.put(at, &self.scratch[..len]);
        }
    }
}

/// A timestamp this much ahead of the clock, without a gap in sequence, is another line.
const JUMP_MS: i64 = 200;
/// A timestamp that fell behind the clock by this much had stopped: longer than a network stalls.
const PAUSE_MS: i64 = 1000;
/// The same for a packet whose marker says that a talk-spurt begins.
const PAUSE_MARKED_MS: i64 = 100;
const MISFIT_TICKS: u32 = 3;
const TICK_US: i64 = 20_000;
/// How many mean deviations before the tick a packet must be there to count as in time.
const GUARD_JITTERS: i64 = 3;
const MAX_GUARD_US: i64 = 2_000;
/// A tick that was this late tells nothing about the network.
const MAX_MISSED: i64 = 5;
