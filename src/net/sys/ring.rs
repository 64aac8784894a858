//! Sending on many sockets with one system call (io_uring).

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::types::Fixed;
use io_uring::{IoUring, opcode};

use super::SendCounters;

/// Packets that are sent with one call at most.
pub const RING_PACKETS: usize = 64;
/// The kernel's own bound on registered files.
const MAX_SOCKETS: usize = 32_768;

/// Connected sockets, each in a place of its own, and a queue of packets to the kernel. All memory is
/// taken at construction.
pub struct SendRing {
    ring: IoUring,
    sockets: usize,
    /// A call has failed as a whole, for want of the kernel's memory perhaps: no packet is sent by it
    /// again.
    broken: bool,
}

impl SendRing {
    /// A ring with places for so many sockets, or for as many as the kernel takes. Fails where the
    /// system has no io_uring (Linux before 5.19) or forbids it, as many containers do.
    pub fn new(sockets: usize) -> io::Result<Self> {
        let sockets = sockets.clamp(1, MAX_SOCKETS);
        let ring = IoUring::builder()
            .setup_submit_all()
            .build(RING_PACKETS as u32)?;
        ring.submitter().register_files_sparse(sockets as u32)?;
        Ok(Self {
            ring,
            sockets,
            broken: false,
        })
    }

    /// Puts a connected socket into a place, in which it is kept open until it is taken out. Returns
    /// whether packets can be sent from there.
    pub fn put(&mut self, place: u32, socket: &UdpSocket) -> bool {
        !self.broken && self.set(place, socket.as_raw_fd())
    }

    /// Takes a socket out of its place.
    pub fn take_out(&mut self, place: u32) {
        self.set(place, -1);
    }

    fn set(&mut self, place: u32, fd: RawFd) -> bool {
        (place as usize) < self.sockets
            && self
                .ring
                .submitter()
                .register_files_update(place, &[fd])
                .is_ok()
    }

    /// Sends up to [`RING_PACKETS`] packets, each from the socket in its place, without blocking.
    /// Returns which ones are worth another attempt, a bit for each (and for some that there are not):
    /// an ICMP error of an earlier one was told instead, or the ring has failed.
    pub fn send<'a>(
        &mut self,
        packets: impl Iterator<Item = (u32, &'a [u8])>,
        counters: &mut SendCounters,
    ) -> u64 {
        if self.broken {
            return u64::MAX;
        }
        let mut count = 0;
        for (place, bytes) in packets.take(RING_PACKETS) {
            let entry = opcode::Send::new(Fixed(place), bytes.as_ptr(), bytes.len() as u32)
                .flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
                .build()
                .user_data(count as u64);
            // SAFETY: the bytes outlive this call, and no operation does: each is over when its
            // completion is there, all of which are awaited below. None can be put off either: with
            // MSG_DONTWAIT the kernel completes it at once, sent or not.
            if unsafe { self.ring.submission().push(&entry) }.is_err() {
                break;
            }
            count += 1;
        }
        // What did not get into the queue.
        let mut again = u64::MAX.checked_shl(count as u32).unwrap_or(0);
        let mut told = 0u64;
        let mut done = 0;
        while done < count {
            match self.ring.submit_and_wait(count - done) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // What is in the queue stays there: nobody enters the ring again.
                    self.broken = true;
                    return again | !told;
                }
            }
            for completion in self.ring.completion() {
                done += 1;
                told |= 1 << completion.user_data();
                if completion.result() >= 0 {
                    counters.sent += 1;
                } else {
                    let error = io::Error::from_raw_os_error(-completion.result());
                    if counters.count(&error) {
                        again |= 1 << completion.user_data();
                    }
                }
            }
        }
        again
    }
}

impl std::fmt::Debug for SendRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendRing")
            .field("sockets", &self.sockets)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
