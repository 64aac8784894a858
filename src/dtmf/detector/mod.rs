//! In-band DTMF: digits from the sound of their two tones, at 8 kHz.
//!
//! Sits behind decoding and concealment, before the mix: `leg` hears each frame of a party here,
//! takes the digit, and leaves suspect frames out of the conference. Allocates nothing.
//!
//! ```text
//! samples --> high-pass --> eight bins per 2.5 ms --> 10 ms: two strong bins?  -- no --> next
//!             (dial tone)                                   | yes
//!      +----------------------------------------------------+
//!      v
//! two sines fitted to 12 ms: frequencies right, little left over, and that white?   ("look")
//!      | seven in a row, or six with a lost packet between
//!      v
//! two sines fitted to 24 ms, strictly: frequency, twist, steadiness, nothing below? ("proof")
//! ```
//!
//! The fit decides, not the bins: a tone is measured to 0.1 % in 24 ms, so that 1.5 % and 3.5 %
//! are far apart; and what two sines leave over of a voice is much, and like itself from one
//! sample to the next, while that of a tone is as little and as white as the line's noise.

mod filter;
mod fit;
mod proof;
mod spectrum;
#[cfg(test)]
mod tests;
mod track;

use super::digit::Digit;
use filter::HighPass;
use fit::Fit;
use proof::Pair;
use spectrum::{Bins, TABLES, Tables, WINDOW, strongest};
use track::{Candidate, State};

/// Samples between looks: 2.5 ms.
const HOP: usize = 20;
/// Samples of a look: 12 ms.
const LOOK: usize = 96;
/// Samples of a proof: 24 ms.
const PROOF: usize = 192;
/// Samples kept; the latest half of them is always at hand.
const HISTORY: usize = 480;
/// Hops whose energy is kept: an onset, and what was before it.
const ENERGIES: usize = 12;
/// Frames without a greater sample cannot hold a digit: a tone of -40 dBm0 has a peak of 228.
const QUIET_PEAK: i32 = 100;
/// The least power of two tones: -40 dBm0.
const LEAST_POWER: f32 = 26_000.0;
/// Least share of the two strongest bins in a window: 0.73 at 15 dB and 1.5 % off.
const STRONG: f32 = 0.66;
/// Least share of either in both: -8 dB of twist leave 0.13, 1.5 % off and the filter 0.09.
const EITHER: f32 = 0.055;
/// Looks refused (40 ms of them) after which only each eighth is taken: a steady sound of two tones
/// that is no digit would cost a fit each time.
const PATIENCE: u32 = 16;
/// An onset is louder than what was before by this factor.
const RISE: f32 = 5.0;

/// What the detector says of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detection {
    /// A digit that was recognised in this frame; told once, when it is certain: some 30 ms after
    /// its onset.
    pub digit: Option<Digit>,
    /// The frame is, or may be, part of a digit's tone: a conference leaves it out.
    pub suspect: bool,
}

/// The detector of one stream.
#[derive(Clone, Debug)]
pub struct Detector {
    tables: &'static Tables,
    filter: HighPass,
    /// Samples as they came, and filtered; the hops up to `end` are complete.
    raw: [f32; HISTORY],
    filtered: [f32; HISTORY],
    end: usize,
    /// Samples behind `end` that do not make up a hop yet.
    filled: usize,
    /// Of the latest hops, oldest first.
    bins: [Bins; WINDOW],
    energies: [f32; ENERGIES],
    /// Samples since the last frame that was not quiet.
    quiet: usize,
    /// Looks refused lately.
    refused: u32,
    state: State,
}

