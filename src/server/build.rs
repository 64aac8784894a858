//! The configuration as the parts want it.

use std::path::PathBuf;
use std::time::Duration;

use crate::app::{AppSpec, ConferenceSpec, PlayItem, PlaySpec, RecordSpec};
use crate::config::{AppConfig, Config};
use crate::sdp::negotiate::Capabilities;
use crate::sip::transaction::Timers;
use crate::store::prompts::{PromptError, Prompts};
use crate::switch::Routes;
use crate::switch::routes::Route;
use crate::{call, endpoint, engine, net, sip, switch};

/// Descriptors that are not for calls: listeners, files, TCP connections come on top.
const OTHER_DESCRIPTORS: u64 = 128;
/// RTP, RTCP and a recording.
const DESCRIPTORS_PER_CALL: u64 = 3;
/// Level of a configured tone, dBm0.
const TONE_LEVEL: f32 = -16.0;
/// How long a configured tone is.
const TONE_LENGTH: Duration = Duration::from_secs(1);

/// What is right in the file and wrong on this machine.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Neither a prompt nor a file.
    #[error(
        "route {route:?}: prompts: {name:?} is neither a prompt nor a readable WAV file; \
         prompts are: {known}"
    )]
    UnknownPrompt {
        /// The route's pattern.
        route: String,
        /// What was named.
        name: String,
        /// What could have been.
        known: String,
    },
    /// A file that is there and cannot be played.
    #[error("route {route:?}: prompts: {source}")]
    BrokenPrompt {
        /// The route's pattern.
        route: String,
        /// The file and what is wrong with it.
        source: PromptError,
    },
}

/// The route table, each prompt in it looked up.
pub fn routes(config: &Config, prompts: &Prompts) -> Result<Routes, BuildError> {
    let mut routes = Vec::new();
    for route in config.effective_routes() {
        let spec = match &route.app {
            AppConfig::Echo => AppSpec::Echo,
            AppConfig::Play {
                prompts: names,
                repeat,
                tone_hz,
            } => {
                let mut items = Vec::new();
                for name in names {
                    items.push(item(name, route.user(), prompts)?);
                }
                items.extend(tone_hz.map(|hz| PlayItem::Tone {
                    hz,
                    level_dbm0: TONE_LEVEL,
                    length: TONE_LENGTH,
                }));
                AppSpec::Play(PlaySpec {
                    items,
                    repeat: *repeat,
                })
            }
            AppConfig::Record {
                beep,
                max,
                silence,
                name,
            } => AppSpec::Record(RecordSpec {
                beep: *beep,
                max: Some(*max),
                silence: *silence,
                file: name.as_ref().map(PathBuf::from),
            }),
            AppConfig::Conference {
                room,
                lone_prompt,
                max_members,
            } => AppSpec::Conference(ConferenceSpec {
                room: room.clone(),
                lone_prompt: *lone_prompt,
                max_members: *max_members,
            }),
        };
        routes.push(Route {
            pattern: route.pattern,
            sources: route.source,
            spec,
        });
    }
    Ok(Routes(routes))
}

/// Finds what is wrong with a configuration on this machine, without starting anything.
pub fn check(config: &Config) -> Result<(), super::StartError> {
    let prompts = Prompts::load(
        config.prompts.directory.as_deref(),
        &config.prompts.language,
    )?;
    routes(config, &prompts)?;
    Ok(())
}

fn item(name: &str, route: &str, prompts: &Prompts) -> Result<PlayItem, BuildError> {
    if prompts.get(name).is_some() {
        return Ok(PlayItem::Prompt(name.to_owned()));
    }
    let path = PathBuf::from(name);
    match prompts.load_file(&path) {
        Ok(_) => return Ok(PlayItem::File(path)),
        Err(source) if path.exists() => {
            let route = route.to_owned();
            return Err(BuildError::BrokenPrompt { route, source });
        }
        Err(_) => {}
    }
    Err(BuildError::UnknownPrompt {
        route: route.to_owned(),
        name: name.to_owned(),
        known: prompts.names().join(", "),
    })
}

/// The most calls: what was configured, and what descriptors and ports allow.
pub(super) fn max_calls(config: &Config, descriptors: u64, port_pairs: usize) -> usize {
    let taken = OTHER_DESCRIPTORS + config.limits.tcp_connections as u64;
    let by_descriptors = descriptors.saturating_sub(taken) / DESCRIPTORS_PER_CALL;
    let possible = port_pairs.min(by_descriptors as usize).max(1);
    config.limits.calls.map_or(possible, |n| n.min(possible))
}

pub(super) fn workers(config: &Config) -> usize {
    config
        .media
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

pub(super) fn switch_settings(config: &Config, max_calls: usize) -> switch::Settings {
    switch::Settings {
        call: call::Settings {
            capabilities: Capabilities {
                codecs: config.media.codecs.clone(),
                ptime_ms: config.media.ptime_ms,
                ..Capabilities::default()
            },
            external_address: config.sip.external_address,
            session_expires: config.sip.session_expires.unwrap_or_default(),
            min_se: config.sip.min_se,
            max_length: config.sip.max_call,
        },
        endpoint: endpoint::Settings {
            timers: Timers {
                t1: config.sip.t1,
                ..Timers::default()
            },
            limits: endpoint::Limits {
                transactions: config.limits.transactions,
                calls_per_second_per_source: config.limits.calls_per_second_per_source,
                ..endpoint::Limits::default()
            },
            user_agent: config.sip.user_agent.clone(),
            external_address: config.sip.external_address,
            ..endpoint::Settings::default()
        },
        registration: sip::registration::Settings {
            bindings: config.sip.registrations,
            max_expires: config.sip.register_expires,
            min_expires: sip::registration::Settings::default()
                .min_expires
                .min(config.sip.register_expires),
            ..sip::registration::Settings::default()
        },
        max_calls,
        max_rooms: config.conference.max_rooms,
        workers: workers(config),
        legs_per_worker: max_calls,
        bridges_per_worker: config.conference.max_rooms,
        jitter_max_ms: config.media.jitter_max_ms,
        media_timeout_ms: config
            .media
            .timeout
            .map_or(0, |t| t.as_millis().min(u128::from(u32::MAX)) as u32),
    }
}

pub(super) fn engine_settings(config: &Config, max_calls: usize) -> engine::Settings {
    engine::Settings {
        workers: workers(config),
        legs_per_worker: max_calls,
        bridges_per_worker: config.conference.max_rooms,
        realtime_priority: config.media.realtime_priority,
    }
}

pub(super) fn net_settings(config: &Config) -> net::sip::Settings {
    net::sip::Settings {
        udp: config.sip.udp.clone(),
        tcp: config.sip.tcp.clone(),
        max_message: config.limits.message_bytes,
        tcp_connections: config.limits.tcp_connections,
        tcp_connections_per_address: config.limits.tcp_connections_per_address,
        message_time: config.limits.message_time,
        ..net::sip::Settings::default()
    }
}
