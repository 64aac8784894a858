//! Writes 16-bit mono WAV files that are valid after each flush.

use std::io::{self, Seek, SeekFrom, Write};

use super::WavError;

const HEADER_LEN: u64 = 44;
/// Bytes of audio that wait for the next flush at most: half a second at 8 kHz.
const PENDING: usize = 8 * 1024;
/// Bytes of audio that the RIFF size field can count, the rest of the header taken off.
const MAX_DATA: u64 = (u32::MAX as u64 - (HEADER_LEN - 8)) & !1;

/// A WAV file being written. The header is rewritten by [`Writer::flush`], and only behind the
/// audio that it counts: whenever the process dies, the file holds what was flushed.
pub struct Writer<W> {
    pub(super) output: W,
    rate: u32,
    /// Encoded, not yet handed to `output`.
    pending: Vec<u8>,
    /// Bytes of audio in `output`.
    written: u64,
    /// Bytes of audio that the header counts.
    counted: u64,
    max_data: u64,
}

impl<W: Write + Seek> Writer<W> {
    /// Starts a file at `rate` Hz: writes the header of an empty one at once.
    pub fn create(output: W, rate: u32) -> Result<Self, WavError> {
        Self::with_limit(output, rate, MAX_DATA)
    }

    /// The same with a lower bound on the bytes of audio, to test the roll-over.
    pub fn with_limit(output: W, rate: u32, max_data: u64) -> Result<Self, WavError> {
        let max_data = max_data.min(MAX_DATA) & !1;
        let pending = Vec::with_capacity(PENDING);
        let mut writer = Self {
            output,
            rate,
            pending,
            written: 0,
            counted: 0,
            max_data,
        };
        writer.write_header()?;
        Ok(writer)
    }

    /// Samples taken so far.
    pub fn samples(&self) -> u64 {
        self.written / 2 + self.pending.len() as u64 / 2
    }

    /// Samples that the file's header counts: those of the last flush.
    pub fn flushed_samples(&self) -> u64 {
        self.counted / 2
    }

    /// Samples that still fit in.
    pub fn room(&self) -> u64 {
        self.max_data / 2 - self.samples()
    }

    /// Appends samples, or none of them: [`WavError::Full`] where they do not all fit.
    pub fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        if samples.len() as u64 > self.room() {
            return Err(WavError::Full);
        }
        for sample in samples {
            self.pending.extend_from_slice(&sample.to_le_bytes());
            if self.pending.len() >= PENDING {
                self.write_pending()?;
            }
        }
        Ok(())
    }

    /// Brings the file up to date, audio first, then the header. After an error the header
    /// counts what did get written.
    pub fn flush(&mut self) -> Result<(), WavError> {
        let audio = self.write_pending();
        if self.counted != self.written & !1 {
            self.write_header()?;
        }
        audio?;
        self.output.flush()?;
        Ok(())
    }

    /// Flushes and gives the output back.
    pub fn finish(mut self) -> Result<W, WavError> {
        self.flush()?;
        Ok(self.output)
    }

    fn write_pending(&mut self) -> Result<(), WavError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.output
            .seek(SeekFrom::Start(HEADER_LEN + self.written))?;
        // By hand and not by `write_all`, which does not tell how far it came.
        let mut done = 0;
        let result = loop {
            if done == self.pending.len() {
                break Ok(());
            }
            match self.output.write(&self.pending[done..]) {
                Ok(0) => break Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.pending.drain(..done);
        self.written += done as u64;
        result.map_err(WavError::Io)
    }

    fn write_header(&mut self) -> Result<(), WavError> {
        let data = self.written & !1;
        let mut header = [0u8; HEADER_LEN as usize];
        header[..4].copy_from_slice(b"RIFF");
        header[4..8].copy_from_slice(&((data + HEADER_LEN - 8) as u32).to_le_bytes());
        header[8..16].copy_from_slice(b"WAVEfmt ");
        header[16..20].copy_from_slice(&16u32.to_le_bytes());
        header[20..22].copy_from_slice(&1u16.to_le_bytes()); // PCM
        header[22..24].copy_from_slice(&1u16.to_le_bytes()); // mono
        header[24..28].copy_from_slice(&self.rate.to_le_bytes());
        header[28..32].copy_from_slice(&(self.rate.saturating_mul(2)).to_le_bytes());
        header[32..34].copy_from_slice(&2u16.to_le_bytes());
        header[34..36].copy_from_slice(&16u16.to_le_bytes());
        header[36..40].copy_from_slice(b"data");
        header[40..].copy_from_slice(&(data as u32).to_le_bytes());
        self.output.seek(SeekFrom::Start(0))?;
        self.output.write_all(&header)?;
        self.counted = data;
        Ok(())
    }
}
