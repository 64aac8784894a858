//! The small JSON files: `ID.json` beside a message, and beside a draft the note of who leaves it.
//!
//! Sits below [`super::files`] and [`super::recover`]. A file appears under its name whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Origin;
use crate::app::Message;
use crate::store::layout::civil_date;

/// The longest caller and Call-ID that are kept, characters; a peer may send more.
const MAX_TEXT: usize = 256;
/// No file of ours is longer, however its characters were escaped.
const MAX_BYTES: u64 = 16 * 1024;

/// What `ID.json` says of a message. It exists if and only if the message does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) id: String,
    pub(super) mailbox: String,
    pub(super) caller: String,
    pub(super) call_id: String,
    /// RFC 3339, for people; `received_seconds` counts.
    pub(super) received: String,
    pub(super) received_seconds: u64,
    pub(super) length_ms: u64,
    pub(super) saved: bool,
}

impl Sidecar {
    pub(super) fn new(
        id: &str,
        mailbox: &str,
        from: &Origin,
        received: u64,
        length: Duration,
    ) -> Self {
        Self {
            id: id.to_owned(),
            mailbox: mailbox.to_owned(),
            caller: bounded(&from.caller),
            call_id: bounded(&from.call_id),
            received: rfc3339(received),
            received_seconds: received,
            length_ms: length.as_millis() as u64,
            saved: false,
        }
    }

    /// As the application sees it.
    pub(super) fn message(self, file: PathBuf) -> Message {
        Message {
            id: self.id,
            file,
            caller: self.caller,
            received: self.received_seconds,
            length: Duration::from_millis(self.length_ms),
            saved: self.saved,
        }
    }
}

/// What is known of a draft: who leaves it, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) caller: String,
    pub(super) call_id: String,
    pub(super) began_seconds: u64,
}

impl Note {
    pub(super) fn new(from: &Origin, began: u64) -> Self {
        Self {
            caller: bounded(&from.caller),
            call_id: bounded(&from.call_id),
            began_seconds: began,
        }
    }
}

/// Reads one of the files.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let why = format!("longer than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(serde_json::from_slice(&text)?)
}

/// Writes a file under its temporary name, onto the disk.
pub(super) fn prepare<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let temporary = temporary(path);
    let result = serde_json::to_vec_pretty(content)
        .map_err(io::Error::from)
        .and_then(|mut text| {
            text.push(b'\n');
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()
        });
    if result.is_err() {
        // A full disk is the likely reason; what is left of it is of no use.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Gives a prepared file its name, at once.
pub(super) fn commit(path: &Path) -> io::Result<()> {
    fs::rename(temporary(path), path)
}

/// Takes back what was prepared.
pub(super) fn abandon(path: &Path) {
    // Whatever is left is removed at the next start.
    let _ = fs::remove_file(temporary(path));
}

/// `ID.json.tmp`.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Makes what was created, renamed and removed in a directory outlast a loss of power.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A time as RFC 3339 §5.6 has it, in UTC.
fn rfc3339(seconds: u64) -> String {
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn bounded(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
