//! Whom members hear by their relations, told to the bridge in an order that lets nobody hear too much.

use super::relations::{Classes, TooMany};
use super::{Hearing, MemberState, Room, RoomOutput};
use crate::call::CallHandle;

impl Room {
    /// A member's relations go with it.
    pub(super) fn forget_relations(&mut self, call: CallHandle) {
        let (changed, any) = self.table.forget(call);
        for other in changed {
            let relations = self.table.get(other);
            self.change(other, |state| state.relations = relations);
        }
        if any {
            // Without the member the old classes are right for all others, so none too many may stay.
            let _ = self.classify();
        }
    }

    /// Finds the classes anew, and tells the bridge in such an order that nobody hears in between
    /// what was not allowed before or is not allowed after.
    pub(super) fn classify(&mut self) -> Result<(), TooMany> {
        self.classes = Classes::compile(&self.table, &self.classes)?;
        let needed = self.classes.count();
        if needed > self.provided {
            self.provided = needed;
            self.outputs.push_back(RoomOutput::Classes(needed));
        }
        let mut changes = Vec::new();
        for (&call, member) in &mut self.members {
            let new = hearing(&member.state, self.classes.of(call));
            if new != member.told && !member.state.waiting {
                changes.push((call, std::mem::replace(&mut member.told, new), new));
            }
        }
        let mut port = |call, voice, ears| {
            let hearing = Hearing { voice, ears };
            self.outputs.push_back(RoomOutput::Port(call, hearing));
        };
        for &(call, old, new) in &changes {
            if old.voice & new.voice != old.voice {
                port(call, old.voice & new.voice, old.ears);
            }
        }
        for &(call, old, new) in &changes {
            if old.ears != new.ears {
                port(call, old.voice & new.voice, new.ears);
            }
        }
        for &(call, old, new) in &changes {
            if old.voice & new.voice != new.voice {
                port(call, new.voice, new.ears);
            }
        }
        Ok(())
    }
}

/// How the bridge is to have a member of this state and these classes.
pub(super) fn hearing(state: &MemberState, (class, voice): (u8, u32)) -> Hearing {
    Hearing {
        voice: if state.is_heard() { voice } else { 0 },
        ears: state.listens().then_some(class),
    }
}
