//! What a room makes of being recorded. The recording itself is the switch's affair.

use super::{Room, RoomChange, RoomOutput};

impl Room {
    /// A recording has begun, or has ended.
    pub fn recording(&mut self, on: bool) {
        if std::mem::replace(&mut self.recorded, on) == on {
            return;
        }
        self.tell_event(RoomChange::Recording(on));
        let settings = self.settings.clone();
        let prompts = if on {
            &settings.recording_prompts
        } else {
            &settings.recording_ended_prompts
        };
        if settings.announce_recording && self.inside > 0 && !prompts.is_empty() {
            self.say_once(prompts.clone(), None);
        }
    }

    /// With its first member begins the recording of a room that is recorded from its start on.
    pub(super) fn record_first(&mut self) {
        if std::mem::take(&mut self.records_first) {
            self.outputs.push_back(RoomOutput::RecordFirst);
        }
    }
}
