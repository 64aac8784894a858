//! How media threads wake the control side: one small datagram over a pair of local sockets, and
//! none while an earlier one has not been heard. So nobody has to look every few milliseconds
//! whether something was told, and a media thread spends one system call where much is told.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rings at the other end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bell(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    line: UnixDatagram,
    /// Since when it was last heard.
    rung: AtomicBool,
}

impl Bell {
    /// A bell, and the end of its line that becomes readable when it rings. Both are non-blocking.
    pub fn new() -> io::Result<(Bell, UnixDatagram)> {
        let (line, far_end) = UnixDatagram::pair()?;
        line.set_nonblocking(true)?;
        far_end.set_nonblocking(true)?;
        let rung = AtomicBool::new(false);
        Ok((Bell(Arc::new(Inner { line, rung })), far_end))
    }

    /// Rings, unless it has rung already and was not heard yet. To be called after the thing to be
    /// told has been put where the hearer looks for it. Never blocks.
    pub fn ring(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // The line has room: there is at most one datagram on it. Where nobody is left to
            // hear, nothing is lost.
            let _ = self.0.line.send(&[0]);
        }
    }

    /// To be called by the hearer once it has read the line, and before it looks.
    pub fn heard(&self) {
        self.0.rung.swap(false, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_once_until_it_is_heard() {
        let (bell, line) = Bell::new().unwrap();
        let rings = || std::iter::from_fn(|| line.recv(&mut [0]).ok()).count();
        assert_eq!(rings(), 0);
        bell.ring();
        bell.clone().ring();
        assert_eq!(rings(), 1);
        bell.ring();
        assert_eq!(rings(), 0, "not heard yet");
        bell.heard();
        bell.ring();
        assert_eq!(rings(), 1);
    }
}
