//! Offer and answer (RFC 3264): what two sides agree on for one audio stream.
//!
//! Three entry points, all pure functions of text: [`answer`] for an offer that came in,
//! [`offer`] for one of ours, and [`accept`] for the answer to it. One audio stream is served;
//! every other stream is kept in its place with port 0.
//! The three are plain RTP; beside each stands one that may agree on SRTP.

mod accept;
mod answer;
mod dtls;
mod error;
mod format;
mod offer;
mod opus;
mod redundancy;
mod security;
mod write;

use std::net::{IpAddr, SocketAddr};

use crate::codec::{Codec, OpusSettings};

use super::Direction;

pub use accept::{accept, accept_with};
pub use answer::{answer, answer_with, reject, wants_fax};
pub use dtls::{Association, Dtls, Role};
pub use error::NegotiateError;
pub use offer::{offer, offer_with};
pub use redundancy::Redundancy;
pub use security::{Profile, Sdes, Security, Srtp, SrtpPolicy};

/// What antiphon is willing to do in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The codecs, preferred first (our order counts in our own offers only).
    pub codecs: Vec<Codec>,
    /// How Opus is sent where the peer does not bound it, and what we like to receive.
    pub opus: OpusSettings,
    /// Whether digits as `telephone-event` (RFC 4733) are wanted.
    pub telephone_event: bool,
    /// Whether redundant audio (RFC 2198) is taken where it is offered. It is not sent.
    pub redundancy: bool,
    /// The packet time where the peer asks for none, ms.
    pub ptime_ms: u8,
    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
    /// Whether VoIP metrics in RTCP (RFC 3611 §4.7) are asked for.
    pub voip_metrics: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities {
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            opus: OpusSettings::default(),
            telephone_event: true,
            redundancy: false,
            ptime_ms: 20,
            rtcp_mux: true,
            voip_metrics: true,
        }
    }
}

/// Our end of the stream, as our description states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The address for `c=` and `o=`.
    pub address: IpAddr,
    /// The port for RTP.
    pub rtp_port: u16,
    /// The port for RTCP, where it is not multiplexed.
    pub rtcp_port: u16,
    /// `o=`: the session's number, the same through the call.
    pub session_id: u64,
    /// `o=`: the version, one more for each description that differs from the last.
    pub version: u64,
}

/// What both sides agreed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreed {
    /// The codec that we send.
    pub codec: Codec,
    /// The payload type that we send it with: the peer's number.
    pub tx_payload_type: u8,
    /// How we send Opus: ours, as far as the peer's `fmtp` wants that. Of no meaning where the
    /// codec is another.
    pub opus: OpusSettings,
    /// What we take, by our own payload types.
    pub rx_payload_types: PayloadMap,
    /// Digits as events, where both want them.
    pub telephone_event: Option<TelephoneEvent>,
    /// The numbers of telephone events in our description, with their clocks, Hz: in use or not, a
    /// later offer keeps them.
    pub event_types: Vec<(u8, u32)>,
    /// Whether the peer may send comfort noise (RFC 3389, payload type 13).
    pub comfort_noise: bool,
    /// Redundant audio that the peer may send: `rtp::redundancy` takes it apart.
    pub redundancy: Option<Redundancy>,
    /// The packet time that we send with, ms: one that the codec has ([`Codec::ptime_ms`]).
    pub ptime_ms: u8,
    /// Our direction.
    pub direction: Direction,
    /// Where RTP goes; none on hold and where the description does not tell.
    pub remote_rtp: Option<SocketAddr>,
    /// Where RTCP goes; the same as RTP if multiplexed.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP port.
    pub rtcp_mux: bool,
    /// Whether the peer asks for VoIP metrics in RTCP, and we exchange them.
    pub voip_metrics: bool,
    /// SRTP with these keys; none: plain RTP.
    pub security: Option<Security>,
    /// Whether the peer has put us on hold, in either style.
    pub remote_hold: bool,
    /// The place of the audio stream among the session's streams.
    pub audio_index: usize,
    /// The other streams of the session in their order, without the audio stream. A later offer
    /// has to repeat each (RFC 3264 §8).
    pub rejected: Vec<RejectedStream>,
}

/// The payload types of `telephone-event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// The number that we send with.
    pub tx: u8,
    /// The number that we receive.
    pub rx: u8,
    /// The clock of timestamps and durations, Hz: the codec's where that was to be had.
    pub clock_rate: u32,
}

/// A stream that is carried along with port 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedStream {
    /// `video`, `image`, ...
    pub kind: String,
    /// The transport, as the offer wrote it.
    pub proto: String,
    /// The formats, as the offer wrote them.
    pub formats: String,
}

/// RTP payload types and what each means; look-up is one index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PayloadMap([Option<Codec>; 128]);

impl PayloadMap {
    /// A map of nothing.
    pub const fn new() -> Self {
        PayloadMap([None; 128])
    }

    /// The codec of a payload type.
    pub fn get(&self, payload_type: u8) -> Option<Codec> {
        self.0.get(usize::from(payload_type)).copied().flatten()
    }

    /// Sets the codec of a payload type below 128; others do not exist.
    pub fn set(&mut self, payload_type: u8, codec: Codec) {
        if let Some(entry) = self.0.get_mut(usize::from(payload_type)) {
            *entry = Some(codec);
        }
    }

    /// The payload types in use, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, Codec)> + '_ {
        (0u8..128).filter_map(|number| Some((number, self.get(number)?)))
    }

    /// The lowest payload type of a codec.
    pub fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.iter()
            .find_map(|(number, entry)| (entry == codec).then_some(number))
    }
}

impl Default for PayloadMap {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for PayloadMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
