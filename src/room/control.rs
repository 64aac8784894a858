//! What members ask of their room by their keys, and programs by operations.

use std::time::{Duration, Instant};

use super::relations::Scope;
use super::{
    GAIN_DB, LeaveReason, MAX_GROUP, MemberState, PlayPhase, Relations, Room, RoomChange,
    RoomError, RoomOperation, RoomOutput, hearing,
};
use crate::app::conference_count;
use crate::app::room::{Role, RoomNews, RoomRequest, Toggle};
use crate::call::CallHandle;

impl Room {
    /// A member has pressed something. What it may ask for is its keypad's affair.
    pub fn request(&mut self, call: CallHandle, request: RoomRequest, now: Instant) {
        // Also of who waits.
        let request = match request {
            RoomRequest::PlayLoading(id) => {
                return self.member_plays(call, id, PlayPhase::Loading);
            }
            RoomRequest::PlayBegan { id, paused: true } => {
                return self.member_plays(call, id, PlayPhase::Paused);
            }
            RoomRequest::PlayBegan { id, paused: false } => {
                return self.member_plays(call, id, PlayPhase::Playing);
            }
            RoomRequest::PlayEnded(id, outcome, length) => {
                return self.member_played(call, id, outcome, length);
            }
            other => other,
        };
        let Some(state) = self.member(call).filter(|state| !state.waiting) else {
            return;
        };
        match request {
            RoomRequest::Mute(toggle) => self.mute_self(call, toggle),
            RoomRequest::Hand(toggle) => {
                let raised = toggle.of(state.hand_raised);
                self.change(call, |state| state.hand_raised = raised);
                let said = ["conf-hand-down", "conf-hand-up"][usize::from(raised)];
                self.say(call, said);
            }
            RoomRequest::Gain { hears, step_db } => {
                let (lowest, highest) = (*GAIN_DB.start(), *GAIN_DB.end());
                let step = |gain: &mut i8| {
                    *gain = gain.saturating_add(step_db).clamp(lowest, highest);
                };
                self.change(call, |state| {
                    step(if hears {
                        &mut state.gain_out_db
                    } else {
                        &mut state.gain_in_db
                    });
                });
            }
            RoomRequest::Count => {
                let items = conference_count(self.inside);
                self.tell(call, RoomNews::Say(items));
            }
            RoomRequest::Lock(toggle) => {
                let locked = toggle.of(self.locked);
                self.lock(locked);
                let said = ["conf-room-unlocked", "conf-room-locked"][usize::from(locked)];
                self.say(call, said);
            }
            RoomRequest::MuteAll(on) => {
                self.mute_all(on);
                let said = ["conf-all-unmuted", "conf-all-muted"][usize::from(on)];
                self.say(call, said);
            }
            RoomRequest::KickLast => {
                let last = self.members.iter().filter(|(other, m)| {
                    **other != call && !m.state.waiting && m.state.role == Role::Member
                });
                let last = last.max_by_key(|(_, m)| m.number).map(|(&other, _)| other);
                if let Some(last) = last {
                    self.kick(last, now);
                }
            }
            RoomRequest::Record(toggle) => {
                let on = toggle.of(self.recorded);
                self.tell_event(RoomChange::RecordingAsked { on, by: call });
                self.outputs.push_back(RoomOutput::Record(on));
            }
            RoomRequest::Dial(uri) => self.outputs.push_back(RoomOutput::Dial(uri, call)),
            RoomRequest::End => self.end(super::EndCause::Asked),
            RoomRequest::PlayLoading(_)
            | RoomRequest::PlayBegan { .. }
            | RoomRequest::PlayEnded(..) => {}
        }
    }

