//! Members of conference rooms: what programs see of them, and do with them.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calls::named_by;
use crate::api::description::NO_CONTROLS;
use crate::api::{Context, Problem, Reply, Response, State};
use crate::app::room::Role as RoomRole;
use crate::call::CallHandle;
use crate::room::{GAIN_DB, MemberState, RoomError, RoomOperation, RoomTalk, Scope as RoomScope};

/// A member of a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct MemberBody {
    /// Its call.
    id: String,
    /// The other party's user, or host.
    party: String,
    /// What it may do.
    role: Role,
    /// It is not let in yet: it hears nobody, and nobody hears it.
    waiting: bool,
    /// It has muted itself.
    muted: bool,
    /// Somebody has muted it: it cannot unmute itself.
    muted_by_moderator: bool,
    /// It hears nobody.
    deaf: bool,
    /// It hears music alone, and nobody hears it.
    on_hold: bool,
    /// It wants to say something.
    hand_raised: bool,
    /// The gain of what it says, dB.
    gain_in_db: i8,
    /// The gain of what it hears, dB.
    gain_out_db: i8,
    /// Whom it hears.
    hears: Scope,
    /// Who hears it.
    heard_by: Scope,
    /// Its side conversation. Absent: it takes part in the room's.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Since when it is in, or waits (RFC 3339).
    since: String,
    /// How it talks. Absent where that is not followed, and in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    talk: Option<TalkBody>,
}

/// How a member talks.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct TalkBody {
    /// It does so now.
    talking: bool,
    /// It was clearly the loudest last.
    dominant: bool,
    /// How loud it was when it talked last, dBov. Absent: it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    level_dbov: Option<i8>,
    /// For how many seconds it has talked since it came in, as far as that was followed.
    seconds: f64,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    /// Takes part.
    Member,
    /// Leads.
    Moderator,
}

/// Some of the members of a room.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Scope {
    /// All.
    All,
    /// These calls alone.
    Only(#[schemars(length(max = 1000))] Vec<String>),
    /// All but these calls.
    Except(#[schemars(length(max = 1000))] Vec<String>),
}

impl MemberBody {
    pub(in crate::api) fn of(member: &MemberState, state: &State) -> Self {
        let calls = |set: &BTreeSet<CallHandle>| set.iter().map(|&c| state.call_id(c)).collect();
        let scope = |scope: &RoomScope| match scope {
            RoomScope::All => Scope::All,
            RoomScope::Only(set) => Scope::Only(calls(set)),
            RoomScope::Except(set) => Scope::Except(calls(set)),
        };
        Self {
            id: state.call_id(member.call),
            party: member.party.clone(),
            role: match member.role {
                RoomRole::Member => Role::Member,
                RoomRole::Moderator => Role::Moderator,
            },
            waiting: member.waiting,
            muted: member.muted,
            muted_by_moderator: member.muted_by_moderator,
            deaf: member.deaf,
            on_hold: member.on_hold,
            hand_raised: member.hand_raised,
            gain_in_db: member.gain_in_db,
            gain_out_db: member.gain_out_db,
            hears: scope(&member.relations.hears),
            heard_by: scope(&member.relations.heard_by),
            group: member.relations.group.clone(),
            since: state.clock.text(member.since),
            talk: None,
        }
    }

    /// The same with how it talks, where that is followed.
    pub(super) fn talking(mut self, call: CallHandle, talk: Option<&RoomTalk>) -> Self {
        self.talk = talk.map(|talk| {
            let member = talk.members.get(&call);
            TalkBody {
                talking: member.is_some_and(|m| m.talking),
                dominant: talk.dominant == Some(call),
                level_dbov: member.map(|m| m.level_dbov),
                seconds: member.map_or(0.0, |m| tenths(m.talked)),
            }
        });
        self
    }
}

/// Seconds, to a tenth.
pub(in crate::api) fn tenths(length: Duration) -> f64 {
    (length.as_secs_f64() * 10.0).round() / 10.0
}

/// What is to be different about a member: the fields that are there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::api) struct MemberChange {
    /// Nobody hears it, and it cannot change that; `false` undoes its own muting too.
    muted: Option<bool>,
    /// It hears nobody.
    deaf: Option<bool>,
    /// It hears music alone, and nobody hears it.
    on_hold: Option<bool>,
    /// It wants to say something.
    hand_raised: Option<bool>,
    /// The gain of what it says, dB.
    #[schemars(range(min = -24, max = 24))]
    gain_in_db: Option<i8>,
    /// The gain of what it hears, dB.
    #[schemars(range(min = -24, max = 24))]
    gain_out_db: Option<i8>,
    /// What it may do.
    role: Option<Role>,
    /// It need not wait any longer.
    #[schemars(extend("const" = true))]
    admitted: Option<bool>,
    /// Its side conversation: those of one name hear each other alone. Empty: back to the room's.
    #[schemars(length(max = 64))]
    group: Option<String>,
    /// Whom it hears.
    hears: Option<Scope>,
    /// Who hears it.
    heard_by: Option<Scope>,
}

/// Where a member goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct MemberMove {
    /// The room.
    #[schemars(length(min = 1, max = 64), regex(pattern = NO_CONTROLS))]
    room: String,
}

