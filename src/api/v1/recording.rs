//! Recordings of conference rooms.

use std::time::Duration;

use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::members::operate;
use super::{CONTROL, NO_ROOM, READ, done, ok, problem};
use crate::api::message::Method;
use crate::api::recordings::names;
use crate::api::table::{Answer, Body, Operation};
use crate::api::{Context, Problem, Reply, Response, State};
use crate::app::room_record::{
    NAME_PATTERN, NamePattern, RECORD_RATES, RecordFormat, RecordLayout, RoomRecordSettings,
    SPLIT_SECONDS,
};
use crate::room::{RecordOrder, RoomOperation};
use crate::switch::{RecordingState, RoomRecordingView};

/// What files a recording has.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
enum Layout {
    /// One: what the room hears.
    #[serde(rename = "mix")]
    Mix,
    /// One with two channels: a member on the left, all others and what the room plays on the right.
    #[serde(rename = "stereo")]
    Stereo,
    /// One for each member, and one for what is in none of them.
    #[serde(rename = "tracks")]
    Tracks,
    /// The mix, and all of those.
    #[serde(rename = "mix+tracks")]
    MixAndTracks,
}

/// Of what kind they are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// WAV, 16-bit linear.
    Wav,
    /// Opus in Ogg (RFC 7845).
    OggOpus,
}

/// What a recording does.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Doing {
    /// Its files are being opened.
    Opening,
    /// It records.
    Recording,
    /// It is paused: the time is left out.
    Paused,
    /// It is paused: silence is written.
    Muted,
}

/// A recording of a room.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct RecordingBody {
    /// Its number.
    number: u64,
    /// What it does.
    state: Doing,
    /// What files it has.
    layout: Layout,
    /// Of what kind.
    format: Format,
    /// Their sampling rate, Hz.
    rate: u32,
    /// A new file after so long. Absent: one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    split_seconds: Option<u64>,
    /// In stereo, the call of the member on the left.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<String>,
    /// How long it is so far, ms.
    length_ms: u64,
    /// The files that are being written.
    files: Vec<String>,
}

impl RecordingBody {
    pub fn of(view: &RoomRecordingView, state: &State) -> Self {
        let settings = &view.settings;
        Self {
            number: view.recording,
            state: match view.state {
                RecordingState::Opening => Doing::Opening,
                RecordingState::Recording => Doing::Recording,
                RecordingState::Paused => Doing::Paused,
                RecordingState::Muted => Doing::Muted,
            },
            layout: match settings.layout {
                RecordLayout::Mix => Layout::Mix,
                RecordLayout::Stereo => Layout::Stereo,
                RecordLayout::Tracks => Layout::Tracks,
                RecordLayout::MixAndTracks => Layout::MixAndTracks,
            },
            format: match settings.format {
                RecordFormat::Wav => Format::Wav,
                RecordFormat::OggOpus => Format::OggOpus,
            },
            rate: settings.rate,
            split_seconds: settings.split.map(|split| split.as_secs()),
            left: view.left.map(|call| state.call_id(call)),
            length_ms: view.length.as_millis().try_into().unwrap_or(u64::MAX),
            files: names(&view.files),
        }
    }

    /// The recording of a room, while one goes on.
    pub fn find(room: &str, context: &Context<'_>) -> Option<Self> {
        let view = context.switch.room_recording(room, context.now)?;
        Some(Self::of(&view, context.state))
    }
}

/// How a room is to be recorded: what is not there is as the room's configuration has it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::api) struct NewRecording {
    /// What files there are.
    layout: Option<Layout>,
    /// Of what kind.
    format: Option<Format>,
    /// Their sampling rate, Hz.
    #[schemars(extend("enum" = [8000, 16000, 48000]))]
    rate: Option<u32>,
    /// A new file after so long: 10 to 86400; 0: one file.
    #[schemars(range(max = 86_400), extend("not" = {"type": "integer", "minimum": 1, "maximum": 9}))]
    split_seconds: Option<u64>,
    /// What they are called, below the directory of recordings: letters, digits, `-`, `_` and `+`,
    /// `{room}`, `{date}` and `{time}` once each, up to two folders before.
    #[schemars(length(min = 1, max = 100), extend("pattern" = "^[A-Za-z0-9_+{}/-]+$"))]
    name: Option<String>,
    /// In stereo, the call of the member on the left. Absent: who came first.
    left: Option<String>,
}

impl NewRecording {
    fn settings(&self, mut settings: RoomRecordSettings) -> Result<RoomRecordSettings, Problem> {
        if let Some(layout) = self.layout {
            settings.layout = match layout {
                Layout::Mix => RecordLayout::Mix,
                Layout::Stereo => RecordLayout::Stereo,
                Layout::Tracks => RecordLayout::Tracks,
                Layout::MixAndTracks => RecordLayout::MixAndTracks,
            };
        }
        if let Some(format) = self.format {
            settings.format = match format {
                Format::Wav => RecordFormat::Wav,
                Format::OggOpus => RecordFormat::OggOpus,
            };
        }
        if let Some(rate) = self.rate {
            if !RECORD_RATES.contains(&rate) {
                let why = format!("expected 8000, 16000 or 48000, found {rate}");
                return Err(Problem::invalid("rate", why));
            }
            settings.rate = rate;
        }
        if let Some(seconds) = self.split_seconds {
            if seconds > 0 && !SPLIT_SECONDS.contains(&seconds) {
                let why = format!("expected 10 to 86400, or 0 for one file, found {seconds}");
                return Err(Problem::invalid("split_seconds", why));
            }
            settings.split = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let Some(name) = &self.name {
            let name = NamePattern::parse(name);
            let why = || Problem::invalid("name", format!("expected {NAME_PATTERN}"));
            settings.name = name.ok_or_else(why)?;
        }
        if self.left.is_some() && settings.layout != RecordLayout::Stereo {
            let why = "only the layout stereo has a left side";
            return Err(Problem::conflict(why).of_field("left"));
        }
        Ok(settings)
    }
}

/// How a recording is paused.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::api) struct RecordingPause {
    /// Silence is written meanwhile, in place of leaving the time out.
    silence: bool,
}

