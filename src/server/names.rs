//! Spoken names of callers: files that last as long as their calls, and a little longer.

use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::store::shelf::directory::Directory;

/// The spoken names of one server, in a directory of its own: others may record beside it, and all of them
/// begin to count at one.
pub(super) struct Names {
    recordings: PathBuf,
    /// Not removed by its drop: the thread that ends the server does not wait for a disk.
    directory: ManuallyDrop<Directory>,
}

impl Names {
    /// None yet.
    pub fn new(recordings: &Path) -> Self {
        // Earlier versions had files in there that begin with a number.
        let directory = Directory::named(recordings.join(NAMES), "");
        Self {
            recordings: recordings.to_owned(),
            directory: ManuallyDrop::new(directory),
        }
    }

    /// At a start: throws away what servers have left that do not run any more. Blocks.
    pub fn clear(&self) {
        self.directory.clear();
    }

    /// Where a spoken name is while its owner's call lasts. Blocks.
    pub fn path(&self, recording: u64) -> io::Result<PathBuf> {
        // Names are nobody else's to read, recordings may be.
        std::fs::create_dir_all(&self.recordings)?;
        Ok(self.directory.path()?.join(format!("{recording}.wav")))
    }

    /// Removes them all. Blocks.
    pub fn remove(&self) {
        self.directory.remove();
    }

    fn forget(&self, recordings: &[u64]) {
        for recording in recordings {
            if let Ok(path) = self.path(*recording) {
                // Nothing was recorded, or somebody else has removed it.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

impl Core {
    /// Removes spoken names, once nobody can be hearing them any more.
    pub(super) fn forget_names(&self, recordings: Vec<u64>) {
        let names = Arc::clone(&self.names);
        tokio::spawn(async move {
            tokio::time::sleep(NAME_TIME).await;
            tokio::task::spawn_blocking(move || names.forget(&recordings));
        });
    }
}

/// Below the recording directory.
const NAMES: &str = ".names";
/// How long a spoken name may be asked for after its owner's call.
const NAME_TIME: Duration = Duration::from_mins(1);
/// What of the silence behind a name is part of it.
pub(super) const NAME_REST: Duration = Duration::from_millis(200);
/// The shortest name.
pub(super) const MIN_NAME: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn two_servers_keep_their_names_apart() {
        let here = tempfile::tempdir().unwrap();
        let (one, other) = (Names::new(here.path()), Names::new(here.path()));
        let names = [&one, &other].map(|names| names.path(5).unwrap());
        for (path, name) in names.iter().zip(["one", "other"]) {
            fs::write(path, name).unwrap();
        }
        assert_eq!(fs::read(&names[0]).unwrap(), b"one");
        one.forget(&[5]);
        assert!(!names[0].exists() && names[1].exists());
        fs::write(&names[0], "one").unwrap();
        one.remove();
        assert!(!names[0].exists() && names[1].exists());
        other.remove();
        assert!(!names[1].exists());
    }

    #[test]
    fn what_a_killed_server_has_left_is_gone_after_a_start() {
        let here = tempfile::tempdir().unwrap();
        let shared = here.path().join(NAMES);
        fs::create_dir_all(shared.join("1-0")).unwrap();
        fs::write(shared.join("1-0/5.wav"), "left").unwrap();
        // As an earlier version has left it.
        fs::write(shared.join("1-5.wav"), "left").unwrap();
        let names = Names::new(here.path());
        names.clear();
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
        assert!(names.path(5).is_ok());
    }

    #[test]
    fn the_end_of_a_server_waits_for_no_disk() {
        let here = tempfile::tempdir().unwrap();
        let names = Names::new(here.path());
        let name = names.path(5).unwrap();
        fs::write(&name, "said").unwrap();
        drop(names);
        assert!(name.exists(), "nothing was asked of the disk");
    }
}
