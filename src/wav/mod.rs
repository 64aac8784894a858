//! WAV files: a [`Reader`] that survives hostile ones, a [`Writer`] whose file is valid after
//! each flush.
//!
//! `hound` codes and decodes, behind two rules that it does not keep by itself: the header
//! counts only audio that the disk has taken, so that a killed process or a full disk leaves a
//! valid file; and what the header of a foreign file claims is never believed beyond what the
//! file holds.

mod chunks;
pub mod fuzz;
mod reader;
mod writer;

use std::io;

pub use chunks::{Format, MAX_CHANNELS, MAX_RATE, MIN_RATE, Spec};
pub use reader::Reader;
pub use writer::{Writer, cut_header};

/// Why a WAV file was refused, or ended.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file could not be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not a RIFF/WAVE file.
    #[error("not a WAV file: it starts with {found}, expected \"RIFF\" and \"WAVE\"")]
    NotWav {
        /// The first bytes, printable.
        found: String,
    },
    /// The file ends within its header.
    #[error("the file ends within its {0}")]
    Truncated(&'static str),
    /// A chunk that every WAV file has is not there.
    #[error("the file has no \"{0}\" chunk")]
    MissingChunk(&'static str),
    /// More chunks than any honest file has.
    #[error("more than {0} chunks before the audio")]
    TooManyChunks(usize),
    /// A coding that we do not decode.
    #[error(
        "format {tag:#06x} with {bits} bits per sample, \
         allowed are PCM (8, 16, 24, 32 bits), 32-bit float, A-law and u-law (8 bits)"
    )]
    Format {
        /// The format tag found.
        tag: u16,
        /// The bits per sample found.
        bits: u16,
    },
    /// No channel, or too many.
    #[error("{0} channels, allowed are 1 to {MAX_CHANNELS}")]
    Channels(u16),
    /// A sampling rate beyond what makes sense.
    #[error("a sampling rate of {0} Hz, allowed are {MIN_RATE} to {MAX_RATE}")]
    Rate(u32),
    /// The size of a frame contradicts channels and bits.
    #[error("frames of {found} bytes, but its channels and bits make {expected}")]
    FrameSize {
        /// The block alignment found.
        found: u16,
        /// What channels and bits ask for.
        expected: u16,
    },
    /// The writer's file has reached the size that a WAV header can hold (4 GiB).
    #[error("the file is full: a WAV file ends at 4 GiB")]
    Full,
}

/// Of hound's errors only those of the file itself are to be expected: our own parser has seen
/// each header before it does.
fn from_hound(error: hound::Error) -> WavError {
    WavError::Io(match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    })
}

#[cfg(test)]
mod tests;
