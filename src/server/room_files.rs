//! The files of rooms' recordings, as the core has them opened, closed and written.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use tracing::warn;

use super::core::Core;
use super::files::Done;
use super::recordings::{free_space, space_limit};
use crate::store::recorder::RecorderEvent;
use crate::store::room_files::{self, Finished, OpenedRoom, RoomFileEvent};
use crate::switch::{Input, NewTrack, Output, RoomFiles, RoomFilesDone, RoomRecord};

/// What a blocking task has done.
pub(super) enum RoomDone {
    Opened(Box<RoomRecord>, Result<OpenedRoom, String>),
    Track(NewTrack, Result<PathBuf, String>),
    Written(Box<Finished>, Result<(), String>),
}

impl Core {
    /// What a recording of a room wants of files.
    pub(super) fn room_files(&mut self, wanted: RoomFiles) {
        match wanted {
            RoomFiles::Open(wanted) => self.open_room_files(wanted),
            RoomFiles::OpenTrack(track) => self.open_track(track),
            RoomFiles::Ended(log) => {
                let finished = self.room_files.ended(log);
                self.write_sidecar(finished);
            }
        }
    }

    fn open_room_files(&self, wanted: Box<RoomRecord>) {
        let directory = self.config.recording.directory.clone();
        let space = space_limit(&self.config);
        let recorder = self.recorder.clone();
        self.spawn(move || {
            let opened = free_space(&directory.join("-"), space)
                .and_then(|()| room_files::open(&recorder, &directory, &wanted, SystemTime::now()));
            Done::Room(RoomDone::Opened(wanted, opened))
        });
    }

    fn open_track(&mut self, track: NewTrack) {
        let Some((base, settings)) = self.room_files.opening(track.recording) else {
            return;
        };
        let recorder = self.recorder.clone();
        self.spawn(move || {
            let opened = room_files::open_track(&recorder, &base, &settings, &track);
            Done::Room(RoomDone::Track(track, opened))
        });
    }

    /// What has been done: what the switch is told of it.
    pub(super) fn room_done(&mut self, done: RoomDone, now: Instant) {
        let input = match done {
            RoomDone::Opened(wanted, Ok(opened)) => {
                self.room_files.opened(&wanted, &opened);
                Input::RoomFiles(RoomFilesDone::Opened {
                    recording: room_files::recording(&wanted, &self.recorder),
                    files: opened.files,
                    sidecar: opened.sidecar,
                })
            }
            RoomDone::Opened(wanted, Err(error)) => Input::RecordingFailed {
                recording: wanted.recording,
                error,
            },
            RoomDone::Track(
                NewTrack {
                    recording, track, ..
                },
                file,
            ) => {
                let path = file.as_deref().ok();
                let finished = self.room_files.track_opened((recording, track), path);
                self.write_sidecar(finished);
                Input::RoomFiles(RoomFilesDone::Track {
                    recording,
                    track,
                    file,
                })
            }
            RoomDone::Written(finished, written) => closed(*finished, written),
        };
        self.switch.handle(input, now);
        self.carry_out(now);
    }

    /// Something became of a file. Whether it is one of a room's recording.
    pub(super) fn room_file_event(&mut self, event: &RecorderEvent, now: Instant) -> bool {
        let Some((what, finished)) = self.room_files.heard(event) else {
            return false;
        };
        let input = match what {
            RoomFileEvent::Closed => None,
            RoomFileEvent::Split { handle, full, file } => {
                Some(Input::RoomFiles(RoomFilesDone::Split {
                    handle,
                    full,
                    file,
                }))
            }
            RoomFileEvent::Failed { handle, error } => Some(Input::RecordingFailed {
                recording: handle,
                error,
            }),
        };
        if let Some(input) = input {
            self.switch.handle(input, now);
        }
        self.write_sidecar(finished);
        true
    }

