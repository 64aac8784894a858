//! `[access]`: who is heard, and who is not for a while.

use std::time::Duration;

use ipnet::IpNet;

use super::print::{Printer, seconds};
use super::reader::Table;
use super::routes::{NETWORK, network};
use super::signalling::to_i64;
use crate::endpoint::BanSettings;
use crate::sip::transport::Transport;

/// `[access]`: who is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Peers without limits per source, never banned.
    pub trusted: Vec<IpNet>,
    /// Who is heard on all transports.
    pub all: AccessList,
    /// And on each transport, besides.
    pub transports: Vec<(Transport, AccessList)>,
    /// Parts of User-Agent whose senders get no answer.
    pub drop_user_agents: Vec<String>,
    /// When a source is banned; none: never.
    pub bans: Option<BanSettings>,
}

/// Networks that are heard, and networks that are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessList {
    /// Nobody else is heard; empty: everybody is.
    pub allow: Vec<IpNet>,
    /// Not heard, even where they are allowed.
    pub deny: Vec<IpNet>,
}

/// Transports with the names of their sections.
const TRANSPORTS: &[(Transport, &str, &str)] = &[
    (Transport::Udp, "udp", "access.udp"),
    (Transport::Tcp, "tcp", "access.tcp"),
    (Transport::Tls, "tls", "access.tls"),
    (Transport::Ws, "ws", "access.ws"),
    (Transport::Wss, "wss", "access.wss"),
];

/// Scanners that give their names.
const SCANNERS: &[&str] = &[
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "sipsak",
    "sundayddr",
    "VaxSIPUserAgent",
    "VaxIPUserAgent",
    "iWar",
    "eyeBeam release 3006o",
    "pplsip",
];

impl Access {
    pub(super) fn read(mut table: Table<'_, '_>) -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].iter();
        let loopback = loopback.filter_map(|text| network(text)).collect();
        let trusted = table.list("trusted", loopback, NETWORK, network);
        let scanners = SCANNERS.iter().map(|name| (*name).to_owned()).collect();
        let drop_user_agents = table.list(
            "drop_user_agents",
            scanners,
            "a part of a User-Agent, 3 to 64 printable ASCII characters",
            |text| {
                let good = (3..=64).contains(&text.len())
                    && text.bytes().all(|b| (b' '..=b'~').contains(&b));
                good.then(|| text.to_owned())
            },
        );
        let all = AccessList::read_keys(&mut table);
        let read = |&(transport, name, section): &(Transport, _, _)| {
            let list = AccessList::read(table.subsection(name, section));
            (transport, list)
        };
        let transports = TRANSPORTS.iter().map(read).collect();
        let bans = read_bans(table.subsection("ban", "access.ban"));
        table.finish();
        Self {
            trusted,
            all,
            transports,
            drop_user_agents,
            bans,
        }
    }

    pub(super) fn print(&self, out: &mut Printer) {
        out.section("[access]");
        out.list(
            "trusted",
            &self.trusted,
            "Peers that speak for many others: your proxy, your carrier. No limits per source, never\n\
             banned. Take loopback out if a proxy on this machine passes on what it is sent.",
        );
        self.all.print_keys(out);
        out.list(
            "drop_user_agents",
            &self.drop_user_agents,
            "Whose User-Agent has one of these in it, in any case, gets no answer.",
        );
        for ((_, list), (_, _, section)) in self.transports.iter().zip(TRANSPORTS) {
            out.section(&format!("[{section}]"));
            list.print_keys(out);
        }
        print_bans(self.bans, out);
    }
}

impl AccessList {
    fn read(mut table: Table<'_, '_>) -> Self {
        let list = Self::read_keys(&mut table);
        table.finish();
        list
    }

    fn read_keys(table: &mut Table<'_, '_>) -> Self {
        Self {
            allow: table.list("allow", Vec::new(), NETWORK, network),
            deny: table.list("deny", Vec::new(), NETWORK, network),
        }
    }

    fn print_keys(&self, out: &mut Printer) {
        out.list(
            "allow",
            &self.allow,
            "Nobody else is heard; empty: everybody.",
        );
        out.list(
            "deny",
            &self.deny,
            "Not heard, even where they are allowed.",
        );
    }
}

fn read_bans(mut table: Table<'_, '_>) -> Option<BanSettings> {
    let default = BanSettings::default();
    let enabled = table.boolean("enabled", true);
    let mut number = |key, default| table.number(key, default, 0..=1_000_000u32);
    let scanner = number("scanner", default.scanner);
    let failed_authentication = number("failed_authentication", default.failed_authentication);
    let unanswered_challenge = number("unanswered_challenge", default.unanswered_challenge);
    let malformed = number("malformed", default.malformed);
    let unknown_user = number("unknown_user", default.unknown_user);
    let rate_excess = number("rate_excess", default.rate_excess);
    let mut time = |key, default: Duration| {
        Duration::from_secs(table.number(key, default.as_secs(), 1..=31_536_000))
    };
    let settings = BanSettings {
        scanner,
        failed_authentication,
        unanswered_challenge,
        malformed,
        unknown_user,
        rate_excess,
        window: time("window_seconds", default.window),
        length: time("seconds", default.length),
        max_length: time("max_seconds", default.max_length),
        sources: table.number("sources", default.sources, 100..=1_000_000),
    };
    if settings.max_length < settings.length
        && let Some(value) = table.find("max_seconds").or(table.find("seconds"))
    {
        let expected = format!("at least access.ban.seconds, {}", settings.length.as_secs());
        table.refuse("max_seconds", value, expected);
    }
    table.finish();
    enabled.then_some(settings)
}

fn print_bans(bans: Option<BanSettings>, out: &mut Printer) {
    let settings = bans.unwrap_or_default();
    out.section("[access.ban]");
    out.key(
        "enabled",
        bans.is_some(),
        "Whether a source that misbehaves is not heard for a while.",
    );
    for (key, number, what) in [
        (
            "scanner",
            settings.scanner,
            "Requests of scanners (drop_user_agents)",
        ),
        (
            "failed_authentication",
            settings.failed_authentication,
            "Wrong passwords",
        ),
        (
            "unanswered_challenge",
            settings.unanswered_challenge,
            "Requests that are asked for a user, and are given up",
        ),
        (
            "malformed",
            settings.malformed,
            "Messages that break the rules",
        ),
        (
            "unknown_user",
            settings.unknown_user,
            "Calls to what there is not",
        ),
        (
            "rate_excess",
            settings.rate_excess,
            "Calls beyond limits.calls_per_second_per_source",
        ),
    ] {
        let comment = format!("{what}: so many at once are too many; 0: they do not count.");
        out.key(key, i64::from(number), &comment);
    }
    out.key(
        "window_seconds",
        seconds(settings.window),
        "In which all of that is forgiven, bit by bit.",
    );
    out.key(
        "seconds",
        seconds(settings.length),
        "The first ban; each further one is twice as long.",
    );
    out.key(
        "max_seconds",
        seconds(settings.max_length),
        "The longest ban.",
    );
    out.key(
        "sources",
        to_i64(settings.sources),
        "Sources that are remembered; beyond, who is over soonest is forgotten.",
    );
}
