//! Recording a room: the mix, and what each member has in it.
//!
//! The mix is what ear class 0 hears, with nobody's own part taken out: the members that it hears and
//! what the room plays to it. A track is one member's part in that, behind mutes, fades and ducking.
//! Both have the rate of the recording and one time line; the room's own track takes the rest: what
//! the room plays, and members without a track. So all tracks of a recording add up to its mix, to
//! the bit, as long as the sum fits in 16 bits and is not limited.

use crossbeam_channel::Sender;

use crate::audio::tap::{RecordFrame, Tap, TapSettings};

/// How a room is recorded.
#[derive(Clone, Copy, Debug)]
pub struct RoomRecordingSettings {
    /// The recording's handle; the mix is written by it.
    pub recording: u64,
    /// The rate of the mix and of all tracks, Hz: 8000, 16000 or 48000.
    pub rate: u32,
    /// The handle of the room's own track: what it plays, and who has no track. None: not written.
    pub rest: Option<u64>,
    /// Stop at this length, samples.
    pub max_samples: Option<u64>,
    /// Stop after so much unbroken silence, samples.
    pub silence_stop_samples: Option<u64>,
}

/// A recording of a room. Made on the control side, where it goes back to at its end.
#[derive(Debug)]
pub struct RoomRecording {
    settings: RoomRecordingSettings,
    tap: Tap,
}

impl RoomRecording {
    /// Takes the memory; `frames` is the recorder's queue.
    pub fn new(settings: RoomRecordingSettings, frames: Sender<RecordFrame>) -> Box<Self> {
        let tap = TapSettings {
            recording: settings.recording,
            max_samples: settings.max_samples,
            silence_stop_samples: settings.silence_stop_samples,
            start: crate::audio::MediaTime::ZERO,
        };
        Box::new(Self {
            settings,
            tap: Tap::new(tap, frames),
        })
    }

    /// Which recording this is.
    pub fn recording(&self) -> u64 {
        self.settings.recording
    }

    /// How long the recording is, samples: what the closes of the mix and of all its tracks are told.
    pub fn end_position(&self) -> u64 {
        self.tap.end_position()
    }
}

/// A member's track in a recording of its room. Made on the control side, where it goes back to when
/// the member leaves or the recording ends.
#[derive(Debug)]
pub struct Track {
    /// The recording of the room that it belongs to.
    pub recording: u64,
    /// Its own handle, by which it is written.
    pub track: u64,
    /// Where it began and ended on the recording's time line, samples; the second is that of now.
    pub span: (u64, u64),
}

impl Track {
    /// A track `track` of the room's recording `recording`.
    pub fn new(recording: u64, track: u64) -> Box<Self> {
        Box::new(Self {
            recording,
            track,
            span: (0, 0),
        })
    }
}
