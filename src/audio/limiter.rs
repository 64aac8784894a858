//! From the exact `i32` sum of the mix back to 16 bits.
//!
//! Sits behind the bridge's sum, before the encoder. What fits in 16 bits passes bit for bit. The
//! rest is turned down by [`Limiter`], whose gain moves without a step: twenty talkers at full
//! scale neither wrap nor buzz. The functions beside it saturate, sample by sample.

use super::gain::to_sample;

/// The part of a frame in which one peak is looked for: 2.5 ms of 20.
const BLOCKS: usize = 8;
/// The gain takes at least this part of a frame to fall: 0.5 ms of 20. What is louder at a
/// frame's very start is cut meanwhile.
const SHORTEST_ATTACK: usize = 40;
/// Frames for which the gain stays when nothing calls for it any more: longer than the period of
/// any tone, so that it does not follow the wave.
const HOLD_FRAMES: u8 = 2;
/// What comes so close to the limit (0.5 dB) keeps the gain where it is.
const CLOSE: f32 = 1.06;
/// How fast it rises then: 1 dB in a frame of 20 ms, 50 dB/s.
const RELEASE: f32 = 1.122_018_5;
/// Samples of the longest frame: 20 ms at 48 kHz.
const MAX_FRAME: usize = 960;

/// A limiter for one stream of sums, in frames of 20 ms. It sees the whole frame and adds no
/// delay: the gain begins to fall at the frame's start, straight towards the peak that needs it
/// most, and is continuous from frame to frame.
///
/// ```text
/// gain 1 --a sum does not fit--> falls within the frame --> holds 40 ms --> rises 50 dB/s --> 1
/// ```
///
/// One belongs to the common mix, and one to each party that hears a mix of its own. A party that
/// begins to hear its own mix takes a copy of the common limiter as it was before this frame; one
/// that goes back hears one frame of [`cross_fade`]. So neither hears a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limiter {
    /// The gain at the end of the last frame, at most 1.
    gain: f32,
    /// Frames until it may rise.
    hold: u8,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0, hold: 0 }
    }
}

impl Limiter {
    /// The gain at the end of the last frame, from 0 to 1.
    pub fn gain(&self) -> f32 {
        self.gain
    }

    /// Limits a frame of sums into `out`, as far as the shorter of both goes.
    pub fn limit(&mut self, sums: &[i32], out: &mut [i16]) {
        let frame = sums.len().min(out.len());
        let (sums, out) = (&sums[..frame], &mut out[..frame]);
        let fits = narrow(sums.iter().copied(), out);
        if !fits || self.gain < 1.0 {
            self.shape(sums, out);
        }
    }

    /// The same for `sums` less a party's `own` audio: what that party hears (N-1).
    pub fn limit_without(&mut self, sums: &[i32], own: &[i16], out: &mut [i16]) {
        let frame = sums.len().min(own.len()).min(out.len());
        let others = sums[..frame].iter().zip(own);
        let others = others.map(|(sum, own)| sum.wrapping_sub(i32::from(*own)));
        if narrow(others.clone(), &mut out[..frame]) && self.gain >= 1.0 {
            return;
        }
        let mut scratch = [0; MAX_FRAME];
        let mut others = others;
        for out in out[..frame].chunks_mut(MAX_FRAME) {
            for (place, sum) in scratch[..out.len()].iter_mut().zip(&mut others) {
                *place = sum;
            }
            self.shape(&scratch[..out.len()], out);
        }
    }

    /// A frame that is turned down, or was before.
    fn shape(&mut self, sums: &[i32], out: &mut [i16]) {
        let block = sums.len().div_ceil(BLOCKS).max(1);
        let mut needed = [1.0; BLOCKS];
        for (needed, block) in needed.iter_mut().zip(sums.chunks(block)) {
            *needed = gain_for(peak(block));
        }
        let lowest = needed.into_iter().fold(1.0, f32::min);
        let mut pen = Pen {
            at: 0,
            gain: self.gain,
            sums,
            out,
        };
        if lowest < self.gain {
            self.hold = HOLD_FRAMES;
            pen.fall(&needed, block);
        } else if lowest < 1.0 && lowest < self.gain * CLOSE {
            self.hold = HOLD_FRAMES;
        } else if self.hold > 0 {
            self.hold -= 1;
        } else {
            pen.line(sums.len(), (self.gain * RELEASE).min(lowest));
        }
        pen.line(sums.len(), pen.gain);
        self.gain = pen.gain;
    }
}

