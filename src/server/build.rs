//! The configuration as the parts want it.

use std::sync::Arc;

use rand::Rng;
use tracing::warn;

use crate::config::Config;
use crate::dtls::{Identity, IdentityError};
use crate::net::gate::{AccessLists, AccessRule};
use crate::net::tls::{CertificateFiles, Tls, TlsError, TlsSettings};
use crate::sdp::negotiate::Capabilities;
use crate::sip::auth::{self, Algorithm};
use crate::sip::transaction::Timers;
use crate::store::voicemail::{FileStore, Limits, MessageStore, StoreError};
use crate::{api, call, endpoint, engine, net, sip, switch};

/// Where messages are kept; none: there are no mailboxes, or only the one for trying out, which nobody
/// has asked for: the server does without it where it cannot be had.
pub(super) fn message_store(config: &Config) -> Result<Option<Arc<dyn MessageStore>>, StoreError> {
    if config.effective_mailboxes().is_empty() {
        return Ok(None);
    }
    match open_store(config) {
        Err(error) if config.mailboxes.is_empty() => {
            warn!(%error, "voicemail.directory: no mailbox for trying out");
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

fn open_store(config: &Config) -> Result<Arc<dyn MessageStore>, StoreError> {
    let limits = Limits {
        max_messages: config.voicemail.max_messages,
        min_length: config.voicemail.min,
    };
    let store = FileStore::open(config.voicemail.directory.clone(), limits);
    Ok(Arc::new(store.map_err(with_whole_path)?))
}

/// Whether the directory of messages could be had, without opening it.
pub(super) fn check_message_store(config: &Config) -> Result<(), StoreError> {
    if config.mailboxes.is_empty() {
        return Ok(());
    }
    FileStore::probe(&config.voicemail.directory).map_err(with_whole_path)
}

/// A relative path tells nobody what it is relative to.
fn with_whole_path(error: StoreError) -> StoreError {
    match error {
        StoreError::File { path, source } => StoreError::File {
            path: std::path::absolute(&path).unwrap_or(path),
            source,
        },
        other => other,
    }
}

/// What DTLS shows: made anew at each start, since session descriptions name it.
pub(super) fn identity() -> Result<Identity, IdentityError> {
    let made = rcgen::KeyPair::generate().and_then(|key| {
        let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new())?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let name = rcgen::DnType::CommonName;
        parameters.distinguished_name.push(name, "antiphon");
        let certificate = parameters.self_signed(&key)?;
        Ok((certificate.der().to_vec(), key.serialize_der()))
    });
    let (certificate, key) = made.map_err(|error| IdentityError::new(&error))?;
    Identity::new(certificate, key)
}

/// How rooms call.
pub(super) fn dial(config: &Config) -> switch::DialSettings {
    let conference = &config.conference;
    let user = conference.dial_user.clone();
    let login = conference
        .dial_password
        .as_ref()
        .map(|password| auth::Login {
            user: user.clone(),
            password: password.clone(),
        });
    switch::DialSettings {
        user,
        login: login.map(Arc::new),
        ring: conference.dial_time,
        lone_prompt: conference.lone_prompt,
        max_members: conference.max_members,
    }
}

/// What programs find where they say nothing of their own.
pub(super) fn api_settings(config: &Config) -> api::Settings {
    api::Settings {
        max_members: config.conference.max_members,
        lone_prompt: config.conference.lone_prompt,
    }
}

/// What programs may, and what becomes of their calls without them.
pub(super) fn programs(config: &Config, switch: &mut switch::Switch) {
    switch.set_absence(switch::Absence {
        wait: config.ari.reconnect,
        then: config.ari.lost_calls,
    });
    switch.set_external_media(config.ari.external_media.clone());
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
                redundancy: true,
                codecs: config.media.codecs.clone(),
                opus: config.media.opus,
                ptime_ms: config.media.ptime_ms,
                voip_metrics: config.media.rtcp_xr,
                ..Capabilities::default()
            },
            advertised: config.advertised(),
            session_expires: config.sip.session_expires.unwrap_or_default(),
            min_se: config.sip.min_se,
            max_length: config.sip.max_call,
            srtp: config.media.srtp,
            srtp_suites: config.media.srtp_suites.clone(),
            fingerprint: None,
            dtls_offered: config.media.dtls,
            media_from_anywhere: config.media.latch_anywhere,
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
            advertised: config.advertised(),
            access: access(config),
            ..endpoint::Settings::default()
        },
        demand: demand(config),
        registration: sip::registration::Settings {
            bindings: config.sip.registrations,
            max_expires: config.sip.register_expires,
            min_expires: sip::registration::Settings::default()
                .min_expires
                .min(config.sip.register_expires),
            ..sip::registration::Settings::default()
        },
        max_calls,
        unacknowledged: config.limits.unacknowledged_calls,
        max_rooms: config.conference.max_rooms,
        workers: workers(config),
        legs_per_worker: max_calls,
        bridges_per_worker: config.conference.max_rooms,
        jitter_max_ms: config.media.jitter_max_ms,
        media_timeout_ms: config
            .media
            .timeout
            .map_or(0, |t| t.as_millis().min(u128::from(u32::MAX)) as u32),
        inband_digits: config.media.inband_dtmf,
        process: config.media.processing.settings(),
    }
}

