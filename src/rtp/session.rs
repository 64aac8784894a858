//! RTP sessions: reception statistics and our own numbering (RFC 3550 §6.4, A.1, A.3, A.8).
//!
//! Sits after `rtp::latch`, before `leg::playout`.

use std::time::Duration;

use super::bursts::{Bursts, Fate, LossPattern};
use super::packet::{Header, Packet};
use super::rtcp::{ReportBlock, SenderInfo};
use super::seq::{PayloadType, SeqNo, Ssrc, Timestamp};
use crate::audio::MediaTime;

/// What a received packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// A new packet of the current source, in order or late.
    New,
    /// Seen before: drop it.
    Duplicate,
    /// The first packet of another source, or of the same one after it started afresh: use it,
    /// and forget what was buffered.
    SourceChanged,
    /// Does not fit the current source, and may be a stray: drop it.
    Probation,
}

/// Totals over all sources of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveStats {
    /// Packets received, duplicates included.
    pub packets: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Packets expected and never seen; negative while late ones of an old source come in.
    pub lost: i64,
    /// Packets seen more than once.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Interarrival jitter (RFC 3550 A.8), us.
    pub jitter_us: u32,
    /// Its maximum, us.
    pub max_jitter_us: u32,
    /// The current source.
    pub ssrc: Option<Ssrc>,
}

/// The receiving side of one session.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock_rate: u32,
    source: Option<Source>,
    /// A source, or a sequence, that may be about to replace the current one.
    candidate: Option<(Ssrc, SeqNo)>,
    changed: Option<MediaTime>,
    /// Totals without the current source's loss.
    totals: ReceiveStats,
    /// The fates of packets that no late one can change any more.
    bursts: Bursts,
}

#[derive(Clone, Debug)]
struct Source {
    ssrc: Ssrc,
    base: u32,
    /// Highest sequence number with the wraps counted above bit 16.
    highest: u32,
    /// The number of the last packet of audio, as `highest`.
    last_audio: u32,
    /// Bit n: `highest - n` was received.
    window: u128,
    /// Bit n: `highest - n` was received too late to be heard.
    discarded: u128,
    /// The time from one packet to the next in sequence, timestamp units.
    step: u32,
    received: u32,
    unique: u32,
    expected_prior: u32,
    received_prior: u32,
    timestamp: Timestamp,
    arrival: MediaTime,
    /// The next timestamp is of another clock than the last.
    is_new_line: bool,
    /// Jitter in us, scaled by 16 as in A.8.
    jitter_scaled: u64,
    sender_report: Option<(u32, MediaTime)>,
}

