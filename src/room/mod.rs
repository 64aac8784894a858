//! A conference room: who is in it, in what state, and what follows from that.
//!
//! Sans-IO and without media: the switch tells what calls and programs want, carries out what the
//! room says, and passes on its events.
//!
//! ```text
//! expect --> arrive: refused | waits --admitted--.
//!                        '--------------------> in --leaves, is kicked or moved, the room ends--> gone
//! ```

mod control;
mod event;
mod hearing;
mod member;
mod operation;
mod plays;
mod recording;
mod relations;
mod talk;

pub use event::{EndCause, LeaveReason, RoomChange, RoomEvent, Roster};
pub use member::MemberState;
pub use operation::{RecordOrder, RoomError, RoomOperation};
pub use plays::{
    Audience, Heard, MAX_MEMBER_PLAYS, MAX_PLAYS, MAX_PLAYS_TO_MEMBERS, PlayOrder, PlayPhase,
    PlayState, WantedPlay,
};
pub use relations::{MAX_CLASSES, Relations, Scope, hears};
pub use talk::{MemberTalk, RoomTalk, Talking};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::room::{Entrant, Refusal, Role, RoomNews, RoomSettings};
use crate::app::{PlayChange, PlayItem};
use crate::call::CallHandle;
use crate::worker::BridgeId;
use hearing::hearing;
use member::Member;
use plays::Plays;
use relations::{Classes, Table};

/// What a member's gains may be, dB.
pub const GAIN_DB: RangeInclusive<i8> = -24..=24;
/// The longest name of a side conversation, bytes.
const MAX_GROUP: usize = 64;

/// Tones for those who are in: somebody comes, somebody goes.
const JOIN_HZ: [f32; 2] = [660.0, 880.0];
const LEAVE_HZ: [f32; 2] = [880.0, 660.0];
const TONE_LEVEL: f32 = -20.0;
const TONE_LENGTH: Duration = Duration::from_millis(120);

/// How the bridge has a member: which classes hear it, and by which it hears; none: it hears
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// A bit for each class that hears the member.
    pub voice: u32,
    /// The class that it hears by.
    pub ears: Option<u8>,
}

/// What the switch is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomOutput {
    /// The bridge needs memory for so many classes, before anything else.
    Classes(usize),
    /// A member goes into the mix.
    Enter(CallHandle, Hearing),
    /// A member of the mix hears and is heard otherwise.
    Port(CallHandle, Hearing),
    /// A call is of this room no longer; it leaves the mix, unless it goes to another.
    Withdraw {
        /// Which.
        call: CallHandle,
        /// Another room follows.
        moved: bool,
    },
    /// What a member says and hears is as much louder, dB.
    Gain(CallHandle, i8, i8),
    /// News for a member.
    Tell(CallHandle, RoomNews),
    /// This member is alone.
    Alone(CallHandle),
    /// This member was alone and has company now.
    Company(CallHandle),
    /// The bridge is to play this, as soon as it is found.
    Play(WantedPlay),
    /// What the bridge plays at this place is paused, or goes on.
    ControlPlay(u8, PlayChange),
    /// It stops.
    StopPlay(u8),
    /// Somebody is to be called and asked to join, as this member wants it.
    Dial(String, CallHandle),
    /// A recording is to begin, or to end.
    Record(bool),
    /// The recording that it is to have from its start on is to begin.
    RecordFirst,
    /// For whoever wants to know.
    Event(RoomEvent),
}

/// All that is known of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomState {
    /// Its name.
    pub name: String,
    /// Since when it exists.
    pub created: Instant,
    /// Only moderators may come.
    pub locked: bool,
    /// It is being recorded.
    pub recorded: bool,
    /// The most members.
    pub max_members: usize,
    /// When it has had its time.
    pub ends_at: Option<Instant>,
    /// Who is in it or waits, in the order of calls.
    pub members: Vec<MemberState>,
    /// What programs play in it, in the order in which they wanted it.
    pub plays: Vec<PlayState>,
    /// Who talks, where that is followed.
    pub talk: Option<RoomTalk>,
}

