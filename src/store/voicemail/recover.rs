//! Finishes, at the start, what a crash has left of a box.
//!
//! Sits behind [`super::FileStore::open`]. Nothing recorded is lost: a recording that is no message
//! yet becomes one, unless it is too short to be worth it. What cannot be told is left where it
//! is, with a warning; no file keeps the server from starting.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::{Place, entries, remove};
use super::sidecar::{self, Note, Sidecar};
use super::{Origin, StoreError, check_name, file_error};
use crate::wav::{Reader, WavError};

/// A file no longer than a WAV header holds no audio, whatever else is wrong with it.
const HEADER_BYTES: u64 = 44;

/// Puts one box in order.
pub(super) fn recover(place: &Place, mailbox: &str, min_length: Duration) {
    let found = Recovery {
        place,
        mailbox,
        min_length,
    };
    // Deleted messages first: their recordings would be taken for drafts.
    for (path, name) in listed(&place.directory, ".deleted") {
        report(&path, found.finish_delete(&name));
    }
    for directory in [&place.directory, &place.drafts] {
        for (path, _) in listed(directory, ".json.tmp") {
            report(&path, remove(&path));
        }
    }
    for (path, id) in listed(&place.directory, ".wav") {
        if !place.sidecar(&id).exists() {
            report(&path, found.adopt(&path, &id));
        }
    }
    for (path, id) in listed(&place.drafts, ".wav") {
        report(&path, found.adopt(&path, &id));
    }
    for (path, id) in listed(&place.drafts, ".json") {
        // The recording stayed: so does what is known of it.
        if !place.draft(&id).exists() {
            report(&path, remove(&path));
        }
    }
}

struct Recovery<'a> {
    place: &'a Place,
    mailbox: &'a str,
    min_length: Duration,
}

impl Recovery<'_> {
    fn finish_delete(&self, id: &str) -> Result<(), StoreError> {
        check_name(id)?;
        // There only if the rename was left half done.
        remove(&self.place.sidecar(id))?;
        self.place.finish_delete(id)
    }

    /// Makes a message of a recording in the box or among its drafts.
    fn adopt(&self, path: &Path, id: &str) -> Result<(), StoreError> {
        check_name(id)?;
        let Some(length) = length(path)? else {
            return self.drop(path, id);
        };
        if length < self.min_length {
            return self.drop(path, id);
        }
        let (from, received) = self.origin(path, id)?;
        let sidecar = Sidecar::new(id, self.mailbox, &from, received, length);
        if path == self.place.recording(id) {
            self.place.adopt(&sidecar)?;
        } else {
            self.place.keep(path, &sidecar)?;
        }
        let length_ms = sidecar.length_ms;
        tracing::info!(mailbox = self.mailbox, id, length_ms, "message recovered");
        Ok(())
    }

    fn drop(&self, path: &Path, id: &str) -> Result<(), StoreError> {
        remove(path)?;
        self.place.remove_note(id)
    }

    /// Who left it and when: from the note, or else as far as the file tells.
    fn origin(&self, path: &Path, id: &str) -> Result<(Origin, u64), StoreError> {
        if let Ok(note) = sidecar::read::<Note>(&self.place.note_of(id)) {
            let from = Origin {
                caller: note.caller,
                call_id: note.call_id,
            };
            return Ok((from, note.began_seconds));
        }
        let written = fs::metadata(path).and_then(|metadata| metadata.modified());
        let written = written.map_err(file_error(path))?;
        let from = Origin {
            caller: "unknown".to_owned(),
            call_id: String::new(),
        };
        Ok((from, sidecar::seconds(written)))
    }
}

/// How long a recording is; `None`: there is nothing in it.
fn length(path: &Path) -> Result<Option<Duration>, StoreError> {
    let file = File::open(path).map_err(file_error(path))?;
    let bytes = file.metadata().map_err(file_error(path))?.len();
    match Reader::open(file) {
        Ok(reader) => {
            let spec = reader.spec();
            let milliseconds = spec.frames * 1000 / u64::from(spec.rate);
            Ok(Some(Duration::from_millis(milliseconds)))
        }
        Err(_) if bytes <= HEADER_BYTES => Ok(None),
        Err(WavError::Io(error)) => Err(file_error(path)(error)),
        Err(error) => Err(file_error(path)(std::io::Error::other(error))),
    }
}

/// The files of a directory that end in `ending`, each with its name before that, in order.
fn listed(directory: &Path, ending: &str) -> Vec<(PathBuf, String)> {
    let entries = entries(directory).unwrap_or_else(|error| {
        tracing::warn!(%error, "not looked through for messages");
        Vec::new()
    });
    let mut files: Vec<_> = entries
        .into_iter()
        .filter_map(|(name, path)| Some((path, name.strip_suffix(ending)?.to_owned())))
        .collect();
    files.sort();
    files
}

fn report(path: &Path, result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(path = %path.display(), %error, "left as it is");
    }
}
