//! Files that were made or fetched once and are kept for the next time, within bounds.
//!
//! Each is made by one task at a time: who wants the same meanwhile waits for what comes of that, be it a
//! failure. When nobody waits any more, the task is told.

pub mod directory;

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::hash::Hash;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use self::directory::Directory;

/// The most files that are kept, or being made, whatever their size.
pub const MAX_FILES: usize = 1000;
/// What was asked for within this time may be about to be opened: it is not thrown away.
pub const IN_USE: Duration = Duration::from_mins(1);

/// What comes of a making; none: it is still under way.
type Outcome<E> = Option<Result<PathBuf, E>>;

/// A file, and what is known of it.
#[derive(Debug)]
struct Kept<V> {
    path: PathBuf,
    bytes: u64,
    about: V,
}

#[derive(Debug)]
struct Place<V, E> {
    /// No other place has had it: a file that is removed late is nobody else's.
    number: u64,
    kept: Option<Kept<V>>,
    /// To whom waits; gone when the making is.
    making: Weak<watch::Sender<Outcome<E>>>,
    used: Instant,
}

/// Files by what they were made from.
#[derive(Debug)]
pub struct Shelf<K, V, E> {
    directory: Directory,
    max_bytes: u64,
    places: Mutex<Places<K, V, E>>,
}

#[derive(Debug)]
struct Places<K, V, E> {
    by_key: HashMap<K, Place<V, E>>,
    /// The last place's number.
    last: u64,
}

impl<K, V, E> Shelf<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An empty one. Its files lie in a directory of its own, whose name begins with `prefix`, in one that
    /// may be shared; both are made when the first file is.
    pub fn new(shared: PathBuf, prefix: &'static str, max_bytes: u64) -> Self {
        Self {
            directory: Directory::new(shared, prefix),
            max_bytes,
            places: Mutex::new(Places {
                by_key: HashMap::new(),
                last: 0,
            }),
        }
    }

    /// Throws away what servers have left that do not run any more. Blocks.
    pub fn clear(&self) {
        self.directory.clear();
    }

    /// The file that `make` makes, unless that is being done already: then what comes of it. None: all
    /// places are in use.
    pub async fn get<F>(
        self: &Arc<Self>,
        key: &K,
        make: impl FnOnce(Making<K, V, E>) -> F,
    ) -> Option<Result<PathBuf, E>>
    where
        F: Future<Output = Result<PathBuf, E>> + Send + 'static,
    {
        let mut waits = self.join(key, make)?;
        // Fails only where the runtime ends before the making.
        let outcome = waits.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    fn join<F>(
        self: &Arc<Self>,
        key: &K,
        make: impl FnOnce(Making<K, V, E>) -> F,
    ) -> Option<watch::Receiver<Outcome<E>>>
    where
        F: Future<Output = Result<PathBuf, E>> + Send + 'static,
    {
        let mut places = self.places();
        let place = places.place(key, Instant::now())?;
        let under_way = place.making.upgrade();
        if let Some(outcome) = under_way.filter(|outcome| outcome.borrow().is_none()) {
            return Some(outcome.subscribe());
        }
        let (outcome, waits) = watch::channel(None);
        let outcome = Arc::new(outcome);
        place.making = Arc::downgrade(&outcome);
        let making = Making {
            shelf: Arc::clone(self),
            key: key.clone(),
            number: place.number,
            outcome: Arc::clone(&outcome),
        };
        drop(places);
        let made = make(making);
        tokio::spawn(async move {
            let made = made.await;
            outcome.send_replace(Some(made));
        });
        Some(waits)
    }

    /// Writes a file in the place of its predecessor, which goes on for who plays it.
    fn write(
        &self,
        key: &K,
        number: u64,
        content: &[u8],
        about: V,
    ) -> Result<PathBuf, (PathBuf, io::Error)> {
        let directory = self.directory.path();
        let directory = directory.map_err(|e| (self.directory.shared().to_owned(), e))?;
        let path = directory.join(format!("{number}.wav"));
        let new = path.with_extension("new");
        if let Err(error) = write_new(&new, content).and_then(|()| fs::rename(&new, &path)) {
            // Half of it may be there.
            let _ = fs::remove_file(&new);
            return Err((path, error));
        }
        let kept = Kept {
            path: path.clone(),
            bytes: content.len() as u64,
            about,
        };
        let removed = self.places().put(key, kept, self.max_bytes);
        for path in removed {
            let _ = fs::remove_file(path);
        }
        Ok(path)
    }

    fn places(&self) -> MutexGuard<'_, Places<K, V, E>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The making of a file, as its task has it.
pub struct Making<K, V, E> {
    shelf: Arc<Shelf<K, V, E>>,
    key: K,
    number: u64,
    outcome: Arc<watch::Sender<Outcome<E>>>,
}

impl<K, V, E> Making<K, V, E>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// What it is made from.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// What was kept before, and what was known of it. Forgotten if the file is not there any more: whoever
    /// cleans up the directory does not ask.
    pub async fn known(&self) -> Option<(PathBuf, V)> {
        let (path, about) = {
            let places = self.shelf.places();
            let kept = places.by_key.get(&self.key)?.kept.as_ref()?;
            (kept.path.clone(), kept.about.clone())
        };
        let file = path.clone();
        if spawn_blocking(move || file.is_file())
            .await
            .is_ok_and(|is_there| is_there)
        {
            return Some((path, about));
        }
        if let Some(place) = self.shelf.places().by_key.get_mut(&self.key) {
            place.kept = None;
        }
        None
    }

    /// Notes what is known of it now.
    pub fn note(&self, about: V) {
        let mut places = self.shelf.places();
        let place = places.by_key.get_mut(&self.key);
        if let Some(kept) = place.and_then(|place| place.kept.as_mut()) {
            kept.about = about;
        }
    }

    /// Does some work, unless nobody waits for it any more: then it is given up, and there is nothing.
    pub async fn while_wanted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.given_up() => None,
        }
    }

    /// Keeps the file, and throws away what was used longest ago until all fits. Where it lies.
    pub async fn keep(&self, content: Vec<u8>, about: V) -> Result<PathBuf, (PathBuf, io::Error)> {
        let (shelf, key, number) = (Arc::clone(&self.shelf), self.key.clone(), self.number);
        let written = spawn_blocking(move || shelf.write(&key, number, &content, about)).await;
        let shared = self.shelf.directory.shared();
        written.unwrap_or_else(|e| Err((shared.to_owned(), io::Error::other(e))))
    }

    async fn given_up(&self) {
        loop {
            self.outcome.closed().await;
            // Nobody joins while the places are locked.
            let mut places = self.shelf.places();
            if self.outcome.receiver_count() == 0 {
                // Who comes later starts anew.
                if let Some(place) = places.by_key.get_mut(&self.key) {
                    place.making = Weak::new();
                }
                return;
            }
        }
    }
}

