//! Conferences in simulated time, through the worker and the signalling that the server runs.

use crate::support::sim;

use antiphon::codec::Codec;
use sim::World;
use sim::signal::{amplitude, db, peak, sharpest, snr};

/// What a tone of this codec is at the far end of nothing but the codec: its own error is not the
/// mixer's.
fn reference(world: &World, phone: usize) -> f64 {
    world.phones[phone].voice.amplitude
}

/// Every phone hears every other within 0.1 dB and itself below -50 dB, at 34 dB SNR or better.
fn check_mix(world: &World, phones: &[usize], from: u64) {
    for &me in phones {
        let audio = world.phones[me].audio(from, from + 2200);
        let audio = &audio[..16_000];
        let mut tones = Vec::new();
        for &other in phones {
            let hz = world.phones[other].voice.hz;
            let level = db(audio, hz, reference(world, other));
            if other == me {
                assert!(level < -50.0, "{me} hears itself at {level:.2} dB");
            } else {
                assert!(level.abs() <= 0.1, "{me} hears {other} at {level:.3} dB");
                tones.push(hz);
            }
        }
        let snr = snr(audio, &tones);
        assert!(snr >= 34.0, "{me} hears at {snr:.2} dB SNR");
    }
}

/// From its first packet to its last: one packet per packet time, one sequence, one time line, one
/// marker.
fn check_stream(world: &World, phone: usize) {
    let p = &world.phones[phone];
    let ptime = p.voice.ptime_ms;
    assert!(p.heard.len() > 20, "phone {phone} hears something");
    for (n, pair) in p.heard.windows(2).enumerate() {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(b.seq, a.seq.wrapping_add(1), "phone {phone}, packet {n}");
        assert_eq!(
            b.timestamp,
            a.timestamp.wrapping_add(ptime * 8),
            "phone {phone}, packet {n}"
        );
        assert_eq!(b.ssrc, a.ssrc);
        assert_eq!(b.payload.len() as u32, ptime * 8);
    }
    let markers: Vec<_> = p.heard.iter().map(|h| h.marker).collect();
    assert!(markers[0], "the first packet starts a talk-spurt");
    assert_eq!(markers.iter().filter(|&&m| m).count(), 1);
}

/// Packets leave at their own times, once the leg has its place in the bridge.
fn check_pace(world: &World, phone: usize, from_ms: u64) {
    let p = &world.phones[phone];
    let step = u64::from(p.voice.ptime_ms) * 1000;
    let times: Vec<_> = p.heard.iter().map(|h| h.at).collect();
    for pair in times.windows(2).filter(|t| t[0] >= from_ms * 1000) {
        assert_eq!(pair[1] - pair[0], step, "phone {phone}");
    }
}

fn five(ptimes: [u32; 5], codecs: [Codec; 5]) {
    let mut world = World::new(5);
    let phones = world.phones(5);
    for (&phone, (ptime, codec)) in phones.iter().zip(ptimes.into_iter().zip(codecs)) {
        world.phones[phone].voice.ptime_ms = ptime;
        world.phones[phone].voice.codec = codec;
    }
    for &phone in &phones {
        world.dial(phone, "600");
        world.run(37);
    }
    world.run(3000);
    let from = world.ms;
    world.run(2300);
    check_mix(&world, &phones, from);
    for &phone in &phones {
        check_stream(&world, phone);
        check_pace(&world, phone, from);
    }
    for &phone in &phones {
        world.hang_up(phone);
    }
    world.run(40_000);
    world.check_empty();
}

#[test]
fn five_parties_hear_each_other_exactly() {
    five([20; 5], [Codec::Pcmu; 5]);
    five([20; 5], [Codec::Pcma; 5]);
}

#[test]
fn codecs_and_packet_times_mix() {
    use Codec::{Pcma, Pcmu};
    five([20; 5], [Pcmu, Pcma, Pcmu, Pcma, Pcma]);
    five([10, 20, 30, 40, 60], [Pcmu, Pcma, Pcma, Pcmu, Pcmu]);
}

#[test]
fn who_comes_and_goes_makes_no_click_for_anybody() {
    let mut world = World::new(6);
    let talkers = world.phones(2);
    for &phone in &talkers {
        world.dial(phone, "700");
    }
    world.run(2000);
    let guest = world.phone();
    // At many phases of its tone.
    for round in 0..12 {
        let from = world.ms;
        world.dial(guest, "700");
        world.run(700 + 13 * round);
        let inside = world.ms;
        let heard = amplitude(
            &world.phones[talkers[0]].audio(inside - 250, inside)[..1600],
            world.phones[guest].voice.hz,
        );
        assert!(heard > 2000.0, "the guest is heard, at {heard:.0}");
        world.hang_up(guest);
        world.run(300);
        for phone in [talkers[0], talkers[1], guest] {
            // What the same voices are when nobody comes or goes.
            let steady = sharpest(&world.phones[phone].audio(inside - 400, inside));
            let bend = sharpest(&world.phones[phone].audio(from, world.ms));
            assert!(
                bend <= steady + steady / 2,
                "round {round}: {bend} in {phone}'s audio, {steady} in the steady state"
            );
        }
    }
}

