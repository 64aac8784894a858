//! The recorder: one thread that writes every recording of the server.
//!
//! Sits behind `leg::tap`, whose frames come through a bounded queue that is polled while anything
//! is recorded, so that sending one never costs a media thread a system call. Opening, closing and
//! events go to and from the control side, which wakes the thread. A recording on disk is valid up to its last half second at any time.

mod file;
mod opus;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use self::file::Recording;
use self::writer::WriterThread;
use crate::leg::tap::{MAX_FRAME, RecordFrame};

/// Opens and closes that may wait for the writer.
const CONTROL_PLACES: usize = 8192;

/// How long the writer may take to close everything: far more than a disk needs that answers.
pub const STOP_TIME: Duration = Duration::from_secs(20);

/// How the recorder works.
#[derive(Clone, Copy, Debug)]
pub struct RecorderSettings {
    /// Frames that may wait for the writer, over all recordings: 8192 are 0.4 s of 400 legs at up to
    /// 16 kHz.
    pub frames: usize,
    /// Events that may wait for the control side in the queue; more wait with the writer.
    pub events: usize,
    /// The longest that audio is missing from the file's header.
    pub flush_every: Duration,
    /// Bytes of audio of one file; a recording beyond goes on in a second one.
    pub max_file_bytes: u64,
    /// What is to stay free on the disk; none: recordings may fill it.
    pub space: Option<SpaceLimit>,
}

/// What a recording is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingFormat {
    /// The sampling rate, Hz; in Ogg/Opus 8000, 16000 or 48000.
    pub rate: u32,
    /// Two channels, whose samples alternate in the frames; one otherwise.
    pub stereo: bool,
    /// The kind of file.
    pub container: Container,
    /// A new file after so many samples of a channel, half a second at least. None: only where the
    /// largest size makes it so.
    pub split_samples: Option<u64>,
    /// A track, of which no frame comes while it is silent: that is no loss.
    pub sparse: bool,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// WAV, 16-bit linear.
    Wav,
    /// Opus in Ogg (RFC 7845).
    OggOpus,
}

impl RecordingFormat {
    /// Mono WAV in one file.
    pub fn wav(rate: u32) -> Self {
        Self {
            rate,
            stereo: false,
            container: Container::Wav,
            split_samples: None,
            sparse: false,
        }
    }

    fn channels(&self) -> u64 {
        if self.stereo { 2 } else { 1 }
    }
}

/// Ends recordings rather than leave less space on their disk.
#[derive(Clone, Copy, Debug)]
pub struct SpaceLimit {
    /// Bytes that stay free.
    pub min_free_bytes: u64,
    /// Asks the system how many are free where a path lies.
    pub free_bytes: fn(&Path) -> io::Result<u64>,
}

impl SpaceLimit {
    /// Refuses where less than the limit is free around `path`.
    pub fn check(&self, path: &Path) -> Result<(), String> {
        match (self.free_bytes)(path) {
            Ok(free) if free < self.min_free_bytes => Err(format!(
                "{}: {} MB free, recording.min_free_mb is {}",
                path.display(),
                free / 1_000_000,
                self.min_free_bytes / 1_000_000
            )),
            // What cannot be asked is not refused: the write itself will tell.
            _ => Ok(()),
        }
    }
}

impl RecorderSettings {
    /// The usual ones, where calls are recorded in this way: as much time of as many of them waits for
    /// the writer.
    pub fn for_calls(rate: u32, stereo: bool) -> Self {
        let samples = rate as usize / 50 * if stereo { 2 } else { 1 };
        let usual = Self::default();
        Self {
            frames: usual.frames * samples.div_ceil(MAX_FRAME).max(1),
            ..usual
        }
    }
}

impl Default for RecorderSettings {
    fn default() -> Self {
        Self {
            frames: 8192,
            events: 8192,
            flush_every: Duration::from_millis(250),
            max_file_bytes: u64::MAX,
            space: None,
        }
    }
}

/// What became of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecorderEvent {
    /// It is closed, and whole.
    Closed {
        /// Which one.
        id: u64,
        /// Its file, the last one where it needed several.
        path: PathBuf,
        /// Its length in samples, all files together.
        samples: u64,
        /// Their rate, Hz.
        rate: u32,
        /// Samples among them that are silence because no frame came for them.
        overflow_filled: u64,
    },
    /// The file has reached its largest size, or time; the recording goes on in another.
    RolledOver {
        /// Which one.
        id: u64,
        /// The file that is complete.
        full: PathBuf,
        /// The file that follows.
        path: PathBuf,
        /// Where that begins: samples since the start of the recording.
        from: u64,
    },
    /// It could not be written on; what was written stays valid.
    Failed {
        /// Which one.
        id: u64,
        /// Its file.
        path: PathBuf,
        /// Why.
        error: String,
        /// Samples that are safe in the file, or files.
        samples: u64,
        /// Their rate, Hz.
        rate: u32,
    },
}

