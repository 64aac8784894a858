//! Who is not heard for a while.

use std::net::IpAddr;
use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{Context, Problem, Reply, Response};
use crate::endpoint::Ban;

/// The bans that hold.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Bans {
    /// By address.
    bans: Vec<BanBody>,
    /// How many there are in all.
    total: usize,
}

/// A ban.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct BanBody {
    /// The source: an IPv4 address, or an IPv6 network.
    address: String,
    /// What is shut out: `all`, or `udp`.
    scope: String,
    /// What it is for.
    reason: &'static str,
    /// Bans of this source in a row.
    times: u32,
    /// Seconds that are left.
    seconds_left: u64,
}

/// How many bans were ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Lifted {
    lifted: usize,
}

impl BanBody {
    pub(in crate::api) fn of(ban: &Ban, now: Instant) -> Self {
        Self {
            address: ban.address(),
            scope: ban.scope.to_string(),
            reason: ban.reason.word(),
            times: ban.times,
            seconds_left: ban.until.saturating_duration_since(now).as_secs(),
        }
    }
}

pub(super) fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let limit = context.request.number("limit", super::PAGE_SIZE);
    let bans = context.switch.bans(context.now);
    let total = bans.len();
    Ok(Reply::Now(Response::json(&Bans {
        bans: bans
            .iter()
            .take(limit)
            .map(|ban| BanBody::of(ban, context.now))
            .collect(),
        total,
    })))
}

pub(super) fn lift(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let text = context.request.path("address");
    let address = text.strip_suffix("/64").unwrap_or(text);
    let address: IpAddr = address
        .parse()
        .map_err(|_| Problem::invalid("address", "expected an IP address"))?;
    if !context.switch.lift_ban(address, context.now) {
        return Err(Problem::not_found("ban of", text));
    }
    Ok(Reply::Now(Response::empty()))
}

pub(super) fn clear(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let bans = context.switch.bans(context.now);
    let lift = |ban: &&Ban| context.switch.lift_ban(ban.source, context.now);
    let lifted = bans.iter().filter(lift).count();
    Ok(Reply::Now(Response::json(&Lifted { lifted })))
}
