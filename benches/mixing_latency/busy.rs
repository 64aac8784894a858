//! Others who want the cores: busy loops of normal priority.

use std::io;
use std::os::unix::process::parent_id;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The argument that makes this program a busy loop.
const FLAG: &str = "--spin";

/// A busy loop per core; killed when dropped.
#[derive(Debug)]
pub struct Busy(Vec<Child>);

impl Busy {
    /// Starts this program again, once per core.
    pub fn start() -> io::Result<Busy> {
        let cores = std::thread::available_parallelism()?.get();
        let program = std::env::current_exe()?;
        let mut busy = Busy(Vec::new());
        for _ in 0..cores {
            busy.0.push(Command::new(&program).arg(FLAG).spawn()?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Spins until killed, or until whoever started it is gone.
pub fn spin() {
    let parent = parent_id();
    while parent_id() == parent {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            std::hint::spin_loop();
        }
    }
}
