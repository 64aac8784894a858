//! Session keys at work: one RTP or RTCP packet, encrypted and authenticated in place.

use aes::Aes128;
use aes::cipher::KeyInit;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::derive::{Label, derive, keystream};
use super::{MasterKey, SrtpError, Suite};

/// Bytes of HMAC-SHA1's key (RFC 3711 §5.2).
const AUTH_KEY_LEN: usize = 20;
const GCM_TAG_LEN: usize = 16;
/// The E bit: the packet is encrypted (RFC 3711 §3.4).
pub(super) const ENCRYPTED: u32 = 1 << 31;
/// Bytes of an RTCP packet that stay in the clear.
pub(super) const RTCP_CLEAR: usize = 8;
/// Bytes of E bit and index.
pub(super) const RTCP_INDEX: usize = 4;

/// The session keys of RTP, or those of RTCP.
pub(super) enum Cipher {
    Cm {
        cipher: Aes128,
        salt: Zeroizing<[u8; 14]>,
        mac: Hmac<Sha1>,
        tag_len: usize,
    },
    Gcm128(Aes128Gcm, Zeroizing<[u8; 12]>),
    Gcm256(Aes256Gcm, Zeroizing<[u8; 12]>),
}

impl Cipher {
    pub fn rtp(master: &MasterKey) -> Self {
        let labels = [
            Label::RtpEncryption,
            Label::RtpAuthentication,
            Label::RtpSalt,
        ];
        Self::new(master, labels, master.suite().rtp_tag_len())
    }

    pub fn rtcp(master: &MasterKey) -> Self {
        let labels = [
            Label::RtcpEncryption,
            Label::RtcpAuthentication,
            Label::RtcpSalt,
        ];
        Self::new(master, labels, master.suite().rtcp_tag_len())
    }

