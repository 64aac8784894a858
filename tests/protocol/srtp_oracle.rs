//! Ours against `webrtc-srtp`: each opens what the other has protected, byte for byte, in every
//! suite, RTP and RTCP, over roll-overs, with loss and disorder.

use antiphon::rtp::packet::{HEADER_LEN, Header, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::srtp::{Inbound, MAX_OVERHEAD, MasterKey, Outbound, Suite};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use webrtc_srtp::context::Context;
use webrtc_srtp::protection_profile::ProtectionProfile;

const SSRC: u32 = 0xcafe_babe;

struct Pair {
    out: Outbound,
    inbound: Inbound,
    their_out: Context,
    their_inbound: Context,
}

fn pair(suite: Suite, rng: &mut StdRng) -> Pair {
    let key = MasterKey::random(suite, rng);
    let profile = match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    };
    let (master, salt) = key.secret().split_at(suite.key_len());
    let theirs = || Context::new(master, salt, profile, None, None).unwrap();
    Pair {
        out: Outbound::new(&key),
        inbound: Inbound::new(&key),
        their_out: theirs(),
        their_inbound: theirs(),
    }
}

fn rtp(seq: u16, rng: &mut StdRng) -> Vec<u8> {
    let mut packet = vec![0; HEADER_LEN + rng.random_range(1..400)];
    rng.fill(&mut packet[..]);
    let header = Header {
        payload_type: PayloadType(rng.random_range(0..128)),
        marker: rng.random(),
        seq: SeqNo(seq),
        timestamp: Timestamp(rng.random()),
        ssrc: Ssrc(SSRC),
    };
    write_header(&mut packet, &header);
    packet
}

fn report(rng: &mut StdRng) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(SSRC.to_be_bytes());
    for _ in 0..rng.random_range(1..6) {
        packet.extend([0x81, 203, 0, 1]);
        packet.extend(rng.random::<[u8; 4]>());
    }
    packet
}

fn protect(packet: &[u8], by: impl FnOnce(&mut [u8], usize) -> usize) -> Vec<u8> {
    let mut room = packet.to_vec();
    room.resize(packet.len() + MAX_OVERHEAD, 0);
    let len = by(&mut room, packet.len());
    room.truncate(len);
    room
}

#[test]
fn rtp_over_roll_overs_with_loss_and_disorder() {
    let mut rng = StdRng::seed_from_u64(1);
    for suite in Suite::ALL {
        let mut pair = pair(suite, &mut rng);
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        let mut place = 65_000u32;
        for _ in 0..12_000 {
            // Mostly in a row; at times a stretch is lost.
            place += if rng.random_ratio(1, 100) {
                rng.random_range(2..3_000)
            } else {
                1
            };
            let clear = rtp(place as u16, &mut rng);
            let sealed = protect(&clear, |p, len| pair.out.protect_rtp(p, len).unwrap());
            let reference = pair.their_out.encrypt_rtp(&clear).unwrap();
            assert_eq!(sealed, reference, "{suite:?} {place}");
            ours.push((place, (clear.clone(), sealed)));
            theirs.push((place, (clear, reference.to_vec())));
        }
        assert!(place > 3 * 65_536, "{place}");
        disorder(&mut ours, &mut rng);
        disorder(&mut theirs, &mut rng);
        for (_, (clear, sealed)) in ours {
            let opened = pair.their_inbound.decrypt_rtp(&sealed).unwrap();
            assert_eq!(opened, clear, "{suite:?}");
        }
        for (_, (clear, mut sealed)) in theirs {
            let len = pair.inbound.unprotect_rtp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], clear, "{suite:?}");
        }
    }
}

#[test]
fn rtcp_both_ways() {
    let mut rng = StdRng::seed_from_u64(2);
    for suite in Suite::ALL {
        let mut pair = pair(suite, &mut rng);
        for _ in 0..500 {
            let clear = report(&mut rng);
            let sealed = protect(&clear, |p, len| pair.out.protect_rtcp(p, len).unwrap());
            assert_eq!(pair.their_inbound.decrypt_rtcp(&sealed).unwrap(), clear);
            let mut sealed = pair.their_out.encrypt_rtcp(&clear).unwrap().to_vec();
            let len = pair.inbound.unprotect_rtcp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], clear, "{suite:?}");
        }
    }
}

/// Some change places with one a little behind them, as far as the replay window goes: not over a
/// stretch that is lost.
fn disorder<T>(packets: &mut [(u32, T)], rng: &mut StdRng) {
    for row in packets.chunks_mut(10) {
        let span = row[row.len() - 1].0 - row[0].0;
        if span < 64 && rng.random_ratio(1, 2) {
            let (from, to) = (
                rng.random_range(0..row.len()),
                rng.random_range(0..row.len()),
            );
            row.swap(from, to);
        }
    }
}
