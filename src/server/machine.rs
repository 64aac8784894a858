//! What a configuration wants of this machine, looked for before a caller does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::core::StartError;
use crate::config::{AppConfig, Config};
use crate::store::probe::probe;

/// Refuses a configuration that records calls or rooms, and could not. Blocks. For `check` alone: the disk
/// of a server that starts may be there later, and not answer now.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    if records(config) {
        recordings(config)
    } else {
        Ok(())
    }
}

/// All that is missing, for a server that starts all the same. Blocks.
pub(super) fn shortcomings(config: &Config) -> Vec<String> {
    let refused = check(config).err().map(|error| error.to_string());
    refused.into_iter().chain(warnings(config)).collect()
}

/// What is missing that somebody may miss one day. Blocks.
pub(super) fn warnings(config: &Config) -> Vec<String> {
    let unwritable = recordings(config).err().filter(|_| !records(config));
    let mut warnings: Vec<String> = unwritable
        .map(|error| format!("{error}: nothing can be recorded"))
        .into_iter()
        .collect();
    if let Some(program) = config.speech.command.first()
        && !is_there(program)
    {
        warnings.push(format!("speech.command: there is no program {program:?}"));
    }
    for directory in &config.announcement.directories {
        if !directory.is_dir() {
            let path = whole(directory);
            let path = path.display();
            warnings.push(format!(
                "announcement.directories: there is no directory {path}"
            ));
        }
    }
    warnings
}

/// Whether the file itself wants something recorded; the built-in routes want it of nobody.
fn records(config: &Config) -> bool {
    let of_choices = config.menus.iter().flat_map(|menu| &menu.choices);
    let of_routes = config.routes.iter().map(|route| &route.app);
    let mut apps = of_routes.chain(of_choices.map(|choice| &choice.app));
    let mut rooms = config.rooms.iter();
    apps.any(|app| matches!(app, AppConfig::Record { .. }))
        || rooms.any(|room| room.options.record.from_start)
}

fn recordings(config: &Config) -> Result<(), StartError> {
    let directory = &config.recording.directory;
    probe(directory).map_err(|source| StartError::Recordings {
        path: whole(directory),
        source,
    })
}

/// A relative path tells nobody what it is relative to.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Whether a program would be found, as the system looks for it.
fn is_there(program: &str) -> bool {
    let can_run = |path: &Path| {
        let about = fs::metadata(path);
        about.is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return can_run(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| can_run(&directory.join(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below a file there can be no directory, whoever asks.
    const IMPOSSIBLE: &str = "[recording]\ndirectory = \"Cargo.toml/recordings\"\n";

    fn config(more: &str) -> Config {
        Config::parse(&format!("{IMPOSSIBLE}{more}"), "test.toml").unwrap()
    }

    #[test]
    fn who_wants_something_recorded_is_told_that_it_cannot_be() {
        for more in [
            "[[route]]\nuser = \"1\"\napp = \"record\"\n",
            "[[room]]\nname = \"1\"\nrecord = true\n",
            "[[menu]]\nname = \"m\"\nprompts = [\"beep\"]\n\
             [[menu.choice]]\ndigits = \"1\"\napp = \"record\"\n",
        ] {
            let config = config(more);
            let error = check(&config).unwrap_err().to_string();
            let path = whole(Path::new("Cargo.toml/recordings"));
            let said = format!("recording.directory: {}: ", path.display());
            assert!(error.starts_with(&said), "{error}");
            assert_eq!(warnings(&config), [""; 0]);
            assert!(crate::server::check(&config).is_err());
            // A server that starts says so, and serves whatever needs no disk.
            let found = shortcomings(&config);
            assert!(
                matches!(&found[..], [one] if one.starts_with(&said)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_somebody_may_miss_one_day_is_a_warning() {
        let config = config(
            "[speech]\ncommand = [\"/no/such/program\"]\n\
             [announcement]\ndirectories = [\"no-such-directory\"]\n",
        );
        assert!(check(&config).is_ok());
        let warnings = warnings(&config);
        let begin = [
            "recording.directory: ",
            "speech.command: there is no program",
            "announcement.directories: there is no directory ",
        ];
        assert_eq!(warnings.len(), begin.len(), "{warnings:?}");
        for (warning, begin) in warnings.iter().zip(begin) {
            assert!(warning.starts_with(begin), "{warning}");
        }
    }

    #[test]
    fn a_program_is_found_by_its_path_and_by_its_name() {
        assert!(is_there("/bin/sh") && is_there("sh"));
        assert!(!is_there("/bin") && !is_there("no-such-program-anywhere"));
    }
}
