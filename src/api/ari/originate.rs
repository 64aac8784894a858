//! `POST /ari/channels`: a channel that we place.

use std::time::Duration;

use super::declare::{number, text};
use super::{Args, channels, check_name, reserve_channel};
use crate::api::table::Parameter;
use crate::api::{Context, NO_ANNOUNCEMENT, Place, Problem, Reply, Response};
use crate::app::{AppSpec, StasisSpec};
use crate::sip::header::NameAddr;
use crate::sip::transport::Flow;
use crate::sip::uri::Uri;

/// How long it rings where nothing is said, s.
const TIMEOUT: u64 = 30;

pub(super) const PARAMETERS: &[Parameter] = &[
    text(
        "endpoint",
        "Whom to call: PJSIP/USER, PJSIP/USER@HOST, or a SIP URI.",
    ),
    text("extension", "What is dialled for who answers."),
    text("context", "Not used: there is one route table."),
    number("priority", 1, "Not used."),
    text("app", "The application that who answers goes to."),
    text("appArgs", "What that is told, with commas."),
    text("callerId", "Who calls: a number, or \"name\" <number>."),
    number(
        "timeout",
        TIMEOUT as usize,
        "Gives up after so long, s; 0 and -1: does not.",
    ),
    text("channelId", "The name that the channel gets."),
];
pub(super) const PARAMETERS_WITH_ID: &[Parameter] = {
    let (first, _) = PARAMETERS.split_at(PARAMETERS.len() - 1);
    first
};

/// Whom an endpoint names.
pub(super) struct Callee {
    /// What a request to it is for.
    pub uri: Uri,
    /// The path to it, where it is registered and its URI does not lead there.
    pub path: Option<Flow>,
}

/// Where an endpoint is.
pub(super) fn callee(context: &Context<'_>, endpoint: &str) -> Result<Callee, Problem> {
    let wrong = || {
        let why = "PJSIP/USER of a user that is registered, PJSIP/USER@HOST, or a SIP URI";
        Problem::new(400, format!("endpoint: {endpoint:?}: {why}"))
    };
    let mut path = None;
    let text = match endpoint.split_once('/') {
        Some(("PJSIP" | "SIP", rest)) => match rest.split_once('/') {
            Some((_, uri)) => uri.to_owned(),
            None if rest.contains('@') => format!("sip:{rest}"),
            None => {
                let registered = context.switch.contact(rest, context.now);
                let registered = registered.ok_or_else(wrong)?;
                path = registered.path;
                registered.uri
            }
        },
        _ => endpoint.to_owned(),
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    Ok(Callee { uri, path })
}

/// What is dialled for who answers.
fn dialled(context: &Context<'_>, extension: &str) -> Result<AppSpec, Problem> {
    let wrong = |why: String| Err(Problem::new(400, format!("extension: {why}")));
    match context.switch.route(extension) {
        Some(AppSpec::Announcement(_)) => wrong(format!("{extension:?}: {NO_ANNOUNCEMENT}")),
        Some(spec) => Ok(spec),
        None => wrong(format!("no route leads to {extension:?}")),
    }
}

pub(super) fn run(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let Callee { uri, path } = callee(context, &args.need("endpoint")?)?;
    let app = args.get("app")?;
    let spec = match (&app, args.get("extension")?) {
        (Some(app), None) => {
            check_name("app", app)?;
            AppSpec::Stasis(StasisSpec {
                app: app.clone(),
                args: args.list("appArgs"),
                otherwise: None,
            })
        }
        (None, Some(extension)) => dialled(context, &extension)?,
        _ => return Err(Problem::new(400, "either app or extension has to be said")),
    };
    let from = args.get("callerId")?.map(|text| number_of(&text));
    let from = from.transpose()?;
    let timeout = match args.get("timeout")?.as_deref() {
        // Programs say so that there is none.
        Some("-1") => 0,
        _ => args.number("timeout", TIMEOUT)?,
    };
    let variables = args.variables()?;
    let named = match context.request.path("channelId") {
        "" => args.get("channelId")?,
        id => Some(id.to_owned()),
    };
    if let Some(id) = &named {
        reserve_channel(context, id)?;
    }
    let place = Place {
        uri,
        path,
        from: from.unwrap_or_else(|| "antiphon".to_owned()),
        spec,
        login: None,
        then: Box::new(move |placed, context| {
            if let Some(id) = &named {
                context.state.ari.reserved.remove(id);
            }
            let call = placed?;
            let id = named.unwrap_or_else(|| context.state.call_id(call));
            let now = context.now;
            context.state.adopt(call, id, context.switch, now);
            if let Some(channel) = context.state.ari.channels.get_mut(&call) {
                channel.placed_by = app;
                channel.variables.extend(variables);
            }
            if timeout > 0 {
                let time = Duration::from_secs(timeout.min(86_400));
                context.switch.ring_at_most(call, time, now);
            }
            Ok(Response::json(&channels::shown(context, call)))
        }),
    };
    Ok(Reply::Place(Box::new(place)))
}

/// The number of who calls; a name beside it is told by no phone of ours.
fn number_of(text: &str) -> Result<String, Problem> {
    let number = match text.split_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => text,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.*#".contains(c);
    let good = (1..=64).contains(&number.len()) && number.chars().all(plain);
    // What a URI takes as it stands.
    let fits = good && NameAddr::parse(&format!("<sip:{number}@localhost>")).is_ok();
    let why = "callerId: a number of 1 to 64 letters, digits and +-_.*#, or \"name\" <number>";
    fits.then(|| number.to_owned())
        .ok_or_else(|| Problem::new(400, why))
}