/// A conference room. It exists from the moment in which its first member's media opens until the
/// last has gone.
#[derive(Debug)]
pub struct Room {
    /// Its name: what the caller dialled.
    pub name: String,
    /// The worker that mixes it.
    pub worker: usize,
    /// Its bridge in there.
    pub bridge: BridgeId,
    /// When the switch will wake it.
    pub wake: Option<Instant>,
    settings: Arc<RoomSettings>,
    /// The most members.
    pub max_members: usize,
    members: BTreeMap<CallHandle, Member>,
    /// Calls on their way in: the media is open, the ACK is not there yet.
    coming: BTreeSet<CallHandle>,
    /// Who is in the mix.
    inside: usize,
    next_number: u64,
    locked: bool,
    recorded: bool,
    /// A recording is to begin with the first member.
    records_first: bool,
    table: Table,
    classes: Classes,
    /// Those that the bridge has memory for.
    provided: usize,
    created: Instant,
    warns_at: Option<Instant>,
    ends_at: Option<Instant>,
    /// Without a moderator it ends then.
    abandoned_at: Option<Instant>,
    /// Who was told that it is alone.
    lone: Option<CallHandle>,
    plays: Plays,
    talk: Option<RoomTalk>,
    over: bool,
    events: u64,
    outputs: VecDeque<RoomOutput>,
}

