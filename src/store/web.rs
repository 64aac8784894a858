//! Audio that web servers have, kept in files until it changes there.
//!
//! Sits between an announcement's `play=http://...` (RFC 4240 §3) and the player. What was fetched is
//! asked for again by its validator (RFC 9110 §13), or not at all while it is fresh; where the web
//! server is not to be reached, what is known is played. Callers who want the same wait for one request.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::Semaphore;

use super::shelf::{Kept, MAX_FILES, Shelf};
use super::sound::{self, SoundError};
use crate::net::fetch::{FetchError, Fetched, Fetcher, Url, Validators};

/// Requests at once; the next wait for their turn, within the time that a request has.
const AT_ONCE: usize = 16;
/// Redirections that are followed.
const REDIRECTIONS: usize = 3;

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

/// What is known of a file.
#[derive(Debug)]
struct About {
    validators: Validators,
    fresh_until: Instant,
}

/// Files that web servers have.
#[derive(Debug)]
pub struct Web {
    fetcher: Fetcher,
    settings: WebSettings,
    turns: Semaphore,
    shelf: Shelf<Key, About>,
}

impl Web {
    /// Nothing is known yet. What an earlier run has kept is thrown away, since its validators are
    /// gone; the directory is made when the first file is.
    pub fn new(fetcher: Fetcher, settings: WebSettings) -> Self {
        let shelf = Shelf::new(settings.directory.clone(), PREFIX, settings.max_bytes);
        if !settings.hosts.is_empty() {
            shelf.clear();
        }
        Self {
            fetcher,
            settings,
            turns: Semaphore::new(AT_ONCE),
            shelf,
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
        let slot = self.shelf.slot(&key).ok_or(WebError::Busy)?;
        let mut kept = slot.lock().await;
        if let Some(known) = &*kept
            && known.about.fresh_until > Instant::now()
        {
            return Ok(known.path.clone());
        }
        let validators = kept.as_ref().map(|k| k.about.validators.clone());
        let fetched = self.fetch(&key, &validators.unwrap_or_default()).await;
        match (fetched, &mut *kept) {
            (Ok(Fetched::Unchanged { fresh }), Some(known)) => {
                known.about.fresh_until = Instant::now() + fresh;
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
                let wav = sound::to_wav(bytes.to_vec(), kind.as_deref());
                let wav = wav.map_err(|source| WebError::Sound {
                    url: key.0.clone(),
                    source,
                })?;
                let path = self.shelf.keep(&key, wav).await;
                let path = path.map_err(|(path, source)| WebError::File { path, source })?;
                *kept = Some(Kept {
                    path: path.clone(),
                    about: About {
                        validators,
                        fresh_until: Instant::now() + fresh,
                    },
                });
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
}

const PREFIX: &str = "antiphon-web-";

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
