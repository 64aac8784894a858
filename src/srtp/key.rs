//! Master keys: what signalling agrees on.

use rand::{CryptoRng, RngCore};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Suite;

/// A master key with its salt, for the packets of one direction.
///
/// Two are equal in constant time; the debug output names the suite alone; the bytes are wiped when
/// the key is dropped.
#[derive(Clone)]
pub struct MasterKey {
    suite: Suite,
    bytes: Zeroizing<Vec<u8>>,
}

impl MasterKey {
    /// A fresh key.
    pub fn random<R: RngCore + CryptoRng>(suite: Suite, rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new(vec![0; suite.key_len() + suite.salt_len()]);
        rng.fill_bytes(&mut bytes);
        Self { suite, bytes }
    }

    /// Key and salt, one behind the other, as `a=crypto` has them (RFC 4568 §6.1); none where the
    /// suite's are longer or shorter.
    pub fn new(suite: Suite, bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (bytes.len() == suite.key_len() + suite.salt_len()).then_some(Self { suite, bytes })
    }

    /// What it is a key of.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt: a secret, for the session description alone.
    pub fn secret(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_len()]
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.key_len()..]
    }
}

impl PartialEq for MasterKey {
    fn eq(&self, other: &Self) -> bool {
        self.suite == other.suite && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for MasterKey {}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({})", self.suite.name())
    }
}
