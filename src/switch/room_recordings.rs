//! Recordings of rooms: what starts them, the files they need, and who is in them.
//!
//! ```text
//! keys, configuration, program --> start --> RoomFiles::Open --files open--> RoomFilesDone::Opened
//!   --> Command::RecordRoom, a track for each member (later ones: RoomFiles::OpenTrack)
//! stop | the room ends | a file fails --> Event::RoomRecorded --> RoomFiles::Ended(log), CloseRecording
//!   --> files closed, sidecar written --> RoomFilesDone::Closed --> the entry goes
//! ```

mod files;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::recording_log::{Noted, Notes, OwnTrack, RecordingLog};
use super::room_files::{
    NewTrack, RecordingState, RoomFiles, RoomRecord, RoomRecordingChange, RoomRecordingEvent,
    RoomRecordingView,
};
use super::{Event, Output, Switch};
use crate::app::room_record::{RecordLayout, RoomRecordSettings};
use crate::audio::tap::RecordControl;
use crate::bridge::Track;
use crate::call::CallHandle;
use crate::room::{RecordOrder, RoomChange, RoomError};
use crate::worker::{BridgeId, Command};

/// Members with a file of their own in one recording; further ones are in the room's own track.
const MAX_TRACKS: usize = 100;
/// The same over all rooms.
const MAX_ALL_TRACKS: usize = 1_000;
/// Recordings of one room whose files are not closed yet, the one that goes on among them.
const MAX_OPEN: usize = 4;
/// Why a room is not recorded from its start on.
const WAITS: &str = "the files of earlier recordings of this room are still being closed: it is \
                     recorded as soon as those of one are";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its files are being opened.
    Opening,
    Running,
    /// It is to stop: the worker has been told, or is told nothing once the files are open.
    Ending,
    /// So long; its files are being closed.
    Closing(u64),
}

#[derive(Debug)]
struct Kept {
    place: (usize, BridgeId),
    settings: RoomRecordSettings,
    phase: Phase,
    /// The worker has it.
    begun: bool,
    failed: bool,
    left: Option<CallHandle>,
    notes: Notes,
    log: RecordingLog,
    files: BTreeMap<u64, PathBuf>,
}

impl Kept {
    fn tracks(&self) -> usize {
        let has = |m: &&Noted| m.track.is_some();
        self.notes.members.iter().filter(has).count()
    }
}

/// All recordings of rooms.
#[derive(Debug, Default)]
pub(super) struct RoomRecordings {
    all: BTreeMap<u64, Kept>,
    /// What the handle of each file belongs to.
    handles: HashMap<u64, u64>,
    /// Those that are to go on, by room.
    rooms: HashMap<String, u64>,
    /// Rooms that are to be recorded from their start on, as soon as the files of one of that name are
    /// closed.
    waiting: HashSet<String>,
}

impl RoomRecordings {
    pub fn leftovers(&self) -> usize {
        self.all.len() + self.handles.len() + self.rooms.len() + self.waiting.len()
    }

    fn of_room(&mut self, room: &str) -> Option<(u64, &mut Kept)> {
        let number = *self.rooms.get(room)?;
        Some((number, self.all.get_mut(&number)?))
    }

    fn has_room_for_track(&self, number: u64) -> bool {
        let of = |kept: &Kept| kept.tracks();
        let own = self.all.get(&number).map_or(0, of);
        own < MAX_TRACKS && self.all.values().map(of).sum::<usize>() < MAX_ALL_TRACKS
    }
}

