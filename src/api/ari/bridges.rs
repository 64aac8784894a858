//! `/ari/bridges`: channels that hear each other, or wait together.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::channels::{LANG, MEDIA, RECORD};
use super::declare::{Resource, failure, operation, text};
use super::state::{Bridge, Channel, Target};
use super::{Args, call_named, check_name, done, media, told, view};
use crate::api::table::{Answer, Parameter};
use crate::api::{Context, Method, Problem, Reply};
use crate::app::Order;
use crate::call::CallHandle;
use crate::switch::{BridgeNumber, ProgramError};

const NO_BRIDGE: Answer = failure(404, "There is no such bridge.");
const TYPE: Parameter = text("type", "mixing: all hear each other; holding: nobody does.");
const NAME: Parameter = text("name", "A name for people.");
const CHANNEL: Parameter = text("channel", "Names of channels, with commas.");
const ADD_FAILS: &[Answer] = &[
    failure(400, "There is no such channel."),
    NO_BRIDGE,
    failure(409, "The bridge is full."),
    failure(412, "The channel is not answered."),
    failure(422, "The channel is in no Stasis application."),
];
const REMOVE_FAILS: &[Answer] = &[
    failure(400, "There is no such channel."),
    NO_BRIDGE,
    failure(422, "The channel is not in this bridge."),
];

pub(super) const RESOURCE: Resource = Resource {
    name: "bridges",
    about: "Channels that hear each other, or wait together.",
    operations: &[
        operation(Method::Get, "/ari/bridges", "list", "All bridges.", list)
            .returns("List[Bridge]"),
        operation(
            Method::Post,
            "/ari/bridges",
            "create",
            "Makes a bridge.",
            create,
        )
        .returns("Bridge")
        .takes(&[
            TYPE,
            text("bridgeId", "The name that the bridge gets."),
            NAME,
        ])
        .fails(&[failure(
            409,
            "There is a bridge of this name and another type.",
        )]),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}",
            "createWithId",
            "Makes a bridge of this name; one that is there stays.",
            create,
        )
        .returns("Bridge")
        .takes(&[TYPE, NAME])
        .fails(&[failure(
            409,
            "There is a bridge of this name and another type.",
        )]),
        operation(
            Method::Get,
            "/ari/bridges/{bridgeId}",
            "get",
            "A bridge.",
            show,
        )
        .returns("Bridge")
        .fails(&[NO_BRIDGE]),
        operation(
            Method::Delete,
            "/ari/bridges/{bridgeId}",
            "destroy",
            "Ends a bridge; its channels go on alone.",
            destroy,
        )
        .fails(&[NO_BRIDGE]),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}/addChannel",
            "addChannel",
            "Puts channels in, out of where they were.",
            add,
        )
        .takes(&[CHANNEL])
        .needs(&["channel"])
        .lists(&["channel"])
        .fails(ADD_FAILS),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}/removeChannel",
            "removeChannel",
            "Takes channels out; they go on alone.",
            remove,
        )
        .takes(&[CHANNEL])
        .needs(&["channel"])
        .lists(&["channel"])
        .fails(REMOVE_FAILS),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}/moh",
            "startMoh",
            "Music for all, while nothing is played.",
            music,
        )
        .takes(&[text("mohClass", "A sound; default: our own melody.")])
        .fails(&[NO_BRIDGE]),
        operation(
            Method::Delete,
            "/ari/bridges/{bridgeId}/moh",
            "stopMoh",
            "Ends that.",
            no_music,
        )
        .fails(&[NO_BRIDGE]),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}/play",
            "play",
            "Plays to all, behind what plays already.",
            play,
        )
        .returns("Playback")
        .takes(&[
            MEDIA,
            LANG,
            text("playbackId", "The name that the playback gets."),
        ])
        .needs(&["media"])
        .lists(&["media"])
        .fails(&[NO_BRIDGE, failure(409, "The bridge mixes nothing.")]),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}/play/{playbackId}",
            "playWithId",
            "The same; the playback gets this name.",
            play,
        )
        .returns("Playback")
        .takes(&[MEDIA, LANG])
        .needs(&["media"])
        .lists(&["media"])
        .fails(&[NO_BRIDGE, failure(409, "The bridge mixes nothing.")]),
        operation(
            Method::Post,
            "/ari/bridges/{bridgeId}/record",
            "record",
            "Records what all hear together.",
            record,
        )
        .returns("LiveRecording")
        .takes(RECORD)
        .needs(&["name", "format"])
        .fails(&[
            failure(400, "A parameter is wrong or missing."),
            NO_BRIDGE,
            failure(
                409,
                "There is such a recording, or the bridge mixes nothing.",
            ),
            failure(422, "The format is not wav."),
        ]),
    ],
};

