//! Receiving: datagrams with their source and the kernel's time of arrival.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;

use super::{BATCH_PACKETS, PACKET_BYTES, WallStamp, check, is_icmp};

/// Pending ICMP errors that one read steps over before it gives up until the next tick.
const MAX_SOFT_ERRORS: u32 = 4;

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
    buffers: Box<[Buffer]>,
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

/// Room for a packet. The line behind it keeps the begins of all packets from falling into the same
/// few sets of the processor's first cache.
#[derive(Clone, Copy)]
#[repr(C)]
struct Buffer {
    packet: [u8; PACKET_BYTES],
    apart: [u8; 64],
}

#[derive(Clone, Copy)]
struct Slot {
    length: usize,
    from: SocketAddr,
    stamp: Option<WallStamp>,
}

/// Ancillary data of one packet: room for the time stamp (32 bytes) and as much again.
#[repr(C, align(8))]
struct Control([u8; 64]);

impl Batch {
    /// Allocates room for [`BATCH_PACKETS`] packets (about 70 KiB).
    pub fn new() -> Self {
        let slot = Slot {
            length: 0,
            from: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            stamp: None,
        };
        let buffer = Buffer {
            packet: [0; PACKET_BYTES],
            apart: [0; 64],
        };
        Self {
            buffers: vec![buffer; BATCH_PACKETS].into_boxed_slice(),
            packets: vec![slot; BATCH_PACKETS].into_boxed_slice(),
            count: 0,
            counters: ReceiveCounters::default(),
        }
    }

    /// The packets of the last [`recv_batch`] or [`recv_one`], in order of arrival, or all that
    /// [`recv_more`] has added.
    pub fn packets(&self) -> impl Iterator<Item = Received<'_>> {
        (0..self.count).filter_map(|n| self.packet(n))
    }

    /// One of them.
    pub fn packet(&self, n: usize) -> Option<Received<'_>> {
        let slot = self.packets[..self.count].get(n)?;
        Some(Received {
            bytes: &self.buffers[n].packet[..slot.length],
            from: slot.from,
            stamp: slot.stamp,
        })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// What was met besides packets.
    pub const fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    /// Reads a packet into the next buffer and enters it, unless it was cut off: as from `peer`, or
    /// from where the kernel says.
    fn fill(&mut self, fd: RawFd, peer: Option<SocketAddr>) -> io::Result<()> {
        let buffer = &mut self.buffers[self.count].packet;
        let mut name = MaybeUninit::<libc::sockaddr_in6>::uninit();
        let mut control = MaybeUninit::<Control>::uninit();
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: PACKET_BYTES,
        };
        // SAFETY: msghdr is plain data for which all zeroes is a valid value.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        if peer.is_none() {
            header.msg_name = name.as_mut_ptr().cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        }
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = mem::size_of::<Control>() as _;
        // SAFETY: the header points at a buffer, a name, control room and a part that live through
        // the call, each with its true length, and nothing else touches them meanwhile.
        let length = unsafe { libc::recvmsg(fd, &raw mut header, libc::MSG_DONTWAIT) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        if header.msg_flags & libc::MSG_TRUNC != 0 {
            self.counters.truncated += 1;
            return Ok(());
        }
        // SAFETY: the kernel has written as much of `name` as it says, and the family with it.
        let from = peer.or_else(|| unsafe { address(name.as_ptr(), header.msg_namelen) });
        let Some(from) = from else {
            self.counters.failed += 1;
            return Ok(());
        };
        self.packets[self.count] = Slot {
            length: length.min(PACKET_BYTES),
            from,
            stamp: stamp(&header),
        };
        self.count += 1;
        Ok(())
    }
}

impl Batch {
    /// One packet, past pending errors. Returns whether there was one.
    fn read(&mut self, fd: RawFd, peer: Option<SocketAddr>) -> bool {
        for _ in 0..=MAX_SOFT_ERRORS {
            match self.fill(fd, peer) {
                Ok(()) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_icmp(&error) => self.counters.icmp_errors += 1,
                Err(_) => {
                    self.counters.failed += 1;
                    return false;
                }
            }
        }
        false
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
    // Cut-off packets fill no buffer; they must not keep the thread here for ever.
    for _ in 0..BATCH_PACKETS {
        if !batch.read(fd, None) {
            break;
        }
    }
    batch.count
}

/// Takes one packet without asking whether there are more, which would be a call that fails most
/// of the time. With `peer`, the one that the socket is connected to, the kernel is not asked for
/// the source. Returns whether there was a packet; it may have been dropped as too long.
pub fn recv_one(socket: impl AsFd, batch: &mut Batch, peer: Option<SocketAddr>) -> bool {
    batch.clear();
    recv_more(socket, batch, peer)
}

/// The same behind the packets that are in the batch already, of other sockets perhaps. `false`
/// also where no room is left.
pub fn recv_more(socket: impl AsFd, batch: &mut Batch, peer: Option<SocketAddr>) -> bool {
    batch.count < BATCH_PACKETS && batch.read(socket.as_fd().as_raw_fd(), peer)
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

/// The address of which the kernel has written `length` bytes at `name`.
///
/// # Safety
///
/// `name` points at room for a sockaddr_in6, the first `length` bytes of which are initialised and
/// hold an address of the family that they begin with.
unsafe fn address(name: *const libc::sockaddr_in6, length: libc::socklen_t) -> Option<SocketAddr> {
    let length = length as usize;
    if length < mem::size_of::<libc::sockaddr_in>() {
        return None;
    }
    // SAFETY: both are in the first 16 bytes, which are initialised; a sockaddr_in is shorter than
    // and aligned like a sockaddr_in6.
    let v4 = unsafe { ptr::read(name.cast::<libc::sockaddr_in>()) };
    match libc::c_int::from(v4.sin_family) {
        libc::AF_INET => Some(SocketAddr::V4(SocketAddrV4::new(
            Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)),
            u16::from_be(v4.sin_port),
        ))),
        libc::AF_INET6 if length >= mem::size_of::<libc::sockaddr_in6>() => {
            // SAFETY: the length says that all of it is initialised.
            let v6 = unsafe { ptr::read(name) };
            Some(SocketAddr::V6(SocketAddrV6::new(
                Ipv6Addr::from(v6.sin6_addr.s6_addr),
                u16::from_be(v6.sin6_port),
                u32::from_be(v6.sin6_flowinfo),
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}
