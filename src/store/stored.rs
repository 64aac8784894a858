//! The recordings that there are, for programs that ask.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand::Rng as _;

use crate::api::Recordings;

/// The most recordings that are listed.
const MAX_LISTED: usize = 10_000;
/// How deep folders are looked into.
const MAX_DEPTH: usize = 4;
/// The longest file that is handed out at once, bytes.
const MAX_FILE: u64 = 64 << 20;

/// Those of one directory. Names have been checked by who gives them.
#[derive(Debug)]
pub struct StoredRecordings {
    directory: PathBuf,
}

impl StoredRecordings {
    /// Those below this directory.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }
}

impl Recordings for StoredRecordings {
    fn exists(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    fn list(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.directory, "", 0, &mut names);
        names.sort_unstable();
        names
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        if fs::metadata(&path)?.len() > MAX_FILE {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "more than 64 MiB: fetch it another way",
            ));
        }
        fs::read(path)
    }

    fn copy(&self, from: &str, to: &str) -> io::Result<()> {
        let to = self.path(to);
        let folder = to.parent().unwrap_or(&self.directory);
        let mut from = fs::File::open(self.path(from))?;
        if to.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::create_dir_all(folder)?;
        // Nobody lists it, and the name is taken by the whole of it alone.
        let hidden = folder.join(format!(".copy-{:016x}", rand::rng().random::<u64>()));
        let copied = fs::File::create_new(&hidden)
            .and_then(|mut copy| io::copy(&mut from, &mut copy))
            .and_then(|_| take_place(&hidden, &to));
        // It has its own name by now, or is of no use.
        let _ = fs::remove_file(&hidden);
        copied
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.wav"))
    }
}

/// Gives a file that is whole a name, unless that is taken. The other name may stay.
fn take_place(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // A file system without links: who takes the same name at this moment loses it.
            if name.exists() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(file, name)
        }
        linked => linked,
    }
}

fn collect(folder: &Path, below: &str, depth: usize, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let file_name = entry.file_name();
        let (Some(name), Ok(kind)) = (file_name.to_str(), entry.file_type()) else {
            continue;
        };
        if names.len() >= MAX_LISTED || name.starts_with('.') {
            continue;
        }
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&entry.path(), &format!("{below}{name}/"), depth + 1, names);
        } else if kind.is_file()
            && let Some(stem) = name.strip_suffix(".wav")
        {
            names.push(format!("{below}{stem}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_listed_read_copied_and_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let stored = StoredRecordings::new(directory.path().to_owned());
        assert_eq!(stored.list(), [""; 0]);
        fs::create_dir(directory.path().join("day")).unwrap();
        fs::write(stored.path("day/b"), b"bytes").unwrap();
        fs::write(directory.path().join("notes.txt"), b"no").unwrap();
        stored.copy("day/b", "a").unwrap();
        assert_eq!(stored.list(), ["a", "day/b"]);
        assert_eq!(stored.read("a").unwrap(), b"bytes");
        let again = stored.copy("day/b", "a").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        stored.remove("a").unwrap();
        assert!(!stored.exists("a") && stored.exists("day/b"));
    }

    #[test]
    fn a_copy_that_fails_takes_no_name() {
        let here = tempfile::tempdir().unwrap();
        let stored = StoredRecordings::new(here.path().to_owned());
        // It can be opened, and not read.
        fs::create_dir(stored.path("broken")).unwrap();
        fs::write(stored.path("whole"), b"bytes").unwrap();
        assert!(stored.copy("broken", "copy").is_err());
        assert!(!stored.path("copy").exists());
        stored.copy("whole", "copy").unwrap();
        assert_eq!(stored.read("copy").unwrap(), b"bytes");
        let names = fs::read_dir(here.path()).unwrap();
        assert_eq!(names.count(), 3, "nothing else is left");
    }
}
