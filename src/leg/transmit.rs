//! A leg's way out: samples -> payload -> packet. Sits after the mix, before the socket.
//!
//! One continuous timestamp line per SSRC: the timestamp is the media time of the packet's first
//! sample, whatever is playing. Packet times of 10, 30 and 50 ms keep their own due slots: a packet
//! that is due in the second half of a tick is held and sent ten slots later.

use super::dial::Report;
use crate::codec::Codec;
use crate::dtmf::event::EVENT_LEN;
use crate::rtp::packet::{HEADER_LEN, write_header};
use crate::rtp::session::Sender;
use crate::rtp::{PayloadType, Ssrc};

/// The longest packet time, 60 ms, at 8 kHz.
const MAX_PACKET_SAMPLES: usize = 480;
/// What can be waiting besides: one tick.
const PENDING: usize = MAX_PACKET_SAMPLES + 160;
/// Header and 60 ms of G.711.
pub(super) const MAX_PACKET: usize = HEADER_LEN + MAX_PACKET_SAMPLES;

/// One encoded frame that several legs may send: the common mix, in one codec.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    /// Which codec it is in.
    pub codec: Codec,
    /// The payload of one tick.
    pub payload: &'a [u8],
}

/// What a leg is to send in this tick.
#[derive(Clone, Copy, Debug)]
pub enum Outgoing<'a> {
    /// Samples of its own.
    Samples(&'a [i16]),
    /// The common frame with its encoding, made once for all.
    Shared(&'a [i16], Encoded<'a>),
}

impl<'a> Outgoing<'a> {
    /// The samples in either case.
    pub fn samples(&self) -> &'a [i16] {
        match self {
            Outgoing::Samples(s) | Outgoing::Shared(s, _) => s,
        }
    }
}

/// Collects samples into packets.
#[derive(Debug)]
pub(super) struct Transmit {
    sender: Sender,
    pending: [i16; PENDING],
    len: usize,
    /// Media position of `pending[0]`, samples since the leg began.
    position: u64,
    marker: bool,
    held: [u8; MAX_PACKET],
    held_len: usize,
}

