//! Rooms that call somebody and ask whether it wants to join.
//!
//! ```text
//! Dial --Resolve--> the edge finds where --Resolved--> call --answered--> "press 1" --> in the room
//!                      '-- nowhere --.      '-- refused, no answer, no 1 --.
//!                                    '------------> NotJoined <------------'
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Output, Switch};
use crate::app::room::{RoomName, RoomNews, RoomSettings, RoomTable};
use crate::app::{AppSpec, ConferenceSpec, Happened, PlayItem};
use crate::call::{CallHandle, EndReason};
use crate::room::{RoomChange, RoomError};
use crate::sip::auth::Login;
use crate::sip::transport::Flow;
use crate::sip::uri::{Scheme, Uri};

/// Calls of rooms that have not been answered, over all rooms.
const MAX_DIALS: usize = 100;

/// How rooms call.
#[derive(Clone, Debug)]
pub struct DialSettings {
    /// The user of From.
    pub user: String,
    /// What answers a server that asks who calls; none: such a server refuses the call.
    pub login: Option<Arc<Login>>,
    /// How long the other side may take to answer.
    pub ring: Duration,
    /// Whoever was called may be moved to another room: whether one that no table has tells a lone member.
    pub lone_prompt: bool,
    /// The most members of such a room.
    pub max_members: usize,
}

impl Default for DialSettings {
    fn default() -> Self {
        let usual = RoomSettings::default();
        Self {
            user: "conference".to_owned(),
            login: None,
            ring: Duration::from_secs(30),
            lone_prompt: usual.lone_prompt,
            max_members: usual.max_members,
        }
    }
}

/// Somebody who is to be called, or is being called.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    room: String,
    uri: String,
    /// The member that wants it.
    by: Option<CallHandle>,
    /// When to give up, unless it is answered by then.
    pub until: Instant,
}

/// A way to whom a room calls, and others for where that one fails; none: why not.
pub type Ways = Result<(Flow, Vec<Flow>), String>;

impl Switch {
    /// Calls somebody from a room.
    pub(super) fn dial_from(
        &mut self,
        room: &str,
        uri: &str,
        by: Option<CallHandle>,
        now: Instant,
    ) -> Result<(), RoomError> {
        let parsed = uri.parse::<Uri>().ok();
        if !parsed.is_some_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips)) {
            return Err(RoomError::Uri(uri.to_owned()));
        }
        let ringing = self.calls.values().filter(|e| e.is_ringing()).count();
        if self.dials.len() + ringing >= MAX_DIALS || self.is_full() {
            return Err(RoomError::TooManyCalls);
        }
        let number = self.next_dial;
        self.next_dial += 1;
        let dial = Dial {
            room: room.to_owned(),
            uri: uri.to_owned(),
            by,
            until: now + self.dial.ring,
        };
        self.dials.insert(number, dial);
        self.outputs.push_back(Output::Resolve {
            dial: number,
            uri: uri.to_owned(),
        });
        Ok(())
    }

    /// A member has dialled.
    pub(super) fn dial_by(&mut self, room: &str, uri: &str, by: CallHandle, now: Instant) {
        let said = match self.dial_from(room, uri, Some(by), now) {
            Ok(()) => "conf-calling",
            Err(error) => {
                self.not_joined(room, uri, &error.to_string());
                "conf-not-joined"
            }
        };
        self.say_to(by, said, now);
    }

    /// It is known where to call.
    pub(super) fn resolved(&mut self, number: u64, ways: Ways, now: Instant) {
        let Some(dial) = self.dials.remove(&number) else {
            return self.hop_found(number, ways, now);
        };
        let settings = self
            .rooms
            .get(&dial.room)
            .map(|room| room.settings().clone());
        let (Some(settings), Ok((flow, alternatives))) = (settings, &ways) else {
            let why = ways
                .err()
                .unwrap_or_else(|| "the room has ended".to_owned());
            return self.dial_failed(&dial, &why, now);
        };
        // Other calls have come meanwhile, or the server is about to end.
        if self.is_full() {
            return self.dial_failed(&dial, &RoomError::TooManyCalls.to_string(), now);
        }
        let spec = self.invitation(&dial.room, settings);
        let (uri, user) = (dial.uri.clone(), self.dial.user.clone());
        let call = self.place(uri, user, *flow, alternatives.clone(), spec, now);
        if let Some(login) = self.dial.login.clone() {
            self.set_login(call, login);
        }
        let change = RoomChange::Dialling {
            uri: dial.uri.clone(),
            call,
        };
        if let Some(room) = self.rooms.get_mut(&dial.room) {
            room.tell_event(change);
        }
        self.pump_room(&dial.room.clone(), now);
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.dial = Some(Box::new(dial));
        }
    }

    /// What whoever is called does: it is asked into the room, as that is, and knows all others, since it
    /// may be moved there.
    fn invitation(&self, room: &str, settings: Arc<RoomSettings>) -> AppSpec {
        let mut rooms = vec![(RoomName::Is(room.to_owned()), settings)];
        rooms.extend(self.room_table.0.iter().cloned());
        AppSpec::Conference(ConferenceSpec {
            room: room.to_owned(),
            lone_prompt: self.dial.lone_prompt,
            max_members: self.dial.max_members,
            rooms: Arc::new(RoomTable(rooms)),
            invited: true,
        })
    }

    /// Whoever is called by a room and has not answered is not called any longer.
    pub(super) fn dial_timeout(&mut self, handle: CallHandle, now: Instant) {
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let until = entry.dial.as_ref().map(|dial| dial.until);
        if entry.is_ringing() && until.is_some_and(|at| at <= now) {
            if let Some(entry) = self.calls.get_mut(&handle)
                && let Some(dial) = &mut entry.dial
            {
                // Once: the call takes its time to end.
                dial.until = now + Duration::from_hours(1);
            }
            self.with_call(handle, |call| call.end(EndReason::HungUp));
        }
    }

    /// A call that a room has placed is over, and has not joined.
    pub(super) fn dial_ended(&mut self, dial: &Dial, reason: &EndReason, now: Instant) {
        let why = match reason {
            EndReason::Rejected(status, phrase) => format!("{status} {phrase}"),
            other => other.word().to_owned(),
        };
        self.dial_failed(dial, &why, now);
    }

    fn dial_failed(&mut self, dial: &Dial, why: &str, now: Instant) {
        self.not_joined(&dial.room, &dial.uri, why);
        self.pump_room(&dial.room, now);
        if let Some(by) = dial.by {
            self.say_to(by, "conf-not-joined", now);
        }
    }

    fn not_joined(&mut self, room: &str, uri: &str, reason: &str) {
        if let Some(room) = self.rooms.get_mut(room) {
            room.tell_event(RoomChange::NotJoined {
                uri: uri.to_owned(),
                reason: reason.to_owned(),
            });
        }
    }

    fn say_to(&mut self, member: CallHandle, prompt: &str, now: Instant) {
        let inside = self
            .calls
            .get(&member)
            .and_then(|entry| entry.room.as_ref());
        if inside.is_none() {
            return;
        }
        let items = vec![PlayItem::Prompt(prompt.to_owned())];
        let happened = Happened::Room(RoomNews::Say(items));
        self.with_call(member, |call| call.happened(&happened, now));
    }

    /// How rooms call from now on.
    pub fn set_dial(&mut self, settings: DialSettings) {
        self.dial = settings;
    }
}
