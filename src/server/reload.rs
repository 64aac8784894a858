//! SIGHUP: routes, prompts and certificates, read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::{error, info, warn};

use super::apps::{self, Tables};
use super::build;
use super::core::{Core, StartError};
use super::files::Done;
use crate::config::{Config, ConfigError, Recording, Secret, UserConfig};
use crate::endpoint::Scope;
use crate::net::tls::Tls;
use crate::store::prompts::Prompts;
use crate::store::voicemail::MessageStore;

/// Why what was in force stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A prompt or a route.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// One file is read at a time: of two, the one that was read first could be put in force last.
#[derive(Debug, Default)]
pub(super) struct Reloading {
    under_way: bool,
    next: Option<PathBuf>,
}

impl Reloading {
    /// The file, if it is to be read now; else it is read behind the one under way.
    fn wanted(&mut self, path: PathBuf) -> Option<PathBuf> {
        if self.under_way {
            self.next = Some(path);
            return None;
        }
        self.under_way = true;
        Some(path)
    }

    /// One has been read; what is to be read now.
    fn ended(&mut self) -> Option<PathBuf> {
        self.under_way = false;
        self.next.take()
    }
}

/// What is to be put in force.
pub(super) struct Reloaded {
    config: Config,
    tables: Tables,
    prompts: Prompts,
    security: Tls,
    /// Where the first mailboxes are kept; a change of what is open already waits for a restart.
    store: Option<Arc<dyn MessageStore>>,
}

impl Reloaded {
    /// Reads a configuration file and its prompts, and opens the messages if none are yet; blocks.
    fn load(path: &Path, opens_store: bool, listens: bool) -> Result<Box<Reloaded>, ReloadError> {
        let config = Config::load(path)?;
        let prompts = Prompts::load(
            config.prompts.directory.as_deref(),
            &config.prompts.language,
        )
        .map_err(StartError::from)?;
        let tables = apps::tables(&config, &prompts).map_err(StartError::from)?;
        let security = build::security(&config, listens).map_err(StartError::from)?;
        let store = if opens_store {
            build::message_store(&config).map_err(StartError::from)?
        } else {
            None
        };
        Ok(Box::new(Reloaded {
            config,
            tables,
            prompts,
            security,
            store,
        }))
    }
}

impl Core {
    /// Reads routes, prompts and certificates anew, without holding up running calls.
    pub fn reload(&mut self, path: PathBuf) {
        let Some(path) = self.reloading.wanted(path) else {
            return;
        };
        let done = self.done.clone();
        let opens_store = self.store.is_none();
        let listens = self.listens_for_tls();
        // Refused only when the core is gone.
        tokio::task::spawn_blocking(move || {
            let result = Reloaded::load(&path, opens_store, listens);
            let _ = done.send(Done::Reloaded(path, result));
        });
    }

    /// A file has been read; another one may have been wanted since.
    pub(super) fn reloaded(&mut self, path: &Path, result: Result<Box<Reloaded>, ReloadError>) {
        self.adopt(path, result);
        if let Some(next) = self.reloading.ended() {
            self.reload(next);
        }
    }

