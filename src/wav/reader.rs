//! Reads WAV files as 16-bit mono.

use std::io::{BufReader, Read, Seek};

use super::WavError;
use super::chunks::{self, Format, Spec};
use crate::codec::g711;

/// Bytes that are decoded at once; a multiple of no frame size in particular.
const BUFFER_LEN: usize = 16 * 1024;

/// A WAV file open for reading. Feeds prompts and long files, off the media thread.
pub struct Reader<R> {
    input: BufReader<R>,
    spec: Spec,
    remaining: u64,
    buffer: Vec<u8>,
}

impl<R: Read + Seek> Reader<R> {
    /// Parses the header.
    pub fn open(input: R) -> Result<Self, WavError> {
        let mut input = BufReader::new(input);
        let spec = chunks::parse(&mut input)?;
        Ok(Self {
            input,
            spec,
            remaining: spec.frames,
            buffer: vec![0; BUFFER_LEN],
        })
    }

    /// What the file holds.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Appends up to `max_frames` frames to `out`, mixed down to mono by the mean of the
    /// channels; returns how many, 0 at the end. Grows `out` by what was read and no more.
    pub fn read_mono(&mut self, out: &mut Vec<i16>, max_frames: usize) -> Result<usize, WavError> {
        let frame = self.spec.channels as usize * self.spec.format.bytes();
        let wanted = self.remaining.min(max_frames as u64) as usize;
        let mut done = 0;
        while done < wanted {
            let take = (wanted - done).min(BUFFER_LEN / frame) * frame;
            let got = chunks::read_up_to(&mut self.input, &mut self.buffer[..take])? / frame;
            if got == 0 {
                // Shorter than it was when opened.
                self.remaining = 0;
                return Ok(done);
            }
            self.decode(got * frame, out);
            done += got;
            self.remaining -= got as u64;
        }
        Ok(done)
    }

    fn decode(&self, len: usize, out: &mut Vec<i16>) {
        let bytes = &self.buffer[..len];
        let channels = self.spec.channels as usize;
        match self.spec.format {
            Format::Pcm8 => mix::<1>(bytes, channels, out, |b| (i16::from(b[0]) - 128) << 8),
            Format::Pcm16 => mix::<2>(bytes, channels, out, i16::from_le_bytes),
            Format::Pcm24 => mix::<3>(bytes, channels, out, |b| i16::from_le_bytes([b[1], b[2]])),
            Format::Pcm32 => mix::<4>(bytes, channels, out, |b| i16::from_le_bytes([b[2], b[3]])),
            Format::Float32 => mix::<4>(bytes, channels, out, |b| {
                // `as` saturates, and makes 0 of what is not a number.
                (f32::from_le_bytes(b) * 32768.0).round() as i16
            }),
            Format::Alaw => mix::<1>(bytes, channels, out, |b| g711::alaw_decode(b[0])),
            Format::Ulaw => mix::<1>(bytes, channels, out, |b| g711::ulaw_decode(b[0])),
        }
    }
}

fn mix<const N: usize>(
    bytes: &[u8],
    channels: usize,
    out: &mut Vec<i16>,
    sample: impl Fn([u8; N]) -> i16,
) {
    let (samples, _) = bytes.as_chunks::<N>();
    if channels == 1 {
        out.extend(samples.iter().map(|s| sample(*s)));
    } else {
        out.extend(samples.chunks_exact(channels).map(|frame| {
            let sum: i32 = frame.iter().map(|s| i32::from(sample(*s))).sum();
            (sum / channels as i32) as i16
        }));
    }
}
