//! What rooms play to all who are in them, and who talks there, as their mixers tell.
//!
//! ```text
//! RoomOutput::Play --> files at the edge --> Input::BridgePlayReady --> Room::play_ready --> PlayRoom
//! RoomPlayEnded --> Room::play_ended | Talkers --> Room::talkers, and the box goes back
//! ```

use std::time::{Duration, Instant};

use super::bridge_media::play_control;
use super::{BridgePlay, Event, Output, Player, Switch};
use crate::app::room::Ducking;
use crate::app::{PlayId, PlayItem, PlayOutcome};
use crate::audio::player::{PlayControl, PlayEnd, PlayEndReason};
use crate::bridge::{self, RoomPlay};
use crate::call::CallHandle;
use crate::leg::player::Play;
use crate::room::{PlayOrder, Room, RoomError, RoomOutput, Talking, WantedPlay};
use crate::worker::{BridgeId, Command, Talkers};

/// Where a room is mixed.
type Mixer = (usize, BridgeId);

impl Switch {
    /// Has a room play something.
    pub fn play_in_room(
        &mut self,
        room: &str,
        order: PlayOrder,
        now: Instant,
    ) -> Result<PlayId, RoomError> {
        self.with_room(room, now, |room| room.play(order))
    }

    /// Pauses what a room plays, or lets it go on.
    pub fn pause_room_play(
        &mut self,
        room: &str,
        play: PlayId,
        on: bool,
        now: Instant,
    ) -> Result<(), RoomError> {
        self.with_room(room, now, |room| room.pause_play(play, on))
    }

    /// Stops what a room plays, or has it not begin.
    pub fn stop_room_play(
        &mut self,
        room: &str,
        play: PlayId,
        now: Instant,
    ) -> Result<(), RoomError> {
        self.with_room(room, now, |room| room.stop_play(play))
    }

    /// What a room lets members hear that are on hold.
    pub fn hold_music(&self, room: &str) -> &[PlayItem] {
        let room = self.rooms.get(room);
        room.map_or(&[], |room| room.settings().hold_music.as_slice())
    }

    fn with_room<T>(
        &mut self,
        name: &str,
        now: Instant,
        change: impl FnOnce(&mut Room) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        let room = self.rooms.get_mut(name);
        let result = change(room.ok_or_else(|| RoomError::NoRoom(name.to_owned()))?);
        self.pump_room(name, now);
        self.settle(now);
        result
    }

    /// Whether it is told who talks in rooms, in [`Event::Talkers`]; else only where a room's settings
    /// say so.
    pub fn watch_talkers(&mut self, on: bool) {
        if std::mem::replace(&mut self.talkers_wanted, on) == on {
            return;
        }
        let mut names: Vec<String> = self.rooms.keys().cloned().collect();
        // One seed is one run: not in the map's own order.
        names.sort_unstable();
        for name in names {
            self.follow_talk(&name);
        }
    }

    fn follow_talk(&mut self, name: &str) {
        let wanted = self.talkers_wanted;
        let Some(room) = self.rooms.get_mut(name) else {
            return;
        };
        let on = wanted || room.watches_talkers();
        if room.follow_talk(on) {
            let (worker, id) = (room.worker, room.bridge);
            let command = Command::WatchTalkers(id, on.then(Talkers::new));
            self.outputs.push_back(Output::Media { worker, command });
        }
    }

    /// A room's bridge is being made.
    pub(super) fn mixer_begins(&mut self, name: &str, mixer: Mixer) {
        self.mixers.insert(mixer, name.to_owned());
        self.follow_talk(name);
    }

    /// Something about what a room plays.
    pub(super) fn play_output(&mut self, name: &str, output: RoomOutput) {
        let Some(room) = self.rooms.get(name) else {
            return;
        };
        let (worker, id) = (room.worker, room.bridge);
        let command = match output {
            RoomOutput::Play(WantedPlay {
                place,
                id: play,
                items,
                repeat,
            }) => {
                self.outputs.push_back(Output::PlayInBridge(BridgePlay {
                    player: Player::Room(worker, id),
                    place,
                    id: play,
                    items,
                    repeat,
                }));
                return;
            }
            RoomOutput::ControlPlay(place, change) => {
                Command::ControlPlayRoom(id, place, play_control(change))
            }
            RoomOutput::StopPlay(place) => Command::StopPlayRoom(id, place),
            _ => return,
        };
        self.outputs.push_back(Output::Media { worker, command });
    }