impl Switch {
    /// Does something about the recording of a room.
    pub(super) fn record_room(
        &mut self,
        room: &str,
        order: RecordOrder,
        now: Instant,
    ) -> Result<(), RoomError> {
        if !self.rooms.contains_key(room) {
            return Err(RoomError::NoRoom(room.to_owned()));
        }
        match order {
            RecordOrder::Start { settings, left } => {
                self.start_recording(room, settings, left, now)
            }
            RecordOrder::Pause { silence } => {
                let control = if silence {
                    RecordControl::Mute
                } else {
                    RecordControl::Pause
                };
                self.control_recording(room, control, now)
            }
            RecordOrder::Resume => self.control_recording(room, RecordControl::Resume, now),
            RecordOrder::Stop => {
                if self.room_recordings.waiting.remove(room) {
                    return Ok(());
                }
                if !self.room_recordings.rooms.contains_key(room) {
                    return Err(RoomError::NotRecorded(room.to_owned()));
                }
                self.stop_recording(room, now);
                Ok(())
            }
        }
    }

    /// As the keys of a member want it: where it cannot be, it is not.
    pub(super) fn toggle_recording(&mut self, room: &str, on: bool, now: Instant) {
        let order = if on {
            let (settings, left) = (None, None);
            RecordOrder::Start { settings, left }
        } else {
            RecordOrder::Stop
        };
        // Refused where it runs, or does not, already.
        let _ = self.record_room(room, order, now);
    }

    /// Begins the recording that a room is to have from its start on. Where those before it keep it
    /// waiting, that is told once.
    pub(super) fn record_from_start(&mut self, room: &str, now: Instant) {
        let (settings, left) = (None, None);
        let order = RecordOrder::Start { settings, left };
        let begun = self.record_room(room, order, now);
        if begun != Err(RoomError::TooManyRecordings)
            || !self.room_recordings.waiting.insert(room.to_owned())
        {
            return;
        }
        let event = RoomRecordingEvent {
            room: room.to_owned(),
            recording: self.next_recording_number(),
            change: RoomRecordingChange::Failed {
                error: WAITS.to_owned(),
            },
        };
        self.outputs
            .push_back(Output::Event(Event::RoomRecording(Box::new(event))));
    }

    fn start_recording(
        &mut self,
        name: &str,
        settings: Option<RoomRecordSettings>,
        left: Option<CallHandle>,
        now: Instant,
    ) -> Result<(), RoomError> {
        let room = self.rooms.get(name);
        let room = room.ok_or_else(|| RoomError::NoRoom(name.to_owned()))?;
        if self.room_recordings.rooms.contains_key(name) {
            return Err(RoomError::Recorded(name.to_owned()));
        }
        let open = self.room_recordings.all.values();
        if open.filter(|kept| kept.log.room == name).count() >= MAX_OPEN {
            return Err(RoomError::TooManyRecordings);
        }
        let settings = settings.unwrap_or_else(|| room.settings().recording.clone());
        let place = (room.worker, room.bridge);
        let is_in = |call: &CallHandle| room.member(*call).is_some_and(|m| !m.waiting);
        if let Some(stranger) = left.filter(|call| !is_in(call)) {
            return Err(RoomError::NoMember(stranger));
        }
        let inside: Vec<CallHandle> = room.members().into_iter().filter(is_in).collect();
        let number = self.next_recording_number();
        let rest = settings.layout.has_tracks();
        let rest = rest.then(|| self.next_recording_number());
        let stereo = settings.layout == RecordLayout::Stereo;
        let left = left.or(inside.first().copied()).filter(|_| stereo);
        let log = RecordingLog {
            recording: number,
            room: name.to_owned(),
            rate: settings.rate,
            rest,
            ..RecordingLog::default()
        };
        let kept = Kept {
            place,
            phase: Phase::Opening,
            begun: false,
            failed: false,
            left,
            notes: Notes::new(settings.rate, now),
            log,
            files: BTreeMap::new(),
            settings: settings.clone(),
        };
        let recordings = &mut self.room_recordings;
        recordings.all.insert(number, kept);
        recordings.rooms.insert(name.to_owned(), number);
        recordings.waiting.remove(name);
        for handle in rest.into_iter().chain([number]) {
            recordings.handles.insert(handle, number);
        }
        let tracks = inside
            .iter()
            .filter_map(|&call| self.note_member(number, call, now));
        let tracks: Vec<NewTrack> = tracks.collect();
        let open = RoomFiles::Open(Box::new(RoomRecord {
            recording: number,
            room: name.to_owned(),
            settings,
            rest,
            tracks,
        }));
        self.outputs.push_back(Output::RoomFiles(open));
        Ok(())
    }