    fn new(master: &MasterKey, [key, auth, salt]: [Label; 3], tag_len: usize) -> Self {
        match master.suite() {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                let auth = session::<AUTH_KEY_LEN>(master, auth);
                Cipher::Cm {
                    cipher: Aes128::new((&*session::<16>(master, key)).into()),
                    salt: session(master, salt),
                    mac: <Hmac<Sha1> as hmac::KeyInit>::new_from_slice(&*auth)
                        .expect("HMAC takes keys of any length"),
                    tag_len,
                }
            }
            Suite::AeadAes128Gcm => Cipher::Gcm128(
                Aes128Gcm::new((&*session::<16>(master, key)).into()),
                session(master, salt),
            ),
            Suite::AeadAes256Gcm => Cipher::Gcm256(
                Aes256Gcm::new((&*session::<32>(master, key)).into()),
                session(master, salt),
            ),
        }
    }

    /// Encrypts the first `len` bytes of an RTP packet behind its header of `header` bytes, and
    /// writes the tag behind them. Returns the length of all.
    pub fn seal_rtp(
        &self,
        packet: &mut [u8],
        (header, len): (usize, usize),
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        if packet.len() < len + self.tag_len() {
            return Err(SrtpError::NoRoom);
        }
        let (text, rest) = packet.split_at_mut(len);
        let tag = &mut rest[..self.tag_len()];
        match self {
            Cipher::Cm {
                cipher, salt, mac, ..
            } => {
                keystream(cipher, &cm_iv(salt, ssrc, index), &mut text[header..]);
                let roc = ((index >> 16) as u32).to_be_bytes();
                write_mac(mac, &[text, &roc], tag);
            }
            Cipher::Gcm128(cipher, salt) => {
                let (clear, text) = text.split_at_mut(header);
                seal(cipher, &gcm_rtp_iv(salt, ssrc, index), clear, text, tag)?;
            }
            Cipher::Gcm256(cipher, salt) => {
                let (clear, text) = text.split_at_mut(header);
                seal(cipher, &gcm_rtp_iv(salt, ssrc, index), clear, text, tag)?;
            }
        }
        Ok(len + self.tag_len())
    }

    /// Authenticates an RTP packet, then decrypts it. Returns its length without the tag. What is
    /// not authentic stays as it is.
    pub fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let len = packet.len().checked_sub(self.tag_len());
        let Some(len) = len.filter(|len| *len >= header) else {
            return Err(SrtpError::Malformed);
        };
        let (text, tag) = packet.split_at_mut(len);
        match self {
            Cipher::Cm {
                cipher, salt, mac, ..
            } => {
                let roc = ((index >> 16) as u32).to_be_bytes();
                check_mac(mac, &[text, &roc], tag)?;
                keystream(cipher, &cm_iv(salt, ssrc, index), &mut text[header..]);
            }
            Cipher::Gcm128(cipher, salt) => {
                let (clear, text) = text.split_at_mut(header);
                open(cipher, &gcm_rtp_iv(salt, ssrc, index), clear, text, tag)?;
            }
            Cipher::Gcm256(cipher, salt) => {
                let (clear, text) = text.split_at_mut(header);
                open(cipher, &gcm_rtp_iv(salt, ssrc, index), clear, text, tag)?;
            }
        }
        Ok(len)
    }

    /// Encrypts the first `len` bytes of a compound RTCP packet behind its first header, and writes
    /// tag and index behind them. Returns the length of all.
    pub fn seal_rtcp(
        &self,
        packet: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let total = len + self.tag_len() + RTCP_INDEX;
        if packet.len() < total {
            return Err(SrtpError::NoRoom);
        }
        let word = (ENCRYPTED | index).to_be_bytes();
        let (text, rest) = packet.split_at_mut(len);
        match self {
            Cipher::Cm {
                cipher,
                salt,
                mac,
                tag_len,
            } => {
                let iv = cm_iv(salt, ssrc, index.into());
                keystream(cipher, &iv, &mut text[RTCP_CLEAR..]);
                let (place, tag) = rest.split_at_mut(RTCP_INDEX);
                place.copy_from_slice(&word);
                write_mac(mac, &[text, &word], &mut tag[..*tag_len]);
            }
            Cipher::Gcm128(cipher, salt) => {
                let (aad, text) = rtcp_aad(text, word);
                let (tag, place) = rest.split_at_mut(GCM_TAG_LEN);
                place[..RTCP_INDEX].copy_from_slice(&word);
                seal(cipher, &gcm_rtcp_iv(salt, ssrc, index), &aad, text, tag)?;
            }
            Cipher::Gcm256(cipher, salt) => {
                let (aad, text) = rtcp_aad(text, word);
                let (tag, place) = rest.split_at_mut(GCM_TAG_LEN);
                place[..RTCP_INDEX].copy_from_slice(&word);
                seal(cipher, &gcm_rtcp_iv(salt, ssrc, index), &aad, text, tag)?;
            }
        }
        Ok(total)
    }

    /// The E bit and index of an RTCP packet, still unauthenticated.
    pub fn rtcp_word(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let behind = match self {
            Cipher::Cm { tag_len, .. } => *tag_len,
            Cipher::Gcm128(..) | Cipher::Gcm256(..) => 0,
        };
        let end = packet.len().checked_sub(behind);
        end.and_then(|end| packet[..end].last_chunk())
            .map(|word| u32::from_be_bytes(*word))
            .ok_or(SrtpError::Malformed)
    }

    /// Authenticates a compound RTCP packet, then decrypts it. Returns its length without tag and
    /// index. What is not authentic stays as it is.
    pub fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, word: u32) -> Result<usize, SrtpError> {
        let len = packet.len().checked_sub(self.tag_len() + RTCP_INDEX);
        let Some(len) = len.filter(|len| *len >= RTCP_CLEAR) else {
            return Err(SrtpError::Malformed);
        };
        let index = word & !ENCRYPTED;
        match self {
            Cipher::Cm {
                cipher, salt, mac, ..
            } => {
                let (signed, tag) = packet.split_at_mut(len + RTCP_INDEX);
                check_mac(mac, &[signed], tag)?;
                let iv = cm_iv(salt, ssrc, index.into());
                keystream(cipher, &iv, &mut signed[RTCP_CLEAR..len]);
            }
            Cipher::Gcm128(cipher, salt) => {
                let (text, rest) = packet.split_at_mut(len);
                let (aad, text) = rtcp_aad(text, word.to_be_bytes());
                let iv = gcm_rtcp_iv(salt, ssrc, index);
                open(cipher, &iv, &aad, text, &rest[..GCM_TAG_LEN])?;
            }
            Cipher::Gcm256(cipher, salt) => {
                let (text, rest) = packet.split_at_mut(len);
                let (aad, text) = rtcp_aad(text, word.to_be_bytes());
                let iv = gcm_rtcp_iv(salt, ssrc, index);
                open(cipher, &iv, &aad, text, &rest[..GCM_TAG_LEN])?;
            }
        }
        Ok(len)
    }

    fn tag_len(&self) -> usize {
        match self {
            Cipher::Cm { tag_len, .. } => *tag_len,
            Cipher::Gcm128(..) | Cipher::Gcm256(..) => GCM_TAG_LEN,
        }
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

fn session<const N: usize>(master: &MasterKey, label: Label) -> Zeroizing<[u8; N]> {
    let mut key = Zeroizing::new([0; N]);
    derive(master, label, &mut *key);
    key
}

/// RFC 3711 §4.1.1: salt * 2^16 XOR SSRC * 2^64 XOR index * 2^16.
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
    iv
}

