//! What a room itself plays to its parties: prompts, music, tones, without a leg.

use super::Relation;
use super::bands::band_of;
use super::sums::Sums;
use crate::audio::gain::{self, Gain};
use crate::audio::player::{Play, PlayControl, PlayEnd, PlayEndReason, PlayStatus, Player};
use crate::audio::sound::Band;
use crate::audio::{TICK_MS, TICK_SAMPLES};

/// How many plays a room can have at once: music below an announcement, other music for those who
/// wait.
pub const ROOM_PLAYS: usize = 4;
/// How fast a gain falls and rises.
const DOWN_MS: u32 = 100;
const UP_MS: u32 = 500;
/// Who is turned down for talkers stays so for this long behind the last sound, in ticks: 500 ms.
const HOLD_TICKS: u8 = 25;

/// A play of a room. Made on the control side, where it goes back to at its end.
#[derive(Debug)]
pub struct RoomPlay {
    /// What is played; with the room while it plays.
    pub play: Option<Box<Play>>,
    /// Its place among the room's plays, below [`ROOM_PLAYS`]; what plays there is replaced.
    pub place: u8,
    /// Who hears it: bit c stands for ear class c, as in [`super::Relation::voice`].
    pub voice: u32,
    /// Who makes way for whom.
    pub ducking: Ducking,
}

impl RoomPlay {
    /// A play that all hear, and for which nobody is turned down.
    pub fn new(play: Box<Play>) -> Self {
        Self {
            play: Some(play),
            place: 0,
            voice: u32::MAX,
            ducking: Ducking::None,
        }
    }
}

/// Who is turned down when a play and talkers come together. Ramps take 100 ms down and 500 ms up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Ducking {
    /// Nobody.
    #[default]
    None,
    /// The play, by so many dB, while somebody talks.
    Play(f32),
    /// The talkers, by so many dB, while it plays.
    Talkers(f32),
}

/// The end of a play that was never heard.
pub(super) const UNHEARD: PlayEnd = PlayEnd {
    reason: PlayEndReason::Replaced,
    samples: 0,
    underruns: 0,
};

/// A gain that moves evenly: straight to its target within a fixed time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    /// Where it was before this tick, and behind it.
    from: f32,
    to: f32,
}

impl Slide {
    const REST: Self = Self { from: 1.0, to: 1.0 };

    /// The next tick, towards `down` (what is wanted now) or 1; `least` is how far down it can be.
    fn tick(&mut self, down: bool, least: f32) {
        self.from = self.to;
        let way = |ms: u32| (1.0 - least) * TICK_MS as f32 / ms as f32;
        self.to = if down {
            (self.to - way(DOWN_MS)).max(least)
        } else {
            (self.to + way(UP_MS)).min(1.0)
        };
    }

    /// Applies this tick's part.
    pub fn apply(self, frame: &mut [i16]) {
        if self.from < 1.0 || self.to < 1.0 {
            gain::ramp(frame, self.from, self.to);
        }
    }

    pub fn rests(self) -> bool {
        self.from >= 1.0 && self.to >= 1.0
    }
}

/// A place for a play.
#[derive(Debug)]
struct Place {
    player: Player,
    /// What plays; its `play` is with the player.
    now: Option<Box<RoomPlay>>,
    /// What begins when the fade of the one before is over: others may hear that.
    next: Option<Box<RoomPlay>>,
    /// It begins in silence.
    next_paused: bool,
    /// Who hears what plays, or fades out.
    voice: u32,
    ducking: Ducking,
    gain: Slide,
    /// What is played at, until the place is idle: by who was there when it began. To change that in the
    /// middle would be heard.
    band: Band,
}

impl Place {
    fn new() -> Self {
        Self {
            player: Player::new(),
            now: None,
            next: None,
            next_paused: false,
            voice: 0,
            ducking: Ducking::None,
            gain: Slide::REST,
            band: Band::Narrow,
        }
    }

    /// Starts what is to begin, where nothing is left of what was before, for a room that hears `band`.
    fn begin(&mut self, band: Band) {
        if !self.player.is_idle() {
            return;
        }
        let Some(mut next) = self.next.take() else {
            return;
        };
        self.voice = next.voice;
        self.ducking = next.ducking;
        self.gain = Slide::REST;
        self.band = band;
        if let Some(play) = next.play.take() {
            self.player.start(play);
            self.now = Some(next);
            if std::mem::take(&mut self.next_paused) {
                self.player.control(PlayControl::Pause);
            }
        }
    }

    fn stop(&mut self) -> Option<(Box<RoomPlay>, PlayEnd)> {
        let (play, end) = self.player.stop()?;
        let mut now = self.now.take()?;
        now.play = Some(play);
        Some((now, end))
    }
}

