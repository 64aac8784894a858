//! A leg's way out: samples -> payload -> packet. Sits after the mix, before the socket.
//!
//! One continuous timestamp line per SSRC: the timestamp is the media time of the packet's first
//! sample, whatever is playing. Packet times of 10, 30 and 50 ms keep their own due slots: a packet
//! that is due in the second half of a tick is held and sent ten slots later.
//!
//! Where many hear the same, they share one encoding. With a codec that has state, a party that
//! begins to talk goes on from there with an encoder of its own, and comes back where it is quiet,
//! so that the change of encoders is not heard.

use super::coding::Coding;
use super::dial::Report;
use crate::audio::{MediaTime, NARROWBAND};
use crate::codec::{Codec, Encoder, MAX_PAYLOAD};
use crate::dtmf::event::EVENT_LEN;
use crate::rtp::packet::{HEADER_LEN, write_header};
use crate::rtp::session::Sender;
use crate::rtp::{PayloadType, Ssrc, Timestamp};

/// The packet-time bound in ticks: how long a packet can wait for its due slot.
pub const HELD_SLOTS: u64 = crate::audio::TICK_MS as u64 / 2;
/// Header and the longest payload.
pub(super) const MAX_PACKET: usize = HEADER_LEN + MAX_PAYLOAD;
/// A frame with no sample above this is quiet enough to change encoders in.
const QUIET_PEAK: u16 = 64;
/// Ticks after which encoders change also where it is never quiet: 2 s.
const LINGER_TICKS: u8 = 100;

/// What a leg is to send in this tick.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The audio, one tick at the leg's rate.
    pub samples: &'a [i16],
    /// The same as a packet that others send too: room for the header, then the payload. Empty: the
    /// encoder had nothing to send. None: these are samples of the leg's own.
    pub shared: Option<&'a mut [u8]>,
    /// The encoder of what is shared, as it was before this tick.
    pub encoder: Option<&'a Encoder>,
}

impl<'a> Outgoing<'a> {
    /// Samples of the leg's own.
    pub fn own(samples: &'a [i16]) -> Self {
        Self {
            samples,
            shared: None,
            encoder: None,
        }
    }
}

/// Collects samples into packets.
#[derive(Debug)]
pub(super) struct Transmit {
    sender: Sender,
    /// How much of the coding's `pending` is filled.
    len: usize,
    /// Media position of `pending[0]`, 8 kHz samples since the leg began.
    position: u64,
    marker: bool,
    held_len: usize,
    /// The begin of the media line for the event under way: another codec's clock must not name it anew
    /// (RFC 4733 §2.5.1.2).
    event_line: Timestamp,
    /// The peer's decoder has followed the shared encoder.
    follows_shared: bool,
    /// Ticks until the shared encoder may be taken up again at any loudness.
    linger: u8,
}

/// How packets are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    pub codec: Codec,
    pub payload_type: u8,
    pub ptime_ms: u8,
}

impl Transmit {
    pub fn new(ssrc: u32, first_sequence: u16, first_timestamp: u32, codec: Codec) -> Self {
        Self {
            sender: Sender::new(
                Ssrc(ssrc),
                crate::rtp::SeqNo(first_sequence),
                Timestamp(first_timestamp),
            )
            .with_clock_rate(codec.clock_rate()),
            len: 0,
            position: 0,
            marker: true,
            held_len: 0,
            event_line: Timestamp(first_timestamp),
            follows_shared: false,
            linger: 0,
        }
    }

    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The next packet starts a talk-spurt: what was collected belongs to the past. A held packet
    /// has its number already and still goes out.
    pub fn restart(&mut self) {
        self.len = 0;
        self.marker = true;
    }

    /// Another codec from media position `at` on, with an encoder that has not begun.
    pub fn recode(&mut self, codec: Codec, at: u64) {
        self.restart();
        self.follows_shared = false;
        self.linger = 0;
        let at = MediaTime::from_micros(at * 1_000_000 / u64::from(NARROWBAND));
        self.sender.set_clock_rate(codec.clock_rate(), at);
    }

