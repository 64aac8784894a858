//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): 16-bit samples at 16 kHz, one byte for two.
//!
//! Two bands of 4 kHz by a mirror filter; adaptive differential coding of each, six bits for the
//! lower and two for the upper. Bit-exact fixed point; the names are those of the recommendation's
//! blocks (§6.2). Encoder and decoder are plain values: a copy goes on where the original is.

mod band;
mod decode;
mod encode;
mod mirror;
#[cfg(test)]
mod tests;

pub(super) use decode::Decoder;
pub(super) use encode::Encoder;