/// Whether a frame is too quiet to hold a part of a digit.
pub fn is_quiet(frame: &[i16]) -> bool {
    frame
        .iter()
        .fold(0, |peak, s| peak.max(i32::from(*s).abs()))
        < QUIET_PEAK
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self {
            tables: &TABLES,
            filter: HighPass::default(),
            raw: [0.0; HISTORY],
            filtered: [0.0; HISTORY],
            end: HISTORY / 2,
            filled: 0,
            bins: [Bins::default(); WINDOW],
            energies: [0.0; ENERGIES],
            quiet: HISTORY,
            refused: 0,
            state: State::Idle,
        }
    }

    /// Forgets all that was heard.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Hears the next samples of the stream, 20 ms as a rule.
    pub fn process(&mut self, frame: &[i16]) -> Detection {
        let mut detection = Detection::default();
        if self.sleeps(frame) {
            return detection;
        }
        let mut rest = frame;
        while !rest.is_empty() {
            let (now, later) = rest.split_at((HOP - self.filled).min(rest.len()));
            rest = later;
            let begin = self.end + self.filled;
            for (to, from) in self.raw[begin..].iter_mut().zip(now) {
                *to = f32::from(*from);
            }
            self.filled += now.len();
            if self.filled == HOP {
                self.filled = 0;
                self.take();
                let digit = self.hop();
                detection.digit = detection.digit.or(digit);
                detection.suspect |= self.state.is_suspect();
            }
        }
        detection.suspect = detection.suspect || self.begins();
        detection
    }

    /// Whether quiet frames change nothing from now on: they need not be processed.
    pub fn is_asleep(&self) -> bool {
        self.quiet >= HISTORY / 2
    }

    /// Whether there is nothing to do: silence, and the past is no longer of interest.
    fn sleeps(&mut self, frame: &[i16]) -> bool {
        if !is_quiet(frame) {
            self.quiet = 0;
        } else if self.quiet < HISTORY / 2 {
            self.quiet += frame.len();
            if self.quiet >= HISTORY / 2 {
                self.reset();
            }
        }
        self.is_asleep()
    }

    /// Takes the samples of a hop into all that is kept.
    fn take(&mut self) {
        let hop = self.end..self.end + HOP;
        let filtered = &mut self.filtered[hop.clone()];
        if let Some(raw) = self.raw[hop].first_chunk() {
            self.filter.run(raw, filtered);
        }
        self.energies.copy_within(1.., 0);
        self.energies[ENERGIES - 1] = fit::energy(filtered);
        self.bins.copy_within(1.., 0);
        self.bins[WINDOW - 1] = self.tables.hop(filtered);
        self.end += HOP;
        if self.end + HOP > HISTORY {
            self.raw.copy_within(HISTORY / 2.., 0);
            self.filtered.copy_within(HISTORY / 2.., 0);
            self.end -= HISTORY / 2;
        }
    }

    /// Judges after a hop.
    fn hop(&mut self) -> Option<Digit> {
        let energy: f32 = self.energies[ENERGIES - WINDOW..].iter().sum();
        let loud = energy > LEAST_POWER * (WINDOW * HOP) as f32;
        if !loud && matches!(self.state, State::Idle) {
            return None;
        }
        let powers = self.tables.window(&self.bins);
        if !self.state.listen(&powers, energy) {
            return None;
        }
        let look = if loud {
            self.look(&powers, energy)
        } else {
            None
        };
        self.state.look(look.as_ref());
        let candidate = *self.state.candidate()?;
        if !self.is_proved(&candidate) {
            return None;
        }
        self.state.tell(candidate.pair, &powers);
        Digit::from_keypad(candidate.pair.0, candidate.pair.1)
    }

    /// Whether the latest 12 ms may be of a digit.
    fn look(&mut self, powers: &[f32; 8], energy: f32) -> Option<(Pair, Fit)> {
        let greatest = |group: &[f32]| group.iter().copied().fold(0.0, f32::max);
        let (low, high) = (greatest(&powers[..4]), greatest(&powers[4..]));
        let both = low + high;
        if both < STRONG * energy || low.min(high) < EITHER * both {
            self.refused = self.refused.saturating_sub(1);
            return None;
        }
        self.refused = if self.refused < 2 * PATIENCE {
            self.refused + 1
        } else {
            PATIENCE + 1
        };
        if self.refused > PATIENCE && !self.refused.is_multiple_of(8) {
            return None;
        }
        let look = proof::look(self.latest(LOOK), strongest(powers), &proof::LOOK)?;
        self.refused = 0;
        Some(look)
    }

    fn is_proved(&self, candidate: &Candidate) -> bool {
        let proof = |len: usize| {
            let raw = &self.raw[self.end - len..self.end];
            proof::prove(self.latest(len), raw, candidate.pair, candidate.omega())
        };
        if candidate.is_long() {
            proof(PROOF).is_some()
        } else {
            candidate.is_long_in_pieces() && proof(LOOK).is_some_and(|fit| candidate.agrees(&fit))
        }
    }

    /// Whether a digit may have begun within the last 6 to 15 ms: too short for two looks, but an
    /// onset out of less sound.
    fn begins(&self) -> bool {
        // How many of the latest hops are alike in energy, and louder than those before.
        let mut latest = self.energies.iter().rev();
        let (mut hops, mut sum) = (0, 0.0);
        for &energy in latest.by_ref().take(WINDOW + 3) {
            if energy * (hops as f32) < 0.3 * sum {
                break;
            }
            sum += energy;
            hops += 1;
        }
        let mean = sum / hops as f32;
        // The onset is within the hop that was taken and left out.
        let before: f32 = latest.take(2).sum();
        if !(3..WINDOW + 3).contains(&hops)
            || mean < LEAST_POWER * HOP as f32
            || before * RISE > 2.0 * mean
        {
            return false;
        }
        let mut bins = [Bins::default(); WINDOW];
        let used = WINDOW - hops.min(WINDOW);
        bins[used..].copy_from_slice(&self.bins[used..]);
        let pair = strongest(&self.tables.window(&bins));
        // Some samples of the earliest hop may be before the onset.
        let len = (hops * HOP - 12) / 16 * 16;
        proof::look(self.latest(len), pair, &proof::GLANCE).is_some()
    }

    /// The latest filtered samples.
    fn latest(&self, len: usize) -> &[f32] {
        &self.filtered[self.end - len..self.end]
    }
}
