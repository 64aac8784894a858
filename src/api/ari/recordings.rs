//! `/ari/recordings`: what is being recorded, and what was.

use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::declare::{Declared, Resource, failure, operation, text};
use super::{Args, done, told, view};
use crate::api::table::Answer;
use crate::api::{Context, Method, Problem, Reply, Response};
use crate::app::{Order, RecordChange};

/// The longest name of a recording, bytes.
const MAX_NAME: usize = 200;

const NO_LIVE: Answer = failure(404, "There is no such recording under way.");
const NO_STORED: Answer = failure(404, "There is no such recording.");

const CHANGE_FAILS: &[Answer] = &[NO_LIVE, failure(409, "It has not begun yet.")];

const fn live(
    method: Method,
    path: &'static str,
    id: &'static str,
    about: &'static str,
    run: super::declare::Run,
) -> Declared {
    operation(method, path, id, about, run).fails(&[NO_LIVE])
}

pub(super) const RESOURCE: Resource = Resource {
    name: "recordings",
    about: "What is being recorded, and what was.",
    operations: &[
        operation(
            Method::Get,
            "/ari/recordings/stored",
            "listStored",
            "All that are there.",
            list,
        )
        .returns("List[StoredRecording]"),
        operation(
            Method::Get,
            "/ari/recordings/stored/{recordingName}",
            "getStored",
            "One of them.",
            show,
        )
        .returns("StoredRecording")
        .fails(&[NO_STORED]),
        operation(
            Method::Delete,
            "/ari/recordings/stored/{recordingName}",
            "deleteStored",
            "Deletes it.",
            delete,
        )
        .fails(&[NO_STORED]),
        operation(
            Method::Get,
            "/ari/recordings/stored/{recordingName}/file",
            "getStoredFile",
            "Its file.",
            file,
        )
        .returns("binary")
        .fails(&[NO_STORED]),
        operation(
            Method::Post,
            "/ari/recordings/stored/{recordingName}/copy",
            "copyStored",
            "Copies it.",
            copy,
        )
        .returns("StoredRecording")
        .takes(&[text("destinationRecordingName", "The name of the copy.")])
        .needs(&["destinationRecordingName"])
        .fails(&[
            NO_STORED,
            failure(409, "There is a recording of that name."),
        ]),
        live(
            Method::Get,
            "/ari/recordings/live/{recordingName}",
            "getLive",
            "One under way.",
            show_live,
        )
        .returns("LiveRecording"),
        live(
            Method::Delete,
            "/ari/recordings/live/{recordingName}",
            "cancel",
            "Ends it, and keeps nothing.",
            cancel,
        ),
        live(
            Method::Post,
            "/ari/recordings/live/{recordingName}/stop",
            "stop",
            "Ends it, and keeps it.",
            stop,
        ),
        live(
            Method::Post,
            "/ari/recordings/live/{recordingName}/pause",
            "pause",
            "Leaves out what comes.",
            pause,
        )
        .fails(CHANGE_FAILS),
        live(
            Method::Delete,
            "/ari/recordings/live/{recordingName}/pause",
            "unpause",
            "Goes on.",
            unpause,
        )
        .fails(CHANGE_FAILS),
        live(
            Method::Post,
            "/ari/recordings/live/{recordingName}/mute",
            "mute",
            "Records silence.",
            mute,
        )
        .fails(CHANGE_FAILS),
        live(
            Method::Delete,
            "/ari/recordings/live/{recordingName}/mute",
            "unmute",
            "Goes on.",
            unpause,
        )
        .fails(CHANGE_FAILS),
    ],
};

/// The recordings that there are, in their directory. All of it may block.
pub trait Recordings: Send + Sync {
    /// Whether there is one of this name.
    fn exists(&self, name: &str) -> bool;
    /// Their names, in order.
    fn list(&self) -> Vec<String>;
    /// The file of one.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Makes another of it; where there is one of that name, it fails with
    /// [`io::ErrorKind::AlreadyExists`].
    fn copy(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes one.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Where the file of one is or would be.
    fn path(&self, name: &str) -> PathBuf;
}

/// A recording as it is told.
fn body(name: &str) -> Value {
    json!({"name": name, "format": "wav"})
}

/// A name that leads into the recording directory and nowhere else.
pub(super) fn check_stored(name: &str) -> Result<(), Problem> {
    let part = |part: &str| {
        let odd = |c: char| c.is_control() || c == '\\';
        !part.is_empty() && !part.starts_with('.') && !part.contains(odd)
    };
    let good = name.len() <= MAX_NAME && name.split('/').all(part);
    let why = "a recording's name: at most 200 bytes, no part of it empty or with a leading dot";
    good.then_some(()).ok_or_else(|| Problem::new(400, why))
}

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let files = context.edge.recordings();
    Ok(Reply::Job(Box::new(move || {
        let all: Vec<Value> = files.list().iter().map(|name| body(name)).collect();
        Response::json(&all)
    })))
}

