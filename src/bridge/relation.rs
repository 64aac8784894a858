//! Who hears whom, member by member.

/// How many distinct sets of heard parties a bridge can have: ear classes 0 to 31.
pub const MAX_CLASSES: usize = 32;

/// A party's place in the relation of who hears whom: a party hears all others whose voice has the
/// bit of its own ear class. So any relation with at most [`MAX_CLASSES`] distinct sets of heard
/// parties can be told; whoever makes it numbers these sets, the room's common one as 0.
///
/// ```text
/// coach: voice 0b10, ears 0      heard by class 1 alone, hears the room
/// agent: voice 0b11, ears 1      heard by all, hears the room and the coach
/// caller: voice 0b11, ears 0     hears all but the coach
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Relation {
    /// Who hears the party: bit c stands for the parties of ear class c. None set: it is muted.
    pub voice: u32,
    /// Its own ear class: from 0 to 31, or [`Relation::DEAF`]. A class that the bridge has no memory
    /// for (see [`super::Classes`]) is as good as deaf.
    pub ears: u8,
}

impl Relation {
    /// The ears of a party that hears nothing.
    pub const DEAF: u8 = MAX_CLASSES as u8;
    /// Heard by all, and hears all who are.
    pub const OPEN: Self = Self {
        voice: u32::MAX,
        ears: 0,
    };

    /// The same, muted or not.
    pub fn muted(self, muted: bool) -> Self {
        let voice = if muted { 0 } else { self.voice };
        Self { voice, ..self }
    }

    /// Whether members of an ear class hear the party.
    pub fn is_heard_by(self, class: u8) -> bool {
        self.voice.checked_shr(class.into()).unwrap_or(0) & 1 == 1
    }

    /// Whether it hears another.
    pub fn hears(self, other: Relation) -> bool {
        other.is_heard_by(self.ears)
    }
}

impl Default for Relation {
    fn default() -> Self {
        Self::OPEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coach_is_heard_by_whom_it_coaches_alone() {
        let coach = Relation { voice: 2, ears: 0 };
        let agent = Relation { voice: 3, ears: 1 };
        let caller = Relation { voice: 3, ears: 0 };
        assert!(coach.hears(agent) && coach.hears(caller));
        assert!(agent.hears(coach) && agent.hears(caller));
        assert!(caller.hears(agent) && !caller.hears(coach));
        let deaf = Relation {
            ears: Relation::DEAF,
            ..Relation::OPEN
        };
        assert!(!deaf.hears(coach) && !deaf.hears(caller) && caller.hears(deaf));
        assert!(!caller.hears(agent.muted(true)) && caller.hears(agent.muted(false)));
    }
}
