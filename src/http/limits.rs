//! How many connections there may be, and how often somebody may ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::sip::source::subscriber;

/// Who is remembered for how often it asks; beyond, those who have not asked for a while are
/// forgotten.
const MAX_ASKERS: usize = 10_000;

/// Open connections, in all and per source.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    most_per_source: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    per_source: HashMap<IpAddr, usize>,
}

/// A connection's place; left on drop.
#[derive(Debug)]
pub(super) struct Place {
    source: IpAddr,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(most: usize, most_per_source: usize) -> Self {
        Self {
            most,
            most_per_source,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.lock().all
    }

    /// A place for one from there, if there is any.
    pub(super) fn enter(connections: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let source = subscriber(address);
        let mut open = connections.lock();
        if open.all >= connections.most {
            return None;
        }
        let of_source = open.per_source.entry(source).or_default();
        if *of_source >= connections.most_per_source {
            return None;
        }
        *of_source += 1;
        open.all += 1;
        Some(Place {
            source,
            connections: Arc::clone(connections),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all -= 1;
        if let Some(of_source) = open.per_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                open.per_source.remove(&self.source);
            }
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    /// Somebody with this key.
    Key(Arc<str>),
    /// Somebody there, without one.
    Source(IpAddr),
}

impl Asker {
    pub(super) fn source(address: IpAddr) -> Self {
        Asker::Source(subscriber(address))
    }
}

/// A bucket for each who asks: filled at the rate, two seconds' worth at most.
#[derive(Debug)]
pub(super) struct Rates {
    per_second: f64,
    buckets: Mutex<HashMap<Asker, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn filled(self, per_second: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * per_second).min(per_second * 2.0)
    }
}

impl Rates {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.into(),
            buckets: Mutex::default(),
        }
    }

    /// One more request; refused: after how many seconds there will be room.
    pub(super) fn take(&self, asker: Asker, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_ASKERS && !buckets.contains_key(&asker) {
            let full = self.per_second * 2.0;
            buckets.retain(|_, bucket| bucket.filled(self.per_second, now) < full);
            if buckets.len() >= MAX_ASKERS {
                return Err(1);
            }
        }
        let bucket = buckets.entry(asker).or_insert(Bucket {
            left: self.per_second * 2.0,
            at: now,
        });
        let left = bucket.filled(self.per_second, now);
        let enough = left >= 1.0;
        *bucket = Bucket {
            left: if enough { left - 1.0 } else { left },
            at: now,
        };
        if enough {
            Ok(())
        } else {
            Err(((1.0 - left) / self.per_second).ceil().max(1.0) as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_others_do_not() {
        let rates = Rates::new(10);
        let now = Instant::now();
        let (a, b) = (Asker::Key("a".into()), Asker::Key("b".into()));
        let granted = |who: &Asker, at| {
            let taken = (0..100).filter(|_| rates.take(who.clone(), at).is_ok());
            taken.count()
        };
        assert_eq!(granted(&a, now), 20);
        assert_eq!(rates.take(a.clone(), now), Err(1));
        assert_eq!(granted(&b, now), 20);
        assert_eq!(granted(&a, now + Duration::from_secs(1)), 10);
    }

    #[test]
    fn a_table_of_askers_that_is_full_forgets_the_idle() {
        let rates = Rates::new(1);
        let now = Instant::now();
        let asker = |n: u32| Asker::Source(IpAddr::from(n.to_be_bytes()));
        for n in 0..MAX_ASKERS as u32 {
            assert_eq!(rates.take(asker(n), now), Ok(()));
        }
        assert_eq!(rates.take(asker(u32::MAX), now), Err(1));
        let later = now + Duration::from_secs(10);
        assert_eq!(rates.take(asker(u32::MAX), later), Ok(()));
    }

    #[test]
    fn connections_have_places_in_all_and_per_source() {
        let connections = Arc::new(Connections::new(3, 2));
        let enter = |address: &str| Connections::enter(&connections, address.parse().unwrap());
        let first = enter("192.0.2.1");
        let second = enter("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some());
        assert!(enter("192.0.2.1").is_none());
        let other = enter("2001:db8::1");
        assert!(other.is_some());
        assert!(enter("2001:db8:1::1").is_none());
        drop(first);
        assert!(enter("192.0.2.1").is_some());
        drop((second, other));
        assert_eq!(connections.open(), 0);
    }
}
