//! A voicemail message as an application sees it.

use std::path::PathBuf;
use std::time::Duration;

/// A message in a voicemail box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names it within its box.
    pub id: String,
    /// What was recorded.
    pub file: PathBuf,
    /// Who left it: the user part of the caller's URI.
    pub caller: String,
    /// When it was left, seconds since 1970 (UTC).
    pub received: u64,
    /// Its length.
    pub length: Duration,
    /// The owner has heard it and wants to keep it.
    pub saved: bool,
}
