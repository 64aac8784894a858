//! `[http]` and `[[http.key]]`: the control API, and who may use it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::error::{Fault, Place};
use super::print::{Printer, seconds};
use super::reader::Table;
use super::signalling::to_i64;
use super::transport::origin;
use crate::api::Scope;
use crate::http::Monitoring;

/// Where HTTP listens if nothing is said.
const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
/// The shortest secret: what is shorter can be guessed.
const MIN_SECRET: usize = 16;

/// `[http]`: the control API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; empty: nowhere.
    pub listen: Vec<SocketAddr>,
    /// Whether it speaks TLS, with the certificates of SIP.
    pub tls: bool,
    /// From where `/health`, `/ready` and `/metrics` need no key.
    pub monitoring: Monitoring,
    /// Origins whose scripts may.
    pub cors_origins: Vec<String>,
    /// The longest body of a request, bytes.
    pub max_body: usize,
    /// How long a connection may be without a whole head of a request.
    pub header_time: Duration,
    /// How long a request may take.
    pub request_time: Duration,
    /// The most connections.
    pub connections: usize,
    /// The most from one address.
    pub connections_per_address: usize,
    /// The most requests a second of a key, or of an address without one.
    pub requests_per_second: u32,
    /// Who may.
    pub keys: Vec<HttpKey>,
    /// Where `listen` stands; line 0: nowhere.
    said: Place,
    place: Place,
}

/// `[[http.key]]`: a secret, and what it is good for.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpKey {
    /// Its name, for logs and for basic authentication.
    pub name: String,
    /// What it is good for.
    pub scope: Scope,
    /// The secret, or what is known of it.
    pub secret: HttpSecret,
    place: Place,
}

/// What is known of a key's secret.
#[derive(Clone, PartialEq, Eq)]
pub enum HttpSecret {
    /// All.
    Plain(String),
    /// Its SHA-256, hexadecimal.
    Sha256(String),
}

const MONITORING: [(&str, Monitoring); 3] = [
    ("loopback", Monitoring::Loopback),
    ("anywhere", Monitoring::Anywhere),
    ("nowhere", Monitoring::Nowhere),
];

impl HttpKey {
    fn read(mut table: Table<'_, '_>) -> Option<Self> {
        const NAME: &str = "a name of 1 to 64 letters, digits and -_.";
        const SCOPE: &str = "\"read\", \"control\" or \"admin\"";
        const SECRET: &str = "a secret of 16 to 256 printable ASCII characters";
        const HASH: &str = "64 hexadecimal digits, the SHA-256 of the secret";
        let place = table.own_place();
        for (key, expected) in [("name", NAME), ("scope", SCOPE)] {
            if table.find(key).is_none() {
                table.missing(key, expected);
            }
        }
        let name = table.optional("name", NAME, |value| {
            let name = value.as_str()?;
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let good = (1..=64).contains(&name.len()) && name.bytes().all(plain);
            good.then(|| name.to_owned())
        });
        let scope = table.optional("scope", SCOPE, |value| Scope::parse(value.as_str()?));
        let plain = table.find("secret");
        let hashed = table.find("secret_sha256");
        let secret = match (plain, hashed) {
            (Some(value), None) => {
                let secret = value.get_ref().as_str().filter(|secret| {
                    (MIN_SECRET..=256).contains(&secret.len())
                        && secret.bytes().all(|b| (b'!'..=b'~').contains(&b))
                });
                if secret.is_none() {
                    let at = table.place("secret", value);
                    table.report(&at, Fault::Senseless(format!("expected {SECRET}")));
                }
                secret.map(|secret| HttpSecret::Plain(secret.to_owned()))
            }
            (None, Some(value)) => {
                let hash = value
                    .get_ref()
                    .as_str()
                    .filter(|hash| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
                if hash.is_none() {
                    let at = table.place("secret_sha256", value);
                    table.report(&at, Fault::Senseless(format!("expected {HASH}")));
                }
                hash.map(|hash| HttpSecret::Sha256(hash.to_ascii_lowercase()))
            }
            (Some(_), Some(_)) => {
                let why = "a key has either a secret, or the hash of one".to_owned();
                table.report(&place, Fault::Senseless(why));
                None
            }
            (None, None) => {
                table.missing("secret", format!("{SECRET}, or secret_sha256"));
                None
            }
        };
        table.finish();
        Some(Self {
            name: name?,
            scope: scope?,
            secret: secret?,
            place,
        })
    }

    fn print(&self, out: &mut Printer) {
        out.section("[[http.key]]");
        out.key(
            "name",
            self.name.as_str(),
            "Its name, for logs and for basic authentication.",
        );
        out.key(
            "scope",
            self.scope.as_str(),
            "What it is good for: read, control (calls and rooms) or admin (bans too).",
        );
        match &self.secret {
            HttpSecret::Plain(secret) => out.secret("secret", secret, "The secret."),
            HttpSecret::Sha256(hash) => {
                out.secret("secret_sha256", hash, "The SHA-256 of the secret.");
            }
        }
    }

    /// SHA-256 of the secret.
    pub fn hash(&self) -> [u8; 32] {
        match &self.secret {
            HttpSecret::Plain(secret) => Sha256::digest(secret.as_bytes()).into(),
            HttpSecret::Sha256(hex) => {
                let digit = |i: usize| hex.get(2 * i..2 * i + 2);
                std::array::from_fn(|i| {
                    digit(i)
                        .and_then(|d| u8::from_str_radix(d, 16).ok())
                        .unwrap_or_default()
                })
            }
        }
    }
}

impl fmt::Debug for HttpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpKey({}, {})", self.name, self.scope.as_str())
    }
}

