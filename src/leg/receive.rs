//! A leg's way in: datagram -> transport -> latch -> RTP session -> playout and digits; RTCP beside it.
//!
//! Sits after the socket, before [`Playout`](super::playout::Playout). rx is what the party sends.

use std::net::SocketAddr;
use std::time::Duration;

use super::control::MAX_RTCP;
use super::transport::{Protocol, Transport};
use super::{Channel, Content, Leg, MediaIo, TickTime};
use crate::audio::{MediaTime, TICK_MS};
use crate::codec::Codec;
use crate::rtp::latch::Verdict;
use crate::rtp::packet::{HEADER_LEN, Kind, Packet};
use crate::rtp::redundancy;
use crate::rtp::session::Accept;
use crate::srtp::SrtpError;

/// The static payload type of comfort noise at 8 kHz (RFC 3389 §4).
const COMFORT_NOISE: u8 = 13;
/// Three of the longest intervals between reports (RFC 3550 §6.2) without one: the peer's may come from
/// elsewhere.
const RTCP_SILENCE: Duration = Duration::from_millis(22_500);

impl Leg {
    pub(super) fn update_filter<I: MediaIo>(&mut self, now: MediaTime, io: &mut I) {
        self.latch.settle(now);
        let wanted = self.latch.is_connected_wanted(now);
        if wanted != self.connected {
            self.connected = wanted;
            io.connect(self.id.index, wanted);
        }
    }

    pub(super) fn on_datagram(
        &mut self,
        data: &[u8],
        from: SocketAddr,
        arrival: MediaTime,
        time: TickTime,
    ) -> Content {
        let mut heard = Content::Other;
        match Kind::of(data) {
            Kind::Rtp => {}
            // Where both share no port, all numbers are free for audio (RFC 5761 §4).
            Kind::Rtcp if !self.params.rtcp_mux && self.params.takes(data[1] & 0x7f) => {}
            Kind::Rtcp => {
                self.on_rtcp_from(data, from, arrival, time);
                return heard;
            }
            Kind::Dtls => {
                self.on_dtls(Channel::Rtp, data, from);
                return heard;
            }
            Kind::Other => {
                self.statistics.invalid += 1;
                return heard;
            }
        }
        // The transport lends its buffer for as long as the packet is looked at.
        let mut transport = std::mem::take(&mut self.transport);
        match transport.open(Protocol::Rtp, data, arrival) {
            Ok(data) => {
                heard = heard_in(data);
                self.on_rtp(data, from, arrival, time);
            }
            Err(error) => self.refused(error),
        }
        self.transport = transport;
        heard
    }

    /// A packet that is not authentic moves nothing: neither latch nor jitter nor time-out.
    fn refused(&mut self, error: SrtpError) {
        match error {
            SrtpError::Malformed => self.statistics.invalid += 1,
            SrtpError::Replayed => self.statistics.replayed += 1,
            SrtpError::NoKey => self.statistics.before_keys += 1,
            _ => self.statistics.unauthenticated += 1,
        }
    }

    fn on_rtp(&mut self, data: &[u8], from: SocketAddr, arrival: MediaTime, time: TickTime) {
        let Ok(packet) = Packet::parse(data) else {
            self.statistics.invalid += 1;
            return;
        };
        if self.is_of_before(arrival) {
            return;
        }
        let payload_type = packet.payload_type.0;
        let codec = self.params.rx_codec(payload_type);
        let event = self.params.takes_events(payload_type);
        let redundant = self.params.redundancy == Some(payload_type);
        if codec.is_none() && !event && !redundant && payload_type != COMFORT_NOISE {
            self.statistics.unknown_type += 1;
            // Its number is taken all the same: it would count as lost.
            if self
                .latch
                .stream()
                .is_some_and(|known| known.address == from)
            {
                self.receiver.on_unknown(&packet);
                // It may be sent to keep the path open (RFC 6263 §4.6).
                self.heard = arrival;
            }
            return;
        }
        match self.latch.on_packet(from, &packet, arrival) {
            Verdict::Ignore => {
                self.statistics.foreign += 1;
                return;
            }
            Verdict::Accept | Verdict::Latched(_) => {}
        }
        self.heard = arrival;
        if let Some(codec) = codec {
            self.receiver.set_clock_rate(codec.clock_rate());
        }
        // Gateways send events beside audio that goes on, under an SSRC of their own: they neither are
        // nor change the source.
        let beside = event && self.receiver.is_of_another(packet.ssrc);
        if beside {
            if self.params.receive {
                self.on_event(&packet, arrival, time);
                // Its timestamps say nothing of when the audio's are played.
                self.digits.is_beside();
            }
            return;
        }
        let is_audio = codec.is_some() || redundant;
        match self.receiver.on_packet_of(&packet, is_audio, arrival) {
            Accept::Duplicate | Accept::Probation => return,
            Accept::SourceChanged => {
                self.coding.playout.reset();
                self.arrivals.reset();
                self.digits.source_changed();
            }
            Accept::New => {}
        }
        if !self.params.receive {
            return;
        }
        if event {
            self.on_event(&packet, arrival, time);
            self.coding.playout.silence(&packet);
            return;
        }
        if self.params.events.is_some() {
            self.digits.on_audio(&packet, arrival);
        }
        if redundant {
            self.on_redundant(&packet, arrival);
            return;
        }
        if let Some(codec) = codec {
            self.on_audio(&packet, codec, arrival);
        } else {
            self.coding.playout.comfort_noise(&packet, arrival);
        }
    }

