//! The log: one structured line per thing that happened, the Call-ID on each.

use std::net::IpAddr;
use std::time::Duration;

use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::app::PlayOutcome;
use crate::audio::level::SILENCE_DBOV;
use crate::call::EndReason;
use crate::config::LogFormat;
use crate::endpoint::Ban;
use crate::leg::LegStats;
use crate::room::{RoomChange, RoomEvent};
use crate::rtp::bursts;
use crate::store::recorder::RecorderEvent;
use crate::switch::{Event, RoomRecordingChange, RoomRecordingEvent, Summary};

/// Starts logging to standard error. `RUST_LOG` overrides the filter, unless it says nothing.
pub fn init(filter: &str, format: LogFormat) {
    let variable = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = effective_filter(&variable, filter);
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

/// What `RUST_LOG` says, else what is configured. An empty filter would log nothing at all.
fn effective_filter(variable: &str, configured: &str) -> EnvFilter {
    let said = Some(variable.trim()).filter(|said| !said.is_empty());
    said.and_then(|said| EnvFilter::try_new(said).ok())
        .unwrap_or_else(|| EnvFilter::new(configured))
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
        // A digit may be part of a PIN; who watches the figures has them; programs say themselves
        // what they do.
        Event::Digit { .. }
        | Event::Stats { .. }
        | Event::Progress { .. }
        | Event::Entered { .. }
        | Event::Left { .. }
        | Event::Reported { .. }
        | Event::Talking { .. }
        | Event::Held { .. }
        | Event::Text(..)
        | Event::Talkers(_)
        // By its bridge's name, which is known elsewhere.
        | Event::BridgePlayFailed { .. }
        | Event::Bridge { .. } => {}
        Event::PinRefused {
            call_id,
            flow,
            mailbox,
            failures,
        } => {
            warn!(call_id, peer = %flow.remote, mailbox, failures, "PIN refused");
        }
        Event::RoomPinRefused {
            call_id,
            flow,
            room,
            failures,
        } => {
            warn!(call_id, peer = %flow.remote, room, failures, "PIN refused");
        }
        Event::Room(event) => room(event),
        Event::RoomRecording(event) => room_recording(event),
        Event::DigitsNotSent { call_id, error } => warn!(call_id, error, "cannot send digits"),
        Event::MediaFailed { call_id, error } => {
            warn!(call_id, error, "cannot encode or decode what was agreed on");
        }
        Event::RtcpFailed { call_id, error } => {
            warn!(
                call_id,
                error, "no keys for RTCP, the call goes on without it"
            );
        }
        Event::RekeyFailed { call_id, error } => {
            warn!(call_id, error, "no new keys, the call keeps those it has");
        }
        Event::PlayFailed { call_id, error } => warn!(call_id, error, "cannot play"),
        Event::RecordingFailed { call_id, error } => warn!(call_id, error, "cannot record"),
        Event::Refused { flow, status, user } => {
            info!(peer = %flow.remote, status, user, "refused");
        }
    }
}

/// A bridge of this name could not play something.
pub(super) fn bridge_play_failed(bridge: &str, error: &str) {
    warn!(bridge, error, "cannot play");
}

/// What comes and goes is worth a line; what members change in between is not.
fn room(event: &RoomEvent) {
    let room = event.room.as_str();
    match &event.change {
        RoomChange::Created => info!(room, "room begins"),
        RoomChange::Waiting(member) => {
            info!(room, member = member.call.0, party = member.party, "waits");
        }
        RoomChange::Joined(member) => {
            let role = member.role.word();
            info!(
                room,
                member = member.call.0,
                party = member.party,
                role,
                "joined"
            );
        }
        RoomChange::Left {
            call,
            party,
            reason,
            talked,
        } => {
            let talked_s = talked.map(|talked| tenths(talked.as_secs_f64()));
            info!(
                room,
                member = call.0,
                party,
                reason = reason.word(),
                talked_s,
                "left"
            );
        }
        RoomChange::PlayEnded {
            outcome: PlayOutcome::Failed(error),
            ..
        } => warn!(room, error, "cannot play"),
        RoomChange::Ended(cause) => info!(room, cause = cause.word(), "room is gone"),
        RoomChange::NotJoined { uri, reason } => info!(room, uri, reason, "not joined"),
        RoomChange::Changed(_)
        | RoomChange::Locked(_)
        | RoomChange::Ending { .. }
        | RoomChange::Recording(_)
        | RoomChange::RecordingAsked { .. }
        | RoomChange::PlayBegan(_)
        | RoomChange::PlayEnded { .. }
        | RoomChange::Dialling { .. } => {}
    }
}

