//! Sounds that are neither speech nor digits, made by sox: chords, melodies, whistles, sweeps,
//! noise and a telephone network's own tones.

use std::process::{Command, Stdio};

use antiphon::audio::TICK_SAMPLES;

use crate::signal::{Chance, Law, through};
use crate::speech::{pcm, set_level};

/// What there is.
pub const KINDS: [&str; 6] = [
    "chords",
    "melodies",
    "whistles",
    "sweeps",
    "noise",
    "network tones",
];

/// Ten seconds of a kind, the `n`-th.
pub fn make(kind: &str, n: u64) -> std::io::Result<Vec<i16>> {
    let mut chance = Chance(0x5000_0000 + n);
    chance.bits();
    let synth = match kind {
        "chords" => chord(&mut chance),
        "melodies" => melody(&mut chance),
        "whistles" => whistle(&mut chance),
        "sweeps" => {
            let shape = chance.one(&["sine", "square", "triangle", "sawtooth"]);
            let way = chance.one(&[":", "-", "+", "/"]);
            format!("synth 10 {shape} 300{way}3400")
        }
        "noise" => format!(
            "synth 10 {} tremolo {} 60",
            chance.one(&["whitenoise", "pinknoise", "brownnoise", "tpdfnoise"]),
            1 + chance.below(20)
        ),
        // Busy, ringing, special information, fax, dial tones.
        _ => (*chance.one(&[
            "synth 10 sine 480 sine 620 remix -",
            "synth 10 sine 440 sine 480 remix -",
            "synth 0.33 sine 950 : synth 0.33 sine 1400 : synth 0.33 sine 1800",
            "synth 10 sine 1100 tremolo 0.3 100",
            "synth 10 sine 2100",
            "synth 10 sine 350 sine 440 remix -",
            "synth 10 sine 425 tremolo 1 100",
            "synth 10 sine 1400 sine 2060 remix -",
        ]))
        .to_owned(),
    };
    let mut sox = Command::new("sox");
    sox.args("-V1 -D -R -n -t raw -r 8000 -e signed -b 16 -c 1 -".split(' '));
    sox.args(synth.split(' '));
    let output = sox.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let mut samples = pcm(&output.stdout);
    samples.truncate(samples.len() / TICK_SAMPLES * TICK_SAMPLES);
    set_level(&mut samples, *chance.one(&[-10.0, -20.0, -30.0]));
    through(*chance.one(&[Law::A, Law::U, Law::Linear]), &mut samples);
    Ok(samples)
}

/// Equal temperament.
fn note(chance: &mut Chance, octaves: f64) -> f64 {
    let semitone = (chance.between(0.0, octaves * 12.0)).floor();
    220.0 * 2f64.powf(semitone / 12.0)
}

/// Three to five notes at once. Two alone might well be a digit: F5 and F sharp 6 are a 3.
fn chord(chance: &mut Chance) -> String {
    let shape = *chance.one(&[
        "sine",
        "triangle",
        "square",
        "sawtooth",
        "pluck",
        "trapezium",
    ]);
    let notes: Vec<String> = (0..3 + chance.below(3))
        .map(|_| format!("{shape} {:.2}", note(chance, 3.0)))
        .collect();
    format!("synth 10 {} remix -", notes.join(" "))
}

/// Short notes of an instrument with overtones, two voices.
fn melody(chance: &mut Chance) -> String {
    let shape = *chance.one(&["triangle", "square", "sawtooth", "pluck", "trapezium"]);
    let length = chance.between(0.05, 0.4);
    let mut notes = Vec::new();
    for _ in 0..(10.0 / length) as usize {
        let (first, second) = (note(chance, 3.0), note(chance, 3.0));
        notes.push(format!(
            "synth {length:.3} {shape} {first:.2} {shape} {second:.2} remix -"
        ));
    }
    notes.join(" : ")
}

/// A gliding, trembling sine with some breath in it.
fn whistle(chance: &mut Chance) -> String {
    let (from, to) = (chance.between(600.0, 2000.0), chance.between(600.0, 2000.0));
    let (rate, depth) = (chance.between(3.0, 8.0), chance.below(60));
    format!(
        "synth 10 sine {from:.0}:{to:.0} sine {:.0} brownnoise remix 1v0.8,2v0.{},3v0.1 tremolo {rate:.1} {depth}",
        chance.between(500.0, 1800.0),
        chance.below(3)
    )
}
