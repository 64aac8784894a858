//! `/ari/deviceStates`: states that programs make up, and those of our users.

use serde_json::{Value, json};

use super::declare::{Resource, failure, operation, text};
use super::events::Concerns;
use super::state::{MAX_DEVICES, MAX_NAME};
use super::{Args, done, endpoints, told};
use crate::api::{Context, Method, Problem, Reply};

/// What programs may give states to.
const OWN: &str = "Stasis:";
const STATES: [&str; 8] = [
    "NOT_INUSE",
    "INUSE",
    "BUSY",
    "INVALID",
    "UNAVAILABLE",
    "RINGING",
    "RINGINUSE",
    "ONHOLD",
];

pub(super) const RESOURCE: Resource = Resource {
    name: "deviceStates",
    about: "States that programs make up, and those of registered users.",
    operations: &[
        operation(
            Method::Get,
            "/ari/deviceStates",
            "list",
            "Those that programs have made.",
            list,
        )
        .returns("List[DeviceState]"),
        operation(
            Method::Get,
            "/ari/deviceStates/{deviceName}",
            "get",
            "A state.",
            show,
        )
        .returns("DeviceState"),
        operation(
            Method::Put,
            "/ari/deviceStates/{deviceName}",
            "update",
            "Sets a state.",
            update,
        )
        .takes(&[text(
            "deviceState",
            "NOT_INUSE, INUSE, BUSY, INVALID, UNAVAILABLE, RINGING, RINGINUSE or ONHOLD.",
        )])
        .needs(&["deviceState"])
        .fails(&[
            failure(400, "There is no such state."),
            failure(409, "The name does not begin with Stasis:."),
        ]),
        operation(
            Method::Delete,
            "/ari/deviceStates/{deviceName}",
            "delete",
            "Ends it.",
            delete,
        )
        .fails(&[failure(409, "The name does not begin with Stasis:.")]),
    ],
};

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let all = context.state.ari.devices.iter();
    let all: Vec<Value> = all
        .map(|(name, state)| json!({"name": name, "state": state}))
        .collect();
    told(&json!(all))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = context.request.path("deviceName");
    let user = name.strip_prefix("PJSIP/");
    let state = match (context.state.ari.devices.get(name), user) {
        (Some(state), _) => state,
        (None, Some(user)) => {
            let busy = !endpoints::channels_of(context, user).is_empty();
            match context.switch.contact(user, context.now) {
                _ if busy => "INUSE",
                Some(_) => "NOT_INUSE",
                None => "UNAVAILABLE",
            }
        }
        (None, None) => "UNKNOWN",
    };
    told(&json!({"name": name, "state": state}))
}

fn own<'a>(context: &Context<'a>) -> Result<&'a str, Problem> {
    let name = context.request.path("deviceName");
    if name.starts_with(OWN) && name.len() <= MAX_NAME {
        return Ok(name);
    }
    Err(Problem::conflict(
        "deviceName: only names that begin with Stasis: can be changed",
    ))
}

fn update(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = own(context)?;
    let state = Args::of(context.request)?.need("deviceState")?;
    let known = STATES.iter().find(|known| **known == state);
    let state = known
        .ok_or_else(|| Problem::new(400, format!("deviceState: one of {}", STATES.join(", "))))?;
    let devices = &mut context.state.ari.devices;
    if devices.len() >= MAX_DEVICES && !devices.contains_key(name) {
        return Err(Problem::conflict("there are as many as there may be"));
    }
    if devices.insert(name.to_owned(), state) != Some(state) {
        changed(context, name, state);
    }
    done()
}

fn delete(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = own(context)?;
    if context.state.ari.devices.remove(name).is_some() {
        changed(context, name, "UNKNOWN");
    }
    done()
}

fn changed(context: &mut Context<'_>, name: &str, state: &str) {
    let fields = json!({"device_state": {"name": name, "state": state}});
    let source = format!("deviceState:{name}");
    let concerns = Concerns::Source(&source);
    context
        .state
        .tell_programs(concerns, "DeviceStateChanged", fields, context.now);
}
