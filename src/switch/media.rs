//! What the media workers tell.

use std::time::{Duration, Instant};

use super::recorded::{Recording, Whose};
use super::{Event, Output, Switch};
use crate::app::{AppSpec, Happened, OrderEnd, PlayId, PlayOutcome, RecordOutcome, Report};
use crate::audio::TICK_MS;
use crate::call::{Call, CallHandle, Way};
use crate::leg::player::PlayEndReason;
use crate::leg::tap::TapStop;
use crate::leg::{Leg, LegEvent, LegId, LegStats};
use crate::worker::{self, BridgeId, Command};

/// Legs whose memory is kept for others, about 17 KiB each: calls come and go one by one.
const MANY_SPARE: usize = 32;

impl Switch {
    /// The ports of a call are bound.
    pub(super) fn media_ready(
        &mut self,
        handle: CallHandle,
        rtp_port: u16,
        rtcp_port: u16,
        now: Instant,
    ) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            // The caller gave up while the ports were bound.
            self.outputs.push_back(Output::Release { call: handle });
            return;
        };
        entry.rtp_port = Some(rtp_port);
        entry
            .call
            .media_ready((rtp_port, rtcp_port), now, &mut self.rng, &mut self.keys);
        self.touched.push_back(handle);
    }

    pub(super) fn on_media(&mut self, worker: usize, event: worker::Event, now: Instant) {
        match event {
            worker::Event::Leg(leg, event) => self.on_leg(worker, leg, event, now),
            worker::Event::Closed(leg) => self.leg_closed(worker, leg, now),
            worker::Event::Detached(leg) => self.detached(worker, leg, now),
            worker::Event::BridgeClosed(id, _) => {
                self.bridge_places[worker].give_back(id.index);
            }
            worker::Event::JoinRefused(leg, bridge, _) => {
                self.join_refused(leg, (worker, bridge), now);
            }
            worker::Event::RoomPlayEnded(id, play, end) => {
                self.bridge_played((worker, id), &play, end, now);
            }
            worker::Event::RoomRecorded(_, recording, reason) => {
                if !self.room_recorded(&recording, now) {
                    self.bridge_recorded(&recording, reason);
                }
            }
            worker::Event::TrackEnded(_, track) => self.track_ended(&track),
            worker::Event::Talkers(id, told) => self.talkers((worker, id), told),
            worker::Event::Freed(_) => {}
        }
    }

    fn join_refused(&mut self, leg: LegId, place: (usize, BridgeId), now: Instant) {
        let Some(&handle) = self.legs.get(&(place.0, leg)) else {
            return;
        };
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let room = entry.room.as_ref().and_then(|name| self.rooms.get(name));
        let bridge = entry.driven.bridge;
        let bridge = bridge.and_then(|number| self.bridges.all.get(&number));
        // Of one that it has left since, it tells nothing of where it is to be now.
        let is_its_own = room.is_some_and(|room| (room.worker, room.bridge) == place)
            || bridge.is_some_and(|bridge| bridge.place == Some(place));
        if !is_its_own {
            return;
        }
        entry.mixed = false;
        self.leave_room(handle, now);
        self.leave_bridge(handle, now);
        self.with_call(handle, |c| c.happened(&Happened::JoinFailed, now));
    }

    fn on_leg(&mut self, worker: usize, leg: LegId, event: LegEvent, now: Instant) {
        let handle = self.legs.get(&(worker, leg)).copied();
        if let (
            None,
            &LegEvent::RecordingStopped {
                recording,
                samples,
                length,
                ..
            },
        ) = (handle, &event)
        {
            self.left_recording_over(recording, length);
            // Its leg closed before the tap was in place: the file is to be closed all the same.
            self.outputs
                .push_back(Output::CloseRecording { recording, samples });
        }
        let Some(handle) = handle else { return };
        match event {
            // Of what had the call before.
            LegEvent::PlayEnded(play, _)
                if self
                    .calls
                    .get(&handle)
                    .is_none_or(|e| u64::from(e.call.run_number()) != play.id >> 32) => {}
            LegEvent::PlayEnded(play, end) if end.reason == PlayEndReason::Failed => {
                self.play_broke_off(handle, PlayId(play.id as u32), length(end.samples), now);
            }
            LegEvent::PlayEnded(play, end) => {
                let outcome = match end.reason {
                    PlayEndReason::Finished => PlayOutcome::Finished,
                    _ => PlayOutcome::Stopped,
                };
                let happened =
                    Happened::PlayEnded(PlayId(play.id as u32), outcome, length(end.samples));
                self.with_call(handle, |c| c.happened(&happened, now));
            }
            LegEvent::RecordingStopped {
                recording,
                reason,
                samples,
                length,
                ..
            } => {
                let outcome = match reason {
                    Some(TapStop::Silence) => RecordOutcome::Silence,
                    Some(TapStop::MaxLength) => RecordOutcome::MaxLength,
                    None => RecordOutcome::Stopped,
                };
                self.recording_ended(handle, (recording, samples, length), outcome, now);
            }
            LegEvent::MediaTimeout => {
                self.with_call(handle, Call::media_timeout);
            }
            LegEvent::Digit(digit) => {
                self.with_call(handle, |c| c.digit(digit, Way::Media, now));
            }
            LegEvent::Dialled(_, end) => self.dialled(handle, end, now),
            LegEvent::Dtls(flight) => self.on_dtls(handle, flight, now),
            LegEvent::Stats(stats) => self.stats_told(handle, stats),
            LegEvent::Talk { talking, ticks } => {
                let event = Event::Talking {
                    call: handle,
                    talking,
                    lasted: Duration::from_millis(u64::from(TICK_MS) * u64::from(ticks)),
                };
                self.outputs.push_back(Output::Event(event));
            }
        }
    }

    /// Tells the figures of a call's media, once a second while it runs, or no longer.
    pub fn watch_stats(&mut self, call: CallHandle, on: bool) {
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.watched = on;
            self.media(call, |leg| Command::WatchStats(leg, on.then(Box::default)));
        }
    }

    /// Has the figures of a call's media told once. Whether there is media.
    pub fn ask_stats(&mut self, call: CallHandle) -> bool {
        let Some(entry) = self.calls.get_mut(&call) else {
            return false;
        };
        entry.asked = true;
        self.media(call, |leg| Command::WatchStats(leg, Some(Box::default())))
    }

    fn stats_told(&mut self, call: CallHandle, stats: Box<LegStats>) {
        let Some(entry) = self.calls.get_mut(&call) else {
            return;
        };
        let (watched, asked) = (entry.watched, std::mem::take(&mut entry.asked));
        if watched {
            // Room for the next ones.
            self.media(call, |leg| Command::WatchStats(leg, Some(Box::default())));
        }
        if watched || asked {
            self.outputs
                .push_back(Output::Event(Event::Stats { call, stats }));
        }
    }

    fn recording_ended(
        &mut self,
        handle: CallHandle,
        (recording, samples, length): (u64, u64, Duration),
        outcome: RecordOutcome,
        now: Instant,
    ) {
        self.outputs
            .push_back(Output::CloseRecording { recording, samples });
        self.left_recording_over(recording, length);
        if self.recordings.remove(&recording).is_none() {
            // It has failed, and its application knows: this is only the tap's own end.
            return;
        }
        if let Some(entry) = self.calls.get_mut(&handle) {
            let ended = entry.recording.take_if(|r| r.number == recording);
            // What is to be a name is told of when it is in its file, and so are programs.
            if matches!(entry.call.spec(), AppSpec::Stasis(_)) {
                self.record_over(Whose::Call(handle), ended, recording, (outcome, length));
            } else if entry.naming != Some(recording) {
                let happened = Happened::RecordEnded(outcome, length);
                self.with_call(handle, |c| c.happened(&happened, now));
            }
        }
    }

    pub(super) fn leg_closed(&mut self, worker: usize, mut leg: Box<Leg>, now: Instant) {
        let id = leg.id();
        self.leg_places[worker].give_back(id.index);
        if let Some(tap) = leg.stop_record() {
            self.outputs.push_back(Output::CloseRecording {
                recording: tap.recording(),
                samples: tap.end_position(),
            });
            let (recording, length) = (tap.recording(), tap.length());
            self.recordings.remove(&recording);
            let handle = self.legs.get(&(worker, id)).copied();
            let entry = handle.and_then(|handle| self.calls.get_mut(&handle));
            let ended = entry.and_then(|e| e.recording.take_if(|r| r.number == recording));
            if let (Some(handle), Some(_)) = (handle, ended.and_then(|r| r.order)) {
                let stopped = (RecordOutcome::Stopped, length);
                self.record_over(Whose::Call(handle), ended, recording, stopped);
            } else {
                self.left_recording_over(recording, length);
            }
        }
        if let Some(handle) = self.legs.remove(&(worker, id)) {
            self.leg_gone(handle, &leg, now);
        }
        if self.leg_memory.len() < MANY_SPARE {
            self.leg_memory.extend(leg.into_memory());
        }
    }

    fn leg_gone(&mut self, handle: CallHandle, leg: &Leg, now: Instant) {
        self.leave_room(handle, now);
        self.leave_bridge(handle, now);
        if let Some(entry) = self.calls.get_mut(&handle) {
            if let (Some(port), Some(stream)) = (entry.rtp_port, leg.stream()) {
                self.heard.insert(port, stream);
            }
            entry.leg = None;
            entry.moving = None;
            entry.call.leg_closed(leg.stats());
            self.touched.push_back(handle);
        }
    }

    /// A file could not be read on while it was played.
    fn play_broke_off(&mut self, handle: CallHandle, id: PlayId, played: Duration, now: Instant) {
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let files: Vec<_> = entry
            .playing
            .iter()
            .map(|p| p.display().to_string())
            .collect();
        let error = format!(
            "{}: could not be read on after {:.1} s",
            files.join(", "),
            played.as_secs_f64()
        );
        self.outputs.push_back(Output::Event(Event::PlayFailed {
            call_id: entry.call.call_id().to_owned(),
            error: error.clone(),
        }));
        let happened = Happened::PlayEnded(id, PlayOutcome::Failed(error), played);
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    pub(super) fn play_failed(
        &mut self,
        handle: CallHandle,
        number: PlayId,
        error: String,
        now: Instant,
    ) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let Some(loading) = entry.loading.take_if(|wanted| wanted.number == number) else {
            // Stopped or replaced meanwhile: nobody waits for it.
            return;
        };
        let call_id = entry.call.call_id().to_owned();
        self.outputs.push_back(Output::Event(Event::PlayFailed {
            call_id,
            error: error.clone(),
        }));
        let happened = Happened::PlayEnded(loading.id, PlayOutcome::Failed(error), Duration::ZERO);
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    /// What is being loaded for a call is not wanted any more, if anything is.
    pub(super) fn give_up_play(&mut self, handle: CallHandle) {
        let entry = self.calls.get(&handle);
        if entry.is_some_and(|entry| entry.loading.is_some()) {
            self.outputs.push_back(Output::GiveUpPlay(handle));
        }
    }

    pub(super) fn recording_failed(&mut self, recording: u64, error: String, now: Instant) {
        if self.closing_failed(recording, &error, now)
            || self.bridge_recording_failed(recording, &error, now)
            || self.room_recording_failed(recording, &error, now)
        {
            return;
        }
        let Some(handle) = self.recordings.remove(&recording) else {
            return;
        };
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let kept = entry.recording.take();
        let call_id = entry.call.call_id().to_owned();
        self.outputs
            .push_back(Output::Event(Event::RecordingFailed {
                call_id,
                error: error.clone(),
            }));
        let is_name = entry.naming == Some(recording);
        self.media(handle, Command::StopRecord);
        if is_name {
            return self.name_recorded(handle, recording, false, now);
        }
        let outcome = if kept.is_some_and(|recording| !recording.running) {
            RecordOutcome::NotBegun(error)
        } else {
            RecordOutcome::Failed(error)
        };
        self.nothing_recorded(handle, kept, outcome, now);
    }

    /// A recording is over of which nothing is still to be written. A call that ends hears of nothing
    /// any more: its program is told all the same.
    pub(super) fn nothing_recorded(
        &mut self,
        handle: CallHandle,
        kept: Option<Recording>,
        outcome: RecordOutcome,
        now: Instant,
    ) {
        let entry = self.calls.get(&handle);
        let ends = entry.is_some_and(|entry| !entry.call.is_established());
        if let Some(kept) = kept.filter(|_| ends)
            && let Some(order) = kept.order
        {
            let how = match outcome {
                RecordOutcome::Failed(error) | RecordOutcome::NotBegun(error) => Err(error),
                _ if kept.discarded => Ok(OrderEnd::Discarded),
                _ => Ok(OrderEnd::Finished),
            };
            return self.reported(handle, Report::Ended(order, how, Duration::ZERO));
        }
        let happened = Happened::RecordEnded(outcome, Duration::ZERO);
        self.with_call(handle, |c| c.happened(&happened, now));
    }
}

fn length(samples: u64) -> Duration {
    Duration::from_micros(samples * 125)
}
