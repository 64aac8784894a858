//! What a room plays: announcements of its own and what programs want, to all who are in it, one
//! thing after the other; and to single members, whose applications do it.
//!
//! ```text
//! announce, play --> Waiting (bounded) --> Loading --play_ready--> Playing <--> Paused
//!                                             '--------- play_ended -----'--> the next
//! ```
//!
//! The bridge has a place for each of announcements, plays and background. Who is not to hear an
//! announcement is in an ear class of its own for as long as that lasts.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Room, RoomChange, RoomError, RoomOutput, TONE_LENGTH, TONE_LEVEL};
use crate::app::room::{Ducking, MemberPlay, RoomNews};
use crate::app::{PlayChange, PlayId, PlayItem, PlayOutcome};
use crate::call::CallHandle;

/// Announcements that wait; the oldest makes room.
const MAX_ANNOUNCEMENTS: usize = 8;
/// Plays of programs that a room has at once, the one that is heard included.
pub const MAX_PLAYS: usize = 16;
/// Those that one member has, besides.
pub const MAX_MEMBER_PLAYS: usize = 4;
/// Those that all members of a room have.
pub const MAX_PLAYS_TO_MEMBERS: usize = 64;

/// Places in the bridge's mix.
const ANNOUNCEMENTS: u8 = 0;
const PLAYS: u8 = 1;
const BACKGROUND: u8 = 2;

/// For whom something is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All who are in, one play after the other.
    All,
    /// All who are in, beneath everything else.
    Background,
    /// One member, also where it waits.
    Member(CallHandle),
}

/// Something that a program has a room play.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayOrder {
    /// What is heard.
    pub items: Vec<PlayItem>,
    /// How often; 0: until stopped.
    pub repeat: u32,
    /// For whom.
    pub to: Audience,
    /// Who makes way; none: as the room has it. To one member nobody does.
    pub ducking: Option<Ducking>,
}

/// How far a play is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayPhase {
    /// Others come first.
    Waiting,
    /// It is being looked for.
    Loading,
    /// It is heard.
    Playing,
    /// It will be heard on.
    Paused,
}

/// A play of a program's.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayState {
    /// Its name: no other play of the room has or had it.
    pub id: PlayId,
    /// What it is; its ducking is that which holds.
    pub order: PlayOrder,
    /// How far it is.
    pub phase: PlayPhase,
}

/// What the bridge is to play, once it has been found.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedPlay {
    /// Its place in the mix.
    pub place: u8,
    /// Which.
    pub id: PlayId,
    /// What is heard.
    pub items: Vec<PlayItem>,
    /// How often; 0: until stopped.
    pub repeat: u32,
}

/// How the bridge is to play what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The ear classes that hear it.
    pub voice: u32,
    /// Who makes way.
    pub ducking: Ducking,
    /// It is paused before it begins.
    pub paused: bool,
}

/// One play.
#[derive(Clone, Debug)]
struct Play {
    state: PlayState,
    /// Who does not hear it, in the mix as it is.
    except: Option<CallHandle>,
    /// Paused while it was being looked for.
    paused: bool,
}

/// All plays of a room. The first of a place is the one that is looked for or heard.
#[derive(Debug, Default)]
pub(super) struct Plays {
    last: u32,
    places: [VecDeque<Play>; 3],
    /// The members' own: their applications say how far those are.
    members: Vec<PlayState>,
}

impl Plays {
    fn next_id(&mut self) -> PlayId {
        self.last = self.last.wrapping_add(1);
        PlayId(self.last)
    }

    /// Those of programs, in the order in which they were ordered.
    pub fn states(&self) -> Vec<PlayState> {
        let [_, plays, background] = &self.places;
        let heard = plays.iter().chain(background).map(|play| &play.state);
        let mut all: Vec<PlayState> = heard.chain(&self.members).cloned().collect();
        all.sort_by_key(|state| state.id.0);
        all
    }

    fn place_of(&self, id: PlayId) -> Option<u8> {
        let has = |place: &u8| {
            self.places[usize::from(*place)]
                .iter()
                .any(|p| p.state.id == id)
        };
        [PLAYS, BACKGROUND].into_iter().find(has)
    }

