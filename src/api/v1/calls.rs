//! Calls.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::description::NO_CONTROLS;
use crate::api::{Context, NO_ANNOUNCEMENT, Place, Problem, Reply, Response, State};
use crate::app::{AppSpec, ConferenceSpec, PlayItem, PlaySpec};
use crate::call::{CallHandle, Phase};
use crate::leg::LegStats;
use crate::sip::auth::Login;
use crate::sip::transport::Flow;
use crate::sip::uri::Uri;
use crate::switch::CallView;

/// Some calls.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Calls {
    /// In the order in which they began.
    calls: Vec<CallBody>,
    /// Where the next page begins: `after` of the next request. Absent: there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A call.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct CallBody {
    /// Its name in this API.
    id: String,
    /// Its SIP Call-ID.
    call_id: String,
    /// `in`: it came to us; `out`: we have placed it.
    direction: &'static str,
    /// `setup`, `up`, or `ending`.
    state: &'static str,
    /// The other party's user, or host.
    party: String,
    /// The other party's address.
    peer: String,
    /// `UDP`, `TCP`, `TLS`, `WS` or `WSS`.
    transport: String,
    /// What it does.
    app: &'static str,
    /// When it began (RFC 3339).
    created: String,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered: Option<String>,
    /// Seconds since it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    /// The codec that we send.
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<&'static str>,
    /// The room that it is in, or on its way to.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// It is being recorded.
    recording: bool,
    /// The figures of its media.
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<Figures>,
}

/// The figures of a call's media so far.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Figures {
    /// Packets that came.
    rx_packets: u64,
    /// Packets that did not.
    rx_lost: i64,
    /// Packets that came too late or too early to be heard.
    rx_discarded: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1), ms.
    rx_jitter_ms: f64,
    /// Depth of the jitter buffer, ms.
    buffer_ms: f64,
    /// How much was made up for what was missing, ms.
    concealed_ms: u64,
    /// Packets that went.
    tx_packets: u64,
    /// Of those, what the other side has not received, as it says.
    tx_lost: i64,
    /// The round trip, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
    /// What a listener would say (MOS-LQ), 1 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    mos_lq: Option<f64>,
    /// The media is encrypted.
    srtp: bool,
}