fn room_recording(event: &RoomRecordingEvent) {
    use RoomRecordingChange as Change;
    let (room, recording) = (event.room.as_str(), event.recording);
    match &event.change {
        Change::Began { files, sidecar } => {
            let (files, sidecar) = (files.len(), sidecar.display());
            info!(room, recording, files, %sidecar, "recording a room");
        }
        Change::Track { member, file } => {
            info!(room, recording, member, path = %file.display(), "recording a member");
        }
        Change::Paused { silence } => info!(room, recording, silence, "recording paused"),
        Change::Resumed => info!(room, recording, "recording resumed"),
        Change::Split { full, file } => info!(
            room,
            recording,
            full = %full.display(),
            path = %file.display(),
            "recording goes on in another file"
        ),
        Change::Ended {
            files,
            sidecar,
            length,
        } => {
            let (files, sidecar) = (files.len(), sidecar.display());
            let seconds = length.as_secs_f64();
            info!(room, recording, files, %sidecar, seconds, "recording of a room closed");
        }
        Change::Failed { error } => warn!(room, recording, error, "cannot record a room"),
    }
}

/// One line for each ban, in a form that stays (docs/access.md: fail2ban reads it).
pub(super) fn banned(ban: &Ban) {
    warn!(
        address = %ban.address(),
        scope = %ban.scope,
        reason = ban.reason.word(),
        seconds = ban.length.as_secs(),
        times = ban.times,
        "banned"
    );
}

