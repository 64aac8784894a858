//! Whom rooms call: finds where that is, by DNS where it is a name.

use std::time::Instant;

use super::core::Core;
use super::files::Done;
use crate::net::resolve::{Resolver, Target};
use crate::sip::transport::Flow;
use crate::sip::uri::Uri;
use crate::switch::{Input, Ways};

impl Core {
    /// Looks for the places where a URI leads.
    pub(super) fn resolve(&self, dial: u64, uri: String) {
        let done = self.done.clone();
        tokio::spawn(async move {
            let targets = match uri.parse::<Uri>() {
                Ok(parsed) => {
                    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::from_os_rng();
                    let found = Resolver::new(&[]).targets(&parsed, &mut rng).await;
                    found.map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            // Refused only when the core is gone.
            let _ = done.send(Done::Resolved(dial, uri, targets));
        });
    }

    /// They are known: the paths to them.
    pub(super) fn resolved(
        &mut self,
        dial: u64,
        uri: &str,
        targets: Result<Vec<Target>, String>,
        now: Instant,
    ) {
        let ways = targets.and_then(|targets| self.ways(uri, &targets));
        self.switch.handle(Input::Resolved { dial, ways }, now);
        self.carry_out(now);
    }

    fn ways(&self, uri: &str, targets: &[Target]) -> Ways {
        let uri = uri.parse::<Uri>().map_err(|error| error.to_string())?;
        let mut failed = "there is no way to it".to_owned();
        let mut flows: Vec<Flow> = Vec::new();
        for target in targets {
            let (transport, address) = (target.transport, target.address);
            match self.net.flow_to_host(transport, address, &uri.host) {
                Ok(flow) => flows.push(flow),
                Err(error) => failed = format!("no route to {}: {error}", target.address),
            }
        }
        if flows.is_empty() {
            return Err(failed);
        }
        let first = flows.remove(0);
        Ok((first, flows))
    }
}