impl Figures {
    pub(in crate::api) fn of(stats: &LegStats) -> Self {
        let ms = |us: u32| tenths(f64::from(us) / 1000.0);
        Self {
            rx_packets: stats.receive.packets,
            rx_lost: stats.receive.lost,
            rx_discarded: stats.loss.discarded,
            rx_jitter_ms: ms(stats.receive.jitter_us),
            buffer_ms: tenths(stats.buffer_ms().0.into()),
            concealed_ms: stats.concealed_ms(),
            tx_packets: stats.send.packets,
            tx_lost: stats.peer.lost.into(),
            rtt_ms: stats
                .peer
                .round_trip
                .map(|t| tenths(t.as_secs_f64() * 1000.0)),
            mos_lq: stats.rating.map(|r| tenths(r.mos_lq.into())),
            srtp: stats.secure,
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

impl CallBody {
    /// A call that began just now.
    pub(in crate::api) fn begun(
        (call, call_id, party): (CallHandle, &str, &str),
        (flow, is_outgoing, app): (&Flow, bool, &'static str),
        state: &State,
        now: Instant,
    ) -> Self {
        let view = CallView {
            handle: call,
            call_id,
            party,
            is_outgoing,
            phase: Phase::Setup,
            flow: *flow,
            app,
            created: now,
            answered: None,
            codec: None,
            room: None,
            is_recording: false,
            has_media: false,
        };
        Self::of(&view, state, now)
    }

    pub(in crate::api) fn of(view: &CallView<'_>, state: &State, now: Instant) -> Self {
        let since = |at| now.saturating_duration_since(at).as_secs();
        Self {
            id: state.call_id(view.handle),
            call_id: view.call_id.to_owned(),
            direction: if view.is_outgoing { "out" } else { "in" },
            state: view.phase.word(),
            party: view.party.to_owned(),
            peer: view.flow.remote.to_string(),
            transport: view.flow.transport.to_string(),
            app: view.app,
            created: state.clock.text(view.created),
            answered: view.answered.map(|at| state.clock.text(at)),
            seconds: view.answered.map(since),
            codec: view.codec,
            room: view.room.map(str::to_owned),
            recording: view.is_recording,
            media: None,
        }
    }
}

pub(super) fn list(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let Context {
        switch,
        state,
        request,
        now,
        ..
    } = context;
    // One of another run of the server is before all of this one.
    let after = request.query("after").and_then(|id| state.call_of(id));
    let limit = request.number("limit", super::PAGE_SIZE);
    let mut handles = switch.handles();
    handles.retain(|handle| after.is_none_or(|after| *handle > after));
    let more = handles.len() > limit;
    handles.truncate(limit);
    let views = handles.iter().filter_map(|&handle| switch.view(handle));
    let next = handles
        .last()
        .filter(|_| more)
        .map(|&last| state.call_id(last));
    Ok(Reply::Now(Response::json(&Calls {
        calls: views.map(|view| CallBody::of(&view, state, *now)).collect(),
        next,
    })))
}

/// The call that the path names.
fn named(context: &Context<'_>) -> Result<CallHandle, Problem> {
    named_by(context, context.request.path("id"))
}

/// The call of that name.
pub(super) fn named_by(context: &Context<'_>, id: &str) -> Result<CallHandle, Problem> {
    let handle = context.state.call_of(id);
    let there = handle.filter(|&handle| context.switch.view(handle).is_some());
    there.ok_or_else(|| Problem::not_found("call", id))
}

fn shown(
    handle: CallHandle,
    figures: Option<&LegStats>,
    context: &Context<'_>,
) -> Option<CallBody> {
    let view = context.switch.view(handle)?;
    Some(CallBody {
        media: figures.map(Figures::of),
        ..CallBody::of(&view, context.state, context.now)
    })
}

pub(super) fn show(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let handle = named(context)?;
    let id = context.request.path("id").to_owned();
    let then = Box::new(
        move |figures: Option<&LegStats>, context: &mut Context<'_>| {
            let body = shown(handle, figures, context);
            let body = body.ok_or_else(|| Problem::not_found("call", &id))?;
            Ok(Response::json(&body))
        },
    );
    Ok(Reply::Figures(handle, then))
}

pub(super) fn hang_up(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let handle = named(context)?;
    context.switch.hang_up(handle, context.now);
    Ok(Reply::Now(Response::empty()))
}

/// A call to be placed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewCall {
    /// Whom to call: `sip:alice@192.0.2.1:5060;transport=tcp`.
    #[schemars(
        length(min = 5, max = 500),
        regex(pattern = URI)
    )]
    uri: String,
    /// Who calls: the user of From.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_.!~*'()+-]+$"))]
    from: Option<String>,
    /// What answers a server that asks who calls.
    #[serde(default)]
    login: Option<NewLogin>,
    /// What who answers is connected with.
    application: Application,
}

/// A name and a password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NewLogin {
    /// The name.
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r#"^[^\u0000-\u001f\u007f-\u009f"\\]*$"#)
    )]
    user: String,
    /// The password.
    #[schemars(length(min = 1, max = 128))]
    password: String,
}

impl std::fmt::Debug for NewLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewLogin(..)")
    }
}

/// What a call does once it is answered.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::api) enum Application {
    /// Who answers hears itself.
    Echo {},
    /// Prompts, then hang up.
    Play {
        /// Their names.
        #[schemars(length(min = 1, max = 100))]
        prompts: Vec<String>,
    },
    /// A conference room.
    Conference {
        /// Its name.
        #[schemars(length(min = 1, max = 64), regex(pattern = NO_CONTROLS))]
        room: String,
    },
    /// What a caller who dials this number gets.
    Route {
        /// The number, as a phone would dial it.
        #[schemars(length(min = 1, max = 100))]
        number: String,
    },
}

