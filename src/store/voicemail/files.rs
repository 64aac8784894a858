//! Messages as files: `DIRECTORY/MAILBOX/ID.wav` with `ID.json` beside it.
//!
//! Sits behind [`MessageStore`]. The sidecar `ID.json` is what makes a recording a message: it
//! comes last, goes first, and changes by one rename. So a crash at any moment leaves a whole
//! message or a draft, and [`super::recover`] tells which.
//!
//! ```text
//! drafts/ID.json            the note: the place in the box is taken
//! drafts/ID.wav             being recorded
//! ID.wav                    moved here, its sidecar ready under a temporary name
//! ID.json                   a message; the note goes
//! ID.deleted                was ID.json: no message any more; ID.wav goes, then this
//! ```

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng;

use super::sidecar::{self, Note, Sidecar};
use super::{
    Limits, MessageStore, NewMessage, Origin, StoreError, check_name, file_error, recover,
};
use crate::app::Message;
use crate::store::probe::probe;

/// Below a box: recordings that are no messages yet.
const DRAFTS: &str = "drafts";

/// Messages in a directory of their own, one below it for each box.
pub struct FileStore {
    directory: PathBuf,
    limits: Limits,
    /// Tells ids of one millisecond apart.
    counter: AtomicU64,
    /// Held while a place in a box is taken, and while a sidecar is changed or goes.
    changes: Mutex<()>,
}

impl FileStore {
    /// Creates the directory if need be, and finishes what a crash has left: recordings that
    /// are long enough become messages. To be called once, before the first call: it would take
    /// a recording under way for one that was left.
    pub fn open(directory: PathBuf, limits: Limits) -> Result<FileStore, StoreError> {
        fs::create_dir_all(&directory).map_err(file_error(&directory))?;
        let store = Self {
            directory,
            limits,
            counter: AtomicU64::new(0),
            changes: Mutex::new(()),
        };
        for (name, _) in entries(&store.directory)? {
            if check_name(&name).is_ok() && store.directory.join(&name).is_dir() {
                let place = store.place(&name)?;
                recover::recover(&place, &name, limits.min_length);
            }
        }
        Ok(store)
    }

    /// Whether [`FileStore::open`] could have this directory: whether a file can be made, and removed, in
    /// it or in the first one above it that is there.
    pub fn probe(directory: &Path) -> Result<(), StoreError> {
        probe(directory).map_err(file_error(directory))
    }

    fn place(&self, mailbox: &str) -> Result<Place, StoreError> {
        check_name(mailbox)?;
        let directory = self.directory.join(mailbox);
        let drafts = directory.join(DRAFTS);
        Ok(Place { directory, drafts })
    }

    /// The box and the id of a draft that this store has given out.
    fn of_draft(&self, draft: &Path) -> Option<(String, Place, String)> {
        let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
        let mailbox = name(draft.parent()?.parent()?)?;
        let place = self.place(&mailbox).ok()?;
        let id = name(draft)?.strip_suffix(".wav")?.to_owned();
        check_name(&id).ok()?;
        (place.drafts.join(format!("{id}.wav")) == draft).then_some((mailbox, place, id))
    }

    /// Sorts by time, is never given twice, and is not to be guessed.
    fn new_id(&self, now: SystemTime) -> String {
        let milliseconds = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let random: u64 = rand::rng().random();
        format!("{milliseconds:013}-{count:06}-{random:016x}")
    }

    fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageStore for FileStore {
    fn list(&self, mailbox: &str) -> Result<Vec<Message>, StoreError> {
        let place = self.place(mailbox)?;
        let mut messages = Vec::new();
        for (name, _) in entries(&place.directory)? {
            let Some(id) = name.strip_suffix(".json") else {
                continue;
            };
            let path = place.sidecar(id);
            match place.read(mailbox, id) {
                Ok(sidecar) => messages.push(sidecar.message(place.recording(id))),
                // Deleted since the directory was read.
                Err(_) if !path.exists() => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "message left out");
                }
            }
        }
        messages.sort_by(|a, b| (a.received, &a.id).cmp(&(b.received, &b.id)));
        Ok(messages)
    }

    fn draft(&self, mailbox: &str, from: &Origin) -> Result<PathBuf, StoreError> {
        let place = self.place(mailbox)?;
        let now = SystemTime::now();
        let _changes = self.changes();
        if place.taken()? >= self.limits.max_messages {
            return Err(StoreError::Full {
                mailbox: mailbox.to_owned(),
                max_messages: self.limits.max_messages,
            });
        }
        if !place.drafts.is_dir() {
            fs::create_dir_all(&place.drafts).map_err(file_error(&place.drafts))?;
            for directory in [&place.directory, &self.directory] {
                sidecar::sync_directory(directory).map_err(file_error(directory))?;
            }
        }
        let id = self.new_id(now);
        let note = place.note(&id);
        let content = Note::new(from, sidecar::seconds(now));
        sidecar::prepare(&note, &content)
            .and_then(|()| sidecar::commit(&note))
            .map_err(file_error(&note))?;
        Ok(place.draft(&id))
    }

    fn keep(&self, draft: &Path, new: &NewMessage) -> Result<Message, StoreError> {
        let (place, id) = match self.of_draft(draft) {
            Some((mailbox, place, id)) if mailbox == new.mailbox => (place, id),
            _ => return Err(not_a_draft(draft)),
        };
        let sidecar = Sidecar::new(
            &id,
            &new.mailbox,
            &new.from,
            sidecar::seconds(new.received),
            new.length,
        );
        place.keep(draft, &sidecar)?;
        Ok(sidecar.message(place.recording(&id)))
    }

    fn discard(&self, draft: &Path) -> Result<(), StoreError> {
        let (_, place, id) = self.of_draft(draft).ok_or_else(|| not_a_draft(draft))?;
        remove(draft)?;
        place.remove_note(&id)
    }

    fn save(&self, mailbox: &str, id: &str) -> Result<(), StoreError> {
        let place = self.place(mailbox)?;
        check_name(id)?;
        let _changes = self.changes();
        let path = place.sidecar(id);
        if !path.exists() {
            return Err(no_message(mailbox, id));
        }
        let mut sidecar = place.read(mailbox, id).map_err(file_error(&path))?;
        if sidecar.saved {
            return Ok(());
        }
        sidecar.saved = true;
        sidecar::prepare(&path, &sidecar)
            .and_then(|()| sidecar::commit(&path))
            .map_err(file_error(&path))?;
        sidecar::sync_directory(&place.directory).map_err(file_error(&place.directory))
    }

    fn delete(&self, mailbox: &str, id: &str) -> Result<(), StoreError> {
        let place = self.place(mailbox)?;
        check_name(id)?;
        let _changes = self.changes();
        let path = place.sidecar(id);
        match fs::rename(&path, place.deleted(id)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(no_message(mailbox, id));
            }
            result => result.map_err(file_error(&path))?,
        }
        // On disk before the recording goes: a sidecar without one would be a broken message.
        sidecar::sync_directory(&place.directory).map_err(file_error(&place.directory))?;
        place.finish_delete(id)
    }
}

/// The files of one box.
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) drafts: PathBuf,
}

impl Place {
    pub(super) fn recording(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.wav"))
    }

