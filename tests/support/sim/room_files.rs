//! The files of rooms' recordings, written by the server's own writer: on a disk, and in time that passes.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use antiphon::leg::tap::RecordFrame;
use antiphon::store::recorder::{Recorder, RecorderEvent, RecorderSettings, SpaceLimit};
use antiphon::store::room_files::{self, Finished, RoomFileEvent, RoomFileTable};
use antiphon::switch::{Input, NewTrack, RoomFiles, RoomFilesDone};
use tempfile::TempDir;

use super::World;

/// The disk has no room left, for all worlds of the process.
pub static DISK_IS_FULL: AtomicBool = AtomicBool::new(false);

/// What a world has once it records a room.
pub struct RoomEdge {
    pub directory: TempDir,
    /// A disk that closes nothing: recordings whose files are closed wait in `held`.
    pub holds_closed: bool,
    held: VecDeque<Finished>,
    recorder: Recorder,
    table: RoomFileTable,
}

#[allow(clippy::unnecessary_wraps, reason = "as the system is asked")]
fn free_bytes(_: &Path) -> std::io::Result<u64> {
    let full = DISK_IS_FULL.load(Ordering::Relaxed);
    Ok(if full { 0 } else { u64::MAX })
}

impl RoomEdge {
    fn new() -> Self {
        let space = Some(SpaceLimit {
            min_free_bytes: 1,
            free_bytes,
        });
        let settings = RecorderSettings {
            space,
            ..RecorderSettings::default()
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            holds_closed: false,
            held: VecDeque::new(),
            recorder: Recorder::start(settings).unwrap(),
            table: RoomFileTable::default(),
        }
    }

    /// In place of what a media thread does where the queue is full, it waits.
    pub fn take(&self, frame: &RecordFrame) {
        self.recorder.sender().send(*frame).unwrap();
    }
}

impl World {
    /// Where rooms are recorded.
    pub fn room_edge(&mut self) -> &mut RoomEdge {
        self.room_edge.get_or_insert_with(RoomEdge::new)
    }

    pub fn room_files(&mut self, wanted: RoomFiles) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_183_000_500 + self.ms);
        let now = self.now();
        let edge = self.room_edge();
        let input = match wanted {
            RoomFiles::Open(wanted) => {
                let directory = edge.directory.path();
                match room_files::open(&edge.recorder, directory, &wanted, time) {
                    Err(error) => Input::RecordingFailed {
                        recording: wanted.recording,
                        error,
                    },
                    Ok(opened) => {
                        edge.table.opened(&wanted, &opened);
                        Input::RoomFiles(RoomFilesDone::Opened {
                            recording: room_files::recording(&wanted, &edge.recorder),
                            files: opened.files,
                            sidecar: opened.sidecar,
                        })
                    }
                }
            }
            RoomFiles::OpenTrack(new) => {
                let (base, settings) = edge.table.opening(new.recording).unwrap();
                let file = room_files::open_track(&edge.recorder, &base, &settings, &new);
                let NewTrack {
                    recording, track, ..
                } = new;
                let path = file.as_deref().ok();
                assert!(edge.table.track_opened((recording, track), path).is_none());
                Input::RoomFiles(RoomFilesDone::Track {
                    recording,
                    track,
                    file,
                })
            }
            RoomFiles::Ended(log) => {
                let finished = edge.table.ended(log);
                return self.room_finished(finished);
            }
        };
        self.switch.handle(input, now);
    }

    fn room_finished(&mut self, finished: Option<Finished>) {
        let Some(finished) = finished else { return };
        let edge = self.room_edge();
        if edge.holds_closed {
            edge.held.push_back(finished);
        } else {
            self.room_closed(finished);
        }
    }

    /// The oldest of the recordings that are held back is closed, if there is one.
    pub fn close_held(&mut self) -> bool {
        let held = self.room_edge().held.pop_front();
        let is_one = held.is_some();
        if let Some(finished) = held {
            self.room_closed(finished);
            self.carry_out();
        }
        is_one
    }

    fn room_closed(&mut self, mut finished: Finished) {
        let written = finished.write();
        let done = RoomFilesDone::Closed {
            recording: finished.recording,
            files: finished.files,
            sidecar: finished.sidecar,
            error: written.err(),
        };
        let now = self.now();
        self.switch.handle(Input::RoomFiles(done), now);
    }

    /// Closes a file of a room's recording, and waits until it is.
    pub fn close_room_file(&mut self, handle: u64, samples: u64) {
        let Some(edge) = &self.room_edge else { return };
        edge.recorder.close(handle, samples);
        // One that has failed before is not told of again.
        while self.hear_recorder(Duration::from_secs(2)) != Some(handle)
            && !DISK_IS_FULL.load(Ordering::Relaxed)
        {}
    }

    /// Takes what the writer tells next, if it does in that time: which file it is about.
    pub fn hear_recorder(&mut self, time: Duration) -> Option<u64> {
        let now = self.now();
        let edge = self.room_edge();
        let event = edge.recorder.events().recv_timeout(time).ok()?;
        let (RecorderEvent::Closed { id, .. }
        | RecorderEvent::RolledOver { id, .. }
        | RecorderEvent::Failed { id, .. }) = event;
        let (what, finished) = edge.table.heard(&event)?;
        match what {
            RoomFileEvent::Closed => {}
            RoomFileEvent::Split { handle, full, file } => {
                let split = RoomFilesDone::Split { handle, full, file };
                self.switch.handle(Input::RoomFiles(split), now);
                return None;
            }
            RoomFileEvent::Failed { handle, error } => {
                let recording = handle;
                let failed = Input::RecordingFailed { recording, error };
                self.switch.handle(failed, now);
            }
        }
        self.room_finished(finished);
        Some(id)
    }
}
