//! `/ari/events`: what happens, as a WebSocket; and what programs tell each other.

use serde_json::{Value, json};

use super::declare::{Resource, failure, flag, operation, text};
use super::events::Concerns;
use super::{Args, check_name, done, view};
use crate::api::events::TYPES;
use crate::api::{Context, Method, Problem, Reply, Subscription, v1};

/// Applications of one connection.
const MAX_APPS: usize = 64;

pub(super) const RESOURCE: Resource = Resource {
    name: "events",
    about: "What happens.",
    operations: &[
        operation(
            Method::Get,
            "/ari/events",
            "eventWebsocket",
            "A WebSocket with the events of these applications.",
            connect,
        )
        .returns("Message")
        .takes(&[
            text("app", "The names of the applications, with commas."),
            flag(
                "subscribeAll",
                "Tells of everything, not only of what is the application's.",
            ),
            text(
                "apiEvents",
                "Types of events of /api/v1 that are told here too, with commas.",
            ),
        ])
        .needs(&["app"])
        .lists(&["app", "apiEvents"])
        .upgrades(),
        operation(
            Method::Post,
            "/ari/events/user/{eventName}",
            "userEvent",
            "Tells an application an event of your own.",
            user_event,
        )
        .takes(&[
            text("application", "Which."),
            text(
                "source",
                "What it is about: channel:ID, bridge:ID, endpoint:TECH/NAME.",
            ),
        ])
        .needs(&["application"])
        .lists(&["source"])
        .body("variables")
        .fails(&[
            failure(400, "That is no source, or the variables are no texts."),
            failure(404, "Nobody reads events for the application."),
            failure(422, "There is no such source."),
        ]),
    ],
};

fn connect(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let names = args.list("app");
    if names.is_empty() || names.len() > MAX_APPS {
        return Err(Problem::new(
            400,
            "app: 1 to 64 names of applications, with commas",
        ));
    }
    for name in &names {
        check_name("app", name)?;
    }
    if !context.request.upgrades {
        let problem = Problem::new(426, "this is a WebSocket (RFC 6455)");
        return Err(problem.header("Upgrade", "websocket"));
    }
    let all = args.flag("subscribeAll")?;
    let mut topics = own_events(context, &args.list("apiEvents"))?;
    for name in names {
        let state = &mut *context.state;
        // Whoever read before is told so, and nothing more.
        if state.ari.is_read(&name) {
            let told = Concerns::App(&name);
            state.tell_programs(told, "ApplicationReplaced", json!({}), context.now);
        }
        state.ari.readers += 1;
        let topic = format!("ari/{}/{name}", state.ari.readers);
        context.switch.program_back(&name);
        let app = state.ari.app(&name);
        let app = app.ok_or_else(|| Problem::later(503, "too many applications", 5))?;
        app.topic = Some(topic.clone());
        app.all |= all;
        topics.push(topic);
    }
    context.switch.take_texts(context.state.ari.hears_texts());
    Ok(Reply::Subscribe(Subscription {
        topics,
        key: context.request.key.as_deref().map(str::to_owned),
    }))
}

/// What ARI has no word for, by the same connection.
fn own_events(context: &Context<'_>, types: &[String]) -> Result<Vec<String>, Problem> {
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    if let Some(unknown) = types.iter().find(|&one| !TYPES.contains(one)) {
        let why = format!("apiEvents: {unknown:?}; there are: {}", TYPES.join(", "));
        return Err(Problem::new(400, why));
    }
    if types.is_empty() {
        return Ok(Vec::new());
    }
    v1::topics(context, Some(&types))
}

fn user_event(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let app = args.need("application")?;
    let ari = &context.state.ari;
    if !ari.is_read(&app) {
        return Err(Problem::new(
            404,
            format!("nobody reads events for the application {app:?}"),
        ));
    }
    let variables: Value = args
        .variables()?
        .into_iter()
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut fields = json!({
        "eventname": context.request.path("eventName"),
        "userevent": variables,
    });
    let clock = &context.state.clock;
    for source in args.list("source") {
        let unknown = || Problem::new(422, format!("there is no {source:?}"));
        let wrong = || {
            let why = "channel:ID, bridge:ID or endpoint:TECH/NAME";
            Problem::new(400, format!("source: {source:?}: {why}"))
        };
        let (kind, id) = source.split_once(':').ok_or_else(wrong)?;
        let body = match kind {
            "channel" => ari.channel_of(id).map(|(_, channel)| view::channel(channel, clock)),
            "bridge" => {
                let bridge = ari.bridges.get(id);
                bridge.map(|bridge| view::bridge_now(bridge, context.switch, ari, clock))
            }
            "endpoint" => id.split_once('/').map(|(technology, resource)| {
                json!({"technology": technology, "resource": resource, "state": "unknown", "channel_ids": []})
            }),
            _ => return Err(wrong()),
        };
        fields[kind] = body.ok_or_else(unknown)?;
    }
    context
        .state
        .tell_programs(Concerns::App(&app), "ChannelUserevent", fields, context.now);
    done()
}
