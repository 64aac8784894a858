//! SIGHUP: routes, prompts and certificates, read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tracing::{error, info, warn};

use super::apps::{self, Tables};
use super::build;
use super::core::{Core, StartError};
use super::files::Done;
use crate::config::{Config, ConfigError, Recording};
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
    fn load(path: &Path, opens_store: bool) -> Result<Box<Reloaded>, ReloadError> {
        let config = Config::load(path)?;
        let prompts = Prompts::load(
            config.prompts.directory.as_deref(),
            &config.prompts.language,
        )
        .map_err(StartError::from)?;
        let tables = apps::tables(&config, &prompts).map_err(StartError::from)?;
        let security = build::security(&config).map_err(StartError::from)?;
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
        let done = self.done.clone();
        let opens_store = self.store.is_none();
        // Refused only when the core is gone.
        tokio::task::spawn_blocking(move || {
            let result = Reloaded::load(&path, opens_store);
            let _ = done.send(Done::Reloaded(path, result));
        });
    }

    /// Puts them in force for calls to come; running calls keep what they have. On an error
    /// everything stays as it was.
    pub(super) fn adopt(&mut self, path: &Path, result: Result<Box<Reloaded>, ReloadError>) {
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
                self.security.replace(&reloaded.security);
                let mut config = reloaded.config;
                // What is asked with stays until a restart: the secrets have to be made for that.
                let asked = self.config.auth.clone();
                if (&config.auth.realm, &config.auth.algorithms)
                    != (&asked.realm, &asked.algorithms)
                {
                    warn!("SIGHUP: auth.realm and auth.algorithms change with a restart alone");
                    config.auth.realm = asked.realm;
                    config.auth.algorithms = asked.algorithms;
                }
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
                info!(
                    file = %path.display(),
                    "SIGHUP: routes, prompts, keys, users, access lists and certificates read again"
                );
            }
            Err(error) => error!(%error, "SIGHUP: the file is wrong; what was in force stays"),
        }
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
    use std::time::Duration;

    use super::*;

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
