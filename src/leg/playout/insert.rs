//! Packets into the buffer: time lines, lateness, and what they teach about the delay.

use super::{MAX_PACKET_MS, Newest, Playout, State, decoders};
use crate::audio::MediaTime;
use crate::codec::Codec;
use crate::rtp::jitter::{Lateness, Put};
use crate::rtp::{Packet, SeqNo};

impl Playout {
    /// Takes a packet in, in order of arrival. What does not fit is dropped and counted.
    ///
    /// A codec with state, or of another sampling rate, must be among the decoders.
    pub fn insert(&mut self, packet: &Packet<'_>, codec: Codec, arrival: MediaTime) {
        let decoded = codec.samples(packet.payload) as u64;
        let len = decoded * u64::from(self.settings.rate) / u64::from(codec.sample_rate());
        let len = len as usize;
        if len == 0 {
            return;
        }
        if len > self.longest() {
            self.stats.overflow += 1;
            return;
        }
        if !self.takes(codec) {
            self.stats.undecodable += 1;
            return;
        }
        if self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc) {
            self.reset();
        }
        if self.state == State::Empty {
            self.begin(packet, codec.clock_rate());
        }
        if self.is_duplicate(packet.seq) {
            self.stats.duplicates += 1;
            return;
        }
        if codec.clock_rate() != self.clock {
            self.change_clock(packet, codec.clock_rate());
        }
        let (at, plausible) = self.place(packet, len as i64, arrival);
        if plausible {
            self.observe(at, arrival);
        }
        let received = Newest {
            seq: packet.seq,
            at,
            len: len as i64,
            arrival,
        };
        self.store(received, codec, packet.payload);
    }

    /// Takes in an older frame that a packet carries again (RFC 2198), `offset` units of the
    /// timestamp before it: what is missing there is filled. Of codecs without state only, at the
    /// playout's rate; others repair themselves. Call it before the packet itself is inserted.
    pub fn insert_redundant(
        &mut self,
        packet: &Packet<'_>,
        codec: Codec,
        offset: u32,
        block: &[u8],
    ) {
        let len = codec.samples(block);
        let known = self.state != State::Empty && self.ssrc == Some(packet.ssrc);
        let fits = len > 0 && len <= self.longest();
        if !known || !fits || decoders::is_needed(codec, self.settings.rate) {
            return;
        }
        let at = self.position(packet.timestamp.0.wrapping_sub(offset));
        let lateness = self.buffer.start() - at;
        // Only what lies between the packets around it: another line is none of ours.
        if codec.clock_rate() != self.clock || at > self.newest.at + MAX_AHEAD * self.newest.len {
            return;
        }
        if lateness > 0 {
            self.reach_back(at, lateness);
        }
        if self.decode_to(at, len, codec, block) == Put::Stored {
            self.stats.repaired += 1;
            self.repair_tick = Some(self.tick);
        } else if self.gap_start.is_some_and(|gap| at >= gap) {
            // With more delay it would have come in time.
            self.repair_tick = Some(self.tick);
        }
    }

    /// Takes a comfort noise packet in (RFC 3389): instead of concealing, noise of its level is
    /// played until audio comes.
    pub fn comfort_noise(&mut self, packet: &Packet<'_>, _arrival: MediaTime) {
        self.fill_with_noise(packet, packet.payload);
    }

    /// Takes in a packet that stands in the place of audio and has none, such as a telephone event:
    /// nothing is concealed until audio comes.
    pub fn silence(&mut self, packet: &Packet<'_>) {
        self.fill_with_noise(packet, &[]);
    }

    fn fill_with_noise(&mut self, packet: &Packet<'_>, level: &[u8]) {
        self.noise.set(level);
        self.noise_from = self.end();
        if self.ssrc == Some(packet.ssrc) && packet.seq.distance(self.newest.seq) > 0 {
            self.is_duplicate(packet.seq);
            self.newest.seq = packet.seq;
        }
    }

    fn begin(&mut self, packet: &Packet<'_>, clock: u32) {
        self.state = State::Filled;
        self.ssrc = Some(packet.ssrc);
        // The numbers of the stream before are none of this one's.
        self.highest = packet.seq.add(u16::MAX);
        self.seen = 0;
        self.rebase = 0;
        self.clock = clock;
        let at = self.to_samples(i64::from(packet.timestamp.0));
        self.buffer.restart(at);
        self.line = at;
        self.newest = Newest {
            seq: packet.seq.add(u16::MAX),
            at,
            ..Newest::default()
        };
    }

    /// The party goes on with a codec whose timestamps count otherwise: the packet follows the last
    /// one.
    fn change_clock(&mut self, packet: &Packet<'_>, clock: u32) {
        let ahead = i64::from(packet.seq.distance(self.newest.seq).max(1));
        let next = self.newest.at + ahead.min(MAX_AHEAD) * self.newest.len;
        self.clock = clock;
        self.rebase = 0;
        self.rebase_to(next, packet.timestamp.0);
        self.stats.restarts += 1;
    }

    /// Has `timestamp` mean `next`, or what is played next if that is later. Returns which.
    fn rebase_to(&mut self, next: i64, timestamp: u32) -> i64 {
        // A whole unit of the timestamp, so that the packets that follow agree.
        let unit = i64::from((self.settings.rate / self.clock).max(1));
        let next = next.max(self.buffer.start());
        let next = next + (unit - next.rem_euclid(unit)) % unit;
        self.rebase = timestamp.wrapping_sub(self.to_clock(next) as u32);
        next
    }

    /// Units of the timestamp to samples.
    fn to_samples(&self, units: i64) -> i64 {
        (units * i64::from(self.settings.rate)).div_euclid(i64::from(self.clock))
    }

    /// Whether the number was seen among the last 64; notes it.
    fn is_duplicate(&mut self, seq: SeqNo) -> bool {
        let delta = seq.distance(self.highest);
        let bit = match delta {
            1.. => {
                self.seen = self.seen.checked_shl(delta as u32).unwrap_or(0);
                self.highest = seq;
                1
            }
            -63..=0 => 1 << u32::from(delta.unsigned_abs()),
            ..-63 if delta > -MAX_MISORDER => return false,
            _ => {
                // The sender counts anew.
                self.seen = 0;
                self.highest = seq;
                1
            }
        };
        let duplicate = self.seen & bit != 0;
        self.seen |= bit;
        duplicate
    }

    /// The packet's position on the line, and whether that agrees with the ones before.
    ///
    /// Where sequence numbers go on but the timestamp does not follow the clock, the sender has
    /// taken up another line: the packet follows the last one, or is played at once.
    fn place(&mut self, packet: &Packet<'_>, len: i64, arrival: MediaTime) -> (i64, bool) {
        let mut at = self.position(packet.timestamp.0);
        let per_ms = i64::from(self.settings.rate / 1000);
        let gap = at - self.newest.at;
        let elapsed_us = difference_us(arrival, self.newest.arrival);
        let elapsed = elapsed_us * per_ms / 1000;
        let ahead = packet.seq.distance(self.newest.seq);
        let mut follows = self.newest.len == 0;
        if !follows && ahead == 1 {
            follows = true;
            let stopped_ms = if packet.marker {
                PAUSE_MARKED_MS
            } else {
                PAUSE_MS
            };
            let stopped = elapsed - gap > stopped_ms * per_ms;
            if stopped || gap <= 0 || gap - elapsed > JUMP_MS * per_ms {
                at = self.rebase_to(self.newest.at + self.newest.len, packet.timestamp.0);
                self.stats.restarts += 1;
                if stopped {
                    // A burst may follow; the old line's packets must not keep its delay.
                    self.history.clear();
                }
            } else {
                self.learn_jitter((elapsed_us - gap * 1000 / per_ms).abs());
            }
        }
        // A stray out of sequence and out of time must not become what others are held against.
        let in_time = (gap - elapsed).abs() <= JUMP_MS * per_ms;
        let plausible = follows || in_time || gap < 0 || self.strays >= MAX_STRAYS;
        self.strays = if plausible { 0 } else { self.strays + 1 };
        if follows || (plausible && (in_time || gap > 0) && !(-MAX_MISORDER..=0).contains(&ahead)) {
            self.newest = Newest {
                seq: packet.seq,
                at,
                len,
                arrival,
            };
        }
        (at, plausible)
    }

    /// Follows the median of what is no stall and no burst.
    fn learn_jitter(&mut self, deviation_us: i64) {
        if deviation_us > 4 * MAX_GUARD_US {
            return;
        }
        let step = 4 + self.jitter_us / 16;
        if deviation_us > self.jitter_us {
            self.jitter_us += step.min(deviation_us - self.jitter_us);
        } else {
            self.jitter_us -= step.min(self.jitter_us - deviation_us);
        }
    }

    /// Extends a timestamp by its nearness to the buffer's start.
    fn position(&self, timestamp: u32) -> i64 {
        let start = self.to_clock(self.buffer.start());
        let rebased = timestamp.wrapping_sub(self.rebase);
        self.to_samples(start + i64::from(rebased.wrapping_sub(start as u32) as i32))
    }

    /// Notes how early the packet came. One that came so close to the tick that it may as well
    /// have missed it counts as if it had: drift and jitter then find the delay already there.
    fn observe(&mut self, at: i64, arrival: MediaTime) {
        let (State::Playing, Some(last)) = (self.state, self.last_pull) else {
            return;
        };
        // What no permissible delay would save, or is another line, teaches nothing.
        let bound = i64::from(self.max_delay());
        let headroom = at - self.buffer.start();
        if headroom < -bound || headroom > self.buffer.capacity() as i64 {
            return;
        }
        let tick = i64::from(self.settings.rate / 50);
        let ahead = at - self.line;
        let offset = ahead.rem_euclid(tick);
        let late_us = difference_us(arrival, last) - (ahead - offset) / tick * TICK_US;
        let late_us = late_us.clamp(-MAX_LATE_US, MAX_LATE_US) + self.moved_us;
        let packet = Lateness {
            late_us: late_us as i32,
            offset: offset as i32,
        };
        self.history.set_guard(self.guard_us() - self.spared_us);
        self.history.observe(packet, self.tick);
    }

    /// How long before the tick a packet must be there to count as in time, us.
    pub fn guard_us(&self) -> i32 {
        match self.jitter_us {
            0 => 0,
            jitter_us => (GUARD_JITTERS * jitter_us).clamp(MIN_GUARD_US, MAX_GUARD_US) as i32,
        }
    }

    fn store(&mut self, packet: Newest, codec: Codec, payload: &[u8]) {
        let Newest { at, .. } = packet;
        let lateness = self.buffer.start() - at;
        if lateness > 0 {
            self.reach_back(at, lateness);
        }
        match self.put(packet, codec, payload) {
            Put::Stored => self.misfits.0 = 0,
            Put::Duplicate => self.stats.duplicates += 1,
            put @ (Put::Late | Put::Overflow) => {
                if self.misfit(packet) {
                    self.put(packet, codec, payload);
                } else if put == Put::Late {
                    self.stats.late += 1;
                } else {
                    self.stats.overflow += 1;
                }
            }
        }
    }

    fn put(&mut self, packet: Newest, codec: Codec, payload: &[u8]) -> Put {
        if decoders::is_needed(codec, self.settings.rate) {
            self.keep(packet, codec, payload)
        } else {
            self.decode_to(packet.at, packet.len as usize, codec, payload)
        }
    }

    /// Decodes what needs no decoder into its place.
    fn decode_to(&mut self, at: i64, len: usize, codec: Codec, payload: &[u8]) -> Put {
        let octets = payload.len() / len;
        self.buffer.put_with(at, len, |from, out| {
            codec.decode(&payload[from * octets..], out);
        })
    }

    /// The samples of the longest packet that is taken.
    fn longest(&self) -> usize {
        MAX_PACKET_MS * self.settings.rate as usize / 1000
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

    /// After some ticks of packets that do not fit, the line is theirs. Whether it is now.
    fn misfit(&mut self, packet: Newest) -> bool {
        if self.misfits.0 > 0 && self.misfits.1 == self.tick {
            return false;
        }
        self.misfits = (self.misfits.0 + 1, self.tick);
        if self.misfits.0 < MISFIT_TICKS {
            return false;
        }
        self.restart_at(packet.at);
        self.newest = packet;
        true
    }
}

