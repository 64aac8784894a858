//! What bridges of programs play to all who are in them, and record of them.
//!
//! ```text
//! Order --> player | recorder (the machines of app::stasis) --> Action --> command to the worker
//!                                                         '--> file work at the edge --> Input
//! ```

use std::time::{Duration, Instant};

use super::bridges::{BridgeEvent, BridgeNumber, ProgramBridge};
use super::loading::Loading;
use super::room_plays::outcome;
use super::{Event, Output, Switch};
use crate::app::{Action, App, Happened, Order, PlayChange, PlayId, PlayItem, PlayOutcome};
use crate::app::{RecordChange, RecordOutcome};
use crate::audio::player::{PlayControl, PlayEnd};
use crate::audio::tap::{RecordControl, TapStop};
use crate::bridge::{RoomPlay, RoomRecording};
use crate::leg::player::Play;
use crate::switch::programs::ProgramError;
use crate::switch::recorded::{Recording, Whose};
use crate::worker::{BridgeId, Command};

/// Places of plays in a bridge's mix: what programs play, and the beep before a recording.
const PLAYER: u8 = 0;
const RECORDER: u8 = 1;

/// Who plays something to all who are in a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Player {
    /// A bridge of a program's.
    Bridge(BridgeNumber),
    /// The room that is mixed by this worker, in this bridge.
    Room(usize, BridgeId),
}

/// A play for a bridge, to be made of files.
#[derive(Clone, Debug)]
pub struct BridgePlay {
    /// Whose.
    pub player: Player,
    /// Its place in the mix.
    pub place: u8,
    /// Which.
    pub id: PlayId,
    /// What is heard.
    pub items: Vec<PlayItem>,
    /// How often; 0: until stopped.
    pub repeat: u32,
}

/// A recording of a bridge, whose file is to be opened.
#[derive(Clone, Debug)]
pub struct BridgeRecord {
    /// Which bridge.
    pub bridge: BridgeNumber,
    /// Its number, fresh.
    pub recording: u64,
    /// Its name in the recording directory.
    pub name: String,
    /// Whether it takes the place of one of this name.
    pub overwrite: bool,
    /// Stop after so long.
    pub max: Option<Duration>,
    /// Stop after so much silence.
    pub silence: Option<Duration>,
}

impl ProgramBridge {
    fn app(&mut self, place: u8) -> &mut App {
        if place == RECORDER {
            &mut self.recorder
        } else {
            &mut self.player
        }
    }
}

/// The media plane's word for a change of a play.
pub(super) const fn play_control(change: PlayChange) -> PlayControl {
    match change {
        PlayChange::Pause => PlayControl::Pause,
        PlayChange::Resume => PlayControl::Resume,
        PlayChange::Restart => PlayControl::Restart,
        PlayChange::Skip(ms) => PlayControl::Skip(ms),
    }
}

/// The same of a recording.
pub(super) const fn record_control(change: RecordChange) -> RecordControl {
    match change {
        RecordChange::Pause => RecordControl::Pause,
        RecordChange::Mute => RecordControl::Mute,
        RecordChange::Resume => RecordControl::Resume,
    }
}

impl Switch {
    /// Has a bridge play or record something.
    pub fn order_bridge(
        &mut self,
        number: BridgeNumber,
        order: Order,
        now: Instant,
    ) -> Result<(), ProgramError> {
        let bridge = self.bridges.all.get_mut(&number);
        let bridge = bridge.ok_or(ProgramError::NoBridge)?;
        let plays = !matches!(order, Order::Record(..));
        let records = !matches!(order, Order::Play(..) | Order::Music(_));
        let ordered = Happened::Ordered(Box::new(order));
        if plays {
            bridge.player.handle(&ordered, now);
        }
        if records {
            bridge.recorder.handle(&ordered, now);
        }
        self.pump_bridge(number, now);
        self.settle(now);
        Ok(())
    }

    /// Something happened to what a bridge plays or records.
    fn happened_in_bridge(
        &mut self,
        number: BridgeNumber,
        place: u8,
        happened: &Happened,
        now: Instant,
    ) {
        if let Some(bridge) = self.bridges.all.get_mut(&number) {
            bridge.app(place).handle(happened, now);
            self.pump_bridge(number, now);
        }
    }

    fn pump_bridge(&mut self, number: BridgeNumber, now: Instant) {
        for place in [PLAYER, RECORDER] {
            while let Some(action) = self
                .bridges
                .all
                .get_mut(&number)
                .and_then(|bridge| bridge.app(place).poll_action())
            {
                self.act_in_bridge(number, place, action, now);
            }
        }
    }

