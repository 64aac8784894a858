//! The playout's cost: `cargo bench --bench jitter`. Prints ns per packet inserted and tick
//! pulled, decoding included, and the decoding alone; the least of several rounds.

use std::hint::black_box;
use std::time::Instant;

use antiphon::audio::{MediaTime, TICK_SAMPLES};
use antiphon::codec::Codec;
use antiphon::leg::playout::{Playout, PlayoutSettings};
use antiphon::rtp::{Packet, PayloadType, SeqNo, Ssrc, Timestamp};

const TICKS: u64 = 500;
const ROUNDS: u32 = 20;
/// As many as share the caches in service.
const LEGS: usize = 200;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!(
            "cargo bench --bench jitter\n\nns per packet and tick of the playout. It has no options."
        );
        return;
    }
    println!("{LEGS} legs, {TICKS} ticks each, least of {ROUNDS} rounds\n");
    println!("{:<28} {:>12}", "stream", "ns per tick");
    println!("{:<28} {:>12.0}", "decode alone", decode());
    row("silent, clean", |_| 0, |_| Some(0));
    row("voice, clean", voice, |_| Some(0));
    row("voice, 2 % lost", voice, |n| (n % 50 != 7).then_some(0));
    row("voice, 2 % two ticks late", voice, |n| {
        Some(if n % 50 == 7 { 2 } else { 0 })
    });
    row("nothing received", |_| 0, |_| None);
}

fn voice(n: usize) -> i16 {
    let t = n as f32 / 8000.0;
    ((t * 150.0 * std::f32::consts::TAU).sin() * 6000.0 + (t * 1950.0).sin() * 3000.0) as i16
}

fn row(name: &str, signal: fn(usize) -> i16, late: fn(u64) -> Option<u64>) {
    let mut least = f64::MAX;
    for _ in 0..ROUNDS {
        least = least.min(round(signal, late));
    }
    println!("{name:<28} {least:>12.0}");
}

fn round(signal: fn(usize) -> i16, late: fn(u64) -> Option<u64>) -> f64 {
    let mut legs: Vec<Playout> = (0..LEGS)
        .map(|_| Playout::new(PlayoutSettings::default()))
        .collect();
    let mut spent = 0;
    let mut frame = [0; TICK_SAMPLES];
    for tick in 0..TICKS {
        let now = MediaTime::from_millis(1000 + tick * 20);
        let due: Vec<(u64, [u8; TICK_SAMPLES])> = (tick.saturating_sub(2)..=tick)
            .filter(|&n| late(n).is_some_and(|ticks| n + ticks == tick))
            .map(|n| {
                let pcm: [i16; TICK_SAMPLES] =
                    std::array::from_fn(|i| signal(n as usize * TICK_SAMPLES + i));
                let mut payload = [0; TICK_SAMPLES];
                Codec::Pcmu.encode(&pcm, &mut payload);
                (n, payload)
            })
            .collect();
        let begin = Instant::now();
        for leg in &mut legs {
            for (n, payload) in &due {
                let packet = Packet {
                    payload_type: PayloadType(0),
                    marker: false,
                    seq: SeqNo(*n as u16),
                    timestamp: Timestamp(*n as u32 * TICK_SAMPLES as u32),
                    ssrc: Ssrc(1),
                    payload,
                };
                leg.insert(&packet, Codec::Pcmu, now);
            }
            black_box(leg.pull(&mut frame, now));
        }
        spent += begin.elapsed().as_nanos();
    }
    spent as f64 / (TICKS * LEGS as u64) as f64
}

fn decode() -> f64 {
    let payload = [0x55; TICK_SAMPLES];
    let mut pcm = [0; TICK_SAMPLES];
    let count = 100_000;
    let begin = Instant::now();
    for _ in 0..count {
        black_box(Codec::Pcmu.decode(black_box(&payload), &mut pcm));
        black_box(&pcm);
    }
    begin.elapsed().as_nanos() as f64 / f64::from(count)
}
