//! Events, by WebSocket.

use crate::api::events::{DIGIT, TALKERS, TYPES};
use crate::api::{Context, Problem, Reply, Scope, Subscription};

pub(super) fn subscribe(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let request = context.request;
    let named = request.query("types");
    let digits = request.flag("digits") || named.is_some_and(|t| t.split(',').any(|t| t == DIGIT));
    let talkers =
        request.flag("talkers") || named.is_some_and(|t| t.split(',').any(|t| t == TALKERS));
    if digits && request.scope < Some(Scope::Control) {
        let why = "digits may be part of a PIN: they need a key of scope control";
        return Err(Problem::new(403, why));
    }
    if !request.upgrades {
        let problem = Problem::new(426, "events come by WebSocket (RFC 6455, version 13)");
        return Err(problem
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13"));
    }
    let mut topics: Vec<String> = match named {
        Some(types) => types.split(',').map(str::to_owned).collect(),
        None => TYPES.iter().map(|&t| t.to_owned()).collect(),
    };
    topics.sort_unstable();
    topics.dedup();
    // Those that cost something are told to who asks for them by name.
    for (topic, on) in [(DIGIT, digits), (TALKERS, talkers)] {
        topics.retain(|known| known != topic);
        if on {
            topics.push(topic.to_owned());
        }
    }
    Ok(Reply::Subscribe(Subscription {
        topics,
        key: request.key.as_deref().map(str::to_owned),
    }))
}
