//! The hosts that are called by name over TLS. A path carries the number of its host; a connection to
//! there is checked for the name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sip::transport::HostId;

/// Hosts that are known. The one that was called longest ago is forgotten: no connection is opened to it
/// until it is called anew.
const MAX_HOSTS: usize = 4096;

/// What is called, by name and by number.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    calls: u64,
    by_name: HashMap<Arc<str>, HostId>,
    by_id: HashMap<HostId, Known>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    /// At which of all calls it was called last.
    called: u64,
}

impl Hosts {
    /// The number of a host that is called now.
    pub(super) fn note(&mut self, host: &str) -> HostId {
        self.calls += 1;
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(&id) = self.by_name.get(name.as_str()) {
            if let Some(known) = self.by_id.get_mut(&id) {
                known.called = self.calls;
            }
            return id;
        }
        if self.by_id.len() >= MAX_HOSTS {
            self.forget_one();
        }
        let id = HostId(self.calls);
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), id);
        let called = self.calls;
        self.by_id.insert(id, Known { name, called });
        id
    }

    /// Its name, unless it is forgotten.
    pub(super) fn name(&self, id: HostId) -> Option<Arc<str>> {
        self.by_id.get(&id).map(|known| Arc::clone(&known.name))
    }

    fn forget_one(&mut self) {
        let oldest = self.by_id.iter().min_by_key(|(_, known)| known.called);
        let oldest = oldest.map(|(&id, _)| id);
        if let Some(known) = oldest.and_then(|id| self.by_id.remove(&id)) {
            self.by_name.remove(&known.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_keeps_its_number_while_it_is_called() {
        let mut hosts = Hosts::default();
        let first = hosts.note("SIP.example.");
        let idle = hosts.note("idle.example");
        for n in 0..2 * MAX_HOSTS {
            hosts.note(&format!("host{n}.example"));
            assert_eq!(hosts.note("sip.example"), first);
        }
        assert_eq!(hosts.name(first).as_deref(), Some("sip.example"));
        assert_eq!(hosts.name(idle), None);
        assert_eq!(hosts.by_id.len(), MAX_HOSTS);
        assert_eq!(hosts.by_name.len(), MAX_HOSTS);
        assert_ne!(
            hosts.note("idle.example"),
            idle,
            "no path of before is for it"
        );
    }
}