    fn first(&mut self, place: u8) -> Option<&mut Play> {
        self.places.get_mut(usize::from(place))?.front_mut()
    }
}

impl Room {
    /// Plays something, or has it wait for its turn.
    pub fn play(&mut self, mut order: PlayOrder) -> Result<PlayId, RoomError> {
        let usual = match order.to {
            Audience::All => self.settings.ducking,
            Audience::Background => self.settings.background_ducking,
            Audience::Member(_) => Ducking::Off,
        };
        order.ducking = Some(order.ducking.unwrap_or(usual));
        let of = |place: u8| self.plays.places[usize::from(place)].len();
        match order.to {
            Audience::All if of(PLAYS) >= MAX_PLAYS => return Err(RoomError::TooManyPlays),
            Audience::Background if of(BACKGROUND) > 0 => return Err(RoomError::Background),
            Audience::All | Audience::Background => {}
            Audience::Member(call) => return self.play_to(call, order),
        }
        let place = match order.to {
            Audience::Background => BACKGROUND,
            _ => PLAYS,
        };
        let id = self.plays.next_id();
        self.enqueue(place, id, order, None);
        Ok(id)
    }

    fn play_to(&mut self, call: CallHandle, order: PlayOrder) -> Result<PlayId, RoomError> {
        if !self.members.contains_key(&call) {
            return Err(RoomError::NoMember(call));
        }
        let to = Audience::Member(call);
        let own = self.plays.members.iter().filter(|p| p.order.to == to);
        let (own, all) = (own.count(), self.plays.members.len());
        if own >= MAX_MEMBER_PLAYS || all >= MAX_PLAYS_TO_MEMBERS {
            return Err(RoomError::TooManyPlaysTo(call));
        }
        let id = self.plays.next_id();
        let play = MemberPlay {
            id,
            items: order.items.clone(),
            repeat: order.repeat,
        };
        let phase = PlayPhase::Waiting;
        self.plays.members.push(PlayState { id, order, phase });
        self.tell(call, RoomNews::Play(Box::new(play)));
        Ok(id)
    }

    /// Pauses a play, or lets it go on.
    pub fn pause_play(&mut self, id: PlayId, on: bool) -> Result<(), RoomError> {
        let (from, to, change) = if on {
            (PlayPhase::Playing, PlayPhase::Paused, PlayChange::Pause)
        } else {
            (PlayPhase::Paused, PlayPhase::Playing, PlayChange::Resume)
        };
        if let Some(state) = self.plays.members.iter_mut().find(|p| p.id == id) {
            match (state.phase, state.order.to) {
                (PlayPhase::Waiting, _) => return Err(RoomError::NotPlaying(id)),
                // Its application keeps it in mind until it is there.
                (PlayPhase::Loading, Audience::Member(call)) => {
                    self.tell(call, RoomNews::ControlPlay(id, change));
                }
                (phase, Audience::Member(call)) if phase == from => {
                    state.phase = to;
                    self.tell(call, RoomNews::ControlPlay(id, change));
                }
                _ => {}
            }
            return Ok(());
        }
        let place = self.plays.place_of(id).ok_or(RoomError::NoPlay(id))?;
        let first = self.plays.first(place).filter(|play| play.state.id == id);
        let play = first.ok_or(RoomError::NotPlaying(id))?;
        if play.state.phase == PlayPhase::Loading {
            play.paused = on;
        } else if play.state.phase == from {
            play.state.phase = to;
            self.outputs
                .push_back(RoomOutput::ControlPlay(place, change));
        }
        Ok(())
    }

