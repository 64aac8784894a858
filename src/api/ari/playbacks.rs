//! `/ari/playbacks`: what is played.

use super::declare::{Resource, failure, operation};
use super::{done, told, view};
use crate::api::table::Answer;
use crate::api::{Context, Method, Problem, Reply};
use crate::app::Order;

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
