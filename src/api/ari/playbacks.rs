//! `/ari/playbacks`: what is played.

use super::declare::{Resource, failure, number as whole, operation, text};
use super::{Args, done, told, view};
use crate::api::table::Answer;
use crate::api::{Context, Method, Problem, Reply};
use crate::app::{Order, PlayChange};

/// How far a skip goes where nothing is said, ms.
const SKIP_MS: u64 = 3_000;

const NO_PLAYBACK: Answer = failure(404, "There is no such playback, or no longer.");

pub(super) const RESOURCE: Resource = Resource {
    name: "playbacks",
    about: "What is played.",
    operations: &[
        operation(
            Method::Get,
            "/ari/playbacks/{playbackId}",
            "get",
            "A playback.",
            show,
        )
        .returns("Playback")
        .fails(&[NO_PLAYBACK]),
        operation(
            Method::Post,
            "/ari/playbacks/{playbackId}/control",
            "control",
            "Pauses a playback, or moves within it.",
            control,
        )
        .takes(&[
            text("operation", "restart, pause, unpause, reverse or forward."),
            whole(
                "skipms",
                SKIP_MS as usize,
                "How far reverse and forward go, ms.",
            ),
        ])
        .needs(&["operation"])
        .fails(&[
            failure(400, "There is no such operation."),
            NO_PLAYBACK,
            failure(409, "It is not heard now."),
        ]),
        operation(
            Method::Delete,
            "/ari/playbacks/{playbackId}",
            "stop",
            "Ends a playback.",
            stop,
        )
        .fails(&[NO_PLAYBACK]),
    ],
};

fn number(context: &Context<'_>) -> Result<u32, Problem> {
    let id = context.request.path("playbackId");
    let found = context.state.ari.playback(id).map(|(number, _)| number);
    found.ok_or_else(|| Problem::not_found("playback", id))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let number = number(context)?;
    let task = context.state.ari.tasks.get(&number);
    told(&task.map_or(serde_json::Value::Null, view::task))
}

fn stop(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let number = number(context)?;
    let target = context
        .state
        .ari
        .tasks
        .get(&number)
        .map(|task| task.target.clone());
    if let Some(target) = target {
        context.order(&target, Order::Stop(number))?;
    }
    done()
}

fn control(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let number = number(context)?;
    let skip = i32::try_from(args.number("skipms", SKIP_MS)?).unwrap_or(i32::MAX);
    let change = match args.need("operation")?.as_str() {
        "restart" => PlayChange::Restart,
        "pause" => PlayChange::Pause,
        "unpause" => PlayChange::Resume,
        "reverse" => PlayChange::Skip(-skip),
        "forward" => PlayChange::Skip(skip),
        _ => {
            let why = "operation: restart, pause, unpause, reverse or forward";
            return Err(Problem::new(400, why));
        }
    };
    let Some(task) = context.state.ari.tasks.get_mut(&number) else {
        return done();
    };
    let state = match (task.state, change) {
        ("playing", PlayChange::Pause) => "paused",
        ("paused", PlayChange::Resume) => "playing",
        ("playing" | "paused", _) => task.state,
        _ => return Err(Problem::conflict("the playback is not heard now")),
    };
    task.state = state;
    let target = task.target.clone();
    context.order(&target, Order::Change(number, change))?;
    done()
}
