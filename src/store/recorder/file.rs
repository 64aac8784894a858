//! One recording on disk.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::leg::tap::RecordFrame;
use crate::wav::{WavError, Writer};

/// Names that are tried before a recording is refused.
const MAX_TRIES: u32 = 10_000;
/// Silence is written in pieces of this many samples.
const SILENCE: [i16; 8000] = [0; 8000];

/// A recording under way: a WAV file, or several once the first is full.
pub(super) struct Recording {
    id: u64,
    rate: u32,
    wanted_path: PathBuf,
    path: PathBuf,
    writer: Writer<File>,
    max_bytes: u64,
    /// Samples in the files that are full.
    earlier: u64,
    filled: u64,
    /// Files that became full, with their followers, not yet told of.
    pub(super) rolled_over: Vec<(PathBuf, PathBuf)>,
}

impl Recording {
    pub(super) fn create(id: u64, path: &Path, rate: u32, max_bytes: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let (actual, writer) = create_unique(path, rate, max_bytes)?;
        Ok(Self {
            id,
            rate,
            wanted_path: path.to_owned(),
            path: actual,
            writer,
            max_bytes,
            earlier: 0,
            filled: 0,
            rolled_over: Vec::new(),
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
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

    /// Samples that the headers on disk count.
    pub(super) fn safe_samples(&self) -> u64 {
        self.earlier + self.writer.flushed_samples()
    }

    /// Samples of silence for which no frame came.
    pub(super) fn filled(&self) -> u64 {
        self.filled
    }

    /// Puts a frame in its place, silence before it where others are missing.
    pub(super) fn write(&mut self, frame: &RecordFrame) -> Result<(), WavError> {
        self.fill_to(frame.position)?;
        // What overlaps is there already.
        let known = (self.position() - frame.position).min(frame.len.into()) as usize;
        let samples = frame
            .samples
            .get(known..frame.len.into())
            .unwrap_or_default();
        self.append(samples)
    }

    /// Silence up to `position`.
    pub(super) fn fill_to(&mut self, position: u64) -> Result<(), WavError> {
        while self.position() < position {
            let count = (position - self.position()).min(SILENCE.len() as u64);
            self.append(&SILENCE[..count as usize])?;
            self.filled += count;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), WavError> {
        self.writer.flush()
    }

    fn append(&mut self, samples: &[i16]) -> Result<(), WavError> {
        let room = self.writer.room();
        if samples.len() as u64 <= room {
            return self.writer.write(samples);
        }
        let (head, tail) = samples.split_at(room as usize);
        self.writer.write(head)?;
        self.writer.flush()?;
        self.roll_over()?;
        // A file holds more than a frame, or the limit is of no use.
        self.writer.write(tail)
    }

    fn roll_over(&mut self) -> Result<(), WavError> {
        let (path, writer) = create_unique(&self.wanted_path, self.rate, self.max_bytes)?;
        self.earlier += self.writer.samples();
        self.writer = writer;
        self.rolled_over
            .push((std::mem::replace(&mut self.path, path.clone()), path));
        Ok(())
    }
}

/// Creates `path`, or the first of `path-1`, `path-2`, ... that is free.
fn create_unique(path: &Path, rate: u32, max_bytes: u64) -> io::Result<(PathBuf, Writer<File>)> {
    for attempt in 0..MAX_TRIES {
        let candidate = numbered(path, attempt);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&candidate)
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                return match Writer::with_limit(file, rate, max_bytes) {
                    Ok(writer) => Ok((candidate, writer)),
                    Err(error) => {
                        // No room for the header even: an empty file would be no WAV.
                        let _ = fs::remove_file(&candidate);
                        Err(into_io(error))
                    }
                };
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("{MAX_TRIES} files of this name"),
    ))
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
