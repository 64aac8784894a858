//! The files of a room's recording: opened, split, failed, closed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Phase;
use crate::bridge::{RoomRecording, Track};
use crate::call::CallHandle;
use crate::switch::room_files::{RoomFiles, RoomFilesDone, RoomRecordingChange};
use crate::switch::{Output, Switch};
use crate::worker::Command;

impl Switch {
    /// Something has become of the files.
    pub(in crate::switch) fn room_files_done(&mut self, done: RoomFilesDone, now: Instant) {
        match done {
            RoomFilesDone::Opened {
                recording,
                files,
                sidecar,
            } => self.room_record_ready(recording, files, sidecar, now),
            RoomFilesDone::Track {
                recording,
                track,
                file,
            } => self.track_ready((recording, track), file),
            RoomFilesDone::Split { handle, full, file } => self.room_file_split(handle, full, file),
            RoomFilesDone::Closed {
                recording,
                files,
                sidecar,
                error,
            } => self.room_recording_closed(recording, (files, sidecar), error, now),
        }
    }

    fn room_record_ready(
        &mut self,
        recording: Box<RoomRecording>,
        files: Vec<(u64, PathBuf)>,
        sidecar: PathBuf,
        now: Instant,
    ) {
        let number = recording.recording();
        let Some(kept) = self.room_recordings.all.get_mut(&number) else {
            return;
        };
        let paths = files.iter().map(|(_, path)| path.clone()).collect();
        for (handle, path) in files {
            if let Some(track) = kept.notes.of_track(handle).and_then(|m| m.track.as_mut()) {
                track.open = true;
            }
            kept.files.insert(handle, path);
        }
        if kept.phase != Phase::Opening {
            return self.close_room_recording(number, 0, now);
        }
        kept.phase = Phase::Running;
        kept.begun = true;
        kept.notes.begin(now);
        let (worker, bridge) = kept.place;
        let room = kept.log.room.clone();
        let files = paths;
        self.tell_of_recording(number, RoomRecordingChange::Began { files, sidecar });
        let inside = self.rooms.get(&room).map(|r| r.inside().collect());
        let inside: Vec<CallHandle> = inside.unwrap_or_default();
        for call in inside {
            // Those who came while the files were being opened have none yet.
            if let Some(track) = self.note_member(number, call, now) {
                self.outputs
                    .push_back(Output::RoomFiles(RoomFiles::OpenTrack(track)));
            }
        }
        // Behind the tracks, which wait for it: a tick between the two would leave them out.
        let command = Command::RecordRoom(bridge, recording);
        self.outputs.push_back(Output::Media { worker, command });
        if let Some(known) = self.rooms.get_mut(&room) {
            known.recording(true);
            self.pump_room(&room, now);
        }
    }

    /// The file of a later member's track is open, or why not.
    fn track_ready(&mut self, (number, handle): (u64, u64), file: Result<PathBuf, String>) {
        let Some(kept) = self.room_recordings.all.get_mut(&number) else {
            return;
        };
        let phase = kept.phase;
        let Some(member) = kept.notes.of_track(handle) else {
            return;
        };
        let party = member.party.clone();
        match file {
            Err(error) => {
                member.track = None;
                self.room_recordings.handles.remove(&handle);
                self.tell_of_recording(number, RoomRecordingChange::Failed { error });
            }
            Ok(file) => {
                if let Some(track) = &mut member.track {
                    track.open = true;
                }
                kept.files.insert(handle, file.clone());
                if let Phase::Closing(samples) = phase {
                    self.outputs.push_back(Output::CloseRecording {
                        recording: handle,
                        samples,
                    });
                }
                let member = party;
                self.tell_of_recording(number, RoomRecordingChange::Track { member, file });
                self.give_track(number, handle);
            }
        }
    }

    /// A file of a recording is complete, and another follows.
    fn room_file_split(&mut self, handle: u64, full: PathBuf, file: PathBuf) {
        let Some(&number) = self.room_recordings.handles.get(&handle) else {
            return;
        };
        if let Some(kept) = self.room_recordings.all.get_mut(&number) {
            kept.files.insert(handle, file.clone());
        }
        self.tell_of_recording(number, RoomRecordingChange::Split { full, file });
    }