impl<K: Hash + Eq + Clone, V, E> Places<K, V, E> {
    /// The place of a file, made where there is none; none: all are in use.
    fn place(&mut self, key: &K, now: Instant) -> Option<&mut Place<V, E>> {
        if !self.by_key.contains_key(key) && !self.make_room(now) {
            return None;
        }
        let last = &mut self.last;
        let place = self.by_key.entry(key.clone()).or_insert_with(|| {
            *last += 1;
            Place {
                number: *last,
                kept: None,
                making: Weak::new(),
                used: now,
            }
        });
        place.used = now;
        Some(place)
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.by_key.len() < MAX_FILES {
            return true;
        }
        let Some(forgotten) = self.forget_one(now) else {
            return false;
        };
        if let Some(Kept { path, .. }) = forgotten.kept {
            spawn_blocking(move || {
                let _ = fs::remove_file(path);
            });
        }
        true
    }

    /// Notes a file, and forgets what was used longest ago until all fits: the files to be removed.
    fn put(&mut self, key: &K, kept: Kept<V>, max_bytes: u64) -> Vec<PathBuf> {
        if let Some(place) = self.by_key.get_mut(key) {
            place.kept = Some(kept);
        }
        let mut removed = Vec::new();
        let now = Instant::now();
        while self.bytes() > max_bytes
            && let Some(forgotten) = self.forget_one(now)
        {
            removed.extend(forgotten.kept.map(|kept| kept.path));
        }
        removed
    }

    fn bytes(&self) -> u64 {
        let kept = self.by_key.values().filter_map(|p| p.kept.as_ref());
        kept.map(|kept| kept.bytes).sum()
    }

    /// Forgets the place that was used longest ago; its file, if it has one, is to be removed. None: all are
    /// in use.
    fn forget_one(&mut self, now: Instant) -> Option<Place<V, E>> {
        let is_idle = |place: &Place<V, E>| {
            now.duration_since(place.used) > IN_USE && place.making.strong_count() == 0
        };
        let idle = self.by_key.iter().filter(|(_, place)| is_idle(place));
        let (key, _) = idle.min_by_key(|(_, place)| place.used)?;
        let key = key.clone();
        self.by_key.remove(&key)
    }
}

/// Writes a file that is not there, or that was begun and not finished; nothing is followed that stands
/// there.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(content)
}

/// Where what is kept lies unless it is said otherwise.
pub fn usual_directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

#[cfg(test)]
mod tests;