impl Room {
    /// An empty room.
    pub fn new(
        name: String,
        (worker, bridge): (usize, BridgeId),
        settings: Arc<RoomSettings>,
        max_members: usize,
        now: Instant,
    ) -> Self {
        let ends_at = settings.max_length.map(|length| now + length);
        let warning = settings.warning;
        let before_end = settings.max_length.and_then(|l| l.checked_sub(warning));
        let before_end = before_end.filter(|time| !warning.is_zero() && !time.is_zero());
        let warns_at = before_end.map(|time| now + time);
        let mut room = Self {
            name,
            worker,
            bridge,
            wake: None,
            max_members,
            members: BTreeMap::new(),
            coming: BTreeSet::new(),
            inside: 0,
            next_number: 0,
            locked: settings.locked,
            recorded: false,
            records_first: settings.record,
            table: Table::default(),
            classes: Classes::default(),
            provided: 1,
            created: now,
            warns_at,
            ends_at,
            abandoned_at: None,
            lone: None,
            plays: Plays::default(),
            talk: None,
            over: false,
            events: 0,
            outputs: VecDeque::new(),
            settings,
        };
        room.tell_event(RoomChange::Created);
        if room.locked {
            room.tell_event(RoomChange::Locked(true));
        }
        room
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<RoomOutput> {
        self.outputs.pop_front()
    }

    /// When [`Room::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.warns_at, self.ends_at, self.abandoned_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// The time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.ends_at) {
            return self.end(EndCause::TimeLimit);
        }
        if due(self.abandoned_at) {
            return self.end(EndCause::NoModerator);
        }
        if due(self.warns_at) {
            self.warns_at = None;
            self.warn(self.settings.warning, EndCause::TimeLimit);
        }
    }

    /// Whether one more may come.
    pub fn has_room(&self) -> bool {
        self.members.len() + self.coming.len() < self.max_members
    }

    /// What it is like.
    pub fn settings(&self) -> &Arc<RoomSettings> {
        &self.settings
    }

    /// Who is in the mix.
    pub fn inside(&self) -> impl Iterator<Item = CallHandle> + '_ {
        let inside = |(&call, m): (&CallHandle, &Member)| (!m.state.waiting).then_some(call);
        self.members.iter().filter_map(inside)
    }

    /// Who is in or waits, in the order in which they came in; who waits comes last.
    pub fn members(&self) -> Vec<CallHandle> {
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by_key(|m| (m.state.waiting, m.number));
        members.into_iter().map(|m| m.state.call).collect()
    }

    /// How many are in or wait.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// A member.
    pub fn member(&self, call: CallHandle) -> Option<&MemberState> {
        self.members.get(&call).map(|m| &m.state)
    }

    /// All that is known of it.
    pub fn state(&self) -> RoomState {
        RoomState {
            name: self.name.clone(),
            created: self.created,
            locked: self.locked,
            recorded: self.recorded,
            max_members: self.max_members,
            ends_at: self.ends_at,
            members: self.members.values().map(|m| m.state.clone()).collect(),
            plays: self.plays.states(),
            talk: self.talk.clone(),
        }
    }

    /// Whether nobody is in or on the way.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.coming.is_empty()
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Keeps a place for a call whose media is opening or on its way. Whether it has one.
    pub fn expect(&mut self, call: CallHandle) -> bool {
        if self.members.contains_key(&call) || self.coming.contains(&call) {
            return true;
        }
        let has_room = self.has_room() && !self.over;
        if has_room {
            self.coming.insert(call);
        }
        has_room
    }

    /// A call is there: it is let in, waits, or is turned away.
    pub fn arrive(&mut self, call: CallHandle, party: &str, entrant: &Entrant, now: Instant) {
        self.coming.remove(&call);
        if self.over || self.members.contains_key(&call) {
            return;
        }
        let leads = entrant.role == Role::Moderator;
        let passes = leads || entrant.invited;
        if self.locked && !passes {
            self.withdraw(call);
            self.tell(call, RoomNews::Refused(Refusal::Locked));
            self.end_if_empty();
            return;
        }
        let waiting = self.settings.wait_for_moderator && !passes && !self.has_moderator();
        let state = MemberState {
            call,
            party: party.to_owned(),
            role: entrant.role,
            waiting,
            muted: self.settings.start_muted && !leads,
            muted_by_moderator: false,
            deaf: false,
            on_hold: false,
            hand_raised: false,
            gain_in_db: 0,
            gain_out_db: 0,
            relations: Relations::default(),
            name: entrant.name,
            since: now,
        };
        let told = Hearing {
            voice: 0,
            ears: None,
        };
        let member = Member {
            state: state.clone(),
            number: 0,
            told,
        };
        self.members.insert(call, member);
        if waiting {
            self.tell_event(RoomChange::Waiting(Box::new(state)));
            self.tell(call, RoomNews::Waiting);
        } else {
            self.enter(call, now);
        }
        if leads {
            self.moderator_came(now);
        }
    }

    /// A call goes by itself, or never came.
    pub fn leave(&mut self, call: CallHandle, now: Instant) {
        if self.coming.remove(&call) {
            self.end_if_empty();
        } else {
            self.remove(call, LeaveReason::Left, now);
        }
    }

    /// A call goes.
    fn remove(&mut self, call: CallHandle, reason: LeaveReason, now: Instant) {
        let Some(member) = self.members.remove(&call) else {
            return;
        };
        let state = member.state;
        self.forget_plays(call);
        let talked = self.forget_talk(call);
        self.tell_event(RoomChange::Left {
            call,
            party: state.party,
            reason,
            talked,
        });
        if !state.waiting {
            self.inside -= 1;
            self.announce(&LEAVE_HZ, state.name, "conf-left", None);
        }
        self.forget_relations(call);
        self.tell_who_is_alone();
        if state.role == Role::Moderator {
            self.moderator_left(now);
        }
        self.end_if_empty();
    }

    /// A member goes into the mix.
    fn enter(&mut self, call: CallHandle, now: Instant) {
        let classes = self.classes.of(call);
        self.next_number += 1;
        let Some(member) = self.members.get_mut(&call) else {
            return;
        };
        member.number = self.next_number;
        member.state.waiting = false;
        member.state.since = now;
        member.told = hearing(&member.state, classes);
        self.inside += 1;
        let (told, state) = (member.told, member.state.clone());
        self.outputs.push_back(RoomOutput::Enter(call, told));
        let news = RoomNews::Entered {
            members: self.inside,
            // Being on hold is told by its music.
            muted: state.muted || state.muted_by_moderator,
            recorded: self.recorded && self.settings.announce_recording,
        };
        let (name, on_hold) = (state.name, state.on_hold);
        self.tell_event(RoomChange::Joined(Box::new(state)));
        self.tell(call, news);
        if on_hold {
            self.tell(call, RoomNews::Held(true));
        }
        self.announce(&JOIN_HZ, name, "conf-joined", Some(call));
        self.tell_who_is_alone();
        self.record_first();
    }

    fn moderator_came(&mut self, now: Instant) {
        self.abandoned_at = None;
        self.admit_all(now);
    }

    fn admit_all(&mut self, now: Instant) {
        let waiting = |(&call, m): (&CallHandle, &Member)| m.state.waiting.then_some(call);
        let waiting: Vec<_> = self.members.iter().filter_map(waiting).collect();
        for call in waiting {
            self.enter(call, now);
        }
    }

    fn moderator_left(&mut self, now: Instant) {
        let Some(grace) = self.settings.end_without_moderator else {
            return;
        };
        if self.has_moderator() || self.inside == 0 {
            return;
        }
        if grace.is_zero() {
            return self.end(EndCause::NoModerator);
        }
        self.abandoned_at = Some(now + grace);
        self.warn(grace, EndCause::NoModerator);
    }

    fn has_moderator(&self) -> bool {
        let leads = |m: &Member| m.state.role == Role::Moderator && !m.state.waiting;
        self.members.values().any(leads)
    }

    fn warn(&mut self, after: Duration, cause: EndCause) {
        self.tell_event(RoomChange::Ending { after, cause });
        self.say_to_all("conf-ends-soon");
    }

    /// Everybody goes.
    fn end(&mut self, cause: EndCause) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.end_plays();
        let members = std::mem::take(&mut self.members);
        for (&call, member) in &members {
            self.withdraw(call);
            let talked = self.forget_talk(call);
            self.tell_event(RoomChange::Left {
                call,
                party: member.state.party.clone(),
                reason: LeaveReason::Ended,
                talked,
            });
        }
        let coming = std::mem::take(&mut self.coming);
        for &call in &coming {
            self.withdraw(call);
        }
        self.inside = 0;
        (self.warns_at, self.ends_at, self.abandoned_at) = (None, None, None);
        self.tell_event(RoomChange::Ended(cause));
        for &call in members.keys().chain(&coming) {
            self.tell(call, RoomNews::Ended);
        }
    }

    fn end_if_empty(&mut self) {
        if self.is_empty() {
            self.end(EndCause::Empty);
        }
    }

    fn tell_who_is_alone(&mut self) {
        let alone = (self.inside == 1).then(|| self.inside().next()).flatten();
        if alone == self.lone {
            return;
        }
        if let Some(lone) = std::mem::replace(&mut self.lone, alone)
            && self.members.contains_key(&lone)
        {
            self.outputs.push_back(RoomOutput::Company(lone));
        }
        if let Some(alone) = alone {
            self.outputs.push_back(RoomOutput::Alone(alone));
        }
    }

    fn say(&mut self, call: CallHandle, prompt: &str) {
        let items = vec![PlayItem::Prompt(prompt.to_owned())];
        self.tell(call, RoomNews::Say(items));
    }

    fn tell(&mut self, call: CallHandle, news: RoomNews) {
        self.outputs.push_back(RoomOutput::Tell(call, news));
    }

    fn withdraw(&mut self, call: CallHandle) {
        let moved = false;
        self.outputs.push_back(RoomOutput::Withdraw { call, moved });
    }

    /// Tells whoever wants to know.
    pub fn tell_event(&mut self, change: RoomChange) {
        self.events += 1;
        self.outputs.push_back(RoomOutput::Event(RoomEvent {
            room: self.name.clone(),
            number: self.events,
            change,
        }));
    }
}

#[cfg(test)]
mod tests;