    /// A worker is done with a recording. Whether it is a room's.
    pub(in crate::switch) fn room_recorded(
        &mut self,
        recording: &RoomRecording,
        now: Instant,
    ) -> bool {
        let number = recording.recording();
        if !self.room_recordings.all.contains_key(&number) {
            return false;
        }
        self.close_room_recording(number, recording.end_position(), now);
        true
    }

    /// A worker is done with a track.
    pub(in crate::switch) fn track_ended(&mut self, track: &Track) {
        let recordings = &mut self.room_recordings;
        let number = recordings.handles.get(&track.track);
        if let Some(kept) = number.and_then(|number| recordings.all.get_mut(number)) {
            kept.notes.track_ended(track.track, track.span);
        }
    }

    pub(super) fn close_room_recording(&mut self, number: u64, samples: u64, now: Instant) {
        let Some(kept) = self.room_recordings.all.get_mut(&number) else {
            return;
        };
        if matches!(kept.phase, Phase::Closing(_)) {
            return;
        }
        kept.phase = Phase::Closing(samples);
        kept.notes.finish(&mut kept.log, samples, now);
        let log = Box::new(kept.log.clone());
        let handles: Vec<u64> = kept.files.keys().copied().collect();
        let room = kept.log.room.clone();
        self.outputs
            .push_back(Output::RoomFiles(RoomFiles::Ended(log)));
        for recording in handles {
            self.outputs
                .push_back(Output::CloseRecording { recording, samples });
        }
        if self.room_recordings.rooms.get(&room) == Some(&number) {
            self.recording_left(&room, now);
        }
    }

    /// All files of a recording are closed, and its sidecar is written, or why not.
    fn room_recording_closed(
        &mut self,
        number: u64,
        (files, sidecar): (Vec<PathBuf>, PathBuf),
        error: Option<String>,
        now: Instant,
    ) {
        let Some(kept) = self.room_recordings.all.get(&number) else {
            return;
        };
        let rate = u64::from(kept.settings.rate);
        let length = Duration::from_micros(kept.log.samples * 1_000_000 / rate.max(1));
        if let Some(error) = error {
            self.tell_of_recording(number, RoomRecordingChange::Failed { error });
        }
        let ended = RoomRecordingChange::Ended {
            files,
            sidecar,
            length,
        };
        self.tell_of_recording(number, ended);
        self.forget_room_recording(number, now);
    }

    /// A file could not be opened or written on. Whether it is one of a room's recording.
    pub(in crate::switch) fn room_recording_failed(
        &mut self,
        handle: u64,
        error: &str,
        now: Instant,
    ) -> bool {
        let Some(&number) = self.room_recordings.handles.get(&handle) else {
            return false;
        };
        let Some(kept) = self.room_recordings.all.get_mut(&number) else {
            return false;
        };
        let room = kept.log.room.clone();
        let goes_on = self.room_recordings.rooms.get(&room) == Some(&number);
        if !std::mem::replace(&mut kept.failed, true) {
            let error = error.to_owned();
            self.tell_of_recording(number, RoomRecordingChange::Failed { error });
        }
        if goes_on {
            self.stop_recording(&room, now);
        }
        // Without files there is nothing to close.
        let opened = self.room_recordings.all.get(&number);
        if opened.is_some_and(|kept| kept.files.is_empty()) {
            self.forget_room_recording(number, now);
        }
        true
    }

    fn forget_room_recording(&mut self, number: u64, now: Instant) {
        let recordings = &mut self.room_recordings;
        let forgotten = recordings.all.remove(&number);
        recordings.handles.retain(|_, of| *of != number);
        if let Some(room) = forgotten.map(|kept| kept.log.room)
            && recordings.waiting.contains(&room)
        {
            self.record_from_start(&room, now);
        }
    }
}
