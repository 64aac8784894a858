//! AF_XDP sockets and the rings between them and the kernel (Documentation/networking/af_xdp.rst).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{xdp_desc, xdp_mmap_offsets, xdp_ring_offset, xdp_umem_reg_v1 as xdp_umem_reg};

use super::super::check;
use super::memory::{Area, Mapping};

/// Since Linux 6.17: how many frames one call may send; 32 without.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
const BUDGET: u32 = 256;
/// Bytes: some thousand frames on their way.
const SEND_BUFFER: libc::c_int = 8 << 20;

/// A socket that is not bound yet.
pub(super) struct Socket {
    fd: OwnedFd,
    received: u32,
    unsent: u32,
}

/// The two rings of a socket.
pub(super) struct SocketRings {
    pub rx: Descriptors,
    pub tx: Descriptors,
}

impl Socket {
    /// A socket with rings of so many places.
    pub fn new(received: u32, unsent: u32) -> io::Result<Self> {
        // SAFETY: a new descriptor, which nobody else owns.
        let fd = unsafe {
            let fd = libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            check(fd)?;
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self {
            fd,
            received,
            unsent,
        })
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        // SAFETY: the value is live for the call and its true length is given.
        check(unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        })
    }

    /// Tells the kernel of the memory, once.
    pub fn register(&self, area: &Area, frame: usize) -> io::Result<()> {
        self.set(
            libc::SOL_XDP,
            libc::XDP_UMEM_REG,
            &xdp_umem_reg {
                addr: area.start() as u64,
                len: area.len() as u64,
                chunk_size: frame as u32,
                headroom: 0,
            },
        )
    }

    fn offsets(&self) -> io::Result<xdp_mmap_offsets> {
        let none = xdp_ring_offset {
            producer: 0,
            consumer: 0,
            desc: 0,
            flags: 0,
        };
        let mut offsets = xdp_mmap_offsets {
            rx: none,
            tx: none,
            fr: none,
            cr: none,
        };
        let mut len = size_of::<xdp_mmap_offsets>() as libc::socklen_t;
        // SAFETY: room for what is asked for, with its true length.
        check(unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_XDP,
                libc::XDP_MMAP_OFFSETS,
                (&raw mut offsets).cast(),
                &raw mut len,
            )
        })?;
        Ok(offsets)
    }

    /// The rings that all sockets of a queue share, with so many places: for frames to be filled, and for such
    /// as have been sent.
    pub fn shared_rings(&self, fill: u32, sent: u32) -> io::Result<(Numbers, Numbers)> {
        self.set(libc::SOL_XDP, libc::XDP_UMEM_FILL_RING, &fill)?;
        self.set(libc::SOL_XDP, libc::XDP_UMEM_COMPLETION_RING, &sent)?;
        let offsets = self.offsets()?;
        let ring = |at: &xdp_ring_offset, page, size| {
            Ring::new::<u64>(self.fd.as_raw_fd(), at, page, size).map(Numbers)
        };
        Ok((
            ring(
                &offsets.fr,
                libc::XDP_UMEM_PGOFF_FILL_RING as libc::off_t,
                fill,
            )?,
            ring(
                &offsets.cr,
                libc::XDP_UMEM_PGOFF_COMPLETION_RING as libc::off_t,
                sent,
            )?,
        ))
    }

    /// Its own.
    pub fn rings(&self) -> io::Result<SocketRings> {
        self.set(libc::SOL_XDP, libc::XDP_RX_RING, &self.received)?;
        self.set(libc::SOL_XDP, libc::XDP_TX_RING, &self.unsent)?;
        // Older kernels do without.
        let _ = self.set(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &BUDGET);
        // What a card has not sent yet counts against it, each frame with what the kernel needs beside it.
        let _ = self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SEND_BUFFER);
        let offsets = self.offsets()?;
        let ring = |at: &xdp_ring_offset, page, size| {
            let ring = Ring::new::<xdp_desc>(self.fd.as_raw_fd(), at, page, size)?;
            Ok::<_, io::Error>(Descriptors { ring, next: 0 })
        };
        Ok(SocketRings {
            rx: ring(&offsets.rx, libc::XDP_PGOFF_RX_RING, self.received)?,
            tx: ring(&offsets.tx, libc::XDP_PGOFF_TX_RING, self.unsent)?,
        })
    }

    /// Takes it into use for a queue of an interface; with `first`, in the memory of that socket.
    pub fn bind(&self, interface: u32, queue: u32, first: Option<RawFd>) -> io::Result<()> {
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            // Whoever shares memory shares the way too, and may not say so again.
            sxdp_flags: match first {
                Some(_) => libc::XDP_SHARED_UMEM,
                None => libc::XDP_COPY,
            },
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: first.unwrap_or(0) as u32,
        };
        // SAFETY: the address is live for the call and its true length is given.
        check(unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_xdp>() as libc::socklen_t,
            )
        })
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.fd
    }
}

