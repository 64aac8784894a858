//! `[tls]`, `[[certificate]]` and `[[network]]`: how peers reach us, and as what.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;

use super::error::{Fault, Place};
use super::http::Http;
use super::print::Printer;
use super::reader::{Table, text};
use super::routes::network;
use super::signalling::Sip;
use crate::net::tls::ClientCertificates;

/// `[tls]`: who has to prove what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Whether clients show a certificate.
    pub client_certificates: ClientCertificates,
    /// Who may have signed those.
    pub client_ca: Option<PathBuf>,
    /// Who may have signed those of servers that we call; none: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Whether TLS 1.2 is refused.
    pub only_1_3: bool,
}

/// `[[certificate]]`: what we show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// The chain, PEM.
    pub chain: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// `[[network]]`: what some peers are told of our address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Where they are.
    pub peers: Vec<IpNet>,
    /// What they are told; empty: the address of the route towards each.
    pub external_address: Vec<IpAddr>,
}

const MODES: [(&str, ClientCertificates); 3] = [
    ("off", ClientCertificates::Off),
    ("optional", ClientCertificates::Optional),
    ("required", ClientCertificates::Required),
];

impl TlsConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let client_certificates = table.value(
            "client_certificates",
            ClientCertificates::Off,
            "\"off\", \"optional\" or \"required\"",
            |value| {
                let found = value.as_str()?;
                let mode = MODES.iter().find(|(name, _)| *name == found);
                mode.map(|(_, mode)| *mode)
            },
        );
        let mut path = |key| table.optional(key, "a path", |value| text(value).map(PathBuf::from));
        let (client_ca, ca) = (path("client_ca"), path("ca"));
        let only_1_3 = table.value(
            "min_version",
            false,
            "\"1.2\" or \"1.3\"",
            |value| match value.as_str()? {
                "1.2" => Some(false),
                "1.3" => Some(true),
                _ => None,
            },
        );
        if client_certificates != ClientCertificates::Off
            && client_ca.is_none()
            && let Some(value) = table.find("client_certificates")
        {
            let expected = "tls.client_ca beside it: the file of the authorities that sign them";
            table.refuse("client_certificates", value, expected);
        }
        table.finish();
        TlsConfig {
            client_certificates,
            client_ca,
            ca,
            only_1_3,
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[tls]");
        let mode = MODES
            .iter()
            .find(|(_, mode)| *mode == self.client_certificates);
        out.key(
            "client_certificates",
            mode.map_or("off", |(name, _)| name),
            "Whether TLS clients of SIP have to show a certificate of their own: off, optional, required.",
        );
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        out.optional(
            "client_ca",
            path(&self.client_ca),
            "/etc/antiphon/client-ca.pem",
            "The file of the authorities that sign those, PEM.",
        );
        out.optional(
            "ca",
            path(&self.ca),
            "/etc/antiphon/ca.pem",
            "The file of the authorities that sign the certificates of servers that we call, PEM.\n\
             Unset: those that the system trusts.",
        );
        out.key(
            "min_version",
            if self.only_1_3 { "1.3" } else { "1.2" },
            "The oldest version of TLS that is spoken: 1.2 or 1.3.",
        );
    }
}

impl CertificateConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Option<Self> {
        let mut path = |key, what: &str| {
            if table.find(key).is_none() {
                table.missing(key, what);
            }
            table.optional(key, what, |value| text(value).map(PathBuf::from))
        };
        let chain = path("chain", "the path of the certificate chain, PEM");
        let key = path("key", "the path of its private key, PEM");
        table.finish();
        Some(CertificateConfig {
            chain: chain?,
            key: key?,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[certificate]]");
        let chain = self.chain.display().to_string();
        out.key("chain", chain, "The certificate chain, ours first, PEM.");
        out.key("key", self.key.display().to_string(), "Its key, PEM.");
    }
}

