//! What the benches over real sockets share: the server as a process, and figures.

#![allow(dead_code, reason = "each bench uses its part")]

pub mod server;
pub mod sip;
pub mod stats;

use std::process::Command;

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
