//! What rooms and bridges of programs want of files, and recordings that nobody wants.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::{info, warn};

use super::core::Core;
use super::files::Done;
use super::recordings::{Recorded, clear, free_space, space_limit};
use super::sources::{samples_at, sources};
use crate::api::RecordingChange;
use crate::app::PlayItem;
use crate::audio::source::Source;
use crate::bridge::{RoomRecording, RoomRecordingSettings};
use crate::leg::player::Play;
use crate::store::recorder::RecorderEvent;
use crate::switch::{BridgePlay, BridgeRecord, Input};

impl Core {
    /// What is in memory starts at once, as for calls.
    pub(super) fn play_in_bridge(&mut self, wanted: BridgePlay, now: Instant) {
        let in_memory = |item: &PlayItem| {
            matches!(
                item,
                PlayItem::Prompt(_) | PlayItem::Tone { .. } | PlayItem::Silence(_)
            )
        };
        let (prompts, announcements) = (self.prompts.clone(), self.announcements.clone());
        let names = self.names.clone();
        if wanted.items.iter().all(in_memory) {
            let found = sources(&wanted.items, &prompts, announcements.library(), &names);
            // What follows from it is carried out by who has called this.
            self.switch.handle(ready(&wanted, found), now);
            return;
        }
        let done = self.done.clone();
        tokio::spawn(async move {
            let items = wanted.items.clone();
            let found = announcements.sources(items, prompts, names).await;
            // Refused only when the core is gone.
            let _ = done.send(Done::BridgeLoaded(Box::new(wanted), found));
        });
    }

    /// Opens the file of a bridge's recording.
    pub(super) fn record_bridge(&mut self, wanted: BridgeRecord) {
        let name = format!("{}.wav", wanted.name);
        let path = self.config.recording.directory.join(name);
        let bridge = self.programs.api.bridge_name(wanted.bridge);
        self.recordings
            .insert(wanted.recording, Recorded::bridge(bridge));
        let space = space_limit(&self.config);
        let rate = self.config.recording.rate;
        let recorder = self.recorder.clone();
        self.spawn(move || {
            let room = free_space(&path, space).and_then(|()| clear(&path, wanted.overwrite));
            let opened = room.and_then(|()| {
                let opened = recorder.open(wanted.recording, &path, rate);
                opened.map_err(|error| error.to_string())
            });
            Done::BridgeOpened(wanted, rate, opened)
        });
    }

    pub(super) fn bridge_loaded(
        &mut self,
        wanted: &BridgePlay,
        found: Result<Vec<Source>, String>,
        now: Instant,
    ) {
        self.switch.handle(ready(wanted, found), now);
        self.carry_out(now);
    }

    pub(super) fn bridge_opened(
        &mut self,
        wanted: &BridgeRecord,
        rate: u32,
        opened: Result<PathBuf, String>,
        now: Instant,
    ) {
        let recording = wanted.recording;
        let input = match opened {
            Ok(path) => {
                info!(recording, path = %path.display(), "recording a bridge");
                self.tell_recording(recording, &path, RecordingChange::Started, now);
                let settings = RoomRecordingSettings {
                    recording,
                    rate,
                    rest: None,
                    stereo: false,
                    max_samples: wanted.max.map(|time| samples_at(time, rate)),
                    silence_stop_samples: wanted.silence.map(|time| samples_at(time, rate)),
                };
                let recording = RoomRecording::new(settings, self.recorder.sender());
                Input::BridgeRecordReady(recording)
            }
            Err(error) => {
                self.discarded.remove(&recording);
                self.could_not_record(recording, &error, now);
                warn!(recording, error, "a bridge cannot be recorded");
                Input::RecordingFailed { recording, error }
            }
        };
        self.switch.handle(input, now);
        self.carry_out(now);
    }

    /// Nothing of a recording is to be kept: it goes when it is closed.
    pub(super) fn discard(&mut self, recording: u64) {
        self.discarded.insert(recording);
    }

    /// A recording is over: its file, if nobody wants it.
    pub(super) fn discarded_file(&mut self, event: &RecorderEvent) -> Option<PathBuf> {
        let (RecorderEvent::Closed { id, path, .. } | RecorderEvent::Failed { id, path, .. }) =
            event
        else {
            return None;
        };
        self.discarded.remove(id).then(|| path.clone())
    }
}

/// Removes a recording of which nothing is to be kept. Blocks.
pub(super) fn remove_discarded(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!(path = %path.display(), %error, "a recording that nobody wants stays");
    }
}

fn ready(wanted: &BridgePlay, found: Result<Vec<Source>, String>) -> Input {
    let play = found.map(|items| {
        Box::new(Play {
            id: u64::from(wanted.id.0),
            items,
            repeat: wanted.repeat,
            gap_samples: 0,
        })
    });
    Input::BridgePlayReady {
        player: wanted.player,
        place: wanted.place,
        id: wanted.id,
        play,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::core;
    use super::*;

    #[tokio::test]
    async fn what_was_cancelled_goes_also_where_the_server_ends_first() {
        let here = tempfile::tempdir().unwrap();
        let mut core = core(here.path(), "");
        let [cancelled, kept] = ["cancelled", "kept"].map(|name| here.path().join(name));
        for (number, path) in [(1, &cancelled), (2, &kept)] {
            core.recorder.open(number, path, 8000).unwrap();
            let bridge = Recorded::bridge("bridge".to_owned());
            core.recordings.insert(number, bridge);
        }
        core.discard(1);
        core.close_recordings();
        assert!(!cancelled.exists() && kept.exists());
    }
}
