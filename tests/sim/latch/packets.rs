//! What a packet may look like, and the order in which packets may come.

use super::sim::net::Faults;
use super::sim::signal::{peak, snr};
use super::sim::{Setup, World};
use super::{level, rtp, silent_call, stats, talk};

/// Talks for a second with packets made by `shape`; the echo is there.
fn shaped(shape: impl Fn(Vec<u8>) -> Vec<u8>) {
    let (mut world, phone) = silent_call();
    let from = world.phones[phone].rtp;
    for _ in 0..60 {
        let bytes = shape(world.phones[phone].packet());
        rtp(&mut world, from, &bytes);
        world.run(20);
    }
    let level = level(&world, 400);
    assert!(level > 2400.0, "the echo is at {level:.0}");
    let stats = stats(&mut world);
    assert_eq!((stats.receive.packets, stats.counts.invalid), (60, 0));
}

#[test]
fn padding_contributors_and_extensions_are_taken_off() {
    shaped(|mut p| {
        p[0] |= 0x20;
        p.extend([0, 0, 0, 4]);
        p
    });
    shaped(|mut p| {
        p[0] |= 2;
        p.splice(12..12, [1, 2, 3, 4, 5, 6, 7, 8]);
        p
    });
    shaped(|mut p| {
        p[0] |= 0x10;
        p.splice(12..12, [0xbe, 0xde, 0, 2, 0x10, 1, 0, 0, 0, 0, 0, 0]);
        p
    });
    shaped(|mut p| {
        p[0] |= 0x31;
        p.splice(12..12, [9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0]);
        p.extend([0, 2]);
        p
    });
}

#[test]
fn what_is_not_rtp_is_counted_and_harmless() {
    let (mut world, phone) = silent_call();
    let from = world.phones[phone].rtp;
    let good = world.phones[phone].packet();
    let mut huge_padding = good.clone();
    huge_padding[0] |= 0x20;
    *huge_padding.last_mut().unwrap() = 255;
    let mut version_one = good.clone();
    version_one[0] = 0x40;
    let mut cut_extension = good[..14].to_vec();
    cut_extension[0] |= 0x10;
    let bad: [&[u8]; 6] = [
        &[],
        &[0x80],
        &good[..11],
        &huge_padding,
        &version_one,
        &cut_extension,
    ];
    for bytes in bad {
        rtp(&mut world, from, bytes);
    }
    world.run(50);
    talk(&mut world, from, 50);
    assert!(level(&world, 400) > 2400.0);
    let stats = stats(&mut world);
    assert_eq!((stats.counts.invalid, stats.receive.packets), (6, 50));
}

#[test]
fn unknown_payload_types_are_not_heard() {
    let (mut world, phone) = silent_call();
    let from = world.phones[phone].rtp;
    talk(&mut world, from, 50);
    for _ in 0..50 {
        let mut bytes = world.phones[phone].packet();
        bytes[1] = 97;
        rtp(&mut world, from, &bytes);
        world.run(20);
    }
    let heard = world.phones[phone].audio(world.ms - 500, world.ms);
    assert!(
        peak(&heard) < 200,
        "what was lost is not concealed for ever"
    );
    assert_eq!(stats(&mut world).counts.unknown_type, 50);
}

/// RFC 6263 §4.6: who is muted may send them to keep its NAT open.
#[test]
fn unknown_payload_types_are_a_sign_of_life_of_the_party_alone() {
    for (from, ends) in [(None, false), (Some(super::other(7000)), true)] {
        let mut world = World::with(Setup::default());
        let phone = world.phone();
        let invite = world.phones[phone].invite("500");
        world.set_up(phone, &invite);
        let rtp_address = world.phones[phone].rtp;
        talk(&mut world, rtp_address, 50);
        for _ in 0..100 {
            let mut bytes = world.phones[phone].packet();
            bytes[1] = 97;
            rtp(&mut world, from.unwrap_or(rtp_address), &bytes);
            world.run(1000);
        }
        assert_eq!(world.ended(phone).is_some(), ends);
    }
}

#[test]
fn comfort_noise_is_noise_at_its_level() {
    // The first packet is late by so much: speech may still wait in the buffer.
    for late in 0..20 {
        comfort_noise(late);
    }
}

fn comfort_noise(late: u64) {
    let (mut world, phone) = silent_call();
    let first = world.phones[phone].packet();
    let from = world.phones[phone].rtp;
    rtp(&mut world, from, &first);
    world.run(20 - late);
    let from = world.phones[phone].rtp;
    talk(&mut world, from, 50);
    // One packet for the whole pause, 45 dB below full scale.
    let mut noise = world.phones[phone].packet();
    noise.truncate(12);
    noise[1] = 13;
    noise.push(45);
    rtp(&mut world, from, &noise);
    world.run(1500);
    let heard = world.phones[phone].audio(world.ms - 1000, world.ms);
    let power = heard.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / heard.len() as f64;
    let level = 10.0 * (power / 32_768f64.powi(2)).log10();
    assert!(
        (-50.0..-40.0).contains(&level),
        "{level:.1} dBov, late by {late}"
    );
    // Speech goes on where the clock is by now.
    let voice = &mut world.phones[phone].voice;
    voice.timestamp = voice.timestamp.wrapping_add(74 * 160);
    talk(&mut world, from, 40);
    assert!(super::level(&world, 400) > 2400.0);
}

#[test]
fn another_ssrc_goes_on_where_the_first_stopped() {
    let (mut world, phone) = silent_call();
    let from = world.phones[phone].rtp;
    talk(&mut world, from, 50);
    let voice = &mut world.phones[phone].voice;
    (voice.ssrc, voice.seq, voice.timestamp) = (77, 9, 1234);
    talk(&mut world, from, 50);
    assert!(level(&world, 400) > 2400.0);
    let stats = stats(&mut world);
    assert_eq!(stats.receive.ssrc.map(|s| s.0), Some(77));
    assert_eq!(stats.receive.lost, 0);
}

#[test]
fn doubled_and_reordered_packets_make_the_same_audio() {
    let mut world = World::with(Setup {
        media: Faults {
            loss: 0.0,
            duplicate: 0.5,
            delay_us: (1000, 45_000),
        },
        seed: 61,
        ..Setup::default()
    });
    let phone = world.phone();
    world.dial(phone, "500");
    world.run(20_000);
    // The way back is as bad: put in order, each once.
    let from = (world.ms - 5000) * 1000;
    let mut heard: Vec<_> = world.phones[phone]
        .heard
        .iter()
        .filter(|h| h.at > from)
        .cloned()
        .collect();
    heard.sort_by_key(|h| h.timestamp);
    heard.dedup_by_key(|h| h.timestamp);
    let audio: Vec<i16> = heard
        .iter()
        .flat_map(super::sim::phone::Heard::audio)
        .collect();
    let snr = snr(&audio[800..800 + 16_000], &[world.phones[phone].voice.hz]);
    assert!(snr > 30.0, "{snr:.1} dB, seed 61");
    let stats = stats(&mut world);
    let received = stats.receive.packets as f64;
    let doubled = stats.receive.duplicates as f64 / received;
    assert!((0.25..0.42).contains(&doubled), "{doubled:.2}, seed 61");
    assert!(stats.receive.reordered > 50, "{:?}, seed 61", stats.receive);
    assert!(
        stats.receive.lost.abs() <= 3,
        "{:?}, seed 61",
        stats.receive
    );
}
