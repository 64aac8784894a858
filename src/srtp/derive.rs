//! Session keys from a master key (RFC 3711 §4.3; RFC 7714 §11, RFC 6188 §3), with a key
//! derivation rate of zero: once.

use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128, Aes256};
use ctr::CtrCore;
use ctr::cipher::StreamCipherCoreWrapper;
use ctr::flavors;
use zeroize::Zeroizing;

use super::MasterKey;

/// What a session key is for (RFC 3711 §4.3.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum Label {
    RtpEncryption = 0,
    RtpAuthentication = 1,
    RtpSalt = 2,
    RtcpEncryption = 3,
    RtcpAuthentication = 4,
    RtcpSalt = 5,
}

/// AES in counter mode over a key that is borrowed, so that nothing of it is copied.
pub(super) fn keystream<C>(cipher: &C, iv: &[u8; 16], data: &mut [u8])
where
    C: BlockCipherEncrypt + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let core = CtrCore::<&C, flavors::Ctr128BE>::inner_iv_init(cipher, iv.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
}

/// Fills `out` with the session key of this label.
pub(super) fn derive(master: &MasterKey, label: Label, out: &mut [u8]) {
    // x = label * 2^48 XOR salt, x * 2^16; a shorter salt (RFC 7714) is filled up behind.
    let mut iv = Zeroizing::new([0u8; 16]);
    iv[..master.salt().len()].copy_from_slice(master.salt());
    iv[7] ^= label as u8;
    out.fill(0);
    if let Ok(cipher) = Aes128::new_from_slice(master.key()) {
        keystream(&cipher, &iv, out);
    } else if let Ok(cipher) = Aes256::new_from_slice(master.key()) {
        keystream(&cipher, &iv, out);
    }
}
