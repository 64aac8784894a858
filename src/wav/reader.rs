//! Reads WAV files as 16-bit mono.

use std::io::{self, BufReader, Chain, Cursor, ErrorKind, Read, Seek, SeekFrom};

use hound::{Sample, SampleFormat, WavReader, WavSpec, WavWriter};

use super::chunks::{self, Format, Spec};
use super::{WavError, from_hound};
use crate::codec::g711;

/// Bytes that are read at once.
const BUFFER_LEN: usize = 16 * 1024;

/// A WAV file open for reading. Feeds prompts and long files, off the media thread.
///
/// hound decodes the audio, behind a header that says what is really there: its own parser
/// refuses companded files, open-ended ones and odd chunks, and believes every size.
pub struct Reader<R> {
    hound: WavReader<BufReader<Audio<R>>>,
    spec: Spec,
}

impl<R: Read + Seek> Reader<R> {
    /// Parses the header.
    pub fn open(input: R) -> Result<Self, WavError> {
        Self::open_at(input, 0)
    }

    /// Parses the header and goes to a frame, without reading those before it; behind the last one
    /// there is nothing to read.
    pub fn open_at(mut input: R, frame: u64) -> Result<Self, WavError> {
        let spec = chunks::parse(&mut input)?;
        let passed = frame.min(spec.frames);
        let bytes = passed * (spec.channels as u64 * spec.format.bytes() as u64);
        input.seek(SeekFrom::Current(bytes as i64))?;
        let header = plain_header(&spec, spec.frames - passed).map_err(from_hound)?;
        let audio = Audio(Cursor::new(header).chain(input));
        let hound = WavReader::new(BufReader::with_capacity(BUFFER_LEN, audio));
        Ok(Self {
            hound: hound.map_err(from_hound)?,
            spec,
        })
    }

    /// What the file holds.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Appends up to `max_frames` frames to `out`, mixed down to mono by the mean of the
    /// channels; returns how many, 0 at the end. Grows `out` by what was read and no more.
    pub fn read_mono(&mut self, out: &mut Vec<i16>, max_frames: usize) -> Result<usize, WavError> {
        // hound's 8-bit samples are signed, the bytes of a companded file are not.
        let byte = |s: i32| (s + 128) as u8;
        match self.spec.format {
            Format::Pcm8 => self.mix(out, max_frames, |s: i32| (s << 8) as i16),
            Format::Pcm16 => self.mix(out, max_frames, |s: i32| s as i16),
            Format::Pcm24 => self.mix(out, max_frames, |s: i32| (s >> 8) as i16),
            Format::Pcm32 => self.mix(out, max_frames, |s: i32| (s >> 16) as i16),
            // `as` saturates, and makes 0 of what is not a number.
            Format::Float32 => self.mix(out, max_frames, |s: f32| (s * 32768.0).round() as i16),
            Format::Alaw => self.mix(out, max_frames, |s| g711::alaw_decode(byte(s))),
            Format::Ulaw => self.mix(out, max_frames, |s| g711::ulaw_decode(byte(s))),
        }
    }

    fn mix<S: Sample>(
        &mut self,
        out: &mut Vec<i16>,
        max_frames: usize,
        to_i16: impl Fn(S) -> i16,
    ) -> Result<usize, WavError> {
        let channels = i32::from(self.spec.channels);
        let mut samples = self.hound.samples::<S>();
        for done in 0..max_frames {
            let mut sum = 0;
            for _ in 0..channels {
                match samples.next() {
                    Some(Ok(sample)) => sum += i32::from(to_i16(sample)),
                    None => return Ok(done),
                    // Shorter than it was when opened.
                    Some(Err(hound::Error::IoError(error)))
                        if error.kind() == ErrorKind::UnexpectedEof =>
                    {
                        return Ok(done);
                    }
                    Some(Err(error)) => return Err(from_hound(error)),
                }
            }
            out.push((sum / channels) as i16);
        }
        Ok(max_frames)
    }
}

/// A header, as hound writes it, of the frames that are to be read.
fn plain_header(spec: &Spec, frames: u64) -> hound::Result<Vec<u8>> {
    let frame = spec.channels as usize * spec.format.bytes();
    let mut file = Cursor::new(Vec::new());
    let hound_spec = WavSpec {
        channels: spec.channels,
        sample_rate: spec.rate,
        bits_per_sample: spec.format.bytes() as u16 * 8,
        sample_format: match spec.format {
            Format::Float32 => SampleFormat::Float,
            _ => SampleFormat::Int,
        },
    };
    WavWriter::new(&mut file, hound_spec)?.finalize()?;
    let mut header = file.into_inner();
    // The size of the audio comes last; it is no larger than the one that was parsed.
    header.truncate(header.len() - 4);
    header.extend((frames as u32 * frame as u32).to_le_bytes());
    Ok(header)
}

/// The header for hound, then the audio. Hides interruptions, which hound takes for errors, and
/// gives the end of the file a kind, which hound does not.
struct Audio<R>(Chain<Cursor<Vec<u8>>, R>);

impl<R: Read> Read for Audio<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buf) {
                Ok(0) if !buf.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