/// Who is heard, as the endpoint wants it; with keys of its own at each call.
fn access(config: &Config) -> endpoint::Access {
    let auth = auth::Settings {
        realm: config.auth.realm.clone(),
        algorithms: config.auth.algorithms.clone(),
        nonce_life: config.auth.nonce,
        require_qop: config.auth.require_qop,
        ..auth::Settings::default()
    };
    let mut rng = rand::rng();
    endpoint::Access {
        trusted: config.access.trusted.clone(),
        drop_user_agents: config.access.drop_user_agents.clone(),
        bans: config.access.bans,
        auth: Some(auth),
        users: users(config, &config.auth.realm, &config.auth.algorithms),
        keys: Some([auth::Key(rng.random()), auth::Key(rng.random())]),
    }
}

/// Who there is.
pub(super) fn users(config: &Config, realm: &str, algorithms: &[Algorithm]) -> auth::Users {
    let mut users = auth::Users::default();
    for user in &config.users {
        for &algorithm in algorithms {
            if let Some(ha1) = user.ha1(algorithm, realm) {
                users.add(&user.name, algorithm, ha1);
            }
        }
    }
    users
}

/// Where users are asked for.
pub(super) fn demand(config: &Config) -> switch::Demand {
    switch::Demand {
        exempt: config.auth.exempt.clone(),
        sources: config.auth.sources.clone(),
        transports: config.auth.transports.clone(),
        register: config.auth.register,
    }
}

/// Who is heard, as the listeners want it.
pub(super) fn access_lists(config: &Config) -> AccessLists {
    let access = &config.access;
    let rule = |transport, list: &crate::config::AccessList| AccessRule {
        transport,
        allow: list.allow.clone(),
        deny: list.deny.clone(),
    };
    AccessLists {
        trusted: access.trusted.clone(),
        rules: std::iter::once(rule(None, &access.all))
            .chain(
                access
                    .transports
                    .iter()
                    .map(|(t, list)| rule(Some(*t), list)),
            )
            .collect(),
    }
}

pub(super) fn engine_settings(config: &Config, max_calls: usize) -> engine::Settings {
    engine::Settings {
        workers: workers(config),
        legs_per_worker: max_calls,
        bridges_per_worker: config.conference.max_rooms,
        realtime_priority: config.media.realtime_priority,
        io_uring: config.media.io_uring,
        bypass: config.media.xdp_interface.clone(),
    }
}

/// Certificates and whom to trust, read from their files. `listens`: TLS is listened for already, which
/// stays so until a restart, whatever the file says.
pub(super) fn security(config: &Config, listens: bool) -> Result<Tls, TlsError> {
    let certificates = config.certificates.iter().map(|files| CertificateFiles {
        chain: files.chain.clone(),
        key: files.key.clone(),
    });
    let settings = TlsSettings {
        certificates: certificates.collect(),
        client_certificates: config.tls.client_certificates,
        client_ca: config.tls.client_ca.clone(),
        ca: config.tls.ca.clone(),
        only_1_3: config.tls.only_1_3,
    };
    let wanted = !(config.sip.tls.is_empty() && config.sip.wss.is_empty()) || config.http.tls;
    let serves = wanted || (listens && !settings.certificates.is_empty());
    Tls::load(&settings, serves)
}

pub(super) fn net_settings(config: &Config, security: Arc<Tls>) -> net::sip::Settings {
    net::sip::Settings {
        udp: config.sip.udp.clone(),
        tcp: config.sip.tcp.clone(),
        tls: config.sip.tls.clone(),
        ws: config.sip.ws.clone(),
        wss: config.sip.wss.clone(),
        ws_origins: config.sip.ws_origins.clone(),
        security: Some(security),
        keep_alive: config.sip.keep_alive,
        max_message: config.limits.message_bytes,
        tcp_connections: config.limits.tcp_connections,
        tcp_connections_per_address: config.limits.tcp_connections_per_address,
        handshakes: config.limits.handshakes,
        handshakes_per_second_per_source: config.limits.handshakes_per_second_per_source,
        message_time: config.limits.message_time,
        access: access_lists(config),
        ..net::sip::Settings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below a file there can be no directory, whoever asks.
    const IMPOSSIBLE: &str = "[voicemail]\ndirectory = \"Cargo.toml/voicemail\"\n";
    const MAILBOX: &str = "[[mailbox]]\nnumber = \"1\"\npin = \"4711\"\n";

    #[test]
    fn the_mailbox_for_trying_out_is_done_without_and_one_of_ones_own_is_not() {
        let config = |text: &str| Config::parse(text, "test.toml").unwrap();
        let only_ours = config(IMPOSSIBLE);
        assert!(message_store(&only_ours).unwrap().is_none());
        assert!(check_message_store(&only_ours).is_ok());
        let configured = config(&format!("{IMPOSSIBLE}{MAILBOX}"));
        let opened = message_store(&configured).map(|_| ());
        let whole = std::path::absolute("Cargo.toml/voicemail").unwrap();
        for refused in [opened, check_message_store(&configured)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.starts_with(whole.to_str().unwrap()), "{error}");
        }
    }
}
