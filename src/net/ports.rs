//! The RTP port pool: pairs of ports, bound when reserved, that rest after use so that a late
//! packet of an ended call does not reach the next. On the control side; time is injected.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::net::media::SocketPair;

/// Hands out [`SocketPair`]s from a range of ports, in turn, from a seeded start.
///
/// ```text
/// Free --reserve--> Used --release--> Resting --rest passed--> Free
///   '--taken by another program--------'
/// ```
#[derive(Debug)]
pub struct PortPool {
    /// The even port of the first pair.
    first: u16,
    addresses: Vec<IpAddr>,
    rest: Duration,
    pairs: Vec<Pair>,
    /// The pair to try next.
    next: usize,
}

#[derive(Clone, Copy, Debug)]
enum Pair {
    Free,
    Used,
    Resting { until: Instant },
}

/// Why no pair could be reserved.
#[derive(Debug, Error)]
pub enum PoolError {
    /// All pairs are in use, resting, or taken by other programs.
    #[error("all {capacity} RTP port pairs are in use or resting: widen the RTP port range")]
    Exhausted {
        /// Pairs in the range.
        capacity: usize,
    },
    /// The pool has no local address of the family asked for.
    #[error("no local RTP address of the family of {0} is configured")]
    NoAddress(IpAddr),
    /// The system refused a socket for another reason than a port in use.
    #[error("cannot bind RTP to {address}: {error}")]
    Bind {
        /// What was to be bound.
        address: SocketAddr,
        /// Why it was not.
        #[source]
        error: io::Error,
    },
}

impl PortPool {
    /// A pool over the whole pairs (even port and the next) within `ports`. `addresses` are the
    /// local addresses to bind to, wildcards allowed; `rest` is how long a released pair stays
    /// unused; `seed` picks where in the range to start, so that a restarted server does not begin
    /// with the ports of the calls it has lost.
    pub fn new(
        ports: RangeInclusive<u16>,
        addresses: Vec<IpAddr>,
        rest: Duration,
        seed: u64,
    ) -> Self {
        // Port 0 would bind to any: the first usable pair is 2 and 3.
        let first = u32::from(*ports.start()).next_multiple_of(2).max(2);
        let end = u32::from(*ports.end()) + 1;
        let count = (end.saturating_sub(first) / 2) as usize;
        Self {
            first: first as u16,
            addresses,
            rest,
            pairs: vec![Pair::Free; count],
            next: (seed % count.max(1) as u64) as usize,
        }
    }

    /// Pairs in the range: the most calls that it can carry at once.
    pub fn capacity(&self) -> usize {
        self.pairs.len()
    }

    /// Binds a free pair for a leg whose address is `local`: to this address if the pool has it or
    /// the wildcard of its family, else to its first address of that family.
    pub fn reserve(&mut self, local: IpAddr, now: Instant) -> Result<SocketPair, PoolError> {
        let address = self.address_for(local).ok_or(PoolError::NoAddress(local))?;
        for _ in 0..self.pairs.len() {
            let index = self.next;
            self.next = (index + 1) % self.pairs.len();
            if !self.pairs[index].is_free(now) {
                continue;
            }
            let port = self.first + 2 * index as u16;
            let bound = match SocketPair::bind(address, port) {
                // Told an address that is not here after all: any will do.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrNotAvailable
                        && let Some(any) = self.wildcard(local) =>
                {
                    SocketPair::bind(any, port)
                }
                bound => bound,
            };
            match bound {
                Ok(pair) => {
                    self.pairs[index] = Pair::Used;
                    return Ok(pair);
                }
                // Another program's: not worth a try again until a rest has passed.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.pairs[index] = Pair::Resting {
                        until: now + self.rest,
                    };
                }
                Err(error) => {
                    let address = SocketAddr::new(address, port);
                    return Err(PoolError::Bind { address, error });
                }
            }
        }
        Err(PoolError::Exhausted {
            capacity: self.capacity(),
        })
    }

    /// Closes a pair and lets its ports rest.
    pub fn release(&mut self, pair: SocketPair, now: Instant) {
        let port = pair.rtp_port;
        drop(pair);
        self.release_port(port, now);
    }

    /// Lets the ports of a pair rest whose sockets were closed elsewhere (by the media side).
    /// Ports that are not in use stay as they are.
    pub fn release_port(&mut self, rtp_port: u16, now: Instant) {
        let index = usize::from(rtp_port.wrapping_sub(self.first) / 2);
        if let Some(pair @ Pair::Used) = self.pairs.get_mut(index) {
            *pair = Pair::Resting {
                until: now + self.rest,
            };
        }
    }

    fn address_for(&self, local: IpAddr) -> Option<IpAddr> {
        let family = || {
            self.addresses
                .iter()
                .filter(|address| address.is_ipv4() == local.is_ipv4())
        };
        family()
            .find(|address| **address == local)
            .copied()
            // RTP leaves from the address that our description states.
            .or_else(|| self.wildcard(local).map(|_| local))
            .or_else(|| family().next().copied())
    }

    /// The wildcard of the family of `local`, where the pool may bind to all addresses.
    fn wildcard(&self, local: IpAddr) -> Option<IpAddr> {
        let same = |address: &&IpAddr| address.is_ipv4() == local.is_ipv4();
        self.addresses
            .iter()
            .filter(same)
            .find(|address| address.is_unspecified())
            .copied()
    }
}

impl Pair {
    fn is_free(self, now: Instant) -> bool {
        match self {
            Pair::Free => true,
            Pair::Used => false,
            Pair::Resting { until } => now >= until,
        }
    }
}
