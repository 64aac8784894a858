//! One recording on disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::opus::OpusFile;
use super::{Container, RecordingFormat};
use crate::leg::tap::RecordFrame;
use crate::wav::{WavError, Writer, cut_header};

/// Names that are tried before a recording is refused: others may take the same at the same time.
const MAX_TRIES: u32 = 1000;
/// Files are not split more often than this, samples of a channel: half a second at 8 kHz.
const MIN_SPLIT: u64 = 4000;
/// Silence is written in pieces of this many samples.
const SILENCE: [i16; 8000] = [0; 8000];

/// A recording under way: a file, or several where it is split or the first is full.
pub(super) struct Recording {
    id: u64,
    format: RecordingFormat,
    wanted_path: PathBuf,
    path: PathBuf,
    /// The number in its name. Numbers are not used again: who listens may move complete files away.
    attempt: u32,
    writer: Sink,
    max_bytes: u64,
    /// Samples of a channel in the files that are complete.
    earlier: u64,
    filled: u64,
    /// Its end may be before what was written: the rest is taken off.
    cuttable: bool,
    /// Files that are complete, their followers, and where those begin: not yet told of.
    pub(super) rolled_over: Vec<(PathBuf, PathBuf, u64)>,
}

impl Recording {
    pub(super) fn create(
        id: u64,
        path: &Path,
        format: &RecordingFormat,
        max_bytes: u64,
    ) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let (attempt, actual, writer) = create_unique(path, 0, format, id, max_bytes)?;
        Ok(Self {
            id,
            format: *format,
            wanted_path: path.to_owned(),
            path: actual,
            attempt,
            writer,
            max_bytes,
            earlier: 0,
            filled: 0,
            cuttable: false,
            rolled_over: Vec::new(),
        })
    }

    /// One of which what is behind its end is taken off.
    pub(super) fn cuttable(mut self) -> Self {
        self.cuttable = true;
        self
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn rate(&self) -> u32 {
        self.format.rate
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where its file lies.
    pub(super) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        }
    }

    /// Where the next sample goes.
    pub(super) fn position(&self) -> u64 {
        self.earlier + self.writer.samples()
    }

    /// Samples that the files on disk are sure to hold.
    pub(super) fn safe_samples(&self) -> u64 {
        self.earlier + self.writer.flushed_samples()
    }

    /// Samples of silence for which no frame came; of a track, which is not told of its silence, none.
    pub(super) fn filled(&self) -> u64 {
        self.filled
    }

    /// Puts a frame in its place, silence before it where others are missing.
    pub(super) fn write(&mut self, frame: &RecordFrame) -> Result<(), WavError> {
        self.fill_to(frame.position)?;
        // What overlaps is there already.
        let channels = self.format.channels();
        let known = (self.position() - frame.position).saturating_mul(channels);
        let known = known.min(frame.len.into()) as usize;
        let samples = frame
            .samples
            .get(known..frame.len.into())
            .unwrap_or_default();
        self.append(samples)
    }

    /// Silence up to `position`.
    pub(super) fn fill_to(&mut self, position: u64) -> Result<(), WavError> {
        let channels = self.format.channels();
        let piece = SILENCE.len() as u64 / channels;
        while self.position() < position {
            let count = (position - self.position()).min(piece);
            self.append(&SILENCE[..(count * channels) as usize])?;
            if !self.format.sparse {
                self.filled += count;
            }
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), WavError> {
        self.writer.flush()
    }

    /// Completes the file.
    pub(super) fn finish(&mut self) -> Result<(), WavError> {
        self.writer.finish()
    }

    /// Lets go of the file, which is complete, and takes off what is behind `end`, where that may be before
    /// what was written. How long it is.
    pub(super) fn close(self, end: Option<u64>) -> u64 {
        let written = self.position();
        let is_cut = |end: &u64| self.cuttable && self.earlier == 0 && *end < written;
        let Some(end) = end.filter(is_cut) else {
            return written;
        };
        let samples = end * self.format.channels();
        // It writes the header once more when it goes.
        drop(self.writer);
        match cut(&self.path, samples) {
            Ok(()) => end,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the end of a recording stays");
                written
            }
        }
    }

    /// Samples of a channel that still go into the file.
    fn room(&self) -> u64 {
        let split = self.format.split_samples.unwrap_or(u64::MAX).max(MIN_SPLIT);
        let room = split.saturating_sub(self.writer.samples());
        room.min(self.writer.room())
    }

    fn append(&mut self, samples: &[i16]) -> Result<(), WavError> {
        let channels = self.format.channels();
        let room = self.room().saturating_mul(channels);
        if samples.len() as u64 <= room {
            return self.writer.write(samples);
        }
        let (head, tail) = samples.split_at(room as usize);
        self.writer.write(head)?;
        self.writer.finish()?;
        self.roll_over()?;
        // A file holds more than a frame, or the limit is of no use.
        self.writer.write(tail)
    }

    fn roll_over(&mut self) -> Result<(), WavError> {
        let (attempt, path, writer) = create_unique(
            &self.wanted_path,
            self.attempt + 1,
            &self.format,
            self.id,
            self.max_bytes,
        )?;
        self.attempt = attempt;
        self.earlier += self.writer.samples();
        self.writer = writer;
        let full = std::mem::replace(&mut self.path, path.clone());
        self.rolled_over.push((full, path, self.earlier));
        Ok(())
    }
}

/// Cuts a WAV file down to so many samples.
fn cut(path: &Path, samples: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let bytes = cut_header(&mut file, samples)?;
    file.set_len(bytes)
}

