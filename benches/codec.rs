//! The codecs' cost: `cargo bench --bench codec`. Prints ns per frame of 20 ms, encoded and
//! decoded; the least of several rounds, since what disturbs a round only makes it longer.

use std::hint::black_box;
use std::time::Instant;

use antiphon::audio::TICK_SAMPLES;
use antiphon::codec::Codec;

const ROUNDS: u32 = 20;
const FRAMES: u32 = 20_000;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!("cargo bench --bench codec\n\nns per frame of 20 ms. It has no options.");
        return;
    }
    let voice: [i16; TICK_SAMPLES] = std::array::from_fn(|n| {
        let t = n as f32 / 8000.0;
        ((t * 150.0 * std::f32::consts::TAU).sin() * 6000.0 + (t * 1950.0).sin() * 3000.0) as i16
    });
    println!("| codec | encode ns | decode ns |\n|---|---|---|");
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut payload = [0; TICK_SAMPLES];
        let mut pcm = [0; TICK_SAMPLES];
        let encode = least(|| {
            codec.encode(black_box(&voice), black_box(&mut payload));
        });
        let decode = least(|| {
            codec.decode(black_box(&payload), black_box(&mut pcm));
        });
        println!("| {} | {encode:.0} | {decode:.0} |", codec.name());
    }
}

fn least(mut work: impl FnMut()) -> f64 {
    let round = |work: &mut dyn FnMut()| {
        let begin = Instant::now();
        (0..FRAMES).for_each(|_| work());
        begin.elapsed().as_nanos() as f64 / f64::from(FRAMES)
    };
    (0..ROUNDS)
        .map(|_| round(&mut work))
        .fold(f64::MAX, f64::min)
}
