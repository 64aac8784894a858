//! What the benches over real sockets share: the server as a process, and figures.

#![allow(dead_code, reason = "each bench uses its part")]

pub mod cable;
#[path = "../../tests/support/cable.rs"]
mod ends;
pub mod generator;
pub mod phones;
pub mod server;
pub mod sip;
pub mod stats;

use std::process::Command;
use std::thread;

use antiphon::net::sys;

/// The real-time priority of a load generator's thread: it must not be what delays the server's
/// media threads, which have 20.
pub const GENERATOR_PRIORITY: u8 = 10;

/// Lifts the limit on descriptors, and says whether generators get their priority here; tried on a
/// thread that ends, since what a thread starts inherits its priority.
pub fn generator_priority() -> String {
    let _ = sys::raise_nofile();
    let tried = thread::spawn(|| sys::set_fifo(GENERATOR_PRIORITY)).join();
    match tried.expect("it does not panic") {
        Ok(()) => format!("real-time priority {GENERATOR_PRIORITY}"),
        Err(error) => format!("normal priority ({error}): expect its own delays in the figures"),
    }
}

/// One line that says on what a figure was measured.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|l| {
            l.strip_prefix("model name")?
                .split_once(": ")
                .map(|p| p.1.to_owned())
        })
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = Command::new("date").arg("+%F").output();
    let date = date.map_or_else(
        |_| String::new(),
        |d| String::from_utf8_lossy(&d.stdout).into(),
    );
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores {cpu}, Linux {}, {}, load {}",
        kernel.trim(),
        date.trim(),
        load.split(' ').next().unwrap_or("?")
    )
}
