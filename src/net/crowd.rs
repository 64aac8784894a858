//! Stream connections of peers without a privilege: how many each source has, and which one goes where
//! there is no room.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::sip::source::{site, subscriber};
use crate::sip::transport::ConnectionId;

/// What a site may have, in shares of one address: who has an IPv6 /56 has 256 networks.
const SITE_SHARES: usize = 4;

/// The connections, by where they come from.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    open: usize,
    by_source: HashMap<IpAddr, usize>,
    by_site: HashMap<IpAddr, Site>,
    /// Sites by how many connections they could give up.
    by_size: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug, Default)]
struct Site {
    open: usize,
    /// Those whose peers have not proven who they are, in the order in which they came.
    unproven: BTreeSet<ConnectionId>,
}

impl Crowd {
    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Whether a source, which has this share, may have one more.
    pub(super) fn admits(&self, source: IpAddr, share: usize) -> bool {
        let of_source = self.by_source.get(&subscriber(source)).copied();
        let of_site = self.open_at(source);
        of_source.unwrap_or_default() < share && of_site < share.saturating_mul(SITE_SHARES)
    }

    /// One more is open.
    pub(super) fn enter(&mut self, source: IpAddr, id: ConnectionId) {
        self.open += 1;
        *self.by_source.entry(subscriber(source)).or_default() += 1;
        self.by_site.entry(site(source)).or_default().open += 1;
        self.change(source, |unproven| {
            unproven.insert(id);
        });
    }

    /// One has ended.
    pub(super) fn leave(&mut self, source: IpAddr, id: ConnectionId) {
        self.spare(source, id);
        self.open -= 1;
        let from = subscriber(source);
        if let Some(open) = self.by_source.get_mut(&from) {
            *open -= 1;
            if *open == 0 {
                self.by_source.remove(&from);
            }
        }
        let from = site(source);
        if let Some(of_site) = self.by_site.get_mut(&from) {
            of_site.open -= 1;
            if of_site.open == 0 {
                self.by_site.remove(&from);
            }
        }
    }

    /// This one is not given up: its peer has proven who it is.
    pub(super) fn spare(&mut self, source: IpAddr, id: ConnectionId) {
        self.change(source, |unproven| {
            unproven.remove(&id);
        });
    }

    /// Which one goes so that a source may have one more: the newest of the site with the most, as long
    /// as that has more than the source's own would have then. Who has been there for long stays.
    pub(super) fn give_up_for(&mut self, source: IpAddr) -> Option<ConnectionId> {
        let &(most, largest) = self.by_size.last()?;
        if most <= self.open_at(source) + 1 {
            return None;
        }
        let id = self.by_site.get(&largest)?.unproven.last().copied()?;
        self.spare(largest, id);
        Some(id)
    }

    fn open_at(&self, source: IpAddr) -> usize {
        self.by_site.get(&site(source)).map_or(0, |site| site.open)
    }

    fn change(&mut self, source: IpAddr, change: impl FnOnce(&mut BTreeSet<ConnectionId>)) {
        let from = site(source);
        let Some(of_site) = self.by_site.get_mut(&from) else {
            return;
        };
        self.by_size.remove(&(of_site.unproven.len(), from));
        change(&mut of_site.unproven);
        if !of_site.unproven.is_empty() {
            self.by_size.insert((of_site.unproven.len(), from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// So many connections of a source, as long as it may have them; their numbers.
    fn enter(crowd: &mut Crowd, source: &str, numbers: std::ops::Range<u64>) -> Vec<ConnectionId> {
        let source = ip(source);
        let mut entered = Vec::new();
        for id in numbers.map(ConnectionId) {
            if crowd.admits(source, 64) {
                crowd.enter(source, id);
                entered.push(id);
            }
        }
        entered
    }

    #[test]
    fn a_site_has_four_shares_however_many_networks_it_has() {
        let mut crowd = Crowd::default();
        let mut entered = 0;
        for network in 0..256 {
            let source = format!("2001:db8:1:{network:x}::1");
            let numbers = network * 100..(network + 1) * 100;
            entered += enter(&mut crowd, &source, numbers).len();
        }
        assert_eq!(entered, 4 * 64);
        for (source, more) in [
            ("2001:db8:1:ffff::1", false),
            ("2001:db8:2::1", true),
            ("192.0.2.1", true),
        ] {
            assert_eq!(crowd.admits(ip(source), 64), more, "{source}");
        }
        assert_eq!(enter(&mut crowd, "192.0.2.1", 30_000..30_100).len(), 64);
        assert!(crowd.admits(ip("192.0.2.2"), 64));
    }

    #[test]
    fn who_has_the_most_gives_up_to_who_has_less() {
        let mut crowd = Crowd::default();
        let many = enter(&mut crowd, "192.0.2.1", 1..6);
        let few = enter(&mut crowd, "2001:db8:1:5::1", 6..8);
        // The oldest has shown a certificate.
        crowd.spare(ip("192.0.2.1"), many[0]);
        let newcomer = ip("198.51.100.1");
        assert_eq!(crowd.give_up_for(ip("192.0.2.1")), None, "nobody has more");
        let given_up: Vec<_> = (0..4).map(|_| crowd.give_up_for(newcomer)).collect();
        // From four and two to one and one, the larger one's turn each time.
        assert_eq!(
            given_up,
            [Some(many[4]), Some(many[3]), Some(few[1]), Some(many[2])]
        );
        assert_eq!(crowd.give_up_for(newcomer), None, "one each");
        for id in many {
            crowd.leave(ip("192.0.2.1"), id);
        }
        for id in few {
            crowd.leave(ip("2001:db8:1:5::1"), id);
        }
        assert_eq!(crowd.open(), 0);
    }

    #[test]
    fn nothing_is_left_of_who_has_gone() {
        let mut crowd = Crowd::default();
        let sources = ["192.0.2.1", "2001:db8:1:5::1", "2001:db8:1:6::1"];
        for (n, source) in (0..).zip(sources) {
            let id = enter(&mut crowd, source, n..n + 1)[0];
            crowd.leave(ip(source), id);
        }
        assert!(crowd.by_source.is_empty() && crowd.by_site.is_empty());
        assert!(crowd.by_size.is_empty());
    }
}
