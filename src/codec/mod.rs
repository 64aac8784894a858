//! Codecs: encoded payload <-> 16-bit mono samples.
//!
//! Sits between the RTP payload and the samples of a leg, on the media thread. [`Codec`] names a
//! payload format and says its rates and lengths. An [`Encoder`] and a [`Decoder`] are one stream
//! each: made on the control side (that allocates), used on the media thread (that does not).
//! The formats without state can also be used by [`Codec::encode`] and [`Codec::decode`].
//!
//! | codec | samples/s | RTP clock | payload | stream state |
//! |---|---|---|---|---|
//! | `PCMU`, `PCMA` | 8,000 | 8,000 | 64 kbit/s | none |
//! | `G722` | 16,000 | 8,000 (RFC 3551 §4.5.2) | 64 kbit/s | predictors; a copy joins another's |
//! | `opus` | 48,000 | 48,000 | by [`OpusSettings`] | loss concealment, in-band FEC |
//! | `L16/8000`, `/16000`, `/48000` | its rate | its rate | 16 bit × rate | none |
//!
//! A leg's way with them:
//!
//! ```text
//! ptime = codec.ptime_ms(negotiated); n = codec.frame_samples(ptime)
//! encoder.encode(&pcm[..n], &mut payload[..MAX_PAYLOAD]) -> bytes, 0: nothing to send
//! codec.samples(payload) -> room that decode needs, 0: malformed
//! decoder.decode(payload, &mut pcm) -> samples at codec.sample_rate()
//! lost frame: next packet has_fec? decode_fec(next, &mut gap) : conceal(&mut gap) || our own
//! codec.clock_ticks(samples) -> RTP timestamp units
//! ```

mod decoder;
mod encoder;
pub mod fuzz;
pub mod g711;
mod g722;
mod l16;
pub mod opus;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use opus::OpusSettings;

/// The longest payload that we make, bytes: what an Ethernet frame carries behind the headers of
/// IPv6, UDP and RTP.
pub const MAX_PAYLOAD: usize = 1500 - 40 - 8 - 12;
/// The longest frame that a payload can hold, samples: 120 ms of Opus (RFC 6716 §3.2.5).
pub const MAX_FRAME_SAMPLES: usize = 5760;

/// An encoder or decoder could not be made: the codec's library has refused, by lack of memory or
/// because of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {what} of {}: {reason}", codec.name())]
pub struct CodecError {
    /// Which codec.
    pub codec: Codec,
    /// `encoder` or `decoder`.
    pub what: &'static str,
    /// What the library says.
    pub reason: audiopus::Error,
}