impl Receiver {
    /// A receiver for payloads of `clock_rate` Hz.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            source: None,
            candidate: None,
            changed: None,
            totals: ReceiveStats::default(),
            bursts: Bursts::default(),
        }
    }

    /// Payloads of this clock rate, Hz, from now on.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        if clock_rate == self.clock_rate {
            return;
        }
        self.clock_rate = clock_rate.max(1);
        if let Some(source) = &mut self.source {
            source.step = 0;
            source.is_new_line = true;
        }
    }

    /// Takes in a packet of the present source that cannot be played: its number is no loss.
    pub fn on_unknown(&mut self, packet: &Packet<'_>) {
        let Some(source) = self.source.as_mut().filter(|s| s.ssrc == packet.ssrc) else {
            return;
        };
        let delta = packet.seq.distance(SeqNo(source.highest as u16));
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&delta) {
            return;
        }
        if delta > 0 {
            // Its timestamp may be of any clock.
            source.advance(delta as u32, None, (self.clock_rate, &mut self.bursts));
        } else {
            let bit = 1u128.checked_shl(delta.unsigned_abs().into()).unwrap_or(0);
            if source.window & bit != 0 {
                return;
            }
            source.window |= bit;
        }
        source.received = source.received.wrapping_add(1);
        source.unique = source.unique.wrapping_add(1);
    }

    /// Takes in a packet of audio that the latch admitted, with its kernel arrival time.
    pub fn on_packet(&mut self, packet: &Packet<'_>, arrival: MediaTime) -> Accept {
        self.on_packet_of(packet, true, arrival)
    }

    /// The same of audio or of something else, which is no measure of jitter and packet time: an event's
    /// packets all have the timestamp of its beginning, and comfort noise comes when it likes.
    pub fn on_packet_of(
        &mut self,
        packet: &Packet<'_>,
        is_audio: bool,
        arrival: MediaTime,
    ) -> Accept {
        let Some(source) = &mut self.source else {
            self.start(packet, arrival);
            return Accept::SourceChanged;
        };
        if source.ssrc != packet.ssrc {
            return self.other_source(packet, arrival);
        }
        let delta = packet.seq.distance(SeqNo(source.highest as u16));
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&delta) {
            return self.jump(packet, arrival);
        }
        self.candidate = None;
        self.totals.packets += 1;
        self.totals.bytes += packet.payload.len() as u64;
        source.received = source.received.wrapping_add(1);
        if delta > 0 {
            let timestamp = is_audio.then_some(packet.timestamp);
            source.advance(delta as u32, timestamp, (self.clock_rate, &mut self.bursts));
        } else {
            let bit = 1u128 << u32::from(delta.unsigned_abs());
            if source.window & bit != 0 {
                self.totals.duplicates += 1;
                return Accept::Duplicate;
            }
            source.window |= bit;
            self.totals.reordered += 1;
        }
        source.unique = source.unique.wrapping_add(1);
        if is_audio {
            source.measure_jitter(packet.timestamp, arrival, self.clock_rate);
        }
        let jitter = source.jitter_us();
        self.totals.max_jitter_us = self.totals.max_jitter_us.max(jitter);
        Accept::New
    }

    /// Whether there is a source, and it is another than this.
    pub fn is_of_another(&self, ssrc: Ssrc) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.ssrc != ssrc)
    }

    /// A packet that [`Receiver::on_packet`] took came too late, or too early, to be heard.
    pub fn discarded(&mut self, seq: SeqNo) {
        let Some(source) = &mut self.source else {
            return;
        };
        let behind = SeqNo(source.highest as u16).distance(seq);
        if let Ok(behind) = u32::try_from(behind) {
            source.discarded |= 1u128.checked_shl(behind).unwrap_or(0);
        }
    }

    /// How the losses lay, up to the packet with the highest number.
    pub fn pattern(&self) -> LossPattern {
        let mut bursts = self.bursts;
        if let Some(source) = &self.source {
            source.settle(0, &mut bursts);
        }
        bursts.pattern()
    }

    /// The packet time that the peer sends with, as far as it can be told.
    pub fn packet_time(&self) -> Option<Duration> {
        let step = self.source.as_ref()?.step;
        let us = u64::from(step) * 1_000_000 / u64::from(self.clock_rate);
        (step > 0).then_some(Duration::from_micros(us))
    }

    /// Notes a sender report of the current source, for the next report block.
    pub fn on_sender_report(&mut self, ntp: u64, arrival: MediaTime) {
        if let Some(source) = &mut self.source {
            source.sender_report = Some(((ntp >> 16) as u32, arrival));
        }
    }

    /// The report on the current source; `None` if nothing came since the last one
    /// (RFC 3550 §6.4).
    pub fn report_block(&mut self, now: MediaTime) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let expected = source.expected();
        let expected_interval = expected.wrapping_sub(source.expected_prior);
        let received_interval = source.received.wrapping_sub(source.received_prior);
        if received_interval == 0 {
            return None;
        }
        source.expected_prior = expected;
        source.received_prior = source.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = if expected_interval == 0 {
            0
        } else {
            ((u64::from(lost_interval) << 8) / u64::from(expected_interval)).min(255) as u8
        };
        let (last_sender_report, delay_since) = match source.sender_report {
            Some((ntp, arrival)) => {
                let us = now.since(arrival).as_micros() as u64;
                (ntp, (us * 65_536 / 1_000_000) as u32)
            }
            None => (0, 0),
        };
        let jitter = u64::from(source.jitter_us()) * u64::from(self.clock_rate) / 1_000_000;
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: fraction,
            cumulative_lost: expected.wrapping_sub(source.received) as i32,
            highest_seq: source.highest,
            jitter: jitter as u32,
            last_sender_report,
            delay_since,
        })
    }

    /// Totals so far.
    pub fn stats(&self) -> ReceiveStats {
        let mut stats = self.totals;
        if let Some(source) = &self.source {
            stats.lost += source.lost();
            stats.jitter_us = source.jitter_us();
            stats.ssrc = Some(source.ssrc);
        }
        stats
    }

    /// The first change is taken at once, for the new stream must not lose its beginning. A
    /// further one within `SETTLED` must show two packets in a row, so that two sources on one
    /// address do not take turns.
    fn other_source(&mut self, packet: &Packet<'_>, arrival: MediaTime) -> Accept {
        let settled = self.changed.is_none_or(|at| arrival.since(at) >= SETTLED);
        if settled || self.candidate == Some((packet.ssrc, packet.seq)) {
            self.start(packet, arrival);
            return Accept::SourceChanged;
        }
        self.candidate = Some((packet.ssrc, packet.seq.next()));
        Accept::Probation
    }

    /// RFC 3550 A.1: after a large jump, two packets in sequence are a restart.
    fn jump(&mut self, packet: &Packet<'_>, arrival: MediaTime) -> Accept {
        if self.candidate == Some((packet.ssrc, packet.seq)) {
            self.start(packet, arrival);
            return Accept::SourceChanged;
        }
        self.candidate = Some((packet.ssrc, packet.seq.next()));
        Accept::Probation
    }

    fn start(&mut self, packet: &Packet<'_>, arrival: MediaTime) {
        if let Some(old) = &self.source {
            self.totals.lost += old.lost();
            old.settle(0, &mut self.bursts);
            self.changed = Some(arrival);
        }
        self.candidate = None;
        self.totals.packets += 1;
        self.totals.bytes += packet.payload.len() as u64;
        let base = u32::from(packet.seq.0);
        self.source = Some(Source {
            ssrc: packet.ssrc,
            base,
            highest: base,
            last_audio: base,
            // What came before the first packet counts neither as lost nor as new.
            window: u128::MAX,
            discarded: 0,
            step: 0,
            received: 1,
            unique: 1,
            expected_prior: 0,
            received_prior: 0,
            timestamp: packet.timestamp,
            arrival,
            is_new_line: false,
            jitter_scaled: 0,
            sender_report: None,
        });
    }
}