    fn act_in_bridge(&mut self, number: BridgeNumber, place: u8, action: Action, now: Instant) {
        let Some(bridge) = self.bridges.all.get_mut(&number) else {
            return;
        };
        let id = bridge.place.map(|(_, id)| id);
        match action {
            Action::Play {
                id, items, repeat, ..
            } => {
                bridge.loading[usize::from(place)] = Some(Loading::new(id, id));
                self.outputs.push_back(Output::PlayInBridge(BridgePlay {
                    player: Player::Bridge(number),
                    place,
                    id,
                    items,
                    repeat,
                }));
            }
            Action::StopPlay => {
                if let Some(loading) = bridge.loading[usize::from(place)].take() {
                    let stopped =
                        Happened::PlayEnded(loading.id, PlayOutcome::Stopped, Duration::ZERO);
                    self.happened_in_bridge(number, place, &stopped, now);
                }
                self.command_bridge(number, |id| Command::StopPlayRoom(id, place));
            }
            Action::ControlPlay(change) => {
                // What was heard before it is not meant.
                if let Some(loading) = &mut bridge.loading[usize::from(place)] {
                    return loading.change(change);
                }
                let control = play_control(change);
                self.command_bridge(number, |id| Command::ControlPlayRoom(id, place, control));
            }
            Action::RecordNamed {
                order,
                name,
                overwrite,
                max,
                silence,
            } => {
                let recording = self.next_recording;
                self.next_recording += 1;
                bridge.recording = Some(Recording {
                    stop: id.is_none(),
                    ..Recording::new(recording, Some(order))
                });
                self.bridges.recordings.insert(recording, number);
                self.outputs.push_back(Output::RecordBridge(BridgeRecord {
                    bridge: number,
                    recording,
                    name,
                    overwrite,
                    max,
                    silence,
                }));
            }
            Action::StopRecord => match &mut bridge.recording {
                // Its file is still being opened.
                Some(recording) if !recording.running => recording.stop = true,
                _ => self.command_bridge(number, Command::StopRecordRoom),
            },
            Action::ControlRecord(change) => {
                let control = record_control(change);
                match &mut bridge.recording {
                    // It begins like that.
                    Some(recording) if !recording.running => recording.control = Some(control),
                    _ => {
                        self.command_bridge(number, |id| Command::ControlRecordRoom(id, control));
                    }
                }
            }
            Action::DiscardRecord => self.discard_recording(Whose::Bridge(number)),
            Action::Report(report) => {
                self.tell_of_bridge(number, BridgeEvent::Reported(report));
            }
            // Nothing else is ordered of a bridge.
            _ => {}
        }
    }

    /// A command for the worker of a bridge, where it is mixed.
    fn command_bridge(&mut self, number: BridgeNumber, command: impl FnOnce(BridgeId) -> Command) {
        let place = self
            .bridges
            .all
            .get(&number)
            .and_then(|bridge| bridge.place);
        if let Some((worker, id)) = place {
            let command = command(id);
            self.outputs.push_back(Output::Media { worker, command });
        }
    }

    /// What a bridge is to play is there, or why it is not.
    pub(super) fn bridge_play_ready(
        &mut self,
        (player, place, id): (Player, u8, PlayId),
        play: Result<Box<Play>, String>,
        now: Instant,
    ) {
        let number = match player {
            Player::Bridge(number) => number,
            Player::Room(worker, mixer) => {
                return self.room_play_ready((worker, mixer), (place, id), play, now);
            }
        };
        let Some(bridge) = self.bridges.all.get_mut(&number) else {
            return;
        };
        let loading = &mut bridge.loading[usize::from(place)];
        let Some(loaded) = loading.take_if(|wanted| wanted.number == id) else {
            // Stopped or replaced meanwhile: nobody waits for it.
            return;
        };
        match play {
            Ok(play) => {
                let play = RoomPlay {
                    place,
                    ..RoomPlay::new(play)
                };
                self.command_bridge(number, |id| Command::PlayRoom(id, Box::new(play)));
                if loaded.paused {
                    let pause = PlayControl::Pause;
                    self.command_bridge(number, |id| Command::ControlPlayRoom(id, place, pause));
                }
            }
            Err(error) => {
                let failed = Happened::PlayEnded(id, PlayOutcome::Failed(error), Duration::ZERO);
                self.play_over(number, place, &failed, now);
            }
        }
    }

