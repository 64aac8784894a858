//! What the tests share: servers, phones, callers, networks, and ears.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod baresip;
pub mod cable;
pub mod caller;
pub mod certificates;
pub mod dns;
pub mod keys;
pub mod line;
pub mod media;
pub mod pacing;
pub mod prompts;
pub mod robot;
pub mod server;
pub mod sim;
pub mod sip;
pub mod sipp;
pub mod tone;
pub mod web;