    /// What a room is to play is there, or why it is not.
    pub(super) fn room_play_ready(
        &mut self,
        (worker, id): Mixer,
        (place, play_id): (u8, PlayId),
        found: Result<Box<Play>, String>,
        now: Instant,
    ) {
        // A room that has ended meanwhile has taken its bridge along.
        let Some(name) = self.mixers.get(&(worker, id)).cloned() else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        match found {
            Ok(play) => {
                if let Some(heard) = room.play_ready(place, play_id) {
                    let play = Box::new(RoomPlay {
                        place,
                        voice: heard.voice,
                        ducking: ducking(heard.ducking),
                        ..RoomPlay::new(play)
                    });
                    let command = Command::PlayRoom(id, play);
                    self.outputs.push_back(Output::Media { worker, command });
                    if heard.paused {
                        let command = Command::ControlPlayRoom(id, place, PlayControl::Pause);
                        self.outputs.push_back(Output::Media { worker, command });
                    }
                }
            }
            Err(error) => {
                let failed = PlayOutcome::Failed(error);
                room.play_ended(place, play_id, failed, Duration::ZERO);
            }
        }
        self.pump_room(&name, now);
    }

    /// What a room plays has ended. Whether it is a room's.
    pub(super) fn room_played(
        &mut self,
        mixer: Mixer,
        play: &RoomPlay,
        outcome: PlayOutcome,
        end: PlayEnd,
        now: Instant,
    ) -> bool {
        let Some(name) = self.mixers.get(&mixer).cloned() else {
            return false;
        };
        let id = play.play.as_ref().map(|play| PlayId(play.id as u32));
        if let (Some(id), Some(room)) = (id, self.rooms.get_mut(&name)) {
            let heard = Duration::from_micros(end.samples * 125);
            room.play_ended(play.place, id, outcome, heard);
        }
        self.pump_room(&name, now);
        true
    }

    /// Who talks in a room.
    pub(super) fn talkers(&mut self, mixer: Mixer, told: Box<Talkers>) {
        let (worker, id) = mixer;
        let room = self.mixers.get(&mixer);
        let Some(room) = room.and_then(|name| self.rooms.get_mut(name)) else {
            return;
        };
        let legs = &self.legs;
        let call = |leg| -> Option<CallHandle> { legs.get(&(worker, leg)).copied() };
        let talkers = told.talkers.iter().filter_map(|talker| {
            Some(Talking {
                call: call(talker.leg)?,
                level_dbov: talker.level_dbov,
                talked: Duration::from_millis(talker.talked_ms.into()),
            })
        });
        let talkers: Vec<Talking> = talkers.collect();
        let dominant = told.dominant.and_then(call);
        let news = room.talkers(&talkers, (told.talking, dominant));
        if room.talk().is_some() {
            // The next, in 100 ms at the earliest.
            let command = Command::WatchTalkers(id, Some(told));
            self.outputs.push_back(Output::Media { worker, command });
        }
        if let Some(news) = news {
            let event = Event::Talkers(Box::new(news));
            self.outputs.push_back(Output::Event(event));
        }
    }
}

/// How a play has ended, as the media plane tells.
pub(super) fn outcome(reason: PlayEndReason) -> PlayOutcome {
    match reason {
        PlayEndReason::Finished => PlayOutcome::Finished,
        PlayEndReason::Failed => PlayOutcome::Failed("a file could not be read on".to_owned()),
        PlayEndReason::Stopped | PlayEndReason::Replaced => PlayOutcome::Stopped,
    }
}

/// The same as the bridge has it.
fn ducking(ducking: Ducking) -> bridge::Ducking {
    match ducking {
        Ducking::Off | Ducking::Play(0) | Ducking::Speech(0) => bridge::Ducking::None,
        Ducking::Play(db) => bridge::Ducking::Play(db.into()),
        Ducking::Speech(db) => bridge::Ducking::Talkers(db.into()),
    }
}
