//! Digits: what they are, and how they come and go.

mod digit;

pub use digit::{Digit, HIGH_HZ, LOW_HZ};
