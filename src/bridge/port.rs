//! One party's place in a bridge. rx is what the party says, tx is what it hears.

use super::MAX_FRAME;

/// Samples with a magnitude up to this are idle-channel noise: the smallest step of G.711
/// (A-law has no zero at all, so a silent A-law party sends +-8).
pub const IDLE_PEAK: i16 = 8;

/// Length of the fade at a join and a leave, in milliseconds: short enough to lose no syllable,
/// long enough not to click.
const FADE_MS: usize = 5;

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
    /// What the party says in this tick; the worker fills it before the mix.
    pub rx: [i16; MAX_FRAME],
    pub(super) tx: [i16; MAX_FRAME],
    pub(super) phase: Phase,
    pub(super) contributes: bool,
    pub(super) own_mix: bool,
    /// Left out of the next mix.
    pub(super) postponed: bool,
}

impl Port {
    /// A port for `owner` that joins with its first frame.
    pub fn new(owner: u32) -> Self {
        Self {
            owner,
            rx: [0; MAX_FRAME],
            tx: [0; MAX_FRAME],
            phase: Phase::Joining,
            contributes: false,
            own_mix: false,
            postponed: false,
        }
    }

    /// Whether the party has been heard in the last mix.
    pub fn contributes(&self) -> bool {
        self.contributes
    }

    /// Applies the fades of a join or leave to what the party says, and finds out whether it
    /// says anything.
    pub(super) fn prepare(&mut self, frame: usize, rate: u32) {
        if self.postponed {
            self.contributes = false;
            self.own_mix = false;
            return;
        }
        let rx = &mut self.rx[..frame];
        match self.phase {
            Phase::Joining => fade_in(rx, rate),
            Phase::Leaving => fade_out(rx, rate),
            Phase::Left => rx.fill(0),
            Phase::Steady => {}
        }
        self.contributes = peak(rx) > IDLE_PEAK;
        self.own_mix = self.contributes || self.phase != Phase::Steady;
    }

    /// The fades on what the party hears, then the next phase.
    pub(super) fn finish(&mut self, frame: usize, rate: u32) {
        let tx = &mut self.tx[..frame];
        self.phase = match self.phase {
            Phase::Joining => {
                fade_in(tx, rate);
                Phase::Steady
            }
            Phase::Leaving => {
                fade_out(tx, rate);
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

fn peak(frame: &[i16]) -> i16 {
    // `unsigned_abs` would not vectorise as well; i16::MIN saturates to MAX, which is loud too.
    frame
        .iter()
        .fold(0, |peak, &s| peak.max(s.saturating_abs()))
}

fn fade_in(frame: &mut [i16], rate: u32) {
    let n = FADE_MS * rate as usize / 1000;
    for (i, s) in frame.iter_mut().take(n).enumerate() {
        *s = (*s as i32 * i as i32 / n as i32) as i16;
    }
}

fn fade_out(frame: &mut [i16], rate: u32) {
    let n = (FADE_MS * rate as usize / 1000).min(frame.len());
    for (i, s) in frame.iter_mut().enumerate() {
        *s = if i < n {
            (*s as i32 * (n - i) as i32 / n as i32) as i16
        } else {
            0
        };
    }
}
