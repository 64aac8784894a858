//! A leg in the memory of another is as one in memory of its own: whatever the other had heard, sent and
//! lost, nothing of it comes back.

use antiphon::audio::{MediaTime, TICK_SAMPLES};
use antiphon::codec::Codec;
use antiphon::leg::{EventFormat, Leg, LegMemory, LegParams, Outgoing, TickTime};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::sim::leg::{ID, Io, peer, settings};

const TICKS: u64 = 300;
/// The tones of 1, 5, 9 and D, Hz.
const DIGITS: [(f64, f64); 4] = [
    (697.0, 1209.0),
    (770.0, 1336.0),
    (852.0, 1477.0),
    (941.0, 1633.0),
];

/// What differs between legs.
#[derive(Clone, Copy)]
struct Kind {
    codec: Codec,
    ptime_ms: u8,
    /// Keys come as events; else they are looked for in the sound.
    events: bool,
}

fn leg(memory: Option<LegMemory>, kind: Kind) -> Box<Leg> {
    let mut params = LegParams::g711(kind.codec, Some(peer()));
    params.ptime_ms = kind.ptime_ms;
    params.events = kind.events.then_some(EventFormat {
        rx: 101,
        tx: 101,
        clock_rate: 8000,
    });
    Box::new(Leg::in_memory_of(memory, ID, params, settings()).unwrap())
}

/// Noise and keys by in-band tones and by events, with loss and jitter.
fn packets(seed: u64, payload_type: u8) -> Vec<Vec<(Vec<u8>, MediaTime)>> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ticks = vec![Vec::new(); TICKS as usize];
    let (loss, jitter) = (rng.random_range(0.0..0.2), rng.random_range(1..60_000));
    let mut level = 0;
    let mut digit = None;
    for slot in 0..TICKS {
        if slot % 10 == 0 {
            level = [0, 30, 1000, 20_000][rng.random_range(0..4)];
            digit = (rng.random::<f64>() < 0.4).then(|| DIGITS[rng.random_range(0..4)]);
        }
        let samples: Vec<i16> = (0..160u64)
            .map(|n| {
                let at = (slot * 160 + n) as f64 / 8000.0 * std::f64::consts::TAU;
                match digit {
                    Some((low, high)) => {
                        (6000.0 * ((low * at).sin() + (high * at).sin())).round() as i16
                    }
                    None => rng.random_range(-level..=level),
                }
            })
            .collect();
        let mut payload = [0; 160];
        let codec = if payload_type == 0 {
            Codec::Pcmu
        } else {
            Codec::Pcma
        };
        codec.encode(&samples, &mut payload);
        let event = rng.random::<f64>() < 0.05;
        let (payload_type, payload) = if event {
            (101, &[rng.random_range(0..16), 0x8a, 0, 160][..])
        } else {
            (payload_type, &payload[..])
        };
        let mut packet = vec![0x80, payload_type];
        packet.extend((slot as u16).to_be_bytes());
        packet.extend((slot as u32 * 160).to_be_bytes());
        packet.extend([0, 0, 0, 9]);
        packet.extend(payload);
        if rng.random::<f64>() >= loss {
            let at = 1_000_000 + slot * 20_000 + rng.random_range(0..jitter);
            let tick = (at - 1_000_000).div_ceil(20_000);
            if let Some(of_tick) = ticks.get_mut(tick as usize) {
                of_tick.push((packet, MediaTime::from_micros(at)));
            }
        }
    }
    ticks
}

/// All that a leg does with them, as text.
fn life(leg: &mut Leg, ticks: Vec<Vec<(Vec<u8>, MediaTime)>>) -> Vec<String> {
    let mut told = Vec::new();
    for (tick, coming) in (0..).zip(ticks) {
        let now = MediaTime::from_micros(1_000_000 + tick * 20_000);
        let time = TickTime { now, ntp: 0 };
        let mut io = Io {
            coming,
            ..Io::default()
        };
        let mut rx = [0; TICK_SAMPLES];
        leg.tick_rx(&mut rx, time, &mut io);
        leg.tick_tx(Outgoing::own(&rx), time, &mut io);
        leg.tick_held(&mut io);
        told.push(format!("{rx:?} {:?} {:?}", leg.take_digit(now), io.sent));
    }
    told.push(format!("{:?}", leg.stats()));
    told
}

#[test]
fn nothing_of_the_former_call_is_left_in_its_memory() {
    let mut digits = [0; 2];
    for seed in 0..40 {
        let (codec, payload_type) = [(Codec::Pcmu, 0), (Codec::Pcma, 8)][seed as usize % 2];
        let kind = Kind {
            codec,
            ptime_ms: [20, 30, 40][seed as usize % 3],
            events: seed % 4 < 2,
        };
        let script = || packets(seed, payload_type);
        let fresh = life(&mut leg(None, kind), script());
        let mut memory = None;
        for former in 0..3 {
            let other = Kind {
                codec: Codec::Pcmu,
                ptime_ms: 30,
                events: former == 1,
            };
            let mut other = leg(memory, other);
            // It is over in the middle of things.
            let ticks = packets(1000 + 3 * seed + former, 0);
            let of = ticks.len() - 7 * former as usize;
            life(&mut other, ticks.into_iter().take(of).collect());
            memory = other.into_memory();
            assert!(memory.is_some());
        }
        let again = life(&mut leg(memory, kind), script());
        for (tick, (a, b)) in fresh.iter().zip(&again).enumerate() {
            assert_eq!(a, b, "seed {seed}, tick {tick}");
        }
        let pressed = fresh.iter().filter(|tick| tick.contains("Some(")).count();
        digits[usize::from(kind.events)] += pressed;
    }
    assert!(
        digits.iter().all(|&of| of > 20),
        "the digits are a part of it: {digits:?}"
    );
}
