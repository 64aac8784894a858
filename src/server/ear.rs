//! Hears the bell of the media threads and of the writer.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;

use tokio::net::UnixDatagram;

use crate::engine::Bell;

/// The hearing end of a [`Bell`].
#[derive(Debug)]
pub(super) struct Ear {
    bell: Bell,
    line: UnixDatagram,
}

impl Ear {
    /// To be called within a tokio runtime.
    pub(super) fn new(bell: Bell, line: StdUnixDatagram) -> io::Result<Self> {
        let line = UnixDatagram::from_std(line)?;
        Ok(Self { bell, line })
    }

    /// Waits until the bell rings. Dropping it while it waits loses no ring.
    pub(super) async fn heard(&self) {
        if self.line.recv(&mut [0]).await.is_err() {
            // A pair of sockets within one process does not fail; the slow look is left.
            pending::<()>().await;
        }
        self.bell.heard();
    }
}
