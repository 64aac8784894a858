//! Codecs: encoded payload <-> 16-bit mono samples.

pub mod g711;

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

    /// Encodes as many samples as fit into `out`; returns the bytes written. Allocates nothing.
    pub fn encode(self, pcm: &[i16], out: &mut [u8]) -> usize {
        let pairs = out.iter_mut().zip(pcm);
        match self {
            Codec::Pcmu => pairs.for_each(|(o, s)| *o = g711::ulaw_encode(*s)),
            Codec::Pcma => pairs.for_each(|(o, s)| *o = g711::alaw_encode(*s)),
        }
        pcm.len().min(out.len())
    }

    /// Decodes as much of `payload` as fits into `out`; returns the samples written.
    /// Allocates nothing.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> usize {
        let pairs = out.iter_mut().zip(payload);
        match self {
            Codec::Pcmu => pairs.for_each(|(o, c)| *o = g711::ulaw_decode(*c)),
            Codec::Pcma => pairs.for_each(|(o, c)| *o = g711::alaw_decode(*c)),
        }
        payload.len().min(out.len())
    }

    /// How many samples a payload of `payload_len` bytes holds.
    pub const fn samples(self, payload_len: usize) -> usize {
        match self {
            Codec::Pcmu | Codec::Pcma => payload_len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_shorter_side() {
        let mut bytes = [0u8; 4];
        assert_eq!(Codec::Pcmu.encode(&[0; 6], &mut bytes), 4);
        assert_eq!(bytes, [0xff; 4]);
        let mut pcm = [1i16; 3];
        assert_eq!(Codec::Pcma.decode(&[0xd5, 0x55], &mut pcm), 2);
        assert_eq!(pcm, [8, -8, 1]);
    }
}
