//! Who talks in a room, as it is told.

use crate::leg::LegId;

/// How many talkers are told at most: the loudest.
pub const MAX_TALKERS: usize = 32;

/// Who talks in a room. A box that comes back with [`super::Event::Talkers`]; who gives it again with
/// [`super::Command::WatchTalkers`] is told again, 100 ms later at the earliest and only when there
/// is something new: somebody talks, or has ceased to.
#[derive(Debug)]
pub struct Talkers {
    /// Those who talk, [`MAX_TALKERS`] of them at most, the loudest first.
    pub talkers: Vec<Talker>,
    /// How many talk, those included that are too many to be told.
    pub talking: u32,
    /// Who was clearly the loudest last, by the bridge's hysteresis; it stays while nobody talks.
    pub dominant: Option<LegId>,
}

/// One who talks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Talker {
    /// Who.
    pub leg: LegId,
    /// How loud since it was told last, dBov.
    pub level_dbov: f32,
    /// How long it has talked in this room since it joined, ms, pauses within a talk-spurt included.
    /// Counted while the room is watched.
    pub talked_ms: u32,
}

/// How often at most it is told.
pub(super) const TELL_MS: u64 = 100;

/// What a room is to tell of its talkers.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Where: none, and nothing is told until another comes.
    pub to: Option<Box<Talkers>>,
    /// Not before.
    pub next_ms: u64,
    /// How many talked when it was told last; none: nobody watches.
    pub told: Option<u32>,
}

impl Talkers {
    /// Takes one more in, if it is loud enough.
    pub(super) fn insert(&mut self, talker: Talker) {
        let louder = |other: &Talker| other.level_dbov >= talker.level_dbov;
        let place = self.talkers.iter().take_while(|t| louder(t)).count();
        if place >= MAX_TALKERS {
            return;
        }
        self.talkers.truncate(MAX_TALKERS - 1);
        self.talkers.insert(place, talker);
    }

    /// Takes the memory.
    pub fn new() -> Box<Self> {
        Box::new(Self {
            talkers: Vec::with_capacity(MAX_TALKERS),
            talking: 0,
            dominant: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loudest_are_told() {
        let mut talkers = Talkers::new();
        let memory = talkers.talkers.capacity();
        for index in 0..200u32 {
            talkers.insert(Talker {
                leg: LegId {
                    index,
                    generation: 0,
                },
                level_dbov: -((index * 37 % 200) as f32),
                talked_ms: 0,
            });
        }
        let levels: Vec<f32> = talkers.talkers.iter().map(|t| t.level_dbov).collect();
        let loudest: Vec<f32> = (0..32).map(|n| -(n as f32)).collect();
        assert_eq!(levels, loudest);
        assert_eq!(talkers.talkers.capacity(), memory);
    }
}
