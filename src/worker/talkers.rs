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

impl Talkers {
    /// Takes the memory.
    pub fn new() -> Box<Self> {
        Box::new(Self {
            talkers: Vec::with_capacity(MAX_TALKERS),
            talking: 0,
            dominant: None,
        })
    }
}
