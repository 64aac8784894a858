//! The log: one structured line per thing that happened, the Call-ID on each.

use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::call::EndReason;
use crate::config::LogFormat;
use crate::switch::{Event, Summary};

/// Starts logging to standard error. `RUST_LOG` overrides the filter.
pub fn init(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Refused only where a test has set up its own.
    let _ = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Writes an event of a call.
pub(super) fn event(event: &Event) {
    match event {
        Event::Started {
            call_id,
            flow,
            party,
            app,
            ..
        } => info!(call_id, party, peer = %flow.remote, transport = %flow.transport, app, "call"),
        Event::Answered { call_id, .. } => info!(call_id, "answered"),
        Event::Ended(summary) => ended(summary),
        // A digit may be part of a PIN; who watches the figures has them.
        Event::Digit { .. } | Event::Stats { .. } => {}
        Event::PinRefused {
            call_id,
            flow,
            mailbox,
            failures,
        } => {
            warn!(call_id, peer = %flow.remote, mailbox, failures, "PIN refused");
        }
        Event::DigitsNotSent { call_id, error } => warn!(call_id, error, "cannot send digits"),
        Event::PlayFailed { call_id, error } => warn!(call_id, error, "cannot play"),
        Event::RecordingFailed { call_id, error } => warn!(call_id, error, "cannot record"),
        Event::Refused { flow, status, user } => {
            info!(peer = %flow.remote, status, user, "refused");
        }
    }
}

fn ended(summary: &Summary) {
    let Summary {
        call_id,
        party,
        app,
        reason,
        set_up,
        talked,
        codec,
        stats,
        ..
    } = summary;
    let status = match reason {
        EndReason::Rejected(status, _) => *status,
        _ => 0,
    };
    let receive = stats.map(|s| s.receive).unwrap_or_default();
    let send = stats.map(|s| s.send).unwrap_or_default();
    let playout = stats.map(|s| s.playout).unwrap_or_default();
    let peer = stats.map(|s| s.peer).unwrap_or_default();
    let counts = stats.map(|s| s.counts).unwrap_or_default();
    info!(
        call_id,
        party,
        app,
        reason = reason.word(),
        status,
        set_up_ms = set_up.map_or(0, |d| d.as_millis() as u64),
        talked_s = talked.as_secs_f64(),
        codec = codec.unwrap_or("-"),
        rx_packets = receive.packets,
        rx_lost = receive.lost,
        rx_duplicates = receive.duplicates,
        rx_reordered = receive.reordered,
        rx_jitter_us = receive.jitter_us,
        rx_foreign = counts.foreign,
        rx_invalid = counts.invalid,
        concealed_samples = playout.concealed_samples,
        late = playout.late,
        digits = counts.digits,
        depth_ms = playout.mean_depth_samples / 8.0,
        tx_packets = send.packets,
        tx_lost = peer.lost,
        rtt_ms = peer.round_trip.map_or(0, |d| d.as_millis() as u64),
        "ended"
    );
}
