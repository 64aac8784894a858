//! `POST /ari/channels/ID/snoop`: a channel that listens in on another.

use super::channels::{NO_CHANNEL, WRONG_STATE};
use super::declare::{failure, text};
use super::{Args, call, channels, check_name, reserve_channel, told};
use crate::api::table::{Answer, Parameter};
use crate::api::{Context, Problem, Reply};
use crate::app::StasisSpec;
use crate::call::CallHandle;
use crate::leg::Sides;

pub(super) const PARAMETERS: &[Parameter] = &[
    text(
        "spy",
        "What is heard: in (what the channel says), out (what it hears), both, none.",
    ),
    text(
        "whisper",
        "Who hears what is said here: in (who hears the channel), out (the channel), both, none.",
    ),
    text("app", "The application that the new channel is in."),
    text("appArgs", "What that is told, with commas."),
    text("snoopId", "The name that the new channel gets."),
];
pub(super) const PARAMETERS_WITH_ID: &[Parameter] = {
    let (first, _) = PARAMETERS.split_at(PARAMETERS.len() - 1);
    first
};
pub(super) const FAILS: &[Answer] = &[
    failure(400, "A parameter is wrong or missing."),
    NO_CHANNEL,
    failure(409, "There is a channel of this name."),
    WRONG_STATE,
    failure(
        503,
        "As many channels as there may be, or as many that listen in on this one.",
    ),
];

/// The sides that a parameter names; none: neither.
fn sides(args: &Args<'_>, name: &str) -> Result<Sides, Problem> {
    let (said, heard) = match args.get(name)?.as_deref() {
        None | Some("none") => (false, false),
        Some("in") => (true, false),
        Some("out") => (false, true),
        Some("both") => (true, true),
        Some(_) => {
            let why = format!("{name}: in, out, both or none");
            return Err(Problem::new(400, why));
        }
    };
    Ok(Sides { said, heard })
}

pub(super) fn run(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let on = call(context)?;
    let (spy, whisper) = (sides(&args, "spy")?, sides(&args, "whisper")?);
    let neither = Sides::default();
    if spy == neither && whisper == neither {
        return Err(Problem::new(
            400,
            "spy or whisper has to be in, out or both",
        ));
    }
    let app = args.need("app")?;
    check_name("app", &app)?;
    let named = match context.request.path("snoopId") {
        "" => args.get("snoopId")?,
        id => Some(id.to_owned()),
    };
    if let Some(id) = &named {
        reserve_channel(context, id)?;
        context.state.ari.reserved.remove(id);
    }
    let spec = StasisSpec {
        app: app.clone(),
        args: args.list("appArgs"),
        otherwise: None,
    };
    let made = context
        .switch
        .snoop(on, (spy, whisper), spec, context.now)?;
    let name = context.state.ari.channels.get(&on).map(|on| &*on.id);
    let name = format!("Snoop/{}-{:08x}", name.unwrap_or_default(), made.0);
    adopt(context, made, named, name, app);
    // There is nobody to answer.
    if let Some(channel) = context.state.ari.channels.get_mut(&made) {
        channel.state = "Up";
    }
    told(&channels::shown(context, made))
}

/// Makes a channel of a call that a program has made and that nobody signals.
pub(super) fn adopt(
    context: &mut Context<'_>,
    call: CallHandle,
    id: Option<String>,
    name: String,
    app: String,
) {
    let id = id.unwrap_or_else(|| context.state.call_id(call));
    context.state.adopt(call, id, context.switch, context.now);
    if let Some(channel) = context.state.ari.channels.get_mut(&call) {
        channel.name = name;
        channel.state = "Down";
        channel.caller = Default::default();
        channel.exten = String::new();
        channel.placed_by = Some(app);
    }
}
