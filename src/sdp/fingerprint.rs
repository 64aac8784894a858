//! `a=fingerprint` (RFC 8122 §5): the hash of the certificate that a peer is going to show.

use std::fmt;

use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

/// The hash functions that are taken; older ones are too weak for this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// `sha-256`, which everybody has to know.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

/// The hash of a certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

impl Hash {
    const ALL: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    fn name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha-256",
            Hash::Sha384 => "sha-384",
            Hash::Sha512 => "sha-512",
        }
    }

    fn len(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha256 => Sha256::digest(data).to_vec(),
            Hash::Sha384 => Sha384::digest(data).to_vec(),
            Hash::Sha512 => Sha512::digest(data).to_vec(),
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate (DER).
    pub fn of(certificate: &[u8], hash: Hash) -> Self {
        Self {
            hash,
            digest: hash.digest(certificate),
        }
    }

    /// The value of an attribute; none where it is malformed or by a hash that is not taken.
    pub fn parse(value: &str) -> Option<Self> {
        let (name, text) = value.trim().split_once(' ')?;
        let mut all = Hash::ALL.into_iter();
        let hash = all.find(|hash| name.eq_ignore_ascii_case(hash.name()))?;
        let octet = |text: &str| {
            let is_hex = text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(text, 16).ok())?
        };
        let digest: Option<Vec<u8>> = text.trim().split(':').map(octet).collect();
        let digest = digest.filter(|digest| digest.len() == hash.len())?;
        Some(Self { hash, digest })
    }

    /// Whether this is the fingerprint of that certificate (DER); takes as long whichever it is.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        self.digest.ct_eq(&self.hash.digest(certificate)).into()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (index, octet) in self.digest.iter().enumerate() {
            let before = if index == 0 { ' ' } else { ':' };
            write!(f, "{before}{octet:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_matches_its_certificate_alone() {
        for hash in Hash::ALL {
            let fingerprint = Fingerprint::of(b"certificate", hash);
            let text = fingerprint.to_string();
            assert_eq!(Fingerprint::parse(&text), Some(fingerprint.clone()));
            assert_eq!(
                Fingerprint::parse(&text.to_lowercase()),
                Some(fingerprint.clone())
            );
            assert!(fingerprint.matches(b"certificate"));
            assert!(!fingerprint.matches(b"certificatf"));
        }
    }

    #[test]
    fn what_is_malformed_or_weak_is_none() {
        let whole = Fingerprint::of(b"x", Hash::Sha256).to_string();
        let short = &whole[..whole.len() - 3];
        let long = format!("{whole}:00");
        let signed = whole.replacen(&whole[8..10], "+1", 1);
        for value in [
            "",
            "sha-256",
            "sha-256 ",
            "sha-1 00:11",
            short,
            &long,
            &signed,
        ] {
            assert_eq!(Fingerprint::parse(value), None, "{value}");
        }
        let weak = whole.replacen("sha-256", "md5", 1);
        assert_eq!(Fingerprint::parse(&weak), None);
    }
}
