//! Wires everything: sockets, media threads, files and the switch; start, reload, shutdown.
//!
//! One task owns the switch and everything that is not shared. It takes what the transports, the
//! media threads and the writer tell, lets the switch decide, and carries that out; it never waits
//! for a disk or a peer.

mod announcements;
mod api;
mod apps;
mod banner;
mod bridge_files;
mod build;
pub mod control;
mod core;
mod descriptors;
mod dialling;
mod ear;
mod files;
mod log;
mod machine;
mod memory;
mod metrics;
mod names;
pub mod own_key;
mod recordings;
mod reload;
mod room_files;
mod run;
mod sources;
mod statistics;
#[cfg(test)]
mod testing;

pub use apps::{BuildError, check, routes};
pub use banner::banner;
pub use core::{Core, StartError, Started};
pub use dialling::{NoRoute, flows};
pub use log::init as init_log;
pub use run::{ServeError, prepare, serve};