/// What a file is written by. All counts are of one channel.
enum Sink {
    Wav { writer: Writer<File>, channels: u64 },
    Opus(Box<OpusFile<File>>),
}

impl Sink {
    fn create(
        file: File,
        format: &RecordingFormat,
        id: u64,
        max_bytes: u64,
    ) -> Result<Self, WavError> {
        let channels = format.channels();
        Ok(match format.container {
            Container::Wav => Self::Wav {
                writer: Writer::with_channels(file, format.rate, channels as u16, max_bytes)?,
                channels,
            },
            Container::OggOpus => Self::Opus(Box::new(OpusFile::create(
                file,
                format.rate,
                channels as usize,
                id as u32,
            )?)),
        })
    }

    fn samples(&self) -> u64 {
        match self {
            Self::Wav { writer, channels } => writer.samples() / channels,
            Self::Opus(file) => file.samples(),
        }
    }

    fn flushed_samples(&self) -> u64 {
        match self {
            Self::Wav { writer, channels } => writer.flushed_samples() / channels,
            Self::Opus(file) => file.flushed_samples(),
        }
    }

    fn room(&self) -> u64 {
        match self {
            Self::Wav { writer, channels } => writer.room() / channels,
            Self::Opus(_) => u64::MAX,
        }
    }

    fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        match self {
            Self::Wav { writer, .. } => writer.write(samples),
            Self::Opus(file) => Ok(file.write(samples)?),
        }
    }

    fn flush(&mut self) -> Result<(), WavError> {
        match self {
            Self::Wav { writer, .. } => writer.flush(),
            Self::Opus(file) => Ok(file.flush()?),
        }
    }

    fn finish(&mut self) -> Result<(), WavError> {
        match self {
            Self::Wav { writer, .. } => writer.flush(),
            Self::Opus(file) => Ok(file.finish()?),
        }
    }
}

/// Creates one of `path`, `path-1`, `path-2`, ... that is free, from number `from` on: the first where they
/// are taken one after the other.
fn create_unique(
    path: &Path,
    from: u32,
    format: &RecordingFormat,
    id: u64,
    max_bytes: u64,
) -> io::Result<(u32, PathBuf, Sink)> {
    let mut attempt = from;
    for _ in 0..MAX_TRIES {
        let candidate = numbered(path, attempt);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&candidate)
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                attempt = free_behind(path, attempt);
            }
            Err(error) => return Err(error),
            Ok(file) => {
                return match Sink::create(file, format, id, max_bytes) {
                    Ok(writer) => Ok((attempt, candidate, writer)),
                    Err(error) => {
                        // No room for the header even: an empty file would be no recording.
                        let _ = fs::remove_file(&candidate);
                        Err(into_io(error))
                    }
                };
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{MAX_TRIES} names were taken by others first"),
    ))
}

/// A number behind one that is taken. They are taken one after the other, as a rule: not each of them has
/// to be tried.
fn free_behind(path: &Path, taken: u32) -> u32 {
    let is_taken = |number| fs::symlink_metadata(numbered(path, number)).is_ok();
    let (mut taken, mut step) = (taken, 1u32);
    let mut free = loop {
        let next = taken.saturating_add(step);
        if next == u32::MAX || !is_taken(next) {
            break next;
        }
        taken = next;
        step = step.saturating_mul(2);
    };
    while free - taken > 1 {
        let middle = taken + (free - taken) / 2;
        if is_taken(middle) {
            taken = middle;
        } else {
            free = middle;
        }
    }
    free
}

fn into_io(error: WavError) -> io::Error {
    match error {
        WavError::Io(error) => error,
        other => io::Error::other(other),
    }
}

fn numbered(path: &Path, attempt: u32) -> PathBuf {
    if attempt == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{attempt}"));
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::tap::MAX_FRAME;

    #[test]
    fn a_name_that_many_have_taken_is_numbered_on() {
        let here = tempfile::tempdir().unwrap();
        let path = here.path().join("take.wav");
        let create = || {
            let format = RecordingFormat::wav(8000);
            let recording = Recording::create(1, &path, &format, u64::MAX).unwrap();
            recording.path().to_owned()
        };
        for number in 0..=6 {
            assert_eq!(create(), numbered(&path, number));
        }
        for number in 7..=10_000 {
            fs::write(numbered(&path, number), "").unwrap();
        }
        assert_eq!(create(), numbered(&path, 10_001));
        assert_eq!(create(), numbered(&path, 10_002));
    }

    #[test]
    fn what_is_behind_its_end_is_taken_off() {
        let here = tempfile::tempdir().unwrap();
        let ends = [
            (Some(200), 200),
            (Some(0), 0),
            (None, 480),
            (Some(480), 480),
        ];
        for (number, (end, kept)) in ends.into_iter().enumerate() {
            let path = here.path().join(format!("{number}.wav"));
            let format = RecordingFormat::wav(8000);
            let recording = Recording::create(1, &path, &format, u64::MAX).unwrap();
            let mut recording = recording.cuttable();
            for position in [0, 160, 320] {
                let frame = RecordFrame {
                    recording: 1,
                    position,
                    len: 160,
                    samples: [7; MAX_FRAME],
                };
                recording.write(&frame).unwrap();
            }
            recording.finish().unwrap();
            assert_eq!(recording.close(end), kept);
            let bytes = fs::read(&path).unwrap();
            assert_eq!(bytes.len() as u64, 44 + 2 * kept);
            let size = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let sizes = [4, 40].map(|at| u64::from(size(at)));
            assert_eq!(sizes, [36 + 2 * kept, 2 * kept]);
        }
    }
}
