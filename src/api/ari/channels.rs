//! `/ari/channels`: calls.

use serde_json::{Value, json};

use super::declare::{Declared, Resource, failure, number, operation, text};
use super::originate::Callee;
use super::state::Target;
use super::{Args, call, done, external, hearing, media, originate, snoop, told, variables, view};
use crate::api::table::{Answer, Parameter};
use crate::api::{Context, Method, Problem, Reply, Response};
use crate::app::StasisSpec;
use crate::leg::LegStats;
use crate::sip::transport::Transport;

pub(super) const NO_CHANNEL: Answer = failure(404, "There is no such channel.");
pub(super) const NOT_DRIVEN: Answer = failure(409, "The channel is in no Stasis application.");
pub(super) const WRONG_STATE: Answer = failure(412, "The channel's state does not allow it.");
const DRIVEN: &[Answer] = &[NO_CHANNEL, NOT_DRIVEN, WRONG_STATE];
/// Those that any state allows.
const IN_ANY_STATE: &[Answer] = &[NO_CHANNEL, NOT_DRIVEN];
const MOVE_FAILS: &[Answer] = &[
    failure(400, "No application is named."),
    failure(
        404,
        "There is no such channel, or nobody reads for the application.",
    ),
    NOT_DRIVEN,
];
const REDIRECT_FAILS: &[Answer] = &[
    failure(400, "No endpoint is named."),
    failure(404, "There is no such channel, or no such endpoint."),
    NOT_DRIVEN,
    WRONG_STATE,
    failure(422, "The endpoint is none of SIP."),
];
const ORIGINATE_FAILS: &[Answer] = &[
    failure(400, "A parameter is wrong or missing."),
    failure(409, "There is a channel of this name."),
    failure(502, "There is no way to the endpoint."),
    failure(503, "There are as many channels as there may be."),
];
const PLAYBACK_ID: Parameter = text("playbackId", "The name that the playback gets.");
pub(super) const MEDIA: Parameter = text(
    "media",
    "What is played: sound:NAME, recording:NAME, number:N, digits:STRING, tone:NAME.",
);
pub(super) const LANG: Parameter = text("lang", "Told again with the playback.");
pub(super) const RECORD: &[Parameter] = &[
    text("name", "The recording's name."),
    text("format", "wav."),
    number("maxDurationSeconds", 0, "Ends after so long; 0: does not."),
    number(
        "maxSilenceSeconds",
        0,
        "Ends after so much silence; 0: does not.",
    ),
    text(
        "ifExists",
        "fail or overwrite, where there is such a recording.",
    ),
    super::declare::flag("beep", "Beeps before it."),
    text("terminateOn", "The digit that ends it: none, any, * or #."),
];
const VARIABLE: Parameter = text("variable", "The variable's name.");
const DIRECTION: Parameter = text("direction", "in, out or both.");

const fn post(
    path: &'static str,
    id: &'static str,
    about: &'static str,
    run: super::declare::Run,
) -> Declared {
    operation(Method::Post, path, id, about, run).fails(DRIVEN)
}

const fn delete(
    path: &'static str,
    id: &'static str,
    about: &'static str,
    run: super::declare::Run,
) -> Declared {
    operation(Method::Delete, path, id, about, run).fails(DRIVEN)
}

const fn get(
    path: &'static str,
    id: &'static str,
    about: &'static str,
    run: super::declare::Run,
) -> Declared {
    operation(Method::Get, path, id, about, run)
}

