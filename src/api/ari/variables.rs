//! Variables of channels, and the few functions that make sense here.

use serde_json::json;

use super::state::{Channel, MAX_NAME, MAX_VARIABLE, MAX_VARIABLES};
use super::{Args, call, done, told};
use crate::api::{Context, Problem, Reply};
use crate::call::CallHandle;
use crate::leg::TalkWatch;
use crate::sip::header::Name;
use crate::switch::ProgramError;

/// The silence that ends talking where nothing is said, ms; and the magnitude that is talking.
const TALK_SILENCE_MS: u32 = 2_500;
const TALK_THRESHOLD: u32 = 256;

pub(super) fn get(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let name = Args::of(context.request)?.need("variable")?;
    let call = driven(context)?;
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
fn header(context: &Context<'_>, call: CallHandle, function: &str) -> Option<String> {
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

/// A channel that is in an application, or was placed for one.
fn driven(context: &Context<'_>) -> Result<CallHandle, Problem> {
    let call = call(context)?;
    let driven = context.switch.program(call).is_some();
    let not = ProgramError::NotDriven.into();
    driven.then_some(call).ok_or(not)
}

/// What `TALK_DETECT(set)` and `TALK_DETECT(remove)` want: silence that ends talking, ms, and the mean
/// magnitude of what counts as talking, with a comma between.
fn talk_watch(function: &str, value: &str) -> Result<Option<TalkWatch>, Problem> {
    match function {
        "(remove)" => return Ok(None),
        "(set)" => {}
        _ => {
            let why = "TALK_DETECT: (set) or (remove)";
            return Err(Problem::new(400, why));
        }
    }
    let (silence, threshold) = value.split_once(',').unwrap_or((value, ""));
    let number = |text: &str, default: u32, most: u32| match text.trim() {
        "" => Some(default),
        text => text.parse().ok().filter(|n| (1..=most).contains(n)),
    };
    let silence_ms = number(silence, TALK_SILENCE_MS, 60_000);
    let threshold = number(threshold, TALK_THRESHOLD, 32_767);
    let wrong = || {
        let why =
            "TALK_DETECT(set): 1 to 60000 ms of silence, and 1 to 32767, with a comma between";
        Problem::new(400, why)
    };
    Ok(Some(TalkWatch {
        silence_ms: silence_ms.ok_or_else(wrong)?,
        threshold: threshold
            .and_then(|n| n.try_into().ok())
            .ok_or_else(wrong)?,
    }))
}

pub(super) fn set(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let name = args.need("variable")?;
    let call = driven(context)?;
    let value = args.get("value")?;
    if let Some(function) = name.strip_prefix("TALK_DETECT") {
        let watch = talk_watch(function, value.as_deref().unwrap_or_default())?;
        context.switch.watch_talk(call, watch)?;
        return done();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_detection_by_its_variable() {
        let watch = |silence_ms, threshold| {
            let watch = TalkWatch {
                threshold,
                silence_ms,
            };
            Ok(Some(watch))
        };
        assert_eq!(talk_watch("(set)", ""), watch(2_500, 256));
        assert_eq!(talk_watch("(set)", "1000"), watch(1_000, 256));
        assert_eq!(talk_watch("(set)", ",128"), watch(2_500, 128));
        assert_eq!(talk_watch("(set)", "1000, 128"), watch(1_000, 128));
        assert_eq!(talk_watch("(remove)", "x"), Ok(None));
        for (function, value) in [
            ("", ""),
            ("(get)", ""),
            ("(set)", "0"),
            ("(set)", "60001"),
            ("(set)", "1,32768"),
            ("(set)", "1,2,3"),
            ("(set)", "-1"),
        ] {
            let status = talk_watch(function, value).map_err(|problem| problem.status);
            assert_eq!(status, Err(400), "{function} {value}");
        }
    }
}