    fn next_recording_number(&mut self) -> u64 {
        let number = self.next_recording;
        self.next_recording += 1;
        number
    }

    fn control_recording(
        &mut self,
        room: &str,
        control: RecordControl,
        now: Instant,
    ) -> Result<(), RoomError> {
        let found = self.room_recordings.of_room(room);
        let found = found.filter(|(_, kept)| kept.phase == Phase::Running);
        let (number, kept) = found.ok_or_else(|| RoomError::NotRecorded(room.to_owned()))?;
        let before = kept.notes.paused.map(|(_, silence)| silence);
        let after = match control {
            RecordControl::Pause => Some(false),
            RecordControl::Mute => Some(true),
            RecordControl::Resume => None,
        };
        if before == after {
            return Ok(());
        }
        match after {
            Some(silence) => kept.notes.pause(silence, now),
            None => kept.notes.resume(now),
        }
        let (worker, bridge) = kept.place;
        let command = Command::ControlRecordRoom(bridge, control);
        self.outputs.push_back(Output::Media { worker, command });
        let change = after.map_or(RoomRecordingChange::Resumed, |silence| {
            RoomRecordingChange::Paused { silence }
        });
        self.tell_of_recording(number, change);
        Ok(())
    }

    /// Ends a room's recording, if there is one.
    fn stop_recording(&mut self, room: &str, now: Instant) {
        let Some((_, kept)) = self.room_recordings.of_room(room) else {
            return;
        };
        if kept.phase == Phase::Running {
            let (worker, bridge) = kept.place;
            let command = Command::StopRecordRoom(bridge);
            self.outputs.push_back(Output::Media { worker, command });
        }
        kept.phase = Phase::Ending;
        self.recording_left(room, now);
    }

    /// A room's recording is none of its any more.
    fn recording_left(&mut self, room: &str, now: Instant) {
        self.room_recordings.rooms.remove(room);
        if let Some(known) = self.rooms.get_mut(room) {
            known.recording(false);
            self.pump_room(room, now);
        }
    }

    /// A room has ended, and its bridge is about to.
    pub(super) fn recording_of_ended_room(&mut self, room: &str) {
        if let Some((_, kept)) = self.room_recordings.of_room(room) {
            kept.phase = Phase::Ending;
        }
        self.room_recordings.rooms.remove(room);
        self.room_recordings.waiting.remove(room);
    }

    /// What happens in a room that is recorded.
    pub(super) fn note_recorded(&mut self, room: &str, change: &RoomChange, now: Instant) {
        let Some((number, kept)) = self.room_recordings.of_room(room) else {
            return;
        };
        match change {
            RoomChange::Joined(state) if kept.begun => {
                if let Some(track) = self.note_member(number, state.call, now) {
                    self.outputs
                        .push_back(Output::RoomFiles(RoomFiles::OpenTrack(track)));
                }
            }
            RoomChange::Changed(state) => kept.notes.mute(state.call, !state.is_heard(), now),
            RoomChange::Left { call, .. } => kept.notes.leave(*call, now),
            _ => {}
        }
    }

