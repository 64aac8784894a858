//! Where a SIP message came from and where one goes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// A SIP transport protocol (the token of the Via header, RFC 3261 §7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP: unreliable, transactions retransmit.
    Udp,
    /// TCP: reliable, framed by Content-Length.
    Tcp,
    /// TLS over TCP (RFC 3261 §26.2.1).
    Tls,
    /// WebSocket: a message of its own for each of SIP's (RFC 7118).
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Whether retransmission is the transport's job (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// Whether nobody between the two ends of the hop can read it.
    pub const fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// The token in Via, upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The value of a URI's `transport` parameter (RFC 3261 §19.1.1, RFC 7118 §5.4: one for both
    /// kinds of WebSocket).
    pub const fn parameter(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws | Transport::Wss => "ws",
        }
    }

    /// What a URI's `transport` parameter asks for; `secure`: the scheme is `sips`, which asks for
    /// TLS below whatever is named. `None`: not a transport of ours, or one that cannot be secure.
    pub fn named(parameter: &str, secure: bool) -> Option<Transport> {
        let is = |name: &str| parameter.eq_ignore_ascii_case(name);
        match secure {
            false if is("udp") => Some(Transport::Udp),
            false if is("tcp") => Some(Transport::Tcp),
            true if is("tcp") => Some(Transport::Tls),
            _ if is("tls") => Some(Transport::Tls),
            false if is("ws") => Some(Transport::Ws),
            true if is("ws") => Some(Transport::Wss),
            _ if is("wss") => Some(Transport::Wss),
            _ => None,
        }
    }

    /// The port where a URI names none (RFC 3261 §19.1.2, RFC 7118 §5.4: the ones of HTTP).
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One accepted or opened stream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A host that was called by its name: its number in the network's list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u64);

/// The path of a message: transport, our address and the peer's. `local` is always a concrete
/// address (the one of the route towards the peer), never 0.0.0.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The transport protocol.
    pub transport: Transport,
    /// Our address on this path.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The stream connection, where there is one already.
    pub connection: Option<ConnectionId>,
    /// The host that was called, where that was by name and over TLS: who is at the other end of a
    /// connection has to prove to be it (RFC 5922 §7.1).
    pub host: Option<HostId>,
}

/// What address we give to whom: behind a NAT it is not the one that we have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// Peers by their networks; the first that contains a peer counts.
    pub networks: Vec<Network>,
    /// What all other peers are told, one of a family; none: the address of the route to them.
    pub others: Vec<IpAddr>,
}

/// What the peers of some networks are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Where the peers are.
    pub peers: Vec<IpNet>,
    /// What they are told, one of a family; none: the address of the route to them.
    pub addresses: Vec<IpAddr>,
}

impl Advertised {
    /// The address to name in Via, Contact and SDP on this path.
    pub fn address(&self, flow: &Flow) -> IpAddr {
        let (local, remote) = (flow.local.ip(), flow.remote.ip().to_canonical());
        let of_network = self
            .networks
            .iter()
            .find(|network| network.peers.iter().any(|peers| peers.contains(&remote)));
        let addresses = of_network.map_or(&self.others, |network| &network.addresses);
        let told = addresses
            .iter()
            .find(|address| address.is_ipv4() == local.is_ipv4());
        told.copied().unwrap_or(local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(local: &str, remote: &str) -> Flow {
        Flow {
            transport: Transport::Udp,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            connection: None,
            host: None,
        }
    }

    #[test]
    fn each_network_is_told_its_address() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let advertised = Advertised {
            networks: vec![
                Network {
                    peers: vec!["10.1.0.0/16".parse().unwrap()],
                    addresses: vec![ip("198.51.100.1")],
                },
                Network {
                    peers: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
                    addresses: Vec::new(),
                },
            ],
            others: vec![ip("203.0.113.7"), ip("2001:db8::7")],
        };
        let told = |local, remote| advertised.address(&flow(local, remote)).to_string();
        assert_eq!(told("10.0.0.5:5060", "10.1.2.3:5060"), "198.51.100.1");
        assert_eq!(told("10.0.0.5:5060", "10.2.2.3:5060"), "10.0.0.5");
        assert_eq!(told("10.0.0.5:5060", "192.0.2.1:5060"), "203.0.113.7");
        assert_eq!(told("[fd00::5]:5060", "[fd00::9]:5060"), "fd00::5");
        assert_eq!(told("[fd00::5]:5060", "[2001:db8::9]:5060"), "2001:db8::7");
    }

    #[test]
    fn a_scheme_and_a_parameter_name_a_transport() {
        let cases = [
            ("udp", false, Some(Transport::Udp)),
            ("TCP", false, Some(Transport::Tcp)),
            ("tcp", true, Some(Transport::Tls)),
            ("tls", false, Some(Transport::Tls)),
            ("ws", false, Some(Transport::Ws)),
            ("ws", true, Some(Transport::Wss)),
            ("udp", true, None),
            ("sctp", false, None),
        ];
        for (parameter, secure, expected) in cases {
            assert_eq!(Transport::named(parameter, secure), expected, "{parameter}");
        }
    }
}
