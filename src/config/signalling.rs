//! `[server]`, `[sip]` and `[limits]`: the process and its signalling.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::error::Place;
use super::print::{Printer, seconds};
use super::reader::{Table, text};
use super::transport::{addresses, listeners, origins};

/// `[server]`: logs and shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What is logged, as a filter of `tracing`: `info`, `warn,antiphon::sip=debug`.
    pub log: String,
    /// How it is written.
    pub log_format: LogFormat,
    /// How often the media threads' figures are logged while there are calls; none: at the end.
    pub statistics: Option<Duration>,
    /// How long a shutdown waits for calls to end before it hangs up.
    pub shutdown: Duration,
    /// Where `antiphon bans` reaches the server; none: the runtime directory, if there is one; empty:
    /// nowhere.
    pub control_socket: Option<PathBuf>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// `[sip]`: listeners, names and times of the signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Where to listen for SIP over UDP.
    pub udp: Vec<SocketAddr>,
    /// Where to listen for SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Where to listen for SIP over TLS.
    pub tls: Vec<SocketAddr>,
    /// Where to listen for SIP over WebSocket.
    pub ws: Vec<SocketAddr>,
    /// Where to listen for SIP over WebSocket with TLS.
    pub wss: Vec<SocketAddr>,
    /// Web pages that may use WebSocket; empty: all.
    pub ws_origins: Vec<String>,
    /// Where `udp` stands.
    pub(super) udp_place: Place,
    /// Where `tcp`, `tls`, `ws` and `wss` stand.
    pub(super) stream_places: [Place; 4],
    /// Where the listeners stand that need a certificate.
    pub(super) secure: Vec<Place>,
    /// The addresses that Contact, Via and SDP state, one of a family; none: that of the route
    /// towards the peer.
    pub external_address: Vec<IpAddr>,
    /// Name servers; empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// After how much silence a ping goes out; none: never.
    pub keep_alive: Option<Duration>,
    /// The text of `Server` and `User-Agent`.
    pub user_agent: String,
    /// T1, the estimate of the round trip (RFC 3261 §17.1.1.1).
    pub t1: Duration,
    /// The session interval that is asked for (RFC 4028); none: no session timer of ours.
    pub session_expires: Option<Duration>,
    /// The shortest session interval that is accepted.
    pub min_se: Duration,
    /// The longest call.
    pub max_call: Duration,
    /// The most registered contacts.
    pub registrations: usize,
    /// The longest registration.
    pub register_expires: Duration,
}

/// `[limits]`: what is refused, so that nobody else suffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most calls; none: as many as descriptors and RTP ports allow.
    pub calls: Option<usize>,
    /// The most new calls from one source address in a second.
    pub calls_per_second_per_source: u32,
    /// The most INVITEs whose ACK is awaited.
    pub unacknowledged_calls: usize,
    /// The most SIP transactions at a time.
    pub transactions: usize,
    /// The longest SIP message, bytes.
    pub message_bytes: usize,
    /// The most TCP connections.
    pub tcp_connections: usize,
    /// The most TCP connections from one address.
    pub tcp_connections_per_address: usize,
    /// The most handshakes of TLS and WebSocket at a time.
    pub handshakes: usize,
    /// The most that one address may begin in a second.
    pub handshakes_per_second_per_source: u32,
    /// How long a peer may take to send a whole message over TCP.
    pub message_time: Duration,
}

impl Server {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let log = table.value(
            "log",
            "info".to_owned(),
            "a log filter such as \"info\" or \"warn,antiphon::sip=debug\"",
            |value| text(value).filter(|filter| is_filter(filter)),
        );
        let log_format = table.value(
            "log_format",
            LogFormat::Text,
            "\"text\" or \"json\"",
            |value| match value.as_str()? {
                "text" => Some(LogFormat::Text),
                "json" => Some(LogFormat::Json),
                _ => None,
            },
        );
        let statistics = table.number("statistics_seconds", 60, 0..=86_400);
        let shutdown = Duration::from_secs(table.number("shutdown_seconds", 10, 0..=86_400));
        let control_socket = table.optional(
            "control_socket",
            "a path of up to 100 bytes, or an empty text",
            |value| {
                let path = value.as_str()?;
                // What the address of a Unix socket has room for.
                let good = path.len() <= 100 && !path.contains(char::is_control);
                good.then(|| PathBuf::from(path))
            },
        );
        table.finish();
        Server {
            log,
            log_format,
            statistics: (statistics > 0).then(|| Duration::from_secs(statistics)),
            shutdown,
            control_socket,
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[server]");
        out.key(
            "log",
            self.log.as_str(),
            "What is logged: error, warn, info, debug, trace, also by module.",
        );
        let format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        out.key("log_format", format, "text for people, json for programs.");
        out.key(
            "statistics_seconds",
            self.statistics.map_or(0, seconds),
            "How often the media threads' figures are logged while there are calls; 0: only at the \
             end.",
        );
        out.key(
            "shutdown_seconds",
            seconds(self.shutdown),
            "How long a shutdown waits for calls to end before it hangs up.",
        );
        out.optional(
            "control_socket",
            self.control_socket
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            "/run/antiphon/control.sock",
            "The Unix socket by which `antiphon bans` reaches the server; \"\": none. Unset:\n\
             control.sock in $RUNTIME_DIRECTORY, else antiphon.sock in $XDG_RUNTIME_DIR, else none.",
        );
    }
}

