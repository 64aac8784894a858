//! One party's place in a bridge. rx is what the party says, tx is what it hears.

use super::MAX_FRAME;
use super::bands::{band_of, frame_of};
use super::talker::Loudness;
use crate::audio::limiter::{self, Limiter};

/// Samples with a magnitude up to this are idle-channel noise: the smallest step of G.711
/// (A-law has no zero at all, so a silent A-law party sends +-8).
pub const IDLE_PEAK: i16 = 8;

/// A fade at a join and a leave takes this part of the frame, 5 ms: short enough to lose no
/// syllable, long enough not to click.
const FADE_PART: usize = 4;

/// ```text
/// Joining --mix--> Steady --leave()--> Leaving --mix--> Left
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The next frame fades in.
    Joining,
    /// In the conference.
    Steady,
    /// The next frame fades out.
    Leaving,
    /// Contributes and hears nothing; waits for removal.
    Left,
}

/// A party's audio in and out of the mix. Made (and freed) on the control side.
#[derive(Debug)]
pub struct Port {
    /// Whose port this is; the bridge only hands it back.
    pub owner: u32,
    /// Which partial sum it belongs to.
    pub(super) band: usize,
    pub(super) phase: Phase,
    pub(super) contributes: bool,
    pub(super) own_mix: bool,
    /// Left out of the next mix.
    pub(super) postponed: bool,
    /// Says nothing in this tick: `rx` was not written.
    pub(super) silent: bool,
    pub(super) loudness: Loudness,
    /// Of the mix of its own.
    pub(super) limiter: Limiter,
    /// Whether that was heard in the last tick.
    pub(super) heard_own: bool,
    pub(super) rx: [i16; MAX_FRAME],
    pub(super) tx: [i16; MAX_FRAME],
}

impl Port {
    /// A port for `owner`, whose samples have the rate `rate` Hz (8000, 16000 or 48000), that joins
    /// with its first frame.
    pub fn new(owner: u32, rate: u32) -> Self {
        Self {
            owner,
            band: band_of(rate),
            phase: Phase::Joining,
            contributes: false,
            own_mix: false,
            postponed: false,
            silent: false,
            loudness: Loudness::default(),
            limiter: Limiter::default(),
            heard_own: false,
            rx: [0; MAX_FRAME],
            tx: [0; MAX_FRAME],
        }
    }

    /// Samples of a tick.
    pub fn frame(&self) -> usize {
        frame_of(self.band)
    }

    /// Whether the party has been heard in the last mix.
    pub fn contributes(&self) -> bool {
        self.contributes
    }

    /// Applies the fades of a join or leave to what the party says, and finds out whether it
    /// says anything.
    pub(super) fn prepare(&mut self) {
        if self.postponed {
            self.contributes = false;
            self.own_mix = false;
            return;
        }
        let peak = if self.silent || self.phase == Phase::Left {
            0
        } else {
            let rx = &mut self.rx[..frame_of(self.band)];
            match self.phase {
                Phase::Joining => fade_in(rx),
                Phase::Leaving => fade_out(rx),
                Phase::Left | Phase::Steady => {}
            }
            peak(rx)
        };
        self.loudness.follow(peak);
        self.contributes = peak > IDLE_PEAK;
        self.own_mix = self.contributes || self.phase != Phase::Steady;
    }

    /// Writes the mix of its own: `total` without what it says. `before` is the limiter of the common
    /// mix as it was before this tick, which it has heard so far.
    pub(super) fn hear_own(&mut self, total: &[i32], common: &[i16], before: Limiter) {
        let frame = total.len();
        if !self.heard_own {
            self.limiter = before;
        }
        self.heard_own = true;
        if self.contributes {
            let tx = &mut self.tx[..frame];
            self.limiter.limit_without(total, &self.rx[..frame], tx);
        } else if self.limiter == before {
            self.tx[..frame].copy_from_slice(common);
            self.heard_own = false;
        } else {
            self.limiter.limit(total, &mut self.tx[..frame]);
        }
        self.finish();
    }

    /// Goes back to the common mix: at once where nothing is limited, else in one frame's fade.
    pub(super) fn hear_common(&mut self, total: &[i32], common: &[i16], limiter: Limiter) {
        self.heard_own = false;
        if self.limiter.gain() >= 1.0 && limiter.gain() >= 1.0 {
            return;
        }
        let tx = &mut self.tx[..total.len()];
        self.limiter.limit(total, tx);
        limiter::cross_fade(tx, common);
        self.own_mix = true;
    }

    /// The fades on what the party hears, then the next phase.
    pub(super) fn finish(&mut self) {
        let tx = &mut self.tx[..frame_of(self.band)];
        self.phase = match self.phase {
            Phase::Joining => {
                fade_in(tx);
                Phase::Steady
            }
            Phase::Leaving => {
                fade_out(tx);
                Phase::Left
            }
            Phase::Left => {
                tx.fill(0);
                Phase::Left
            }
            Phase::Steady => Phase::Steady,
        };
    }
}

/// Whether a frame has nothing in it that counts as said.
pub(super) fn is_idle(frame: &[i16]) -> bool {
    peak(frame) <= IDLE_PEAK
}

fn peak(frame: &[i16]) -> i16 {
    // `unsigned_abs` would not vectorise as well; i16::MIN saturates to MAX, which is loud too.
    frame
        .iter()
        .fold(0, |peak, &s| peak.max(s.saturating_abs()))
}

fn fade_in(frame: &mut [i16]) {
    let n = frame.len() / FADE_PART;
    for (i, s) in frame.iter_mut().take(n).enumerate() {
        *s = (*s as i32 * i as i32 / n as i32) as i16;
    }
}

fn fade_out(frame: &mut [i16]) {
    let n = frame.len() / FADE_PART;
    for (i, s) in frame.iter_mut().enumerate() {
        *s = if i < n {
            (*s as i32 * (n - i) as i32 / n as i32) as i16
        } else {
            0
        };
    }
}
