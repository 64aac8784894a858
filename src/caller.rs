//! `antiphon call`: places one call with the server's own parts, and reports on it.

mod progress;
mod report;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use crate::app::{AppSpec, ScriptDigits, ScriptSpec};
use crate::call::{CallHandle, EndReason};
use crate::codec::Codec;
use crate::config::Config;
use crate::net::resolve::{ResolveError, Resolver};
use crate::sdp::SrtpPolicy;
use crate::server::{Core, NoRoute, StartError, flows};
use crate::sip::auth::Login;
use crate::sip::uri::{Uri, UriError};
use crate::store::prompts::{PromptError, Prompts};
use crate::switch::{Event, Summary};
use progress::Progress;
pub use report::Report;

/// How long the other side may take to answer before we give up.
const ANSWER_TIME: Duration = Duration::from_mins(2);

/// How long the other side may take to answer our BYE.
const BYE_TIME: Duration = Duration::from_secs(2);

/// What to do in the call.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// Whom to call.
    pub uri: String,
    /// What the other side hears.
    pub play: Option<PathBuf>,
    /// Where what it says goes.
    pub record: Option<PathBuf>,
    /// What is pressed.
    pub digits: Option<ScriptDigits>,
    /// Hang up so long after the answer.
    pub seconds: Option<u64>,
    /// The one codec to offer; none: all that are configured.
    pub codec: Option<Codec>,
    /// Who may have signed the other side's certificate; none: whom the system trusts.
    pub tls_ca: Option<PathBuf>,
    /// The name servers to ask; empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// Media is to be encrypted: otherwise there is no call.
    pub srtp: bool,
    /// Its keys come by DTLS, and are not in the signalling.
    pub dtls: bool,
    /// What answers a server that asks who calls; none: such a server refuses the call.
    pub login: Option<Login>,
    /// Show how it goes while it runs, on standard error, if that is a terminal.
    pub progress: bool,
}

