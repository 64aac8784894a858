//! Spoken names of callers: files that last as long as their calls, and a little longer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::core::Core;

impl Core {
    /// Removes spoken names, once nobody can be hearing them any more.
    pub(super) fn forget_names(&self, recordings: &[u64]) {
        let directory = &self.config.recording.directory;
        let paths: Vec<_> = recordings
            .iter()
            .map(|&n| name_path(directory, n))
            .collect();
        tokio::spawn(async move {
            tokio::time::sleep(NAME_TIME).await;
            let remove = move || {
                for path in paths {
                    // Nothing was recorded, or somebody else has removed it.
                    let _ = std::fs::remove_file(path);
                }
            };
            tokio::task::spawn_blocking(remove);
        });
    }
}

/// Where a spoken name is while its owner's call lasts.
pub(super) fn name_path(directory: &Path, recording: u64) -> PathBuf {
    let name = format!("{}-{recording}.wav", std::process::id());
    directory.join(NAMES).join(name)
}

/// Removes all spoken names of this server.
pub(super) fn remove_names(directory: &Path) {
    let own = format!("{}-", std::process::id());
    // Without the directory there are none.
    let names = std::fs::read_dir(directory.join(NAMES))
        .into_iter()
        .flatten();
    for name in names.flatten() {
        if name.file_name().to_string_lossy().starts_with(&own) {
            let _ = std::fs::remove_file(name.path());
        }
    }
}

/// Below the recording directory.
const NAMES: &str = ".names";
/// How long a spoken name may be asked for after its owner's call.
const NAME_TIME: Duration = Duration::from_mins(1);
/// The shortest name.
pub(super) const MIN_NAME: Duration = Duration::from_millis(300);
