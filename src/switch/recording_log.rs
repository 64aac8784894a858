//! Who was recorded when, in a recording of a room.
//!
//! Tracks tell to the sample where they begin and end. What only the control side knows, mutes, pauses,
//! and members without a track, is placed by its clock, to within some ticks.

use std::time::{Duration, Instant};

use crate::call::CallHandle;

/// Spans, pauses and members that are noted of one recording; further ones are not.
const MAX_NOTES: usize = 65_536;

/// Who was recorded when. Positions are samples since the recording's start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingLog {
    /// Which recording: the handle of its mix.
    pub recording: u64,
    /// Of which room.
    pub room: String,
    /// Samples a second.
    pub rate: u32,
    /// Its length.
    pub samples: u64,
    /// The handle of the room's own track.
    pub rest: Option<u64>,
    /// Who is on the left, in stereo.
    pub left: Option<String>,
    /// Who was in the room, in the order in which they came.
    pub members: Vec<RecordedMember>,
    /// When it was paused.
    pub pauses: Vec<RecordedPause>,
}

/// A member of a recorded room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedMember {
    /// Who it was.
    pub party: String,
    /// The handle of its track.
    pub track: Option<u64>,
    /// When it was in the room; of its track, when that was written.
    pub present: Vec<(u64, u64)>,
    /// When nobody heard it.
    pub muted: Vec<(u64, u64)>,
}

/// A pause of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedPause {
    /// The time is not in the files.
    LeftOut {
        /// Where it would be.
        at: u64,
        /// How long it was.
        time: Duration,
    },
    /// Silence was written.
    Silence {
        /// From here.
        at: u64,
        /// The sample behind it.
        to: u64,
    },
}

/// A file that a member has a track in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnTrack {
    pub handle: u64,
    /// Its file is open; in stereo it needs none.
    pub open: bool,
    /// The worker has it.
    pub given: bool,
}

/// A member while it is recorded.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub party: String,
    /// Its call, while it is in the room.
    pub call: Option<CallHandle>,
    pub track: Option<OwnTrack>,
    present: Vec<(u64, u64)>,
    muted: Vec<(u64, u64)>,
    since: Option<u64>,
    muted_since: Option<u64>,
    /// When it was in by the clock, until its track tells.
    by_clock: Option<(u64, u64)>,
}

/// What is written down while a recording goes on.
#[derive(Debug)]
pub(super) struct Notes {
    began: Instant,
    rate: u32,
    left_out: Duration,
    /// Since when it is paused, and whether silence is written.
    pub paused: Option<(Instant, bool)>,
    pauses: Vec<RecordedPause>,
    pub members: Vec<Noted>,
    count: usize,
}

impl Notes {
    pub fn new(rate: u32, now: Instant) -> Self {
        Self {
            began: now,
            rate,
            left_out: Duration::ZERO,
            paused: None,
            pauses: Vec::new(),
            members: Vec::new(),
            count: 0,
        }
    }

    /// The recording begins at this moment, and not when it was asked for: who is in comes anew.
    pub fn begin(&mut self, now: Instant) {
        self.began = now;
        for member in &mut self.members {
            (member.since, member.muted_since) = (None, None);
            member.present.clear();
            member.muted.clear();
        }
    }

    /// Where the recording is.
    pub fn at(&self, now: Instant) -> u64 {
        let now = match self.paused {
            Some((since, false)) => since,
            _ => now,
        };
        let time = now.saturating_duration_since(self.began);
        let us = time.saturating_sub(self.left_out).as_micros();
        u64::try_from(us * u128::from(self.rate) / 1_000_000).unwrap_or(u64::MAX)
    }

    pub fn pause(&mut self, silence: bool, now: Instant) {
        self.resume(now);
        self.paused = Some((now, silence));
    }