/// Has the kernel send what is in a ring.
pub(super) fn kick(socket: RawFd) -> io::Result<()> {
    // SAFETY: no memory is handed over.
    let sent = unsafe { libc::sendto(socket, ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
    check(sent.min(0) as libc::c_int)
}

/// A ring: who writes advances `producer`, who reads `consumer`; both count on without end.
struct Ring {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    values: NonNull<u8>,
    mask: u32,
    _mapping: Mapping,
}

// SAFETY: the addresses are of the mapping, which goes along, and of which no other ring has any.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring of `size` values of type `T`.
    fn new<T>(fd: RawFd, at: &xdp_ring_offset, page: libc::off_t, size: u32) -> io::Result<Self> {
        let len = at.desc as usize + size as usize * size_of::<T>();
        let mapping = Mapping::new(len, Some((fd, page)))?;
        Ok(Self {
            producer: mapping.at(at.producer as usize, 1),
            consumer: mapping.at(at.consumer as usize, 1),
            values: mapping.at::<T>(at.desc as usize, size as usize).cast(),
            mask: size - 1,
            _mapping: mapping,
        })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: within the mapping, and only ever used as an atomic, by the kernel too.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    /// The place of a value, of the type that it was made for.
    fn place<T>(&self, n: u32) -> *mut T {
        let n = (n & self.mask) as usize;
        // SAFETY: the ring has room for as many values as the mask says, of this type.
        unsafe { self.values.cast::<T>().add(n).as_ptr() }
    }
}

/// A ring of frames alone, and this end of it.
pub(super) struct Numbers(Ring);

impl Numbers {
    /// Puts as many as there is room for, from the first on. Returns how many.
    pub fn put(&mut self, frames: &[u32]) -> usize {
        let ring = &self.0;
        let producer = ring.producer().load(Ordering::Relaxed);
        let held = producer.wrapping_sub(ring.consumer().load(Ordering::Acquire));
        let count = frames
            .len()
            .min((ring.mask + 1).saturating_sub(held) as usize);
        for (n, &at) in frames[..count].iter().enumerate() {
            // The begin of the frame, wherever the packet lay in it.
            let at = u64::from(at) / super::FRAME_BYTES as u64 * super::FRAME_BYTES as u64;
            // SAFETY: a free place of the ring, which the kernel does not read before it is told to.
            unsafe { ring.place::<u64>(producer.wrapping_add(n as u32)).write(at) };
        }
        let end = producer.wrapping_add(count as u32);
        ring.producer().store(end, Ordering::Release);
        count
    }

    /// Takes all that is there.
    pub fn take(&mut self, mut each: impl FnMut(u32)) {
        let ring = &self.0;
        let consumer = ring.consumer().load(Ordering::Relaxed);
        let end = ring.producer().load(Ordering::Acquire);
        let mut n = consumer;
        while n != end {
            // SAFETY: the kernel has written it, and does not again before it is told to.
            each(unsafe { ring.place::<u64>(n).read() } as u32);
            n = n.wrapping_add(1);
        }
        ring.consumer().store(end, Ordering::Release);
    }
}

/// A ring of frames with their lengths, and this end of it.
pub(super) struct Descriptors {
    ring: Ring,
    next: u32,
}

impl Descriptors {
    /// Takes all that is there: where each packet begins, and its length.
    pub fn take(&mut self, mut each: impl FnMut(u32, u32)) {
        let end = self.ring.producer().load(Ordering::Acquire);
        if self.next == end {
            return;
        }
        while self.next != end {
            // SAFETY: the kernel has written it, and does not again before it is told to.
            let value = unsafe { self.ring.place::<xdp_desc>(self.next).read() };
            each(value.addr as u32, value.len);
            self.next = self.next.wrapping_add(1);
        }
        self.ring.consumer().store(end, Ordering::Release);
    }

    pub fn has_room(&self) -> bool {
        self.next
            .wrapping_sub(self.ring.consumer().load(Ordering::Acquire))
            <= self.ring.mask
    }

    /// Puts a frame, where there is room.
    pub fn put(&mut self, at: u32, len: u32) {
        let value = xdp_desc {
            addr: u64::from(at),
            len,
            options: 0,
        };
        // SAFETY: a free place of the ring, which the kernel does not read before it is told to.
        unsafe { self.ring.place::<xdp_desc>(self.next).write(value) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the kernel what was put.
    pub fn publish(&self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Whether it has taken all of it.
    pub fn is_taken(&self) -> bool {
        self.ring.consumer().load(Ordering::Acquire) == self.next
    }
}