/// An audio codec that antiphon can send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 u-law, RTP name `PCMU`, static payload type 0 (RFC 3551 §4.5.14).
    Pcmu,
    /// G.711 A-law, RTP name `PCMA`, static payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, RTP name `G722`, static payload type 9 (RFC 3551 §4.5.2).
    G722,
    /// Opus, RTP name `opus` (RFC 6716, RFC 7587); mono for us, stereo is mixed down.
    Opus,
    /// Linear 16-bit samples at 8 kHz, RTP name `L16` (RFC 3551 §4.5.11).
    L16Narrow,
    /// Linear 16-bit samples at 16 kHz.
    L16Wide,
    /// Linear 16-bit samples at 48 kHz.
    L16Full,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Codec; 7] = [
        Codec::Pcmu,
        Codec::Pcma,
        Codec::G722,
        Codec::Opus,
        Codec::L16Narrow,
        Codec::L16Wide,
        Codec::L16Full,
    ];

    /// The encoding name in `rtpmap` (RFC 3551, RFC 7587).
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
            Codec::L16Narrow | Codec::L16Wide | Codec::L16Full => "L16",
        }
    }

    /// The RTP clock rate, Hz. G.722's is half its sampling rate, by an error that RFC 3551
    /// §4.5.2 keeps.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Codec::G722 => 8000,
            _ => self.sample_rate(),
        }
    }

    /// The channels in `rtpmap`: Opus is always announced with two (RFC 7587 §7).
    pub const fn channels(self) -> u8 {
        match self {
            Codec::Opus => 2,
            _ => 1,
        }
    }

    /// The sampling rate of the decoded audio, Hz.
    pub const fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::L16Narrow => 8000,
            Codec::G722 | Codec::L16Wide => 16_000,
            Codec::Opus | Codec::L16Full => 48_000,
        }
    }

    /// The static payload type, where RFC 3551 assigns one. Those of `L16` (10 and 11) are
    /// 44.1 kHz and not ours.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            _ => None,
        }
    }

    /// Whether each payload stands by itself, so that [`Codec::encode`] and [`Codec::decode`] serve
    /// and one listener's payload is everybody's.
    pub const fn is_stateless(self) -> bool {
        !matches!(self, Codec::G722 | Codec::Opus)
    }

    /// The packet time that we send where `wanted_ms` is asked for, ms: 10 to 60 in steps of 10,
    /// no longer than asked for (but for the least), no longer than [`MAX_PAYLOAD`] holds, and for
    /// Opus one of its frame lengths: 10, 20, 40, 60.
    pub const fn ptime_ms(self, wanted_ms: u8) -> u8 {
        let longest = match self {
            Codec::L16Wide => 40,
            Codec::L16Full => 10,
            _ => 60,
        };
        let tens = if wanted_ms < longest {
            wanted_ms / 10
        } else {
            longest / 10
        };
        match (self, tens) {
            (_, 0) => 10,
            (Codec::Opus, 3 | 5) => tens * 10 - 10,
            _ => tens * 10,
        }
    }

    /// The samples of a frame of `ms` milliseconds.
    pub const fn frame_samples(self, ms: u32) -> usize {
        (self.sample_rate() / 1000 * ms) as usize
    }

    /// The units of the RTP timestamp that so many samples last.
    pub const fn clock_ticks(self, samples: usize) -> u32 {
        match self {
            Codec::G722 => samples as u32 / 2,
            _ => samples as u32,
        }
    }

    /// How many samples a payload holds; 0 if it is malformed. For Opus by its first bytes
    /// (RFC 6716 §3.1), at most 120 ms.
    pub fn samples(self, payload: &[u8]) -> usize {
        match self {
            Codec::Pcmu | Codec::Pcma => payload.len(),
            Codec::G722 => payload.len() * 2,
            Codec::Opus => opus::samples(payload),
            Codec::L16Narrow | Codec::L16Wide | Codec::L16Full => payload.len() / 2,
        }
    }

    /// Encodes as many samples as fit into `out`; returns the bytes written. Nothing for a codec
    /// with state, which needs an [`Encoder`]. Allocates nothing.
    pub fn encode(self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self {
            Codec::Pcmu => code(out, pcm, |s| g711::ulaw_encode(*s)),
            Codec::Pcma => code(out, pcm, |s| g711::alaw_encode(*s)),
            Codec::L16Narrow | Codec::L16Wide | Codec::L16Full => l16::encode(pcm, out),
            Codec::G722 | Codec::Opus => 0,
        }
    }

    /// Decodes as much of `payload` as fits into `out`; returns the samples written. Nothing for a
    /// codec with state, which needs a [`Decoder`]. Allocates nothing.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Codec::Pcmu => code(out, payload, |c| g711::ulaw_decode(*c)),
            Codec::Pcma => code(out, payload, |c| g711::alaw_decode(*c)),
            Codec::L16Narrow | Codec::L16Wide | Codec::L16Full => l16::decode(payload, out),
            Codec::G722 | Codec::Opus => 0,
        }
    }
}

/// One for one; returns how many.
fn code<I, O>(out: &mut [O], input: &[I], convert: impl Fn(&I) -> O) -> usize {
    out.iter_mut()
        .zip(input)
        .for_each(|(to, from)| *to = convert(from));
    input.len().min(out.len())
}

#[cfg(test)]
mod tests;
