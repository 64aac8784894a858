//! Talk-off: what is taken for a digit, or muted, and is none.

use std::process::Command;

use antiphon::audio::TICK_SAMPLES;
use antiphon::dtmf::Detector;

use crate::judge::{Baseline, Listen};
use crate::speech::{Set, Utterance};
use crate::{progress, sounds};

/// What came of some hours.
#[derive(Debug, Default)]
struct Tally {
    samples: usize,
    /// Frames with sound above -50 dBov.
    active: usize,
    suspected: usize,
    digits: usize,
    theirs: usize,
    their_samples: usize,
}

/// Of so many pieces the other detector hears one.
const THEIR_SHARE: u64 = 10;

impl Tally {
    fn hear(&mut self, samples: &[i16], n: u64) -> usize {
        let before = self.digits;
        let mut detector = Detector::new();
        let mut other = n.is_multiple_of(THEIR_SHARE).then(Baseline::new);
        for frame in samples.chunks_exact(TICK_SAMPLES) {
            let (digit, suspect) = detector.hear(frame);
            let energy: i64 = frame.iter().map(|s| i64::from(*s).pow(2)).sum();
            let active = energy > 100 * 100 * TICK_SAMPLES as i64;
            self.active += usize::from(active);
            self.suspected += usize::from(active && suspect);
            self.digits += usize::from(digit.is_some());
            if let Some(other) = &mut other {
                self.theirs += usize::from(other.hear(frame).0.is_some());
            }
        }
        self.samples += samples.len();
        self.their_samples += other.map_or(0, |_| samples.len());
        self.digits - before
    }

    fn hours(samples: usize) -> f64 {
        samples as f64 / 8000.0 / 3600.0
    }

    fn print(&self, name: &str) {
        let suspected = match self.suspected {
            0 => "none".to_owned(),
            some => format!("1 in {}", self.active / some),
        };
        println!(
            "| {name} | {:.2} | {} | {} | {suspected} | {:.2} | {} |",
            Self::hours(self.samples),
            self.digits,
            self.active,
            Self::hours(self.their_samples),
            self.theirs
        );
    }
}

/// Whether what makes the sounds is there; says so where not.
pub fn is_possible() -> bool {
    let there = |program: &str| {
        let found = Command::new(program).arg("--version").output().is_ok();
        if !found {
            eprintln!("talk-off needs {program}: apt install espeak-ng sox");
        }
        found
    };
    there("espeak-ng") & there("sox")
}

/// Hears `hours` of each set of speech, and a tenth of it of other sounds; prints the table.
pub fn table(hours: f64) -> std::io::Result<()> {
    println!(
        "| sound | hours | false digits | frames with sound | of them suspected \
         | `dtmf`: hours | false digits |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (set, name) in [
        (Set::Tuned, "speech, tuned on"),
        (Set::HeldApart, "speech, held apart"),
    ] {
        let mut tally = Tally::default();
        let mut n = 0;
        while Tally::hours(tally.samples) < hours {
            let utterance = Utterance::new(set, n);
            let told = tally.hear(&utterance.speak()?, n);
            if told > 0 {
                eprintln!("{told} false: {utterance:?}");
            }
            n += 1;
            progress(name, Tally::hours(tally.samples) / hours);
        }
        tally.print(name);
    }
    for kind in sounds::KINDS {
        let mut tally = Tally::default();
        let mut n = 0;
        while Tally::hours(tally.samples) < hours / 60.0 {
            let told = tally.hear(&sounds::make(kind, n)?, n);
            if told > 0 {
                eprintln!("{told} false: {kind} {n}");
            }
            n += 1;
        }
        tally.print(kind);
    }
    Ok(())
}
