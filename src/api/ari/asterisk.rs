//! `/ari/asterisk`: the server, and variables that are no channel's.

use serde_json::json;

use super::declare::{Resource, failure, operation, text};
use super::state::{MAX_NAME, MAX_VARIABLE, MAX_VARIABLES};
use super::{Args, done, told, view};
use crate::api::table::Parameter;
use crate::api::{Context, Method, Problem, Reply};

const VARIABLE: Parameter = text("variable", "The variable's name.");

pub(super) const RESOURCE: Resource = Resource {
    name: "asterisk",
    about: "The server.",
    operations: &[
        operation(
            Method::Get,
            "/ari/asterisk/info",
            "getInfo",
            "What server this is.",
            info,
        )
        .returns("AsteriskInfo"),
        operation(Method::Get, "/ari/asterisk/ping", "ping", "Answers.", ping)
            .returns("AsteriskPing"),
        operation(
            Method::Get,
            "/ari/asterisk/variable",
            "getGlobalVar",
            "A variable of the server.",
            get,
        )
        .returns("Variable")
        .takes(&[VARIABLE])
        .needs(&["variable"])
        .fails(&[failure(400, "No variable is named.")]),
        operation(
            Method::Post,
            "/ari/asterisk/variable",
            "setGlobalVar",
            "Sets it; without a value it is none any more.",
            set,
        )
        .takes(&[VARIABLE, text("value", "Its value.")])
        .needs(&["variable"])
        .fails(&[failure(400, "There are too many, or it is too long.")]),
    ],
};

/// How the server is called in what it tells.
fn entity(context: &Context<'_>) -> String {
    format!("antiphon-{}", context.state.run)
}

fn info(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let started = view::time(&context.state.clock, context.state.started);
    told(&json!({
        "build": {
            "os": std::env::consts::OS,
            "machine": std::env::consts::ARCH,
            "options": "",
            "kernel": "",
            "date": "",
            "user": "",
        },
        "system": {
            "version": concat!("antiphon ", env!("CARGO_PKG_VERSION")),
            "entity_id": entity(context),
        },
        "config": {"name": "antiphon", "default_language": "en", "setid": {"user": "", "group": ""}},
        "status": {"startup_time": started, "last_reload_time": started},
    }))
}

fn ping(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let timestamp = view::time(&context.state.clock, context.now);
    told(&json!({"asterisk_id": entity(context), "ping": "pong", "timestamp": timestamp}))
}

fn get(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = Args::of(context.request)?.need("variable")?;
    // One that nobody has set is empty.
    let value = context.state.ari.globals.get(&name);
    told(&json!({"value": value.map_or("", String::as_str)}))
}

fn set(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let name = args.need("variable")?;
    let globals = &mut context.state.ari.globals;
    let Some(value) = args.get("value")? else {
        globals.remove(&name);
        return done();
    };
    let full = globals.len() >= MAX_VARIABLES && !globals.contains_key(&name);
    if full || name.len() > MAX_NAME || value.len() > MAX_VARIABLE {
        return Err(Problem::new(
            400,
            "variable: there are too many, or it is too long",
        ));
    }
    globals.insert(name, value);
    done()
}
