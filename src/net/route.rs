//! Which local address the route to a peer leaves from, so that a flow on a wildcard listener
//! still names a concrete one.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Peers remembered; when full of fresh ones, all are forgotten and looked up anew.
const MAX_ENTRIES: usize = 1024;
/// How long an answer holds: routes change seldom, but they do.
const LIFETIME: Duration = Duration::from_secs(30);

/// Remembers the local address of the route to each peer. Time is injected.
#[derive(Debug, Default)]
pub struct RouteCache {
    entries: HashMap<SocketAddr, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    local: IpAddr,
    until: Instant,
}

impl RouteCache {
    /// The local address from which packets to `remote` leave (its port does not matter).
    pub fn local_address_for(&mut self, remote: SocketAddr, now: Instant) -> io::Result<IpAddr> {
        self.get(remote, now, look_up)
    }

    fn get(
        &mut self,
        mut remote: SocketAddr,
        now: Instant,
        look_up: impl FnOnce(SocketAddr) -> io::Result<IpAddr>,
    ) -> io::Result<IpAddr> {
        // Connecting a datagram socket sends nothing, but wants a port: discard (RFC 863).
        remote.set_port(9);
        if let Some(entry) = self.entries.get(&remote)
            && now < entry.until
        {
            return Ok(entry.local);
        }
        let local = look_up(remote)?;
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.retain(|_, entry| now < entry.until);
            if self.entries.len() >= MAX_ENTRIES {
                self.entries.clear();
            }
        }
        let until = now + LIFETIME;
        self.entries.insert(remote, Entry { local, until });
        Ok(local)
    }
}

/// Asks the kernel: a connected datagram socket has the source address of its route.
fn look_up(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn peer(n: u16, port: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        SocketAddr::from(([10, 1, high, low], port))
    }

    #[test]
    fn the_kernel_names_a_concrete_address() {
        let mut cache = RouteCache::default();
        for address in ["127.0.0.1:5060", "[::1]:5060"] {
            let remote: SocketAddr = address.parse().unwrap();
            let local = cache.local_address_for(remote, Instant::now()).unwrap();
            assert_eq!(local, remote.ip());
        }
    }

    #[test]
    fn an_answer_holds_for_its_lifetime_whatever_the_port() {
        let mut cache = RouteCache::default();
        let now = Instant::now();
        assert_eq!(cache.get(peer(1, 5060), now, |_| Ok(HERE)).unwrap(), HERE);
        let almost = now + LIFETIME.saturating_sub(Duration::from_millis(1));
        let held = cache.get(peer(1, 7000), almost, |_| Ok(THERE));
        assert_eq!(held.unwrap(), HERE);
        let over = cache.get(peer(1, 5060), now + LIFETIME, |_| Ok(THERE));
        assert_eq!(over.unwrap(), THERE);
    }

    #[test]
    fn it_stays_bounded_and_keeps_no_failure() {
        let mut cache = RouteCache::default();
        let now = Instant::now();
        for n in 0..5000 {
            cache.get(peer(n, 1), now, |_| Ok(HERE)).unwrap();
            assert!(cache.entries.len() <= MAX_ENTRIES);
        }
        let failed = cache.get(peer(6000, 1), now, |_| Err(io::ErrorKind::NotFound.into()));
        assert!(failed.is_err());
        assert_eq!(cache.get(peer(6000, 1), now, |_| Ok(HERE)).unwrap(), HERE);
    }
}
