//! `a=crypto` (RFC 4568): a suite and the key that its author sends with.
//!
//! The text holds a secret: it goes into a session description and nowhere else.

use std::fmt::{self, Display};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::srtp::{MasterKey, Suite};

/// One line that we can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Its number: an answer repeats it (RFC 4568 §4.1).
    pub tag: u32,
    /// The key of its author, with the suite.
    pub key: MasterKey,
}

/// The longest lifetime of a key, packets (RFC 4568 §6.1, RFC 3711 §9.2).
const MAX_LIFETIME: u64 = 1 << 48;
/// Phones write keys with the padding and without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Crypto {
    /// Reads the value of an `a=crypto`; none where it is malformed, or asks for what we do not have:
    /// another suite, several keys or an MKI, session parameters that change the packets.
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next()?;
        let is_tag = (1..=9).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_digit());
        let tag = tag.parse().ok().filter(|_| is_tag)?;
        let suite = Suite::from_name(words.next()?)?;
        let (method, info) = words.next()?.split_once(':')?;
        if !method.eq_ignore_ascii_case("inline") || info.contains(';') {
            return None;
        }
        let mut parts = info.split('|');
        let secret = BASE64.decode(parts.next()?).ok().map(Zeroizing::new)?;
        let key = MasterKey::new(suite, secret)?;
        // A lifetime at most: what has a colon is an MKI.
        let lifetime_fits = parts.next().is_none_or(|text| {
            lifetime(text).is_some_and(|packets| (1..=MAX_LIFETIME).contains(&packets))
        });
        let does = lifetime_fits && parts.next().is_none() && words.all(is_harmless);
        does.then_some(Self { tag, key })
    }
}

/// The value of `a=crypto`, as it goes on the wire.
impl Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crypto { tag, key } = self;
        let secret = Zeroizing::new(BASE64.encode(key.secret()));
        write!(f, "{tag} {} inline:{}", key.suite().name(), *secret)
    }
}

/// A number of packets, or `2^n`.
fn lifetime(text: &str) -> Option<u64> {
    match text.strip_prefix("2^") {
        Some(power) => 1u64.checked_shl(power.parse().ok()?),
        None => text.parse().ok(),
    }
}

/// Whether a session parameter changes nothing for us: the replay window that the author would like
/// (RFC 4568 §6.3.7), or one that may be ignored (§6.3.8).
fn is_harmless(parameter: &str) -> bool {
    let is_window = parameter
        .get(..4)
        .is_some_and(|name| name.eq_ignore_ascii_case("WSH="));
    is_window || parameter.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn what_is_read_prints_the_same() {
        // RFC 4568 §9.1 and lines as phones write them.
        let line = format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        let crypto = Crypto::parse(&line).unwrap();
        assert_eq!(crypto.to_string(), line);
        assert_eq!(crypto.key.secret().len(), 30);
        assert!(!format!("{crypto:?}").contains(&KEY[..8]));
        let same = [
            format!("1 aes_cm_128_hmac_sha1_80 INLINE:{KEY}|2^20"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1048576  WSH=64"),
            format!("1  AES_CM_128_HMAC_SHA1_80 inline:{KEY}|2^48 -X=1"),
        ];
        for line in same {
            assert_eq!(Crypto::parse(&line), Some(crypto.clone()), "{line}");
        }
        // 28 and 44 bytes end in padding; some leave it out.
        for (suite, len) in [(Suite::AeadAes128Gcm, 28), (Suite::AeadAes256Gcm, 44)] {
            let key = MasterKey::new(suite, Zeroizing::new(vec![0xa5; len])).unwrap();
            let line = Crypto { tag: 7, key }.to_string();
            assert!(line.ends_with('='), "{line}");
            let bare = line.trim_end_matches('=');
            assert_eq!(Crypto::parse(bare), Crypto::parse(&line));
            assert_eq!(Crypto::parse(bare).unwrap().to_string(), line);
        }
    }

    #[test]
    fn what_we_cannot_do_is_passed_over() {
        let suite = "AES_CM_128_HMAC_SHA1_80";
        let lines = [
            String::new(),
            "1".into(),
            format!("1 {suite}"),
            format!("x {suite} inline:{KEY}"),
            format!("1234567890 {suite} inline:{KEY}"),
            format!("+1 {suite} inline:{KEY}"),
            format!("1 F8_128_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AES_256_CM_HMAC_SHA1_80 inline:{KEY}"),
            format!("1 AEAD_AES_128_GCM inline:{KEY}"),
            format!("1 {suite} inline:{}", &KEY[1..]),
            format!("1 {suite} inline:{KEY}AAAA"),
            format!("1 {suite} inline:%{}", &KEY[1..]),
            format!("1 {suite} uri:{KEY}"),
            format!("1 {suite} inline:{KEY}|2^20|1:4"),
            format!("1 {suite} inline:{KEY}|1:4"),
            format!("1 {suite} inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4"),
            format!("1 {suite} inline:{KEY}|2^49"),
            format!("1 {suite} inline:{KEY}|2^999"),
            format!("1 {suite} inline:{KEY}|0"),
            format!("1 {suite} inline:{KEY} UNENCRYPTED_SRTCP"),
            format!("1 {suite} inline:{KEY} KDR=1"),
            format!("1 {suite} inline:{KEY} FEC_ORDER=FEC_SRTP"),
        ];
        for line in lines {
            assert_eq!(Crypto::parse(&line), None, "{line}");
        }
    }
}