impl NetworkConfig {
    pub(super) fn read(mut table: Table<'_, '_>) -> Option<Self> {
        const PEERS: &str = "a network such as \"192.0.2.0/24\", or an address";
        if table.find("peers").is_none() {
            table.missing("peers", format!("a list, each entry {PEERS}"));
        }
        let peers = table.list("peers", Vec::new(), PEERS, network);
        let external_address = addresses(&mut table);
        table.finish();
        (!peers.is_empty()).then_some(NetworkConfig {
            peers,
            external_address,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[[network]]");
        out.list("peers", &self.peers, "Where these peers are.");
        out.list(
            "external_address",
            &self.external_address,
            "The address that they are told. Empty: the address of the route towards each.",
        );
    }
}

/// At most one address of a family; one alone needs no list.
pub(super) fn addresses(table: &mut Table<'_, '_>) -> Vec<IpAddr> {
    const KEY: &str = "external_address";
    const ADDRESS: &str = "an IP address, neither unspecified nor multicast";
    let read = |text: &str| {
        let address = text.parse::<IpAddr>().ok()?;
        (!address.is_unspecified() && !address.is_multicast()).then_some(address)
    };
    if let Some(value) = table.find(KEY)
        && value.get_ref().is_str()
    {
        let address = table.optional(KEY, ADDRESS, |value| read(value.as_str()?));
        return address.into_iter().collect();
    }
    let addresses = table.list(KEY, Vec::new(), ADDRESS, read);
    let of_v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
    if of_v4.max(addresses.len() - of_v4) > 1
        && let Some(value) = table.find(KEY)
    {
        table.refuse(KEY, value, "at most one IPv4 and one IPv6 address");
    }
    addresses
}

pub(super) fn listeners(
    table: &mut Table<'_, '_>,
    key: &'static str,
    default_port: Option<u16>,
) -> Vec<SocketAddr> {
    let default = default_port.map_or_else(Vec::new, |port| {
        vec![
            SocketAddr::from(([0, 0, 0, 0], port)),
            SocketAddr::from(([0u16; 8], port)),
        ]
    });
    table.list(
        key,
        default,
        "an address with a port, such as \"0.0.0.0:5060\" or \"[::]:5060\"",
        |text| SocketAddr::from_str(text).ok(),
    )
}

/// Web pages, as browsers write their origin (RFC 6454 §6.2): in lower case, without a default port.
pub(super) fn origins(table: &mut Table<'_, '_>) -> Vec<String> {
    table.list(
        "ws_origins",
        Vec::new(),
        "an origin as browsers write it, such as \"https://phone.example\" or \
         \"http://192.0.2.1:8080\": no path, no default port",
        origin,
    )
}

/// One of them.
pub(super) fn origin(text: &str) -> Option<String> {
    let origin = text.to_ascii_lowercase();
    let (scheme, host) = origin.split_once("://")?;
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let good = !host.is_empty()
        && !host.ends_with(default_port)
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    good.then_some(origin)
}

/// Whether only one of two can be listened on. Port 0 is another one each time.
fn exclude(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// A port of an address has one listener, and TLS needs something to show.
pub(super) fn check(
    sip: &Sip,
    http: &Http,
    certificates: &[CertificateConfig],
    root: &mut Table<'_, '_>,
) {
    check_ports([(&sip.udp_place, &sip.udp)].into_iter(), root);
    let streams = [&sip.tcp, &sip.tls, &sip.ws, &sip.wss];
    let streams = sip.stream_places.iter().zip(streams);
    check_ports(streams.chain([http.listeners()]), root);
    if !certificates.is_empty() {
        return;
    }
    for place in sip.secure.iter().chain(http.wants_certificate()) {
        let expected = "[[certificate]] with chain and key, which TLS needs".to_owned();
        root.report(place, Fault::Missing { expected });
    }
}

/// Finds listeners of one protocol of which only one can listen.
fn check_ports<'a>(
    listeners: impl Iterator<Item = (&'a Place, &'a Vec<SocketAddr>)>,
    root: &mut Table<'_, '_>,
) {
    let mut taken: Vec<(&Place, SocketAddr)> = Vec::new();
    for (place, addresses) in listeners {
        for &address in addresses {
            let clash = taken.iter().find(|(_, at)| exclude(*at, address));
            if let Some(&(other, at)) = clash {
                // It is told where the file says it, and not where it is built in.
                let ((place, one), (other, two)) = if place.line > 0 {
                    ((place, address), (other, at))
                } else {
                    ((other, at), (place, address))
                };
                let key = &other.key;
                let why = format!("{one} excludes {two} of {key}: only one can listen there");
                root.report(place, Fault::Senseless(why));
            }
            taken.push((place, address));
        }
    }
}
