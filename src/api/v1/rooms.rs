//! Conference rooms.

use schemars::JsonSchema;
use serde::Serialize;

use super::calls::{CallBody, named_by};
use crate::api::{Context, Problem, Reply, Response};
use crate::room::Room;

/// Some rooms.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Rooms {
    /// By name.
    rooms: Vec<RoomBody>,
    /// Where the next page begins: `after` of the next request. Absent: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct RoomBody {
    /// Its name: what is dialled for it.
    name: String,
    /// How many are in it.
    members: usize,
    /// How many may be.
    max_members: usize,
}

/// A room, and who is in it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct RoomWithMembers {
    /// Its name: what is dialled for it.
    name: String,
    /// How many may be in it.
    max_members: usize,
    /// Who is in it, in the order in which they came.
    members: Vec<CallBody>,
}

impl RoomBody {
    fn of(room: &Room) -> Self {
        Self {
            name: room.name.clone(),
            members: room.members().len(),
            max_members: room.max_members,
        }
    }
}

pub(super) fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let after = context.request.query("after");
    let limit = context.request.number("limit", super::PAGE_SIZE);
    let mut rooms = context.switch.room_list();
    rooms.retain(|room| after.is_none_or(|after| room.name.as_str() > after));
    let more = rooms.len() > limit;
    rooms.truncate(limit);
    let next = rooms.last().filter(|_| more).map(|room| room.name.clone());
    Ok(Reply::Now(Response::json(&Rooms {
        rooms: rooms.into_iter().map(RoomBody::of).collect(),
        next,
    })))
}

pub(super) fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = context.request.path("room");
    let room = context.switch.room(name);
    let room = room.ok_or_else(|| Problem::not_found("room", name))?;
    let members = room.members();
    let views = members.iter().filter_map(|&call| context.switch.view(call));
    Ok(Reply::Now(Response::json(&RoomWithMembers {
        name: room.name.clone(),
        max_members: room.max_members,
        members: views
            .map(|view| CallBody::of(&view, context.state, context.now))
            .collect(),
    })))
}

pub(super) fn kick(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let (name, id) = (context.request.path("room"), context.request.path("call"));
    let call = named_by(context, id)?;
    let room = context.switch.room(name);
    let room = room.ok_or_else(|| Problem::not_found("room", name))?;
    if !room.members().contains(&call) {
        return Err(Problem::not_found("member", id));
    }
    context.switch.hang_up(call, context.now);
    Ok(Reply::Now(Response::empty()))
}
