//! The hashes of RFC 7616 §3.4.1 and RFC 8760 §2.3.

use std::fmt;
use std::fmt::Write as _;

use md5::Md5;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::header::Qop;
use crate::sip::method::Method;

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// For phones that know no better.
    Md5,
    /// RFC 8760.
    Sha256,
}

impl Algorithm {
    /// The name in headers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    /// The hash of that name; the `-sess` variants are not known here.
    pub fn parse(name: &str) -> Option<Self> {
        let is = |a: &Self| a.as_str().eq_ignore_ascii_case(name);
        [Algorithm::Md5, Algorithm::Sha256].into_iter().find(is)
    }

    /// The length of a digest, hexadecimal digits.
    pub const fn digits(self) -> usize {
        match self {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 => 64,
        }
    }

    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Algorithm::Md5 => hex(&Md5::digest(&text)),
            Algorithm::Sha256 => hex(&Sha256::digest(&text)),
        }
    }
}

/// The hash of name, realm and password: as good as the password within its realm, so never shown.
#[derive(Clone)]
pub struct Ha1(String);

impl Ha1 {
    /// From a password.
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        Self(algorithm.hash(&[username, realm, password]))
    }

    /// As it is stored: hexadecimal, of the algorithm's length.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Option<Self> {
        let good = text.len() == algorithm.digits() && text.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| Self(text.to_ascii_lowercase()))
    }

    /// What a client answers to a nonce (RFC 7616 §3.4.1; RFC 2617 §3.2.2.1 without `qop`).
    pub fn response(
        &self,
        algorithm: Algorithm,
        nonce: &str,
        qop: Option<&Qop>,
        method: &Method,
        uri: &str,
    ) -> String {
        let a2 = algorithm.hash(&[method.as_str(), uri]);
        match qop {
            None => algorithm.hash(&[&self.0, nonce, &a2]),
            Some(Qop { nc, cnonce }) => {
                let nc = format!("{nc:08x}");
                algorithm.hash(&[&self.0, nonce, &nc, cnonce, "auth", &a2])
            }
        }
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(..)")
    }
}

/// Equality in a time that does not tell where two texts differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
