//! Things as programs get to see them.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::state::{Ari, Bridge, Channel, Kind, Target, Task};
use crate::api::Clock;
use crate::call::{CallHandle, EndReason};
use crate::switch::Switch;

/// A moment as ISO 8601 has it, with milliseconds and an offset.
pub(super) fn time(clock: &Clock, at: Instant) -> String {
    let text = clock.text(at);
    let plain = text.strip_suffix('Z').unwrap_or(&text);
    format!("{plain}+0000")
}

pub(super) fn channel(channel: &Channel, clock: &Clock) -> Value {
    let (app_name, app_data) = match &channel.app {
        Some((app, args)) => {
            let data = [std::slice::from_ref(app), args].concat().join(",");
            ("Stasis", data)
        }
        None => ("", String::new()),
    };
    json!({
        "id": channel.id,
        "name": channel.name,
        "state": channel.state,
        "protocol_id": channel.protocol_id,
        "caller": {"name": channel.caller.0, "number": channel.caller.1},
        "connected": {"name": channel.connected.0, "number": channel.connected.1},
        "accountcode": "",
        "dialplan": {
            "context": "default",
            "exten": channel.exten,
            "priority": 1,
            "app_name": app_name,
            "app_data": app_data,
        },
        "creationtime": time(clock, channel.created),
        "language": channel.language,
    })
}

pub(super) fn bridge(bridge: &Bridge, members: &[CallHandle], ari: &Ari, clock: &Clock) -> Value {
    let ids: Vec<&str> = members
        .iter()
        .filter_map(|call| ari.channels.get(call))
        .map(|channel| channel.id.as_str())
        .collect();
    let technology = match bridge.kind {
        "holding" => "holding_bridge",
        _ => "softmix",
    };
    json!({
        "id": bridge.id,
        "technology": technology,
        "bridge_type": bridge.kind,
        "bridge_class": "stasis",
        "creator": "Stasis",
        "name": bridge.name,
        "channels": ids,
        "creationtime": time(clock, bridge.created),
        "video_mode": "none",
    })
}

/// A bridge with who is in it now.
pub(super) fn bridge_now(of: &Bridge, switch: &Switch, ari: &Ari, clock: &Clock) -> Value {
    bridge(of, &switch.bridge_members(of.number), ari, clock)
}

/// A playback or a live recording.
pub(super) fn task(task: &Task) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    match &task.kind {
        Kind::Playback {
            id,
            media_uri,
            language,
        } => {
            put("id", json!(id));
            put("media_uri", json!(media_uri));
            put("language", json!(language));
        }
        Kind::Recording { name, format } => {
            put("name", json!(name));
            put("format", json!(format));
        }
    }
    put("target_uri", json!(task.target_uri));
    put("state", json!(task.state));
    if let (Kind::Recording { .. }, Some(seconds)) = (&task.kind, task.seconds) {
        put("duration", json!(seconds));
    }
    if let (Kind::Recording { .. }, Some(cause)) = (&task.kind, &task.cause) {
        put("cause", json!(cause));
    }
    Value::Object(body)
}

/// What a target is called.
pub(super) fn target_uri(target: &Target, ari: &Ari) -> String {
    match target {
        Target::Channel(call) => {
            let id = ari.channels.get(call).map_or("", |c| c.id.as_str());
            format!("channel:{id}")
        }
        Target::Bridge(id) => format!("bridge:{id}"),
    }
}

/// The cause (ITU-T Q.850) of an end, and its text.
pub(super) fn cause(reason: &EndReason) -> (u16, &'static str) {
    let cause = match reason {
        EndReason::Rejected(status, _) => cause_of(*status),
        EndReason::NoAnswer => 19,
        EndReason::NoAck | EndReason::MediaTimeout | EndReason::SessionExpired => 102,
        EndReason::HandshakeFailed(_) => 58,
        EndReason::TransportFailed => 38,
        EndReason::Shutdown => 41,
        EndReason::HungUp
        | EndReason::RemoteHungUp
        | EndReason::Cancelled
        | EndReason::MaxLength => 16,
    };
    (cause, cause_text(cause))
}

/// The cause of a SIP status (RFC 3398 §8.2.6.1).
const fn cause_of(status: u16) -> u16 {
    match status {
        400 | 401 | 402 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        408 | 504 => 102,
        410 => 22,
        480 => 18,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 58,
        502 => 38,
        503 => 34,
        _ => 127,
    }
}

pub(super) const fn cause_text(cause: u16) -> &'static str {
    match cause {
        1 => "Unallocated (unassigned) number",
        16 => "Normal Clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "User alerting, no answer",
        21 => "Call Rejected",
        22 => "Number changed",
        26 => "Answered elsewhere",
        28 => "Invalid number format",
        34 => "Circuit/channel congestion",
        38 => "Network out of order",
        41 => "Temporary failure",
        58 => "Bearer capability not available",
        102 => "Recover on timer expiry",
        _ => "Interworking, unspecified",
    }
}

/// The status that refuses a call for a cause (RFC 3398 §7.2.4.1).
pub(super) const fn status_of(cause: u16) -> u16 {
    match cause {
        1..=3 => 404,
        17 => 486,
        18 | 19 => 480,
        21 => 403,
        22 | 23 => 410,
        28 => 484,
        34 | 38 | 41 | 42 => 503,
        58 | 65 | 79 => 488,
        102 => 504,
        127 => 500,
        _ => 603,
    }
}

/// The cause that a program names.
pub(super) fn cause_named(reason: &str) -> Option<u16> {
    Some(match reason {
        "normal" | "normal_unspecified" => 16,
        "busy" => 17,
        "congestion" => 34,
        "no_answer" => 19,
        "timeout" => 102,
        "rejected" => 21,
        "unallocated" => 1,
        "number_incomplete" => 28,
        "codec_mismatch" => 58,
        "interworking" => 127,
        "failure" => 38,
        "answered_elsewhere" => 26,
        _ => return None,
    })
}
