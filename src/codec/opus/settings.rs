//! How Opus is encoded.

use std::ops::RangeInclusive;

/// How to encode; legs with equal settings can share an encoder. Nothing here concerns decoding:
/// an Opus decoder takes whatever comes.
///
/// Stereo is no setting: what we send is mono, which every receiver takes (RFC 7587 §7.1:
/// `stereo=1` is a preference), and what we receive is mixed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpusSettings {
    /// Bit rate, bit/s, averaged where not `cbr`.
    pub bitrate: u32,
    /// Effort, 0 to 10.
    pub complexity: u8,
    /// Adds a coarse copy of each frame to the next one, as far as loss is expected.
    pub fec: bool,
    /// Sends nothing in silence but a frame each 400 ms.
    pub dtx: bool,
    /// Constant bit rate.
    pub cbr: bool,
    /// The highest sampling rate that the receiver plays, Hz: the audio band is half of it.
    pub max_playback_rate: u32,
    /// Expected loss of packets, percent.
    pub expected_loss: u8,
}

impl OpusSettings {
    /// What `bitrate` may be, bit/s (RFC 7587 §6.1, `maxaveragebitrate`).
    pub const BITRATE: RangeInclusive<u32> = 6000..=510_000;
    /// What `complexity` may be.
    pub const COMPLEXITY: RangeInclusive<u8> = 0..=10;
    /// What `max_playback_rate` may be, Hz (RFC 7587 §6.1, `maxplaybackrate`).
    pub const PLAYBACK_RATE: RangeInclusive<u32> = 8000..=48_000;
    /// What `expected_loss` may be, percent.
    pub const EXPECTED_LOSS: RangeInclusive<u8> = 0..=100;

    /// The same with every value within its range.
    pub fn clamped(self) -> Self {
        let clamp =
            |value: u32, range: RangeInclusive<u32>| value.clamp(*range.start(), *range.end());
        Self {
            bitrate: clamp(self.bitrate, Self::BITRATE),
            complexity: self.complexity.min(*Self::COMPLEXITY.end()),
            max_playback_rate: clamp(self.max_playback_rate, Self::PLAYBACK_RATE),
            expected_loss: self.expected_loss.min(*Self::EXPECTED_LOSS.end()),
            ..self
        }
    }
}

impl Default for OpusSettings {
    /// Full-band speech (RFC 7587 §3.1.1: 28 to 40 kbit/s), protected against some loss.
    fn default() -> Self {
        Self {
            bitrate: 32_000,
            complexity: 5,
            fec: true,
            dtx: false,
            cbr: false,
            max_playback_rate: 48_000,
            expected_loss: 5,
        }
    }
}
