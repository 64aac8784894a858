//! From looks at 12 ms to digits: how long tones stay, and what interrupts them.

use super::fit::Fit;
use super::proof::Pair;
use super::spectrum::strongest;

/// Good looks in a row until a digit is proved: 12 ms and six times 2.5 ms are 27 ms of tone.
/// Q.24 table A-1 (AT&T): 40 ms must be heard, 23 ms must not. Nearer to the latter, for the sake
/// of what a lost packet leaves of a digit.
const NEED: u32 = 7;
/// Bad looks that do not break a row: noise may spoil one.
const SLIP: u32 = 1;
/// Good looks in all, when a lost packet broke the row: each piece is shorter by 12 ms in looks.
const NEED_BROKEN: u32 = 6;
/// Bad looks after which a candidate is given up: 20 ms of a lost packet, and some.
const GAP: u32 = 9;
/// Good looks from which on a gap is suspect as well: 20 ms of tone, rare in speech.
const SUSPECT_GAP: u32 = 4;
/// Looks without its tones after which a digit has ended. A gap of 10 ms must not end it (Q.24
/// table A-1), a pause of 40 ms must; a concealed packet may fall into either.
const HOLD: u32 = 9;
/// The same until a digit is no longer suspect.
const FADE: u32 = 2;
/// The tones' share of all energy while they sound: concealed audio is impure.
const PRESENT_SHARE: f32 = 0.4;
/// The energy of either tone against that at the proof: concealed audio fades by 8 dB in 40 ms.
const PRESENT_LEVEL: f32 = 0.1;
/// How much amplitudes and frequencies may differ between the pieces of a broken digit:
/// concealment fades by a fifth in 20 ms.
const SWING: f32 = 1.4;
const DRIFT: f32 = 0.025;

/// Where a stream is.
///
/// ```text
///                 good look                     proved: told once
///   Idle ----------------------> Rising ----------------------------> Held
///    ^ ^                          |  ^ good look, or up to 9 bad        |  tones present, or
///    | +--------------------------+  | ones after two good ones         |  absent for up to 9
///    |    10 bad looks, or too few   +--+                               |
///    +------------------------------------------------------------------+
///                             absent for 10 looks
/// ```
///
/// While tones of a held digit are absent, another may rise already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum State {
    /// Nothing is going on.
    #[default]
    Idle,
    /// Tones of a digit, not yet for long enough.
    Rising(Candidate),
    /// A digit was told, and sounds; or one that came after it rises.
    Held(Held, Option<Candidate>),
}

impl State {
    /// The candidate that is to be proved now, if any: long enough, and still there.
    pub(super) fn candidate(&self) -> Option<&Candidate> {
        match self {
            State::Idle => None,
            State::Rising(candidate) => Some(candidate),
            State::Held(_, candidate) => candidate.as_ref(),
        }
    }

    /// Whether what is heard now may belong to a digit.
    pub(super) fn is_suspect(&self) -> bool {
        let held = matches!(self, State::Held(held, _) if held.absent <= FADE);
        held || self.candidate().is_some_and(Candidate::is_suspect)
    }

    /// After the next window, in which the eight frequencies have these energies of all.
    /// Returns whether to look for candidates.
    pub(super) fn listen(&mut self, powers: &[f32; 8], energy: f32) -> bool {
        let State::Held(held, candidate) = self else {
            return true;
        };
        let now = strongest(powers);
        let (low, high) = (powers[now.0], powers[now.1 + 4]);
        if now == held.pair
            && low + high > PRESENT_SHARE * energy
            && low > PRESENT_LEVEL * held.energies[0]
            && high > PRESENT_LEVEL * held.energies[1]
        {
            held.absent = 0;
            *candidate = None;
            return false;
        }
        held.absent += 1;
        if held.absent > HOLD {
            *self = candidate.map_or(State::Idle, State::Rising);
        }
        true
    }

    /// After the next look.
    pub(super) fn look(&mut self, look: Option<&(Pair, Fit)>) {
        let next = match (self.candidate(), look) {
            (Some(candidate), Some((pair, fit))) if candidate.pair == *pair => {
                Some(candidate.after(fit))
            }
            (_, Some((pair, fit))) => Some(Candidate::new(*pair, fit)),
            (Some(candidate), None) => candidate.after_bad(),
            (None, None) => None,
        };
        *self = match (*self, next) {
            // The same digit is another press only once this one has ended.
            (State::Held(held, _), next) => State::Held(held, next.filter(|c| c.pair != held.pair)),
            (_, Some(next)) => State::Rising(next),
            (_, None) => State::Idle,
        };
    }

    /// A digit was told.
    pub(super) fn tell(&mut self, pair: Pair, powers: &[f32; 8]) {
        let held = Held {
            pair,
            energies: [powers[pair.0], powers[pair.1 + 4]],
            absent: 0,
        };
        *self = State::Held(held, None);
    }
}

/// A pair of tones that is there, and not yet long enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) pair: Pair,
    /// Good looks, in all and in a row.
    good: u32,
    row: u32,
    /// Bad looks since the last good one.
    bad: u32,
    /// The sums of the frequencies, radians per sample.
    omega: [f32; 2],
    /// What was seen first.
    first: Fit,
}

impl Candidate {
    fn new(pair: Pair, fit: &Fit) -> Self {
        Self {
            pair,
            good: 1,
            row: 1,
            bad: 0,
            omega: fit.omega,
            first: *fit,
        }
    }

    fn after(&self, fit: &Fit) -> Self {
        Self {
            good: self.good + 1,
            row: if self.bad <= SLIP { self.row + 1 } else { 1 },
            bad: 0,
            omega: [0, 1].map(|t| self.omega[t] + fit.omega[t]),
            ..*self
        }
    }

    fn after_bad(&self) -> Option<Self> {
        let bad = self.bad + 1;
        (bad <= GAP && self.good >= 2).then_some(Self { bad, ..*self })
    }

    fn is_suspect(&self) -> bool {
        (self.good >= 2 && self.bad == 0) || self.good >= SUSPECT_GAP
    }

    /// Whether its tones, there now, have been there for long enough without a break.
    pub(super) fn is_long(&self) -> bool {
        self.bad == 0 && self.row >= NEED
    }

    /// The same with a break.
    pub(super) fn is_long_in_pieces(&self) -> bool {
        self.bad == 0 && self.row < self.good && self.good >= NEED_BROKEN
    }

    /// The mean of the frequencies that were found.
    pub(super) fn omega(&self) -> [f32; 2] {
        self.omega.map(|w| w / self.good as f32)
    }

    /// Whether a later piece may be of the same tones as the first.
    pub(super) fn agrees(&self, fit: &Fit) -> bool {
        (0..2).all(|t| {
            let swing = fit.amplitude[t] / self.first.amplitude[t];
            let drift = fit.omega[t] / self.first.omega[t] - 1.0;
            swing < SWING && swing > 1.0 / SWING && drift.abs() < DRIFT
        })
    }
}

/// A digit that was told, and sounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pair: Pair,
    /// The energies of its tones in a window, when it was told.
    energies: [f32; 2],
    /// Windows without them.
    absent: u32,
}