/// `a - b`, at most a day either way: arrival times come from another clock.
fn difference_us(a: MediaTime, b: MediaTime) -> i64 {
    let difference = a.as_micros().wrapping_sub(b.as_micros()) as i64;
    difference.clamp(-DAY_US, DAY_US)
}

const DAY_US: i64 = 86_400_000_000;
/// A timestamp this much ahead of the clock, without a gap in sequence, is another line.
const JUMP_MS: i64 = 200;
/// A timestamp that fell behind the clock by this much had stopped: longer than a network stalls.
const PAUSE_MS: i64 = 1000;
/// The same for a packet whose marker says that a talk-spurt begins.
const PAUSE_MARKED_MS: i64 = 100;
/// Packets that may have been lost where the line changes.
const MAX_AHEAD: i64 = 10;
/// A number this far back is no late packet.
const MAX_MISORDER: i16 = 1000;
/// So many packets out of time in a row are right.
const MAX_STRAYS: u8 = 4;
const MISFIT_TICKS: u32 = 3;
const TICK_US: i64 = 20_000;
/// How many median deviations before the tick a packet must be there to count as in time.
const GUARD_JITTERS: i64 = 3;
/// At 200 ppm of drift, 1.5 s to build the delay up before the first packet is late.
pub(super) const MIN_GUARD_US: i64 = 300;
const MAX_GUARD_US: i64 = 2_000;
/// More is as bad.
const MAX_LATE_US: i64 = 100_000_000;
