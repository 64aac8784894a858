//! Opus (RFC 6716) by the system's libopus, as RFC 7587 uses it in RTP. Always mono at 48 kHz.
//!
//! libopus keeps its scratch memory on the stack: no call takes memory but those that make an
//! encoder or decoder (`tests/codec_realtime.rs`).

mod decode;
mod encode;
mod packet;
mod settings;

pub use packet::{has_fec, samples};
pub use settings::OpusSettings;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
pub(super) use packet::frame_samples;

/// The sampling rate and RTP clock, Hz.
pub const RATE: u32 = 48_000;
/// The step of lengths, 2.5 ms, samples.
const STEP: usize = 120;

#[cfg(test)]
mod tests;
