//! Keys that a simulated phone presses, as telephone events or as tones: written for the tests, by
//! other means than the server's own.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use antiphon::dtmf::Digit;

/// The level of each tone as an amplitude: about -10 dBm0.
const AMPLITUDE: f64 = 7200.0;

/// What is to be pressed.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    waiting: VecDeque<(Digit, u32)>,
    /// Samples of pause behind each.
    pause: u32,
    now: Option<Pressed>,
}

#[derive(Clone, Copy, Debug)]
struct Pressed {
    digit: Digit,
    length: u32,
    /// Samples since it was pressed.
    passed: u32,
    start: u32,
    ends: u32,
}

impl Keys {
    /// Presses keys after those that wait, each for `tone_ms` with `pause_ms` behind it.
    pub fn press(&mut self, keys: &str, tone_ms: u32, pause_ms: u32) {
        self.pause = pause_ms * 8;
        let digits = keys.chars().map(|c| Digit::from_char(c).unwrap());
        self.waiting
            .extend(digits.map(|digit| (digit, tone_ms * 8)));
    }

    /// Whether all are out.
    pub fn are_out(&self) -> bool {
        self.now.is_none() && self.waiting.is_empty()
    }

    fn begin(&mut self, start: u32) {
        if self.now.is_none() {
            self.now = self.waiting.pop_front().map(|(digit, length)| Pressed {
                digit,
                length,
                passed: 0,
                start,
                ends: 0,
            });
        }
    }

    /// The event packet that stands in the place of `count` samples: timestamp, marker, payload.
    pub fn event(&mut self, timestamp: u32, count: usize) -> Option<(u32, bool, [u8; 4])> {
        self.begin(timestamp);
        let key = self.now.as_mut()?;
        let first = key.passed == 0;
        key.passed += count as u32;
        let over = key.passed >= key.length;
        if over {
            key.ends += 1;
        }
        let (start, digit, ends, passed) = (key.start, key.digit, key.ends, key.passed);
        let duration = key.passed.min(key.length) as u16;
        if passed >= key.length + self.pause {
            self.now = None;
        }
        // Three ends, then audio again until the pause is over.
        let [high, low] = duration.to_be_bytes();
        let end = if over { 0x80 } else { 0 };
        (ends <= 3).then_some((start, first, [digit.event(), end | 0x0a, high, low]))
    }

    /// The tone, or the pause, in the place of `count` samples.
    pub fn tones(&mut self, count: usize) -> Option<Vec<i16>> {
        let mut out = Vec::with_capacity(count);
        self.begin(0);
        self.now?;
        while out.len() < count {
            self.begin(0);
            let Some(key) = &mut self.now else {
                out.push(0);
                continue;
            };
            let (low, high) = key.digit.frequencies();
            let at = |hz: f32| (TAU * f64::from(hz) * f64::from(key.passed) / 8000.0).sin();
            let sounds = key.passed < key.length;
            let sample = if sounds {
                AMPLITUDE * (at(low) + at(high))
            } else {
                0.0
            };
            out.push(sample.round() as i16);
            key.passed += 1;
            if key.passed >= key.length + self.pause {
                self.now = None;
            }
        }
        Some(out)
    }
}
