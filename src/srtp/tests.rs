//! The RFCs' vectors, and what must never be let in.

use aes::Aes128;
use aes_gcm::aead::KeyInit;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::derive::{Label, derive, keystream};
use super::window::{Window, estimate};
use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn master(suite: Suite) -> MasterKey {
    MasterKey::random(suite, &mut StdRng::seed_from_u64(7))
}

/// A packet with room for the tag, and its length.
fn rtp(seq: u16, ssrc: u32) -> (Vec<u8>, usize) {
    let mut packet = vec![0x80, 0];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([seq as u8; 20]);
    let len = packet.len();
    packet.resize(len + MAX_OVERHEAD, 0);
    (packet, len)
}

fn rtcp(ssrc: u32) -> (Vec<u8>, usize) {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 203, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    let len = packet.len();
    packet.resize(len + MAX_OVERHEAD, 0);
    (packet, len)
}

fn sealed(out: &mut Outbound, seq: u16) -> Vec<u8> {
    let (mut packet, len) = rtp(seq, 5);
    let len = out.protect_rtp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

fn sealed_rtcp(out: &mut Outbound) -> Vec<u8> {
    let (mut packet, len) = rtcp(5);
    let len = out.protect_rtcp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

#[test]
fn the_key_stream_of_rfc_3711_b_2() {
    let key: [u8; 16] = hex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
    let iv: [u8; 16] = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd0000").try_into().unwrap();
    let mut stream = [0; 48];
    keystream(&Aes128::new((&key).into()), &iv, &mut stream);
    let expected = "e03ead0935c95e80e166b16dd92b4eb4 d23513162b02d0f72a43a2fe4a5f97ab
                    41e95b3bb0a2e8dd477901e4fca894c0";
    assert_eq!(stream.to_vec(), hex(expected));
}

#[test]
fn the_keys_of_rfc_3711_b_3() {
    let bytes = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let master = MasterKey::new(Suite::AesCm128HmacSha1_80, Zeroizing::new(bytes)).unwrap();
    let check = |label, expected: &str| {
        let expected = hex(expected);
        let mut key = vec![9; expected.len()];
        derive(&master, label, &mut key);
        assert_eq!(key, expected, "{label:?}");
    };
    check(Label::RtpEncryption, "c61e7a93744f39ee10734afe3ff7a087");
    check(Label::RtpSalt, "30cbbc08863d8c85d49db34a9ae1");
    check(
        Label::RtpAuthentication,
        "cebe321f6ff7716b6fd4ab49af256a15 6d38baa48f0a0acf3c34e2359e6cdbce
         e049646c43d9327ad175578ef7227098 6371c10c9a369ac2f94a8c5fbcdddc25
         6d6e919a48b610ef17c2041e47403576 6b68642c59bbfc2f34db60dbdfb2",
    );
}

#[test]
fn a_whole_packet_under_that_key() {
    let bytes = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let master = MasterKey::new(Suite::AesCm128HmacSha1_80, Zeroizing::new(bytes)).unwrap();
    let mut packet = hex("800f1234decafbadcafebabe abababababababababababababababab");
    packet.resize(28 + 10, 0);
    let len = Outbound::new(&master).protect_rtp(&mut packet, 28);
    assert_eq!(len, Ok(38));
    let expected = "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402
                    b78d6acc99ea179b8dbb";
    assert_eq!(packet, hex(expected));
}

fn gcm_ciphers() -> [Cipher; 2] {
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    let salt: [u8; 12] = *b"Quid pro quo";
    let narrow: [u8; 16] = *key.first_chunk().unwrap();
    [
        Cipher::Gcm128(Aes128Gcm::new((&narrow).into()), Zeroizing::new(salt)),
        Cipher::Gcm256(Aes256Gcm::new((&key).into()), Zeroizing::new(salt)),
    ]
}

#[test]
fn rtp_of_rfc_7714_16() {
    let clear = hex(
        "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976
                     69736120 696e2070 61727465 73207472 6573",
    );
    let expected = [
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f
         42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce",
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3
         b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
    ];
    for (cipher, expected) in gcm_ciphers().iter().zip(expected) {
        let mut packet = clear.clone();
        packet.resize(clear.len() + 16, 0);
        let (ssrc, index) = (0x5501_a0b2, 0xf17b);
        cipher
            .seal_rtp(&mut packet, (12, clear.len()), ssrc, index)
            .unwrap();
        assert_eq!(packet, hex(expected));
        assert_eq!(cipher.open_rtp(&mut packet, 12, ssrc, index), Ok(50));
        assert_eq!(packet[..50], clear);
    }
}

#[test]
fn rtcp_of_rfc_7714_17() {
    let clear = hex(
        "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                     deadbeef deadbeef deadbeef deadbeef deadbeef",
    );
    let expected = [
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
         730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1
         110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
    ];
    for (cipher, expected) in gcm_ciphers().iter().zip(expected) {
        let mut packet = clear.clone();
        packet.resize(clear.len() + MAX_OVERHEAD, 0);
        let ssrc = 0x4d61_7273;
        cipher
            .seal_rtcp(&mut packet, clear.len(), ssrc, 0x5d4)
            .unwrap();
        assert_eq!(packet, hex(expected));
        let word = cipher.rtcp_word(&packet).unwrap();
        assert_eq!(cipher.open_rtcp(&mut packet, ssrc, word), Ok(clear.len()));
        assert_eq!(packet[..clear.len()], clear);
    }
}

#[test]
fn a_packet_altered_in_any_bit_is_refused_and_changes_nothing() {
    for suite in Suite::ALL {
        let key = master(suite);
        let (mut out, mut inbound) = (Outbound::new(&key), Inbound::new(&key));
        let mut first = sealed(&mut out, 1000);
        inbound.unprotect_rtp(&mut first).unwrap();
        let good = sealed(&mut out, 1001);
        let report = sealed_rtcp(&mut out);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(inbound.unprotect_rtp(&mut bad).is_err(), "{suite:?} {bit}");
        }
        for bit in 0..report.len() * 8 {
            let mut bad = report.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(inbound.unprotect_rtcp(&mut bad).is_err(), "{suite:?} {bit}");
        }
        assert_eq!(inbound.sources(), 1);
        let (plain, len) = rtp(1001, 5);
        let mut packet = good.clone();
        assert_eq!(inbound.unprotect_rtp(&mut packet), Ok(len));
        assert_eq!(packet[..len], plain[..len]);
        let (plain, len) = rtcp(5);
        let mut packet = report.clone();
        assert_eq!(inbound.unprotect_rtcp(&mut packet), Ok(len));
        assert_eq!(packet[..len], plain[..len]);
        // And once more is once too often.
        let replayed = Err(SrtpError::Replayed);
        assert_eq!(inbound.unprotect_rtp(&mut good.clone()), replayed);
        assert_eq!(inbound.unprotect_rtcp(&mut report.clone()), replayed);
    }
}

#[test]
fn reordered_within_the_window_comes_in_once_and_beyond_never() {
    let key = master(Suite::AesCm128HmacSha1_80);
    let (mut out, mut inbound) = (Outbound::new(&key), Inbound::new(&key));
    let packets: Vec<_> = (0..200u16)
        .map(|n| sealed(&mut out, 65_400 + n.min(135)))
        .take(136)
        .collect();
    let mut open = |n: usize| inbound.unprotect_rtp(&mut packets[n].clone());
    open(130).unwrap();
    for n in (3..130).rev() {
        open(n).unwrap();
        assert_eq!(open(n), Err(SrtpError::Replayed));
    }
    assert_eq!(open(2), Err(SrtpError::Replayed), "130 - 2 is beyond 127");
}

#[test]
fn the_roll_over_is_followed_with_loss_and_disorder() {
    for suite in Suite::ALL {
        let key = master(suite);
        let (mut out, mut inbound) = (Outbound::new(&key), Inbound::new(&key));
        let mut held = None;
        // Three roll-overs in steps that lose most packets.
        for n in (0..200_000u32).step_by(97) {
            let packet = sealed(&mut out, (n + 30_000) as u16);
            // Every fifth comes behind the next.
            if n / 97 % 5 == 0 {
                held = Some(packet);
                continue;
            }
            inbound.unprotect_rtp(&mut packet.clone()).unwrap();
            if let Some(late) = held.take() {
                inbound.unprotect_rtp(&mut late.clone()).unwrap();
            }
        }
    }
}

#[test]
fn the_first_packet_may_be_behind_the_first_roll_over() {
    let key = master(Suite::AeadAes128Gcm);
    let (mut out, mut inbound) = (Outbound::new(&key), Inbound::new(&key));
    let before = sealed(&mut out, 65_535);
    let behind = sealed(&mut out, 0);
    inbound.unprotect_rtp(&mut behind.clone()).unwrap();
    inbound.unprotect_rtp(&mut before.clone()).unwrap();
}

#[test]
fn a_new_key_begins_at_zero_or_goes_on() {
    let [old, new] = [1, 2].map(|seed| {
        MasterKey::random(Suite::AesCm128HmacSha1_80, &mut StdRng::seed_from_u64(seed))
    });
    let mut earlier = Inbound::new(&old);
    let mut out = Outbound::new(&old);
    out.begin_at((7 << 16) - 1, 0);
    // As if the source had been followed up to there.
    let mut packet = sealed(&mut out, 0);
    assert_eq!(
        earlier.unprotect_rtp(&mut packet.clone()),
        Err(SrtpError::NotAuthentic)
    );
    let mut known = Outbound::new(&old);
    for n in (0..7 * 65_536u32).step_by(20_000).chain([7 << 16]) {
        packet = sealed(&mut known, n as u16);
        earlier.unprotect_rtp(&mut packet).unwrap();
    }
    for roc in [0, 7u64] {
        let mut inbound = Inbound::new(&new);
        inbound.follow(&earlier);
        let mut out = Outbound::new(&new);
        out.begin_at(roc << 16, 0);
        for seq in 1..4 {
            let mut packet = sealed(&mut out, seq);
            inbound.unprotect_rtp(&mut packet).unwrap();
        }
    }
}

#[test]
fn a_new_key_may_come_just_as_the_sequence_rolls_over() {
    for suite in Suite::ALL {
        let [old, new] =
            [1, 2].map(|seed| MasterKey::random(suite, &mut StdRng::seed_from_u64(seed)));
        let (mut out, mut earlier) = (Outbound::new(&old), Inbound::new(&old));
        for n in (0..(2 << 16) + 65_535u32).step_by(20_000) {
            let mut packet = sealed(&mut out, n as u16);
            earlier.unprotect_rtp(&mut packet).unwrap();
        }
        let mut packet = sealed(&mut out, 65_535);
        earlier.unprotect_rtp(&mut packet).unwrap();
        let mut inbound = Inbound::new(&new);
        inbound.follow(&earlier);
        let mut out = Outbound::new(&new);
        out.begin_at((3 << 16) - 1, 0);
        for seq in 0..4 {
            let mut packet = sealed(&mut out, seq);
            inbound.unprotect_rtp(&mut packet).unwrap();
        }
    }
}

#[test]
fn a_key_that_is_used_up_is_refused_and_not_wrapped() {
    for suite in Suite::ALL {
        let mut out = Outbound::new(&master(suite));
        out.begin_at((1 << 48) - 2, (1 << 31) - 1);
        sealed(&mut out, 0xffff);
        let (mut packet, len) = rtp(0, 5);
        let exhausted = Err(SrtpError::Exhausted);
        assert_eq!(out.protect_rtp(&mut packet, len), exhausted);
        sealed_rtcp(&mut out);
        let (mut packet, len) = rtcp(5);
        assert_eq!(out.protect_rtcp(&mut packet, len), exhausted);
    }
    assert_eq!(estimate((1 << 48) - 1, 0), Err(SrtpError::Exhausted));
}

#[test]
fn no_index_is_used_twice() {
    let mut out = Outbound::new(&master(Suite::AeadAes256Gcm));
    sealed(&mut out, 10);
    for seq in [10, 9, 65_535] {
        let (mut packet, len) = rtp(seq, 5);
        let result = out.protect_rtp(&mut packet, len);
        // 65,535 behind 10 before any roll-over is a jump ahead.
        assert_eq!(result.is_ok(), seq == 65_535, "{seq}");
    }
}

#[test]
fn sources_have_a_bound() {
    let key = master(Suite::AesCm128HmacSha1_32);
    let mut inbound = Inbound::new(&key);
    for ssrc in 0..=MAX_SOURCES as u32 {
        let (mut packet, len) = rtp(1, ssrc);
        let len = Outbound::new(&key).protect_rtp(&mut packet, len).unwrap();
        let result = inbound.unprotect_rtp(&mut packet[..len]);
        let fits = (ssrc as usize) < MAX_SOURCES;
        assert_eq!(result.is_ok(), fits, "{ssrc}: {result:?}");
    }
}

#[test]
fn keys_stay_secret_and_compare_whole() {
    for suite in Suite::ALL {
        let key = master(suite);
        let texts = [
            format!("{key:?}"),
            format!("{:?}", Outbound::new(&key)),
            format!("{:?}", Inbound::new(&key)),
        ];
        for text in texts {
            for byte in key.secret().windows(3) {
                let shown = format!("{}, {}, {}", byte[0], byte[1], byte[2]);
                assert!(!text.contains(&shown), "{text}");
            }
        }
        let mut other = Zeroizing::new(key.secret().to_vec());
        assert_eq!(MasterKey::new(suite, other.clone()).as_ref(), Some(&key));
        *other.last_mut().unwrap() ^= 1;
        assert_ne!(MasterKey::new(suite, other.clone()).as_ref(), Some(&key));
        other.pop();
        assert_eq!(MasterKey::new(suite, other), None);
        assert_eq!(Suite::from_name(&suite.name().to_lowercase()), Some(suite));
    }
}

#[test]
fn headers_with_all_that_may_be_in_them() {
    let key = master(Suite::AeadAes128Gcm);
    let mut packet = vec![0x80 | 0x10 | 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    packet.extend([9; 8]);
    packet.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    packet.extend([42; 10]);
    let clear = packet.clone();
    packet.resize(clear.len() + 16, 0);
    let len = Outbound::new(&key).protect_rtp(&mut packet, clear.len());
    assert_eq!(packet[..28], clear[..28]);
    assert_ne!(packet[28..38], clear[28..]);
    assert_eq!(len, Ok(packet.len()));
    assert_eq!(Inbound::new(&key).unprotect_rtp(&mut packet), Ok(38));
    assert_eq!(packet[..38], clear);
    let mut out = Outbound::new(&key);
    assert_eq!(
        out.protect_rtp(&mut clear.clone(), 38),
        Err(SrtpError::NoRoom)
    );
    let malformed = Err(SrtpError::Malformed);
    assert_eq!(out.protect_rtp(&mut packet, 20), malformed);
    assert_eq!(
        Inbound::new(&key).unprotect_rtp(&mut packet[..27]),
        malformed
    );
    assert_eq!(Inbound::new(&key).unprotect_rtcp(&mut [0x80; 9]), malformed);
}

proptest! {
    /// The window against a plain set.
    #[test]
    fn each_index_is_let_in_once(steps in proptest::collection::vec(0u64..400, 1..300)) {
        let mut window = Window::default();
        let mut seen = std::collections::BTreeSet::new();
        for index in steps {
            let highest = seen.last().copied().unwrap_or(0);
            let may = !seen.contains(&index) && index + REPLAY_WINDOW > highest;
            prop_assert_eq!(window.check(index).is_ok(), may);
            if may {
                window.mark(index);
                seen.insert(index);
            }
        }
    }

    /// RFC 3711 §3.3.1: whatever is within half the sequence space of the highest.
    #[test]
    fn indices_near_the_highest_are_told(highest in 40_000u64..1 << 40, by in -32_700i64..32_700) {
        let index = highest.saturating_add_signed(by);
        prop_assert_eq!(estimate(highest, index as u16), Ok(index));
    }
}