    fn write_sidecar(&self, finished: Option<Finished>) {
        let Some(mut finished) = finished else { return };
        self.spawn(move || {
            let written = finished.write();
            Done::Room(RoomDone::Written(Box::new(finished), written))
        });
    }

    /// The server ends: what is still being recorded does so now. The recorder closes it all when it
    /// stops; what is closed already is to be written.
    pub(super) fn cut_room_recordings(&mut self, now: Instant) -> Vec<Finished> {
        let mut finished = Vec::new();
        self.switch.cut_room_recordings(now);
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::RoomFiles(RoomFiles::Ended(log)) => {
                    finished.extend(self.room_files.ended(log));
                }
                Output::CloseRecording { recording, samples } => {
                    self.recorder.close(recording, samples);
                }
                // Nobody is there any more to do it.
                _ => {}
            }
        }
        finished
    }
}

/// Writes who was recorded when, where nobody is there any more to be told. Blocks.
pub(super) fn write_all(finished: Vec<Finished>) {
    for mut finished in finished {
        if let Err(error) = finished.write() {
            warn!(error, "who was recorded when is not written");
        }
    }
}

fn closed(finished: Finished, written: Result<(), String>) -> Input {
    Input::RoomFiles(RoomFilesDone::Closed {
        recording: finished.recording,
        files: finished.files,
        sidecar: finished.sidecar,
        error: written.err(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::app::room_record::RoomRecordSettings;
    use crate::config::Config;
    use crate::store::recorder::STOP_TIME;
    use crate::switch::RecordingLog;

    /// A server with the recording of a room, whose files the recorder has closed; and its sidecar.
    fn closed_by_the_recorder(directory: &Path) -> (Core, PathBuf) {
        let text = format!(
            "builtin_routes = false\n[sip]\nudp = [\"127.0.0.1:0\"]\ntcp = []\n[http]\nlisten = []\n\
             [limits]\ncalls = 4\n[recording]\ndirectory = {:?}\n",
            directory.display().to_string()
        );
        let mut core = Core::start(Config::parse(&text, "test.toml").unwrap()).unwrap();
        let wanted = RoomRecord {
            recording: 1,
            room: "600".to_owned(),
            settings: RoomRecordSettings::default(),
            rest: None,
            tracks: Vec::new(),
        };
        let opened = room_files::open(&core.recorder, directory, &wanted, SystemTime::now());
        let opened = opened.unwrap();
        core.room_files.opened(&wanted, &opened);
        let log = RecordingLog {
            recording: 1,
            samples: 8_000,
            ..RecordingLog::default()
        };
        assert!(core.room_files.ended(Box::new(log)).is_none());
        core.recorder.close(1, 8_000);
        assert!(core.recorder.stop(STOP_TIME));
        (core, opened.sidecar)
    }

    fn is_complete(sidecar: &Path) -> bool {
        let text = std::fs::read_to_string(sidecar).unwrap();
        let meeting: crate::store::meeting::Meeting = serde_json::from_str(&text).unwrap();
        !meeting.incomplete
    }

    #[tokio::test]
    async fn who_was_recorded_when_is_written_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (mut core, sidecar) = closed_by_the_recorder(directory.path());
        assert!(!is_complete(&sidecar));
        core.close_recordings();
        assert!(is_complete(&sidecar));
    }

    #[tokio::test]
    async fn at_the_end_a_disk_that_does_not_answer_holds_another_thread_up() {
        let directory = tempfile::tempdir().unwrap();
        let (mut core, sidecar) = closed_by_the_recorder(directory.path());
        // Who opens a pipe to write waits for one who reads.
        let pipe = sidecar.with_extension("json.tmp");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        // Nothing is written by this thread, which would wait for ever.
        let writing = tokio::task::spawn_blocking(core.last_work());
        // It answers after all: the writer goes on, and does not like what it is.
        std::fs::read(&pipe).unwrap();
        writing.await.unwrap();
        assert!(!is_complete(&sidecar));
    }
}
