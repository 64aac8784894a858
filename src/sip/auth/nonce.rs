//! Nonces that need no memory: time, number and a seal over both and the address that they were made
//! for. So a nonce that comes back proves that its sender receives what we send there.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::digest::{hex, same};

/// Digits of the time and of the number, each.
const FIELD: usize = 16;
/// Bytes of the seal.
const SEAL: usize = 16;

/// What tells one nonce from another: when it was made (ms), and its number.
pub(super) type NonceId = (u64, u64);

/// What a nonce is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    /// Ours, for this address, and still good.
    Good(NonceId),
    /// Ours, for this address, and too old.
    Expired,
    /// Not ours, or for another address.
    Foreign,
}

/// Makes nonces and knows its own again.
#[derive(Debug)]
pub(super) struct Nonces {
    key: Key,
    life: Duration,
    /// The first instant that we were told; times count from it.
    epoch: Option<Instant>,
    next: u64,
}

impl Nonces {
    pub(super) fn new(key: Key, life: Duration) -> Self {
        Self {
            key,
            life,
            epoch: None,
            next: 0,
        }
    }

    /// A nonce for an address; always of the same length.
    pub(super) fn make(&mut self, source: IpAddr, now: Instant) -> String {
        let at = self.ms(now);
        self.next = self.next.wrapping_add(1);
        let text = format!("{at:016x}{:016x}", self.next);
        let seal = self.seal(&text, source);
        text + &seal
    }

    /// What a nonce is that came from an address.
    pub(super) fn look(&mut self, nonce: &str, source: IpAddr, now: Instant) -> Nonce {
        let Some((text, seal)) = nonce.split_at_checked(2 * FIELD) else {
            return Nonce::Foreign;
        };
        if !same(seal, &self.seal(text, source)) {
            return Nonce::Foreign;
        }
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let (at, number) = match (text.get(..FIELD), text.get(FIELD..)) {
            (Some(at), Some(rest)) => match (number(at), number(rest)) {
                (Some(at), Some(number)) => (at, number),
                _ => return Nonce::Foreign,
            },
            _ => return Nonce::Foreign,
        };
        if self.oldest(now) > at {
            return Nonce::Expired;
        }
        Nonce::Good((at, number))
    }

    /// What was made before this (ms) has expired.
    pub(super) fn oldest(&mut self, now: Instant) -> u64 {
        self.ms(now).saturating_sub(self.life.as_millis() as u64)
    }

    fn ms(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        // Not from zero: what is subtracted of it stays above.
        let start = self.life.as_millis() as u64;
        start + now.saturating_duration_since(epoch).as_millis() as u64
    }

    fn seal(&self, text: &str, source: IpAddr) -> String {
        let source = source.to_canonical().to_string();
        let sealed = self.key.mac(&[text, &source]);
        hex(&sealed[..SEAL])
    }
}

/// A key made at the start, at random; it is in no log.
#[derive(Clone)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// The seal over some texts.
    pub(super) fn mac(&self, parts: &[&str]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return [0; 32]; // HMAC takes keys of any length
        };
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}
