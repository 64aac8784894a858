//! What is told of recordings of conference rooms.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::switch::{RoomRecordingChange, RoomRecordingEvent};

/// Something that became of a recording of a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoomRecordingBody<'a> {
    /// The room's name.
    room: &'a str,
    /// The recording's number.
    recording: u64,
    /// What became of it.
    #[serde(flatten)]
    what: What<'a>,
}

/// What became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "change", rename_all = "kebab-case")]
enum What<'a> {
    /// It has begun.
    Began {
        /// Its files.
        files: Vec<String>,
        /// What will tell who is in them: docs/recording.md.
        sidecar: String,
    },
    /// A member that came later has a file of its own.
    Track {
        /// Who.
        member: &'a str,
        /// The file.
        file: String,
    },
    /// It is paused.
    Paused {
        /// Silence is written meanwhile, in place of leaving the time out.
        silence: bool,
    },
    /// It goes on.
    Resumed,
    /// A file is complete, and another follows.
    Split {
        /// The one that is complete.
        full: String,
        /// The one that follows.
        file: String,
    },
    /// It is over, and all its files are closed.
    Ended {
        /// The files. None: nothing was recorded.
        files: Vec<String>,
        /// What tells who is in them.
        sidecar: String,
        /// How long it is, ms.
        length_ms: u64,
    },
    /// A file cannot be opened or written on: what is written is valid.
    Failed {
        /// Which and why.
        error: &'a str,
    },
}

impl<'a> RoomRecordingBody<'a> {
    pub fn of(event: &'a RoomRecordingEvent) -> Self {
        let what = match &event.change {
            RoomRecordingChange::Began { files, sidecar } => What::Began {
                files: names(files),
                sidecar: name(sidecar),
            },
            RoomRecordingChange::Track { member, file } => What::Track {
                member,
                file: name(file),
            },
            RoomRecordingChange::Paused { silence } => What::Paused { silence: *silence },
            RoomRecordingChange::Resumed => What::Resumed,
            RoomRecordingChange::Split { full, file } => What::Split {
                full: name(full),
                file: name(file),
            },
            RoomRecordingChange::Ended {
                files,
                sidecar,
                length,
            } => What::Ended {
                files: names(files),
                sidecar: name(sidecar),
                length_ms: length.as_millis().try_into().unwrap_or(u64::MAX),
            },
            RoomRecordingChange::Failed { error } => What::Failed { error },
        };
        Self {
            room: &event.room,
            recording: event.recording,
            what,
        }
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| name(path)).collect()
}
