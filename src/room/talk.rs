//! Who talks in a room, as its mixer tells.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Room;
use crate::call::CallHandle;

/// How a member talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberTalk {
    /// It does so now.
    pub talking: bool,
    /// How loud it was when it did so last, dBov.
    pub level_dbov: i8,
    /// For how long it has done so since it came in, as far as that was followed.
    pub talked: Duration,
}

/// Who talks in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomTalk {
    /// The room's name.
    pub room: String,
    /// How many talk; more than are told of where they are very many.
    pub talking: u32,
    /// Who was clearly the loudest last; it stays while nobody talks.
    pub dominant: Option<CallHandle>,
    /// Members that talk or have talked.
    pub members: BTreeMap<CallHandle, MemberTalk>,
}

/// What the mixer tells of one member.
#[derive(Clone, Copy, Debug)]
pub struct Talking {
    /// Which.
    pub call: CallHandle,
    /// How loud, dBov.
    pub level_dbov: f32,
    /// For how long since it came in.
    pub talked: Duration,
}

impl Room {
    /// Whether it is followed who talks, and by its own settings.
    pub fn talk(&self) -> Option<&RoomTalk> {
        self.talk.as_ref()
    }

    /// Whether it is followed from its beginning, whoever listens.
    pub fn watches_talkers(&self) -> bool {
        self.settings.watch_talkers
    }

    /// It is followed from now on who talks, or no longer. Whether that is new.
    pub fn follow_talk(&mut self, on: bool) -> bool {
        if self.talk.is_some() == on {
            return false;
        }
        self.talk = on.then(|| RoomTalk {
            room: self.name.clone(),
            ..RoomTalk::default()
        });
        true
    }

    /// Takes what the mixer tells: who talks now. What is new in it, besides the time.
    pub fn talkers(
        &mut self,
        talkers: &[Talking],
        (talking, dominant): (u32, Option<CallHandle>),
    ) -> Option<RoomTalk> {
        let members = &self.members;
        let is_in = |call: &CallHandle| members.get(call).is_some_and(|m| !m.state.waiting);
        let talk = self.talk.as_mut()?;
        let before = talk.clone();
        for member in talk.members.values_mut() {
            member.talking = false;
        }
        for told in talkers.iter().filter(|told| is_in(&told.call)) {
            let member = MemberTalk {
                talking: true,
                level_dbov: told.level_dbov.round() as i8,
                talked: told.talked,
            };
            talk.members.insert(told.call, member);
        }
        talk.talking = talking;
        talk.dominant = dominant.filter(is_in);
        talk.differs(&before).then(|| talk.clone())
    }

    /// A member has gone: for how long it has talked, where that is known.
    pub(super) fn forget_talk(&mut self, call: CallHandle) -> Option<Duration> {
        let talk = self.talk.as_mut()?;
        talk.dominant.take_if(|dominant| *dominant == call);
        let member = talk.members.remove(&call);
        Some(member.map_or(Duration::ZERO, |member| member.talked))
    }
}

impl RoomTalk {
    fn differs(&self, before: &Self) -> bool {
        let heard = |talk: &Self| {
            let members = talk.members.iter().filter(|(_, m)| m.talking);
            let levels = members.map(|(call, m)| (*call, m.level_dbov));
            levels.collect::<Vec<_>>()
        };
        self.dominant != before.dominant
            || self.talking != before.talking
            || heard(self) != heard(before)
    }
}
