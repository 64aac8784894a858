//! `PUT /ari/endpoints/sendMessage`: texts outside of calls.

use super::Args;
use super::declare::{failure, text};
use super::originate::{self, Callee};
use crate::api::table::{Answer, Parameter};
use crate::api::{Context, Problem, Reply, Response};
use crate::sip::transport::Flow;
use crate::switch::{MAX_TEXT, TextMessage};

const FROM: Parameter = text(
    "from",
    "Who sends it: PJSIP/USER, pjsip:USER, or a SIP URI.",
);
const BODY: Parameter = text("body", "What it says, at most 8192 bytes.");
pub(super) const PARAMETERS: &[Parameter] = &[
    text(
        "to",
        "Whom it is for: PJSIP/USER or pjsip:USER of a user that is registered, or a SIP URI.",
    ),
    FROM,
    BODY,
];
pub(super) const OF_ENDPOINT: &[Parameter] = &[FROM, BODY];
pub(super) const FAILS: &[Answer] = &[
    failure(400, "A parameter is wrong or missing."),
    failure(404, "There is no such endpoint."),
    failure(502, "There is no way to the endpoint."),
    failure(503, "There are too many transactions."),
];

/// The same with the technology as we have it.
fn named(name: &str) -> String {
    let rest = ["pjsip:", "PJSIP:", "pjsip/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    rest.map_or_else(|| name.to_owned(), |rest| format!("PJSIP/{rest}"))
}

/// The user of who sends it.
fn sender(name: &str) -> Result<String, Problem> {
    let name = named(name);
    let name = name.strip_prefix("PJSIP/").unwrap_or(&name);
    let name = name.strip_prefix("sip:").unwrap_or(name);
    let user = name.split('@').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.*#".contains(c);
    let good = (1..=64).contains(&user.len()) && user.chars().all(plain);
    let why = "from: a user of 1 to 64 letters, digits and +-_.*#";
    good.then(|| user.to_owned())
        .ok_or_else(|| Problem::new(400, why))
}

/// Variables are headers: those that mean nothing to SIP itself.
fn headers(args: &Args<'_>) -> Result<Vec<(String, String)>, Problem> {
    let all = args.variables()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    for (name, value) in &all {
        let good = name.starts_with("X-")
            && name.chars().all(plain)
            && name.len() <= 64
            && value.len() <= 1_024
            && !value.contains(char::is_control);
        if !good {
            let why = format!("variables: {name}: names X-..., values of one line");
            return Err(Problem::new(400, why));
        }
    }
    Ok(all)
}

pub(super) fn run(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let to = match context.request.path("resource") {
        "" => named(&args.need("to")?),
        resource => {
            super::endpoints::check(context)?;
            format!("PJSIP/{resource}")
        }
    };
    let from = sender(&args.need("from")?)?;
    let body = args.get("body")?.unwrap_or_default();
    if body.len() > MAX_TEXT {
        return Err(Problem::new(400, "body: at most 8192 bytes"));
    }
    let headers = headers(&args)?;
    let Callee { uri, path } = originate::callee(context, &to).map_err(|problem| {
        let status = if to.starts_with("PJSIP/") { 404 } else { 400 };
        Problem::new(status, problem.detail)
    })?;
    let text = TextMessage {
        from,
        to: uri.to_string(),
        body,
        headers,
    };
    let then = move |path: Result<Flow, Problem>, context: &mut Context<'_>| {
        context.switch.send_text(&text, path?, context.now)?;
        Ok(Reply::Now(Response {
            status: 202,
            ..Response::empty()
        }))
    };
    match path {
        Some(path) => then(Ok(path), context),
        None => Ok(Reply::Locate(Box::new(uri), Box::new(then))),
    }
}