impl Source {
    fn expected(&self) -> u32 {
        self.highest.wrapping_sub(self.base).wrapping_add(1)
    }

    fn lost(&self) -> i64 {
        i64::from(self.expected()) - i64::from(self.unique)
    }

    /// Moves on to the packet `delta` behind the highest. What leaves the window is settled.
    fn advance(
        &mut self,
        delta: u32,
        audio: Option<Timestamp>,
        (clock_rate, bursts): (u32, &mut Bursts),
    ) {
        self.settle(WINDOW.saturating_sub(delta), bursts);
        let beyond = delta.saturating_sub(WINDOW);
        bursts.push_many(Fate::Lost, u64::from(beyond));
        let behind_audio = delta == 1 && self.last_audio == self.highest;
        self.highest = self.highest.wrapping_add(delta);
        self.window = self.window.checked_shl(delta).unwrap_or(0) | 1;
        self.discarded = self.discarded.checked_shl(delta).unwrap_or(0);
        let Some(timestamp) = audio else { return };
        self.last_audio = self.highest;
        if behind_audio
            && let step @ 1.. = timestamp.distance(self.timestamp)
            && step as u32 <= clock_rate / LONGEST_A_SECOND
        {
            self.step = step as u32;
        }
    }

    /// Tells the fates of those in the window that are `from` or more behind the highest.
    fn settle(&self, from: u32, bursts: &mut Bursts) {
        let known = self.expected().min(WINDOW);
        for behind in (from..known).rev() {
            let bit = 1u128 << behind;
            bursts.push(if self.window & bit == 0 {
                Fate::Lost
            } else if self.discarded & bit != 0 {
                Fate::Discarded
            } else {
                Fate::Received
            });
        }
    }

    fn jitter_us(&self) -> u32 {
        (self.jitter_scaled >> 4) as u32
    }

