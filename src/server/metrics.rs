//! What the edge knows, as figures for Prometheus.

use std::collections::BTreeMap;

use crate::api::metrics::{Type, Writer};
use crate::engine::{EngineStats, HistogramSnapshot};
use crate::http::HttpStats;
use crate::leg::MediaTotals;
use crate::net::sip::NetStats;
use crate::sip::message::Message;

/// Upper bounds of how late slots start and how long they run, us: powers of two, which the
/// engine's own buckets end at.
const SLOT_US: [u64; 15] = [
    16,
    32,
    64,
    128,
    256,
    512,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
    1 << 16,
    1 << 17,
    1 << 20,
];

/// SIP messages so far.
#[derive(Debug, Default)]
pub(super) struct SipCounts {
    requests_in: BTreeMap<&'static str, u64>,
    requests_out: BTreeMap<&'static str, u64>,
    responses_in: BTreeMap<&'static str, u64>,
    responses_out: BTreeMap<&'static str, u64>,
}

impl SipCounts {
    /// A message came.
    pub fn received(&mut self, message: &Message) {
        match message {
            Message::Request(request) => {
                let method = known(request.method.as_str());
                *self.requests_in.entry(method).or_default() += 1;
            }
            Message::Response(response) => {
                let class = class(response.status);
                *self.responses_in.entry(class).or_default() += 1;
            }
        }
    }

    /// A message goes.
    pub fn sent(&mut self, bytes: &[u8]) {
        let first = bytes.split(|&b| b == b' ').next().unwrap_or_default();
        if first == b"SIP/2.0" {
            let hundreds = bytes.get(8).map_or(0, |b| u16::from(b.wrapping_sub(b'0')));
            *self.responses_out.entry(class(hundreds * 100)).or_default() += 1;
        } else {
            let method = std::str::from_utf8(first).map_or("other", known);
            *self.requests_out.entry(method).or_default() += 1;
        }
    }
}

/// A method that there is: what peers make up does not fill a table.
fn known(method: &str) -> &'static str {
    const ALL: [&str; 10] = [
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO",
        "MESSAGE",
    ];
    ALL.into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "6xx",
    }
}

/// The media threads.
pub(super) fn media(stats: &EngineStats, out: &mut Writer) {
    slots(
        out,
        "antiphon_tick_lateness_seconds",
        "How late the media threads started slots of 1 ms with work.",
        &stats.lateness,
    );
    slots(
        out,
        "antiphon_tick_length_seconds",
        "How long those slots ran.",
        &stats.length,
    );
    for (name, help, value) in [
        ("legs", "Legs of the media threads.", stats.legs),
        ("bridges", "Bridges of the media threads.", stats.bridges),
    ] {
        out.single(&format!("antiphon_{name}"), Type::Gauge, help, value as f64);
    }
    for (name, help, value) in [
        (
            "tick_overruns_total",
            "Slots that ran past the start of the next one with work.",
            stats.overruns as f64,
        ),
        (
            "ticks_skipped_total",
            "Ticks that were skipped since a thread was late by more than a period.",
            stats.skipped_ticks as f64,
        ),
        (
            "media_send_failures_total",
            "Packets that the kernel did not take.",
            stats.send_failures as f64,
        ),
        (
            "media_xdp_received_packets_total",
            "Packets that were received past the network stack.",
            stats.bypass_received as f64,
        ),
        (
            "media_xdp_sent_packets_total",
            "Packets that were sent past the network stack.",
            stats.bypass_sent as f64,
        ),
        (
            "media_xdp_dropped_packets_total",
            "Packets received past the network stack that were not the peer's, damaged, or too many at once.",
            stats.bypass_dropped as f64,
        ),
        (
            "media_lost_events_total",
            "Events of media threads that were lost for want of room.",
            stats.lost_events as f64,
        ),
        (
            "media_cpu_seconds_total",
            "CPU time of the media threads.",
            stats.cpu.as_secs_f64(),
        ),
    ] {
        out.single(&format!("antiphon_{name}"), Type::Counter, help, value);
    }
}

