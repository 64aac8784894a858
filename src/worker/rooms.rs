//! What rooms do besides mixing: play, tell who talks, are recorded.

use super::talkers::{MAX_TALKERS, TELL_MS, Talker, Talkers, Watch};
use super::{BridgeId, Event, Freed, Place, Room, Worker};
use crate::audio::TICK_MS;
use crate::audio::player::{PlayControl, PlayEnd, PlayEndReason};
use crate::audio::tap::{RecordControl, TapStop};
use crate::bridge::{Classes, RoomPlay, RoomPlayEnds, RoomRecording, Track};
use crate::leg::LegId;

/// The end of a play that never began.
const UNPLAYED: PlayEnd = PlayEnd {
    reason: PlayEndReason::Stopped,
    samples: 0,
    underruns: 0,
};

impl Worker {
    pub(super) fn set_classes(&mut self, id: BridgeId, classes: Box<Classes>) {
        let old = match self.room(id) {
            Some(room) => room.bridge.set_classes(classes),
            None => Some(classes),
        };
        if let Some(old) = old {
            self.outbox.tell(Event::Freed(Freed::Classes(old)));
        }
    }

    pub(super) fn play_room(&mut self, id: BridgeId, play: Box<RoomPlay>) {
        let ends = match self.room(id) {
            Some(room) if !room.closing => room.bridge.play(play),
            _ => [Some((play, UNPLAYED)), None],
        };
        self.tell_plays(id, ends);
    }

    pub(super) fn stop_play_room(&mut self, id: BridgeId, place: u8) {
        if let Some(room) = self.room(id) {
            let ends = room.bridge.stop_play(place);
            self.tell_plays(id, ends);
        }
    }

    fn tell_plays(&mut self, id: BridgeId, ends: RoomPlayEnds) {
        for (play, end) in ends.into_iter().flatten() {
            self.outbox.tell(Event::RoomPlayEnded(id, play, end));
        }
    }

    pub(super) fn control_play(&mut self, id: LegId, control: PlayControl) {
        if let Some(seat) = self.seat(id) {
            seat.leg.control_play(control);
        }
    }

    pub(super) fn control_play_room(&mut self, id: BridgeId, place: u8, control: PlayControl) {
        if let Some(room) = self.room(id) {
            room.bridge.control_play(place, control);
        }
    }

    pub(super) fn watch_talkers(&mut self, id: BridgeId, to: Option<Box<Talkers>>) {
        let old = match self.room(id) {
            Some(room) => {
                room.bridge.watch(to.is_some() || room.watch.told.is_some());
                if to.is_none() {
                    room.bridge.watch(false);
                    room.watch.told = None;
                }
                std::mem::replace(&mut room.watch.to, to)
            }
            None => to,
        };
        if let Some(old) = old {
            self.outbox.tell(Event::Freed(Freed::Talkers(old)));
        }
    }

    pub(super) fn record_room(&mut self, id: BridgeId, recording: Box<RoomRecording>) {
        match self.room(id) {
            Some(room) if !room.closing => {
                self.end_recording(id, None);
                if let Some(room) = self.room(id) {
                    room.bridge.record(recording);
                }
            }
            _ => self.outbox.tell(Event::RoomRecorded(id, recording, None)),
        }
    }

    pub(super) fn stop_record_room(&mut self, id: BridgeId) {
        if self.room(id).is_some() {
            self.end_recording(id, None);
        }
    }

    pub(super) fn control_record_room(&mut self, id: BridgeId, control: RecordControl) {
        if let Some(room) = self.room(id) {
            room.bridge.control_recording(control);
        }
    }

    pub(super) fn control_record(&mut self, id: LegId, control: RecordControl) {
        if let Some(seat) = self.seat(id) {
            seat.leg.control_record(control);
        }
    }

    pub(super) fn record_track(&mut self, id: LegId, track: Box<Track>) {
        let unused = match self.seat(id) {
            Some(seat) => match (&mut seat.next, seat.place) {
                (Some((_, entry)), _) => entry.port.set_track(track),
                (None, Place::Bridged { bridge, port, .. }) => {
                    match self.rooms.get_mut(bridge as usize) {
                        Some(Some(room)) => room.bridge.set_track(port, track),
                        _ => Some(track),
                    }
                }
                (None, Place::Solo(_)) => Some(track),
            },
            None => Some(track),
        };
        if let Some(track) = unused {
            self.outbox.tell(Event::TrackEnded(id, track));
        }
    }

    /// Ends the recording of a room that is there: first its tracks, then the whole. Tracks of one
    /// that is to begin stay.
    fn end_recording(&mut self, id: BridgeId, reason: Option<TapStop>) {
        let Some(Some(room)) = self.rooms.get_mut(id.index as usize) else {
            return;
        };
        let Some(recording) = room.bridge.take_recording() else {
            return;
        };
        for port in 0..room.bridge.len() {
            if let Some(track) = room.bridge.take_track(port, recording.recording())
                && let Some(owner) = room.bridge.owner(port)
                && let Some(Some(seat)) = self.seats.get(owner as usize)
            {
                self.outbox.tell(Event::TrackEnded(seat.leg.id(), track));
            }
        }
        self.outbox.tell(Event::RoomRecorded(id, recording, reason));
    }

    /// Tells what has happened to a room in its tick, besides its legs' affairs.
    pub(super) fn tell_room(&mut self, room: &mut Room, ms: u64) {
        while let Some((play, end)) = room.bridge.take_ended_play() {
            self.outbox.tell(Event::RoomPlayEnded(room.id, play, end));
        }
        if room.watch.to.is_none() || ms < room.watch.next_ms {
            return;
        }
        let talking = room.bridge.talking() as u32;
        if talking == 0 && room.watch.told.unwrap_or(0) == 0 {
            return;
        }
        let Some(mut to) = room.watch.to.take() else {
            return;
        };
        room.watch.next_ms = ms + TELL_MS;
        room.watch.told = Some(talking);
        to.talkers.clear();
        to.talking = talking;
        let seats = &self.seats;
        let id = |owner: u32| Some(seats.get(owner as usize)?.as_ref()?.leg.id());
        to.dominant = room.bridge.dominant().and_then(id);
        room.bridge.tell_talking(|owner, level_dbov, ticks| {
            if let Some(leg) = id(owner) {
                let talked_ms = ticks.saturating_mul(TICK_MS);
                to.insert(Talker {
                    leg,
                    level_dbov,
                    talked_ms,
                });
            }
        });
        debug_assert!(to.talkers.len() <= MAX_TALKERS);
        self.outbox.tell(Event::Talkers(room.id, to));
    }

    /// Ends a recording that has stopped by itself, once its room is back in its place.
    pub(super) fn end_stopped_recording(&mut self, bridge: u32) {
        if let Some(Some(room)) = self.rooms.get(bridge as usize)
            && let Some(reason) = room.bridge.recording_stopped()
        {
            self.end_recording(room.id, Some(reason));
        }
    }

    /// A room ends: so does all that it does.
    pub(super) fn end_room(&mut self, room: &mut Room) {
        while let Some((play, end)) = room.bridge.take_play() {
            self.outbox.tell(Event::RoomPlayEnded(room.id, play, end));
        }
        if let Some(recording) = room.bridge.take_recording() {
            let ended = Event::RoomRecorded(room.id, recording, None);
            self.outbox.tell(ended);
        }
        let Watch { to, .. } = std::mem::take(&mut room.watch);
        if let Some(to) = to {
            self.outbox.tell(Event::Freed(Freed::Talkers(to)));
        }
    }
}
