//! Automatic gain control: brings speech to a level, and leaves noise where it is.

use crate::audio::level::{mean_square, to_dbov};
use crate::audio::limiter::Limiter;

use super::MAX_FRAME;
use super::gate::square;

/// The bounds of the gain, dB.
const GAIN_DB: (f32, f32) = (-10.0, 20.0);
/// How far the gain moves in a frame of speech, dB: down 20 dB/s, up 6 dB/s.
const STEP_DB: (f32, f32) = (-0.4, 0.12);
/// Frames of speech whose level is averaged: 0.8 s.
const AVERAGED: f32 = 40.0;
/// Speech is louder than this, dBov,
const SPEECH_DBOV: f32 = -55.0;
/// and by this factor louder than the noise floor: 9 dB,
const ABOVE_FLOOR: f32 = 8.0;
/// and its level moves by this factor (6 dB) within [`RECENT`] frames: steady noise, tones and
/// hums do not.
const LIVELY: f32 = 4.0;
/// 200 ms.
const RECENT: usize = 10;
/// Background noise is not raised above this, dBov.
const NOISE_DBOV: f32 = -50.0;

/// Measures the level of speech alone and moves the gain in frames of speech alone; in pauses and
/// on noise it stands still. What the gain makes too loud is limited, not cut.
#[derive(Debug)]
pub(super) struct Agc {
    target_dbov: Option<f32>,
    gain_db: f32,
    /// The gain at the end of the last frame.
    gain: f32,
    /// The gain for the end of the next.
    wanted: f32,
    /// The mean square of speech.
    level: f32,
    /// How many frames it stands for.
    averaged: f32,
    recent: [f32; RECENT],
    next: usize,
    floor: Floor,
    limiter: Limiter,
}

impl Default for Agc {
    fn default() -> Self {
        Self {
            target_dbov: None,
            gain_db: 0.0,
            gain: 1.0,
            wanted: 1.0,
            level: 0.0,
            averaged: 0.0,
            // Steady before anything is known.
            recent: [f32::INFINITY; RECENT],
            next: 0,
            floor: Floor::default(),
            limiter: Limiter::default(),
        }
    }
}

impl Agc {
    pub(super) fn set(&mut self, target_dbov: Option<i8>) {
        if target_dbov.is_none() {
            // Back to unity in the next frame, and anew.
            let (gain, limiter) = (self.gain, self.limiter);
            *self = Self {
                gain,
                limiter,
                ..Self::default()
            };
        }
        self.target_dbov = target_dbov.map(f32::from);
    }

    /// Goes on where another one is, if both are on.
    pub(super) fn continue_from(&mut self, before: &Self) {
        if self.target_dbov.is_none() || before.target_dbov.is_none() {
            return;
        }
        (self.gain_db, self.gain, self.wanted) = (before.gain_db, before.gain, before.gain);
        (self.level, self.averaged) = (before.level, before.averaged);
        (self.recent, self.next) = (before.recent, before.next);
        self.floor = before.floor;
    }

    /// Takes the level of what is said in the frame that [`Agc::apply`] gets next.
    pub(super) fn listen(&mut self, frame: &[i16]) {
        self.wanted = match self.target_dbov {
            Some(target) => self.follow(target, mean_square(frame)),
            None => 1.0,
        };
    }

    pub(super) fn apply(&mut self, frame: &mut [i16]) {
        let gain = self.wanted;
        let is_unity = |gain: &f32| (gain - 1.0).abs() <= 0.0;
        if ![gain, self.gain, self.limiter.gain()].iter().all(is_unity) {
            self.amplify(frame, gain);
        }
    }

    /// The gain for the end of a frame.
    fn follow(&mut self, target: f32, square_now: f32) -> f32 {
        self.recent[self.next] = square_now;
        self.next = (self.next + 1) % RECENT;
        let floor = self.floor.follow(square_now);
        if !self.is_speech(square_now, floor) {
            return self.gain;
        }
        self.averaged = (self.averaged + 1.0).min(AVERAGED);
        self.level += (square_now - self.level) / self.averaged;
        let most = (NOISE_DBOV - to_dbov(floor)).clamp(0.0, GAIN_DB.1);
        let wanted = (target - to_dbov(self.level)).clamp(GAIN_DB.0, most);
        self.gain_db += (wanted - self.gain_db).clamp(STEP_DB.0, STEP_DB.1);
        10f32.powf(self.gain_db / 20.0)
    }

    fn is_speech(&self, now: f32, floor: f32) -> bool {
        let known = || self.recent.iter().filter(|square| square.is_finite());
        let (least, most) = known().fold((f32::INFINITY, 0f32), |(least, most), square| {
            (least.min(*square), most.max(*square))
        });
        now > square(SPEECH_DBOV) && now > floor * ABOVE_FLOOR && most > least * LIVELY
    }

    fn amplify(&mut self, frame: &mut [i16], gain: f32) {
        let (from, step) = (self.gain, (gain - self.gain) / frame.len().max(1) as f32);
        let mut done = 0;
        for frame in frame.chunks_mut(MAX_FRAME) {
            let mut louder = [0; MAX_FRAME];
            for (n, (louder, sample)) in louder.iter_mut().zip(frame.iter()).enumerate() {
                let scaled = f32::from(*sample) * (from + step * (done + n) as f32);
                *louder = (scaled + 0.5f32.copysign(scaled)) as i32;
            }
            self.limiter.limit(&louder, frame);
            done += frame.len();
        }
        self.gain = gain;
    }
}

/// The quietest of some hundred frames of steady noise lies 1 dB below their mean.
const BIAS: f32 = 1.3;

/// The noise floor, by the quietest frame of the last 2 to 2.5 s.
#[derive(Clone, Copy, Debug)]
struct Floor {
    /// The quietest of each earlier half second.
    halves: [f32; 4],
    now: f32,
    frames: usize,
}

impl Default for Floor {
    fn default() -> Self {
        Self {
            halves: [f32::INFINITY; 4],
            now: f32::INFINITY,
            frames: 0,
        }
    }
}

impl Floor {
    fn follow(&mut self, square: f32) -> f32 {
        const HALF_SECOND: usize = 25;
        self.now = self.now.min(square);
        let floor = self
            .halves
            .iter()
            .fold(self.now, |least, half| least.min(*half));
        self.frames += 1;
        if self.frames.is_multiple_of(HALF_SECOND) {
            let half = self.frames / HALF_SECOND % self.halves.len();
            self.halves[half] = self.now;
            self.now = f32::INFINITY;
        }
        floor * BIAS
    }
}