    /// Stops a play, or has it not begin.
    pub fn stop_play(&mut self, id: PlayId) -> Result<(), RoomError> {
        if let Some(state) = self.plays.members.iter().find(|p| p.id == id) {
            if let Audience::Member(call) = state.order.to {
                self.tell(call, RoomNews::StopPlay(id));
            }
            return Ok(());
        }
        let place = self.plays.place_of(id).ok_or(RoomError::NoPlay(id))?;
        let first = self
            .plays
            .first(place)
            .map(|play| (play.state.id, play.state.phase));
        match first {
            // Its end is told by the media.
            Some((first, PlayPhase::Playing | PlayPhase::Paused)) if first == id => {
                self.outputs.push_back(RoomOutput::StopPlay(place));
            }
            Some((first, _)) if first == id => {
                self.play_ended(place, id, PlayOutcome::Stopped, Duration::ZERO);
            }
            _ => {
                self.plays.places[usize::from(place)].retain(|play| play.state.id != id);
                self.tell_play_ended(id, PlayOutcome::Stopped, Duration::ZERO);
            }
        }
        Ok(())
    }

    /// What was wanted is there: how the bridge is to play it; none: it is not wanted any more.
    pub fn play_ready(&mut self, place: u8, id: PlayId) -> Option<Heard> {
        let play = self.plays.first(place)?;
        if play.state.id != id || play.state.phase != PlayPhase::Loading {
            return None;
        }
        play.state.phase = if play.paused {
            PlayPhase::Paused
        } else {
            PlayPhase::Playing
        };
        let (paused, except, state) = (play.paused, play.except, play.state.clone());
        let ducking = state.order.ducking.unwrap_or_default();
        let apart = except.map_or(0, |call| self.classes.of(call).0);
        if place != ANNOUNCEMENTS {
            self.tell_event(RoomChange::PlayBegan(Box::new(state)));
        }
        Some(Heard {
            voice: if apart > 0 { !(1 << apart) } else { u32::MAX },
            ducking,
            paused,
        })
    }

    /// What was heard at a place has ended, or could not be found: the next follows.
    pub fn play_ended(&mut self, place: u8, id: PlayId, outcome: PlayOutcome, length: Duration) {
        let first = self.plays.first(place).filter(|play| play.state.id == id);
        let Some(apart) = first.map(|play| play.except.is_some()) else {
            // Of a play that is over already.
            return;
        };
        self.plays.places[usize::from(place)].pop_front();
        if place != ANNOUNCEMENTS || matches!(outcome, PlayOutcome::Failed(_)) {
            self.tell_play_ended(id, outcome, length);
        }
        if apart {
            self.set_apart(None);
        }
        self.play_next(place);
    }

    /// A member's application tells how far a play is.
    pub(super) fn member_plays(&mut self, call: CallHandle, id: PlayId, phase: PlayPhase) {
        let to = Audience::Member(call);
        let mut all = self.plays.members.iter_mut();
        let Some(state) = all.find(|p| p.id == id && p.order.to == to) else {
            return;
        };
        state.phase = phase;
        if phase != PlayPhase::Loading {
            let state = Box::new(state.clone());
            self.tell_event(RoomChange::PlayBegan(state));
        }
    }

    /// The same: it is over.
    pub(super) fn member_played(
        &mut self,
        call: CallHandle,
        id: PlayId,
        outcome: PlayOutcome,
        length: Duration,
    ) {
        let to = Audience::Member(call);
        let before = self.plays.members.len();
        self.plays
            .members
            .retain(|p| p.id != id || p.order.to != to);
        if self.plays.members.len() < before {
            self.tell_play_ended(id, outcome, length);
        }
    }

    /// What was played to a member alone ends with its membership.
    pub(super) fn forget_plays(&mut self, call: CallHandle) {
        let of = |p: &PlayState| p.order.to == Audience::Member(call);
        let gone: Vec<PlayId> = self
            .plays
            .members
            .iter()
            .filter(|p| of(p))
            .map(|p| p.id)
            .collect();
        for id in gone {
            self.member_played(call, id, PlayOutcome::Stopped, Duration::ZERO);
        }
    }

    /// Everything that plays ends with the room.
    pub(super) fn end_plays(&mut self) {
        for state in self.plays.states() {
            self.tell_play_ended(state.id, PlayOutcome::Stopped, Duration::ZERO);
        }
        self.plays = Plays {
            last: self.plays.last,
            ..Plays::default()
        };
    }