    fn on_event(&mut self, packet: &Packet<'_>, arrival: MediaTime, time: TickTime) {
        self.statistics.telephone_events += 1;
        let depth_us = u64::from(self.coding.playout.stats().depth_samples) * 1_000_000
            / u64::from(self.coding.rate());
        let depth = Duration::from_micros(depth_us);
        self.digits.on_event(packet, arrival, time.now, depth);
    }

    /// Whether a packet is of before the leg began. Its party may send long before: the ringing of a
    /// call of ours, or where the ACK with the answer was lost. Of what waited in the socket no more
    /// counts than the playout may delay: the rest is neither heard, nor lost, nor says where the party is.
    fn is_of_before(&self, arrival: MediaTime) -> bool {
        let longest = Duration::from_millis(self.settings.jitter_max_ms.into());
        let waited = |begun: MediaTime| begun.since(arrival) > longest;
        self.begun.is_some_and(waited)
    }

    /// Several frames in one packet (RFC 2198): what was lost of the earlier ones is filled, the
    /// newest is the packet's own.
    fn on_redundant(&mut self, packet: &Packet<'_>, arrival: MediaTime) {
        let Some(blocks) = redundancy::blocks(packet.payload) else {
            self.statistics.invalid += 1;
            return;
        };
        for block in blocks {
            let Some(codec) = self.params.rx_codec(block.payload_type.0) else {
                continue;
            };
            if block.timestamp_offset > 0 {
                self.coding.playout.insert_redundant(
                    packet,
                    codec,
                    block.timestamp_offset,
                    block.payload,
                );
            } else {
                let newest = Packet {
                    payload_type: block.payload_type,
                    payload: block.payload,
                    ..*packet
                };
                self.on_audio(&newest, codec, arrival);
            }
        }
    }

    fn on_audio(&mut self, packet: &Packet<'_>, codec: Codec, arrival: MediaTime) {
        let samples = codec.samples(packet.payload);
        // One without any keeps the path open (RFC 6263 §4.2), and comes when it likes.
        if samples > 0 && samples.is_multiple_of(codec.frame_samples(TICK_MS)) {
            self.arrivals.observe(arrival);
            let length_us = samples as u64 * 1_000_000 / u64::from(codec.sample_rate());
            self.last_audio = (arrival, Duration::from_micros(length_us));
        }
        let before = self.coding.playout.discarded();
        self.coding.playout.insert(packet, codec, arrival);
        if self.coding.playout.discarded() != before {
            self.receiver.discarded(packet.seq);
        }
    }

    /// What has come to the port of RTCP.
    pub(super) fn on_control(
        &mut self,
        data: &[u8],
        from: SocketAddr,
        arrival: MediaTime,
        time: TickTime,
    ) {
        match Kind::of(data) {
            Kind::Dtls => self.on_dtls(Channel::Rtcp, data, from),
            _ => self.on_rtcp_from(data, from, arrival, time),
        }
    }

    /// What protects RTCP; none: nothing yet, and it may not pass without.
    fn rtcp_transport(&mut self) -> Option<&mut Transport> {
        if !self.params.rtcp_keys {
            return Some(&mut self.transport);
        }
        Some(&mut self.rtcp_transport).filter(|transport| transport.is_secure())
    }

    /// Whether the keys of RTCP are still to come.
    pub(super) fn awaits_rtcp_keys(&self) -> bool {
        self.params.rtcp_keys && !self.rtcp_transport.is_secure()
    }

    pub(super) fn on_rtcp_from(
        &mut self,
        data: &[u8],
        from: SocketAddr,
        arrival: MediaTime,
        time: TickTime,
    ) {
        let known = self.latch.remote().map(|a| a.ip());
        let signalled = self.params.remote_rtcp.map(|a| a.ip());
        let is_peers = known == Some(from.ip()) || signalled == Some(from.ip());
        // One address is many behind a NAT: while the peer's reports come, nobody else's are its own.
        let is_taken = self
            .rtcp_source
            .is_some_and(|(source, heard)| source != from && arrival.since(heard) < RTCP_SILENCE);
        if !is_peers || is_taken && self.params.remote_rtcp != Some(from) {
            self.statistics.foreign += 1;
            return;
        }
        let Some(transport) = self.rtcp_transport() else {
            self.refused(SrtpError::NoKey);
            return;
        };
        let mut transport = std::mem::take(transport);
        match transport.open(Protocol::Rtcp, data, arrival) {
            Ok(data) => {
                if self.on_rtcp(data, arrival, time.ntp_at(arrival)) {
                    self.rtcp_source = Some((from, arrival));
                }
            }
            Err(error) => self.refused(error),
        }
        if self.params.rtcp_keys {
            self.rtcp_transport = transport;
        } else {
            self.transport = transport;
        }
    }