fn shown(context: &Context<'_>, id: &str) -> Value {
    let state = &context.state;
    let bridge = state.ari.bridges.get(id);
    bridge.map_or(Value::Null, |bridge| {
        view::bridge_now(bridge, context.switch, &state.ari, &state.clock)
    })
}

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let ids = context.state.ari.bridges.keys();
    let all: Vec<Value> = ids.map(|id| shown(context, id)).collect();
    told(&json!(all))
}

/// The bridge that the path names.
fn bridge(context: &Context<'_>) -> Result<Bridge, Problem> {
    let id = context.request.path("bridgeId");
    let known = context.state.ari.bridges.get(id).cloned();
    known.ok_or_else(|| Problem::not_found("bridge", id))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let bridge = bridge(context)?;
    told(&shown(context, &bridge.id))
}

fn create(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let kinds = args.list("type");
    let name = args.get("name")?;
    let holding = kinds.iter().any(|kind| kind == "holding");
    let kind = if holding { "holding" } else { "mixing" };
    let named = match context.request.path("bridgeId") {
        "" => args.get("bridgeId")?,
        id => Some(id.to_owned()),
    };
    let id = match named {
        Some(id) => {
            check_name("bridgeId", &id)?;
            id
        }
        None => context.state.ari_name(),
    };
    if let Some(known) = context.state.ari.bridges.get_mut(&id) {
        if known.kind != kind && !kinds.is_empty() {
            return Err(Problem::conflict(format!(
                "the bridge {id:?} is {}",
                known.kind
            )));
        }
        if let Some(name) = name {
            known.name = name;
        }
        return told(&shown(context, &id));
    }
    let max_members = context.state.settings.max_members;
    let number = context
        .switch
        .create_bridge(!holding, max_members, context.now)?;
    let bridge = Bridge {
        number,
        id: id.clone(),
        name: name.unwrap_or_default(),
        kind,
        created: context.now,
        apps: BTreeSet::default(),
        music: None,
    };
    context.state.ari.numbers.insert(number, id.clone());
    context.state.ari.bridges.insert(id.clone(), bridge);
    let Context {
        switch, state, now, ..
    } = context;
    state.tell_of_bridge(&id, "BridgeCreated", None, switch, *now);
    told(&shown(context, &id))
}

fn destroy(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let bridge = bridge(context)?;
    let calls = inside(context, bridge.number);
    context.switch.destroy_bridge(bridge.number, context.now)?;
    for call in calls {
        moved(context, call, Some(bridge.number));
    }
    done()
}

/// All channels in a bridge, and on their way there.
fn inside(context: &Context<'_>, bridge: BridgeNumber) -> Vec<CallHandle> {
    let all = context.state.ari.channels.keys().copied();
    all.filter(|call| context.switch.bridge_of(*call) == Some(bridge))
        .collect()
}

