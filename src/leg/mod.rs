//! leg.

pub mod player;
pub mod tap;
