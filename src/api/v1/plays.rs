//! What programs play in conference rooms.

use std::time::Duration;

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::calls::{named_by, within};
use super::members::problem;
use super::{CONTROL, NO_ROOM, READ, done, ok, problem as fails};
use crate::api::ari::melody;
use crate::api::message::Method;
use crate::api::table::{Answer, Body, Operation};
use crate::api::{Context, Problem, Reply, Response, State};
use crate::app::room::Ducking as RoomDucking;
use crate::app::{PlayId, PlayItem};
use crate::room::{Audience, PlayOrder, PlayPhase, PlayState, RoomError, RoomState};

const PATH: &str = "/api/v1/rooms/{room}/plays";
const ONE: &str = "/api/v1/rooms/{room}/plays/{play}";
const NO_PLAY: Answer = fails(404, "There is no such room, or no such play in it.");

pub(super) const LIST: Operation = Operation {
    method: Method::Get,
    path: PATH,
    access: READ,
    id: "listPlays",
    tag: "rooms",
    summary: "What programs play in a room, in the order in which they wanted it.",
    query: &[],
    body: None,
    answers: &[
        ok("The plays.", SchemaGenerator::subschema_for::<Plays>),
        NO_ROOM,
    ],
    run: list,
};

pub(super) const START: Operation = Operation {
    method: Method::Post,
    path: PATH,
    access: CONTROL,
    id: "playInRoom",
    tag: "rooms",
    summary: "Plays something to all in a room, one play after the other, or to one member.",
    query: &[],
    body: Some(SchemaGenerator::subschema_for::<NewPlay>),
    answers: &[
        Answer {
            status: 201,
            about: "It is looked for, or waits for its turn; events tell how it goes on.",
            body: Body::Json(SchemaGenerator::subschema_for::<PlayBody>),
        },
        fails(400, "A field is wrong: `field` says which."),
        fails(404, "There is no such room, or no such member in it."),
        fails(409, "The room or the member has as many plays as it may."),
    ],
    run: start,
};

pub(super) const SHOW: Operation = Operation {
    method: Method::Get,
    path: ONE,
    access: READ,
    id: "showPlay",
    tag: "rooms",
    summary: "One of them.",
    query: &[],
    body: None,
    answers: &[
        ok("The play.", SchemaGenerator::subschema_for::<PlayBody>),
        NO_PLAY,
    ],
    run: show,
};

pub(super) const CHANGE: Operation = Operation {
    method: Method::Post,
    path: ONE,
    access: CONTROL,
    id: "changePlay",
    tag: "rooms",
    summary: "Pauses it, or lets it go on.",
    query: &[],
    body: Some(SchemaGenerator::subschema_for::<PlayChange>),
    answers: &[
        ok("The play.", SchemaGenerator::subschema_for::<PlayBody>),
        NO_PLAY,
        fails(409, "It has not begun."),
    ],
    run: change,
};

pub(super) const STOP: Operation = Operation {
    method: Method::Delete,
    path: ONE,
    access: CONTROL,
    id: "stopPlay",
    tag: "rooms",
    summary: "Stops it, or has it not begin.",
    query: &[],
    body: None,
    answers: &[done("It stops; an event tells when it has."), NO_PLAY],
    run: stop,
};

/// What programs play in a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Plays {
    /// In the order in which they were wanted.
    plays: Vec<PlayBody>,
}

/// A play in a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct PlayBody {
    /// Its number: no other play of the room has or had it.
    id: u32,
    /// How far it is.
    state: Phase,
    /// What is heard.
    items: Vec<Item>,
    /// How often; 0: until it is stopped.
    repeat: u32,
    /// The call of the only member that hears it. Absent: all who are in do.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    /// It plays beneath everything else.
    background: bool,
    /// Who makes way.
    ducking: Ducking,
}

/// How far a play is.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Phase {
    /// Others come first.
    Waiting,
    /// It is being looked for.
    Loading,
    /// It is heard.
    Playing,
    /// It will be heard on.
    Paused,
}

/// One thing to be heard.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::api) enum Item {
    /// A prompt by its name.
    Prompt(#[schemars(length(min = 1, max = 200))] String),
    /// A WAV file by its name in the directories of announcements (`announcement.directories`).
    File(#[schemars(length(min = 1, max = 1000))] String),
    /// What a web server has, where announcements may fetch it (`announcement.web_hosts`).
    Url(
        #[schemars(
            length(min = 8, max = 2000),
            regex(pattern = "^[hH][tT][tT][pP][sS]?://[^\\u0000-\\u001f\\u007f-\\u009f]*$")
        )]
        String,
    ),
    /// Text, said by the configured command.
    Text {
        /// What is said.
        #[schemars(length(min = 1, max = 4000))]
        text: String,
        /// Its language, such as `de` or `en-GB`. Absent: that of the prompts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 35), regex(pattern = "^[A-Za-z0-9-]+$"))]
        language: Option<String>,
    },
    /// A sine.
    Tone {
        /// Its frequency, Hz.
        #[schemars(range(min = 50.0, max = 3400.0))]
        hz: f32,
        /// Its length, ms.
        #[schemars(range(min = 20, max = 3_600_000))]
        ms: u64,
        /// Its level, dBm0.
        #[serde(default = "usual_level")]
        #[schemars(range(min = -60.0, max = 0.0))]
        level_dbm0: f32,
    },
    /// Silence, ms.
    Silence(#[schemars(range(min = 20, max = 3_600_000))] u64),
    /// The music that members on hold hear in this room; a melody of our own where it has none.
    HoldMusic,
}

