//! The load generator: legs that send and receive RTP in real time, on one thread.

pub mod format;
pub mod listener;
pub mod load;
pub mod secure;
pub mod speech;
