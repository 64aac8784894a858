//! Who counts as one source, and how often one may come: a token bucket per source, in a bounded
//! table. A source is an IPv4 address or an IPv6 /64, which one subscriber has as a whole.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// How often each source comes.
///
/// The bucket is kept as the instant at which it will be full again (GCRA), so that an entry whose
/// instant has passed says nothing and can go.
#[derive(Debug)]
pub struct Sources {
    /// What one costs of a second; `None`: no limit.
    cost: Option<Duration>,
    capacity: usize,
    full_at: HashMap<IpAddr, Instant>,
    by_time: BTreeSet<(Instant, IpAddr)>,
}

/// The bucket holds one second's worth.
const BURST: Duration = Duration::from_secs(1);

impl Sources {
    /// So often in a second, in bursts of one second's worth; 0: no limit. `capacity` sources are
    /// remembered; at the bound the one idle for longest is forgotten.
    pub fn new(per_second: u32, capacity: usize) -> Self {
        Sources {
            cost: (per_second > 0).then(|| BURST / per_second),
            capacity: capacity.max(1),
            full_at: HashMap::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Whether `source` may come now; if so, it is counted.
    pub fn admit(&mut self, source: IpAddr, now: Instant) -> bool {
        let Some(cost) = self.cost else {
            return true;
        };
        let source = subscriber(source);
        let old = self.full_at.get(&source).copied();
        let full_at = old.map_or(now, |at| at.max(now)) + cost;
        if full_at > now + BURST {
            return false;
        }
        if let Some(old) = old {
            self.by_time.remove(&(old, source));
        }
        self.forget(now);
        self.full_at.insert(source, full_at);
        self.by_time.insert((full_at, source));
        true
    }

    /// Drops up to two entries that say nothing any more, and the idlest one if the table is full.
    fn forget(&mut self, now: Instant) {
        for _ in 0..2 {
            let Some(&(at, source)) = self.by_time.first() else {
                return;
            };
            if at > now && self.by_time.len() < self.capacity {
                return;
            }
            self.by_time.pop_first();
            self.full_at.remove(&source);
        }
    }
}

/// Sources of which something is known for a time, in a bounded table: at the bound the one that would
/// be forgotten first is.
#[derive(Debug)]
pub struct Recent {
    capacity: usize,
    until: HashMap<IpAddr, Instant>,
    by_time: BTreeSet<(Instant, IpAddr)>,
}

impl Recent {
    /// Of so many sources.
    pub fn new(capacity: usize) -> Self {
        Recent {
            capacity: capacity.max(1),
            until: HashMap::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Of another number of sources from now on.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.by_time.len() > self.capacity
            && let Some((_, first)) = self.by_time.pop_first()
        {
            self.until.remove(&first);
        }
    }

    /// Something is known until then.
    pub fn insert(&mut self, source: IpAddr, until: Instant) {
        let source = subscriber(source);
        if let Some(old) = self.until.insert(source, until) {
            self.by_time.remove(&(old, source));
        }
        self.by_time.insert((until, source));
        self.shrink();
    }

    /// Whether something still is.
    pub fn contains(&self, source: IpAddr, now: Instant) -> bool {
        let until = self.until.get(&subscriber(source));
        until.is_some_and(|&until| until > now)
    }
}

/// What counts as one source: an IPv4 address, or an IPv6 /64, which one host commonly has.
pub fn subscriber(source: IpAddr) -> IpAddr {
    network(source, 64)
}

/// What counts as one site: an IPv4 address, or an IPv6 /48, the most that one customer commonly has.
pub fn site(source: IpAddr) -> IpAddr {
    network(source, 48)
}

/// An IPv4 address as it is, of an IPv6 one so many bits.
fn network(source: IpAddr, bits: u32) -> IpAddr {
    let host = u128::BITS - bits;
    match source.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> host << host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + last).into())
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut sources = Sources::new(10, 100);
        let start = Instant::now();
        let burst = (0..50).filter(|_| sources.admit(ip(1), start)).count();
        assert_eq!(burst, 10);
        assert!(sources.admit(ip(2), start), "another source is not touched");
        let mut admitted = 0;
        for ms in 1..=10_000 {
            admitted += u32::from(sources.admit(ip(1), start + Duration::from_millis(ms)));
        }
        assert_eq!(admitted, 100);
    }

    #[test]
    fn zero_is_no_limit() {
        let mut sources = Sources::new(0, 1);
        let now = Instant::now();
        assert!((0..1000).all(|_| sources.admit(ip(1), now)));
    }

    #[test]
    fn the_table_is_bounded_and_empties() {
        let mut sources = Sources::new(10, 100);
        let start = Instant::now();
        for n in 0..10_000 {
            sources.admit(ip(n), start);
            assert!(sources.full_at.len() <= 100);
            assert_eq!(sources.full_at.len(), sources.by_time.len());
        }
        for n in 0..200 {
            sources.admit(ip(n), start + Duration::from_secs(60 + u64::from(n)));
        }
        assert_eq!(sources.full_at.len(), 1);
    }

    #[test]
    fn what_is_known_for_a_time_is_bounded() {
        let mut recent = Recent::new(100);
        let start = Instant::now();
        for n in 0..1000 {
            recent.insert(ip(n), start + BURST * (n + 1));
            recent.insert(ip(n), start + BURST * (n + 2));
            assert!(recent.until.len() <= 100);
            assert_eq!(recent.until.len(), recent.by_time.len());
        }
        assert!(recent.contains(ip(999), start + BURST * 1000));
        assert!(!recent.contains(ip(999), start + BURST * 1001));
        assert!(!recent.contains(ip(5), start), "the first to end has gone");
        recent.set_capacity(10);
        assert_eq!((recent.until.len(), recent.by_time.len()), (10, 10));
        assert!(recent.contains(ip(999), start) && !recent.contains(ip(989), start));
    }

    #[test]
    fn a_v6_subscriber_is_one_source() {
        let mut sources = Sources::new(1, 100);
        let now = Instant::now();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(sources.admit(ip("2001:db8::1"), now));
        assert!(!sources.admit(ip("2001:db8::2"), now));
        assert!(sources.admit(ip("2001:db8:0:1::2"), now));
    }

    #[test]
    fn a_v6_site_is_a_48() {
        let site = |text: &str| site(text.parse().unwrap()).to_string();
        assert_eq!(site("2001:db8:1:ff02::3"), "2001:db8:1::");
        assert_eq!(site("192.0.2.7"), "192.0.2.7");
        assert_eq!(site("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
