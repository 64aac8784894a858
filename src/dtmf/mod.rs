//! Digits: what they are, and how they come and go.

mod detector;
mod digit;
pub mod event;
pub mod fuzz;
pub mod receiver;

pub use detector::{Detection, Detector, is_quiet};
pub use digit::{Digit, HIGH_HZ, LOW_HZ};
