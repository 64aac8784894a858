//! `/ari/endpoints`: users that are registered.

use serde_json::{Value, json};

use super::declare::{Resource, failure, operation};
use super::{texts, told};
use crate::api::{Context, Method, Problem, Reply};

/// The one technology that there is.
const TECHNOLOGY: &str = "PJSIP";

pub(super) const RESOURCE: Resource = Resource {
    name: "endpoints",
    about: "Users that are registered.",
    operations: &[
        operation(Method::Get, "/ari/endpoints", "list", "All of them.", list)
            .returns("List[Endpoint]"),
        operation(
            Method::Get,
            "/ari/endpoints/{tech}",
            "listByTech",
            "The same: the technology is PJSIP.",
            list,
        )
        .returns("List[Endpoint]")
        .fails(&[failure(404, "There is no such technology.")]),
        operation(
            Method::Get,
            "/ari/endpoints/{tech}/{resource}",
            "get",
            "One of them.",
            show,
        )
        .returns("Endpoint")
        .fails(&[failure(404, "There is no such endpoint.")]),
        operation(
            Method::Put,
            "/ari/endpoints/sendMessage",
            "sendMessage",
            "Sends a text.",
            texts::run,
        )
        .takes(texts::PARAMETERS)
        .needs(&["to", "from"])
        .body("variables")
        .fails(texts::FAILS),
        operation(
            Method::Put,
            "/ari/endpoints/{tech}/{resource}/sendMessage",
            "sendMessageToEndpoint",
            "Sends a text to one of them.",
            texts::run,
        )
        .takes(texts::OF_ENDPOINT)
        .needs(&["from"])
        .body("variables")
        .fails(texts::FAILS),
    ],
};

/// The channels of a user.
pub(super) fn channels_of(context: &Context<'_>, user: &str) -> Vec<String> {
    let channels = context.state.ari.channels.values();
    let its = channels.filter(|channel| channel.caller.1 == user);
    its.map(|channel| channel.id.clone()).collect()
}

fn body(context: &Context<'_>, user: &str) -> Value {
    json!({
        "technology": TECHNOLOGY,
        "resource": user,
        "state": "online",
        "channel_ids": channels_of(context, user),
    })
}

pub(super) fn check(context: &Context<'_>) -> Result<(), Problem> {
    match context.request.path("tech") {
        "" | TECHNOLOGY => Ok(()),
        tech => Err(Problem::not_found("technology", tech)),
    }
}

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    check(context)?;
    let users = context.switch.registered(context.now);
    let all: Vec<Value> = users.iter().map(|user| body(context, user)).collect();
    told(&json!(all))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    check(context)?;
    let user = context.request.path("resource");
    let there = context.switch.contact(user, context.now).is_some();
    if !there && channels_of(context, user).is_empty() {
        return Err(Problem::not_found("endpoint", user));
    }
    let mut body = body(context, user);
    if !there {
        body["state"] = json!("unknown");
    }
    told(&body)
}