    /// Puts them in force for calls to come; running calls keep what they have. On an error
    /// everything stays as it was.
    fn adopt(&mut self, path: &Path, result: Result<Box<Reloaded>, ReloadError>) {
        match result {
            Ok(reloaded) => {
                if self.store.is_none() {
                    self.store = reloaded.store;
                }
                let before = &self.config;
                let after = &reloaded.config;
                let parts = |c: &Config| {
                    let announcement = (c.announcement.clone(), c.sequences.clone());
                    (announcement, c.speech.clone(), c.prompts.clone())
                };
                if parts(after) != parts(before) {
                    let renewed = Arc::new(self.announcements.renewed(after, &self.security));
                    std::mem::replace(&mut self.announcements, renewed).retire();
                }
                self.switch.set_routes(reloaded.tables.routes);
                self.switch.set_menus(reloaded.tables.menus);
                self.switch.set_room_table(reloaded.tables.rooms);
                self.switch.set_dial(build::dial(&reloaded.config));
                build::programs(&reloaded.config, &mut self.switch);
                let media = &reloaded.config.media;
                self.switch
                    .set_srtp(media.srtp, media.srtp_suites.clone(), media.dtls);
                self.programs.api.state.settings = build::api_settings(&reloaded.config);
                let stays = self.security.replace(&reloaded.security);
                if stays && self.listens_for_tls() {
                    warn!(
                        "SIGHUP: the file has no [[certificate]], and TLS is listened for until a restart: \
                         with the certificates from before"
                    );
                }
                let mut config = reloaded.config;
                keep_asked(&self.config, &mut config);
                keep_recorder(&self.config.recording, &mut config.recording);
                let users = build::users(&config, &config.auth.realm, &config.auth.algorithms);
                self.switch.set_users(users, build::demand(&config));
                self.net.set_access(build::access_lists(&config));
                let access = config.access.clone();
                let now = Instant::now();
                self.switch
                    .set_peers(access.trusted, access.drop_user_agents, now);
                self.switch.set_bans(access.bans, now);
                let bans = self.switch.bans(now).into_iter();
                let proven = bans.filter(|ban| ban.scope == Scope::All);
                self.net.set_bans(proven.map(|ban| (ban.source, ban.until)));
                self.prompts = Arc::new(reloaded.prompts);
                self.config = config;
                // The next one has these name servers, or what the system's files say now.
                self.resolver = None;
                self.adopt_http_keys();
                self.adopt_http_certificate();
                info!(
                    file = %path.display(),
                    "SIGHUP: routes, prompts, keys, users, access lists and certificates read again"
                );
            }
            Err(error) => error!(%error, "SIGHUP: the file is wrong; what was in force stays"),
        }
    }
}

/// What is asked with stays until a restart: the secrets have to be made for that. So do the users,
/// where any is known by a hash alone: it is made for the realm that is not asked with yet.
fn keep_asked(before: &Config, after: &mut Config) {
    let asked = |config: &Config| (config.auth.realm.clone(), config.auth.algorithms.clone());
    if asked(before) == asked(after) {
        return;
    }
    warn!("SIGHUP: auth.realm and auth.algorithms change with a restart alone");
    (after.auth.realm, after.auth.algorithms) = asked(before);
    let is_hashed = |user: &UserConfig| matches!(user.secret, Secret::Ha1 { .. });
    if after.users.iter().any(is_hashed) {
        warn!(
            "SIGHUP: users stay too until a restart: some of the file have an ha1_... for what it says in \
             auth.realm and auth.algorithms"
        );
        after.users.clone_from(&before.users);
    }
}

