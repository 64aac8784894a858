//! The RIFF chunks of a WAV file, down to the start of the audio.
//!
//! Sits below [`super::Reader`]. Nothing is allocated by a size that the file claims.

use std::io::{self, Read, Seek, SeekFrom};

use super::WavError;

/// The most channels that are mixed down.
pub const MAX_CHANNELS: u16 = 32;
/// The lowest sampling rate that is read, Hz.
pub const MIN_RATE: u32 = 1_000;
/// The highest sampling rate that is read, Hz.
pub const MAX_RATE: u32 = 384_000;

/// Chunks that are skipped in search of the audio.
const MAX_CHUNKS: usize = 1_000;
/// `fmt ` up to the end of the sub-format's tag in WAVE_FORMAT_EXTENSIBLE.
const FORMAT_LEN: usize = 26;

const TAG_PCM: u16 = 1;
const TAG_FLOAT: u16 = 3;
const TAG_ALAW: u16 = 6;
const TAG_ULAW: u16 = 7;
const TAG_EXTENSIBLE: u16 = 0xfffe;

/// How the samples of a file are coded; multi-byte ones little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Unsigned 8-bit PCM.
    Pcm8,
    /// 16-bit PCM.
    Pcm16,
    /// 24-bit PCM.
    Pcm24,
    /// 32-bit PCM.
    Pcm32,
    /// 32-bit IEEE float, full scale at 1.0.
    Float32,
    /// G.711 A-law.
    Alaw,
    /// G.711 u-law.
    Ulaw,
}

impl Format {
    /// Bytes of one sample.
    pub const fn bytes(self) -> usize {
        match self {
            Format::Pcm8 | Format::Alaw | Format::Ulaw => 1,
            Format::Pcm16 => 2,
            Format::Pcm24 => 3,
            Format::Pcm32 | Format::Float32 => 4,
        }
    }

    fn from_tag(tag: u16, bits: u16) -> Result<Self, WavError> {
        Ok(match (tag, bits) {
            (TAG_PCM, 8) => Format::Pcm8,
            (TAG_PCM, 16) => Format::Pcm16,
            (TAG_PCM, 24) => Format::Pcm24,
            (TAG_PCM, 32) => Format::Pcm32,
            (TAG_FLOAT, 32) => Format::Float32,
            (TAG_ALAW, 8) => Format::Alaw,
            (TAG_ULAW, 8) => Format::Ulaw,
            _ => return Err(WavError::Format { tag, bits }),
        })
    }
}

/// What a WAV file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Channels, from 1.
    pub channels: u16,
    /// Sampling rate, Hz.
    pub rate: u32,
    /// The coding of the samples.
    pub format: Format,
    /// Frames (one sample of each channel) that are really there.
    pub frames: u64,
    /// The header claims more audio than the file holds.
    pub truncated: bool,
}

/// Reads from the start of the file and leaves `input` at the first byte of the audio.
pub(super) fn parse<R: Read + Seek>(input: &mut R) -> Result<Spec, WavError> {
    let mut riff = [0u8; 12];
    let got = read_up_to(input, &mut riff)?;
    if got < 12 || &riff[..4] != b"RIFF" || &riff[8..] != b"WAVE" {
        let found = if got == 0 {
            "nothing".into()
        } else {
            riff[..got].escape_ascii().to_string()
        };
        return Err(WavError::NotWav { found });
    }
    let mut format = None;
    for _ in 0..MAX_CHUNKS {
        let mut head = [0u8; 8];
        match read_up_to(input, &mut head)? {
            8 => {}
            0 if format.is_none() => return Err(WavError::MissingChunk("fmt ")),
            0 => return Err(WavError::MissingChunk("data")),
            _ => return Err(WavError::Truncated("chunk header")),
        }
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        // A chunk of odd size is followed by a padding byte.
        let padded = i64::from(size) + i64::from(size & 1);
        match &head[..4] {
            b"fmt " => {
                let mut body = [0u8; FORMAT_LEN];
                let wanted = (size as usize).min(FORMAT_LEN);
                if read_up_to(input, &mut body[..wanted])? < wanted || wanted < 16 {
                    return Err(WavError::Truncated("\"fmt \" chunk"));
                }
                format = Some(parse_format(&body[..wanted])?);
                input.seek(SeekFrom::Current(padded - wanted as i64))?;
            }
            b"data" => {
                let (channels, rate, format) = format.ok_or(WavError::MissingChunk("fmt "))?;
                let start = input.stream_position()?;
                let there = input.seek(SeekFrom::End(0))?.saturating_sub(start);
                input.seek(SeekFrom::Start(start))?;
                let frame = channels as u64 * format.bytes() as u64;
                // All ones is what programs write that cannot seek back: up to the end.
                let open_ended = size == u32::MAX;
                return Ok(Spec {
                    channels,
                    rate,
                    format,
                    frames: there.min(size.into()) / frame,
                    truncated: !open_ended && there < size.into(),
                });
            }
            _ => {
                input.seek(SeekFrom::Current(padded))?;
            }
        }
    }
    Err(WavError::TooManyChunks(MAX_CHUNKS))
}

fn parse_format(body: &[u8]) -> Result<(u16, u32, Format), WavError> {
    let u16_at = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
    let rate = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
    let (channels, frame_size, bits) = (u16_at(2), u16_at(12), u16_at(14));
    let mut tag = u16_at(0);
    if tag == TAG_EXTENSIBLE && body.len() == FORMAT_LEN {
        tag = u16_at(24);
    }
    let format = Format::from_tag(tag, bits)?;
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return Err(WavError::Channels(channels));
    }
    if !(MIN_RATE..=MAX_RATE).contains(&rate) {
        return Err(WavError::Rate(rate));
    }
    let expected = channels * format.bytes() as u16;
    if frame_size != expected {
        return Err(WavError::FrameSize {
            found: frame_size,
            expected,
        });
    }
    Ok((channels, rate, format))
}

/// Fills `buf` as far as the input goes.
fn read_up_to<R: Read>(input: &mut R, mut buf: &mut [u8]) -> io::Result<usize> {
    let len = buf.len() as u64;
    Ok(io::copy(&mut input.take(len), &mut buf)? as usize)
}