/// Why a recording did not start.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The file, or a directory on its way, cannot be created.
    #[error("cannot create recording {path}: {source}")]
    Create {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The recorder has been stopped.
    #[error("the recorder has stopped")]
    Stopped,
}

enum Control {
    Open(Box<Recording>),
    Close {
        id: u64,
        end_position: u64,
    },
    /// The flag says it; this wakes the thread.
    Stop,
}

/// The handle of the writer thread; dropping it closes every recording properly.
pub struct Recorder {
    frames: Sender<RecordFrame>,
    control: Sender<Control>,
    events: Receiver<RecorderEvent>,
    settings: RecorderSettings,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Nothing comes by it: it closes when the thread ends.
    ended: Receiver<()>,
}

impl Recorder {
    /// Starts the writer thread.
    pub fn start(settings: RecorderSettings) -> io::Result<Self> {
        Self::start_telling(settings, || {})
    }

    /// The same; the thread calls `tell` when it has put something into [`Recorder::events`].
    pub fn start_telling(
        settings: RecorderSettings,
        tell: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (frames, frames_out) = bounded(settings.frames);
        let (control, control_out) = bounded(CONTROL_PLACES);
        let (events_in, events) = bounded(settings.events);
        let stop = Arc::new(AtomicBool::new(false));
        let writer = WriterThread::new(settings, frames_out, control_out, events_in, tell);
        let flag = stop.clone();
        let (ending, ended) = bounded(0);
        let thread = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                writer.run(&flag);
                drop(ending);
            })?;
        Ok(Self {
            frames,
            control,
            events,
            settings,
            stop,
            thread: Mutex::new(Some(thread)),
            ended,
        })
    }

    /// Creates the file (never overwriting: `-1`, `-2`, ... is added to a name that is taken)
    /// and its directories; returns its path. To be called before the first frame is sent.
    pub fn open(&self, id: u64, path: &Path, rate: u32) -> Result<PathBuf, RecorderError> {
        self.open_as(id, path, &RecordingFormat::wav(rate))
    }

    /// The same in another format.
    pub fn open_as(
        &self,
        id: u64,
        path: &Path,
        format: &RecordingFormat,
    ) -> Result<PathBuf, RecorderError> {
        self.begin(self.create(id, path, format)?)
    }

    /// The same as [`Recorder::open`]; where the close names an end before what was sent, the rest is taken
    /// off.
    pub fn open_cuttable(&self, id: u64, path: &Path, rate: u32) -> Result<PathBuf, RecorderError> {
        let recording = self.create(id, path, &RecordingFormat::wav(rate))?;
        self.begin(recording.cuttable())
    }

    fn create(
        &self,
        id: u64,
        path: &Path,
        format: &RecordingFormat,
    ) -> Result<Recording, RecorderError> {
        let limit = self.settings.max_file_bytes;
        let created = Recording::create(id, path, format, limit);
        created.map_err(|source| RecorderError::Create {
            path: path.to_owned(),
            source,
        })
    }

    fn begin(&self, recording: Recording) -> Result<PathBuf, RecorderError> {
        let path = recording.path().to_owned();
        self.control
            .send(Control::Open(Box::new(recording)))
            .map_err(|_| RecorderError::Stopped)?;
        Ok(path)
    }

    /// Closes a recording at `end_position` samples, with silence up to there where frames are
    /// missing. To be called after the last frame was sent. [`RecorderEvent::Closed`] follows,
    /// unless it has failed before.
    pub fn close(&self, id: u64, end_position: u64) {
        // Refused only by a recorder that has stopped, and so has closed everything.
        let _ = self.control.send(Control::Close { id, end_position });
    }

    /// The queue for the taps' frames.
    pub fn sender(&self) -> Sender<RecordFrame> {
        self.frames.clone()
    }

    /// What became of the recordings; to be polled.
    pub fn events(&self) -> &Receiver<RecorderEvent> {
        &self.events
    }

    /// Writes what has come and closes every recording; returns when all is on its way to disk.
    ///
    /// Goes on without the writer where that takes longer than `limit`, as with a disk that does not
    /// answer, and gives false then: what is on the disk is valid as far as it goes.
    pub fn stop(&self, limit: Duration) -> bool {
        self.stop.store(true, Ordering::Release);
        // Refused by a thread that has ended, or that has enough else to wake for.
        let _ = self.control.try_send(Control::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else {
            return true;
        };
        if self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        // The writer thread has no way to panic short of a bug, which it has then logged.
        let _ = thread.join();
        true
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop(STOP_TIME);
    }
}
