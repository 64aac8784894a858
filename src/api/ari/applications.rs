//! `/ari/applications`: programs, and what they are told of.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::declare::{Resource, failure, operation, text};
use super::state::{App, MAX_SUBSCRIPTIONS};
use super::{Args, told};
use crate::api::table::{Answer, Parameter};
use crate::api::{Context, Method, Problem, Reply};

const NO_APP: Answer = failure(404, "There is no such application.");
const SOURCE: Parameter = text(
    "eventSource",
    "channel:ID, bridge:ID, endpoint:TECH/NAME, deviceState:NAME, with commas.",
);

pub(super) const RESOURCE: Resource = Resource {
    name: "applications",
    about: "Programs, and what they are told of.",
    operations: &[
        operation(
            Method::Get,
            "/ari/applications",
            "list",
            "All applications.",
            list,
        )
        .returns("List[Application]"),
        operation(
            Method::Get,
            "/ari/applications/{applicationName}",
            "get",
            "An application.",
            show,
        )
        .returns("Application")
        .fails(&[NO_APP]),
        operation(
            Method::Post,
            "/ari/applications/{applicationName}/subscription",
            "subscribe",
            "Tells it of more.",
            subscribe,
        )
        .returns("Application")
        .takes(&[SOURCE])
        .needs(&["eventSource"])
        .lists(&["eventSource"])
        .fails(&[
            failure(400, "That is no source."),
            NO_APP,
            failure(422, "There is no such source."),
        ]),
        operation(
            Method::Delete,
            "/ari/applications/{applicationName}/subscription",
            "unsubscribe",
            "Tells it of less.",
            unsubscribe,
        )
        .returns("Application")
        .takes(&[SOURCE])
        .needs(&["eventSource"])
        .lists(&["eventSource"])
        .fails(&[
            failure(400, "That is no source."),
            NO_APP,
            failure(409, "It is not subscribed to that."),
            failure(422, "There is no such source."),
        ]),
        operation(
            Method::Put,
            "/ari/applications/{applicationName}/eventFilter",
            "filter",
            "Which types of events it is told, and which it is not.",
            filter,
        )
        .returns("Application")
        .body("filter")
        .fails(&[failure(400, "That is no filter."), NO_APP]),
    ],
};

fn shown(context: &Context<'_>, name: &str) -> Value {
    let ari = &context.state.ari;
    let Some(app) = ari.apps.get(name) else {
        return Value::Null;
    };
    let mut channels: BTreeSet<&str> = of_kind(app, "channel:");
    let own = ari
        .channels
        .values()
        .filter(|c| c.app.as_ref().is_some_and(|(app, _)| app == name));
    channels.extend(own.map(|channel| channel.id.as_str()));
    let mut bridges = of_kind(app, "bridge:");
    let own = ari
        .bridges
        .values()
        .filter(|bridge| bridge.apps.contains(name));
    bridges.extend(own.map(|bridge| bridge.id.as_str()));
    let types = |set: &BTreeSet<String>| -> Vec<Value> {
        set.iter().map(|name| json!({"type": name})).collect()
    };
    json!({
        "name": name,
        "channel_ids": channels,
        "bridge_ids": bridges,
        "endpoint_ids": of_kind(app, "endpoint:"),
        "device_names": of_kind(app, "deviceState:"),
        "events_allowed": types(&app.allowed),
        "events_disallowed": types(&app.refused),
    })
}

fn of_kind<'a>(app: &'a App, kind: &str) -> BTreeSet<&'a str> {
    let all = app.subscriptions.iter();
    all.filter_map(|source| source.strip_prefix(kind)).collect()
}

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let names = context.state.ari.apps.keys();
    let all: Vec<Value> = names.map(|name| shown(context, name)).collect();
    told(&json!(all))
}

/// The application that the path names, if it is known.
fn name(context: &Context<'_>) -> Result<String, Problem> {
    let name = context.request.path("applicationName");
    let known = context.state.ari.apps.contains_key(name);
    known
        .then(|| name.to_owned())
        .ok_or_else(|| Problem::not_found("application", name))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = name(context)?;
    told(&shown(context, &name))
}

/// The sources that a request names.
fn sources(context: &Context<'_>) -> Result<Vec<String>, Problem> {
    let sources = Args::of(context.request)?.list("eventSource");
    let known = |source: &String| {
        let kind = source.split_once(':').filter(|(_, id)| !id.is_empty());
        kind.is_some_and(|(kind, _)| {
            matches!(kind, "channel" | "bridge" | "endpoint" | "deviceState")
        })
    };
    if sources.is_empty() || !sources.iter().all(known) {
        let why = "eventSource: channel:ID, bridge:ID, endpoint:TECH/NAME or deviceState:NAME";
        return Err(Problem::new(400, why));
    }
    Ok(sources)
}

/// Channels and bridges that are named have to be there.
fn are_there(context: &Context<'_>, sources: &[String]) -> Result<(), Problem> {
    let ari = &context.state.ari;
    for source in sources {
        let there = match source.split_once(':') {
            Some(("channel", id)) => ari.ids.contains_key(id),
            Some(("bridge", id)) => ari.bridges.contains_key(id),
            _ => true,
        };
        if !there {
            return Err(Problem::new(422, format!("there is no {source:?}")));
        }
    }
    Ok(())
}

fn subscribe(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = name(context)?;
    let sources = sources(context)?;
    are_there(context, &sources)?;
    let ari = &mut context.state.ari;
    if let Some(app) = ari.apps.get_mut(&name) {
        if app.subscriptions.len() + sources.len() > MAX_SUBSCRIPTIONS {
            return Err(Problem::new(422, "eventSource: too many"));
        }
        app.subscriptions.extend(sources);
    }
    context.switch.take_texts(context.state.ari.hears_texts());
    told(&shown(context, &name))
}

fn unsubscribe(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = name(context)?;
    let sources = sources(context)?;
    are_there(context, &sources)?;
    if let Some(app) = context.state.ari.apps.get_mut(&name) {
        for source in &sources {
            if !app.subscriptions.remove(source) {
                let why = format!("the application is not subscribed to {source:?}");
                return Err(Problem::conflict(why));
            }
        }
    }
    context.switch.take_texts(context.state.ari.hears_texts());
    told(&shown(context, &name))
}

fn filter(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = name(context)?;
    let args = Args::of(context.request)?;
    let types = |field: &str| args.types(field);
    let (allowed, refused) = (types("allowed")?, types("disallowed")?);
    if let Some(app) = context.state.ari.apps.get_mut(&name) {
        app.allowed = allowed.unwrap_or_default();
        app.refused = refused.unwrap_or_default();
    }
    told(&shown(context, &name))
}
