//! The server itself.

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{Context, Problem, Reply, Response};

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
