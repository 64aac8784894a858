//! What recordings of rooms want of files, what becomes of these, and what is told of it all.

use std::path::PathBuf;
use std::time::Duration;

use super::recording_log::RecordingLog;
use crate::app::room_record::RoomRecordSettings;
use crate::bridge::RoomRecording;
use crate::call::CallHandle;

/// What recordings of rooms want of files.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomFiles {
    /// Open those of a recording; [`RoomFilesDone::Opened`] or `Input::RecordingFailed` answers.
    Open(Box<RoomRecord>),
    /// Open that of one more track; [`RoomFilesDone::Track`] answers.
    OpenTrack(NewTrack),
    /// A recording is over, and its files are about to be closed: [`RoomFilesDone::Closed`] answers
    /// when they are, and the log is written beside them.
    Ended(Box<RecordingLog>),
}

/// What has become of them.
#[derive(Debug)]
pub enum RoomFilesDone {
    /// The files of a recording are open.
    Opened {
        /// What fills them.
        recording: Box<RoomRecording>,
        /// The files by their handles.
        files: Vec<(u64, PathBuf)>,
        /// What will tell who is in them.
        sidecar: PathBuf,
    },
    /// The file of a track is open, or not: which, and why.
    Track {
        /// Of which recording.
        recording: u64,
        /// Its handle.
        track: u64,
        /// The file.
        file: Result<PathBuf, String>,
    },
    /// A file is complete, and another follows.
    Split {
        /// Its handle.
        handle: u64,
        /// The one that is complete.
        full: PathBuf,
        /// The one that follows.
        file: PathBuf,
    },
    /// All files of a recording are closed.
    Closed {
        /// Which.
        recording: u64,
        /// The files; none: there was nothing in them.
        files: Vec<PathBuf>,
        /// What tells who is in them.
        sidecar: PathBuf,
        /// Why that could not be written.
        error: Option<String>,
    },
}

/// A recording of a room, whose files are to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRecord {
    /// Its number, and the handle of the mix.
    pub recording: u64,
    /// The room's name.
    pub room: String,
    /// How it is recorded.
    pub settings: RoomRecordSettings,
    /// The handle of the room's own track.
    pub rest: Option<u64>,
    /// The tracks of those who are in.
    pub tracks: Vec<NewTrack>,
}

/// A track whose file is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrack {
    /// The recording that it belongs to.
    pub recording: u64,
    /// Its handle.
    pub track: u64,
    /// Whose.
    pub party: String,
}

/// A recording of a room as programs see it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomRecordingView {
    /// Its number.
    pub recording: u64,
    /// How it is recorded.
    pub settings: RoomRecordSettings,
    /// What it does.
    pub state: RecordingState,
    /// Who is on the left, in stereo.
    pub left: Option<CallHandle>,
    /// Its length so far.
    pub length: Duration,
    /// The files that are being written, as far as they are open.
    pub files: Vec<PathBuf>,
}

/// What a recording does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingState {
    /// Its files are being opened.
    Opening,
    /// It records.
    Recording,
    /// It is paused: the time is left out.
    Paused,
    /// It is paused: silence is written.
    Muted,
}

/// Something about a recording of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRecordingEvent {
    /// The room's name.
    pub room: String,
    /// The recording's number.
    pub recording: u64,
    /// What.
    pub change: RoomRecordingChange,
}

/// What becomes of a recording of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomRecordingChange {
    /// It has begun.
    Began {
        /// Its files.
        files: Vec<PathBuf>,
        /// What tells who is in them.
        sidecar: PathBuf,
    },
    /// A member that came later has a file of its own.
    Track {
        /// Who.
        member: String,
        /// The file.
        file: PathBuf,
    },
    /// It is paused.
    Paused {
        /// Silence is written meanwhile.
        silence: bool,
    },
    /// It goes on.
    Resumed,
    /// A file is complete, and another follows.
    Split {
        /// The one that is complete.
        full: PathBuf,
        /// The one that follows.
        file: PathBuf,
    },
    /// It is over, and all its files are closed.
    Ended {
        /// The files; none: nothing was recorded.
        files: Vec<PathBuf>,
        /// What tells who is in them.
        sidecar: PathBuf,
        /// Its length.
        length: Duration,
    },
    /// A file cannot be opened or written on: what is written is valid. Where it is the file of a member
    /// that came later, the recording goes on, and has the member in the room's own track; else it ends.
    /// Or a recording from a room's start waits for the files of those before it.
    Failed {
        /// Which file and why.
        error: String,
    },
}
