//! What a room itself plays to its parties: prompts, music, tones, without a leg.

use crate::audio::player::Play;

/// How many plays a room can have at once: music below an announcement, other music for those who
/// wait.
pub const ROOM_PLAYS: usize = 4;

/// A play of a room. Made on the control side, where it goes back to at its end.
#[derive(Debug)]
pub struct RoomPlay {
    /// What is played.
    pub play: Box<Play>,
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
            play,
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
