//! Who is talking: the dominant party of a bridge, by its level with hysteresis.
//!
//! Sits beside the mix. A party takes over when it was clearly louder for some time, so that a
//! cough changes nothing; who has fallen silent stays dominant until another talks.

use super::port::Port;
use crate::audio::level::{self, TalkSpurt, TalkSpurtSettings};
use crate::audio::{NARROWBAND, TICK_SAMPLES};

/// A party's loudness: follows the peaks of its frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loudness(i32);

impl Loudness {
    /// Takes a frame's peak in: up within some 60 ms, down within some 300.
    pub fn follow(&mut self, peak: i16) {
        let target = i32::from(peak) << 8;
        let step = if target > self.0 { 2 } else { 4 };
        self.0 += (target - self.0) >> step;
    }
}

impl Loudness {
    /// Whether that is a voice, and not the noise of a line: -38 dB of full scale.
    pub fn is_voice(self) -> bool {
        self.0 > 400 << 8
    }
}

/// How a party talks. The detector's thresholds are fixed: made anew, it costs nothing until it is
/// wanted.
#[derive(Debug, Default)]
pub(super) struct Talk {
    spurt: Option<TalkSpurt>,
    /// The mean squares since it was told last, and of how many ticks.
    energy: f32,
    ticks: u16,
    /// Ticks of talk in all.
    talked: u32,
}

impl Talk {
    /// Takes the next tick; none: it says nothing. Whether it talks.
    pub fn follow(&mut self, frame: Option<&[i16]>) -> bool {
        let square = frame.map_or(0.0, level::mean_square);
        let spurt = match (&mut self.spurt, frame) {
            (Some(spurt), _) => spurt,
            (None, None) => return false,
            (none, Some(_)) => {
                none.insert(TalkSpurt::new(TalkSpurtSettings::default(), NARROWBAND))
            }
        };
        let talks = spurt.update_mean_square(square, TICK_SAMPLES);
        if talks {
            self.energy += square;
            self.ticks = self.ticks.saturating_add(1);
            self.talked = self.talked.saturating_add(1);
        }
        talks
    }

    /// The level since this was asked last, dBov, and for how many ticks it has talked in all.
    pub fn tell(&mut self) -> (f32, u32) {
        let mean = self.energy / f32::from(self.ticks.max(1));
        (self.energy, self.ticks) = (0.0, 0);
        (level::to_dbov(mean), self.talked)
    }
}

/// How many talkers of the last minute are kept.
pub const RECENT_TALKERS: usize = 4;
/// How long one is kept who is silent: a minute, and 5 s where another talks.
const RECENT_TICKS: u32 = 3000;
const REPLACED_TICKS: u32 = 250;

/// The dominant party of a bridge.
#[derive(Debug, Default)]
pub(super) struct Dominant {
    owner: Option<u32>,
    loudness: i32,
    /// The louder one, and for how many ticks it was.
    rival: Option<(u32, u32)>,
    /// Ticks since anybody was heard.
    quiet: u32,
    /// Whether somebody else was heard in this tick.
    others: bool,
    tick: u32,
    /// Who was heard lately, and when last.
    recent: [Option<(u32, u32)>; RECENT_TALKERS],
}

impl Dominant {
    /// Begins a tick.
    pub fn begin(&mut self) {
        self.quiet = self.quiet.saturating_add(1);
        self.others = false;
        self.loudness = 0;
        self.tick = self.tick.wrapping_add(1);
        for talker in &mut self.recent {
            let tick = self.tick;
            talker.take_if(|(_, heard)| tick.wrapping_sub(*heard) > RECENT_TICKS);
        }
    }

    /// A party that is heard in this tick. The loudest rival so far is kept in `loudest`.
    pub fn hear(&mut self, port: &Port, loudest: &mut Option<(u32, i32)>) {
        self.quiet = 0;
        self.note(port.owner);
        let loudness = port.loudness.0;
        if self.owner == Some(port.owner) {
            self.loudness = loudness;
            return;
        }
        self.others = true;
        if loudest.is_none_or(|(_, most)| loudness > most) {
            *loudest = Some((port.owner, loudness));
        }
    }

    /// Ends a tick.
    pub fn end(&mut self, loudest: Option<(u32, i32)>) {
        let Some((owner, loudness)) = loudest else {
            self.rival = None;
            return;
        };
        // Twice the level (6 dB) takes over; who is silent has a level of zero.
        if loudness < 2 * self.loudness {
            self.rival = None;
            return;
        }
        let ticks = match self.rival {
            Some((rival, ticks)) if rival == owner => ticks + 1,
            _ => 1,
        };
        self.rival = Some((owner, ticks));
        if ticks >= TAKE_OVER_TICKS || self.owner.is_none() {
            self.owner = Some(owner);
            self.loudness = loudness;
            self.rival = None;
        }
    }

    /// Those who come when enough others talk are not kept.
    fn note(&mut self, owner: u32) {
        let known = |talker: &Option<(u32, u32)>| talker.is_some_and(|(who, _)| who == owner);
        let silent = |talker: &Option<(u32, u32)>| {
            talker.map_or(u32::MAX, |(_, heard)| self.tick.wrapping_sub(heard))
        };
        let place = self.recent.iter().position(known).or_else(|| {
            let longest = (0..RECENT_TALKERS).max_by_key(|&n| silent(&self.recent[n]))?;
            (silent(&self.recent[longest]) > REPLACED_TICKS).then_some(longest)
        });
        if let Some(place) = place {
            self.recent[place] = Some((owner, self.tick));
        }
    }

    /// Who was heard in the last minute: some of them, where they are many.
    pub fn recent(&self) -> impl Iterator<Item = u32> {
        self.recent.iter().flatten().map(|(owner, _)| *owner)
    }

    /// A party has left.
    pub fn forget(&mut self, owner: u32) {
        for talker in &mut self.recent {
            talker.take_if(|(who, _)| *who == owner);
        }
        if self.owner == Some(owner) {
            self.owner = None;
        }
    }

    pub fn owner(&self) -> Option<u32> {
        self.owner
    }

    /// Whether nobody was heard in this tick and the one before.
    pub fn is_quiet(&self) -> bool {
        self.quiet >= 2
    }

    /// Whether somebody other than the dominant party was heard in this tick.
    pub fn others_talk(&self) -> bool {
        self.others
    }
}

/// 60 ms of being louder: an onset, not a click.
const TAKE_OVER_TICKS: u32 = 3;
