//! Audio that web servers have, kept in files until it changes there.
//!
//! Sits between an announcement's `play=http://...` (RFC 4240 §3) and the player. What was fetched is
//! asked for again by its validator (RFC 9110 §13), or not at all while it is fresh; where the web
//! server is not to be reached, what is known is played. Callers who want the same wait for one request.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as Turn, Semaphore};

use super::sound::{self, SoundError};
use crate::net::fetch::{FetchError, Fetched, Fetcher, Url, Validators};

/// Requests at once; the next wait for their turn, within the time that a request has.
const AT_ONCE: usize = 16;
/// Redirections that are followed.
const REDIRECTIONS: usize = 3;
/// The most files that are kept, whatever their size.
const MAX_FILES: usize = 1000;
/// What was asked for within this time may be about to be opened: it is not thrown away.
const IN_USE: Duration = Duration::from_mins(1);

/// From whom, and how much is kept where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSettings {
    /// Hosts that may be asked: `media.example`, `*.example` for those below, `*` for all.
    pub hosts: Vec<String>,
    /// Where files are kept.
    pub directory: PathBuf,
    /// Bytes that are kept.
    pub max_bytes: u64,
}

/// Why there is nothing to play.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// No address of the web.
    #[error("{0:?} is no address that begins with http:// or https://")]
    Address(String),
    /// A host that is not on the list.
    #[error("host {0:?} is none of announcement.web_hosts")]
    Host(String),
    /// From a place that is encrypted to one that is not.
    #[error("redirected from https to {0}")]
    Downgraded(Url),
    /// In a circle, perhaps.
    #[error("redirected more than {REDIRECTIONS} times")]
    Redirections,
    /// The web server.
    #[error("{url}: {source}")]
    Fetch {
        /// Which address.
        url: Url,
        /// What went wrong.
        source: FetchError,
    },
    /// It came, and cannot be played.
    #[error("{url}: {source}")]
    Sound {
        /// Which address.
        url: Url,
        /// What it is.
        source: SoundError,
    },
    /// It cannot be kept.
    #[error("{path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many files are wanted at this moment.
    #[error("{MAX_FILES} other files were asked for within a minute")]
    Busy,
}

/// What is asked for: the address, the language, the kind that the caller says it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(Url, Option<String>, Option<String>);

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    bytes: u64,
    validators: Validators,
    fresh_until: Instant,
}

#[derive(Debug)]
struct Place {
    /// Who holds it asks the web server.
    kept: Arc<Turn<Option<Kept>>>,
    bytes: u64,
    used: Instant,
}

/// Files that web servers have.
#[derive(Debug)]
pub struct Web {
    fetcher: Fetcher,
    settings: WebSettings,
    turns: Semaphore,
    places: Mutex<HashMap<Key, Place>>,
}

impl Web {
    /// Nothing is known yet. What an earlier run has kept is thrown away, since its validators are
    /// gone; the directory is made when the first file is.
    pub fn new(fetcher: Fetcher, settings: WebSettings) -> Self {
        if !settings.hosts.is_empty() {
            clear(&settings.directory);
        }
        Self {
            fetcher,
            settings,
            turns: Semaphore::new(AT_ONCE),
            places: Mutex::default(),
        }
    }