pub(super) const RESOURCE: Resource = Resource {
    name: "channels",
    about: "Calls.",
    operations: &[
        get("/ari/channels", "list", "All channels.", list).returns("List[Channel]"),
        operation(
            Method::Post,
            "/ari/channels",
            "originate",
            "Calls an endpoint.",
            originate::run,
        )
        .returns("Channel")
        .takes(originate::PARAMETERS)
        .needs(&["endpoint"])
        .body("variables")
        .fails(ORIGINATE_FAILS),
        get("/ari/channels/{channelId}", "get", "A channel.", show)
            .returns("Channel")
            .fails(&[NO_CHANNEL]),
        operation(
            Method::Post,
            "/ari/channels/{channelId}",
            "originateWithId",
            "Calls an endpoint; the channel gets this name.",
            originate::run,
        )
        .returns("Channel")
        .takes(originate::PARAMETERS_WITH_ID)
        .needs(&["endpoint"])
        .body("variables")
        .fails(ORIGINATE_FAILS),
        operation(
            Method::Delete,
            "/ari/channels/{channelId}",
            "hangup",
            "Hangs up.",
            hang_up,
        )
        .takes(&[
            text("reason_code", "The cause, a number of ITU-T Q.850."),
            text(
                "reason",
                "The same by name: normal, busy, congestion, no_answer, and others.",
            ),
        ])
        .fails(&[failure(400, "There is no such reason."), NO_CHANNEL]),
        post(
            "/ari/channels/{channelId}/continue",
            "continueInDialplan",
            "Leaves the application: goes on as if the extension had been dialled, or ends.",
            go_on,
        )
        .takes(&[
            text("context", "Not used: there is one route table."),
            text("extension", "What is dialled."),
            text("priority", "Not used."),
            text("label", "Not used."),
        ])
        .fails(IN_ANY_STATE),
        post(
            "/ari/channels/{channelId}/move",
            "move",
            "Goes to another application.",
            move_to,
        )
        .takes(&[
            text("app", "Which."),
            text("appArgs", "What it is told, with commas."),
        ])
        .needs(&["app"])
        .fails(MOVE_FAILS),
        post(
            "/ari/channels/{channelId}/redirect",
            "redirect",
            "Sends the other side elsewhere: 302 before the answer, REFER after it.",
            redirect,
        )
        .takes(&[text("endpoint", "Where.")])
        .needs(&["endpoint"])
        .fails(REDIRECT_FAILS),
        post(
            "/ari/channels/{channelId}/answer",
            "answer",
            "Answers.",
            answer,
        ),
        post(
            "/ari/channels/{channelId}/ring",
            "ring",
            "Tells the caller that it rings.",
            ring,
        ),
        delete(
            "/ari/channels/{channelId}/ring",
            "ringStop",
            "Ends that, as far as SIP can.",
            quiet,
        )
        .fails(IN_ANY_STATE),
        post(
            "/ari/channels/{channelId}/dtmf",
            "sendDTMF",
            "Sends digits.",
            hearing::dtmf,
        )
        .takes(&[
            text("dtmf", "Which: 0 to 9, *, #, A to D."),
            number(
                "before",
                0,
                "Waits so long before, ms; 0 is the only one that is served.",
            ),
            number("between", 100, "The pause between two, ms."),
            number("duration", 100, "The length of each, ms."),
            number(
                "after",
                0,
                "Waits so long after, ms; 0 is the only one that is served.",
            ),
        ]),
        post(
            "/ari/channels/{channelId}/mute",
            "mute",
            "Mutes.",
            hearing::mute,
        )
        .takes(&[DIRECTION])
        .fails(IN_ANY_STATE),
        delete(
            "/ari/channels/{channelId}/mute",
            "unmute",
            "Ends that.",
            hearing::unmute,
        )
        .takes(&[DIRECTION])
        .fails(IN_ANY_STATE),
        post(
            "/ari/channels/{channelId}/hold",
            "hold",
            "Holds: music is heard.",
            hearing::hold,
        ),
        delete(
            "/ari/channels/{channelId}/hold",
            "unhold",
            "Ends that.",
            hearing::unhold,
        ),
        post(
            "/ari/channels/{channelId}/moh",
            "startMoh",
            "Music while nothing is played.",
            hearing::music,
        )
        .takes(&[text("mohClass", "A sound; default: our own melody.")]),
        delete(
            "/ari/channels/{channelId}/moh",
            "stopMoh",
            "Ends that.",
            hearing::no_music,
        ),
        post(
            "/ari/channels/{channelId}/silence",
            "startSilence",
            "Silence, as is sent anyway.",
            quiet,
        )
        .fails(IN_ANY_STATE),
        delete(
            "/ari/channels/{channelId}/silence",
            "stopSilence",
            "Ends that.",
            quiet,
        )
        .fails(IN_ANY_STATE),
        post(
            "/ari/channels/{channelId}/play",
            "play",
            "Plays, behind what plays already.",
            play,
        )
        .returns("Playback")
        .takes(&[MEDIA, LANG, PLAYBACK_ID])
        .needs(&["media"])
        .lists(&["media"]),
        post(
            "/ari/channels/{channelId}/play/{playbackId}",
            "playWithId",
            "The same; the playback gets this name.",
            play,
        )
        .returns("Playback")
        .takes(&[MEDIA, LANG])
        .needs(&["media"])
        .lists(&["media"]),
        post(
            "/ari/channels/{channelId}/record",
            "record",
            "Records what is said.",
            record,
        )
        .returns("LiveRecording")
        .takes(RECORD)
        .needs(&["name", "format"])
        .fails(&[
            failure(400, "A parameter is wrong or missing."),
            NO_CHANNEL,
            failure(
                409,
                "In no Stasis application, or there is such a recording.",
            ),
            WRONG_STATE,
            failure(422, "The format is not wav."),
        ]),
        operation(
            Method::Post,
            "/ari/channels/externalMedia",
            "externalMedia",
            "A channel whose other side is an address: RTP goes there and comes from there.",
            external::run,
        )
        .returns("Channel")
        .takes(external::PARAMETERS)
        .needs(&["app", "external_host", "format"])
        .body("variables")
        .fails(external::FAILS),
        post(
            "/ari/channels/{channelId}/snoop",
            "snoopChannel",
            "A channel that listens in on this one.",
            snoop::run,
        )
        .returns("Channel")
        .takes(snoop::PARAMETERS)
        .needs(&["app"])
        .fails(snoop::FAILS),
        post(
            "/ari/channels/{channelId}/snoop/{snoopId}",
            "snoopChannelWithId",
            "The same; the channel gets this name.",
            snoop::run,
        )
        .returns("Channel")
        .takes(snoop::PARAMETERS_WITH_ID)
        .needs(&["app"])
        .fails(snoop::FAILS),
        get(
            "/ari/channels/{channelId}/variable",
            "getChannelVar",
            "A variable.",
            variables::get,
        )
        .returns("Variable")
        .takes(&[VARIABLE])
        .needs(&["variable"])
        .fails(&[
            failure(400, "No variable is named."),
            failure(404, "There is no such channel, or no such variable."),
            NOT_DRIVEN,
        ]),
        operation(
            Method::Post,
            "/ari/channels/{channelId}/variable",
            "setChannelVar",
            "Sets a variable; without a value it is none any more.",
            variables::set,
        )
        .takes(&[VARIABLE, text("value", "Its value.")])
        .needs(&["variable"])
        .fails(&[
            failure(400, "There are too many, or it is too long."),
            NO_CHANNEL,
            NOT_DRIVEN,
        ]),
        get(
            "/ari/channels/{channelId}/rtp_statistics",
            "rtpstatistics",
            "The figures of its media.",
            statistics,
        )
        .returns("RTPstat")
        .fails(&[failure(
            404,
            "There is no such channel, or it has no media.",
        )]),
    ],
};

fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let state = &context.state;
    let channels = state.ari.channels.values();
    let channels: Vec<Value> = channels.map(|c| view::channel(c, &state.clock)).collect();
    told(&json!(channels))
}

fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    told(&shown(context, call))
}

/// A channel as it is told.
pub(super) fn shown(context: &Context<'_>, call: crate::call::CallHandle) -> Value {
    let channel = context.state.ari.channels.get(&call);
    channel.map_or(Value::Null, |c| view::channel(c, &context.state.clock))
}

fn hang_up(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let call = call(context)?;
    let wrong = |name: &str| Problem::new(400, format!("{name}: there is no such reason"));
    let cause = match (args.get("reason_code")?, args.get("reason")?) {
        (Some(code), _) => {
            let code = view::cause_named(&code).or_else(|| code.parse().ok());
            code.filter(|code| *code < 128)
                .ok_or_else(|| wrong("reason_code"))?
        }
        (None, Some(name)) => view::cause_named(&name).ok_or_else(|| wrong("reason"))?,
        (None, None) => 16,
    };
    if let Some(channel) = context.state.ari.channels.get_mut(&call) {
        channel.cause = Some(cause);
    }
    context
        .switch
        .hang_up_with(call, view::status_of(cause), context.now)?;
    done()
}

fn go_on(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let call = call(context)?;
    let extension = args.get("extension")?;
    context
        .switch
        .go_on(call, extension.as_deref(), context.now)?;
    done()
}