    pub fn resume(&mut self, now: Instant) {
        let at = self.at(now);
        let Some((since, silence)) = self.paused.take() else {
            return;
        };
        let time = now.saturating_duration_since(since);
        let pause = if silence {
            let from = at.saturating_sub(samples(time, self.rate));
            RecordedPause::Silence { at: from, to: at }
        } else {
            self.left_out += time;
            RecordedPause::LeftOut { at, time }
        };
        if self.may_note() {
            self.pauses.push(pause);
        }
    }

    /// Whether there is room for one note more, which it takes.
    fn may_note(&mut self) -> bool {
        let may = self.count < MAX_NOTES;
        self.count += usize::from(may);
        may
    }

    pub fn of_track(&mut self, handle: u64) -> Option<&mut Noted> {
        let has = |m: &&mut Noted| m.track.is_some_and(|track| track.handle == handle);
        self.members.iter_mut().find(has)
    }

    /// The member of a call, while it is in the room.
    fn of_call(&mut self, call: CallHandle) -> Option<&mut Noted> {
        self.members.iter_mut().find(|m| m.call == Some(call))
    }

    /// The place of a member that comes in: its own of before, where its track is free; a new one, or
    /// none where there are too many.
    pub fn join(
        &mut self,
        call: CallHandle,
        party: &str,
        muted: bool,
        now: Instant,
    ) -> Option<&mut Noted> {
        let at = self.at(now);
        let is_free = |m: &Noted| m.track.is_none_or(|track| track.open && !track.given);
        let known = self.members.iter().position(|m| {
            m.call == Some(call) || m.call.is_none() && m.party == party && is_free(m)
        });
        let index = match known {
            Some(index) => index,
            None if self.may_note() => {
                self.members.push(Noted {
                    party: party.to_owned(),
                    ..Noted::default()
                });
                self.members.len() - 1
            }
            None => return None,
        };
        let member = self.members.get_mut(index)?;
        member.call = Some(call);
        member.since = Some(at);
        member.muted_since = muted.then_some(at);
        Some(member)
    }

    pub fn mute(&mut self, call: CallHandle, muted: bool, now: Instant) {
        let at = self.at(now);
        let Some(member) = self.of_call(call) else {
            return;
        };
        if muted {
            member.muted_since.get_or_insert(at);
        } else if let Some(from) = member.muted_since.take()
            && self.may_note()
            && let Some(member) = self.of_call(call)
        {
            member.muted.push((from, at));
        }
    }

    pub fn leave(&mut self, call: CallHandle, now: Instant) {
        self.mute(call, false, now);
        let at = self.at(now);
        let may = self.may_note();
        if let Some(member) = self.of_call(call) {
            member.call = None;
            let given = member.track.is_some_and(|track| track.given);
            let span = member.since.take().map(|from| (from, at));
            let span = span.filter(|_| may);
            if given {
                member.by_clock = span;
            } else {
                member.present.extend(span);
            }
        }
    }

    /// A member's track has come back.
    pub fn track_ended(&mut self, handle: u64, span: Option<(u64, u64)>) {
        let may = self.may_note();
        let Some(member) = self.of_track(handle) else {
            return;
        };
        if let Some(track) = &mut member.track {
            track.given = false;
        }
        member.by_clock = None;
        // What the track tells counts, and not what the clock did.
        if member.call.is_some() {
            member.since = None;
        }
        if let Some(span) = span.filter(|_| may) {
            member.present.push(span);
        }
    }

    /// No track comes back any more: of those that are still out the clock tells.
    pub fn cut(&mut self) {
        for member in &mut self.members {
            if let Some(track) = &mut member.track {
                track.given = false;
            }
            member.present.extend(member.by_clock.take());
        }
    }

