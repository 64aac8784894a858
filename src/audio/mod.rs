//! Audio values and signal processing on 16-bit mono samples.

pub mod conceal;
pub mod gain;
pub mod level;
pub mod limiter;
pub mod player;
pub mod polyphase;
pub mod process;
pub mod resample;
pub mod sound;
pub mod source;
pub mod stretch;
pub mod tap;
pub mod tone;

#[cfg(test)]
pub(crate) mod testing;
mod time;

pub use time::MediaTime;

/// The bridge tick: 20 ms.
pub const TICK_MS: u32 = 20;
/// The narrowband rate, Hz (G.711).
pub const NARROWBAND: u32 = 8000;
/// The wideband rate, Hz (G.722).
pub const WIDEBAND: u32 = 16_000;
/// The fullband rate, Hz (Opus).
pub const FULLBAND: u32 = 48_000;
/// Samples of one tick at 8 kHz.
pub const TICK_SAMPLES: usize = 160;
