//! Finds the file that a caller names, in the configured directories and nowhere else.
//!
//! Sits between a request's `play=` (RFC 4240 §3) and [`super::prompts::Prompts::load_file`]. A name is
//! followed to where it really lies, and has to lie below a directory that is followed likewise.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The longest name that is looked at, bytes: Linux has no longer paths.
const MAX_LEN: usize = 4096;

/// Why a file is not played. A peer is told "not found" whatever it was, lest it learn what lies
/// where; the log is told this.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// A URI of a scheme other than `file`.
    #[error("{uri:?}: scheme {scheme:?}, allowed is \"file\"")]
    Scheme {
        /// What was asked for.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// A file of another host.
    #[error("{uri:?}: host {host:?}, allowed are none and \"localhost\"")]
    Host {
        /// What was asked for.
        uri: String,
        /// Its host.
        host: String,
    },
    /// No name at all, or one that no file has.
    #[error("{uri:?}: {why}")]
    Malformed {
        /// What was asked for.
        uri: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It lies, or a symbolic link leads, outside of the directories.
    #[error("{uri:?} is outside of the directories of files that may be played")]
    Outside {
        /// What was asked for.
        uri: String,
    },
    /// A directory, a pipe, a device or a socket.
    #[error("{uri:?}: {path} is no regular file")]
    NotAFile {
        /// What was asked for.
        uri: String,
        /// What was found.
        path: PathBuf,
    },
    /// There is no such file in any of the directories, or it cannot be reached.
    #[error("{uri:?} is in none of the directories of files that may be played: {source}")]
    Missing {
        /// What was asked for.
        uri: String,
        /// Why, in the directory that was looked at first.
        source: io::Error,
    },
}

/// The directories whose files may be played by name.
#[derive(Clone, Debug, Default)]
pub struct Library {
    roots: Vec<PathBuf>,
}

impl Library {
    /// The library of these directories; the first that has a name wins. One that does not
    /// exist (yet) has no files. Without any, everything is refused.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots }
    }

    /// The real path of the file that `uri` names, free of symbolic links. `uri` is as it stands
    /// in the request, escapes included: `file:NAME`, `file:/PATH`, `file:///PATH`,
    /// `file://localhost/PATH`, or a bare name or path; `.wav` may be left out.
    ///
    /// Asks the file system, so it may block. What becomes of the path afterwards is not in its
    /// hands: who may write into the directories can put a link in the file's place.
    pub fn resolve(&self, uri: &str) -> Result<PathBuf, LibraryError> {
        let name = parse(uri)?;
        let mut refusal = None;
        for root in &self.roots {
            // A root that is not there has nothing to say.
            let Ok(real_root) = fs::canonicalize(root) else {
                continue;
            };
            let Some(below) = below(&name, root, &real_root) else {
                continue;
            };
            for candidate in [below.to_owned(), with_ending(below)] {
                match find(uri, &real_root, &candidate) {
                    Ok(path) => return Ok(path),
                    // That it is missing says less than any other reason.
                    Err(LibraryError::Missing { .. }) if refusal.is_some() => {}
                    Err(error) => refusal = Some(error),
                }
            }
        }
        Err(refusal.unwrap_or_else(|| outside(uri)))
    }

    /// The real path of a file that is looked for beside one that [`Library::resolve`] has found; none:
    /// it is not there, or leads outside. May block.
    pub fn within(&self, path: &Path) -> Option<PathBuf> {
        self.roots.iter().find_map(|root| {
            let real_root = fs::canonicalize(root).ok()?;
            let below = path.strip_prefix(&real_root).ok()?;
            find("", &real_root, below).ok()
        })
    }
}

/// The path that a value names, free of `..`.
fn parse(uri: &str) -> Result<PathBuf, LibraryError> {
    let malformed = |why| LibraryError::Malformed {
        uri: uri.to_owned(),
        why,
    };
    if uri.len() > MAX_LEN {
        let uri = uri.chars().take(80).collect();
        let why = "longer than any path";
        return Err(LibraryError::Malformed { uri, why });
    }
    // Decoded before it is taken apart, so that nothing is checked in one form and used in another.
    let decoded = percent_decode(uri).ok_or_else(|| malformed("a \"%\" without two digits"))?;
    let text = String::from_utf8(decoded).map_err(|_| malformed("not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(malformed("a control character"));
    }
    let path = match scheme(&text) {
        None => text.as_str(),
        Some(scheme) if scheme.eq_ignore_ascii_case("file") => {
            without_host(uri, &text[scheme.len() + 1..])?
        }
        Some(scheme) => {
            return Err(LibraryError::Scheme {
                uri: uri.to_owned(),
                scheme: scheme.to_owned(),
            });
        }
    };
    if path.is_empty() || path.ends_with('/') {
        return Err(malformed("no file name"));
    }
    let path = PathBuf::from(path);
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(malformed("a \"..\""));
    }
    Ok(path)
}

/// The scheme (RFC 3986 §3.1) that a text begins with.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(allowed))
        .then_some(scheme)
}

/// The path behind `file:` and a host, which has to be this one (RFC 8089 §2).
fn without_host<'a>(uri: &str, rest: &'a str) -> Result<&'a str, LibraryError> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Ok(rest);
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() || host.eq_ignore_ascii_case("localhost") {
        return Ok(path);
    }
    Err(LibraryError::Host {
        uri: uri.to_owned(),
        host: host.to_owned(),
    })
}

/// Decodes `%XX` once (RFC 3986 §2.1).
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            (high << 4 | low) as u8
        } else {
            byte
        });
    }
    Some(decoded)
}

/// What of `name` lies below a root: all of a relative one. An absolute one outside of the root
/// is not looked at on disk at all.
fn below<'a>(name: &'a Path, root: &Path, real_root: &Path) -> Option<&'a Path> {
    if name.is_relative() {
        return Some(name);
    }
    let below = name.strip_prefix(real_root);
    below.or_else(|_| name.strip_prefix(root)).ok()
}

/// `name.wav`.
fn with_ending(name: &Path) -> PathBuf {
    let mut name = name.as_os_str().to_owned();
    name.push(".wav");
    name.into()
}

/// The file `name` below a root, followed to where it really lies.
fn find(uri: &str, real_root: &Path, name: &Path) -> Result<PathBuf, LibraryError> {
    let missing = |source| LibraryError::Missing {
        uri: uri.to_owned(),
        source,
    };
    let path = fs::canonicalize(real_root.join(name)).map_err(missing)?;
    if !path.starts_with(real_root) {
        return Err(outside(uri));
    }
    // Asks and does not open: opening a pipe would wait for its other end.
    if !fs::metadata(&path).map_err(missing)?.is_file() {
        let uri = uri.to_owned();
        return Err(LibraryError::NotAFile { uri, path });
    }
    Ok(path)
}

fn outside(uri: &str) -> LibraryError {
    LibraryError::Outside {
        uri: uri.to_owned(),
    }
}

#[cfg(test)]
mod tests;
