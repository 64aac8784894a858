//! Whom rooms call: finds where that is, by DNS where it is a name.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::core::Core;
use super::files::Done;
use crate::net::resolve::{Resolver, Target};
use crate::net::sip::Net;
use crate::sip::transport::Flow;
use crate::sip::uri::Uri;
use crate::switch::{Input, Ways};

impl Core {
    /// What asks for names, with what it has been told so far.
    pub(super) fn resolver(&mut self) -> Resolver {
        let servers = &self.config.sip.dns_servers;
        let resolver = self.resolver.get_or_insert_with(|| Resolver::new(servers));
        resolver.clone()
    }

    /// Looks for the places where a URI leads.
    pub(super) fn resolve(&mut self, dial: u64, uri: String) {
        let (resolver, done) = (self.resolver(), self.done.clone());
        tokio::spawn(async move {
            let targets = match uri.parse::<Uri>() {
                Ok(parsed) => {
                    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::from_os_rng();
                    let found = resolver.targets(&parsed, &mut rng).await;
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
        flows(&self.net, &uri, targets).map_err(|error| error.to_string())
    }
}

/// No place that a called party may be at can be reached: the first, and why not.
#[derive(Debug, thiserror::Error)]
#[error("no route to {0}: {1}")]
pub struct NoRoute(pub SocketAddr, pub io::Error);

/// The paths to the places where a called party may be, the best first. Those that there is no way to are
/// left out.
pub fn flows(net: &Net, uri: &Uri, targets: &[Target]) -> Result<(Flow, Vec<Flow>), NoRoute> {
    let mut found = Vec::new();
    let mut failed = None;
    for target in targets {
        match net.flow_to_host(target.transport, target.address, &uri.host) {
            Ok(flow) => found.push(flow),
            Err(error) => failed = failed.or(Some(NoRoute(target.address, error))),
        }
    }
    if found.is_empty() {
        let nowhere = || NoRoute(([0, 0, 0, 0], 0).into(), io::ErrorKind::NotFound.into());
        return Err(failed.unwrap_or_else(nowhere));
    }
    let first = found.remove(0);
    Ok((first, found))
}