fn move_to(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let call = call(context)?;
    let app = args.need("app")?;
    if !context.state.ari.is_read(&app) {
        return Err(Problem::new(
            404,
            format!("nobody reads events for the application {app:?}"),
        ));
    }
    let spec = StasisSpec {
        app,
        args: args.list("appArgs"),
        otherwise: None,
    };
    context.switch.move_to(call, spec, context.now)?;
    done()
}

fn redirect(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let args = Args::of(context.request)?;
    let call = call(context)?;
    let endpoint = args.need("endpoint")?;
    let ours = endpoint.starts_with("PJSIP/") || endpoint.starts_with("sip");
    let Callee { uri, path } = originate::callee(context, &endpoint).map_err(|problem| {
        let status = if ours { 404 } else { 422 };
        Problem::new(status, problem.detail)
    })?;
    // RFC 7118 §5: nobody but us has a way to it.
    if path.is_some_and(|path| matches!(path.transport, Transport::Ws | Transport::Wss)) {
        let why = "endpoint: it is a browser, which nobody else can call";
        return Err(Problem::new(422, why));
    }
    context
        .switch
        .redirect(call, &uri.to_string(), context.now)?;
    done()
}

fn answer(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    context.switch.answer(call, context.now)?;
    context.state.set_state(call, "Up", context.now);
    done()
}

fn ring(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    context.switch.ring(call, context.now)?;
    done()
}

/// Nothing is to be done: only whether the channel may be asked.
fn quiet(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    let driven = context.switch.program(call).is_some();
    driven
        .then_some(())
        .ok_or(crate::switch::ProgramError::NotDriven)?;
    done()
}

fn play(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    media::play(context, &Target::Channel(call))
}

fn record(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    media::record(context, Target::Channel(call))
}

fn statistics(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let call = call(context)?;
    let id = context.request.path("channelId").to_owned();
    let then = move |stats: Option<&LegStats>, _: &mut Context<'_>| {
        let stats = stats.ok_or_else(|| Problem::new(404, "the channel has no media"))?;
        let seconds = |us: u32| f64::from(us) / 1e6;
        let mut body = json!({
            "channel_uniqueid": id,
            "local_ssrc": 0,
            "remote_ssrc": 0,
            "txcount": stats.send.packets,
            "rxcount": stats.receive.packets,
            "rxploss": stats.receive.lost.max(0),
            "txploss": stats.peer.lost.max(0),
            "rxjitter": seconds(stats.receive.jitter_us),
        });
        if let Some(round_trip) = stats.peer.round_trip {
            body["rtt"] = json!(round_trip.as_secs_f64());
        }
        Ok(Response::json(&body))
    };
    Ok(Reply::Figures(call, Box::new(then)))
}
