//! Digits: what they are, and how they come and go.

mod digit;
pub mod event;
pub mod receiver;

pub use digit::{Digit, HIGH_HZ, LOW_HZ};
