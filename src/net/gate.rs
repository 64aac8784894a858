//! Who is not even read: access lists and bans, asked before anything is parsed.
//!
//! Who is banned is decided by `endpoint`; here it is only remembered until it is over. Locked for an
//! instant by listeners and the control side.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use ipnet::IpNet;

use crate::sip::source::subscriber;
use crate::sip::transport::Transport;

/// Bans that are held. More cannot come from the endpoint, whose table is bounded; should it be,
/// those that are over go, and what does not fit is left to the endpoint, which drops it later.
const MAX_BANS: usize = 1_000_000;

/// Networks that are heard on one transport, or on all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// Where it holds; none: everywhere.
    pub transport: Option<Transport>,
    /// Nobody else is heard; empty: everybody is.
    pub allow: Vec<IpNet>,
    /// Not heard, even where they are allowed.
    pub deny: Vec<IpNet>,
}

/// The access lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLists {
    /// Peers without limits per address.
    pub trusted: Vec<IpNet>,
    /// All that hold for a transport have to let a peer in.
    pub rules: Vec<AccessRule>,
}

/// What listeners ask.
#[derive(Debug, Default)]
pub(super) struct Gate {
    lists: RwLock<AccessLists>,
    /// By address, or IPv6 /64: until when.
    banned: RwLock<HashMap<IpAddr, Instant>>,
}

impl Gate {
    pub(super) fn new(lists: AccessLists) -> Self {
        Self {
            lists: RwLock::new(lists),
            banned: RwLock::default(),
        }
    }

    /// Whether what comes from there is read.
    pub(super) fn admits(&self, transport: Transport, remote: IpAddr) -> bool {
        let remote = remote.to_canonical();
        let has = |networks: &[IpNet]| networks.iter().any(|net| net.contains(&remote));
        let let_in = read(&self.lists).rules.iter().all(|rule| {
            rule.transport.is_some_and(|t| t != transport)
                || (rule.allow.is_empty() || has(&rule.allow)) && !has(&rule.deny)
        });
        // Who was banned may be trusted since.
        let_in && (!self.is_banned(remote) || self.trusts(remote))
    }

    /// Whether a peer is without limits per address.
    pub(super) fn trusts(&self, remote: IpAddr) -> bool {
        let remote = remote.to_canonical();
        read(&self.lists)
            .trusted
            .iter()
            .any(|n| n.contains(&remote))
    }

    pub(super) fn set_lists(&self, lists: AccessLists) {
        *write(&self.lists) = lists;
    }

    pub(super) fn ban(&self, source: IpAddr, until: Instant) {
        let mut banned = write(&self.banned);
        if banned.len() >= MAX_BANS {
            let now = Instant::now();
            banned.retain(|_, until| *until > now);
        }
        if banned.len() < MAX_BANS {
            banned.insert(subscriber(source), until);
        }
    }

    /// In place of all bans that there are.
    pub(super) fn set_bans(&self, bans: impl Iterator<Item = (IpAddr, Instant)>) {
        let bans = bans.map(|(source, until)| (subscriber(source), until));
        *write(&self.banned) = bans.take(MAX_BANS).collect();
    }

    pub(super) fn lift(&self, source: IpAddr) {
        write(&self.banned).remove(&subscriber(source));
    }

    fn is_banned(&self, remote: IpAddr) -> bool {
        let source = subscriber(remote);
        let until = {
            let banned = read(&self.banned);
            if banned.is_empty() {
                return false;
            }
            banned.get(&source).copied()
        };
        match until {
            Some(until) if until > Instant::now() => true,
            Some(_) => {
                self.lift(source);
                false
            }
            None => false,
        }
    }
}

/// A panic while a lock was held leaves what it guards whole: each change is one insertion, removal or
/// assignment.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_list_that_holds_has_to_let_it_in() {
        let gate = Gate::new(AccessLists {
            trusted: networks(&["10.0.0.1/32"]),
            rules: vec![
                AccessRule {
                    transport: None,
                    allow: Vec::new(),
                    deny: networks(&["10.9.0.0/16", "2001:db8::/32"]),
                },
                AccessRule {
                    transport: Some(Transport::Udp),
                    allow: networks(&["10.0.0.0/8"]),
                    deny: networks(&["10.0.7.0/24"]),
                },
            ],
        });
        let (udp, tcp) = (Transport::Udp, Transport::Tcp);
        for (transport, from, heard) in [
            (udp, "10.0.0.1", true),
            (udp, "::ffff:10.0.0.1", true),
            (udp, "10.0.7.1", false),
            (tcp, "10.0.7.1", true),
            (udp, "192.0.2.1", false),
            (tcp, "192.0.2.1", true),
            (tcp, "10.9.0.1", false),
            (udp, "10.9.0.1", false),
            (tcp, "2001:db8::1", false),
        ] {
            assert_eq!(
                gate.admits(transport, ip(from)),
                heard,
                "{transport} {from}"
            );
        }
        assert!(gate.trusts(ip("::ffff:10.0.0.1")));
        assert!(!gate.trusts(ip("10.0.0.2")));
        gate.set_lists(AccessLists::default());
        assert!(gate.admits(tcp, ip("10.9.0.1")));
    }

    #[test]
    fn a_ban_ends_by_time_or_by_hand() {
        let gate = Gate::default();
        let later = Instant::now() + Duration::from_secs(100);
        gate.ban(ip("192.0.2.1"), later);
        gate.ban(ip("2001:db8::1"), later);
        gate.ban(ip("192.0.2.3"), Instant::now());
        assert!(!gate.admits(Transport::Tcp, ip("192.0.2.1")));
        assert!(
            !gate.admits(Transport::Udp, ip("2001:db8::ffff")),
            "its /64"
        );
        assert!(gate.admits(Transport::Udp, ip("192.0.2.2")));
        assert!(gate.admits(Transport::Udp, ip("192.0.2.3")), "over");
        assert_eq!(read(&gate.banned).len(), 2, "what is over goes");
        gate.set_lists(AccessLists {
            trusted: networks(&["2001:db8::5/128"]),
            rules: Vec::new(),
        });
        assert!(
            gate.admits(Transport::Udp, ip("2001:db8::5")),
            "trusted since"
        );
        assert!(!gate.admits(Transport::Udp, ip("2001:db8::6")));
        gate.lift(ip("192.0.2.1"));
        assert!(gate.admits(Transport::Tcp, ip("192.0.2.1")));
        gate.set_bans([(ip("192.0.2.4"), later)].into_iter());
        assert!(
            gate.admits(Transport::Udp, ip("2001:db8::6")),
            "not among them"
        );
        assert!(!gate.admits(Transport::Udp, ip("192.0.2.4")));
    }
}
