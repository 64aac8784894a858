//! RTP that waits for the end of its batch: packets of many legs are sent one behind the other.
//!
//! A system call takes the kernel's code through the processor's caches, and the leg's own code out
//! of them. Sixty-four sends in a row (by io_uring in one call), and as many legs' work in a row, are
//! cheaper than each in turn. A packet waits some tens of microseconds for it.

use std::net::SocketAddr;

use crate::net::sys;

/// Packets of a batch.
pub(super) const MOST: usize = sys::RING_PACKETS;
/// Bytes of a batch: 64 packets of G.711, or some large ones. Small, to stay in the first cache.
const ROOM: usize = 16_384;

#[derive(Clone, Copy)]
struct Waiting {
    leg: u32,
    to: Option<SocketAddr>,
    from: usize,
    len: usize,
}

/// Packets that have been made and not sent yet.
pub(super) struct Outbound {
    bytes: Box<[u8]>,
    used: usize,
    packets: Vec<Waiting>,
}

impl Outbound {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; ROOM].into(),
            used: 0,
            packets: Vec::with_capacity(MOST),
        }
    }

    /// Keeps a packet of a leg: for its connected peer, or for `to`. Whether there was room.
    pub fn push(&mut self, leg: u32, to: Option<SocketAddr>, packet: &[u8]) -> bool {
        let from = self.used;
        let end = from + packet.len();
        if self.packets.len() == MOST || end > self.bytes.len() {
            return false;
        }
        self.bytes[from..end].copy_from_slice(packet);
        self.used = end;
        let len = packet.len();
        self.packets.push(Waiting { leg, to, from, len });
        true
    }

    /// All packets in order.
    pub fn packets(&self) -> impl Iterator<Item = (u32, Option<SocketAddr>, &[u8])> {
        self.packets
            .iter()
            .map(|p| (p.leg, p.to, &self.bytes[p.from..p.from + p.len]))
    }

    /// Forgets all packets.
    pub fn clear(&mut self) {
        self.used = 0;
        self.packets.clear();
    }
}