impl Application {
    fn spec(self, context: &Context<'_>) -> Result<AppSpec, Problem> {
        let settings = context.state.settings;
        match self {
            Application::Echo {} => Ok(AppSpec::Echo),
            Application::Play { prompts } => {
                within("application.prompts", prompts.len(), 1, 100)?;
                if let Some(unknown) = prompts.iter().find(|name| !context.edge.has_prompt(name)) {
                    let problem = Problem::not_found("prompt", unknown);
                    return Err(problem.of_field("application.prompts"));
                }
                Ok(AppSpec::Play(PlaySpec {
                    items: prompts.into_iter().map(PlayItem::Prompt).collect(),
                    repeat: 1,
                }))
            }
            Application::Conference { room } => {
                within("application.room", room.chars().count(), 1, 64)?;
                if room.contains(char::is_control) {
                    return Err(Problem::invalid(
                        "application.room",
                        "it has control characters",
                    ));
                }
                Ok(AppSpec::Conference(ConferenceSpec {
                    room,
                    lone_prompt: settings.lone_prompt,
                    max_members: settings.max_members,
                    rooms: context.switch.room_table().clone(),
                    invited: false,
                }))
            }
            Application::Route { number } => {
                within("application.number", number.chars().count(), 1, 100)?;
                match context.switch.route(&number) {
                    Some(AppSpec::Announcement(_)) => {
                        Err(Problem::invalid("application.number", NO_ANNOUNCEMENT))
                    }
                    Some(spec) => Ok(spec),
                    None => {
                        let problem = Problem::not_found("route for", &number);
                        Err(problem.of_field("application.number"))
                    }
                }
            }
        }
    }
}

/// What a SIP URI looks like, for the description.
pub(super) const URI: &str = r"^[sS][iI][pP][sS]?:([A-Za-z0-9_.!~*'()+-]+@)?(\[([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}\]|\[([0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f]{1,4}\]|\[::[0-9A-Fa-f]{1,4}\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?(;[A-Za-z][A-Za-z0-9.-]*(=[A-Za-z0-9.-]+)?)*$";
/// The longest name of a host (RFC 1035 §2.3.4), as text.
const MAX_HOST: usize = 253;

pub(super) fn within(field: &str, length: usize, min: usize, max: usize) -> Result<(), Problem> {
    if (min..=max).contains(&length) {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        format!("expected {min} to {max}, found {length}"),
    ))
}

pub(super) fn place(context: &mut Context<'_>) -> Result<Reply, Problem> {
    let new: NewCall = context.request.json()?;
    within("uri", new.uri.len(), 5, 500)?;
    let uri: Uri = new.uri.parse().map_err(|error| {
        Problem::invalid(
            "uri",
            format!("no SIP URI ({error}); it looks like sip:alice@192.0.2.1"),
        )
    })?;
    let host = uri.host.to_string().len();
    if host > MAX_HOST {
        let why = format!("expected a host of at most {MAX_HOST} characters, found {host}");
        return Err(Problem::invalid("uri", why));
    }
    if uri.headers.is_some() || uri.password.is_some() {
        return Err(Problem::invalid(
            "uri",
            "expected no password, and no headers behind a ?",
        ));
    }
    let from = new.from.unwrap_or_else(|| "antiphon".to_owned());
    within("from", from.len(), 1, 64)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&b);
    if !from.bytes().all(plain) {
        return Err(Problem::invalid(
            "from",
            "letters, digits and -_.!~*'()+ alone",
        ));
    }
    let login = match new.login {
        None => None,
        Some(NewLogin { user, password }) => {
            within("login.user", user.chars().count(), 1, 64)?;
            within("login.password", password.chars().count(), 1, 128)?;
            if user.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
                return Err(Problem::invalid(
                    "login.user",
                    "expected no quotes, backslashes and control characters",
                ));
            }
            Some(Login { user, password })
        }
    };
    let spec = new.application.spec(context)?;
    if context.edge.is_draining() || context.switch.is_full() {
        let why = "as many calls as there may be, or the server is about to end";
        return Err(Problem::later(503, why, 5));
    }
    let then = Box::new(
        |placed: Result<CallHandle, Problem>, context: &mut Context<'_>| {
            let handle = placed?;
            let gone = || Problem::new(502, "the call was over at once");
            let body = shown(handle, None, context).ok_or_else(gone)?;
            let at = format!("/api/v1/calls/{}", body.id);
            Ok(Response::json_with(201, &body).header("Location", at))
        },
    );
    Ok(Reply::Place(Box::new(Place {
        uri,
        path: None,
        from,
        spec,
        login,
        then,
    })))
}
