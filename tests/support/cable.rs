//! Two hosts of this machine's own (network namespaces) with a cable between them (a veth pair): for what
//! loopback cannot do. It takes root, and `ip` of iproute2.

use std::io;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The phones' address.
pub const PHONES: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The interface at the server's end.
pub const INTERFACE: &str = "cable0";
const OTHER_INTERFACE: &str = "cable1";

/// The two hosts; gone when dropped.
#[derive(Debug)]
pub struct Cable {
    /// The namespace of the server.
    pub server: String,
    /// The namespace of the phones.
    pub phones: String,
}

impl Cable {
    /// Lays a cable whose ends have so many queues.
    pub fn lay(queues: u32) -> io::Result<Cable> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = std::process::id();
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let cable = Cable {
            server: format!("antiphon-{id}-{n}-s"),
            phones: format!("antiphon-{id}-{n}-p"),
        };
        let (s, p) = (cable.server.as_str(), cable.phones.as_str());
        ip(&format!("netns add {s}"))?;
        ip(&format!("netns add {p}"))?;
        let queues = format!("numtxqueues {queues} numrxqueues {queues}");
        ip(&format!(
            "-n {s} link add {INTERFACE} {queues} type veth \
             peer name {OTHER_INTERFACE} {queues} netns {p}"
        ))?;
        for (end, interface, address) in [(s, INTERFACE, SERVER), (p, OTHER_INTERFACE, PHONES)] {
            ip(&format!("-n {end} addr add {address}/24 dev {interface}"))?;
            ip(&format!("-n {end} link set {interface} up"))?;
            ip(&format!("-n {end} link set lo up"))?;
        }
        Ok(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for end in [&self.server, &self.phones] {
            let _ = ip(&format!("netns del {end}"));
        }
    }
}

fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {arguments}: {why}")))
}