impl Sip {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let udp = listeners(&mut table, "udp", Some(SIP_PORT));
        let tcp = listeners(&mut table, "tcp", Some(SIP_PORT));
        let tls = listeners(&mut table, "tls", None);
        let ws = listeners(&mut table, "ws", None);
        let wss = listeners(&mut table, "wss", None);
        if [&udp, &tcp, &tls, &ws, &wss]
            .iter()
            .all(|all| all.is_empty())
            && let Some(value) = table.find("tcp").or(table.find("udp"))
        {
            let expected = "at least one address in sip.udp, tcp, tls, ws or wss";
            table.refuse("tcp", value, expected);
        }
        let ws_origins = origins(&mut table);
        let mut place = |key| match table.find(key) {
            Some(value) => table.place(key, value),
            None => Place::built_in(&format!("sip.{key}")),
        };
        let udp_place = place("udp");
        let stream_places = ["tcp", "tls", "ws", "wss"].map(place);
        let mut secure = Vec::new();
        for (key, listeners) in [("tls", &tls), ("wss", &wss)] {
            if let Some(value) = table.find(key)
                && !listeners.is_empty()
            {
                secure.push(table.place(key, value));
            }
        }
        let external_address = addresses(&mut table);
        let dns_servers = table.list(
            "dns_servers",
            Vec::new(),
            "an address, with a port or without: \"192.0.2.53\" or \"192.0.2.53:53\"",
            name_server,
        );
        let keep_alive = positive(table.number("keepalive_seconds", 30, 0..=3_600));
        let user_agent = table.value(
            "user_agent",
            concat!("antiphon/", env!("CARGO_PKG_VERSION")).to_owned(),
            "a text of printable ASCII, up to 100 characters",
            |value| text(value).filter(|text| text.is_ascii() && text.len() <= 100),
        );
        let t1 = Duration::from_millis(table.number("t1_ms", 500, 10..=5_000));
        let session_expires = table.value(
            "session_expires_seconds",
            1800,
            "0 (off), or a whole number from 90 to 86400",
            |value| {
                let number = u64::try_from(super::reader::integer(value)?).ok()?;
                (number == 0 || (90..=86_400).contains(&number)).then_some(number)
            },
        );
        // RFC 4028 §5: no interval under 90 s.
        let min_se = table.number("min_se_seconds", 90u64, 90..=86_400);
        if session_expires != 0
            && min_se > session_expires
            && let Some(value) = table
                .find("min_se_seconds")
                .or(table.find("session_expires_seconds"))
        {
            let expected = format!("at most sip.session_expires_seconds, {session_expires}");
            table.refuse("min_se_seconds", value, expected);
        }
        let sip = Sip {
            udp,
            tcp,
            tls,
            ws,
            wss,
            ws_origins,
            udp_place,
            stream_places,
            secure,
            external_address,
            dns_servers,
            keep_alive,
            user_agent,
            t1,
            session_expires: positive(session_expires),
            min_se: Duration::from_secs(min_se),
            max_call: Duration::from_secs(table.number("max_call_seconds", 14_400, 1..=604_800)),
            registrations: table.number("registrations", 10_000, 0..=1_000_000),
            register_expires: Duration::from_secs(table.number(
                "register_expires_seconds",
                3600,
                60..=86_400,
            )),
        };
        table.finish();
        sip
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[sip]");
        out.list("udp", &self.udp, "Where to listen for SIP over UDP.");
        out.list("tcp", &self.tcp, "Where to listen for SIP over TCP.");
        out.list(
            "tls",
            &self.tls,
            "Where to listen for SIP over TLS; it needs a [[certificate]].",
        );
        out.list(
            "ws",
            &self.ws,
            "Where to listen for SIP over WebSocket (RFC 7118).",
        );
        out.list(
            "wss",
            &self.wss,
            "Where to listen for SIP over WebSocket with TLS; it needs a [[certificate]].",
        );
        out.list(
            "ws_origins",
            &self.ws_origins,
            "Web pages that may use WebSocket, by their Origin; others get 403, and who is no browser\n\
             names none. Empty: all.",
        );
        out.list(
            "external_address",
            &self.external_address,
            "The address that peers are told, behind NAT: one of IPv4, one of IPv6.\n\
             Empty: the address of the route towards each peer. [[network]] makes exceptions.",
        );
        out.list(
            "dns_servers",
            &self.dns_servers,
            "Name servers for what is called. Empty: those of the system. SIGHUP reads both again.",
        );
        out.key(
            "keepalive_seconds",
            self.keep_alive.map_or(0, seconds),
            "After how much silence a ping goes out on connections that we opened, and on\n\
             WebSockets, where one without an answer ends them; 0: never.",
        );
        out.key(
            "user_agent",
            self.user_agent.as_str(),
            "The text of the Server and User-Agent headers.",
        );
        out.key(
            "t1_ms",
            i64::try_from(self.t1.as_millis()).unwrap_or(i64::MAX),
            "T1, the estimate of the round trip (RFC 3261): first retransmission, time-outs.",
        );
        out.key(
            "session_expires_seconds",
            self.session_expires.map_or(0, seconds),
            "The session interval that is asked for (RFC 4028); 0: no session timer of ours.",
        );
        out.key(
            "min_se_seconds",
            seconds(self.min_se),
            "The shortest session interval that is accepted.",
        );
        out.key(
            "max_call_seconds",
            seconds(self.max_call),
            "The longest call, and the longest wait of a caller for an answer; it is hung up then.",
        );
        out.key(
            "registrations",
            to_i64(self.registrations),
            "The most contacts that REGISTER keeps in memory; 0: REGISTER is refused.",
        );
        out.key(
            "register_expires_seconds",
            seconds(self.register_expires),
            "The longest registration.",
        );
    }
}

