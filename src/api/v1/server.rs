//! The server itself.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::metrics::{CONTENT_TYPE, Type, Writer};
use crate::api::{Context, Problem, Reply, Response};
use crate::call::Phase;

/// The server.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct ServerBody {
    /// The version of the software.
    version: &'static str,
    /// When it started (RFC 3339).
    started: String,
    /// Seconds since then.
    uptime_seconds: u64,
    /// No new calls are taken: the server is about to end.
    draining: bool,
    /// Calls that are not over.
    calls: usize,
    /// How many there may be.
    max_calls: usize,
    /// Rooms with anybody in them.
    rooms: usize,
}

/// A word.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct StatusBody {
    /// `ok`.
    status: &'static str,
}

const OK: StatusBody = StatusBody { status: "ok" };

pub(super) fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let state = &context.state;
    Ok(Reply::Now(Response::json(&ServerBody {
        version: env!("CARGO_PKG_VERSION"),
        started: state.clock.text(state.started),
        uptime_seconds: context
            .now
            .saturating_duration_since(state.started)
            .as_secs(),
        draining: context.edge.is_draining(),
        calls: context.switch.calls(),
        max_calls: context.edge.max_calls(),
        rooms: context.switch.rooms(),
    })))
}

pub(super) fn health(_: &mut Context<'_>) -> Result<Reply, Problem> {
    Ok(Reply::Now(Response::json(&OK)))
}

pub(super) fn ready(context: &mut Context<'_>) -> Result<Reply, Problem> {
    if context.edge.is_draining() {
        return Err(Problem::new(
            503,
            "no new calls: the server is about to end",
        ));
    }
    if !context.edge.media_alive() {
        return Err(Problem::new(503, "a media thread has ended"));
    }
    Ok(Reply::Now(Response::json(&OK)))
}

pub(super) fn metrics(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let mut out = Writer::default();
    let switch = &context.switch;
    let views = switch.handles();
    let views: Vec<_> = views.into_iter().filter_map(|h| switch.view(h)).collect();
    out.metric(
        "antiphon_calls",
        Type::Gauge,
        "Calls that are not over, by how far they are.",
    );
    for phase in [Phase::Setup, Phase::Up, Phase::Ending] {
        let count = views.iter().filter(|view| view.phase == phase).count();
        out.sample("antiphon_calls", &[("state", phase.word())], count as f64);
    }
    let rooms = switch.room_list();
    let members: usize = rooms.iter().map(|room| room.members().len()).sum();
    let recording = views.iter().filter(|view| view.is_recording).count();
    let recording = recording + switch.room_recordings() + switch.bridge_recordings();
    for (name, help, value) in [
        ("antiphon_rooms", "Rooms with anybody in them.", rooms.len()),
        ("antiphon_room_members", "Members of all rooms.", members),
        (
            "antiphon_recordings",
            "Calls, rooms and bridges that are being recorded.",
            recording,
        ),
        (
            "antiphon_calls_max",
            "How many calls there may be.",
            context.edge.max_calls(),
        ),
        (
            "antiphon_sip_transactions",
            "SIP transactions that have not ended.",
            switch.transactions(),
        ),
    ] {
        out.single(name, Type::Gauge, help, value as f64);
    }
    out.metric(
        "antiphon_build_info",
        Type::Gauge,
        "1, and the version of the software.",
    );
    out.sample(
        "antiphon_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    let state = &context.state;
    out.single(
        "process_start_time_seconds",
        Type::Gauge,
        "When the server started, in seconds since 1970.",
        state.clock.seconds(state.started) as f64,
    );
    let draining = f64::from(u8::from(context.edge.is_draining()));
    out.single(
        "antiphon_draining",
        Type::Gauge,
        "1: no new calls, the server is about to end.",
        draining,
    );
    state.counters.write(&mut out);
    context.edge.metrics(&mut out);
    Ok(Reply::Now(Response::new(200, CONTENT_TYPE, out.finish())))
}