/// Does something with a stored recording, away from the core.
fn stored(
    context: &Context<'_>,
    work: impl FnOnce(&dyn Recordings, &str) -> io::Result<Response> + Send + 'static,
) -> Result<Reply, Problem> {
    let name = context.request.path("recordingName").to_owned();
    check_stored(&name).map_err(|_| Problem::not_found("recording", &name))?;
    let files = context.edge.recordings();
    Ok(Reply::Job(Box::new(move || {
        let format = crate::api::Format::Message;
        if !files.exists(&name) {
            return Problem::not_found("recording", &name).response(format);
        }
        work(&*files, &name).unwrap_or_else(|error| {
            let status = match error.kind() {
                io::ErrorKind::AlreadyExists => 409,
                io::ErrorKind::NotFound => 404,
                io::ErrorKind::FileTooLarge => 413,
                _ => 500,
            };
            Problem::new(status, format!("{name}: {error}")).response(format)
        })
    })))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    stored(context, |_, name| Ok(Response::json(&body(name))))
}

fn delete(context: &mut Context<'_>) -> Result<Reply, Problem> {
    stored(context, |files, name| {
        files.remove(name).map(|()| Response::empty())
    })
}

fn file(context: &mut Context<'_>) -> Result<Reply, Problem> {
    stored(context, |files, name| {
        let bytes = files.read(name)?;
        Ok(Response::new(200, "audio/wav", bytes))
    })
}

fn copy(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let to = Args::of(context.request)?.need("destinationRecordingName")?;
    check_stored(&to)?;
    stored(context, move |files, name| {
        files.copy(name, &to)?;
        Ok(Response::json_with(201, &body(&to)))
    })
}

fn number(context: &Context<'_>) -> Result<u32, Problem> {
    let name = context.request.path("recordingName");
    let found = context.state.ari.recording(name);
    let found = found
        .filter(|(_, task)| task.left.is_none())
        .map(|(number, _)| number);
    found.ok_or_else(|| Problem::not_found("recording", name))
}

fn show_live(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let number = number(context)?;
    let task = context.state.ari.tasks.get(&number);
    told(&task.map_or(Value::Null, view::task))
}

fn order(context: &mut Context<'_>, order: fn(u32) -> Order) -> Result<Reply, Problem> {
    let number = number(context)?;
    let target = context
        .state
        .ari
        .tasks
        .get(&number)
        .map(|task| task.target.clone());
    if let Some(target) = target {
        context.order(&target, order(number))?;
    }
    done()
}

fn cancel(context: &mut Context<'_>) -> Result<Reply, Problem> {
    order(context, Order::Discard)
}

fn stop(context: &mut Context<'_>) -> Result<Reply, Problem> {
    order(context, Order::Stop)
}

fn change(context: &mut Context<'_>, change: RecordChange) -> Result<Reply, Problem> {
    let number = number(context)?;
    let Some(task) = context.state.ari.tasks.get_mut(&number) else {
        return done();
    };
    task.state = match (task.state, change) {
        ("recording", RecordChange::Pause) => "paused",
        ("paused", RecordChange::Resume) => "recording",
        ("recording" | "paused", _) => task.state,
        _ => return Err(Problem::conflict("the recording has not begun yet")),
    };
    let target = task.target.clone();
    context.order(&target, Order::ChangeRecord(number, change))?;
    done()
}

fn pause(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change(context, RecordChange::Pause)
}

fn unpause(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change(context, RecordChange::Resume)
}

fn mute(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change(context, RecordChange::Mute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_directory() {
        for good in ["a", "2026-11-26/120000-alice-12345678", "a b.c", "\u{fc}"] {
            assert!(check_stored(good).is_ok(), "{good}");
        }
        let long = "x".repeat(201);
        for bad in [
            "",
            "..",
            "a/../b",
            "/etc/passwd",
            "a//b",
            ".hidden",
            "a\\b",
            "a\0",
            &long,
        ] {
            assert!(check_stored(bad).is_err(), "{bad}");
        }
    }
}
