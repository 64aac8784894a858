//! Events, by WebSocket.

use crate::api::events::{DIGIT, TALKERS, TYPES};
use crate::api::{Context, Problem, Reply, Scope, Subscription};

pub(super) fn subscribe(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let request = context.request;
    let named = request.query("types");
    let named: Option<Vec<&str>> = named.map(|types| types.split(',').collect());
    let topics = topics(context, named.as_deref())?;
    if !request.upgrades {
        let problem = Problem::new(426, "events come by WebSocket (RFC 6455, version 13)");
        return Err(problem
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13"));
    }
    Ok(Reply::Subscribe(Subscription {
        topics,
        key: request.key.as_deref().map(str::to_owned),
    }))
}

/// The topics of these types of events, or of those that are told unless types are named.
pub(in crate::api) fn topics(
    context: &Context<'_>,
    named: Option<&[&str]>,
) -> Result<Vec<String>, Problem> {
    let request = context.request;
    let asks_for = |topic| named.is_some_and(|types| types.contains(&topic));
    let digits = request.flag("digits") || asks_for(DIGIT);
    let talkers = request.flag("talkers") || asks_for(TALKERS);
    if digits && request.scope < Some(Scope::Control) {
        let why = "digits may be part of a PIN: they need a key of scope control";
        return Err(Problem::new(403, why));
    }
    let mut topics: Vec<String> = named
        .unwrap_or(TYPES)
        .iter()
        .map(|&topic| topic.to_owned())
        .collect();
    topics.sort_unstable();
    topics.dedup();
    // Those that cost something are told to who asks for them by name.
    for (topic, on) in [(DIGIT, digits), (TALKERS, talkers)] {
        topics.retain(|known| known != topic);
        if on {
            topics.push(topic.to_owned());
        }
    }
    Ok(topics)
}
