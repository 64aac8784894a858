//! Whom rooms call: finds where that is, by DNS where it is a name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::core::Core;
use super::files::Done;
use crate::net::resolve::{Resolver, Target};
use crate::net::sip::Net;
use crate::sip::transport::{Flow, Transport};
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
        self.ways_to(&uri, targets)
    }

    /// The paths to where a URI leads.
    pub(super) fn ways_to(&self, uri: &Uri, targets: &[Target]) -> Ways {
        flows(&self.net, uri, targets).map_err(|error| error.to_string())
    }

    /// The path that media takes to where a URI leads.
    pub(super) fn media_path(&self, targets: &[Target]) -> Result<Flow, String> {
        let first = targets.first().ok_or("it leads nowhere")?;
        let flow = media_flow(&self.net, first.address);
        flow.map_err(|error| NoRoute(first.address, error).to_string())
    }
}

/// The path of media to an address. Its sockets are bound where SIP listens, over whatever transport, and
/// have ports of their own.
fn media_flow(net: &Net, remote: SocketAddr) -> io::Result<Flow> {
    let route = net.local_address_for(remote.ip())?;
    let listening = net.listening().into_iter();
    let local = media_address(route, listening.map(|(_, address)| address.ip()));
    Ok(Flow {
        transport: Transport::Udp,
        local: SocketAddr::new(local, 0),
        remote,
        connection: None,
        host: None,
    })
}

/// The address that RTP is bound to where a route leaves from `route`: that one, or else one of its family.
fn media_address(route: IpAddr, listening: impl Iterator<Item = IpAddr>) -> IpAddr {
    let family = listening.filter(|address| address.is_ipv4() == route.is_ipv4());
    let family: Vec<IpAddr> = family.collect();
    let has_route = |address: &IpAddr| *address == route || address.is_unspecified();
    if family.iter().any(has_route) {
        return route;
    }
    // As the pool of ports has it, whose addresses are sorted.
    family.into_iter().min().unwrap_or(route)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_leaves_from_where_rtp_is_bound_whatever_sip_listens_by() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let from = |route: &str, listening: &[&str]| {
            media_address(ip(route), listening.iter().map(|text| ip(text)))
        };
        assert_eq!(from("10.0.0.5", &["10.0.0.1", "10.0.0.5"]), ip("10.0.0.5"));
        assert_eq!(from("10.0.0.5", &["::", "0.0.0.0"]), ip("10.0.0.5"));
        let others = ["10.0.0.9", "fd00::1", "10.0.0.1"];
        assert_eq!(from("127.0.0.1", &others), ip("10.0.0.1"));
        assert_eq!(from("::1", &others), ip("fd00::1"));
        // There is none of that family: the pool says so.
        assert_eq!(from("::1", &["10.0.0.1"]), ip("::1"));
    }
}
