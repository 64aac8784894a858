//! Files that were made or fetched once and are kept for the next time, within bounds.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;
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
            fs::create_dir_all(directory)?;
            fs::write(&new, content)?;
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
    use super::*;

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