/// RTP of all calls, those that run included.
pub(super) fn rtp(totals: &MediaTotals, out: &mut Writer) {
    for (name, help, value) in [
        (
            "received_packets_total",
            "RTP packets that came.",
            totals.received as f64,
        ),
        (
            "lost_packets_total",
            "RTP packets that did not come.",
            totals.lost as f64,
        ),
        (
            "discarded_packets_total",
            "RTP packets that came too late or too early to be heard.",
            totals.discarded as f64,
        ),
        (
            "unauthenticated_packets_total",
            "Packets that were not protected with their call's key.",
            totals.unauthenticated as f64,
        ),
        (
            "sent_packets_total",
            "RTP packets that went.",
            totals.sent as f64,
        ),
        (
            "concealed_samples_total",
            "Samples that were made up for missing ones.",
            totals.concealed_samples as f64,
        ),
        (
            "concealed_seconds_total",
            "Time that was made up for missing audio.",
            totals.concealed_us as f64 / 1e6,
        ),
    ] {
        let name = format!("antiphon_rtp_{name}");
        out.single(&name, Type::Counter, help, value);
    }
    let mean = totals.jitter_us as f64 / totals.receiving.max(1) as f64;
    out.single(
        "antiphon_rtp_running_jitter_seconds",
        Type::Gauge,
        "Interarrival jitter (RFC 3550) of the calls that run, their mean.",
        mean / 1e6,
    );
}

fn slots(out: &mut Writer, name: &str, help: &str, histogram: &HistogramSnapshot) {
    let buckets: Vec<_> = histogram.buckets().collect();
    let upto = SLOT_US.iter().map(|&bound| {
        let below = buckets
            .iter()
            .filter(|(low, _)| low.as_micros() < u128::from(bound));
        (bound as f64 / 1e6, below.map(|(_, n)| n).sum())
    });
    let total = (histogram.count(), histogram.sum().as_secs_f64());
    out.histogram(name, help, upto, total);
}

/// SIP and its transports.
pub(super) fn signalling(net: &NetStats, sip: &SipCounts, out: &mut Writer) {
    for (name, help, label, counts) in [
        (
            "requests_received_total",
            "SIP requests that came.",
            "method",
            &sip.requests_in,
        ),
        (
            "requests_sent_total",
            "SIP requests that went.",
            "method",
            &sip.requests_out,
        ),
        (
            "responses_received_total",
            "SIP responses that came.",
            "class",
            &sip.responses_in,
        ),
        (
            "responses_sent_total",
            "SIP responses that went.",
            "class",
            &sip.responses_out,
        ),
    ] {
        let counts = counts.iter().map(|(k, n)| (*k, *n));
        out.counts(&format!("antiphon_sip_{name}"), help, label, counts);
    }
    let dropped = net.udp_dropped as f64;
    let help = "SIP messages over UDP that were dropped since the core was busy.";
    out.single(
        "antiphon_sip_udp_dropped_total",
        Type::Counter,
        help,
        dropped,
    );
    let help = "SIP messages of sources that are banned or not let in.";
    out.single(
        "antiphon_sip_not_heard_total",
        Type::Counter,
        help,
        net.not_heard as f64,
    );
    let help = "SIP connections that were turned away.";
    out.single(
        "antiphon_sip_connections_refused_total",
        Type::Counter,
        help,
        (net.tcp_refused + net.handshakes_refused) as f64,
    );
}

/// HTTP and readers of events.
pub(super) fn http(stats: &HttpStats, out: &mut Writer) {
    const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    out.counts(
        "antiphon_http_responses_total",
        "Answers of the control API, by class.",
        "class",
        CLASSES.into_iter().zip(stats.answers),
    );
    for (name, kind, help, value) in [
        (
            "http_connections",
            Type::Gauge,
            "Connections to the control API.",
            stats.connections,
        ),
        (
            "http_connections_refused_total",
            Type::Counter,
            "Connections that were turned away.",
            stats.refused,
        ),
        (
            "event_readers",
            Type::Gauge,
            "Readers of events.",
            stats.readers,
        ),
        (
            "event_readers_dropped_total",
            Type::Counter,
            "Readers of events that were cut off since they did not read.",
            stats.readers_dropped,
        ),
        (
            "events_sent_total",
            Type::Counter,
            "Events that went to a reader's queue.",
            stats.events,
        ),
    ] {
        out.single(&format!("antiphon_{name}"), kind, help, value as f64);
    }
}
