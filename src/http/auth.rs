//! Keys: who may do what.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::api::Scope;

/// A named key. Of its secret only the hash is kept: secrets are long, so that a plain one does.
#[derive(Clone)]
pub struct Key {
    /// Its name, for logs.
    pub name: Arc<str>,
    /// What it is good for.
    pub scope: Scope,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
}

/// All keys.
#[derive(Clone, Debug, Default)]
pub struct Keys(pub Vec<Key>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.name, self.scope.as_str())
    }
}

/// What a request shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// Something that is good for nothing.
    Wrong,
    /// This key.
    Key(Arc<str>, Scope),
}

impl Key {
    /// A key with this secret.
    pub fn new(name: &str, scope: Scope, secret: &str) -> Self {
        Self {
            name: name.into(),
            scope,
            hash: hash(secret),
        }
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl Keys {
    /// The names of those that are not the same, or not there, in `new`.
    pub fn not_kept(&self, new: &Keys) -> Vec<Arc<str>> {
        let is_kept = |key: &Key| {
            let same = |other: &Key| {
                (&other.name, other.scope, other.hash) == (&key.name, key.scope, key.hash)
            };
            new.0.iter().any(same)
        };
        let gone = self.0.iter().filter(|key| !is_kept(key));
        gone.map(|key| Arc::clone(&key.name)).collect()
    }

    /// The key that a header `Authorization` shows.
    pub fn of_header(&self, value: &str) -> Shown {
        let Some((scheme, rest)) = value.split_once(' ') else {
            return Shown::Wrong;
        };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.find(rest);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Shown::Wrong;
        }
        let text = STANDARD.decode(rest).ok();
        match text.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) if text.contains(':') => self.find(&text),
            _ => Shown::Wrong,
        }
    }

    /// The key of a secret, or of a name and a secret with a colon between them. Takes as long
    /// whether there is one or not.
    pub fn find(&self, text: &str) -> Shown {
        let whole = hash(text);
        let parts = text
            .split_once(':')
            .map(|(name, secret)| (name, hash(secret)));
        let mut shown = Shown::Wrong;
        for key in &self.0 {
            let named = match &parts {
                Some((name, hash)) => (*name == &*key.name) & bool::from(hash.ct_eq(&key.hash)),
                None => false,
            };
            if named | bool::from(whole.ct_eq(&key.hash)) {
                shown = Shown::Key(Arc::clone(&key.name), key.scope);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_basic_or_bearer() {
        let keys = Keys(vec![
            Key::new("watch", Scope::Read, "a-secret-of-the-watcher"),
            Key::new("boss", Scope::Admin, "a:secret:with:colons"),
        ]);
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let watch = Shown::Key("watch".into(), Scope::Read);
        let boss = Shown::Key("boss".into(), Scope::Admin);
        for (header, expected) in [
            ("Bearer a-secret-of-the-watcher".to_owned(), &watch),
            ("bearer  watch:a-secret-of-the-watcher".to_owned(), &watch),
            (basic("watch:a-secret-of-the-watcher"), &watch),
            ("Bearer a:secret:with:colons".to_owned(), &boss),
            (basic("boss:a:secret:with:colons"), &boss),
            (basic("boss:a-secret-of-the-watcher"), &Shown::Wrong),
            (basic("a-secret-of-the-watcher"), &Shown::Wrong),
            (basic("watch:"), &Shown::Wrong),
            ("Basic %%%".to_owned(), &Shown::Wrong),
            ("Bearer ".to_owned(), &Shown::Wrong),
            ("Digest x".to_owned(), &Shown::Wrong),
            (String::new(), &Shown::Wrong),
        ] {
            assert_eq!(&keys.of_header(&header), expected, "{header}");
        }
    }
}