    pub(super) fn sidecar(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    pub(super) fn deleted(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.deleted"))
    }

    pub(super) fn draft(&self, id: &str) -> PathBuf {
        self.drafts.join(format!("{id}.wav"))
    }

    pub(super) fn note(&self, id: &str) -> PathBuf {
        self.drafts.join(format!("{id}.json"))
    }

    /// A draft becomes a message. What may find the disk full comes first.
    pub(super) fn keep(&self, draft: &Path, sidecar: &Sidecar) -> Result<(), StoreError> {
        let id = &sidecar.id;
        let (recording, path) = (self.recording(id), self.sidecar(id));
        sync(draft).map_err(file_error(draft))?;
        if recording.exists() || path.exists() {
            return Err(file_error(&recording)(io::Error::from(
                ErrorKind::AlreadyExists,
            )));
        }
        sidecar::prepare(&path, sidecar).map_err(file_error(&path))?;
        if let Err(error) = fs::rename(draft, &recording) {
            sidecar::abandon(&path);
            return Err(file_error(draft)(error));
        }
        // Where it lies has to be on disk before what says that it is there.
        let committed =
            sidecar::sync_directory(&self.directory).and_then(|()| sidecar::commit(&path));
        if let Err(error) = committed {
            sidecar::abandon(&path);
            // If this fails too, the next start finds a recording without a sidecar.
            let _ = fs::rename(&recording, draft);
            return Err(file_error(&path)(error));
        }
        // From here on it is a message, whatever else fails.
        let rest = sidecar::sync_directory(&self.directory)
            .map_err(file_error(&self.directory))
            .and_then(|()| self.remove_note(id));
        if let Err(error) = rest {
            tracing::warn!(%error, "message kept, with something left to do");
        }
        Ok(())
    }

    /// A recording already in the box gets the sidecar that it lacks.
    pub(super) fn adopt(&self, sidecar: &Sidecar) -> Result<(), StoreError> {
        let path = self.sidecar(&sidecar.id);
        sidecar::prepare(&path, sidecar)
            .and_then(|()| sidecar::commit(&path))
            .map_err(file_error(&path))?;
        self.remove_note(&sidecar.id)
    }

    /// Removes the recording of a message whose sidecar is gone, then what says so.
    pub(super) fn finish_delete(&self, id: &str) -> Result<(), StoreError> {
        remove(&self.recording(id))?;
        remove(&self.deleted(id))
    }

    /// The id under which a draft was given out: the recorder may have appended a number.
    pub(super) fn note_of(&self, id: &str) -> PathBuf {
        let note = self.note(id);
        match id.rsplit_once('-') {
            Some((given, _)) if !note.exists() => self.note(given),
            _ => note,
        }
    }

    pub(super) fn remove_note(&self, id: &str) -> Result<(), StoreError> {
        remove(&self.note_of(id))
    }

    /// Messages, and drafts that may become some.
    fn taken(&self) -> Result<usize, StoreError> {
        // Drafts first: one that becomes a message meanwhile is then seen here, there or in
        // both, and counted once.
        let mut ids: HashSet<String> = HashSet::new();
        for directory in [&self.drafts, &self.directory] {
            let names = entries(directory)?.into_iter();
            ids.extend(names.filter_map(|(name, _)| name.strip_suffix(".json").map(str::to_owned)));
        }
        Ok(ids.len())
    }

    /// A message's sidecar, if it and its recording are whole.
    fn read(&self, mailbox: &str, id: &str) -> io::Result<Sidecar> {
        let sidecar: Sidecar = sidecar::read(&self.sidecar(id))?;
        let invalid = |why| Err(io::Error::new(ErrorKind::InvalidData, why));
        if check_name(id).is_err() {
            return invalid("not a name of a message");
        }
        if sidecar.id != id || sidecar.mailbox != mailbox {
            return invalid("it speaks of another message");
        }
        if !self.recording(id).is_file() {
            return invalid("its recording is missing");
        }
        Ok(sidecar)
    }
}

/// Names and paths in a directory, as far as they are text; none where there is no directory.
pub(super) fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(file_error(directory))?,
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(file_error(directory))?;
        if let Ok(name) = entry.file_name().into_string() {
            entries.push((name, entry.path()));
        }
    }
    Ok(entries)
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(file_error(path)),
    }
}

/// Brings a recording onto the disk.
fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn not_a_draft(path: &Path) -> StoreError {
    StoreError::NotADraft {
        path: path.to_owned(),
    }
}

fn no_message(mailbox: &str, id: &str) -> StoreError {
    StoreError::NoMessage {
        mailbox: mailbox.to_owned(),
        id: id.to_owned(),
    }
}