impl fmt::Debug for HttpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpSecret(..)")
    }
}

impl Http {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let place = table.own_place();
        let said = match table.find("listen") {
            Some(value) => table.place("listen", value),
            None => Place::built_in("http.listen"),
        };
        let listen = table.list(
            "listen",
            vec![SocketAddr::from(LISTEN)],
            "an address with a port, such as \"127.0.0.1:8080\"",
            |text| SocketAddr::from_str(text).ok(),
        );
        let tls = table.boolean("tls", false);
        let monitoring = table.value(
            "monitoring",
            Monitoring::Loopback,
            "\"loopback\", \"anywhere\" or \"nowhere\"",
            |value| {
                let found = value.as_str()?;
                MONITORING
                    .iter()
                    .find(|(name, _)| *name == found)
                    .map(|(_, m)| *m)
            },
        );
        let cors_origins = table.list(
            "cors_origins",
            Vec::new(),
            "an origin as browsers write it, such as \"https://example.org\": no path, no default \
             port; or \"*\"",
            |text| origin(text).or_else(|| (text == "*").then(|| text.to_owned())),
        );
        let http = Self {
            listen,
            tls,
            monitoring,
            cors_origins,
            max_body: table.number("max_body_bytes", 65_536, 1_024..=16_777_216),
            header_time: Duration::from_secs(table.number("header_seconds", 10, 1..=600)),
            request_time: Duration::from_secs(table.number("request_seconds", 30, 1..=600)),
            connections: table.number("connections", 1_024, 1..=65_536),
            connections_per_address: table.number("connections_per_address", 256, 1..=65_536),
            requests_per_second: table.number("requests_per_second", 100, 1..=100_000),
            keys: table.tables("key", HttpKey::read),
            said,
            place,
        };
        http.check(&mut table);
        table.finish();
        http
    }

    fn check(&self, table: &mut Table<'_, '_>) {
        for (n, key) in self.keys.iter().enumerate() {
            if self.keys[..n].iter().any(|other| other.name == key.name) {
                let why = format!("there is another key {:?} above", key.name);
                table.report(&key.place, Fault::Senseless(why));
            }
        }
        let open = self
            .listen
            .iter()
            .find(|address| !address.ip().is_loopback());
        if let Some(open) = open
            && self.keys.is_empty()
        {
            let why = format!(
                "{open} can be reached from other machines, and there is no [[http.key]]: nobody \
                 could get in; add one with name, scope and secret, or listen on 127.0.0.1 alone"
            );
            table.report(&self.said, Fault::Senseless(why));
        }
    }

    /// Whether it was said where to listen, and not only assumed.
    pub fn is_configured(&self) -> bool {
        self.said.line > 0
    }

    /// Where to listen, and where that stands.
    pub(super) fn listeners(&self) -> (&Place, &Vec<SocketAddr>) {
        (&self.said, &self.listen)
    }

    /// Where it stands that TLS is wanted, if it is.
    pub(super) fn wants_certificate(&self) -> Option<&Place> {
        (self.tls && !self.listen.is_empty()).then_some(&self.place)
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[http]");
        out.list(
            "listen",
            &self.listen,
            "Where the control API listens; []: nowhere. Beyond this machine only with an [[http.key]].",
        );
        out.key(
            "tls",
            self.tls,
            "Whether it speaks TLS, with the certificates of SIP.",
        );
        let monitoring = MONITORING.iter().find(|(_, m)| *m == self.monitoring);
        out.key(
            "monitoring",
            monitoring.map_or("loopback", |(name, _)| name),
            "From where /health, /ready and /metrics need no key: loopback, anywhere, nowhere.",
        );
        out.list(
            "cors_origins",
            &self.cors_origins,
            "Origins whose pages may use the API: \"https://example.org\", or \"*\".",
        );
        out.key(
            "max_body_bytes",
            to_i64(self.max_body),
            "The longest body of a request.",
        );
        out.key(
            "header_seconds",
            seconds(self.header_time),
            "How long a connection may be without a whole head of a request; idle ones too.",
        );
        out.key(
            "request_seconds",
            seconds(self.request_time),
            "How long a request may take, and its answer to be read.",
        );
        out.key(
            "connections",
            to_i64(self.connections),
            "The most connections, readers of events included.",
        );
        out.key(
            "connections_per_address",
            to_i64(self.connections_per_address),
            "The most from one address (of IPv6: from one /64).",
        );
        out.key(
            "requests_per_second",
            i64::from(self.requests_per_second),
            "The most requests a second of a key, or of an address without one; twice as many at once.",
        );
        for key in &self.keys {
            key.print(out);
        }
    }
}
