//! The system calls that `std`, `socket2` and `tokio` do not offer: batched receive with kernel
//! time stamps, batched send, absolute sleep, real-time scheduling. All of the project's `unsafe`
//! is here. Nothing in it allocates, locks or logs once a [`Batch`] exists.
//!
//! rx and tx are the server's.

#![allow(
    unsafe_code,
    reason = "system calls without a safe wrapper that neither allocates nor locks"
)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use socket2::SockAddr;

use crate::audio::MediaTime;

pub use crate::net::clock::{ClockMap, WallStamp};

/// Packets that one call receives or sends at most.
pub const BATCH_PACKETS: usize = 32;
/// Bytes of a receive buffer: above any RTP packet on an Ethernet path; longer ones are dropped.
pub const PACKET_BYTES: usize = 2048;
/// Headers prepared for the first call of a receive: a leg has one to three packets waiting per
/// tick, and preparing all 32 would cost more than the packets.
const FIRST_PACKETS: usize = 4;
/// Pending ICMP errors that one receive steps over before it gives up until the next tick.
const MAX_SOFT_ERRORS: u32 = 4;

// ---------------------------------------------------------------------------------------------
// Clocks

/// Now, since the process-wide media epoch: the first call of this function. Monotonic.
pub fn monotonic_now() -> MediaTime {
    MediaTime::from_micros((media_ns() / 1000) as u64)
}

/// CPU time that the calling thread has used.
pub fn thread_cpu_time() -> Duration {
    Duration::from_nanos(clock_ns(libc::CLOCK_THREAD_CPUTIME_ID) as u64)
}

/// Sleeps until `deadline` by absolute time, so that being late once does not shift what follows.
/// Returns at once when it has passed.
pub fn sleep_until(deadline: MediaTime) {
    let ns = epoch_ns() + (deadline.as_micros() as i64).saturating_mul(1000);
    let time = libc::timespec {
        tv_sec: ns / 1_000_000_000,
        tv_nsec: ns % 1_000_000_000,
    };
    loop {
        // SAFETY: `time` is a valid timespec that outlives the call; a null remainder is allowed.
        let error = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const time,
                ptr::null_mut(),
            )
        };
        if error != libc::EINTR {
            return;
        }
    }
}

/// Since the media epoch, nanoseconds.
pub(super) fn media_ns() -> i64 {
    // The epoch first: taken after the reading, the first time would be before it.
    let epoch = epoch_ns();
    clock_ns(libc::CLOCK_MONOTONIC) - epoch
}

/// CLOCK_REALTIME, nanoseconds since 1970.
pub(super) fn wall_ns() -> i64 {
    clock_ns(libc::CLOCK_REALTIME)
}

fn epoch_ns() -> i64 {
    static EPOCH: OnceLock<i64> = OnceLock::new();
    *EPOCH.get_or_init(|| clock_ns(libc::CLOCK_MONOTONIC))
}

fn clock_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid, writable timespec; the clocks in use exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

// ---------------------------------------------------------------------------------------------
// The process and the thread

/// Gives the calling thread the real-time class SCHED_FIFO at `priority` (1 to 99). Fails with
/// `PermissionDenied` without CAP_SYS_NICE or an RLIMIT_RTPRIO; the thread then runs on as before.
pub fn set_fifo(priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    // SAFETY: `parameters` is a valid sched_param; process id 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    check(result)
}

/// Raises the soft limit on open descriptors to the hard one; returns the limit now in force.
pub fn raise_nofile() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid, writable rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit {
            rlim_cur: limit.rlim_max,
            ..limit
        };
        // SAFETY: `raised` is a valid rlimit that outlives the call.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) })?;
        limit = raised;
    }
    Ok(limit.rlim_cur)
}

/// Bytes that an unprivileged process may still write to the file system of `path`.
pub fn free_bytes(path: &std::path::Path) -> io::Result<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: statvfs is plain data for which all zeroes is a valid value.
    let mut stat: libc::statvfs = unsafe { mem::zeroed() };
    // SAFETY: `path` is a C string and `stat` a writable statvfs, both live for the call.
    check(unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) })?;
    Ok(stat.f_bavail * stat.f_frsize)
}

