//! How many presses a detector finds, and what of their tones it lets pass.

use std::cell::Cell;
use std::rc::Rc;

use antiphon::audio::TICK_SAMPLES;
use antiphon::dtmf::{Detector, Digit};
use dtmf::decoder::Decoder;
use dtmf::enums::{State, Tone};

use crate::signal::Stream;

/// A detector under judgement.
pub trait Listen {
    /// Hears 20 ms; returns a digit, and whether the frame is to be left out of a conference.
    fn hear(&mut self, frame: &[i16]) -> (Option<Digit>, bool);
}

impl Listen for Detector {
    fn hear(&mut self, frame: &[i16]) -> (Option<Digit>, bool) {
        let detection = self.process(frame);
        (detection.digit, detection.suspect)
    }
}

/// The crate `dtmf`, as its example uses it.
pub struct Baseline {
    decoder: Decoder<Box<dyn FnMut(Tone, State)>>,
    told: Rc<Cell<Option<Digit>>>,
}

impl Baseline {
    /// At 8 kHz.
    pub fn new() -> Self {
        let told = Rc::new(Cell::new(None));
        let to = told.clone();
        let on_change = move |tone: Tone, state| {
            if state == State::On {
                to.set(Digit::from_char(tone.as_char()));
            }
        };
        Self {
            decoder: Decoder::new(8000, Box::new(on_change)),
            told,
        }
    }
}

impl Listen for Baseline {
    fn hear(&mut self, frame: &[i16]) -> (Option<Digit>, bool) {
        let samples: [f32; TICK_SAMPLES] = std::array::from_fn(|n| f32::from(frame[n]) / 32768.0);
        self.decoder.process(&samples);
        (self.told.take(), false)
    }
}

/// The outcome of one or more streams.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Keys pressed.
    pub pressed: usize,
    /// Found, each counted once.
    pub found: usize,
    /// Told again within the same press.
    pub doubled: usize,
    /// Another digit than was pressed.
    pub wrong: usize,
    /// From the onset to the end of the frame that told it, ms: sum and greatest.
    pub delay_ms: (f64, f64),
    /// What passed of each tone in frames not suspected, ms.
    pub leaked_ms: Vec<f64>,
}

impl Score {
    /// Of all presses.
    pub fn percent(&self) -> f64 {
        100.0 * self.found as f64 / self.pressed.max(1) as f64
    }

    /// What passed of a tone: mean and greatest.
    pub fn leak_ms(&self) -> (f64, f64) {
        let sum: f64 = self.leaked_ms.iter().sum();
        let greatest = self.leaked_ms.iter().copied().fold(0.0, f64::max);
        (sum / self.leaked_ms.len().max(1) as f64, greatest)
    }

    /// Takes another stream into account.
    pub fn add(&mut self, stream: &Stream, detector: &mut dyn Listen) {
        let mut told = vec![0usize; stream.presses.len()];
        let mut leaked = vec![0usize; stream.presses.len()];
        let mut at = 0;
        for (n, frame) in stream.samples.chunks_exact(TICK_SAMPLES).enumerate() {
            let (from, to) = (n * TICK_SAMPLES, (n + 1) * TICK_SAMPLES);
            let (digit, suspect) = detector.hear(frame);
            // Nothing is certain before 20 ms of the tone are in.
            while at + 1 < stream.presses.len() && stream.presses[at + 1].begin + TICK_SAMPLES <= to
            {
                at += 1;
            }
            if let Some(digit) = digit {
                let press = &stream.presses[at];
                if digit == press.digit && to > press.begin {
                    told[at] += 1;
                    let ms = (to - press.begin) as f64 / 8.0;
                    if told[at] == 1 {
                        self.delay_ms = (self.delay_ms.0 + ms, self.delay_ms.1.max(ms));
                    }
                } else {
                    self.wrong += 1;
                }
            }
            if !suspect {
                for (press, leaked) in stream.presses.iter().zip(&mut leaked) {
                    *leaked += press.end.min(to).saturating_sub(press.begin.max(from));
                }
            }
        }
        self.pressed += told.len();
        self.found += told.iter().filter(|t| **t > 0).count();
        self.doubled += told.iter().filter(|t| **t > 1).count();
        self.leaked_ms
            .extend(leaked.iter().map(|l| *l as f64 / 8.0));
    }
}
