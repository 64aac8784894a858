//! Where a SIP message came from and where one goes.

use std::fmt;
use std::net::SocketAddr;

/// A SIP transport protocol (the token of the Via header, RFC 3261 §7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// UDP: unreliable, transactions retransmit.
    Udp,
    /// TCP: reliable, framed by Content-Length.
    Tcp,
}

impl Transport {
    /// Whether retransmission is the transport's job (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        matches!(self, Transport::Tcp)
    }

    /// The token in Via, upper case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
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
}
