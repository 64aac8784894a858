//! Conference rooms.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calls::URI;
use super::members::{MemberBody, operate};
use super::plays::PlayBody;
use super::recording::RecordingBody;
use crate::api::{Context, Problem, Reply, Response, State};
use crate::room::{RoomOperation, RoomState};

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
    /// How many are in it or wait.
    members: usize,
    /// How many may be.
    max_members: usize,
    /// Only moderators may come.
    locked: bool,
    /// It is being recorded.
    recording: bool,
    /// Since when there is somebody in it (RFC 3339).
    created: String,
    /// When it has had its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
}

/// A room, and who is in it.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct RoomWithMembers {
    /// Its name: what is dialled for it.
    name: String,
    /// How many may be in it.
    max_members: usize,
    /// Only moderators may come.
    locked: bool,
    /// It is being recorded.
    recording: bool,
    /// How it is being recorded, or is about to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording_details: Option<RecordingBody>,
    /// Since when there is somebody in it (RFC 3339).
    created: String,
    /// When it has had its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
    /// Who is in it or waits, in the order of their calls.
    members: Vec<MemberBody>,
    /// What programs play in it.
    plays: Vec<PlayBody>,
}

impl RoomBody {
    fn of(room: &RoomState, state: &State) -> Self {
        Self {
            name: room.name.clone(),
            members: room.members.len(),
            max_members: room.max_members,
            locked: room.locked,
            recording: room.recorded,
            created: state.clock.text(room.created),
            ends: room.ends_at.map(|at| state.clock.text(at)),
        }
    }
}

pub(super) fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let after = context.request.query("after");
    let limit = context.request.number("limit", super::PAGE_SIZE);
    let mut rooms = context.switch.room_states();
    rooms.retain(|room| after.is_none_or(|after| room.name.as_str() > after));
    let more = rooms.len() > limit;
    rooms.truncate(limit);
    let next = rooms.last().filter(|_| more).map(|room| room.name.clone());
    let rooms = rooms.iter().map(|room| RoomBody::of(room, context.state));
    Ok(Reply::Now(Response::json(&Rooms {
        rooms: rooms.collect(),
        next,
    })))
}

fn shown(context: &Context<'_>) -> Result<Reply, Problem> {
    let name = context.request.path("room");
    let room = context.switch.room_state(name);
    let room = room.ok_or_else(|| Problem::not_found("room", name))?;
    let (members, talk) = (room.members.iter(), room.talk.as_ref());
    let plays = room.plays.iter();
    Ok(Reply::Now(Response::json(&RoomWithMembers {
        max_members: room.max_members,
        locked: room.locked,
        recording: room.recorded,
        recording_details: RecordingBody::find(&room.name, context),
        created: context.state.clock.text(room.created),
        ends: room.ends_at.map(|at| context.state.clock.text(at)),
        members: members
            .map(|member| MemberBody::of(member, context.state).talking(member.call, talk))
            .collect(),
        plays: plays
            .map(|play| PlayBody::of(play, context.state))
            .collect(),
        name: room.name,
    })))
}

pub(super) fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    shown(context)
}

/// What is to be different about a room: the fields that are there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::api) struct RoomChange {
    /// Only moderators may come.
    locked: Option<bool>,
    /// All but moderators are muted, or no longer.
    muted: Option<bool>,
    /// Nobody needs to wait any longer.
    #[schemars(extend("const" = true))]
    admitted: Option<bool>,
}

pub(super) fn change(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let new: RoomChange = context.request.json()?;
    if new.admitted == Some(false) {
        let why = "who is in cannot be made to wait again";
        return Err(Problem::invalid("admitted", why));
    }
    let operations = [
        new.locked.map(RoomOperation::Lock),
        new.muted.map(RoomOperation::MuteAll),
        new.admitted.map(|_| RoomOperation::AdmitAll),
    ];
    for operation in operations.into_iter().flatten() {
        operate(context, operation)?;
    }
    shown(context)
}

pub(super) fn end(context: &mut Context<'_>) -> Result<Reply, Problem> {
    operate(context, RoomOperation::End)?;
    Ok(Reply::Now(Response::empty()))
}

/// Whom a room is to call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Invitation {
    /// The SIP URI of who is called, and asked to join.
    #[schemars(length(min = 5, max = 500), regex(pattern = URI))]
    uri: String,
}

pub(super) fn invite(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let Invitation { uri } = context.request.json()?;
    if !(5..=500).contains(&uri.len()) {
        let why = format!("expected 5 to 500 bytes, found {}", uri.len());
        return Err(Problem::invalid("uri", why));
    }
    operate(context, RoomOperation::Dial { uri })?;
    Ok(Reply::Now(Response {
        status: 202,
        ..Response::empty()
    }))
}