fn usual_level() -> f32 {
    -16.0
}

/// Who makes way when something is played while somebody talks, by so many dB.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Ducking {
    /// Nobody.
    Off,
    /// The play.
    Play(#[schemars(range(min = 1, max = 60))] u8),
    /// Who talks.
    Speech(#[schemars(range(min = 1, max = 60))] u8),
}

/// Something to be played.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewPlay {
    /// What is heard, in order.
    #[schemars(length(min = 1, max = 64))]
    items: Vec<Item>,
    /// How often; 0: until it is stopped, not to one member.
    #[serde(default = "once")]
    #[schemars(range(max = 1000))]
    repeat: u32,
    /// The call of the only member that hears it. Absent: all who are in do.
    #[serde(default)]
    member: Option<String>,
    /// It plays beneath everything else: music, say.
    #[serde(default)]
    background: bool,
    /// Who makes way. Absent: as the room is configured. Not to one member.
    #[serde(default)]
    ducking: Option<Ducking>,
}

const fn once() -> u32 {
    1
}

/// What is to be different about a play.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PlayChange {
    /// It is paused, or goes on.
    paused: bool,
}

impl PlayBody {
    pub(in crate::api) fn of(play: &PlayState, state: &State) -> Self {
        let order = &play.order;
        Self {
            id: play.id.0,
            state: match play.phase {
                PlayPhase::Waiting => Phase::Waiting,
                PlayPhase::Loading => Phase::Loading,
                PlayPhase::Playing => Phase::Playing,
                PlayPhase::Paused => Phase::Paused,
            },
            items: order.items.iter().filter_map(Item::of).collect(),
            repeat: order.repeat,
            member: match order.to {
                Audience::Member(call) => Some(state.call_id(call)),
                Audience::All | Audience::Background => None,
            },
            background: order.to == Audience::Background,
            ducking: match order.ducking {
                None | Some(RoomDucking::Off) => Ducking::Off,
                Some(RoomDucking::Play(db)) => Ducking::Play(db),
                Some(RoomDucking::Speech(db)) => Ducking::Speech(db),
            },
        }
    }
}

impl Item {
    fn of(item: &PlayItem) -> Option<Self> {
        Some(match item {
            PlayItem::Prompt(name) => Self::Prompt(name.clone()),
            PlayItem::Library(name) => Self::File(name.clone()),
            PlayItem::Web(url) => Self::Url(url.clone()),
            PlayItem::Speech { text, language } => Self::Text {
                text: text.clone(),
                language: language.clone(),
            },
            PlayItem::Tone {
                hz,
                level_dbm0,
                length,
            } => Self::Tone {
                hz: *hz,
                ms: ms(*length),
                level_dbm0: *level_dbm0,
            },
            PlayItem::Silence(length) => Self::Silence(ms(*length)),
            // Of the configuration: its hold music.
            PlayItem::File(_) => Self::HoldMusic,
            PlayItem::Recording(_) => return None,
        })
    }

    fn check(&self, context: &Context<'_>) -> Result<(), Problem> {
        let wrong = |why: String| Err(Problem::invalid("items", why));
        let length = |ms: u64| within("items", ms as usize, 20, 3_600_000);
        match self {
            Item::Prompt(name) if !context.edge.has_prompt(name) => {
                Err(Problem::not_found("prompt", name).of_field("items"))
            }
            Item::Prompt(_) | Item::HoldMusic => Ok(()),
            Item::File(name) => within("items", name.chars().count(), 1, 1000),
            Item::Url(url) => {
                within("items", url.chars().count(), 8, 2000)?;
                let scheme = url.split_once("://").map(|(scheme, _)| scheme);
                match scheme.map(str::to_ascii_lowercase).as_deref() {
                    Some("http" | "https") if !url.contains(char::is_control) => Ok(()),
                    _ => wrong(format!("expected http:// or https://, found {url:?}")),
                }
            }
            Item::Text { text, language } => {
                within("items", text.chars().count(), 1, 4000)?;
                let Some(language) = language else {
                    return Ok(());
                };
                let fits = (1..=35).contains(&language.len())
                    && language
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-');
                if fits {
                    return Ok(());
                }
                wrong("a language is letters, digits and - alone".to_owned())
            }
            Item::Tone { hz, ms, level_dbm0 } => {
                if !(50.0..=3400.0).contains(hz) || !(-60.0..=0.0).contains(level_dbm0) {
                    return wrong("a tone has 50 to 3400 Hz and -60 to 0 dBm0".to_owned());
                }
                length(*ms)
            }
            Item::Silence(ms) => length(*ms),
        }
    }