    /// The file of a bridge's recording is open.
    pub(super) fn bridge_record_ready(&mut self, mut recording: Box<RoomRecording>) {
        let number = recording.recording();
        let bridge = self.bridges.recordings.get(&number).copied();
        let kept = bridge.and_then(|bridge| self.bridges.all.get_mut(&bridge));
        let kept = kept.and_then(|bridge| bridge.recording.as_mut());
        match (bridge, kept.filter(|kept| kept.number == number)) {
            (Some(bridge), Some(kept)) if !kept.stop => {
                kept.running = true;
                if let Some(control) = kept.control {
                    recording.control(control);
                }
                self.command_bridge(bridge, |id| Command::RecordRoom(id, recording));
            }
            _ => self.bridge_recorded(&recording, None),
        }
    }

    /// A bridge's recording has ended. Whether it is one.
    pub(super) fn bridge_recorded(&mut self, recording: &RoomRecording, reason: Option<TapStop>) {
        let number = recording.recording();
        let Some(bridge) = self.bridges.recordings.remove(&number) else {
            return;
        };
        let samples = recording.end_position();
        self.outputs.push_back(Output::CloseRecording {
            recording: number,
            samples,
        });
        let outcome = match reason {
            Some(TapStop::Silence) => RecordOutcome::Silence,
            Some(TapStop::MaxLength) => RecordOutcome::MaxLength,
            None => RecordOutcome::Stopped,
        };
        let kept = self.bridges.all.get_mut(&bridge);
        let kept = kept.and_then(|bridge| bridge.recording.take());
        let (whose, length) = (Whose::Bridge(bridge), recording.length());
        self.record_over(whose, kept, number, (outcome, length));
    }

    /// Something happened to what a bridge records.
    pub(super) fn recorder_of_bridge(
        &mut self,
        bridge: BridgeNumber,
        happened: &Happened,
        now: Instant,
    ) {
        self.happened_in_bridge(bridge, RECORDER, happened, now);
    }

    fn recording_over(
        &mut self,
        bridge: BridgeNumber,
        number: u64,
        outcome: RecordOutcome,
        length: Duration,
        now: Instant,
    ) {
        if let Some(kept) = self.bridges.all.get_mut(&bridge)
            && kept.recording.is_some_and(|kept| kept.number == number)
        {
            kept.recording = None;
            let ended = Happened::RecordEnded(outcome, length);
            self.happened_in_bridge(bridge, RECORDER, &ended, now);
        }
    }

    /// A recording could not start or go on. Whether it is a bridge's.
    pub(super) fn bridge_recording_failed(
        &mut self,
        number: u64,
        error: &str,
        now: Instant,
    ) -> bool {
        // Its tap's own end, which may follow, is nobody's business any more.
        let Some(bridge) = self.bridges.recordings.remove(&number) else {
            return false;
        };
        let running = self.bridges.all.get(&bridge).and_then(|b| b.recording);
        if running.is_some_and(|r| r.number == number && r.running) {
            self.command_bridge(bridge, Command::StopRecordRoom);
        }
        let outcome = RecordOutcome::Failed(error.to_owned());
        self.recording_over(bridge, number, outcome, Duration::ZERO, now);
        true
    }

    /// What a bridge or a room plays has ended.
    pub(super) fn bridge_played(
        &mut self,
        (worker, id): (usize, BridgeId),
        play: &RoomPlay,
        end: PlayEnd,
        now: Instant,
    ) {
        let outcome = outcome(end.reason);
        if self.room_played((worker, id), play, outcome.clone(), end, now) {
            return;
        }
        let Some(&number) = self.bridges.ids.get(&(worker, id)) else {
            return;
        };
        let length = Duration::from_micros(end.samples * 125);
        let Some(id) = play.play.as_ref().map(|play| PlayId(play.id as u32)) else {
            return;
        };
        let ended = Happened::PlayEnded(id, outcome, length);
        self.play_over(number, play.place, &ended, now);
    }

    /// A play of a bridge has ended; where it has failed, not only its program is told.
    fn play_over(&mut self, number: BridgeNumber, place: u8, ended: &Happened, now: Instant) {
        if let Happened::PlayEnded(_, PlayOutcome::Failed(error), _) = ended {
            let event = Event::BridgePlayFailed {
                bridge: number,
                error: error.clone(),
            };
            self.outputs.push_back(Output::Event(event));
        }
        self.happened_in_bridge(number, place, ended, now);
    }
}