fn shown(context: &Context<'_>, status: u16) -> Result<Reply, Problem> {
    let room = context.request.path("room");
    if context.switch.room_state(room).is_none() {
        return Err(Problem::not_found("room", room));
    }
    let body = RecordingBody::find(room, context);
    let body = body.ok_or_else(|| Problem::not_found("recording of room", room))?;
    Ok(Reply::Now(Response::json_with(status, &body)))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    shown(context, 200)
}

fn start(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let new: NewRecording = context.request.json()?;
    let room = context.request.path("room");
    let known = context.switch.room_record_settings(room).cloned();
    let known = known.ok_or_else(|| Problem::not_found("room", room))?;
    let settings = Some(new.settings(known)?);
    let left = new.left.map(|id| {
        let call = context.state.call_of(&id);
        call.ok_or_else(|| Problem::not_found("call", &id).of_field("left"))
    });
    let left = left.transpose()?;
    operate(
        context,
        RoomOperation::Record(RecordOrder::Start { settings, left }),
    )?;
    shown(context, 202)
}

fn pause(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let RecordingPause { silence } = context.request.json()?;
    operate(
        context,
        RoomOperation::Record(RecordOrder::Pause { silence }),
    )?;
    shown(context, 200)
}

fn resume(context: &mut Context<'_>) -> Result<Reply, Problem> {
    operate(context, RoomOperation::Record(RecordOrder::Resume))?;
    shown(context, 200)
}

fn stop(context: &mut Context<'_>) -> Result<Reply, Problem> {
    operate(context, RoomOperation::Record(RecordOrder::Stop))?;
    Ok(Reply::Now(Response::empty()))
}

const NOT_RECORDED: Answer = problem(409, "The room is not being recorded.");

pub(super) const SHOW: Operation = Operation {
    method: Method::Get,
    path: "/api/v1/rooms/{room}/recording",
    access: READ,
    id: "showRecording",
    tag: "rooms",
    summary: "The recording of a room that goes on.",
    query: &[],
    body: None,
    answers: &[
        ok(
            "The recording.",
            SchemaGenerator::subschema_for::<RecordingBody>,
        ),
        problem(404, "There is no such room, or it is not being recorded."),
    ],
    run: show,
};

pub(super) const START: Operation = Operation {
    method: Method::Post,
    path: "/api/v1/rooms/{room}/recording",
    access: CONTROL,
    id: "startRecording",
    tag: "rooms",
    summary: "Begins to record a room.",
    query: &[],
    body: Some(SchemaGenerator::subschema_for::<NewRecording>),
    answers: &[
        Answer {
            status: 202,
            about: "Its files are being opened; the event `room.recording` tells how that goes.",
            body: Body::Json(SchemaGenerator::subschema_for::<RecordingBody>),
        },
        problem(
            404,
            "There is no such room, or the call of `left` is not in it.",
        ),
        problem(
            409,
            "The room is being recorded already, or the layout has no left side.",
        ),
        problem(
            503,
            "The files of earlier recordings are still being closed.",
        ),
    ],
    run: start,
};

pub(super) const PAUSE: Operation = Operation {
    method: Method::Post,
    path: "/api/v1/rooms/{room}/recording/pause",
    access: CONTROL,
    id: "pauseRecording",
    tag: "rooms",
    summary: "Pauses the recording of a room.",
    query: &[],
    body: Some(SchemaGenerator::subschema_for::<RecordingPause>),
    answers: &[
        ok(
            "The recording.",
            SchemaGenerator::subschema_for::<RecordingBody>,
        ),
        NO_ROOM,
        NOT_RECORDED,
    ],
    run: pause,
};

pub(super) const RESUME: Operation = Operation {
    method: Method::Post,
    path: "/api/v1/rooms/{room}/recording/resume",
    access: CONTROL,
    id: "resumeRecording",
    tag: "rooms",
    summary: "Lets the recording of a room go on.",
    query: &[],
    body: None,
    answers: &[
        ok(
            "The recording.",
            SchemaGenerator::subschema_for::<RecordingBody>,
        ),
        NO_ROOM,
        NOT_RECORDED,
    ],
    run: resume,
};

pub(super) const STOP: Operation = Operation {
    method: Method::Delete,
    path: "/api/v1/rooms/{room}/recording",
    access: CONTROL,
    id: "stopRecording",
    tag: "rooms",
    summary: "Ends the recording of a room.",
    query: &[],
    body: None,
    answers: &[
        done("It ends; the event `room.recording` tells when its files are closed."),
        NO_ROOM,
        NOT_RECORDED,
    ],
    run: stop,
};