// ---------------------------------------------------------------------------------------------
// Receiving

/// What a [`Batch`] met besides packets, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// Packets longer than [`PACKET_BYTES`], dropped.
    pub truncated: u64,
    /// ICMP errors of earlier sends (port unreachable and the like), stepped over.
    pub icmp_errors: u64,
    /// Other failures of the call.
    pub failed: u64,
}

/// Room for one batched receive. Allocated once per media thread, used for each of its sockets.
pub struct Batch {
    buffers: Box<[[u8; PACKET_BYTES]]>,
    /// The longest address that a UDP socket reports; an IPv4 one fits in.
    names: Box<[libc::sockaddr_in6]>,
    controls: Box<[Control]>,
    packets: Box<[Slot]>,
    /// How many of `packets` the last receive filled.
    count: usize,
    counters: ReceiveCounters,
}

/// A received packet, borrowed from its [`Batch`].
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The datagram.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// When the kernel got it; `None` on a socket without [`enable_timestamps`].
    pub stamp: Option<WallStamp>,
}

#[derive(Clone, Copy)]
struct Slot {
    buffer: usize,
    length: usize,
    from: SocketAddr,
    stamp: Option<WallStamp>,
}

/// Ancillary data of one packet: room for the time stamp (32 bytes) and as much again.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 64]);

impl Batch {
    /// Allocates room for [`BATCH_PACKETS`] packets (about 70 KiB).
    pub fn new() -> Self {
        // SAFETY: sockaddr_in6 is plain data for which all zeroes is a valid value.
        let name: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        let slot = Slot {
            buffer: 0,
            length: 0,
            from: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            stamp: None,
        };
        Self {
            buffers: vec![[0; PACKET_BYTES]; BATCH_PACKETS].into_boxed_slice(),
            names: vec![name; BATCH_PACKETS].into_boxed_slice(),
            controls: vec![Control([0; 64]); BATCH_PACKETS].into_boxed_slice(),
            packets: vec![slot; BATCH_PACKETS].into_boxed_slice(),
            count: 0,
            counters: ReceiveCounters::default(),
        }
    }

