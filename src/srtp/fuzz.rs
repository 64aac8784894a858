//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use zeroize::Zeroizing;

use super::{Inbound, MAX_OVERHEAD, MasterKey, Outbound, Suite};

/// Reads `bytes` as packets, each behind its length in one byte: nothing that was not protected is
/// let in, as RTP or as RTCP; what can be protected comes back as it was, once.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn packets(bytes: &[u8]) {
    for suite in Suite::ALL {
        let secret = vec![0x5a; suite.key_len() + suite.salt_len()];
        let Some(key) = MasterKey::new(suite, Zeroizing::new(secret)) else {
            continue;
        };
        let (mut out, mut inbound) = (Outbound::new(&key), Inbound::new(&key));
        let mut rest = bytes;
        while let Some((&len, behind)) = rest.split_first() {
            let (packet, behind) = behind.split_at(behind.len().min(len.into()));
            rest = behind;
            let mut foreign = packet.to_vec();
            // A tag of 32 bits is guessed, once in so many millions of inputs.
            if suite.rtp_tag_len() > 4 {
                assert!(inbound.unprotect_rtp(&mut foreign).is_err(), "not ours");
            }
            assert!(inbound.unprotect_rtcp(&mut foreign).is_err(), "not ours");
            assert_eq!(foreign, packet, "left as it was");
            let mut room = packet.to_vec();
            room.resize(packet.len() + MAX_OVERHEAD, 0);
            if let Ok(len) = out.protect_rtp(&mut room, packet.len()) {
                let mut again = room.clone();
                let opened = inbound.unprotect_rtp(&mut room[..len]);
                assert_eq!(opened, Ok(packet.len()));
                assert_eq!(room[..packet.len()], *packet);
                assert!(inbound.unprotect_rtp(&mut again[..len]).is_err(), "twice");
            }
            let mut room = packet.to_vec();
            room.resize(packet.len() + MAX_OVERHEAD, 0);
            if let Ok(len) = out.protect_rtcp(&mut room, packet.len()) {
                let opened = inbound.unprotect_rtcp(&mut room[..len]);
                assert_eq!(opened, Ok(packet.len()));
                assert_eq!(room[..packet.len()], *packet);
            }
        }
    }
}
