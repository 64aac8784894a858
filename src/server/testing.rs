//! A server for tests: without listeners for the world.

#![allow(clippy::unwrap_used, reason = "tests alone use it")]

use std::path::Path;

use super::Core;
use crate::config::Config;

/// One that records into `directory`, with `more` in its configuration.
pub(super) fn core(directory: &Path, more: &str) -> Core {
    Core::start(Config::parse(&text(directory, more), "test.toml").unwrap()).unwrap()
}

/// Its configuration.
pub(super) fn text(directory: &Path, more: &str) -> String {
    let recordings = directory.display().to_string();
    format!(
        "builtin_routes = false\n[sip]\nudp = [\"127.0.0.1:0\"]\ntcp = []\n[http]\nlisten = []\n\
         [limits]\ncalls = 4\n[recording]\ndirectory = {recordings:?}\n{more}"
    )
}
