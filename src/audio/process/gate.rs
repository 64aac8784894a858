//! The silence gate: below a threshold, silence.

use crate::audio::gain::ramp;
use crate::audio::level::mean_square;

use super::EDGE;

/// Parts of a frame that are measured by themselves: 2.5 ms of 20.
const BLOCKS: usize = 8;
/// How long it must be quiet before the gate closes: longer than the gaps within a sentence.
const HANGOVER_MS: u32 = 300;
/// An open gate stays open down to this part of the threshold: -3 dB.
const HYSTERESIS: f32 = 0.5;

/// ```text
/// open --quiet for 300 ms--> fades out over a frame --> closed --a block is loud--> open
/// ```
///
/// It opens in the frame that is loud, before the loud part begins: nothing of that is lost.
#[derive(Debug)]
pub(super) struct Gate {
    /// The mean square from which a block is loud.
    threshold: Option<f32>,
    is_open: bool,
    quiet_samples: u32,
    hangover_samples: u32,
}

impl Gate {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            threshold: None,
            is_open: true,
            quiet_samples: 0,
            hangover_samples: HANGOVER_MS * (rate / 1000),
        }
    }

    pub(super) fn set(&mut self, dbov: Option<i8>) {
        self.threshold = dbov.map(|dbov| square(f32::from(dbov)));
    }

    pub(super) fn apply(&mut self, frame: &mut [i16]) {
        let block = frame.len().div_ceil(BLOCKS).max(1);
        let loud = match self.threshold {
            None if self.is_open => return,
            None => Some(0),
            Some(threshold) => {
                let hysteresis = if self.is_open { HYSTERESIS } else { 1.0 };
                let mut blocks = frame.chunks(block);
                blocks.position(|block| mean_square(block) >= threshold * hysteresis)
            }
        };
        match loud {
            Some(_) if self.is_open => self.quiet_samples = 0,
            Some(begin) => {
                // Up to where it is loud, or switched off: to the edge.
                let edge = frame.len() / EDGE;
                let edge = self.threshold.map_or(edge, |_| edge.min(begin * block));
                ramp(&mut frame[..edge], 0.0, 1.0);
                self.is_open = true;
                self.quiet_samples = 0;
            }
            None if self.is_open => {
                self.quiet_samples = self.quiet_samples.saturating_add(frame.len() as u32);
                if self.quiet_samples > self.hangover_samples {
                    ramp(frame, 1.0, 0.0);
                    self.is_open = false;
                }
            }
            None => frame.fill(0),
        }
    }
}

/// The mean square of a level.
pub(super) fn square(dbov: f32) -> f32 {
    10f32.powf(dbov / 10.0) * 32_768.0 * 32_768.0
}