    /// The packets of the last [`recv_batch`], in order of arrival.
    pub fn packets(&self) -> impl Iterator<Item = Received<'_>> {
        self.packets[..self.count].iter().map(|slot| Received {
            bytes: &self.buffers[slot.buffer][..slot.length],
            from: slot.from,
            stamp: slot.stamp,
        })
    }

    /// What was met besides packets.
    pub const fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    /// One recvmmsg into the buffers from `first` up to `end`. Returns how many it filled.
    fn fill(&mut self, fd: RawFd, first: usize, end: usize) -> io::Result<usize> {
        // SAFETY: both are plain C structures for which all zeroes is a valid value.
        let (mut headers, mut parts): (
            [libc::mmsghdr; BATCH_PACKETS],
            [libc::iovec; BATCH_PACKETS],
        ) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let room = end - first;
        for i in 0..room {
            parts[i].iov_base = self.buffers[first + i].as_mut_ptr().cast();
            parts[i].iov_len = PACKET_BYTES;
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut self.names[first + i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = &raw mut parts[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[first + i].0.as_mut_ptr().cast();
            header.msg_controllen = mem::size_of::<Control>() as _;
        }
        // SAFETY: the first `room` headers point at buffers, names, controls and parts that live
        // through the call, each with its true length, and nothing else touches them meanwhile.
        let received = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                room as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(received).enumerate() {
            self.admit(first + i, header);
        }
        Ok(received)
    }

    /// Enters the packet of one buffer into the list, unless it was cut off.
    fn admit(&mut self, buffer: usize, header: &libc::mmsghdr) {
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            self.counters.truncated += 1;
            return;
        }
        let Some(from) = address(&self.names[buffer]) else {
            self.counters.failed += 1;
            return;
        };
        self.packets[self.count] = Slot {
            buffer,
            length: (header.msg_len as usize).min(PACKET_BYTES),
            from,
            stamp: stamp(&header.msg_hdr),
        };
        self.count += 1;
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes what waits on the socket, at most [`BATCH_PACKETS`], without blocking; read it with
/// [`Batch::packets`]. Returns how many there are. Errors are counted in the batch: a media thread
/// can do nothing else about them, and the next packet clears most.
pub fn recv_batch(socket: impl AsFd, batch: &mut Batch) -> usize {
    let fd = socket.as_fd().as_raw_fd();
    batch.count = 0;
    let mut filled = 0;
    let mut soft_errors = 0;
    while filled < BATCH_PACKETS && soft_errors < MAX_SOFT_ERRORS {
        let end = if filled == 0 {
            FIRST_PACKETS
        } else {
            BATCH_PACKETS
        };
        match batch.fill(fd, filled, end) {
            Ok(received) => {
                let all = received == end - filled;
                filled += received;
                if !all {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => soft_errors += 1,
            Err(error) if is_icmp(&error) => {
                batch.counters.icmp_errors += 1;
                soft_errors += 1;
            }
            Err(_) => {
                batch.counters.failed += 1;
                break;
            }
        }
    }
    batch.count
}

/// Has the kernel stamp each packet on arrival (SO_TIMESTAMPNS, CLOCK_REALTIME).
pub fn enable_timestamps(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a live c_int and its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(result)
}

/// The time stamp among the ancillary data.
fn stamp(header: &libc::msghdr) -> Option<WallStamp> {
    // SAFETY: the kernel has filled `header`, whose control buffer is alive and as long as it
    // says; the macros stay within it.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: not null, hence a whole cmsghdr within the control buffer.
        let kind = unsafe { ((*message).cmsg_level, (*message).cmsg_type) };
        if kind == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            // SAFETY: a message of this type carries one timespec; read unaligned, since the
            // alignment of its data is the kernel's affair.
            let time: libc::timespec =
                unsafe { ptr::read_unaligned(libc::CMSG_DATA(message).cast()) };
            return Some(WallStamp(time.tv_sec * 1_000_000_000 + time.tv_nsec));
        }
        // SAFETY: `message` came from the same header.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

fn address(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET6 => Some(SocketAddr::V6(SocketAddrV6::new(
            Ipv6Addr::from(name.sin6_addr.s6_addr),
            u16::from_be(name.sin6_port),
            u32::from_be(name.sin6_flowinfo),
            name.sin6_scope_id,
        ))),
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a sockaddr_in, which is shorter than
            // and aligned like a sockaddr_in6.
            let name: libc::sockaddr_in =
                unsafe { ptr::read((&raw const *name).cast::<libc::sockaddr_in>()) };
            Some(SocketAddr::V4(SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)),
                u16::from_be(name.sin_port),
            )))
        }
        _ => None,
    }
}

// ---------------------------------------------------------------------------------------------
// Sending

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
    // A pending ICMP error is reported instead of sending: the second attempt sends.
    for _ in 0..2 {
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
        if result >= 0 {
            return true;
        }
        if !counters.count(&io::Error::last_os_error()) {
            return false;
        }
    }
    false
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
        } else if counters.count(&io::Error::last_os_error()) && !retried {
            retried = true;
        } else {
            // This packet cannot go; the ones behind it may.
            next += 1;
            retried = false;
        }
    }
    sent
}

impl SendCounters {
    /// Counts an error; returns whether trying again may help.
    fn count(&mut self, error: &io::Error) -> bool {
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

/// Whether an error is an ICMP answer to an earlier packet that the socket held ready.
fn is_icmp(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENOPROTOOPT
                | libc::EPROTO
        )
    )
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

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_forward_and_sleeps_to_the_deadline() {
        let start = monotonic_now();
        let deadline = start + Duration::from_millis(3);
        sleep_until(deadline);
        assert!(monotonic_now() >= deadline);
        sleep_until(start); // in the past: at once
        assert!(thread_cpu_time() > Duration::ZERO);
    }

    #[test]
    fn the_descriptor_limit_is_raised_to_the_hard_one() {
        let limit = raise_nofile().unwrap();
        assert_eq!(raise_nofile().unwrap(), limit);
        assert!(limit > 0);
    }
}
