//! How many handshakes of TLS and WebSocket are begun: a signature costs as much as many messages, so
//! what is too much is closed before there is any.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::net::sip::Shared;
use crate::sip::source::{Sources, subscriber};

/// Sources whose rate is remembered; the one idle for longest is forgotten first.
const SOURCES: usize = 10_000;

/// The handshakes under way, and how often each source begins one.
#[derive(Debug)]
pub(super) struct Handshakes {
    limit: usize,
    under_way: usize,
    per_source: HashMap<IpAddr, usize>,
    rate: Sources,
}

/// One that is under way; over on drop.
pub(super) struct Handshake {
    source: IpAddr,
    shared: Arc<Shared>,
}

impl Handshakes {
    /// So many at once, half of them from one source; and so many per second from one source (0: no
    /// limit).
    pub(super) fn new(limit: usize, per_second: u32) -> Self {
        Self {
            limit,
            under_way: 0,
            per_source: HashMap::new(),
            rate: Sources::new(per_second, SOURCES),
        }
    }

    /// Whether one more may begin; if so, it is counted. Who is trusted has no limit of its own.
    fn begin(&mut self, source: IpAddr, trusted: bool, now: Instant) -> bool {
        let source = subscriber(source);
        let of_source = self.per_source.get(&source).copied().unwrap_or_default();
        if self.under_way >= self.limit {
            return false;
        }
        let share = self.limit.div_ceil(2);
        if !trusted && (of_source >= share || !self.rate.admit(source, now)) {
            return false;
        }
        self.under_way += 1;
        self.per_source.insert(source, of_source + 1);
        true
    }

    fn end(&mut self, source: IpAddr) {
        let source = subscriber(source);
        self.under_way -= 1;
        if let Some(of_source) = self.per_source.get_mut(&source) {
            *of_source -= 1;
            if *of_source == 0 {
                self.per_source.remove(&source);
            }
        }
    }
}

impl Handshake {
    /// Begins one, unless there are too many.
    pub(super) fn begin(shared: &Arc<Shared>, source: IpAddr) -> Option<Self> {
        let trusted = shared.gate.trusts(source);
        let begun = shared.handshakes().begin(source, trusted, Instant::now());
        begun.then(|| Self {
            source,
            shared: Arc::clone(shared),
        })
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.shared.handshakes().end(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_source_has_half_of_them_and_trusted_ones_all() {
        let mut handshakes = Handshakes::new(5, 0);
        let now = Instant::now();
        let mut begun = |from, trusted| {
            let many = 0..10;
            many.filter(|_| handshakes.begin(ip(from), trusted, now))
                .count()
        };
        assert_eq!(
            [begun(1, false), begun(2, false), begun(3, true)],
            [3, 2, 0]
        );
        handshakes.end(ip(1));
        assert!(handshakes.begin(ip(1), false, now));
        for from in [1, 1, 1, 2, 2] {
            handshakes.end(ip(from));
        }
        assert!(handshakes.per_source.is_empty() && handshakes.under_way == 0);
        assert_eq!(
            (0..10)
                .filter(|_| handshakes.begin(ip(3), true, now))
                .count(),
            5
        );
    }

    #[test]
    fn a_source_begins_so_many_per_second() {
        let mut handshakes = Handshakes::new(1000, 10);
        let mut now = Instant::now();
        let mut begun = |from, trusted| {
            let many = 0..50;
            many.filter(|_| handshakes.begin(ip(from), trusted, now))
                .count()
        };
        assert_eq!(
            [begun(1, false), begun(2, false), begun(3, true)],
            [10, 10, 50]
        );
        now += Duration::from_millis(500);
        let begun = (0..50)
            .filter(|_| handshakes.begin(ip(1), false, now))
            .count();
        assert_eq!(begun, 5);
    }
}
