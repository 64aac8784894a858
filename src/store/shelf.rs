//! Files that were made or fetched once and are kept for the next time, within bounds.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as Turn;

/// The most files that are kept, whatever their size.
pub const MAX_FILES: usize = 1000;
/// What was asked for within this time may be about to be opened: it is not thrown away.
const IN_USE: Duration = Duration::from_mins(1);

/// A file, and what is known of it.
#[derive(Debug)]
pub struct Kept<V> {
    /// Where it lies.
    pub path: PathBuf,
    /// What its keeper wants to know of it.
    pub about: V,
}

/// A file's place; who holds it makes or fetches it, and others who want the same wait.
pub type Slot<V> = Arc<Turn<Option<Kept<V>>>>;

#[derive(Debug)]
struct Place<V> {
    kept: Slot<V>,
    bytes: u64,
    used: Instant,
}

/// Files by what they were made from.
#[derive(Debug)]
pub struct Shelf<K, V> {
    directory: PathBuf,
    /// Our files in the directory, which others may use too, begin with it.
    prefix: &'static str,
    max_bytes: u64,
    places: Mutex<HashMap<K, Place<V>>>,
}

impl<K: Hash + Eq + Clone, V> Shelf<K, V> {
    /// An empty one. The directory is made when the first file is.
    pub fn new(directory: PathBuf, prefix: &'static str, max_bytes: u64) -> Self {
        Self {
            directory,
            prefix,
            max_bytes,
            places: Mutex::default(),
        }
    }

    /// Throws away what an earlier run has left.
    pub fn clear(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(self.prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The place of a file, made where there is none; none: all are in use.
    pub fn slot(&self, key: &K) -> Option<Slot<V>> {
        let now = Instant::now();
        let mut places = self.places();
        if let Some(place) = places.get_mut(key) {
            place.used = now;
            return Some(place.kept.clone());
        }
        if places.len() >= MAX_FILES && !forget_one(&mut places, now) {
            return None;
        }
        let kept = Slot::default();
        let place = Place {
            kept: Arc::clone(&kept),
            bytes: 0,
            used: now,
        };
        places.insert(key.clone(), place);
        Some(kept)
    }

    /// Writes a file, in the place of its predecessor, and throws away what was used longest ago until
    /// all fits. Where it lies.
    pub async fn keep(&self, key: &K, content: Vec<u8>) -> Result<PathBuf, (PathBuf, io::Error)> {
        let directory = self.directory.clone();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let path = directory.join(format!("{}{:016x}.wav", self.prefix, hasher.finish()));
        let (new, kept) = (path.with_extension("new"), path.clone());
        let bytes = content.len() as u64;
        let written = tokio::task::spawn_blocking(move || {
            make_own(&directory)?;
            write_new(&new, &content)?;
            // Who plays the old one goes on with it.
            fs::rename(&new, &kept)
        });
        match written.await.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(()) => {
                self.weigh(key, bytes);
                Ok(path)
            }
            Err(source) => Err((path, source)),
        }
    }

    fn weigh(&self, key: &K, bytes: u64) {
        let mut places = self.places();
        if let Some(place) = places.get_mut(key) {
            place.bytes = bytes;
        }
        let now = Instant::now();
        while places.values().map(|p| p.bytes).sum::<u64>() > self.max_bytes
            && forget_one(&mut places, now)
        {}
    }

    fn places(&self) -> MutexGuard<'_, HashMap<K, Place<V>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a directory that nobody else can write into, and refuses one where others could lead what is
/// written elsewhere: the usual ones lie where everybody may make them first.
fn make_own(directory: &Path) -> io::Result<()> {
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

/// Writes a file that is not there, or that a crash has left; nothing is followed that stands there.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(content)
}

/// Throws away what was used longest ago. Whether there was anything.
fn forget_one<K: Hash + Eq + Clone, V>(places: &mut HashMap<K, Place<V>>, now: Instant) -> bool {
    let idle = places
        .iter()
        .filter(|(_, place)| now.duration_since(place.used) > IN_USE)
        .min_by_key(|(_, place)| place.used)
        .map(|(key, _)| key.clone());
    let Some(place) = idle.and_then(|key| places.remove(&key)) else {
        return false;
    };
    // One that is being made is in use.
    if let Ok(mut kept) = place.kept.try_lock()
        && let Some(kept) = kept.take()
    {
        let _ = fs::remove_file(&kept.path);
    }
    true
}

/// Where what is kept lies unless it is said otherwise.
pub fn usual_directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_of_everybodys_is_refused_and_a_link_in_the_place_of_a_file_is_not_followed() {
        let around = tempfile::tempdir().unwrap();
        let directory = around.path().join("a/b");
        make_own(&directory).unwrap();
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        let victim = around.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let new = directory.join("x.new");
        std::os::unix::fs::symlink(&victim, &new).unwrap();
        write_new(&new, b"sound").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&new).unwrap(), b"sound");
        let mode = |mode| fs::set_permissions(&directory, fs::Permissions::from_mode(mode));
        for (bits, taken) in [
            (0o777, false),
            (0o702, false),
            (0o1777, true),
            (0o775, true),
        ] {
            mode(bits).unwrap();
            assert_eq!(make_own(&directory).is_ok(), taken, "{bits:o}");
        }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let place = |n| Place {
            kept: Slot::<()>::default(),
            bytes: 0,
            used: later(n),
        };
        let mut places: HashMap<_, _> = [30, 10, 20].map(|n| (n, place(n))).into();
        assert!(!forget_one(&mut places, later(70)));
        assert!(forget_one(&mut places, later(75)));
        assert!(!places.contains_key(&10) && places.len() == 2);
        assert!(!forget_one(&mut places, later(75)));
    }
}
