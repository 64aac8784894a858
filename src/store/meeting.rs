//! The sidecar of a room's recording: who was recorded when, in which files. docs/recording.md has
//! the format.
//!
//! Sits beside the recorder, on the control side. A file appears under its name whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The version that is written.
pub const VERSION: u32 = 1;

/// What `name.json` says of a recording. Positions are samples at `rate` since its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meeting {
    /// [`VERSION`]; another where an old reader would be wrong.
    pub version: u32,
    /// The room's identifier.
    pub room: String,
    /// When it started, RFC 3339 in UTC.
    pub started: String,
    /// The sampling rate of all files, Hz.
    pub rate: u32,
    /// The length.
    pub samples: u64,
    /// The recording goes on, or nobody could write how it ended: length, members and further files
    /// are not told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// In stereo: the member on the left of `mix`, whose right has all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// What the room heard.
    pub mix: Files,
    /// What the room played, and who has no track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Files>,
    /// The members, each with what it said.
    #[serde(default)]
    pub tracks: Vec<MemberTrack>,
    /// When nothing was recorded.
    #[serde(default)]
    pub pauses: Vec<Pause>,
}

/// The files of one time line, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Each reaches to the next one, the last to the end.
    pub files: Vec<Piece>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its name, in the sidecar's directory.
    pub file: String,
    /// Where it begins.
    pub from: u64,
}

/// A member's track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberTrack {
    /// Who: the address or name that it had in the room.
    pub member: String,
    /// Its files.
    #[serde(flatten)]
    pub files: Files,
    /// When it was in the room: what [`crate::bridge::Track::span`] told, each time.
    pub present: Vec<Span>,
    /// When nobody heard it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub muted: Vec<Span>,
}

/// From one position to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first sample.
    pub from: u64,
    /// The one behind the last.
    pub to: u64,
}

/// A pause.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Pause {
    /// The time is not in the files.
    LeftOut {
        /// Where it would be.
        at: u64,
        /// How long it was.
        seconds: f64,
    },
    /// Silence was written.
    Silence {
        /// From here.
        at: u64,
        /// The sample behind it.
        to: u64,
    },
}

impl Meeting {
    /// Writes it; what was there of that name is replaced at once.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let result = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                let mut file = File::create(&temporary)?;
                file.write_all(&text)?;
                file.sync_all()?;
                fs::rename(&temporary, path)
            });
        if result.is_err() {
            // A full disk is the likely reason; what is left of it is of no use.
            let _ = fs::remove_file(&temporary);
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_is_what_is_written_and_read() {
        let docs = include_str!("../../docs/recording.md");
        let (_, example) = docs.split_once("```json\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let meeting: Meeting = serde_json::from_str(example).unwrap();
        assert_eq!(meeting.version, VERSION);
        assert_eq!(meeting.tracks[0].present.len(), 2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("600.json");
        meeting.write(&path).unwrap();
        meeting.write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<Meeting>(&text).unwrap(), meeting);
        let wanted: serde_json::Value = serde_json::from_str(example).unwrap();
        let written: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(written, wanted);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_left_of_one_that_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("a.json");
        fs::create_dir(&taken).unwrap();
        let meeting = Meeting {
            version: VERSION,
            room: "1".into(),
            started: String::new(),
            rate: 8000,
            samples: 0,
            incomplete: false,
            left: None,
            mix: Files::default(),
            rest: None,
            tracks: Vec::new(),
            pauses: Vec::new(),
        };
        assert!(meeting.write(&taken).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
