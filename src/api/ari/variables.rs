//! Variables of channels, and the few functions that make sense here.

use serde_json::json;

use super::state::{Channel, MAX_NAME, MAX_VARIABLE, MAX_VARIABLES};
use super::{Args, call, done, told};
use crate::api::{Context, Problem, Reply};
use crate::sip::header::Name;

pub(super) fn get(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = Args::of(context.request)?.need("variable")?;
    let call = call(context)?;
    let channel = context.state.ari.channels.get(&call);
    let value = channel.and_then(|channel| {
        let set = channel.variables.get(&name).cloned();
        set.or_else(|| of_channel(channel, &name))
            .or_else(|| header(context, call, &name))
    });
    let value = value.ok_or_else(|| Problem::not_found("variable", &name))?;
    told(&json!({"value": value}))
}

/// What is known of a channel without anybody having set it.
fn of_channel(channel: &Channel, name: &str) -> Option<String> {
    Some(match name {
        "UNIQUEID" | "CHANNEL(uniqueid)" => channel.id.clone(),
        "CHANNEL" | "CHANNEL(name)" => channel.name.clone(),
        "CHANNEL(state)" => channel.state.to_owned(),
        "CHANNEL(language)" => channel.language.clone(),
        "CHANNEL(channeltype)" => "PJSIP".to_owned(),
        "EXTEN" | "CALLERID(dnid)" => channel.exten.clone(),
        "CONTEXT" => "default".to_owned(),
        "CALLERID(num)" => channel.caller.1.clone(),
        "CALLERID(name)" => channel.caller.0.clone(),
        "CALLERID(all)" => format!("\"{}\" <{}>", channel.caller.0, channel.caller.1),
        "CONNECTEDLINE(num)" => channel.connected.1.clone(),
        "CONNECTEDLINE(name)" => channel.connected.0.clone(),
        _ => return None,
    })
}

/// A header of the INVITE: `PJSIP_HEADER(read,NAME)`.
fn header(context: &Context<'_>, call: crate::call::CallHandle, function: &str) -> Option<String> {
    let inner = function
        .strip_prefix("PJSIP_HEADER(read,")?
        .strip_suffix(')')?;
    let name = inner.split(',').next().unwrap_or_default();
    let name = Name::parse(name.trim());
    // Whoever may look at calls need not learn what users log in with.
    if matches!(name, Name::Authorization | Name::ProxyAuthorization) {
        return None;
    }
    let invite = context.switch.invite(call)?;
    invite.headers.get(&name).map(str::to_owned)
}

pub(super) fn set(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let name = args.need("variable")?;
    let call = call(context)?;
    let value = args.get("value");
    if name.len() > MAX_NAME || value.as_ref().is_some_and(|v| v.len() > MAX_VARIABLE) {
        return Err(Problem::new(
            400,
            "variable: its name or its value is too long",
        ));
    }
    if let Some(channel) = context.state.ari.channels.get_mut(&call) {
        let full = channel.variables.len() >= MAX_VARIABLES;
        match &value {
            Some(_) if full && !channel.variables.contains_key(&name) => {
                return Err(Problem::new(400, "variable: there are too many"));
            }
            Some(value) => {
                channel.variables.insert(name.clone(), value.clone());
            }
            None => {
                channel.variables.remove(&name);
            }
        }
    }
    let value = value.unwrap_or_default();
    context
        .state
        .tell_variable(call, &name, &value, context.now);
    done()
}
