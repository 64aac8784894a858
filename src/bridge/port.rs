//! One party's place in a bridge. rx is what the party says, tx is what it hears.

use super::bands::{band_of, frame_of};
use super::memory::PortMemory;
use super::part::{FADE_PART, Part};
use super::recording::Track;
use super::sums::{Heard, Sums};
use super::talker::{Loudness, Talk};
use super::{MAX_FRAME, Relation};
use crate::audio::limiter::{self, Limiter};

/// Samples with a magnitude up to this are idle-channel noise: the smallest step of G.711
/// (A-law has no zero at all, so a silent A-law party sends +-8).
pub const IDLE_PEAK: i16 = 8;

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
    /// Who hears it and whom it hears: now, before this tick, and from the next one on.
    pub(super) relation: Relation,
    pub(super) was: Relation,
    pub(super) next: Relation,
    /// These three are not all the same.
    pub(super) relating: bool,
    /// How it talks, where that is watched.
    pub(super) talk: Talk,
    /// Its track in the recording of the room.
    pub(super) track: Option<Box<Track>>,
    /// Of the mix of its own.
    pub(super) limiter: Limiter,
    /// Whether that was heard in the last tick.
    pub(super) heard_own: bool,
    pub(super) memory: PortMemory,
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
            relation: Relation::OPEN,
            was: Relation::OPEN,
            next: Relation::OPEN,
            relating: false,
            talk: Talk::default(),
            track: None,
            limiter: Limiter::default(),
            heard_own: false,
            memory: PortMemory::new(rate),
        }
    }

    /// The same for a party that is not heard by all, or does not hear all, from the first.
    #[must_use]
    pub fn with_relation(mut self, relation: Relation) -> Self {
        self.relate(relation);
        self
    }

    /// The same with memory for a rate that the party may still have when it joins, Hz.
    #[must_use]
    pub fn with_memory_for(mut self, rate: u32) -> Self {
        if !self.memory.serves(band_of(rate)) {
            self.memory = PortMemory::new(rate);
        }
        self
    }

    /// Gives it a track in the recording of the room that it is to join; one that it had goes back.
    pub fn set_track(&mut self, track: Box<Track>) -> Option<Box<Track>> {
        self.track.replace(track)
    }

    /// Takes its track away.
    pub fn take_track(&mut self) -> Option<Box<Track>> {
        self.track.take()
    }

    /// Who hears it, and whom it hears, where it has not joined yet.
    pub fn relate(&mut self, relation: Relation) {
        self.relation = relation;
        self.was = relation;
        self.next = relation;
        self.relating = false;
    }

    /// Who hears it, and whom it hears; as it was asked for last.
    pub fn relation_asked_for(&self) -> Relation {
        self.next
    }

    /// Its samples have another rate, Hz, from now on; `memory` is for that, and what it does not need comes
    /// back there. False, and all as it was, where neither has the room. In a bridge: [`Bridge::set_rate`](super::Bridge::set_rate).
    pub fn set_rate(&mut self, rate: u32, memory: &mut PortMemory) -> bool {
        let band = band_of(rate);
        if !self.memory.serves(band) {
            if !memory.serves(band) {
                return false;
            }
            std::mem::swap(&mut self.memory, memory);
        }
        self.band = band;
        true
    }

    /// Samples of a tick.
    pub fn frame(&self) -> usize {
        frame_of(self.band)
    }

    /// Whether the party has been heard in the last mix.
    pub fn contributes(&self) -> bool {
        self.contributes
    }

    /// The ear classes that are kept for it.
    pub(super) fn classes(&self) -> [Option<u8>; 3] {
        [
            Some(self.relation.ears),
            (self.was != self.relation).then_some(self.was.ears),
            (self.next != self.relation).then_some(self.next.ears),
        ]
    }

    /// Takes up a relation that was asked for; one that was left with the last tick is over.
    pub(super) fn take_up(&mut self) {
        self.was = self.relation;
        self.relation = self.next;
        if self.phase == Phase::Joining {
            // It has neither been heard nor heard anything: its join fades already.
            self.was = self.relation;
        }
        self.relating = self.was != self.relation;
    }

    /// Its part in what a class hears.
    pub(super) fn part(&self, class: u8) -> Part {
        if self.contributes {
            Part::of(self.was, self.relation, class)
        } else {
            Part::None
        }
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
            let rx = self.memory.rx_mut(self.band);
            match self.phase {
                Phase::Joining => fade_in(rx),
                Phase::Leaving => fade_out(rx),
                Phase::Left | Phase::Steady => {}
            }
            peak(rx)
        };
        self.loudness.follow(peak);
        self.contributes = peak > IDLE_PEAK && self.is_heard();
        let (was, ears) = (self.was.ears, self.relation.ears);
        self.own_mix = self.phase != Phase::Steady
            || was != ears
            || self.contributes && self.part(ears) != Part::None;
    }

    /// Whether anybody may hear it in this tick.
    fn is_heard(&self) -> bool {
        self.relation.voice | self.was.voice != 0
    }

    /// Writes what it hears in this tick, where that is no common frame.
    pub(super) fn hear(&mut self, sums: &Sums) {
        let ears = sums.known(self.relation.ears);
        let was = sums.known(self.was.ears);
        let now = sums.heard(ears, self.band);
        if !self.own_mix {
            self.hear_common(&now);
            return;
        }
        if was == ears {
            self.hear_own(&now, ears);
        } else {
            let before = sums.heard(was, self.band);
            self.hear_own(&before, was);
            self.hear_instead(&now, ears);
        }
        self.finish();
    }

    /// Writes the mix of its own: the sum without what it says. Until now it has heard the common
    /// mix, as limited before this tick.
    fn hear_own(&mut self, heard: &Heard<'_>, class: u8) {
        if !self.heard_own {
            self.limiter = heard.before;
        }
        self.heard_own = true;
        let part = self.part(class);
        if part == Part::None && self.limiter == heard.before {
            self.memory.tx_mut(self.band).copy_from_slice(heard.common);
            self.limiter = heard.after;
            self.heard_own = false;
        } else {
            let (said, tx) = self.memory.both(self.band);
            limit_without(&mut self.limiter, heard.total, said, part, tx);
        }
    }

    /// Goes over from what it has written to the mix of another class.
    fn hear_instead(&mut self, heard: &Heard<'_>, class: u8) {
        let frame = heard.total.len();
        let mut limiter = heard.before;
        let mut new = [0i16; MAX_FRAME];
        let new = &mut new[..frame];
        let part = self.part(class);
        let (said, tx) = self.memory.both(self.band);
        limit_without(&mut limiter, heard.total, said, part, new);
        let n = frame / FADE_PART;
        fade_over(&tx[..n], &mut new[..n]);
        tx.copy_from_slice(new);
        self.limiter = limiter;
        self.heard_own = true;
    }

    /// Goes back to the common mix: at once where nothing is limited, else in one frame's fade.
    fn hear_common(&mut self, heard: &Heard<'_>) {
        self.heard_own = false;
        if self.limiter.gain() >= 1.0 && heard.after.gain() >= 1.0 {
            return;
        }
        let tx = self.memory.tx_mut(self.band);
        self.limiter.limit(heard.total, tx);
        limiter::cross_fade(tx, heard.common);
        self.own_mix = true;
    }

    /// The fades on what the party hears, then the next phase.
    fn finish(&mut self) {
        let tx = self.memory.tx_mut(self.band);
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

/// Limits a sum without a party's part in it.
fn limit_without(limiter: &mut Limiter, total: &[i32], said: &[i16], part: Part, out: &mut [i16]) {
    match part {
        Part::None => limiter.limit(total, out),
        Part::Whole => limiter.limit_without(total, said, out),
        Part::FadesIn | Part::FadesOut => {
            let mut own = [0i16; MAX_FRAME];
            let own = &mut own[..said.len()];
            part.write(own, said);
            limiter.limit_without(total, own, out);
        }
    }
}

/// From one frame to another, in even steps.
fn fade_over(from: &[i16], to: &mut [i16]) {
    let n = from.len().max(1) as i32;
    for (i, (to, from)) in (0..).zip(to.iter_mut().zip(from)) {
        let (old, new) = (i32::from(*from), i32::from(*to));
        *to = (old + (new - old) * i / n) as i16;
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
