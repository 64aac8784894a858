//! The digits that a party presses: out of telephone events, or out of its audio where there are
//! none; and when their sound is to be kept from everybody else.
//!
//! Sits beside the playout, in front of the leg's event queue. rx is what the party sends.

use std::time::Duration;

use crate::audio::MediaTime;
use crate::dtmf::receiver::{Activity, EventReceiver};
use crate::dtmf::{self, Detector, Digit};
use crate::rtp::{Packet, Timestamp};

/// An event of which no further packet has come for so long is over: three lost in a row at 20 ms.
const GRACE: Duration = Duration::from_millis(70);

/// Audio that a gateway sends beside an event may come behind its last report: one packet.
const BESIDE: Duration = Duration::from_millis(20);

/// That packet may also miss the tick that reads the report: by its timestamp it is known for so much
/// longer. Not for good, for there are senders whose durations are wrong.
const BEHIND: Duration = Duration::from_millis(60);

/// Digits of the detector that wait to be fetched: one comes in 80 ms at most.
const MAX_DETECTED: usize = 8;

#[derive(Debug)]
pub(super) struct Digits {
    events: EventReceiver,
    /// Boxed, for it is large, and hardly touched in silence.
    detector: Box<Detector>,
    /// The detector has nothing to do before the next sound.
    asleep: bool,
    detected: [Option<Digit>; MAX_DETECTED],
    dropped: u64,
    sounding: bool,
    /// What is played until then may carry the sound of a digit.
    sounding_until: Option<MediaTime>,
    /// Where the last digit ended, in the events' clock.
    end: Timestamp,
    /// That clock is the audio's, too.
    compares: bool,
}

impl Digits {
    pub fn new() -> Self {
        Self::in_memory(EventReceiver::new(), Box::default())
    }

    /// The same, in this one's memory.
    pub fn recycled(mut self) -> Self {
        self.detector.reset();
        Self::in_memory(self.events.recycled(), self.detector)
    }

    fn in_memory(events: EventReceiver, detector: Box<Detector>) -> Self {
        Self {
            events,
            detector,
            asleep: false,
            detected: [None; MAX_DETECTED],
            dropped: 0,
            sounding: false,
            sounding_until: None,
            end: Timestamp(0),
            compares: true,
        }
    }

    /// Digits that came faster than anybody presses, and were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped + self.events.dropped()
    }

    pub fn on_audio(&mut self, packet: &Packet<'_>, arrival: MediaTime) {
        self.events.on_audio(packet, arrival);
    }

    /// `depth` is how long what comes now waits to be played.
    pub fn on_event(
        &mut self,
        packet: &Packet<'_>,
        arrival: MediaTime,
        now: MediaTime,
        depth: Duration,
    ) {
        self.compares = true;
        match self.events.on_event(packet, arrival) {
            Activity::Sounding => {
                self.sounding = true;
                self.sounding_until = Some(now + GRACE + depth);
            }
            Activity::Ended(end) if self.sounding => {
                self.sounding = false;
                self.sounding_until = Some(now + BESIDE + depth);
                self.end = end;
            }
            // The end again: the party may talk by now.
            Activity::Ended(_) | Activity::None => {}
        }
    }

    /// Whether [`Digits::listen`] would hear nothing in such a frame, at any rate.
    pub fn sleeps_on(&self, frame: &[i16]) -> bool {
        self.asleep && dtmf::is_quiet(frame)
    }

    /// Seeks digits in a frame of what is played. Whether it may be a part of one.
    pub fn listen(&mut self, frame: &[i16]) -> bool {
        if self.sleeps_on(frame) {
            return false;
        }
        let detection = self.detector.process(frame);
        self.asleep = self.detector.is_asleep();
        if let Some(digit) = detection.digit {
            match self.detected.iter_mut().find(|place| place.is_none()) {
                Some(place) => *place = Some(digit),
                None => self.dropped += 1,
            }
        }
        detection.suspect
    }

    /// Whether what is played at `now` belongs to a digit; `from` is the timestamp that it begins with,
    /// where that is of the events' clock.
    pub fn is_sounding(
        &mut self,
        now: MediaTime,
        from: impl FnOnce() -> Option<Timestamp>,
    ) -> bool {
        let Some(until) = self.sounding_until else {
            return false;
        };
        if now < until {
            return true;
        }
        if self.sounding || !self.compares || now >= until + BEHIND {
            self.sounding = false;
            self.sounding_until = None;
            return false;
        }
        from().is_some_and(|from| self.end.distance(from) > 0)
    }

    /// The event that was just told of has timestamps of another line than the audio.
    pub fn is_beside(&mut self) {
        self.compares = false;
    }

    /// The party goes on with timestamps of another line.
    pub fn source_changed(&mut self) {
        if !self.sounding {
            self.sounding_until = None;
        }
    }

    /// The next digit, when everything that has arrived by `now` was taken in.
    pub fn poll(&mut self, now: MediaTime) -> Option<Digit> {
        let detected = self.detected[0].take();
        if detected.is_some() {
            self.detected.rotate_left(1);
            return detected;
        }
        self.events.poll(now)
    }
}