    /// Tells all who are in that somebody comes or goes, but for one.
    pub(super) fn announce(
        &mut self,
        hz: &[f32],
        name: Option<u64>,
        said: &str,
        except: Option<CallHandle>,
    ) {
        let mut items = Vec::new();
        if self.settings.tones {
            items.extend(hz.iter().map(|&hz| PlayItem::Tone {
                hz,
                level_dbm0: TONE_LEVEL,
                length: TONE_LENGTH,
            }));
        }
        if let Some(name) = name {
            items.extend([PlayItem::Recording(name), PlayItem::Prompt(said.to_owned())]);
        }
        let others = self.inside > usize::from(except.is_some());
        if !items.is_empty() && others {
            self.say_once(items, except);
        }
    }

    pub(super) fn say_to_all(&mut self, prompt: &str) {
        if self.inside > 0 {
            self.say_once(vec![PlayItem::Prompt(prompt.to_owned())], None);
        }
    }

    /// An announcement to all who are in, but for one.
    pub(super) fn say_once(&mut self, items: Vec<PlayItem>, except: Option<CallHandle>) {
        let waiting = &mut self.plays.places[usize::from(ANNOUNCEMENTS)];
        if waiting.len() > MAX_ANNOUNCEMENTS {
            // Behind the one that is heard.
            waiting.remove(1);
        }
        // Nobody needs to be quiet for a short tone.
        let tones = items
            .iter()
            .all(|item| matches!(item, PlayItem::Tone { .. }));
        let ducking = if tones {
            Ducking::Off
        } else {
            self.settings.ducking
        };
        let order = PlayOrder {
            items,
            repeat: 1,
            to: Audience::All,
            ducking: Some(ducking),
        };
        let id = self.plays.next_id();
        self.enqueue(ANNOUNCEMENTS, id, order, except);
    }

    fn enqueue(&mut self, place: u8, id: PlayId, order: PlayOrder, except: Option<CallHandle>) {
        let state = PlayState {
            id,
            order,
            phase: PlayPhase::Waiting,
        };
        let waiting = &mut self.plays.places[usize::from(place)];
        waiting.push_back(Play {
            state,
            except,
            paused: false,
        });
        self.play_next(place);
    }

    /// Looks for what is first at a place, where nothing is under way there.
    fn play_next(&mut self, place: u8) {
        while let Some(play) = self.plays.first(place) {
            if play.state.phase != PlayPhase::Waiting {
                return;
            }
            play.state.phase = PlayPhase::Loading;
            let (except, id) = (play.except, play.state.id);
            let PlayOrder { items, repeat, .. } = play.state.order.clone();
            // Whom the mix cannot leave out makes it an affair of each leg.
            let mixed = except.is_none_or(|call| self.set_apart(Some(call)));
            if place == ANNOUNCEMENTS {
                self.say_to_each(&items, except, !mixed);
            }
            if mixed {
                let wanted = WantedPlay {
                    place,
                    id,
                    items,
                    repeat,
                };
                self.outputs.push_back(RoomOutput::Play(wanted));
                return;
            }
            self.plays.places[usize::from(place)].pop_front();
        }
    }

    /// Says an announcement by the members' own legs: to all, or to those whom the mix does not reach.
    fn say_to_each(&mut self, items: &[PlayItem], except: Option<CallHandle>, all: bool) {
        let reached = |m: &super::Member| m.told.ears.is_some();
        let inside = self.members.iter().filter(|(_, m)| !m.state.waiting);
        let missed = inside.filter(|(call, m)| Some(**call) != except && (all || !reached(m)));
        let missed: Vec<CallHandle> = missed.map(|(call, _)| *call).collect();
        for call in missed {
            self.tell(call, RoomNews::Say(items.to_vec()));
        }
    }

    /// Gives a member an ear class of its own, or nobody any longer. Whether there was one left.
    fn set_apart(&mut self, member: Option<CallHandle>) -> bool {
        let member = member.filter(|call| self.members.contains_key(call));
        if self.table.set_apart(member) && self.classify().is_err() {
            self.table.set_apart(None);
            // As it was before.
            let _ = self.classify();
            return false;
        }
        true
    }

    fn tell_play_ended(&mut self, id: PlayId, outcome: PlayOutcome, heard: Duration) {
        self.tell_event(RoomChange::PlayEnded { id, outcome, heard });
    }
}
