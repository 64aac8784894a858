//! Audio that web servers have, kept in files until it changes there.
//!
//! Sits between an announcement's `play=http://...` (RFC 4240 §3) and the player. What was fetched is
//! asked for again by its validator (RFC 9110 §13), or not at all while it is fresh; where the web
//! server is not to be reached, what is known is played. Callers who want the same wait for one request,
//! and get what comes of it; when all of them have hung up it is given up.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::shelf::{self, MAX_FILES, Shelf};
use super::sound::{self, SoundError};
use crate::net::fetch::{FetchError, FetchLimits, Fetched, Fetcher, Url, Validators};

/// Requests at once; the next wait for their turn, within the time that a request has.
const AT_ONCE: usize = 16;
/// How long a web server that was not to be reached is not asked again for what is known.
const OUTAGE_REST: Duration = Duration::from_secs(10);
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
#[derive(Clone, Debug, thiserror::Error)]
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
        source: Arc<io::Error>,
    },
    /// Too many files are wanted at this moment.
    #[error("{MAX_FILES} other files were asked for within a minute")]
    Busy,
}

/// What is asked for: the address, the language, the kind that the caller says it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(Url, Option<String>, Option<String>);

/// What is known of a file.
#[derive(Clone, Debug)]
struct About {
    validators: Validators,
    fresh_until: Instant,
}

type Making = shelf::Making<Key, About, WebError>;

/// Files that web servers have. Clones have the same.
#[derive(Clone, Debug)]
pub struct Web {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    fetcher: Fetcher,
    settings: WebSettings,
    turns: Semaphore,
    shelf: Arc<Shelf<Key, About, WebError>>,
}

impl Web {
    /// Nothing is known yet; the directory is made when the first file is.
    pub fn new(fetcher: Fetcher, settings: WebSettings) -> Self {
        let shelf = Shelf::new(settings.directory.clone(), PREFIX, settings.max_bytes);
        Self {
            parts: Arc::new(Parts {
                fetcher,
                settings,
                turns: Semaphore::new(AT_ONCE),
                shelf: Arc::new(shelf),
            }),
        }
    }

    /// At a start: throws away what servers have kept that do not run any more, since its validators are
    /// gone. Blocks.
    pub fn clear(&self) {
        if !self.parts.settings.hosts.is_empty() {
            self.parts.shelf.clear();
        }
    }

    /// Whether it was made with these.
    pub fn is_of(&self, limits: FetchLimits, settings: &WebSettings) -> bool {
        self.parts.fetcher.limits() == limits && self.parts.settings == *settings
    }

    /// Whether what one has fetched the other has too.
    pub fn has_what(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
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
        self.parts.check(&url)?;
        let key = Key(url, language.map(str::to_owned), kind.map(str::to_owned));
        let parts = Arc::clone(&self.parts);
        let got = self.parts.shelf.get(&key, |making| parts.current(making));
        got.await.unwrap_or(Err(WebError::Busy))
    }
}

impl Parts {
    /// The file as it is now.
    async fn current(self: Arc<Self>, making: Making) -> Result<PathBuf, WebError> {
        let deadline = Instant::now() + self.fetcher.limits().time;
        loop {
            // Without one the kept file has gone meanwhile, and is asked for as if it had never been there.
            if let Some(path) = self.once(&making, deadline).await? {
                return Ok(path);
            }
        }
    }

    /// The file that is kept, if it is still right, else a new one.
    async fn once(&self, making: &Making, deadline: Instant) -> Result<Option<PathBuf>, WebError> {
        let (kept, validators) = match making.known().await {
            Some((path, about)) if about.fresh_until > Instant::now() => return Ok(Some(path)),
            Some((_, about)) => (true, about.validators),
            None => (false, Validators::default()),
        };
        // In a box: it has a connection's whole handshake in it, and is moved.
        let fetch = Box::pin(self.fetch(making.key(), &validators, deadline));
        // Nobody hears it where nobody waits.
        let fetched = making.while_wanted(fetch).await;
        match fetched.unwrap_or(Err(WebError::Busy)) {
            Ok(Fetched::Unchanged { fresh }) if kept => Ok(trusted(making, fresh).await),
            Ok(Fetched::Body {
                bytes,
                kind,
                validators,
                fresh,
            }) => {
                let kind = making.key().2.clone().or(kind);
                let about = About {
                    validators,
                    fresh_until: Instant::now() + fresh,
                };
                let kept = keep(making, bytes.to_vec(), kind.as_deref(), about);
                kept.await.map(Some)
            }
            Ok(Fetched::Unchanged { .. } | Fetched::Moved(_)) => Err(WebError::Fetch {
                url: making.key().0.clone(),
                source: FetchError::Status(304),
            }),
            // Who is not there now had this before.
            Err(WebError::Fetch { url, source }) if is_outage(&source) => {
                let path = trusted(making, OUTAGE_REST).await;
                path.map(Some).ok_or(WebError::Fetch { url, source })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks when it is its turn, and goes where it is led; all of that before the deadline.
    async fn fetch(
        &self,
        key: &Key,
        known: &Validators,
        deadline: Instant,
    ) -> Result<Fetched, WebError> {
        let fetched = timeout_at(deadline.into(), self.follow(key, known)).await;
        fetched.unwrap_or_else(|_| {
            Err(WebError::Fetch {
                url: key.0.clone(),
                source: FetchError::TimedOut(self.fetcher.limits().time),
            })
        })
    }

    async fn follow(&self, key: &Key, known: &Validators) -> Result<Fetched, WebError> {
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

/// What is kept, for that much longer without asking; none: it has gone.
async fn trusted(making: &Making, fresh: Duration) -> Option<PathBuf> {
    let (path, about) = making.known().await?;
    making.note(About {
        fresh_until: Instant::now() + fresh,
        ..about
    });
    Some(path)
}

async fn keep(
    making: &Making,
    bytes: Vec<u8>,
    kind: Option<&str>,
    about: About,
) -> Result<PathBuf, WebError> {
    let wav = sound::to_wav(bytes, kind).map_err(|source| WebError::Sound {
        url: making.key().0.clone(),
        source,
    })?;
    let kept = making.keep(wav, about).await;
    kept.map_err(|(path, source)| WebError::File {
        path,
        source: Arc::new(source),
    })
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
