//! One party's media: RTP and codec on one side, samples on the other.

pub mod player;
pub mod playout;
pub mod tap;
