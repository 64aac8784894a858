//! Voicemail: the messages of each box, behind one small interface.
//!
//! Sits behind the recorder, which writes a message as a draft, and before the application that
//! plays it to its owner. [`FileStore`] keeps messages in files; another backend is another
//! [`MessageStore`]. All of it may block: to be called off the control side's thread.

mod files;
mod recover;
mod sidecar;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use self::files::FileStore;
use crate::app::Message;

/// The longest name of a box, or of a message, bytes.
pub const MAX_NAME: usize = 64;

/// Where messages are kept.
///
/// ```text
/// draft --> recorder writes --> keep ----> save, delete
///                           \-> discard
/// ```
///
/// A draft counts as a message of its box until it is kept or discarded, so that a box never
/// gets more than it may have, however many callers record into it at once.
pub trait MessageStore: Send + Sync {
    /// The box's messages, oldest first; an unknown or new box is empty.
    fn list(&self, mailbox: &str) -> Result<Vec<Message>, StoreError>;

    /// Where a new message is to be recorded: a path of its own, not yet created. The recorder
    /// may have had to append `-1`, `-2`, ... to the name; that path then comes back in
    /// [`keep`](Self::keep) or [`discard`](Self::discard), one of which has to follow.
    /// What `from` says is kept beside the recording, for the case that nothing follows.
    /// A new box is created: which ones there are to be is for the caller to decide.
    fn draft(&self, mailbox: &str, from: &Origin) -> Result<PathBuf, StoreError>;

    /// The recording at `draft` is closed, and whole: it becomes a message. After an error it
    /// is still a draft.
    fn keep(&self, draft: &Path, new: &NewMessage) -> Result<Message, StoreError>;

    /// The recording at `draft` is not wanted, or never began.
    fn discard(&self, draft: &Path) -> Result<(), StoreError>;

    /// The owner has heard a message and wants to keep it.
    fn save(&self, mailbox: &str, id: &str) -> Result<(), StoreError>;

    /// The owner does not want a message any more.
    fn delete(&self, mailbox: &str, id: &str) -> Result<(), StoreError>;
}

/// Who leaves a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The user part of the caller's URI.
    pub caller: String,
    /// The Call-ID.
    pub call_id: String,
}

/// A message that has just been recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its box.
    pub mailbox: String,
    /// Who left it.
    pub from: Origin,
    /// When it was left.
    pub received: SystemTime,
    /// Its length.
    pub length: Duration,
}

/// What a box may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages of one box.
    pub max_messages: usize,
    /// What is shorter is no message, where a draft is found after a crash.
    pub min_length: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_messages: 100,
            min_length: Duration::from_secs(1),
        }
    }
}

/// Why something could not be done with a message.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A name that no box and no message has.
    #[error("{0:?}, allowed are 1 to {MAX_NAME} letters, digits, \"-\" and \"_\"")]
    Name(String),
    /// The box has as many messages as it may.
    #[error("mailbox {mailbox} is full: {max_messages} messages")]
    Full {
        /// Which one.
        mailbox: String,
        /// Its limit.
        max_messages: usize,
    },
    /// The box has no such message, or no longer.
    #[error("mailbox {mailbox} has no message {id}")]
    NoMessage {
        /// Which box.
        mailbox: String,
        /// What was looked for.
        id: String,
    },
    /// A path that is no draft of the box.
    #[error("{path} is no draft of this mailbox")]
    NotADraft {
        /// Which one.
        path: PathBuf,
    },
    /// A file or a directory cannot be read or written, or says nonsense.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Refuses what could be anything but the name of one file or directory: names are dialled.
fn check_name(name: &str) -> Result<(), StoreError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(StoreError::Name(name.chars().take(MAX_NAME).collect()))
}

/// For `map_err`: what went wrong with `path`.
fn file_error<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::File {
        path,
        source: error.into(),
    }
}