    /// All of it, of a recording of this length.
    pub fn finish(&mut self, log: &mut RecordingLog, samples: u64, now: Instant) {
        let calls: Vec<CallHandle> = self.members.iter().filter_map(|m| m.call).collect();
        for call in calls {
            self.leave(call, now);
        }
        self.resume(now);
        let within = |spans: &[(u64, u64)]| {
            let spans = spans.iter().map(|&(from, to)| (from, to.min(samples)));
            spans.filter(|(from, to)| from < to).collect()
        };
        log.samples = samples;
        log.members = self
            .members
            .iter()
            .map(|member| RecordedMember {
                party: member.party.clone(),
                track: member.track.map(|track| track.handle),
                present: within(&member.present),
                muted: within(&member.muted),
            })
            .collect();
        log.pauses = self
            .pauses
            .iter()
            .map(|pause| match *pause {
                RecordedPause::LeftOut { at, time } => RecordedPause::LeftOut {
                    at: at.min(samples),
                    time,
                },
                RecordedPause::Silence { at, to } => RecordedPause::Silence {
                    at: at.min(samples),
                    to: to.min(samples),
                },
            })
            .collect();
    }
}

fn samples(time: Duration, rate: u32) -> u64 {
    (time.as_micros() * u128::from(rate) / 1_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_leaves_pauses_out_and_counts_silence() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut notes = Notes::new(8000, start);
        let (one, two) = (CallHandle(1), CallHandle(2));
        notes.join(one, "one", false, at(0)).unwrap();
        notes.join(two, "two", true, at(500)).unwrap();
        notes.pause(false, at(1000));
        assert_eq!(notes.at(at(1700)), 8000);
        notes.pause(true, at(2000));
        assert_eq!(notes.at(at(3000)), 16_000);
        notes.resume(at(3000));
        notes.leave(one, at(3500));
        // Comes back, and is the same.
        notes.join(CallHandle(3), "one", false, at(4000)).unwrap();
        notes.mute(two, false, at(4000));
        let mut log = RecordingLog::default();
        notes.finish(&mut log, 32_000 + 100, at(9000));
        let pauses = [
            RecordedPause::LeftOut {
                at: 8000,
                time: Duration::from_secs(1),
            },
            RecordedPause::Silence {
                at: 8000,
                to: 16_000,
            },
        ];
        assert_eq!(log.pauses, pauses);
        let [first, second] = &log.members[..] else {
            panic!("{:?}", log.members);
        };
        assert_eq!(first.present, [(0, 20_000), (24_000, 32_100)]);
        assert_eq!(second.present, [(4000, 32_100)]);
        assert_eq!(
            (&first.muted[..], &second.muted[..]),
            (&[][..], &[(4000, 24_000)][..])
        );
    }

    #[test]
    fn who_has_a_track_that_never_comes_back_was_in_by_the_clock() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut notes = Notes::new(8000, start);
        for (n, party) in [(1, "one"), (2, "two"), (3, "three")] {
            let member = notes.join(CallHandle(n), party, false, at(0)).unwrap();
            member.track = Some(OwnTrack {
                handle: n,
                open: true,
                given: true,
            });
        }
        notes.leave(CallHandle(1), at(1000));
        notes.track_ended(1, Some((160, 7840)));
        notes.leave(CallHandle(2), at(2000));
        notes.cut();
        let mut log = RecordingLog::default();
        notes.finish(&mut log, 24_000, at(3000));
        let present: Vec<_> = log.members.iter().map(|m| &m.present[..]).collect();
        assert_eq!(present[0], [(160, 7840)], "as its track has told");
        assert_eq!(present[1], [(0, 16_000)]);
        assert_eq!(present[2], [(0, 24_000)]);
    }

    #[test]
    fn notes_are_bounded() {
        let start = Instant::now();
        let mut notes = Notes::new(8000, start);
        let call = CallHandle(1);
        notes.join(call, "one", false, start).unwrap();
        for ms in 0..100_000u64 {
            notes.mute(call, ms % 2 == 0, start + Duration::from_millis(ms));
            notes.pause(false, start + Duration::from_millis(ms));
            notes.resume(start + Duration::from_millis(ms));
        }
        let mut log = RecordingLog::default();
        notes.finish(&mut log, u64::MAX, start + Duration::from_secs(200));
        let kept = log.pauses.len() + log.members[0].muted.len();
        assert!(kept < MAX_NOTES, "{kept}");
        assert!(notes.join(CallHandle(2), "two", false, start).is_none());
    }
}