impl Transmit {
    pub fn new(ssrc: u32, first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            sender: Sender::new(
                Ssrc(ssrc),
                crate::rtp::SeqNo(first_sequence),
                crate::rtp::Timestamp(first_timestamp),
            ),
            pending: [0; PENDING],
            len: 0,
            position: 0,
            marker: true,
            held: [0; MAX_PACKET],
            held_len: 0,
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

    /// Takes one tick of audio that begins at media position `position`, and hands each packet that
    /// is due now to `send`. Returns whether one is held for ten slots later.
    pub fn push(
        &mut self,
        outgoing: &Outgoing<'_>,
        position: u64,
        codec: Codec,
        payload_type: u8,
        packet_samples: usize,
        mut send: impl FnMut(&[u8]),
    ) -> bool {
        self.flush_held(&mut send);
        if self.len > 0 && self.position + self.len as u64 != position {
            // A tick was skipped: a packet must not span the gap.
            self.len = 0;
        }
        if self.len == 0 {
            self.position = position;
            if let Outgoing::Shared(samples, encoded) = outgoing
                && encoded.codec == codec
                && samples.len() == packet_samples
            {
                let mut packet = [0u8; MAX_PACKET];
                let n = self.header(&mut packet, payload_type);
                let end = n + encoded.payload.len();
                packet[n..end].copy_from_slice(encoded.payload);
                self.sender.sent(encoded.payload.len());
                send(&packet[..end]);
                return false;
            }
        }
        let samples = outgoing.samples();
        self.pending[self.len..self.len + samples.len()].copy_from_slice(samples);
        self.len += samples.len();
        let tick_end = position + samples.len() as u64;
        while self.len >= packet_samples {
            let in_second_half = !packet_samples.is_multiple_of(samples.len())
                && self.position + packet_samples as u64 + samples.len() as u64 / 2 > tick_end;
            let mut packet = [0u8; MAX_PACKET];
            let n = self.header(&mut packet, payload_type);
            let payload = codec.encode(&self.pending[..packet_samples], &mut packet[n..]);
            self.sender.sent(payload);
            if in_second_half {
                self.held = packet;
                self.held_len = n + payload;
            } else {
                send(&packet[..n + payload]);
            }
            self.pending.copy_within(packet_samples..self.len, 0);
            self.len -= packet_samples;
            self.position += packet_samples as u64;
        }
        self.held_len > 0
    }

    /// Whether no packet is half full.
    pub fn is_at_boundary(&self) -> bool {
        self.len == 0
    }

    /// Sends a telephone-event packet in place of audio, or beside it.
    pub fn push_event(&mut self, report: &Report, payload_type: u8, mut send: impl FnMut(&[u8])) {
        self.flush_held(&mut send);
        let payload = report.event.to_bytes();
        let mut packet = [0u8; HEADER_LEN + EVENT_LEN];
        let header = self
            .sender
            .header(PayloadType(payload_type), report.line, report.marker);
        let n = write_header(&mut packet, &header);
        packet[n..].copy_from_slice(&payload);
        self.sender.sent(payload.len());
        send(&packet);
    }

    /// Sends the held packet, if there is one.
    pub fn flush_held(&mut self, send: &mut impl FnMut(&[u8])) {
        if self.held_len > 0 {
            send(&self.held[..self.held_len]);
            self.held_len = 0;
        }
    }

    fn header(&mut self, packet: &mut [u8], payload_type: u8) -> usize {
        let header = self
            .sender
            .header(PayloadType(payload_type), self.position, self.marker);
        self.marker = false;
        write_header(packet, &header)
    }

    /// What a sender report says (RFC 3550 §6.4.1), if anything was sent.
    pub fn sender_mut(&mut self) -> &mut Sender {
        &mut self.sender
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks a transmitter and returns (tick, held, bytes) per packet.
    fn run(ptime_ms: usize, ticks: u64) -> Vec<(u64, bool, Vec<u8>)> {
        let mut t = Transmit::new(1, 100, 5000);
        let mut out: Vec<(u64, bool, Vec<u8>)> = Vec::new();
        for tick in 0..ticks {
            let samples = [tick as i16 * 100; 160];
            let mut now = Vec::new();
            let held = t.push(
                &Outgoing::Samples(&samples),
                tick * 160,
                Codec::Pcmu,
                0,
                ptime_ms * 8,
                |p| now.push(p.to_vec()),
            );
            out.extend(now.into_iter().map(|p| (tick, false, p)));
            if held {
                t.flush_held(&mut |p: &[u8]| out.push((tick, true, p.to_vec())));
            }
        }
        out
    }

    fn due_ms(packet: &(u64, bool, Vec<u8>)) -> u64 {
        packet.0 * 20 + if packet.1 { 10 } else { 0 }
    }

    #[test]
    fn each_packet_time_keeps_its_own_spacing() {
        for ptime in [10, 20, 30, 40, 50, 60] {
            let packets = run(ptime, 60);
            assert_eq!(packets.len(), 1200 / ptime, "one packet per {ptime} ms");
            for pair in packets.windows(2) {
                assert_eq!(due_ms(&pair[1]) - due_ms(&pair[0]), ptime as u64);
                let timestamp = |p: &[u8]| u32::from_be_bytes([p[4], p[5], p[6], p[7]]);
                assert_eq!(
                    timestamp(&pair[1].2) - timestamp(&pair[0].2),
                    ptime as u32 * 8
                );
                assert_eq!(pair[0].2.len(), 12 + ptime * 8);
            }
        }
    }

    #[test]
    fn only_the_first_packet_has_the_marker() {
        let packets = run(20, 5);
        let markers: Vec<bool> = packets.iter().map(|p| p.2[1] & 0x80 != 0).collect();
        assert_eq!(markers, [true, false, false, false, false]);
    }

    #[test]
    fn a_skipped_tick_advances_the_timestamp_and_not_the_sequence() {
        let mut t = Transmit::new(1, 100, 5000);
        let mut packets = Vec::new();
        for tick in [0u64, 1, 4] {
            t.push(
                &Outgoing::Samples(&[0; 160]),
                tick * 160,
                Codec::Pcma,
                8,
                160,
                |p| packets.push(p.to_vec()),
            );
        }
        assert_eq!(packets[2][2..4], 102u16.to_be_bytes());
        assert_eq!(packets[2][4..8], (5000 + 4 * 160u32).to_be_bytes());
    }

    #[test]
    fn the_shared_encoding_is_sent_as_it_is() {
        let mut t = Transmit::new(1, 100, 5000);
        let payload = [0x5a; 160];
        let samples = [0; 160];
        let mut sent = Vec::new();
        let shared = Outgoing::Shared(
            &samples,
            Encoded {
                codec: Codec::Pcmu,
                payload: &payload,
            },
        );
        t.push(&shared, 0, Codec::Pcmu, 0, 160, |p| {
            sent.extend_from_slice(p);
        });
        assert_eq!(sent[12..], payload);
        sent.clear();
        t.push(&shared, 160, Codec::Pcma, 8, 160, |p| {
            sent.extend_from_slice(p);
        });
        assert_ne!(
            sent[12..],
            payload,
            "another codec encodes the samples itself"
        );
    }
}