/// A channel is in another bridge than before, or in none: it hears the music of where it is now, or
/// else its own.
fn moved(context: &mut Context<'_>, call: CallHandle, before: Option<BridgeNumber>) {
    let ari = &context.state.ari;
    let now = context.switch.bridge_of(call);
    let music = ari.holding_music(now);
    if now == before || (music.is_none() && ari.holding_music(before).is_none()) {
        return;
    }
    let own = || ari.channels.get(&call).and_then(Channel::own_music);
    let items = music.or_else(own);
    // One that is ending hears nothing any more.
    let _ = context.switch.order(call, Order::Music(items), context.now);
}

/// The channels that a request names, all of which have to be there; each once.
fn members(context: &Context<'_>) -> Result<Vec<CallHandle>, Problem> {
    let args = Args::of(context.request)?;
    let names = args.list("channel");
    if names.is_empty() {
        return Err(Problem::new(400, "channel: this has to be said"));
    }
    let calls = names.iter().map(|id| {
        let call = call_named(context, id);
        call.map_err(|problem| Problem::new(400, problem.detail))
    });
    let mut calls: Vec<CallHandle> = calls.collect::<Result<_, Problem>>()?;
    let mut known = BTreeSet::new();
    calls.retain(|call| known.insert(*call));
    Ok(calls)
}

/// What is wrong with a member is told with other statuses than what is wrong with a channel.
fn of_member(error: ProgramError) -> Problem {
    match error {
        ProgramError::NoCall => Problem::new(400, error.to_string()),
        ProgramError::NotDriven => Problem::new(422, error.to_string()),
        ProgramError::Full => Problem::conflict("the bridge is full"),
        other => other.into(),
    }
}

fn add(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let bridge = bridge(context)?;
    let calls = members(context)?;
    // All of them or none.
    let may = context.switch.may_be_in_bridge(bridge.number, &calls);
    may.map_err(of_member)?;
    for call in calls {
        let before = context.switch.bridge_of(call);
        let added = context
            .switch
            .add_to_bridge(bridge.number, call, context.now);
        added.map_err(of_member)?;
        moved(context, call, before);
    }
    done()
}

fn remove(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let bridge = bridge(context)?;
    let calls = members(context)?;
    let is_in = |call: &CallHandle| context.switch.bridge_of(*call) == Some(bridge.number);
    if !calls.iter().all(is_in) {
        return Err(of_member(ProgramError::NotInBridge));
    }
    for call in calls {
        let removed = context
            .switch
            .remove_from_bridge(bridge.number, call, context.now);
        removed.map_err(of_member)?;
        moved(context, call, Some(bridge.number));
    }
    done()
}

fn music(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let class = Args::of(context.request)?.get("mohClass")?;
    change_music(context, true, class.as_deref())
}

fn no_music(context: &mut Context<'_>) -> Result<Reply, Problem> {
    change_music(context, false, None)
}

fn change_music(
    context: &mut Context<'_>,
    on: bool,
    class: Option<&str>,
) -> Result<Reply, Problem> {
    let bridge = bridge(context)?;
    let items = on.then(|| media::music(context, class));
    if bridge.kind == "holding" {
        for call in inside(context, bridge.number) {
            let channel = context.state.ari.channels.get(&call);
            let own = || channel.and_then(Channel::own_music);
            let heard = items.clone().or_else(own);
            // One that is ending is passed over, and the others hear it.
            let _ = context.switch.order(call, Order::Music(heard), context.now);
        }
    } else {
        context
            .switch
            .order_bridge(bridge.number, Order::Music(items.clone()), context.now)?;
    }
    if let Some(bridge) = context.state.ari.bridges.get_mut(&bridge.id) {
        bridge.music = items;
    }
    done()
}

/// A bridge in which there is a mix to play into or to record.
fn mixing(context: &Context<'_>) -> Result<Target, Problem> {
    let bridge = bridge(context)?;
    if bridge.kind == "holding" {
        return Err(Problem::conflict("a holding bridge mixes nothing"));
    }
    Ok(Target::Bridge(bridge.id))
}

fn play(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let target = mixing(context)?;
    media::play(context, &target)
}

fn record(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let target = mixing(context)?;
    media::record(context, target)
}