    /// Takes one tick of audio that begins at media position `position`, and hands each packet that
    /// is due now to `send`. Returns whether one is held for ten slots later.
    pub fn push(
        &mut self,
        outgoing: Outgoing<'_>,
        position: u64,
        format: Format,
        coding: &mut Coding,
        mut send: impl FnMut(&[u8]),
    ) -> bool {
        self.flush_held(coding, &mut send);
        let factor = u64::from(coding.rate() / NARROWBAND);
        let collected = self.len as u64 / factor;
        if self.len > 0 && self.position + collected != position {
            // A tick was skipped: a packet must not span the gap.
            self.len = 0;
        }
        if self.len == 0 {
            self.position = position;
        }
        let samples = outgoing.samples;
        let packet_samples = format.codec.frame_samples(u32::from(format.ptime_ms));
        let whole = self.len == 0 && packet_samples == samples.len();
        let shared = outgoing.shared.filter(|_| whole);
        if let Some(packet) = shared
            && self.may_share(format.codec, samples)
        {
            self.follows_shared = true;
            self.send_packet(packet, format, &mut send);
            return false;
        }
        self.take_over(format.codec, outgoing.encoder, coding);
        let mut packet = [0u8; MAX_PACKET];
        if whole {
            let len = coding.encode(format.codec, samples, &mut packet[HEADER_LEN..]);
            self.send_packet(&mut packet[..HEADER_LEN + len], format, &mut send);
            return false;
        }
        let room = coding.pending.len().saturating_sub(self.len);
        let samples = &samples[..samples.len().min(room)];
        coding.pending[self.len..self.len + samples.len()].copy_from_slice(samples);
        self.len += samples.len();
        let tick_end = position * factor + samples.len() as u64;
        while packet_samples > 0 && self.len >= packet_samples {
            let packet_end = self.position * factor + packet_samples as u64;
            let in_second_half = !packet_samples.is_multiple_of(samples.len())
                && packet_end + samples.len() as u64 / 2 > tick_end;
            let len =
                coding.encode_pending(format.codec, packet_samples, &mut packet[HEADER_LEN..]);
            let packet = &mut packet[..HEADER_LEN + len];
            if in_second_half {
                let held = &mut coding.held;
                let mut kept = 0;
                self.send_packet(packet, format, &mut |bytes: &[u8]| {
                    held[..bytes.len()].copy_from_slice(bytes);
                    kept = bytes.len();
                });
                self.held_len = kept;
            } else {
                self.send_packet(packet, format, &mut send);
            }
            coding.pending.copy_within(packet_samples..self.len, 0);
            self.len -= packet_samples;
            self.position += packet_samples as u64 / factor;
        }
        self.held_len > 0
    }

    /// Whether it encodes by itself what it could share, until a moment in which to change is not
    /// heard.
    pub fn lingers(&self) -> bool {
        self.linger > 0
    }

    /// Changes now.
    pub fn stop_lingering(&mut self) {
        self.linger = 0;
    }

    /// Whether the shared encoding is to be sent in this tick.
    fn may_share(&mut self, codec: Codec, samples: &[i16]) -> bool {
        if codec.is_stateless() || self.linger == 0 {
            return true;
        }
        self.linger -= 1;
        if samples.iter().all(|s| s.unsigned_abs() <= QUIET_PEAK) {
            self.linger = 0;
        }
        self.linger == 0
    }

    /// The leg's own encoder goes on from where the shared one was.
    fn take_over(&mut self, codec: Codec, shared: Option<&Encoder>, coding: &mut Coding) {
        if codec.is_stateless() {
            return;
        }
        if self.follows_shared && !shared.is_some_and(|from| coding.encoder.copy_state(from)) {
            coding.encoder.reset();
        }
        if self.linger == 0 || self.follows_shared {
            self.linger = LINGER_TICKS;
        }
        self.follows_shared = false;
    }

    /// Sends a packet whose payload is in its place; one without payload is left out (DTX), and the
    /// next one begins a talk-spurt.
    fn send_packet(&mut self, packet: &mut [u8], format: Format, send: &mut impl FnMut(&[u8])) {
        let payload = packet.len().saturating_sub(HEADER_LEN);
        if payload == 0 {
            self.marker = true;
            return;
        }
        let clock = u64::from(format.codec.clock_rate() / NARROWBAND);
        let header = self.sender.header(
            PayloadType(format.payload_type),
            self.position * clock,
            self.marker,
        );
        self.marker = false;
        write_header(packet, &header);
        self.sender.sent(payload);
        send(packet);
    }

    /// Whether no packet is half full.
    pub fn is_at_boundary(&self) -> bool {
        self.len == 0
    }

    /// Sends a telephone-event packet in place of audio, or beside it.
    pub fn push_event(
        &mut self,
        report: &Report,
        payload_type: u8,
        coding: &Coding,
        mut send: impl FnMut(&[u8]),
    ) {
        self.flush_held(coding, &mut send);
        let payload = report.event.to_bytes();
        let mut packet = [0u8; HEADER_LEN + EVENT_LEN];
        if report.marker {
            self.event_line = self.sender.line();
        }
        let mut header = self
            .sender
            .header(PayloadType(payload_type), report.line, report.marker);
        header.timestamp = self.event_line.add(report.line as u32);
        let n = write_header(&mut packet, &header);
        packet[n..].copy_from_slice(&payload);
        self.sender.sent(payload.len());
        send(&packet);
    }

    /// Sends the held packet, if there is one.
    pub fn flush_held(&mut self, coding: &Coding, send: &mut impl FnMut(&[u8])) {
        if self.held_len > 0 {
            send(&coding.held[..self.held_len]);
            self.held_len = 0;
        }
    }

    /// What a sender report says (RFC 3550 §6.4.1), if anything was sent.
    pub fn sender_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }
}

#[cfg(test)]
#[path = "transmit_tests.rs"]
mod tests;
