//! What signalling decides about a leg's media.

use std::net::SocketAddr;

use crate::audio::process::ProcessSettings;
use crate::codec::{Codec, OpusSettings};
use crate::rtp::latch::Sources;

/// How many payload types with audio a leg can receive.
pub const MAX_RX_TYPES: usize = 8;

/// A leg's handle: its place in a worker and how often that place was used before, so that a
/// command late for a closed leg never reaches the one that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId {
    /// Place in the worker's table.
    pub index: u32,
    /// How many legs had the place before.
    pub generation: u32,
}

/// The payload format of telephone events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// The payload type that comes in.
    pub rx: u8,
    /// The payload type that goes out.
    pub tx: u8,
    /// The clock of durations, Hz.
    pub clock_rate: u32,
}

/// The negotiated part: replaced as a whole by a re-INVITE or UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegParams {
    /// What we send.
    pub codec: Codec,
    /// How we send it where it is Opus.
    pub opus: OpusSettings,
    /// The payload type we send it with.
    pub tx_payload_type: u8,
    /// What may come, by payload type.
    pub rx_types: [Option<(u8, Codec)>; MAX_RX_TYPES],
    /// Digits as telephone events (RFC 4733), where both sides take them.
    pub events: Option<EventFormat>,
    /// Another payload type on which they may come: ours were offered at two clocks.
    pub events_beside: Option<u8>,
    /// The payload type of redundant audio (RFC 2198) that may come.
    pub redundancy: Option<u8>,
    /// Packet time that we send, ms: one that the codec has ([`Codec::ptime_ms`]).
    pub ptime_ms: u8,
    /// Whether the direction lets us send.
    pub send: bool,
    /// Whether the direction lets us receive.
    pub receive: bool,
    /// The peer has put us on hold: no media is expected.
    pub held: bool,
    /// Where the peer's SDP wants RTP.
    pub remote_rtp: Option<SocketAddr>,
    /// Where the peer's SDP wants RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// RTCP is encrypted with keys of its own, which come by a handshake on its port.
    pub rtcp_keys: bool,
    /// VoIP metrics go with our reports (RFC 3611 §4.7).
    pub voip_metrics: bool,
    /// Nothing is sent at all, reports neither.
    pub quiet: bool,
    /// What we send goes to where the party signals from: it need not send anything itself.
    pub own_address: bool,
    /// What we send goes to `remote_rtp`, wherever the party sends from.
    pub listens_as_described: bool,
    /// Where its media may come from.
    pub sources: Sources,
}

impl LegParams {
    /// G.711 on its static payload type, both ways: what tests and benches start from.
    pub fn g711(codec: Codec, remote_rtp: Option<SocketAddr>) -> Self {
        let payload_type = codec.static_payload_type().unwrap_or(0);
        let mut rx_types = [None; MAX_RX_TYPES];
        rx_types[0] = Some((payload_type, codec));
        Self {
            codec,
            opus: OpusSettings::default(),
            tx_payload_type: payload_type,
            rx_types,
            events: None,
            events_beside: None,
            redundancy: None,
            ptime_ms: 20,
            send: true,
            receive: true,
            held: false,
            remote_rtp,
            remote_rtcp: remote_rtp.map(|a| SocketAddr::new(a.ip(), a.port().wrapping_add(1))),
            rtcp_mux: false,
            rtcp_keys: false,
            voip_metrics: false,
            quiet: false,
            own_address: true,
            listens_as_described: false,
            sources: Sources::Any,
        }
    }

    /// What may come.
    pub fn rx_codecs(&self) -> impl Iterator<Item = Codec> {
        self.rx_types.iter().flatten().map(|&(_, codec)| codec)
    }

    /// Whether telephone events may come on this payload type.
    pub fn takes_events(&self, payload_type: u8) -> bool {
        self.events.is_some_and(|events| events.rx == payload_type)
            || self.events_beside == Some(payload_type)
    }

    /// Whether anything that was agreed on has this payload type.
    pub fn takes(&self, payload_type: u8) -> bool {
        self.rx_codec(payload_type).is_some()
            || self.takes_events(payload_type)
            || self.redundancy == Some(payload_type)
    }

    /// The codec of a received payload type.
    pub fn rx_codec(&self, payload_type: u8) -> Option<Codec> {
        self.rx_types
            .iter()
            .flatten()
            .find(|(pt, _)| *pt == payload_type)
            .map(|&(_, codec)| codec)
    }
}

/// What a leg is made with and keeps for its life.
#[derive(Clone, Debug)]
pub struct LegSettings {
    /// Our SSRC (RFC 3550 §8: random).
    pub ssrc: u32,
    /// The first sequence number, random.
    pub first_sequence: u16,
    /// The first timestamp, random.
    pub first_timestamp: u32,
    /// RTCP canonical name (RFC 7022: random, short).
    pub cname: String,
    /// Bound of the jitter buffer's delay, ms.
    pub jitter_max_ms: u32,
    /// Silence of RTP and RTCP after which the call is reported, ms; 0: never.
    pub media_timeout_ms: u32,
    /// Where no telephone events were agreed on, digits are sought in the audio.
    pub inband_digits: bool,
    /// What is done to the audio.
    pub process: ProcessSettings,
}

impl LegSettings {
    /// For tests and benches, which are to be the same each time: nothing is random, nothing is done to the
    /// audio or sought in it, and nothing ends a call. Calls have [others](LegSettings).
    pub fn fixed(ssrc: u32) -> Self {
        Self {
            ssrc,
            first_sequence: 0,
            first_timestamp: 0,
            cname: "x".to_owned(),
            jitter_max_ms: 200,
            media_timeout_ms: 0,
            inband_digits: false,
            process: ProcessSettings::default(),
        }
    }
}