#[test]
fn a_lone_member_hears_the_prompt_and_then_silence() {
    let mut world = World::new(7);
    let phone = world.phone();
    world.dial(phone, "600");
    let from = world.ms;
    world.run(10_000);
    let prompt = world.phones[phone].audio(from, from + 2000);
    assert!(peak(&prompt) > 2000, "the prompt is heard");
    let after = world.phones[phone].audio(from + 8000, from + 10_000);
    assert!(after.len() >= 15_800);
    let loudest = peak(&after);
    assert!(loudest <= 8, "then silence, not its own voice: {loudest}");
    check_stream(&world, phone);

    // Without the prompt: silence from the start, and no stall.
    let quiet = world.phone();
    world.dial(quiet, "700");
    let from = world.ms;
    world.run(3000);
    let packets = world.phones[quiet].audio(from, world.ms).len() / 160;
    assert!((149..=150).contains(&packets), "{packets} in 3 s");
    assert!(peak(&world.phones[quiet].audio(from, world.ms)) <= 8);
    check_stream(&world, quiet);
}

#[test]
fn company_ends_the_lone_members_prompt() {
    let mut world = World::new(8);
    let (a, b) = (world.phone(), world.phone());
    world.dial(a, "600");
    world.run(500);
    world.phones[b].voice.amplitude = 0.0;
    world.dial(b, "600");
    world.run(200);
    let from = world.ms;
    world.run(1500);
    assert!(peak(&world.phones[a].audio(from, world.ms)) <= 8);
    // Alone again: told again.
    world.hang_up(b);
    let from = world.ms;
    world.run(2000);
    assert!(peak(&world.phones[a].audio(from, world.ms)) > 2000);
}

#[test]
fn a_join_takes_effect_within_two_ticks() {
    let mut world = World::new(9);
    let (a, b) = (world.phone(), world.phone());
    world.dial(a, "700");
    world.run(1000);
    // Its media flows for a while before the ACK lets it in: the buffer is full when it joins.
    let invite = world.phones[b].invite("700");
    world.send(b, &invite);
    let ok = world.expect(b, 200);
    world.phones[b].learn(&ok);
    world.speak(b);
    world.run(400);
    assert!(peak(&world.phones[a].audio(world.ms - 300, world.ms)) <= 8);
    let ack = world.phones[b].ack(&ok);
    world.send(b, &ack);
    world.run(1);
    let joined = world.ms;
    world.run(200);
    // Two ticks, one millisecond on the way, and the tick that carries it lasts another.
    let heard = world.phones[a]
        .heard
        .iter()
        .filter(|h| h.at > joined * 1000);
    let first = heard
        .clone()
        .find(|h| peak(&h.audio()) > 100)
        .expect("b is heard");
    let delay = first.at / 1000 - joined;
    assert!(delay <= 41, "b is heard after {delay} ms");
}

#[test]
fn the_mix_of_n_parties_is_the_sum_of_the_others_to_the_last_bit() {
    // What decoders yield goes in; the sum, encoded once, comes out.
    let mut world = World::new(10);
    let phones = world.phones(4);
    for (n, &phone) in phones.iter().enumerate() {
        // A tone whose period is one packet: each packet is like the one before.
        world.phones[phone].voice.hz = [50.0, 100.0, 150.0, 0.0][n];
        world.phones[phone].voice.amplitude = [3000.0, 5000.0, 900.0, 0.0][n];
        world.dial(phone, "700");
    }
    world.run(4000);
    let coded = |p: usize| -> Vec<i16> {
        let mut phone = world.phones[p].clone();
        let packet = phone.packet();
        let mut pcm = vec![0; 160];
        Codec::Pcmu.decode(&packet[12..], &mut pcm);
        pcm
    };
    let said: Vec<Vec<i16>> = phones.iter().map(|&p| coded(p)).collect();
    for &me in &phones {
        let got = world.phones[me].heard.last().unwrap().payload.clone();
        let others = phones.iter().filter(|&&p| p != me);
        let sum: Vec<i16> = (0..160)
            .map(|n| {
                let total: i32 = others.clone().map(|&p| i32::from(said[p][n])).sum();
                total as i16
            })
            .collect();
        let mut bytes = vec![0; 160];
        Codec::Pcmu.encode(&sum, &mut bytes);
        assert_eq!(got, bytes, "{me} hears the exact sum");
    }
}