    fn heard(self, hold_music: &[PlayItem]) -> Vec<PlayItem> {
        let one = match self {
            Item::Prompt(name) => PlayItem::Prompt(name),
            Item::File(name) => PlayItem::Library(name),
            Item::Url(url) => PlayItem::Web(url),
            Item::Text { text, language } => PlayItem::Speech { text, language },
            Item::Tone { hz, ms, level_dbm0 } => PlayItem::Tone {
                hz,
                level_dbm0,
                length: Duration::from_millis(ms),
            },
            Item::Silence(ms) => PlayItem::Silence(Duration::from_millis(ms)),
            Item::HoldMusic if hold_music.is_empty() => return melody(),
            Item::HoldMusic => return hold_music.to_vec(),
        };
        vec![one]
    }
}

impl NewPlay {
    fn order(self, context: &Context<'_>, hold_music: &[PlayItem]) -> Result<PlayOrder, Problem> {
        within("items", self.items.len(), 1, 64)?;
        within("repeat", self.repeat as usize, 0, 1000)?;
        for item in &self.items {
            item.check(context)?;
        }
        let to = match &self.member {
            Some(_) if self.background || self.ducking.is_some() => {
                let why = "to one member nothing plays in the background, and nobody makes way";
                return Err(Problem::invalid("member", why));
            }
            Some(_) if self.repeat == 0 => {
                let why = "to one member it has to end: 1 to 1000";
                return Err(Problem::invalid("repeat", why));
            }
            Some(id) => Audience::Member(named_by(context, id)?),
            None if self.background => Audience::Background,
            None => Audience::All,
        };
        let ducking = match self.ducking {
            None => None,
            Some(Ducking::Off) => Some(RoomDucking::Off),
            Some(Ducking::Play(db)) => Some(RoomDucking::Play(decibels(db)?)),
            Some(Ducking::Speech(db)) => Some(RoomDucking::Speech(decibels(db)?)),
        };
        let items = self.items.into_iter();
        Ok(PlayOrder {
            items: items.flat_map(|item| item.heard(hold_music)).collect(),
            repeat: self.repeat,
            to,
            ducking,
        })
    }
}

fn decibels(db: u8) -> Result<u8, Problem> {
    within("ducking", db.into(), 1, 60).map(|()| db)
}

fn ms(length: Duration) -> u64 {
    length.as_millis() as u64
}

/// The room that the path names.
fn room(context: &Context<'_>) -> Result<RoomState, Problem> {
    let name = context.request.path("room");
    let room = context.switch.room_state(name);
    room.ok_or_else(|| Problem::not_found("room", name))
}

/// The play that the path names.
fn named(context: &Context<'_>) -> Result<PlayId, Problem> {
    let id = context.request.path("play");
    let plain = id.bytes().all(|b| b.is_ascii_digit());
    let number = id.parse().ok().filter(|_| plain);
    let number = number.ok_or_else(|| Problem::not_found("play", id))?;
    Ok(PlayId(number))
}

fn shown(context: &Context<'_>, id: PlayId) -> Result<PlayBody, Problem> {
    let room = room(context)?;
    let play = room.plays.iter().find(|play| play.id == id);
    let play = play.ok_or_else(|| problem(&RoomError::NoPlay(id)))?;
    Ok(PlayBody::of(play, context.state))
}

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let room = room(context)?;
    let plays = room.plays.iter();
    let plays = plays.map(|play| PlayBody::of(play, context.state));
    Ok(Reply::Now(Response::json(&Plays {
        plays: plays.collect(),
    })))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let id = named(context)?;
    Ok(Reply::Now(Response::json(&shown(context, id)?)))
}

fn start(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let new: NewPlay = context.request.json()?;
    let name = room(context)?.name;
    let hold_music = context.switch.hold_music(&name).to_vec();
    let order = new.order(context, &hold_music)?;
    let played = context.switch.play_in_room(&name, order, context.now);
    let id = played.map_err(|error| problem(&error))?;
    let body = shown(context, id)?;
    let at = format!("/api/v1/rooms/{}/plays/{}", escaped(&name), id.0);
    Ok(Reply::Now(
        Response::json_with(201, &body).header("Location", at),
    ))
}

fn change(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let id = named(context)?;
    let PlayChange { paused } = context.request.json()?;
    let name = context.request.path("room").to_owned();
    let changed = context
        .switch
        .pause_room_play(&name, id, paused, context.now);
    changed.map_err(|error| problem(&error))?;
    Ok(Reply::Now(Response::json(&shown(context, id)?)))
}

fn stop(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let id = named(context)?;
    let name = context.request.path("room").to_owned();
    let stopped = context.switch.stop_room_play(&name, id, context.now);
    stopped.map_err(|error| problem(&error))?;
    Ok(Reply::Now(Response::empty()))
}

/// A room's name as a segment of a path.
fn escaped(name: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