    fn measure_jitter(&mut self, timestamp: Timestamp, arrival: MediaTime, clock_rate: u32) {
        let samples = i64::from(timestamp.distance(self.timestamp));
        let media_us = samples * 1_000_000 / i64::from(clock_rate);
        let real_us = arrival.as_micros() as i64 - self.arrival.as_micros() as i64;
        self.timestamp = timestamp;
        self.arrival = arrival;
        let difference = (real_us - media_us).unsigned_abs();
        if std::mem::take(&mut self.is_new_line) {
            return;
        }
        // Repeated timestamps (RFC 4733 events) and restarts of the time line tell no jitter.
        if samples == 0 || difference > MAX_TRANSIT_STEP_US {
            return;
        }
        self.jitter_scaled = self.jitter_scaled + difference - ((self.jitter_scaled + 8) >> 4);
    }
}

/// Totals of what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent.
    pub bytes: u64,
}

/// The sending side of one session: one SSRC, one continuous time line.
#[derive(Clone, Debug)]
pub struct Sender {
    ssrc: Ssrc,
    seq: SeqNo,
    first_timestamp: Timestamp,
    clock_rate: u32,
    stats: SendStats,
}

impl Sender {
    /// A sender with its random SSRC, first sequence number and first timestamp
    /// (RFC 3550 §5.1). The clock rate is 8000 Hz; see [`Sender::with_clock_rate`].
    pub fn new(ssrc: Ssrc, first_seq: SeqNo, first_timestamp: Timestamp) -> Self {
        Self {
            ssrc,
            seq: first_seq,
            first_timestamp,
            clock_rate: crate::audio::NARROWBAND,
            stats: SendStats::default(),
        }
    }

    /// Sets the clock rate, Hz, by which [`Sender::report`] turns media time into a timestamp.
    pub fn with_clock_rate(mut self, clock_rate: u32) -> Self {
        self.clock_rate = clock_rate;
        self
    }

    /// Another payload format from the media position `at` on, with a clock of its own. The line goes on
    /// from the timestamp that it has there (RFC 7160 §4.1 knows what a step would do to the peer's
    /// buffer and to its reports).
    pub fn set_clock_rate(&mut self, clock_rate: u32, at: MediaTime) {
        let (before, after) = (at.samples(self.clock_rate), at.samples(clock_rate));
        self.first_timestamp = self.first_timestamp.add(before as u32);
        self.first_timestamp = Timestamp(self.first_timestamp.0.wrapping_sub(after as u32));
        self.clock_rate = clock_rate;
    }

    /// The timestamp at which the media line of the present clock would have begun.
    pub fn line(&self) -> Timestamp {
        self.first_timestamp
    }

    /// Our source.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The next header. `timestamp_offset_samples` is the media time of the first sample,
    /// [`MediaTime::samples`], whatever has been sent before.
    pub fn header(
        &mut self,
        payload_type: PayloadType,
        timestamp_offset_samples: u64,
        marker: bool,
    ) -> Header {
        let seq = self.seq;
        self.seq = seq.next();
        Header {
            payload_type,
            marker,
            seq,
            timestamp: self.first_timestamp.add(timestamp_offset_samples as u32),
            ssrc: self.ssrc,
        }
    }

    /// Counts a packet that left with `len` payload bytes.
    pub fn sent(&mut self, len: usize) {
        self.stats.packets += 1;
        self.stats.bytes += len as u64;
    }

    /// The sender information for a report at `now`, which is `ntp` (32.32) on the wall.
    pub fn report(&self, now: MediaTime, ntp: u64) -> SenderInfo {
        SenderInfo {
            ntp,
            timestamp: self
                .first_timestamp
                .add(now.samples(self.clock_rate) as u32),
            packets: self.stats.packets as u32,
            octets: self.stats.bytes as u32,
        }
    }

    /// Totals so far.
    pub fn stats(&self) -> SendStats {
        self.stats
    }
}

// RFC 3550 A.1.
const MAX_DROPOUT: i16 = 3000;
const MAX_MISORDER: i16 = 100;
/// Packets whose fate is open: those that a late one may still fill in, and more.
const WINDOW: u32 = u128::BITS;
/// The longest packets are of 200 ms: more is a pause.
const LONGEST_A_SECOND: u32 = 5;
/// A transit time that changes by more is a new time line.
const MAX_TRANSIT_STEP_US: u64 = 2_000_000;
/// How long a change of source keeps a further one on probation.
const SETTLED: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