/// RFC 7714 §8.1.
fn gcm_rtp_iv(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut iv = *salt;
    xor(&mut iv[2..6], &ssrc.to_be_bytes());
    xor(&mut iv[6..12], &index.to_be_bytes()[2..]);
    iv
}

/// RFC 7714 §9.1.
fn gcm_rtcp_iv(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let mut iv = *salt;
    xor(&mut iv[2..6], &ssrc.to_be_bytes());
    xor(&mut iv[8..12], &index.to_be_bytes());
    iv
}

fn xor(to: &mut [u8], with: &[u8]) {
    for (to, with) in to.iter_mut().zip(with) {
        *to ^= with;
    }
}

/// What is authenticated beside an encrypted RTCP packet (RFC 7714 §9.2), and what is encrypted.
fn rtcp_aad(packet: &mut [u8], word: [u8; 4]) -> ([u8; RTCP_CLEAR + RTCP_INDEX], &mut [u8]) {
    let (clear, text) = packet.split_at_mut(RTCP_CLEAR);
    let mut aad = [0; RTCP_CLEAR + RTCP_INDEX];
    aad[..RTCP_CLEAR].copy_from_slice(clear);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    (aad, text)
}

fn write_mac(mac: &Hmac<Sha1>, parts: &[&[u8]], tag: &mut [u8]) {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    let whole = mac.finalize().into_bytes();
    tag.copy_from_slice(&whole[..tag.len()]);
}

fn check_mac(mac: &Hmac<Sha1>, parts: &[&[u8]], tag: &[u8]) -> Result<(), SrtpError> {
    let mut mac = mac.clone();
    for part in parts {
        mac.update(part);
    }
    let whole = mac.finalize().into_bytes();
    let is_same = tag.ct_eq(&whole[..tag.len()]);
    bool::from(is_same)
        .then_some(())
        .ok_or(SrtpError::NotAuthentic)
}

fn seal<A: AeadInOut<NonceSize = U12, TagSize = U16>>(
    cipher: &A,
    iv: &[u8; 12],
    clear: &[u8],
    text: &mut [u8],
    tag: &mut [u8],
) -> Result<(), SrtpError> {
    let nonce: &Nonce<A> = iv.into();
    let made = cipher.encrypt_inout_detached(nonce, clear, text.into());
    tag.copy_from_slice(&made.map_err(|_| SrtpError::Malformed)?);
    Ok(())
}

fn open<A: AeadInOut<NonceSize = U12, TagSize = U16>>(
    cipher: &A,
    iv: &[u8; 12],
    clear: &[u8],
    text: &mut [u8],
    tag: &[u8],
) -> Result<(), SrtpError> {
    let nonce: &Nonce<A> = iv.into();
    let tag: &Tag<A> = tag.try_into().map_err(|_| SrtpError::Malformed)?;
    cipher
        .decrypt_inout_detached(nonce, clear, text.into(), tag)
        .map_err(|_| SrtpError::NotAuthentic)
}