    /// Whether it ends at once when this member goes.
    pub fn ends_without(&self, call: CallHandle) -> bool {
        let states = self.members.values().map(|member| &member.state);
        let others: Vec<&MemberState> = states.filter(|state| state.call != call).collect();
        if others.is_empty() {
            return self.coming.is_empty();
        }
        let inside: Vec<Role> = others
            .iter()
            .filter(|s| !s.waiting)
            .map(|s| s.role)
            .collect();
        let leads = self.member(call).is_some_and(|s| s.role == Role::Moderator);
        let at_once = self.settings.end_without_moderator == Some(Duration::ZERO);
        leads && at_once && !inside.is_empty() && !inside.contains(&Role::Moderator)
    }

    /// A program wants something.
    pub fn operate(&mut self, operation: RoomOperation, now: Instant) -> Result<(), RoomError> {
        use RoomOperation as Op;
        match operation {
            Op::Mute(call, on) => {
                self.known(call)?;
                self.mute(call, on);
            }
            Op::MuteAll(on) => self.mute_all(on),
            Op::Deafen(call, on) => {
                self.known(call)?;
                self.change(call, |state| state.deaf = on);
            }
            Op::Hold(call, on) => {
                self.known(call)?;
                let changed = self.change(call, |state| state.on_hold = on);
                // Who waits hears its own music.
                if changed && self.member(call).is_some_and(|state| !state.waiting) {
                    self.tell(call, RoomNews::Held(on));
                }
            }
            Op::RaiseHand(call, on) => {
                self.known(call)?;
                self.change(call, |state| state.hand_raised = on);
            }
            Op::Gain {
                member,
                in_db,
                out_db,
            } => {
                self.known(member)?;
                let wrong = |db: &i8| !GAIN_DB.contains(db);
                if let Some(db) = in_db.into_iter().chain(out_db).find(wrong) {
                    return Err(RoomError::Gain(db));
                }
                self.change(member, |state| {
                    state.gain_in_db = in_db.unwrap_or(state.gain_in_db);
                    state.gain_out_db = out_db.unwrap_or(state.gain_out_db);
                });
            }
            Op::Relate {
                member,
                hears,
                heard_by,
                group,
            } => {
                if group.as_ref().is_some_and(|name| name.len() > MAX_GROUP) {
                    return Err(RoomError::Group);
                }
                let before = self.known(member)?.relations.clone();
                let relations = Relations {
                    hears: hears.unwrap_or(before.hears),
                    heard_by: heard_by.unwrap_or(before.heard_by),
                    group: group.map_or(before.group, |name| (!name.is_empty()).then_some(name)),
                };
                self.relate(member, relations)?;
            }
            Op::Group { member, group } => {
                let wrong = |name: &String| name.is_empty() || name.len() > MAX_GROUP;
                if group.as_ref().is_some_and(wrong) {
                    return Err(RoomError::Group);
                }
                let before = self.known(member)?.relations.clone();
                self.relate(member, Relations { group, ..before })?;
            }
            Op::SetRole(call, role) => {
                self.known(call)?;
                self.set_role(call, role, now);
            }
            Op::Admit(call) => {
                if self.known(call)?.waiting {
                    self.enter(call, now);
                }
            }
            Op::AdmitAll => self.admit_all(now),
            Op::Kick(call) => {
                self.known(call)?;
                self.kick(call, now);
            }
            Op::Move { member, to } => {
                self.known(member)?;
                if to != self.name {
                    let moved = true;
                    let call = member;
                    self.outputs.push_back(RoomOutput::Withdraw { call, moved });
                    self.remove(call, LeaveReason::Moved(to.clone()), now);
                    self.tell(call, RoomNews::Moved(to));
                }
            }
            Op::Lock(on) => self.lock(on),
            // The switch's own affairs.
            Op::Dial { .. } | Op::Record(_) => {}
            Op::End => self.end(super::EndCause::Asked),
        }
        Ok(())
    }

