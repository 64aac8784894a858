//! A directory of a server's own, below one that several may share.
//!
//! It is locked for as long as it is in use. The system lets go of a lock however its holder ends, so that
//! what a killed server has left is told from what a running one has.

use std::fs::{self, DirBuilder, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Names that are tried for a new one.
const TRIES: usize = 1000;

/// Made with its first file, and anew where it has vanished; removed with all that is in it at the end.
#[derive(Debug)]
pub struct Directory {
    shared: PathBuf,
    /// Ours in the shared one begin with it.
    prefix: &'static str,
    /// The operator has named the shared one: whose it is, and who may write there, is theirs to say.
    is_named: bool,
    own: Mutex<Option<Own>>,
}

#[derive(Debug)]
struct Own {
    path: PathBuf,
    /// The open directory, to which the lock belongs.
    held: File,
}

impl Directory {
    /// One that is not made yet.
    pub fn new(shared: PathBuf, prefix: &'static str) -> Self {
        Self {
            shared,
            prefix,
            is_named: false,
            own: Mutex::default(),
        }
    }

    /// The same below a directory that the operator has named. That it can be written by everybody, or
    /// belongs to somebody else, as on shares without owners, is no reason to refuse it.
    pub fn named(shared: PathBuf, prefix: &'static str) -> Self {
        Self {
            is_named: true,
            ..Self::new(shared, prefix)
        }
    }

    /// What it lies in.
    pub fn shared(&self) -> &Path {
        &self.shared
    }

    /// Where it is, from now on. Blocks.
    pub fn path(&self) -> io::Result<PathBuf> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = own.as_ref().filter(|own| own.is_there()) {
            return Ok(own.path.clone());
        }
        let made = self.make()?;
        Ok(own.insert(made).path.clone())
    }

    /// Throws away what servers have left that do not run any more. Blocks.
    pub fn clear(&self) {
        if self.is_named && !is_directory(&self.shared) {
            return;
        }
        let Ok(entries) = fs::read_dir(&self.shared) else {
            return;
        };
        // There what is ours need not show us as its owner.
        let owner = (!self.is_named).then(|| nix::unistd::geteuid().as_raw());
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(self.prefix) {
                remove_left(&entry.path(), owner);
            }
        }
    }

    /// Removes it with all that is in it, until it is wanted again. Blocks.
    pub fn remove(&self) {
        let own = self
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(own);
    }

    fn make(&self) -> io::Result<Own> {
        if self.is_named {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.shared)?;
            if !is_directory(&self.shared) {
                let text = format!("{} is a link", self.shared.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
            }
        } else {
            make_shared(&self.shared)?;
        }
        // The number of the process is for people: another may have the same in its container.
        let process = std::process::id();
        for n in 0..TRIES {
            let name = format!("{}{process}-{n}", self.prefix);
            if let Some(own) = take(self.shared.join(name))? {
                return Ok(own);
            }
        }
        let text = format!("no name is free in {}", self.shared.display());
        Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
    }
}

