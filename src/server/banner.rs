//! What the start says to a person.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::Started;
use crate::config::{AppConfig, Config};
use crate::engine::{Bypassing, RealTime};

/// What is behind the built-in numbers.
const BUILT_IN: &[(&str, &str)] = &[
    ("500", "echo: you hear yourself"),
    ("510", "the welcome prompt"),
    ("520", "beep, then a recording until # or until you hang up"),
    ("530", "your digits, spoken back"),
    ("540", "a menu to all of this"),
    (
        "600",
        "conference (6XX, 6XXXX, conf=ID): who dials the same hears each other",
    ),
];

/// Where it listens, what can be dialled, where recordings go, and how the media thread runs.
pub fn banner(config: &Config, started: &Started) -> String {
    let mut out = format!("antiphon {}\n", env!("CARGO_PKG_VERSION"));
    let add = |out: &mut String, line: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = out.write_fmt(line);
        out.push('\n');
    };
    for (transport, address) in &started.listening {
        add(
            &mut out,
            format_args!("  listening   {transport} {address}"),
        );
    }
    for (scheme, address) in &started.http {
        add(&mut out, format_args!("  listening   {scheme} {address}"));
    }
    let host = started
        .listening
        .first()
        .map_or_else(|| "127.0.0.1:5060".to_owned(), |(_, a)| reachable(*a));
    if config.builtin_routes {
        for (number, what) in BUILT_IN {
            add(
                &mut out,
                format_args!("  dial        sip:{number}@{host}  {what}"),
            );
        }
    }
    if config.builtin_routes && config.mailboxes.is_empty() && started.has_mailboxes {
        for mailbox in config.effective_mailboxes() {
            add(
                &mut out,
                format_args!(
                    "  mailbox     {number}, PIN {pin}, for trying out (a [[mailbox]] of yours \
                     takes its place): vm-{number} leaves a message, *97 plays them",
                    number = mailbox.number,
                    pin = mailbox.pin
                ),
            );
        }
    }
    for route in &config.routes {
        let app = match &route.app {
            AppConfig::Conference { room, .. } => format!("conference {room}"),
            app => app.name().to_owned(),
        };
        add(
            &mut out,
            format_args!("  dial        {}  {app}", route.user()),
        );
    }
    let directory = &config.recording.directory;
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
    add(
        &mut out,
        format_args!("  recordings  {}", absolute.display()),
    );
    add(
        &mut out,
        format_args!(
            "  calls       at most {} (RTP ports {}-{}, {} open files allowed)",
            started.max_calls,
            config.media.rtp_ports.start(),
            config.media.rtp_ports.end(),
            started.descriptors
        ),
    );
    if let Some(why) = &started.shortfall {
        add(&mut out, format_args!("              {why}"));
    }
    let threads = started.workers;
    let plural = if threads == 1 { "" } else { "s" };
    let line = match &started.realtime {
        RealTime::Granted(priority) => {
            format!("{threads} thread{plural}, real-time priority {priority}")
        }
        RealTime::Off => format!("{threads} thread{plural}, normal priority (as configured)"),
        RealTime::Refused(why) => format!(
            "{threads} thread{plural}, normal priority: {why}. Audio may stutter on a busy \
             machine; grant it with: {}",
            super::statistics::grant()
        ),
    };
    add(&mut out, format_args!("  media       {line}"));
    match &started.bypass {
        Bypassing::Off => {}
        Bypassing::On(interface) => add(
            &mut out,
            format_args!("              RTP by {interface} goes past the network stack (AF_XDP)"),
        ),
        Bypassing::Refused(why) => add(
            &mut out,
            format_args!(
                "              RTP goes through the network stack: AF_XDP is not possible: {why}"
            ),
        ),
    }
    out
}

/// How a phone on this machine reaches a listener.
fn reachable(address: SocketAddr) -> String {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    if address.port() == 5060 {
        match address {
            SocketAddr::V4(a) => a.ip().to_string(),
            SocketAddr::V6(a) => format!("[{}]", a.ip()),
        }
    } else {
        address.to_string()
    }
}
