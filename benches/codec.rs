//! The codecs' cost: `cargo bench --bench codec`. Prints microseconds of CPU per frame of 20 ms,
//! encoded and decoded: the median of several rounds, and the least, since what disturbs a round only
//! makes it longer.

use std::hint::black_box;

use antiphon::codec::{Codec, Decoder, Encoder, MAX_FRAME_SAMPLES, OpusSettings};

const ROUNDS: usize = 11;
/// The kernel counts a thread's time in ticks of some ms.
const ROUND_NS: u64 = 100_000_000;
/// Frames of a signal: a second.
const FRAMES: u64 = 50;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!(
            "cargo bench --bench codec\n\nMicroseconds of CPU per frame of 20 ms. It has no options."
        );
        return;
    }
    println!("| codec | encode us: median (least) | decode us: median (least) |\n|---|---|---|");
    for codec in Codec::ALL {
        let rate = codec.sample_rate() / 1000;
        if codec != Codec::Opus {
            let name = format!("{}, {rate} kHz", codec.name());
            measure(&name, codec, &OpusSettings::default());
            continue;
        }
        for complexity in [0, 5, 10] {
            let settings = OpusSettings {
                complexity,
                ..OpusSettings::default()
            };
            let name = format!("{}, complexity {complexity}", codec.name());
            measure(&name, codec, &settings);
        }
    }
}

fn measure(name: &str, codec: Codec, settings: &OpusSettings) {
    let pcm = voice(codec.sample_rate());
    let frames: Vec<&[i16]> = pcm.chunks_exact(codec.frame_samples(20)).collect();
    let mut encoder = Encoder::new(codec, settings).expect("an encoder");
    let mut decoder = Decoder::new(codec).expect("a decoder");
    let mut out = [0u8; 4000];
    let mut payloads = Vec::new();
    for frame in &frames {
        let len = encoder.encode(frame, &mut out);
        payloads.push(out[..len].to_vec());
    }
    let encode = rounds(|| {
        for frame in &frames {
            black_box(encoder.encode(black_box(frame), &mut out));
        }
    });
    let mut heard = [0i16; MAX_FRAME_SAMPLES];
    let decode = rounds(|| {
        for payload in &payloads {
            black_box(decoder.decode(black_box(payload), &mut heard));
        }
    });
    println!(
        "| {name} | {:.3} ({:.3}) | {:.3} ({:.3}) |",
        encode.0, encode.1, decode.0, decode.1
    );
}

/// Median and least, microseconds per frame.
fn rounds(mut second: impl FnMut()) -> (f64, f64) {
    let mut round = |times: u64| {
        let begin = cpu_ns();
        (0..times).for_each(|_| second());
        cpu_ns() - begin
    };
    let mut times = 1;
    while round(times) < ROUND_NS {
        times *= 2;
    }
    let mut all: Vec<f64> = (0..ROUNDS)
        .map(|_| round(times) as f64 / 1e3 / (times * FRAMES) as f64)
        .collect();
    all.sort_by(f64::total_cmp);
    (all[ROUNDS / 2], all[0])
}

/// What this thread has had of a CPU, so that others on the machine do not count.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns = text.split(' ').next().and_then(|word| word.parse().ok());
    ns.expect("time on a CPU")
}

/// A second of something like a voice.
fn voice(rate: u32) -> Vec<i16> {
    let mut noise = 1u32;
    (0..rate)
        .map(|n| {
            let t = n as f32 / rate as f32;
            let pitch = t * (140.0 + 10.0 * (t * 9.0).sin()) * std::f32::consts::TAU;
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 16) as f32 / 65_536.0 - 0.5;
            let tones = pitch.sin() + 0.6 * (pitch * 5.0).sin() + 0.2 * (pitch * 17.0).sin();
            let swell = 0.6 + 0.4 * (t * 25.0).sin();
            ((tones * 5000.0 + hiss * 800.0) * swell) as i16
        })
        .collect()
}