impl Limits {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let calls = table.number("calls", 0usize, 0..=100_000);
        let limits = Limits {
            calls: (calls > 0).then_some(calls),
            calls_per_second_per_source: table.number(
                "calls_per_second_per_source",
                200,
                1..=1_000_000,
            ),
            unacknowledged_calls: table.number("unacknowledged_calls", 500, 2..=100_000),
            transactions: table.number("transactions", 20_000, 10..=10_000_000),
            message_bytes: table.number("message_bytes", 65_535, 1_000..=65_535),
            tcp_connections: table.number("tcp_connections", 1_000, 1..=1_000_000),
            tcp_connections_per_address: table.number(
                "tcp_connections_per_address",
                100,
                1..=1_000_000,
            ),
            handshakes: table.number("handshakes", 500, 1..=1_000_000),
            handshakes_per_second_per_source: table.number(
                "handshakes_per_second_per_source",
                50,
                1..=1_000_000,
            ),
            message_time: Duration::from_secs(table.number("message_seconds", 10, 1..=3_600)),
        };
        table.finish();
        limits
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[limits]");
        out.key(
            "calls",
            to_i64(self.calls.unwrap_or(0)),
            "The most calls; 0: as many as descriptors and RTP ports allow.",
        );
        out.key(
            "calls_per_second_per_source",
            i64::from(self.calls_per_second_per_source),
            "The most new calls from one source address in a second.",
        );
        out.key(
            "unacknowledged_calls",
            to_i64(self.unacknowledged_calls),
            "The most calls that are answered (or ring reliably, by 100rel) and not yet acknowledged; half of them from one address that is not trusted.",
        );
        out.key(
            "transactions",
            to_i64(self.transactions),
            "The most SIP transactions at a time.",
        );
        out.key(
            "message_bytes",
            to_i64(self.message_bytes),
            "The longest SIP message.",
        );
        out.key(
            "tcp_connections",
            to_i64(self.tcp_connections),
            "The most connections of TCP, TLS and WebSocket; a tenth is kept for trusted peers and for those that we open.",
        );
        out.key(
            "tcp_connections_per_address",
            to_i64(self.tcp_connections_per_address),
            "The most of them from one address that is not trusted; an IPv6 /48 has four times as many in all.",
        );
        out.key(
            "handshakes",
            to_i64(self.handshakes),
            "The most handshakes of TLS and WebSocket at a time; half of them from one address that is not trusted.",
        );
        out.key(
            "handshakes_per_second_per_source",
            i64::from(self.handshakes_per_second_per_source),
            "The most handshakes that one address begins in a second; what is more is closed at once.",
        );
        out.key(
            "message_seconds",
            seconds(self.message_time),
            "How long a peer may take to send a whole message over a connection, for a handshake, and\n\
             until its first message, whatever pings come.",
        );
    }
}

/// A name server; its port is 53 unless it says otherwise.
fn name_server(text: &str) -> Option<SocketAddr> {
    let with_port = text.parse::<SocketAddr>();
    let alone = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    with_port.or_else(|_| alone()).ok()
}

fn is_filter(text: &str) -> bool {
    tracing_subscriber::EnvFilter::try_new(text).is_ok()
}

/// A time in seconds, 0 standing for none.
pub(super) fn positive(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

pub(super) fn to_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const SIP_PORT: u16 = 5060;