/// What an operation's error is to whoever asked for it.
pub(super) fn problem(error: &RoomError) -> Problem {
    let text = error.to_string();
    match error {
        RoomError::NoRoom(_) | RoomError::NoMember(_) | RoomError::NoPlay(_) => {
            Problem::new(404, text)
        }
        RoomError::TooManyRelations
        | RoomError::Full(_)
        | RoomError::NotPlaying(_)
        | RoomError::TooManyPlays
        | RoomError::TooManyPlaysTo(_)
        | RoomError::Background
        | RoomError::Recorded(_)
        | RoomError::NotRecorded(_) => Problem::conflict(text),
        RoomError::Gain(_) => Problem::invalid("gain", text),
        RoomError::Group => Problem::invalid("group", text),
        RoomError::Uri(_) => Problem::invalid("uri", text),
        RoomError::TooManyCalls | RoomError::TooManyRecordings | RoomError::TooManyRooms => {
            Problem::later(503, text, 5)
        }
    }
}

/// Does something with the room that the path names.
pub(super) fn operate(context: &mut Context<'_>, what: RoomOperation) -> Result<(), Problem> {
    let room = context.request.path("room").to_owned();
    let done = context.switch.room_operation(&room, what, context.now);
    done.map_err(|error| problem(&error))
}

/// The member that the path names.
fn member(context: &Context<'_>) -> Result<CallHandle, Problem> {
    let (name, id) = (context.request.path("room"), context.request.path("call"));
    let call = named_by(context, id)?;
    let room = context.switch.room_state(name);
    let room = room.ok_or_else(|| Problem::not_found("room", name))?;
    if room.members.iter().any(|m| m.call == call) {
        Ok(call)
    } else {
        Err(Problem::not_found("member", id))
    }
}

fn scope(context: &Context<'_>, field: &str, scope: Scope) -> Result<RoomScope, Problem> {
    let calls = |ids: Vec<String>| {
        let handle = |id: String| {
            let handle = context.state.call_of(&id);
            handle.ok_or_else(|| Problem::not_found("call", &id).of_field(field))
        };
        if ids.len() > 1000 {
            return Err(Problem::invalid(field, "expected 1000 calls at most"));
        }
        ids.into_iter().map(handle).collect()
    };
    Ok(match scope {
        Scope::All => RoomScope::All,
        Scope::Only(ids) => RoomScope::Only(calls(ids)?),
        Scope::Except(ids) => RoomScope::Except(calls(ids)?),
    })
}

pub(super) fn kick(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let member = member(context)?;
    operate(context, RoomOperation::Kick(member))?;
    Ok(Reply::Now(Response::empty()))
}

pub(super) fn move_to(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let member = member(context)?;
    let MemberMove { room } = context.request.json()?;
    if !crate::app::room::is_name(&room) {
        let why = "expected 1 to 64 characters, no control characters";
        return Err(Problem::invalid("room", why));
    }
    operate(context, RoomOperation::Move { member, to: room })?;
    Ok(Reply::Now(Response::empty()))
}

/// Everything is looked at before anything is done.
pub(super) fn change(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = member(context)?;
    let new: MemberChange = context.request.json()?;
    let hears = new.hears.map(|s| scope(context, "hears", s)).transpose()?;
    let heard_by = new.heard_by.map(|s| scope(context, "heard_by", s));
    let heard_by = heard_by.transpose()?;
    if new.admitted == Some(false) {
        let why = "who is in cannot be made to wait again";
        return Err(Problem::invalid("admitted", why));
    }
    let role = new.role.map(|role| match role {
        Role::Member => RoomRole::Member,
        Role::Moderator => RoomRole::Moderator,
    });
    let mut gains = new.gain_in_db.into_iter().chain(new.gain_out_db);
    if let Some(db) = gains.find(|db| !GAIN_DB.contains(db)) {
        return Err(problem(&RoomError::Gain(db)));
    }
    // What may be refused comes first, and as one.
    let related = hears.is_some() || heard_by.is_some() || new.group.is_some();
    let operations = [
        related.then_some(RoomOperation::Relate {
            member: call,
            hears,
            heard_by,
            group: new.group,
        }),
        (new.gain_in_db.is_some() || new.gain_out_db.is_some()).then_some(RoomOperation::Gain {
            member: call,
            in_db: new.gain_in_db,
            out_db: new.gain_out_db,
        }),
        new.muted.map(|on| RoomOperation::Mute(call, on)),
        new.deaf.map(|on| RoomOperation::Deafen(call, on)),
        new.on_hold.map(|on| RoomOperation::Hold(call, on)),
        new.hand_raised.map(|on| RoomOperation::RaiseHand(call, on)),
        role.map(|role| RoomOperation::SetRole(call, role)),
        new.admitted.map(|_| RoomOperation::Admit(call)),
    ];
    for operation in operations.into_iter().flatten() {
        operate(context, operation)?;
    }
    let name = context.request.path("room");
    let room = context.switch.room_state(name);
    let talk = room.as_ref().and_then(|room| room.talk.as_ref());
    let mut members = room.iter().flat_map(|room| &room.members);
    let member = members.find(|m| m.call == call);
    let member = member.map(|m| MemberBody::of(m, context.state).talking(call, talk));
    let member =
        member.ok_or_else(|| Problem::not_found("member", context.request.path("call")))?;
    Ok(Reply::Now(Response::json(&member)))
}