impl Own {
    /// Whether its path still leads to it.
    fn is_there(&self) -> bool {
        let place = |about: Metadata| (about.dev(), about.ino());
        let found = fs::symlink_metadata(&self.path).map(place);
        let held = self.held.metadata().map(place);
        matches!((found, held), (Ok(found), Ok(held)) if found == held)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes and locks a directory. None: there is one, or who clears has taken the new one for left.
fn take(path: PathBuf) -> io::Result<Option<Own>> {
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
        made => made?,
    }
    let Ok(held) = File::open(&path) else {
        return Ok(None);
    };
    // Where the file system has no locks nobody else gets one either, and so clears nothing.
    if let Err(TryLockError::WouldBlock) = held.try_lock() {
        return Ok(None);
    }
    let own = Own { path, held };
    Ok(own.is_there().then_some(own))
}

/// A directory and no link to one, which would lead elsewhere what is made and thrown away in it. Who may
/// write around it can put a link there just after: that is the operator's to keep out.
fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// Removes a directory that nobody has locked, and a file, as earlier versions had them there; of this owner
/// alone, if one is given.
fn remove_left(path: &Path, owner: Option<u32>) {
    let about = fs::symlink_metadata(path).ok();
    let Some(about) = about.filter(|about| owner.is_none_or(|owner| about.uid() == owner)) else {
        return;
    };
    if about.is_file() {
        let _ = fs::remove_file(path);
    }
    if !about.is_dir() {
        return;
    }
    if let Ok(held) = File::open(path)
        && held.try_lock().is_ok()
    {
        let _ = fs::remove_dir_all(path);
    }
}

/// Makes a directory that nobody else can write into, and refuses one where others could lead what is
/// written elsewhere: the usual ones lie where everybody may make them first.
fn make_shared(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let own = nix::unistd::geteuid().as_raw();
    for about in [fs::symlink_metadata(directory)?, fs::metadata(directory)?] {
        let refused = |why: &str| {
            let text = format!("the directory {} {why}", directory.display());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
        };
        if about.uid() != own && about.uid() != 0 {
            return refused("belongs to another user");
        }
        // A link has no permissions of its own, and from a sticky directory nobody takes another's files.
        if !about.is_symlink() && about.mode() & 0o1002 == 0o002 {
            return refused("can be written by everybody");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_of_everybodys_is_refused() {
        let around = tempfile::tempdir().unwrap();
        let directory = around.path().join("a/b");
        make_shared(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        let mode = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode));
        for (bits, taken) in [
            (0o777, false),
            (0o702, false),
            (0o1777, true),
            (0o775, true),
        ] {
            mode(bits).unwrap();
            assert_eq!(make_shared(&directory).is_ok(), taken, "{bits:o}");
        }
    }

    #[test]
    fn where_the_operator_has_named_it_anybody_may_own_it() {
        let around = tempfile::tempdir().unwrap();
        let shared = around.path().join("shared");
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Directory::new(shared.clone(), "").path().is_err());
        let own = Directory::named(shared, "").path().unwrap();
        assert!(!own.exists(), "it goes with its holder");
    }

    /// As on a share that shows others as owners.
    #[test]
    fn where_the_operator_has_named_it_what_is_left_goes_whoever_owns_it() {
        if !nix::unistd::geteuid().is_root() {
            // Nobody else can make a file another's.
            return;
        }
        let around = tempfile::tempdir().unwrap();
        let left = around.path().join("1-0");
        fs::create_dir(&left).unwrap();
        std::os::unix::fs::chown(&left, Some(65_534), None).unwrap();
        Directory::new(around.path().to_owned(), "").clear();
        assert!(left.exists());
        Directory::named(around.path().to_owned(), "").clear();
        assert!(!left.exists());
    }

    #[test]
    fn where_the_operator_has_named_it_a_link_leads_nowhere() {
        let around = tempfile::tempdir().unwrap();
        let elsewhere = around.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("1-0")).unwrap();
        fs::write(elsewhere.join("call.wav"), "kept").unwrap();
        let link = around.path().join("names");
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        let named = Directory::named(link, "");
        named.clear();
        assert!(elsewhere.join("1-0").exists() && elsewhere.join("call.wav").exists());
        let error = named.path().unwrap_err().to_string();
        assert!(error.ends_with("names is a link"), "{error}");
    }

    #[test]
    fn what_a_killed_server_has_left_is_cleared_and_nothing_of_a_running_one() {
        let here = tempfile::tempdir().unwrap();
        let shared = here.path();
        let running = Directory::new(shared.to_owned(), "ours-");
        let kept = running.path().unwrap().join("1.wav");
        fs::write(&kept, "sound").unwrap();
        fs::create_dir(shared.join("ours-1-0")).unwrap();
        fs::write(shared.join("ours-1-0/1.wav"), "left").unwrap();
        // As an earlier version has left it.
        fs::write(shared.join("ours-1.wav"), "left").unwrap();
        // Neither is a directory of ours.
        fs::create_dir(shared.join("theirs")).unwrap();
        std::os::unix::fs::symlink("theirs", shared.join("ours-link")).unwrap();

        let next = Directory::new(shared.to_owned(), "ours-");
        next.clear();
        assert!(kept.exists());
        assert!(!shared.join("ours-1-0").exists() && !shared.join("ours-1.wav").exists());
        assert!(shared.join("theirs").exists() && shared.join("ours-link").exists());

        assert_ne!(next.path().unwrap(), running.path().unwrap());
        drop(running);
        assert!(!kept.exists());
        drop(next);
        assert_eq!(names(shared), ["ours-link", "theirs"]);
    }

    #[test]
    fn one_that_has_vanished_is_made_anew() {
        let here = tempfile::tempdir().unwrap();
        let directory = Directory::new(here.path().join("shared"), "ours-");
        for _ in 0..2 {
            let path = directory.path().unwrap();
            assert_eq!(directory.path().unwrap(), path);
            fs::write(path.join("1.wav"), "sound").unwrap();
            fs::remove_dir_all(directory.shared()).unwrap();
        }
        // Nor is another's removed that has got its name since.
        let path = directory.path().unwrap();
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        drop(directory);
        assert!(path.exists());
    }
}