    pub(super) fn send_report<I: MediaIo>(&mut self, time: TickTime, bye: bool, io: &mut I) {
        if self.params.quiet {
            return;
        }
        let (channel, to) = if self.params.rtcp_mux {
            (Channel::Rtp, self.latch.remote())
        } else {
            let next_port = self
                .latch
                .remote()
                .and_then(|a| Some(SocketAddr::new(a.ip(), a.port().checked_add(1)?)));
            (
                Channel::Rtcp,
                self.rtcp_source
                    .map(|(source, _)| source)
                    .or(self.params.remote_rtcp)
                    .or(next_port),
            )
        };
        let Some(to) = to else { return };
        let mut buffer = [0u8; MAX_RTCP];
        let len = self.write_report(&mut buffer, time.now, time.ntp, bye);
        let index = self.id.index;
        if let Some(transport) = self.rtcp_transport() {
            transport.seal(Protocol::Rtcp, &buffer[..len], |packet| {
                io.send(index, channel, to, packet);
            });
        }
    }
}

/// All octets of a payload are the same, as those of silence are in G.711.
fn heard_in(packet: &[u8]) -> Content {
    let payload = packet.get(HEADER_LEN..).unwrap_or_default();
    if payload.get(1..).unwrap_or_default() == &payload[..payload.len().saturating_sub(1)] {
        Content::Silence
    } else {
        Content::Other
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::super::{Keying, LegId, LegParams, LegSettings};
    use super::*;
    use crate::srtp::{MAX_OVERHEAD, MasterKey, Outbound, Suite};

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 4000).into()
    }

    fn leg() -> Leg {
        let id = LegId {
            index: 0,
            generation: 0,
        };
        let settings = LegSettings {
            media_timeout_ms: 60_000,
            inband_digits: true,
            ..LegSettings::fixed(1)
        };
        Leg::new(id, LegParams::g711(Codec::Pcmu, Some(peer())), settings).unwrap()
    }

    fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, 0, 0, sequence, 0, 0, sequence, 0, 0, 0, 0, 9];
        packet.extend(payload);
        packet
    }

    fn hear(leg: &mut Leg, datagram: &[u8]) -> Content {
        let now = MediaTime::from_millis(1000);
        let time = TickTime { now, ntp: 0 };
        leg.on_datagram(datagram, peer(), now, time)
    }

    #[test]
    fn silence_is_told_from_a_sound_in_the_clear_and_under_encryption() {
        let silence = [0xff; 160];
        let sound = [[0xff; 80], [0x90; 80]].concat();
        let mut leg = leg();
        assert_eq!(hear(&mut leg, &packet(1, &silence)), Content::Silence);
        assert_eq!(hear(&mut leg, &packet(2, &sound)), Content::Other);
        let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
        assert_eq!(hear(&mut leg, &report), Content::Other);
        for suite in Suite::ALL {
            let key = MasterKey::random(suite, &mut StdRng::seed_from_u64(5));
            let mut out = Outbound::new(&key);
            let mut seal = |clear: Vec<u8>| {
                let (mut packet, length) = (clear.clone(), clear.len());
                packet.resize(length + MAX_OVERHEAD, 0);
                let sealed = out.protect_rtp(&mut packet, length).unwrap();
                packet.truncate(sealed);
                packet
            };
            let now = MediaTime::from_millis(1000);
            leg.rekey(&mut Keying::srtp(Some(&key), None), now);
            let quiet = seal(packet(3, &silence));
            assert_eq!(hear(&mut leg, &quiet), Content::Silence, "{suite:?}");
            // Nobody hears a packet twice, nor one that is not authentic.
            assert_eq!(hear(&mut leg, &quiet), Content::Other, "{suite:?}");
            let loud = seal(packet(4, &sound));
            assert_eq!(hear(&mut leg, &loud), Content::Other, "{suite:?}");
            let clear = packet(5, &silence);
            assert_eq!(hear(&mut leg, &clear), Content::Other, "{suite:?}");
        }
    }

    #[test]
    fn an_empty_packet_says_nothing_of_when_the_audio_comes() {
        let mut leg = leg();
        for n in 0..1000u16 {
            let mut bytes = packet(0, if n % 250 == 249 { &[] } else { &[0xff; 160] });
            bytes[2..4].copy_from_slice(&n.to_be_bytes());
            bytes[4..8].copy_from_slice(&(u32::from(n) * 160).to_be_bytes());
            let late = if n % 250 == 249 { 9 } else { 0 };
            let now = MediaTime::from_millis(1000 + u64::from(n) * 20 + late);
            leg.on_datagram(&bytes, peer(), now, TickTime { now, ntp: 0 });
        }
        assert!(leg.arrivals.deadline_us(0).is_some());
    }
}