/// All plays of a room.
#[derive(Debug)]
pub(super) struct Plays {
    places: [Place; ROOM_PLAYS],
    /// Anything is to be heard, or to be begun.
    active: bool,
    /// Ended in the last tick: at most one for each place.
    ended: [Option<(Box<RoomPlay>, PlayEnd)>; ROOM_PLAYS],
    /// The talkers' gain, and how far down it goes.
    talkers: Slide,
    least: f32,
    /// Ticks for which somebody counts as talking.
    hold: u8,
}

/// What a command ends: at once, or before it began.
pub type RoomPlayEnds = [Option<(Box<RoomPlay>, PlayEnd)>; 2];

impl Plays {
    pub fn new() -> Self {
        Self {
            places: std::array::from_fn(|_| Place::new()),
            active: false,
            ended: [const { None }; ROOM_PLAYS],
            talkers: Slide::REST,
            least: 1.0,
            hold: 0,
        }
    }

    /// Starts a play; what it replaces goes back.
    pub fn start(&mut self, play: Box<RoomPlay>) -> RoomPlayEnds {
        let Some(place) = self.places.get_mut(usize::from(play.place)) else {
            return [Some((play, UNHEARD)), None];
        };
        let stopped = place.stop().map(|(play, mut end)| {
            end.reason = PlayEndReason::Replaced;
            (play, end)
        });
        let waited = place.next.replace(play).map(|play| (play, UNHEARD));
        place.next_paused = false;
        self.active = true;
        [stopped, waited]
    }

    pub fn stop(&mut self, place: u8) -> RoomPlayEnds {
        let Some(place) = self.places.get_mut(usize::from(place)) else {
            return [None, None];
        };
        let stopped = |play| {
            let end = PlayEnd {
                reason: PlayEndReason::Stopped,
                ..UNHEARD
            };
            (play, end)
        };
        [place.stop(), place.next.take().map(stopped)]
    }

    pub fn control(&mut self, place: u8, control: PlayControl, band: Band) {
        if let Some(place) = self.places.get_mut(usize::from(place)) {
            place.begin(band);
            // What fades out is not meant.
            match (&place.next, control) {
                (None, control) => place.player.control(control),
                (Some(_), PlayControl::Pause) => place.next_paused = true,
                (Some(_), PlayControl::Resume) => place.next_paused = false,
                (Some(_), PlayControl::Restart | PlayControl::Skip(_)) => {}
            }
        }
    }

    /// One that has ended by itself.
    pub fn take_ended(&mut self) -> Option<(Box<RoomPlay>, PlayEnd)> {
        self.ended.iter_mut().find_map(Option::take)
    }

    /// Begins a tick of a room that hears `band`: how far the talkers are turned down in it.
    pub fn begin(&mut self, band: Band) -> Slide {
        if !self.active {
            return Slide::REST;
        }
        let mut least = 1.0f32;
        for place in &mut self.places {
            place.begin(band);
            if let (Some(_), Ducking::Talkers(db)) = (&place.now, place.ducking)
                && !place.player.is_paused()
            {
                least = least.min(lowered(db));
            }
        }
        let down = least < 1.0;
        if down {
            self.least = least;
        }
        self.talkers.tick(down, self.least);
        self.talkers
    }

    /// Adds what plays to the sums; `talk`: somebody is heard that is no noise.
    pub fn add(&mut self, talk: bool, sums: &mut Sums) {
        if !self.active {
            return;
        }
        self.hold = if talk {
            HOLD_TICKS
        } else {
            self.hold.saturating_sub(1)
        };
        let mut active = !self.talkers.rests();
        for (place, ended) in self.places.iter_mut().zip(&mut self.ended) {
            active |= place.next.is_some();
            if place.player.is_idle() {
                continue;
            }
            let mut frame = [0i16; 2 * TICK_SAMPLES];
            let frame = &mut frame[..TICK_SAMPLES * place.band.scale()];
            if let PlayStatus::Ended(play, end) = place.player.fill(frame, place.band)
                && let Some(mut now) = place.now.take()
            {
                now.play = Some(play);
                *ended = Some((now, end));
            }
            active |= !place.player.is_idle() || place.now.is_some();
            if let Ducking::Play(db) = place.ducking {
                place.gain.tick(self.hold > 0, lowered(db));
                place.gain.apply(frame);
            }
            if frame.iter().any(|sample| *sample != 0) {
                let relation = Relation {
                    voice: place.voice,
                    ears: Relation::DEAF,
                };
                sums.add(band_of(place.band.rate()), frame, relation, relation);
            }
        }
        self.active = active;
    }

    /// All that still plays goes back.
    pub fn take(&mut self) -> Option<(Box<RoomPlay>, PlayEnd)> {
        let ended = self.take_ended();
        ended.or_else(|| {
            (0..ROOM_PLAYS).find_map(|n| self.stop(n as u8).into_iter().flatten().next())
        })
    }
}

/// The factor that `db` lower is.
fn lowered(db: f32) -> f32 {
    Gain::from_db(-db.abs()).linear()
}