    /// Changes a member's state, and whatever hangs on it. Whether anything has changed.
    pub(super) fn change(
        &mut self,
        call: CallHandle,
        change: impl FnOnce(&mut MemberState),
    ) -> bool {
        let classes = self.classes.of(call);
        let Some(member) = self.members.get_mut(&call) else {
            return false;
        };
        let before = member.state.clone();
        change(&mut member.state);
        if member.state == before {
            return false;
        }
        let state = member.state.clone();
        let now = hearing(&state, classes);
        if !state.waiting && std::mem::replace(&mut member.told, now) != now {
            self.outputs.push_back(RoomOutput::Port(call, now));
        }
        let gains = |s: &MemberState| (s.gain_in_db, s.gain_out_db);
        if gains(&state) != gains(&before) {
            let (said, heard) = gains(&state);
            self.outputs.push_back(RoomOutput::Gain(call, said, heard));
        }
        self.tell_event(RoomChange::Changed(Box::new(state)));
        true
    }

    fn known(&self, call: CallHandle) -> Result<&MemberState, RoomError> {
        self.member(call).ok_or(RoomError::NoMember(call))
    }

    fn mute_self(&mut self, call: CallHandle, toggle: Toggle) {
        let Some(state) = self.member(call) else {
            return;
        };
        let forced = state.muted_by_moderator;
        let muted = toggle.of(state.muted || forced);
        self.change(call, |state| state.muted = muted);
        // Whom somebody else has muted is told what it still is.
        let said = ["conf-unmuted", "conf-muted"][usize::from(muted || forced)];
        self.say(call, said);
    }

    fn mute(&mut self, call: CallHandle, on: bool) {
        let heard = |room: &Self| {
            room.member(call)
                .is_some_and(|s| !s.muted && !s.muted_by_moderator)
        };
        let before = heard(self);
        self.change(call, |state| {
            state.muted_by_moderator = on;
            state.muted &= on;
        });
        let waits = self.member(call).is_some_and(|state| state.waiting);
        if before != heard(self) && !waits {
            self.say(call, ["conf-unmuted", "conf-muted"][usize::from(on)]);
        }
    }

    fn mute_all(&mut self, on: bool) {
        let members: Vec<CallHandle> = self
            .members
            .iter()
            .filter(|(_, m)| m.state.role == Role::Member)
            .map(|(&call, _)| call)
            .collect();
        for call in members {
            self.mute(call, on);
        }
    }

    fn set_role(&mut self, call: CallHandle, role: Role, now: Instant) {
        if !self.change(call, |state| state.role = role) {
            return;
        }
        self.tell(call, RoomNews::Role(role));
        if role == Role::Member {
            return self.moderator_left(now);
        }
        if self.member(call).is_some_and(|state| state.waiting) {
            self.enter(call, now);
        }
        self.moderator_came(now);
    }

    fn kick(&mut self, call: CallHandle, now: Instant) {
        self.withdraw(call);
        self.remove(call, LeaveReason::Kicked, now);
        self.tell(call, RoomNews::Kicked);
    }

    fn lock(&mut self, on: bool) {
        if std::mem::replace(&mut self.locked, on) != on {
            self.tell_event(RoomChange::Locked(on));
        }
    }

    fn relate(&mut self, call: CallHandle, mut relations: Relations) -> Result<(), RoomError> {
        for scope in [&mut relations.hears, &mut relations.heard_by] {
            match scope {
                Scope::All => {}
                // Nobody hears itself, whatever is said.
                Scope::Only(set) | Scope::Except(set) => {
                    set.remove(&call);
                }
            }
            if let Some(stranger) = scope.named().find(|m| !self.members.contains_key(m)) {
                return Err(RoomError::NoMember(stranger));
            }
            if matches!(scope, Scope::Except(set) if set.is_empty()) {
                *scope = Scope::All;
            }
        }
        let before = self.table.get(call);
        if before == relations {
            return Ok(());
        }
        self.table.set(call, relations.clone());
        // Who is to miss an announcement hears it rather than that a relation is refused for that.
        if self.classify().is_err() && !(self.table.set_apart(None) && self.classify().is_ok()) {
            self.table.set(call, before);
            return Err(RoomError::TooManyRelations);
        }
        self.change(call, |state| state.relations = relations);
        Ok(())
    }
}
