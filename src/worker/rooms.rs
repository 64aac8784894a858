//! What rooms do besides mixing: play, tell who talks, are recorded.

use super::{BridgeId, Event, Freed, Talkers, Worker};
use crate::audio::player::{PlayControl, PlayEnd, PlayEndReason};
use crate::audio::tap::RecordControl;
use crate::bridge::{Classes, RoomPlay, RoomRecording, Track};
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
        self.outbox.tell(Event::RoomPlayEnded(id, play, UNPLAYED));
    }

    pub(super) fn stop_play_room(&mut self, _id: BridgeId, _place: u8) {}

    pub(super) fn control_play(&mut self, _id: LegId, _control: PlayControl) {}

    pub(super) fn control_play_room(&mut self, _id: BridgeId, _place: u8, _control: PlayControl) {}

    pub(super) fn watch_talkers(&mut self, _id: BridgeId, room: Option<Box<Talkers>>) {
        if let Some(room) = room {
            self.outbox.tell(Event::Freed(Freed::Talkers(room)));
        }
    }

    pub(super) fn record_room(&mut self, id: BridgeId, recording: Box<RoomRecording>) {
        self.outbox.tell(Event::RoomRecorded(id, recording, None));
    }

    pub(super) fn stop_record_room(&mut self, _id: BridgeId) {}

    pub(super) fn control_record_room(&mut self, _id: BridgeId, _control: RecordControl) {}

    pub(super) fn control_record(&mut self, _id: LegId, _control: RecordControl) {}

    pub(super) fn record_track(&mut self, id: LegId, track: Box<Track>) {
        self.outbox.tell(Event::TrackEnded(id, track));
    }
}
