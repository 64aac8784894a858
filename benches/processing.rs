//! One party's processing: `cargo bench --bench processing`. Prints the CPU time of each stage for
//! a second of audio, and its delay; the least of several rounds, since what disturbs a round only
//! makes it longer.

use std::hint::black_box;
use std::time::Instant;

use antiphon::audio::process::{NoiseSuppression, ProcessSettings, Processing};

const RATES: [u32; 3] = [8000, 16_000, 48_000];
const ROUNDS: u32 = 20;

fn main() {
    if std::env::args().any(|a| a == "--help" || a == "-h") {
        println!("cargo bench --bench processing\n\nA table of stages. It has no options.");
        return;
    }
    let off = ProcessSettings::default();
    let gain = ProcessSettings {
        gain_in_db: -3,
        gain_out_db: -3,
        ..off
    };
    let gate = ProcessSettings {
        gate_dbov: Some(-50),
        ..off
    };
    let agc = ProcessSettings {
        agc_dbov: Some(-26),
        ..off
    };
    let comfort = ProcessSettings {
        comfort_noise_dbov: Some(-60),
        ..off
    };
    let noise = ProcessSettings {
        noise_suppression: true,
        ..off
    };
    let all = ProcessSettings {
        gain_in_db: -3,
        gain_out_db: -3,
        gate_dbov: Some(-50),
        agc_dbov: Some(-26),
        comfort_noise_dbov: Some(-60),
        noise_suppression: true,
    };
    println!("us for a second of audio, both ways\n");
    println!(
        "| rate | off | gain | gate | agc | comfort noise | noise suppression | its delay ms | all |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for rate in RATES {
        let cells = [off, gain, gate, agc, comfort, noise].map(|settings| cost(settings, rate));
        let cells = cells.map(|us| format!("{us:.1}")).join(" | ");
        let delay = NoiseSuppression::new(rate).delay().as_secs_f64() * 1000.0;
        println!("| {rate} | {cells} | {delay:.1} | {:.1} |", cost(all, rate));
    }
}

/// Half a second said and half a second quiet, while the party hears silence.
fn cost(settings: ProcessSettings, rate: u32) -> f64 {
    let frame = rate as usize / 50;
    let mut state = 1u32;
    let mut audio: Vec<i16> = (0..rate)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let loud = if n < rate / 2 { n / 8 % 1000 } else { 4 };
            ((i64::from(state >> 16) - 32_768) * i64::from(loud) / 4000) as i16
        })
        .collect();
    audio.truncate(frame * 50);
    let mut processing = Processing::new(rate);
    processing.apply(settings, settings.noise_suppression(rate));
    let (mut said, mut heard) = (vec![0; frame], vec![0; frame]);
    let mut round = || {
        let begin = Instant::now();
        for frame in audio.chunks(frame) {
            said.copy_from_slice(frame);
            processing.input(black_box(&mut said));
            heard.fill(0);
            processing.output(black_box(&mut heard));
        }
        begin.elapsed().as_secs_f64() * 1e6
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}
