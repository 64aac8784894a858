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
    /// stops.
    pub(super) fn cut_room_recordings(&mut self, now: Instant) {
        self.switch.cut_room_recordings(now);
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::RoomFiles(RoomFiles::Ended(log)) => write_now(self.room_files.ended(log)),
                Output::CloseRecording { recording, samples } => {
                    self.recorder.close(recording, samples);
                }
                // Nobody is there any more to do it.
                _ => {}
            }
        }
    }

    /// The same for what the recorder tells while it stops.
    pub(super) fn room_file_closed(&mut self, event: &RecorderEvent) -> bool {
        let Some((_, finished)) = self.room_files.heard(event) else {
            return false;
        };
        write_now(finished);
        true
    }
}

fn write_now(finished: Option<Finished>) {
    if let Some(mut finished) = finished
        && let Err(error) = finished.write()
    {
        warn!(error, "who was recorded when is not written");
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
