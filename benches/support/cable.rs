//! A cable between two hosts of this machine's own (network namespaces, joined by a veth pair): the server
//! and its yardsticks at one end, the phones at the other. Without it all are on loopback.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::process::{Command, ExitStatus};
use std::time::Duration;

pub use super::ends::INTERFACE;
use super::ends::{Cable, PHONES, SERVER};

/// Set in the program that runs at the phones' end, to the namespace at the other.
const INSIDE: &str = "ANTIPHON_BENCH_CABLE";

/// Runs this program again with a cable, at the phones' end. `None`: this is it.
pub fn run_again() -> Option<io::Result<ExitStatus>> {
    std::env::var_os(INSIDE).is_none().then(lay_and_run)
}

fn lay_and_run() -> io::Result<ExitStatus> {
    let cable = Cable::lay(1)?;
    Command::new("ip")
        .args(["netns", "exec", &cable.phones])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, &cable.server)
        .status()
}

/// The server's address.
pub fn server() -> Ipv4Addr {
    std::env::var_os(INSIDE).map_or(Ipv4Addr::LOCALHOST, |_| SERVER)
}

/// The phones' address.
pub fn phones() -> Ipv4Addr {
    std::env::var_os(INSIDE).map_or(Ipv4Addr::LOCALHOST, |_| PHONES)
}

/// Runs a program at the server's end.
pub fn at_server(program: impl AsRef<OsStr>) -> Command {
    let Some(end) = std::env::var_os(INSIDE) else {
        return Command::new(program);
    };
    // It becomes the program, and is no parent of it.
    let mut command = Command::new("ip");
    command.args(["netns", "exec"]).arg(end).arg(program);
    command
}

/// CPU time of the kernel's threads for packets that nobody's own time is taken for.
pub fn soft_interrupts() -> Duration {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ns = processes.filter_map(|process| {
        let read = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        let run = read("comm")
            .starts_with("ksoftirqd")
            .then(|| read("schedstat"))?;
        run.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(ns.sum())
}
