//! Finds where a SIP URI leads (RFC 3263): asks DNS what `sip::locate` wants to know.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use rand::Rng;
use thiserror::Error;
use tokio::time::timeout;

use crate::sip::locate::{self, Naptr, Plan, Srv, UnknownTransport};
use crate::sip::transport::Transport;
use crate::sip::uri::Uri;

/// How long all questions together may take.
const LIMIT: Duration = Duration::from_secs(15);
/// How long one may take until it is asked again or of another server.
const ASK_TIME: Duration = Duration::from_secs(2);
/// The most places that are tried for a URI; a domain may name thousands.
const MOST: usize = 16;

/// A place to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// Why nothing was found.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// The URI's own fault.
    #[error(transparent)]
    Transport(#[from] UnknownTransport),
    /// No name server, or a bad configuration of the system's.
    #[error("cannot ask DNS: {0}")]
    Setup(String),
    /// The name is not known, or names no address.
    #[error("cannot resolve {name}: {why}")]
    Unknown {
        /// Which.
        name: String,
        /// What DNS said.
        why: String,
    },
}

/// Asks DNS.
#[derive(Clone)]
pub struct Resolver {
    /// Or why there is none: addresses need none.
    dns: Result<TokioResolver, String>,
}

impl Resolver {
    /// With these name servers, or else the system's.
    pub fn new(servers: &[SocketAddr]) -> Resolver {
        Resolver {
            dns: set_up(servers).map_err(|error| error.to_string()),
        }
    }

    /// The places to try for a URI, the best first, each once; never empty.
    pub async fn targets(
        &self,
        uri: &Uri,
        rng: &mut impl Rng,
    ) -> Result<Vec<Target>, ResolveError> {
        let plan = locate::plan(uri)?;
        let unknown = |name: &str, why: &str| ResolveError::Unknown {
            name: name.to_owned(),
            why: why.to_owned(),
        };
        let name = match &plan {
            Plan::Address(transport, ip, port) => {
                let address = SocketAddr::new(*ip, *port);
                return Ok(vec![Target {
                    transport: *transport,
                    address,
                }]);
            }
            Plan::Host(_, name, _) | Plan::Domain { name, .. } => name.clone(),
        };
        let dns = self.dns.clone().map_err(ResolveError::Setup)?;
        let mut targets = Vec::new();
        let dns = Asking(dns);
        let asking = dns.ask(plan, &mut targets, rng);
        let result = timeout(LIMIT, asking).await;
        if !targets.is_empty() {
            return Ok(targets);
        }
        Err(match result {
            Ok(Err(why)) => unknown(&name, &why),
            Ok(Ok(())) => unknown(&name, "it has no address"),
            Err(_) => unknown(&name, "no name server answers"),
        })
    }
}

impl From<TokioResolver> for Resolver {
    /// One that is set up already.
    fn from(dns: TokioResolver) -> Resolver {
        Resolver { dns: Ok(dns) }
    }
}

/// Questions that may be asked.
struct Asking(TokioResolver);

impl Asking {
    async fn ask(
        &self,
        plan: Plan,
        targets: &mut Vec<Target>,
        rng: &mut impl Rng,
    ) -> Result<(), String> {
        let (name, transport, secure) = match plan {
            Plan::Address(..) => return Ok(()),
            Plan::Host(transport, name, port) => {
                return self.add_host(transport, &name, port, targets).await;
            }
            Plan::Domain {
                name,
                transport,
                secure,
            } => (name, transport, secure),
        };
        let mut services = match transport {
            None => locate::by_naptr(self.naptr(&name).await, secure),
            Some(_) => Vec::new(),
        };
        services.truncate(MOST);
        if services.is_empty() {
            services = locate::by_convention(&name, transport, secure);
        }
        for (transport, service) in services {
            for record in locate::in_order(self.srv(&service).await, MOST, rng) {
                // One host without an address does not spoil the others.
                let _ = self
                    .add_host(transport, &record.target, record.port, targets)
                    .await;
            }
        }
        if targets.is_empty() {
            let otherwise = if secure {
                Transport::Tls
            } else {
                Transport::Udp
            };
            let transport = transport.unwrap_or(otherwise);
            return self
                .add_host(transport, &name, transport.default_port(), targets)
                .await;
        }
        Ok(())
    }

    async fn naptr(&self, name: &str) -> Vec<Naptr> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let read = |data: &RData| match data {
            RData::NAPTR(record) => Some(Naptr {
                order: record.order,
                preference: record.preference,
                flags: text(&record.flags),
                service: text(&record.services),
                replacement: record.replacement.to_utf8(),
            }),
            _ => None,
        };
        self.records(name, RecordType::NAPTR, read).await
    }

    async fn srv(&self, name: &str) -> Vec<Srv> {
        let read = |data: &RData| match data {
            RData::SRV(record) => Some(Srv {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                target: record.target.to_utf8(),
            }),
            _ => None,
        };
        self.records(name, RecordType::SRV, read).await
    }

    /// What is found, as much as an answer holds; nothing where there is nothing: what comes next is
    /// tried then.
    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Vec<T> {
        match self.0.lookup(rooted(name), kind).await {
            Ok(found) => found
                .answers()
                .iter()
                .filter_map(|record| read(&record.data))
                .collect(),
            Err(error) => {
                tracing::debug!(name, %kind, %error, "no records");
                Vec::new()
            }
        }
    }

    async fn add_host(
        &self,
        transport: Transport,
        host: &str,
        port: u16,
        targets: &mut Vec<Target>,
    ) -> Result<(), String> {
        // Those of the hosts file are found as well.
        let found = self.0.lookup_ip(whole(host)).await;
        let found = found.map_err(|error| error.to_string())?;
        let mut addresses: Vec<IpAddr> = found.iter().collect();
        // The same order each time, and IPv4 first: it is what phones speak.
        addresses.sort_unstable();
        for ip in addresses {
            let address = SocketAddr::new(ip, port);
            let target = Target { transport, address };
            if targets.len() < MOST && !targets.contains(&target) {
                targets.push(target);
            }
        }
        Ok(())
    }
}

fn set_up(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(|server| name_server(*server)).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    builder.options_mut().timeout = ASK_TIME;
    builder.build()
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connection = |protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    };
    let connections = vec![
        connection(ProtocolConfig::Udp),
        connection(ProtocolConfig::Tcp),
    ];
    NameServerConfig::new(address.ip(), true, connections)
}

/// A host's name. Of one without a dot the system's search list says where it is; all others are whole.
fn whole(host: &str) -> String {
    if host.contains('.') {
        rooted(host)
    } else {
        host.to_owned()
    }
}

/// SIP's names are whole: no search list is gone through for them.
fn rooted(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}