/// And one for a ban that somebody has ended.
pub(super) fn lifted(source: IpAddr) {
    info!(address = %source, "ban lifted");
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
    if let EndReason::HandshakeFailed(why) = reason {
        warn!(call_id, why, "no keys for the media by DTLS");
    }
    // What is not known is left out.
    let s = stats.as_ref();
    let voip = s.and_then(|s| s.peer.voip);
    let rating = s.and_then(|s| s.rating);
    info!(
        call_id,
        party,
        app,
        reason = reason.word(),
        status,
        set_up_ms = set_up.map(ms),
        talked_s = tenths(talked.as_secs_f64()),
        codec = codec.unwrap_or("-"),
        rx_packets = s.map(|s| s.receive.packets),
        rx_lost = s.map(|s| s.receive.lost),
        rx_loss_percent = s.map(|s| percent(s.loss.loss_rate())),
        rx_discarded = s.map(|s| s.loss.discarded),
        rx_duplicates = s.map(|s| s.receive.duplicates),
        rx_reordered = s.map(|s| s.receive.reordered),
        rx_foreign = s.map(|s| s.counts.foreign),
        srtp = s.map(|s| s.secure),
        rx_unauthenticated = s.map(|s| s.counts.unauthenticated),
        rx_before_keys = s.map(|s| s.counts.before_keys),
        rx_replayed = s.map(|s| s.counts.replayed),
        rx_invalid = s.map(|s| s.counts.invalid),
        rx_jitter_ms = s.map(|s| us(s.receive.jitter_us)),
        rx_jitter_max_ms = s.map(|s| us(s.receive.max_jitter_us)),
        bursts = s.map(|s| s.loss.bursts),
        burst_density_percent = s.map(|s| percent(s.loss.burst_density)),
        burst_ms = s.map(|s| ms(bursts::duration(s.loss.burst_packets, s.packet_time))),
        gap_density_percent = s.map(|s| percent(s.loss.gap_density)),
        gap_ms = s.map(|s| ms(bursts::duration(s.loss.gap_packets, s.packet_time))),
        buffer_ms = s.map(|s| tenths(s.buffer_ms().0.into())),
        buffer_mean_ms = s.map(|s| tenths(s.buffer_ms().1.into())),
        buffer_max_ms = s.map(|s| tenths(s.buffer_ms().2.into())),
        late = s.map(|s| s.playout.late),
        concealed_ms = s.map(LegStats::concealed_ms),
        concealed_samples = s.map(|s| s.playout.concealed_samples),
        tx_packets = s.map(|s| s.send.packets),
        tx_lost = s.map(|s| s.peer.lost),
        rtt_ms = s.and_then(|s| s.peer.round_trip).map(ms),
        rtt_max_ms = s.and_then(|s| s.peer.max_round_trip).map(ms),
        delay_ms = s.map(|s| ms(s.delay)),
        r_factor = rating.map(|r| tenths(r.r_factor.into())),
        mos_lq = rating.map(|r| hundredths(r.mos_lq.into())),
        mos_cq = rating.map(|r| hundredths(r.mos_cq.into())),
        speech_dbov = s.and_then(|s| level(s.level.speech_dbov)),
        noise_dbov = s.and_then(|s| level(s.level.noise_dbov)),
        talk_s = s.map(|s| tenths(s.level.talked.as_secs_f64())),
        digits = s.map(|s| s.counts.digits),
        xr_sent = s.map(|s| s.counts.xr_sent),
        xr_received = s.map(|s| s.counts.xr_received),
        peer_loss_percent = voip.map(|v| percent(f32::from(v.loss_rate) / 256.0)),
        peer_discard_percent = voip.map(|v| percent(f32::from(v.discard_rate) / 256.0)),
        peer_buffer_ms = voip.map(|v| v.buffer_nominal_ms),
        peer_delay_ms = voip.map(|v| v.end_system_delay_ms),
        peer_r_factor = voip.and_then(|v| v.r_factor),
        peer_mos_lq = voip.and_then(|v| v.mos_lq).map(|m| f64::from(m) / 10.0),
        peer_mos_cq = voip.and_then(|v| v.mos_cq).map(|m| f64::from(m) / 10.0),
        "ended"
    );
}

fn ms(duration: Duration) -> f64 {
    tenths(duration.as_secs_f64() * 1000.0)
}

fn us(us: u32) -> f64 {
    tenths(f64::from(us) / 1000.0)
}

fn percent(share: f32) -> f64 {
    hundredths(f64::from(share) * 100.0)
}

fn level(dbov: f32) -> Option<f64> {
    (dbov > SILENCE_DBOV).then(|| tenths(dbov.into()))
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What became of a recording.
pub(super) fn recorder(event: &RecorderEvent, call_id: Option<&str>) {
    let call_id = call_id.unwrap_or("-");
    match event {
        RecorderEvent::Closed {
            path,
            samples,
            rate,
            overflow_filled,
            ..
        } => info!(
            call_id,
            path = %path.display(),
            seconds = *samples as f64 / f64::from(*rate),
            filled_samples = overflow_filled,
            "recording closed"
        ),
        RecorderEvent::RolledOver { full, path, .. } => info!(
            call_id,
            full = %full.display(),
            path = %path.display(),
            "recording goes on in another file"
        ),
        RecorderEvent::Failed {
            path,
            error,
            samples,
            ..
        } => warn!(
            call_id,
            path = %path.display(),
            error,
            samples,
            "recording broke off; what is written is valid"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_says_nothing_leaves_the_log_as_configured() {
        let filter = |variable| effective_filter(variable, "warn").to_string();
        for nothing in ["", " ", "antiphon=loud"] {
            assert_eq!(filter(nothing), "warn", "{nothing:?}");
        }
        assert_eq!(filter("debug"), "debug");
    }
}
