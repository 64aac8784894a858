//! The simulated network: every datagram is lost, doubled or delayed by its own draw of one seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How a network treats datagrams. Unequal delays are what reorders them.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Chance that one is lost.
    pub loss: f64,
    /// Chance that one comes twice.
    pub duplicate: f64,
    /// Shortest and longest delay, us.
    pub delay_us: (u64, u64),
}

impl Faults {
    /// Everything arrives, 1 ms later.
    pub const NONE: Faults = Faults {
        loss: 0.0,
        duplicate: 0.0,
        delay_us: (1000, 1000),
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Sip,
    Media,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Datagram {
    /// Arrival, us.
    pub at: u64,
    order: u64,
    pub kind: Kind,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

pub struct Network {
    on_the_way: BinaryHeap<Reverse<Datagram>>,
    order: u64,
    rng: StdRng,
    pub sip: Faults,
    pub media: Faults,
}

impl Network {
    pub fn new(seed: u64, sip: Faults, media: Faults) -> Self {
        Self {
            on_the_way: BinaryHeap::new(),
            order: 0,
            rng: StdRng::seed_from_u64(seed ^ 0x006e_6574),
            sip,
            media,
        }
    }

    pub fn send(&mut self, kind: Kind, now: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let faults = match kind {
            Kind::Sip => self.sip,
            Kind::Media => self.media,
        };
        let copies = if self.rng.random_bool(faults.loss) {
            0
        } else {
            1 + u32::from(self.rng.random_bool(faults.duplicate))
        };
        for _ in 0..copies {
            let (shortest, longest) = faults.delay_us;
            self.order += 1;
            self.on_the_way.push(Reverse(Datagram {
                at: now + self.rng.random_range(shortest..=longest),
                order: self.order,
                kind,
                from,
                to,
                bytes: bytes.to_vec(),
            }));
        }
    }

    pub fn next_at(&self) -> Option<u64> {
        self.on_the_way.peek().map(|d| d.0.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn arrived(&mut self, now: u64) -> Option<Datagram> {
        if self.next_at()? > now {
            return None;
        }
        self.on_the_way.pop().map(|d| d.0)
    }
}