/// Draws the gain's course over a frame, and what comes out by it.
struct Pen<'a> {
    at: usize,
    gain: f32,
    sums: &'a [i32],
    out: &'a mut [i16],
}

impl Pen<'_> {
    /// Falls as gently as the peaks allow: along the lower hull of what they need.
    fn fall(&mut self, needed: &[f32; BLOCKS], block: usize) {
        if needed[0] < self.gain {
            // The first block begins at a gain that is too high for it: down before it matters.
            let limit = f32::from(i16::MAX) / self.gain;
            let first = self
                .sums
                .iter()
                .position(|sum| sum.abs_diff(0) as f32 > limit);
            let shortest = self.sums.len() / SHORTEST_ATTACK;
            let end = first.unwrap_or(0).max(shortest).clamp(1, block);
            self.line(end, needed[0]);
        }
        loop {
            let mut next = None;
            let mut steepest = 0.0;
            for (i, gain) in needed.iter().enumerate() {
                // The corner between two blocks is low enough for both.
                let corner = needed.get(i + 1).map_or(*gain, |after| gain.min(*after));
                let end = ((i + 1) * block).min(self.sums.len());
                if end <= self.at {
                    continue;
                }
                let slope = (corner - self.gain) / (end - self.at) as f32;
                if slope < 0.0 && slope <= steepest {
                    steepest = slope;
                    next = Some((end, corner));
                }
            }
            match next {
                Some((end, gain)) => self.line(end, gain),
                None => break,
            }
        }
    }

    /// Moves the gain straight to `gain`, which it has just behind the sample before `end`.
    fn line(&mut self, end: usize, gain: f32) {
        let end = end.min(self.sums.len());
        let Some(length) = end.checked_sub(self.at).filter(|length| *length > 0) else {
            return;
        };
        let (from, step) = (self.gain, (gain - self.gain) / length as f32);
        let pairs = self.out[self.at..end]
            .iter_mut()
            .zip(&self.sums[self.at..end]);
        for (i, (out, sum)) in pairs.enumerate() {
            *out = to_sample(*sum as f32 * (from + step * i as f32));
        }
        (self.at, self.gain) = (end, gain);
    }
}

/// Goes from what a party has heard of its own mix to the common one, in one frame: both are
/// limited forms of the same sum, so this is a gain between theirs.
pub fn cross_fade(own: &mut [i16], common: &[i16]) {
    let step = 1.0 / own.len().max(1) as f32;
    for (i, (own, common)) in own.iter_mut().zip(common).enumerate() {
        let (from, to) = (f32::from(*own), f32::from(*common));
        *own = to_sample(from + (to - from) * step * i as f32);
    }
}

/// Cuts sums to 16 bits; false if one of them does not fit.
fn narrow(sums: impl Iterator<Item = i32>, out: &mut [i16]) -> bool {
    let mut bits = 0;
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum as i16;
        bits |= sum.wrapping_sub(i32::from(i16::MIN)) as u32;
    }
    u16::try_from(bits).is_ok()
}

/// The largest sum, counted as `i16` reaches: -32768 is no louder than 32767.
fn peak(sums: &[i32]) -> i32 {
    sums.iter().fold(0, |peak, sum| peak.max(*sum).max(!*sum))
}

fn gain_for(peak: i32) -> f32 {
    let full = f32::from(i16::MAX);
    full / (peak as f32).max(full)
}

/// Limits one sum to the 16-bit range.
#[inline]
pub const fn limit(sum: i32) -> i16 {
    if sum > i16::MAX as i32 {
        i16::MAX
    } else if sum < i16::MIN as i32 {
        i16::MIN
    } else {
        sum as i16
    }
}

/// Limits a frame of sums into `out`, as far as the shorter of both goes.
pub fn limit_slice(sum: &[i32], out: &mut [i16]) {
    for (out, sum) in out.iter_mut().zip(sum) {
        *out = clamp(*sum);
    }
}

/// Writes `sum` less a party's `own` audio, limited: what that party hears (N-1).
pub fn limit_without(sum: &[i32], own: &[i16], out: &mut [i16]) {
    for ((out, sum), own) in out.iter_mut().zip(sum).zip(own) {
        *out = clamp(sum - i32::from(*own));
    }
}

/// Adds a party's audio to the sum.
pub fn accumulate(sum: &mut [i32], samples: &[i16]) {
    for (sum, sample) in sum.iter_mut().zip(samples) {
        *sum += i32::from(*sample);
    }
}

#[inline]
fn clamp(sum: i32) -> i16 {
    sum.clamp(i16::MIN as i32, i16::MAX as i32) as i16
}

#[cfg(test)]
mod tests;
