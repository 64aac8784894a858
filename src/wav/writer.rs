//! Writes 16-bit WAV files of one or two channels that are valid after each flush.

use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::{MAX_RATE, MIN_RATE, WavError, from_hound};

const HEADER_LEN: u64 = 44;
/// Samples that wait for the next flush at most: half a second at 8 kHz.
const PENDING: usize = 4 * 1024;
/// Bytes of audio that the RIFF size field can count, the rest of the header taken off: hound
/// itself wraps.
const MAX_DATA: u64 = (u32::MAX as u64 - (HEADER_LEN - 8)) & !1;

/// Makes the header of a file that a [`Writer`] has completed count so many samples, of all channels
/// together; how long the file is to be then, bytes.
pub fn cut_header(output: &mut (impl Write + Seek), samples: u64) -> io::Result<u64> {
    let data = 2 * samples;
    for (at, size) in [(4, HEADER_LEN - 8 + data), (HEADER_LEN - 4, data)] {
        output.seek(SeekFrom::Start(at))?;
        // Less than it counted before.
        output.write_all(&(size as u32).to_le_bytes())?;
    }
    Ok(HEADER_LEN + data)
}

/// A WAV file being written. The header is rewritten by [`Writer::flush`], and only behind the
/// audio that it counts: whenever the process dies, the file holds what was flushed.
///
/// Samples are gathered before hound and not behind it, in a `BufWriter`: its flush fails on a
/// full disk before it touches the header, which then misses what did fit.
pub struct Writer<W: Write + Seek> {
    hound: WavWriter<Shared<W>>,
    pub(super) output: Shared<W>,
    /// Not yet handed to hound.
    pending: Vec<i16>,
    /// Samples that the header counts.
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
        Self::with_channels(output, rate, 1, max_data)
    }

    /// The same for so many channels, whose samples alternate; all counts are of samples of them
    /// together.
    pub fn with_channels(
        output: W,
        rate: u32,
        channels: u16,
        max_data: u64,
    ) -> Result<Self, WavError> {
        // hound divides by the rate, and multiplies it.
        if !(MIN_RATE..=MAX_RATE).contains(&rate) {
            return Err(WavError::Rate(rate));
        }
        let spec = WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let output = Shared(Arc::new(Mutex::new(output)));
        let mut hound = WavWriter::new(output.clone(), spec).map_err(from_hound)?;
        // Until then its RIFF chunk has the size 0.
        hound.flush().map_err(from_hound)?;
        Ok(Self {
            hound,
            output,
            pending: Vec::with_capacity(PENDING),
            counted: 0,
            max_data: max_data.min(MAX_DATA) & !1,
        })
    }

    /// Samples taken so far.
    pub fn samples(&self) -> u64 {
        u64::from(self.hound.len()) + self.pending.len() as u64
    }

    /// Samples that the file's header counts: those of the last flush.
    pub fn flushed_samples(&self) -> u64 {
        self.counted
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
            self.pending.push(*sample);
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
        self.hound.flush().map_err(from_hound)?;
        self.counted = self.hound.len().into();
        audio
    }

    /// Flushes and gives the output back.
    pub fn finish(mut self) -> Result<W, WavError> {
        self.flush()?;
        drop(self.hound);
        let output = Arc::into_inner(self.output.0).expect("hound held the only other one");
        Ok(output.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_pending(&mut self) -> Result<(), WavError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let before = self.hound.len();
        let end = SeekFrom::Start(HEADER_LEN + 2 * u64::from(before));
        self.output.seek(end)?;
        let mut block = self.hound.get_i16_writer(self.pending.len() as u32);
        for sample in &self.pending {
            block.write_sample(*sample);
        }
        if block.flush().is_ok() {
            self.pending.clear();
            return Ok(());
        }
        // hound counts nothing of a block that failed, and would go on behind the part of it
        // that is in the file. Sample by sample, it counts just those that fit.
        self.output.seek(end)?;
        let mut samples = self.pending.iter();
        let result = samples.try_for_each(|sample| self.hound.write_sample(*sample));
        self.pending.drain(..(self.hound.len() - before) as usize);
        result.map_err(from_hound)
    }
}

/// The output, also in our hands: hound neither lends nor returns what it was given.
pub(super) struct Shared<W>(Arc<Mutex<W>>);

impl<W> Shared<W> {
    /// Never waits: hound writes only when its writer is called.
    pub(super) fn lock(&self) -> MutexGuard<'_, W> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Clone for Shared<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Write> Write for Shared<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.lock().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

impl<W: Seek> Seek for Shared<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.lock().seek(to)
    }
}
