//! One party's media: RTP and codec on one side, samples on the other.

pub mod playout;