    /// Whether a text is to be looked for in the web at all.
    pub fn is_address(text: &str) -> bool {
        let begins = |scheme: &str| {
            text.get(..scheme.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        begins("http:") || begins("https:")
    }

    /// The file with what is under an address now. `kind` overrides what the web server says of its
    /// type; `language` is asked for.
    pub async fn get(
        &self,
        address: &str,
        kind: Option<&str>,
        language: Option<&str>,
    ) -> Result<PathBuf, WebError> {
        let url = Url::parse(address).ok_or_else(|| WebError::Address(shortened(address)))?;
        self.check(&url)?;
        let key = Key(url, language.map(str::to_owned), kind.map(str::to_owned));
        let turn = self.place(&key).ok_or(WebError::Busy)?;
        let mut kept = turn.lock().await;
        if let Some(known) = &*kept
            && known.fresh_until > Instant::now()
        {
            return Ok(known.path.clone());
        }
        let validators = kept.as_ref().map(|k| k.validators.clone());
        let fetched = self.fetch(&key, &validators.unwrap_or_default()).await;
        match (fetched, &mut *kept) {
            (Ok(Fetched::Unchanged { fresh }), Some(known)) => {
                known.fresh_until = Instant::now() + fresh;
                Ok(known.path.clone())
            }
            (
                Ok(Fetched::Body {
                    bytes,
                    kind,
                    validators,
                    fresh,
                }),
                kept,
            ) => {
                let kind = key.2.clone().or(kind);
                let wav = sound::to_wav(bytes.to_vec(), kind.as_deref()).map_err(|source| {
                    WebError::Sound {
                        url: key.0.clone(),
                        source,
                    }
                })?;
                let bytes = wav.len() as u64;
                let path = self.keep(&key, wav).await?;
                *kept = Some(Kept {
                    path: path.clone(),
                    bytes,
                    validators,
                    fresh_until: Instant::now() + fresh,
                });
                self.weigh(&key, bytes);
                Ok(path)
            }
            (Ok(Fetched::Unchanged { .. } | Fetched::Moved(_)), _) => Err(WebError::Fetch {
                url: key.0,
                source: FetchError::Status(304),
            }),
            // Who is not there now had this before.
            (Err(WebError::Fetch { source, .. }), Some(known)) if is_outage(&source) => {
                Ok(known.path.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn fetch(&self, key: &Key, known: &Validators) -> Result<Fetched, WebError> {
        // Never closed.
        let _turn = self.turns.acquire().await;
        let mut url = key.0.clone();
        for _ in 0..=REDIRECTIONS {
            let fetched = self.fetcher.get(&url, known, key.1.as_deref()).await;
            let location = match fetched {
                Ok(Fetched::Moved(location)) => location,
                Ok(other) => return Ok(other),
                Err(source) => return Err(WebError::Fetch { url, source }),
            };
            let next = url.follow(&location);
            let next = next.ok_or_else(|| WebError::Address(shortened(&location)))?;
            if url.is_downgraded_by(&next) {
                return Err(WebError::Downgraded(next));
            }
            self.check(&next)?;
            url = next;
        }
        Err(WebError::Redirections)
    }

    fn check(&self, url: &Url) -> Result<(), WebError> {
        let host = url.host();
        let allows = |pattern: &String| match pattern.strip_prefix("*.") {
            Some(domain) => host
                .strip_suffix(domain)
                .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
            None => pattern == "*" || pattern.eq_ignore_ascii_case(host),
        };
        if self.settings.hosts.iter().any(allows) {
            Ok(())
        } else {
            Err(WebError::Host(host.to_owned()))
        }
    }

    /// The place of a file, made where there is none; none: all are in use.
    fn place(&self, key: &Key) -> Option<Arc<Turn<Option<Kept>>>> {
        let now = Instant::now();
        let mut places = self.places();
        if let Some(place) = places.get_mut(key) {
            place.used = now;
            return Some(place.kept.clone());
        }
        if places.len() >= MAX_FILES && !forget_one(&mut places, now) {
            return None;
        }
        let kept = Arc::default();
        let place = Place {
            kept: Arc::clone(&kept),
            bytes: 0,
            used: now,
        };
        places.insert(key.clone(), place);
        Some(kept)
    }

    /// Counts what was kept, and throws away what was used longest ago until all fits.
    fn weigh(&self, key: &Key, bytes: u64) {
        let mut places = self.places();
        if let Some(place) = places.get_mut(key) {
            place.bytes = bytes;
        }
        let now = Instant::now();
        while places.values().map(|p| p.bytes).sum::<u64>() > self.settings.max_bytes
            && forget_one(&mut places, now)
        {}
    }

    async fn keep(&self, key: &Key, wav: Vec<u8>) -> Result<PathBuf, WebError> {
        let directory = self.settings.directory.clone();
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let path = directory.join(format!("{PREFIX}{:016x}.wav", hasher.finish()));
        let (new, kept) = (path.with_extension("new"), path.clone());
        let written = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(directory)?;
            fs::write(&new, wav)?;
            // Who plays the old one goes on with it.
            fs::rename(&new, &kept)
        });
        match written.await.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(()) => Ok(path),
            Err(source) => Err(WebError::File { path, source }),
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Key, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our files in the directory, which others may use too.
const PREFIX: &str = "antiphon-web-";

fn clear(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Throws away what was used longest ago. Whether there was anything.
fn forget_one(places: &mut HashMap<Key, Place>, now: Instant) -> bool {
    let idle = places
        .iter()
        .filter(|(_, place)| now.duration_since(place.used) > IN_USE)
        .min_by_key(|(_, place)| place.used)
        .map(|(key, _)| key.clone());
    let Some(place) = idle.and_then(|key| places.remove(&key)) else {
        return false;
    };
    // One that is being fetched is in use.
    if let Ok(mut kept) = place.kept.try_lock()
        && let Some(kept) = kept.take()
    {
        let _ = fs::remove_file(&kept.path);
        debug_assert_eq!(kept.bytes, place.bytes);
    }
    true
}

/// Whether it says something of the web server's state, and nothing of what is asked for.
fn is_outage(error: &FetchError) -> bool {
    match error {
        FetchError::TimedOut(_) | FetchError::Connect(_) | FetchError::Broken(_) => true,
        FetchError::Status(status) => (500..600).contains(status),
        FetchError::TooLarge(_) => false,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first_and_what_is_in_use_stays() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let key = |n: u64| {
            let url = Url::parse(&format!("http://h/{n}"));
            Key(url.unwrap_or_else(|| unreachable!()), None, None)
        };
        let place = |n| Place {
            kept: Arc::default(),
            bytes: 0,
            used: later(n),
        };
        let mut places: HashMap<_, _> = [30, 10, 20].map(|n| (key(n), place(n))).into();
        assert!(!forget_one(&mut places, later(70)));
        assert!(forget_one(&mut places, later(75)));
        assert!(!places.contains_key(&key(10)) && places.len() == 2);
        assert!(!forget_one(&mut places, later(75)));
    }
}