/// Why there was no call at all.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Not a SIP URI.
    #[error("{0:?} is not a SIP URI ({1}); it looks like sip:600@192.0.2.1:5060")]
    Uri(String, UriError),
    /// The host is not known, or cannot be reached by what the URI names.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No way to it.
    #[error(transparent)]
    Route(#[from] NoRoute),
    /// The file to play.
    #[error("--play: {0}")]
    Play(#[from] PromptError),
    /// The file to record into.
    #[error("--record: {0} exists; choose another name or remove it")]
    Exists(PathBuf),
    /// The parts could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A second interrupt.
    #[error("interrupted before the other side said anything")]
    Interrupted,
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Places the call and waits for its end.
pub async fn run(options: CallOptions) -> Result<Report, CallError> {
    let uri: Uri = options
        .uri
        .parse()
        .map_err(|e| CallError::Uri(options.uri.clone(), e))?;
    let resolver = Resolver::new(&options.dns_servers);
    let targets = resolver.targets(&uri, &mut rand::rng()).await?;
    check_files(&options)?;
    let mut core = Core::start(caller_config(&options, targets[0].address))?;
    let (flow, alternatives) = flows(&core.net, &uri, &targets)?;
    let mut progress = Progress::new(options.progress);
    progress.calling(&options.uri);
    let plays = options.play.is_some();
    let spec = AppSpec::Script(ScriptSpec {
        play: options.play,
        record: options.record,
        length: options.seconds.map(Duration::from_secs),
        digits: options.digits.clone(),
    });
    let now = Instant::now();
    let user = options.login.as_ref().map(|login| login.user.as_str());
    let from = user
        .filter(|user| is_user(user))
        .unwrap_or("antiphon")
        .to_owned();
    let handle = core
        .switch
        .originate(options.uri.clone(), from, flow, alternatives, spec, now);
    if let Some(login) = options.login {
        core.switch.set_login(handle, Arc::new(login));
    }
    core.switch.watch_stats(handle, progress.is_shown());
    core.carry_out(now);
    let listens = options.seconds.is_none() && !plays;
    let Waited {
        summary,
        trouble,
        digits,
        interrupted,
    } = wait(&mut core, handle, &mut progress).await?;
    drop(progress);
    core.finish(Instant::now() + BYE_TIME).await;
    core.close_recordings();
    let planned = match summary.reason {
        // Who only listens hangs up by an interrupt.
        EndReason::HungUp => summary.set_up.is_some() && (listens || !interrupted),
        // Without a length or a file of our own the other side's end is the plan.
        EndReason::RemoteHungUp => listens,
        _ => false,
    };
    Ok(Report {
        success: planned && trouble.is_empty(),
        uri: options.uri,
        reason: summary.reason,
        set_up: summary.set_up,
        talked: summary.talked,
        codec: summary.codec,
        stats: summary.stats,
        trouble,
        digits,
    })
}

/// What a call came to.
struct Waited {
    summary: Box<Summary>,
    trouble: Vec<String>,
    digits: String,
    interrupted: bool,
}

async fn wait(
    core: &mut Core,
    handle: CallHandle,
    progress: &mut Progress,
) -> Result<Waited, CallError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let give_up = Instant::now() + ANSWER_TIME;
    let mut answered = false;
    let mut interrupts = 0;
    let mut trouble = Vec::new();
    let mut digits = String::new();
    loop {
        tokio::select! {
            () = core.step() => {}
            _ = interrupt.recv() => interrupts += 1,
            _ = terminate.recv() => interrupts += 1,
        }
        match interrupts {
            0 if answered || Instant::now() < give_up => {}
            0 | 1 => hang_up(core, handle),
            _ => return Err(CallError::Interrupted),
        }
        for event in core.take_events() {
            match event {
                Event::Ended(summary) => {
                    return Ok(Waited {
                        summary,
                        trouble,
                        digits,
                        interrupted: interrupts > 0,
                    });
                }
                Event::Digit { digit, .. } => digits.push(digit.as_char()),
                Event::DigitsNotSent { error, .. } => {
                    trouble.push(format!("--dtmf: {error}"));
                }
                Event::Answered { .. } => {
                    answered = true;
                    progress.answered(Instant::now());
                }
                Event::Stats { stats, .. } => progress.show(&stats, Instant::now()),
                Event::PlayFailed { error, .. } | Event::RecordingFailed { error, .. } => {
                    trouble.push(error);
                }
                _ => {}
            }
        }
    }
}

/// Whether a name can be the user of a URI as it is (RFC 3261 §25.1: unreserved).
fn is_user(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&b);
    name.bytes().all(plain)
}

fn hang_up(core: &mut Core, handle: CallHandle) {
    let now = Instant::now();
    core.switch.hang_up(handle, now);
    core.carry_out(now);
}

/// What would fail in the call is said before it.
fn check_files(options: &CallOptions) -> Result<(), CallError> {
    if let Some(play) = &options.play {
        Prompts::load(None, "")?.load_file(play)?;
    }
    match &options.record {
        Some(path) if path.exists() => Err(CallError::Exists(path.clone())),
        _ => Ok(()),
    }
}

/// The server's own parts, but on ports that the system chooses, and for one call.
fn caller_config(options: &CallOptions, remote: SocketAddr) -> Config {
    let mut config = Config::default();
    let any: SocketAddr = if remote.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    config.sip.udp = vec![any];
    config.sip.tcp = Vec::new();
    config.tls.ca.clone_from(&options.tls_ca);
    config.media.workers = Some(1);
    config.media.rtp_ports = 20_000..=29_999;
    config.limits.calls = Some(4);
    config.conference.max_rooms = 1;
    config.routes.clear();
    config.access.bans = None;
    config.builtin_routes = false;
    config.http.connections = 0;
    config.media.dtls = options.dtls;
    config.media.srtp = if options.srtp || options.dtls {
        SrtpPolicy::Required
    } else {
        SrtpPolicy::Off
    };
    if let Some(codec) = options.codec {
        config.media.codecs = vec![codec];
    }
    config
}
