//! Codecs: encoded payload <-> 16-bit mono samples.

/// An audio codec that antiphon can send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 u-law, RTP name `PCMU`, static payload type 0 (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law, RTP name `PCMA`, static payload type 8.
    Pcma,
}

impl Codec {
    /// The encoding name in `rtpmap` (RFC 3551).
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
        }
    }

    /// The RTP clock rate, Hz.
    pub const fn clock_rate(self) -> u32 {
        8000
    }

    /// The sampling rate of the decoded audio, Hz.
    pub const fn sample_rate(self) -> u32 {
        8000
    }

    /// The static payload type, where RFC 3551 assigns one.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
        }
    }
}