    /// Notes a member that is in. The track that is to be opened for it, where it is to have one.
    fn note_member(&mut self, number: u64, call: CallHandle, now: Instant) -> Option<NewTrack> {
        let kept = self.room_recordings.all.get(&number)?;
        let wants =
            kept.settings.layout.has_tracks() && self.room_recordings.has_room_for_track(number);
        let next = self.next_recording;
        let recordings = &mut self.room_recordings;
        let kept = recordings.all.get_mut(&number)?;
        let state = self.rooms.get(&kept.log.room)?.member(call)?;
        let is_left = kept.left == Some(call);
        let begun = kept.begun;
        if is_left {
            kept.log.left = Some(state.party.clone());
        }
        let member = kept
            .notes
            .join(call, &state.party, !state.is_heard(), now)?;
        if let Some(track) = &mut member.track {
            let handle = track.handle;
            if begun && track.open {
                self.give_track(number, handle);
            }
            return None;
        }
        if !wants && !is_left {
            return None;
        }
        member.track = Some(OwnTrack {
            handle: next,
            open: is_left,
            given: false,
        });
        recordings.handles.insert(next, number);
        self.next_recording += 1;
        wants.then(|| NewTrack {
            recording: number,
            track: next,
            party: state.party.clone(),
        })
    }

    /// Gives a member that is in the track that is its own.
    fn give_track(&mut self, number: u64, handle: u64) {
        let kept = self.room_recordings.all.get_mut(&number);
        let Some(kept) = kept.filter(|kept| kept.phase == Phase::Running) else {
            return;
        };
        let rate = kept.settings.rate;
        let member = kept.notes.of_track(handle);
        let Some(call) = member.and_then(|member| member.call) else {
            return;
        };
        let track = Track::new(number, handle, rate);
        let given = self.media(call, |leg| Command::RecordTrack(leg, track));
        let kept = self.room_recordings.all.get_mut(&number);
        let member = kept.and_then(|kept| kept.notes.of_track(handle));
        if let Some(track) = member.and_then(|member| member.track.as_mut()) {
            track.given = given;
        }
    }

    fn tell_of_recording(&mut self, number: u64, change: RoomRecordingChange) {
        let Some(kept) = self.room_recordings.all.get(&number) else {
            return;
        };
        let event = RoomRecordingEvent {
            room: kept.log.room.clone(),
            recording: number,
            change,
        };
        self.outputs
            .push_back(Output::Event(Event::RoomRecording(Box::new(event))));
    }

    /// The recording of a room that goes on.
    pub fn room_recording(&self, room: &str, now: Instant) -> Option<RoomRecordingView> {
        let number = *self.room_recordings.rooms.get(room)?;
        let kept = self.room_recordings.all.get(&number)?;
        let state = match (kept.phase, kept.notes.paused) {
            (Phase::Opening, _) => RecordingState::Opening,
            (_, Some((_, false))) => RecordingState::Paused,
            (_, Some((_, true))) => RecordingState::Muted,
            (_, None) => RecordingState::Recording,
        };
        let rate = u64::from(kept.settings.rate);
        let samples = if kept.begun { kept.notes.at(now) } else { 0 };
        Some(RoomRecordingView {
            recording: number,
            settings: kept.settings.clone(),
            state,
            left: kept.left,
            length: Duration::from_millis(samples * 1000 / rate.max(1)),
            files: kept.files.values().cloned().collect(),
        })
    }

    /// How a room is recorded where nobody says otherwise.
    pub fn room_record_settings(&self, room: &str) -> Option<&RoomRecordSettings> {
        self.rooms.get(room).map(|room| &room.settings().recording)
    }

    /// Recordings of rooms whose files are not all closed.
    pub fn room_recordings(&self) -> usize {
        self.room_recordings.all.len()
    }

    /// Ends all recordings of rooms by the clock, since the media threads tell no more: what follows is
    /// in the outputs.
    pub fn cut_room_recordings(&mut self, now: Instant) {
        let numbers: Vec<u64> = self.room_recordings.all.keys().copied().collect();
        for number in numbers {
            let Some(kept) = self.room_recordings.all.get_mut(&number) else {
                continue;
            };
            let samples = if kept.begun { kept.notes.at(now) } else { 0 };
            if !kept.files.is_empty() {
                kept.notes.cut();
                self.close_room_recording(number, samples, now);
            }
        }
    }
}
