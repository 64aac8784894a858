//! CPU time per second of audio.

use std::hint::black_box;
use std::time::Instant;

use antiphon::audio::TICK_SAMPLES;
use antiphon::dtmf::Detector;

use crate::judge::{Baseline, Listen};
use crate::signal::{Chance, Line, stream};
use crate::speech::{Set, Utterance};

const ROUNDS: usize = 15;

/// Prints the table. Speech is in it where espeak-ng and sox are there.
pub fn table() {
    println!("| sound | us per s of audio | `dtmf` |");
    println!("|---|---|---|");
    let mut chance = Chance(1);
    let plain = |tone_ms, pause_ms, presses, chance: &mut Chance| {
        let line = Line {
            tone_ms,
            pause_ms,
            ..Line::PLAIN
        };
        stream(&line, 0, presses, chance).samples
    };
    let digits = plain(70.0, 70.0, 100, &mut chance);
    let long = plain(10_000.0, 100.0, 1, &mut chance);
    let off = Line {
        tone_ms: 10_000.0,
        offset_percent: &[(2.6, 0.0)],
        ..Line::PLAIN
    };
    let off = stream(&off, 0, 1, &mut chance).samples;
    let noise: Vec<i16> = (0..80_000)
        .map(|_| (chance.normal() * 1000.0) as i16)
        .collect();
    let mut sounds = vec![
        ("silence", vec![0; 80_000]),
        ("noise", noise),
        ("digits, 70/70 ms", digits),
        ("one digit, 10 s", long),
        ("two tones that are no digit, 10 s", off),
    ];
    let spoken: std::io::Result<Vec<_>> = (0..10)
        .map(|n| Utterance::new(Set::HeldApart, n).speak())
        .collect();
    if let Ok(spoken) = spoken {
        sounds.insert(1, ("speech", spoken.concat()));
    }
    for (name, samples) in &sounds {
        let ours = least(samples, || Box::new(Detector::new()));
        let theirs = least(samples, || Box::new(Baseline::new()));
        println!("| {name} | {ours:.1} | {theirs:.0} |");
    }
}

/// The least of several rounds, since what disturbs a round only makes it longer.
fn least(samples: &[i16], detector: fn() -> Box<dyn Listen>) -> f64 {
    let seconds = samples.len() as f64 / 8000.0;
    let round = || {
        let mut detector = detector();
        let begin = Instant::now();
        for frame in samples.chunks_exact(TICK_SAMPLES) {
            black_box(detector.hear(black_box(frame)));
        }
        begin.elapsed().as_nanos() as f64 / 1000.0 / seconds
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}