/// The recorder goes on as it was started.
fn keep_recorder(before: &Recording, after: &mut Recording) {
    let parts = |of: &Recording| (of.directory.clone(), of.min_free_mb, of.rate, of.stereo);
    if parts(before) == parts(after) {
        return;
    }
    warn!(
        "SIGHUP: directory, min_free_mb, rate and stereo of [recording] change with a restart alone"
    );
    *after = Recording {
        max: after.max,
        beep: after.beep,
        silence: after.silence,
        ..before.clone()
    };
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::super::testing::text;
    use super::*;
    use crate::net::tls;

    #[test]
    fn one_file_is_read_at_a_time_and_the_last_one_wanted_behind_it() {
        let mut reloading = Reloading::default();
        assert_eq!(reloading.wanted("a".into()), Some("a".into()));
        assert_eq!(reloading.wanted("b".into()), None);
        assert_eq!(reloading.wanted("c".into()), None);
        let next = reloading.ended().unwrap();
        assert_eq!(reloading.wanted(next), Some("c".into()));
        assert_eq!(reloading.ended(), None);
        assert_eq!(reloading.wanted("d".into()), Some("d".into()));
    }

    #[tokio::test]
    async fn what_programs_find_of_conferences_changes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("antiphon.toml");
        let write = |more| std::fs::write(&file, text(directory.path(), more)).unwrap();
        write("");
        let mut core = Core::start(Config::load(&file).unwrap()).unwrap();
        write("[conference]\nmax_members = 7\nlone_prompt = false\n");
        core.reloaded(&file, Reloaded::load(&file, false, false));
        let settings = &core.programs.api.state.settings;
        assert_eq!((settings.max_members, settings.lone_prompt), (7, false));
    }

    /// A certificate of its own, as the file names it.
    fn certificate(directory: &Path, name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let made = params.self_signed(&key).unwrap();
        let path = |kind: &str| directory.join(format!("{name}.{kind}"));
        std::fs::write(path("pem"), made.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        let [chain, key] = ["pem", "key"].map(|kind| path(kind).display().to_string());
        format!("[[certificate]]\nchain = {chain:?}\nkey = {key:?}\n")
    }

    /// Whether TLS is spoken there, with the certificate that the server knows of.
    async fn is_served(core: &Core, at: SocketAddr) -> bool {
        let Some(fingerprint) = core.security.fingerprint() else {
            return false;
        };
        let connector = tls::pinned(fingerprint).unwrap();
        let stream = TcpStream::connect(at).await.unwrap();
        let name = tls::server_name(None, at.ip());
        connector.connect(name, stream).await.is_ok()
    }

    #[tokio::test]
    async fn tls_is_served_until_a_restart_whatever_the_file_says() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("antiphon.toml");
        let recordings = directory.path().display().to_string();
        let write = |sip: &str, http: &str, more: &str| {
            let text = format!(
                "builtin_routes = false\n[sip]\nudp = [\"127.0.0.1:0\"]\ntcp = []\n{sip}\n[http]\n\
                 listen = [\"127.0.0.1:0\"]\n{http}\n[limits]\ncalls = 4\n[recording]\n\
                 directory = {recordings:?}\n{more}"
            );
            std::fs::write(&file, text).unwrap();
        };
        let [first, second] = ["first", "second"].map(|name| certificate(directory.path(), name));
        for (sip, http) in [("tls = [\"127.0.0.1:0\"]", ""), ("", "tls = true")] {
            write(sip, http, &first);
            let mut core = Core::start(Config::load(&file).unwrap()).unwrap();
            core.open_http().unwrap();
            let of_sip = core.started.listening.iter().find(|(t, _)| t.is_secure());
            let at = of_sip.map_or(core.started.http[0].1, |(_, at)| *at);
            assert!(is_served(&core, at).await);
            let before = core.security.fingerprint();
            // Neither listener nor certificate: what there was. A certificate: that one.
            for (certificate, stays) in [("", true), (second.as_str(), false)] {
                write("", "", certificate);
                let loaded = Reloaded::load(&file, false, core.listens_for_tls());
                core.reloaded(&file, loaded);
                assert!(core.config.sip.tls.is_empty() && !core.config.http.tls);
                assert_eq!(core.security.fingerprint() == before, stays);
                assert!(is_served(&core, at).await, "{sip}{http}{certificate}");
            }
        }
    }

    fn realm_and_user(realm: &str, user: &str) -> Config {
        let text = format!(
            "[auth]\nrealm = \"{realm}\"\nalgorithms = [\"SHA-256\"]\n\
             [[user]]\nname = \"alice\"\n{user}\n"
        );
        Config::parse(&text, "test.toml").unwrap()
    }

    #[test]
    fn a_hash_for_another_realm_waits_for_the_restart_that_brings_the_realm() {
        let hash = |digit: &str| format!("ha1_sha256 = \"{}\"", digit.repeat(64));
        let before = realm_and_user("here", &hash("a"));
        let mut after = realm_and_user("there", &hash("b"));
        keep_asked(&before, &mut after);
        assert_eq!(after.auth.realm, "here");
        assert!(after.users == before.users);
        // In the same realm it is good at once, and so is a password in any.
        for (realm, user) in [
            ("here", hash("b")),
            ("there", "password = \"secret-1\"".into()),
        ] {
            let mut after = realm_and_user(realm, &user);
            let wanted = after.users.clone();
            keep_asked(&before, &mut after);
            assert_eq!(after.auth.realm, "here");
            assert!(after.users == wanted);
        }
    }

    #[test]
    fn what_the_recorder_was_started_with_stays() {
        let before = Config::default().recording;
        let mut after = Recording {
            directory: "elsewhere".into(),
            min_free_mb: 7,
            rate: 48_000,
            stereo: true,
            max: Duration::from_secs(9),
            beep: !before.beep,
            silence: Some(Duration::from_secs(3)),
        };
        let wanted = Recording {
            max: after.max,
            beep: after.beep,
            silence: after.silence,
            ..before.clone()
        };
        keep_recorder(&before, &mut after);
        assert_eq!(after, wanted);
    }
}
