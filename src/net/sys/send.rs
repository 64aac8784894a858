//! Sending, and the peer that a socket is connected to.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;

use socket2::SockAddr;

use super::{BATCH_PACKETS, check, is_icmp};

/// What became of the packets sent. Loss is the network's normal state: nothing here is an error
/// to the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendCounters {
    /// Packets handed to the kernel.
    pub sent: u64,
    /// Dropped because the socket's buffer was full (EAGAIN, ENOBUFS).
    pub would_block: u64,
    /// ICMP errors of earlier packets, swallowed (nobody listens there yet, or any more).
    pub icmp_errors: u64,
    /// Dropped for any other reason (no route, no permission).
    pub failed: u64,
}

/// Sends one packet without blocking: to `to`, or where the socket is connected to if `None`.
/// Returns whether the kernel took it.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    to: Option<SocketAddr>,
    counters: &mut SendCounters,
) -> bool {
    send_batch(socket, &[bytes], to, counters) == 1
}

/// Sends up to [`BATCH_PACKETS`] packets with one call; the rest, if more are given, with further
/// ones. Returns how many the kernel took.
pub fn send_batch(
    socket: impl AsFd,
    packets: &[&[u8]],
    to: Option<SocketAddr>,
    counters: &mut SendCounters,
) -> usize {
    let fd = socket.as_fd().as_raw_fd();
    let to = to.map(SockAddr::from);
    let mut sent = 0;
    for chunk in packets.chunks(BATCH_PACKETS) {
        sent += if let [packet] = chunk {
            usize::from(send_one(fd, packet, to.as_ref(), counters))
        } else {
            send_chunk(fd, chunk, to.as_ref(), counters)
        };
    }
    counters.sent += sent as u64;
    sent
}

fn send_one(fd: RawFd, packet: &[u8], to: Option<&SockAddr>, counters: &mut SendCounters) -> bool {
    let (name, length) = to.map_or((ptr::null(), 0), |to| (to.as_ptr().cast(), to.len()));
    counters.attempt(|| {
        // SAFETY: packet and name are live for the call with their true lengths; a null name of
        // length 0 means the connected peer.
        let result = unsafe {
            libc::sendto(
                fd,
                packet.as_ptr().cast(),
                packet.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                name,
                length,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    })
}

fn send_chunk(
    fd: RawFd,
    packets: &[&[u8]],
    to: Option<&SockAddr>,
    counters: &mut SendCounters,
) -> usize {
    // SAFETY: both are plain C structures for which all zeroes is a valid value.
    let (mut headers, mut parts): ([libc::mmsghdr; BATCH_PACKETS], [libc::iovec; BATCH_PACKETS]) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    for (i, packet) in packets.iter().enumerate() {
        // Not written to: sendmmsg takes the same structure as recvmmsg.
        parts[i].iov_base = packet.as_ptr().cast_mut().cast();
        parts[i].iov_len = packet.len();
        let header = &mut headers[i].msg_hdr;
        header.msg_iov = &raw mut parts[i];
        header.msg_iovlen = 1;
        if let Some(to) = to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len();
        }
    }
    let mut next = 0;
    let mut sent = 0;
    let mut retried = false;
    while next < packets.len() {
        // SAFETY: headers from `next` on point at packets, parts and a name that live through the
        // call with their true lengths; the count is that of the initialised ones.
        let result = unsafe {
            libc::sendmmsg(
                fd,
                headers[next..].as_mut_ptr(),
                (packets.len() - next) as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        if let Ok(taken) = usize::try_from(result) {
            sent += taken;
            next += taken;
            retried = false;
            continue;
        }
        let again = counters.count(&io::Error::last_os_error());
        if again && !retried {
            retried = true;
        } else {
            // This packet cannot go; the ones behind it may.
            counters.failed += u64::from(again);
            next += 1;
            retried = false;
        }
    }
    sent
}

impl SendCounters {
    /// Sends. A pending ICMP error is reported instead of sending: the second attempt sends. What fails
    /// twice so has no way to go: a missing route has the same error.
    fn attempt(&mut self, mut send: impl FnMut() -> io::Result<()>) -> bool {
        for _ in 0..2 {
            let Err(error) = send() else { return true };
            if !self.count(&error) {
                return false;
            }
        }
        self.failed += 1;
        false
    }

    /// Counts an error; returns whether trying again may help.
    pub(super) fn count(&mut self, error: &io::Error) -> bool {
        if is_icmp(error) {
            self.icmp_errors += 1;
            return true;
        }
        match error.kind() {
            io::ErrorKind::Interrupted => return true,
            io::ErrorKind::WouldBlock => self.would_block += 1,
            _ if error.raw_os_error() == Some(libc::ENOBUFS) => self.would_block += 1,
            _ => self.failed += 1,
        }
        false
    }
}

/// Connects a datagram socket: it sends there, and receives from there only. What was queued from
/// elsewhere before is still delivered. Replaces an earlier connection.
pub fn connect(socket: impl AsFd, to: SocketAddr) -> io::Result<()> {
    let to = SockAddr::from(to);
    // SAFETY: the address is live for the call and its true length is given.
    let result = unsafe { libc::connect(socket.as_fd().as_raw_fd(), to.as_ptr().cast(), to.len()) };
    check(result)
}

/// Undoes [`connect`]: the socket receives from everybody again, on the port it was bound to.
pub fn disconnect(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: sockaddr is plain data for which all zeroes is a valid value.
    let mut nobody: libc::sockaddr = unsafe { mem::zeroed() };
    nobody.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    // SAFETY: `nobody` is live for the call and its true length is given.
    let result = unsafe {
        libc::connect(
            socket.as_fd().as_raw_fd(),
            &raw const nobody,
            mem::size_of::<libc::sockaddr>() as libc::socklen_t,
        )
    };
    check(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_route_has_failed_and_what_was_refused_before_has_not() {
        let error = io::Error::from_raw_os_error;
        let mut counters = SendCounters::default();
        assert!(!counters.attempt(|| Err(error(libc::ENETUNREACH))));
        assert_eq!((counters.failed, counters.icmp_errors), (1, 2));
        let mut pending = Some(error(libc::ECONNREFUSED));
        assert!(counters.attempt(|| pending.take().map_or(Ok(()), Err)));
        assert!(!counters.attempt(|| Err(error(libc::EAGAIN))));
        assert_eq!((counters.failed, counters.would_block), (1, 1));
    }
}
