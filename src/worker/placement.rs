//! Where in the 20 ms a bridge is mixed: just behind the packets of who talks.
//!
//! A packet then waits 1 to 2 ms for the mix, and not 10 on the average. A bridge moves by 1 ms a
//! tick: in silence; towards an earlier slot also while nobody but the dominant party talks, whose
//! packets are all there; and in any speech where its packets would come too late. Its ticks stay
//! within half a tick of where it began, so that the media line stays with the clock.
//!
//! Packets that come some milliseconds later than before are so waited for by the bridge, and the
//! party's playout is told to leave that to it: it would wait for a whole tick.

use std::time::Duration;

use super::slots::Due;
use super::{SLOTS, Seat, Worker};
use crate::bridge::{Bridge, RECENT_TALKERS};

/// Half a tick, in slots: how far a bridge may be from its home.
const REACH: i32 = SLOTS as i32 / 2;
/// The same while it is behind the packets: at the end of its reach, deadlines that vary would send it
/// around again and again, and in speech the way around can wait for a pause.
const REACH_BEHIND: i32 = REACH + 4;
const SLOT_US: i32 = 1000;
const TICK_US: i32 = SLOTS as i32 * SLOT_US;
/// By how much later than the dominant party's the packets of others who talk are waited for, us.
const WAITED_US: i32 = 3000;
/// A fetch that takes longer is a machine that is overloaded.
const MAX_FETCH_US: i32 = 10_000;
/// In what steps the length of a fetch is followed.
const STEP_US: i32 = 500;
/// By how much a slot must be early enough before it is moved to, us: deadlines vary by some tenths.
const SPARE_US: i32 = 300;
/// By how many slots a bridge may move later at once in speech, behind packets that it was behind
/// before: what they may have come to be late by.
const LATE_SLOTS: i32 = 6;
/// By how many slots it rather stays late than that it goes around.
const SHORT_SLOTS: i32 = 1;

/// Where a bridge is, against where it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phase {
    /// Slots later (or earlier) than its home.
    offset: i32,
    /// When its last tick was.
    pub due: Due,
    /// How long it takes to fetch what all parties say, us, smoothed.
    fetch_us: i32,
    /// The same, followed in steps: the parties' playouts are told by it when they are read.
    steady_us: i32,
    /// The parties that it was placed behind last, the dominant one first.
    followed: [Option<u32>; 1 + RECENT_TALKERS],
}

impl Phase {
    /// How long a fetch takes, in steps that are rarely another: packets that come within it are in
    /// time.
    pub fn fetch(&self) -> Duration {
        Duration::from_micros(self.steady_us as u64)
    }

    /// How long the last fetch took.
    pub fn fetched_in(&mut self, time: Duration) {
        let us = time.as_micros().min(MAX_FETCH_US as u128) as i32;
        self.fetch_us += (us - self.fetch_us) / 16;
        if (self.fetch_us - self.steady_us).abs() >= STEP_US * 3 / 4 {
            self.steady_us = (self.fetch_us + STEP_US / 2) / STEP_US * STEP_US;
        }
    }
}

/// What a bridge does about its dominant party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    /// By how many slots it moves: -1, 0 or 1.
    by: i32,
    /// It is, or soon will be, behind that party's packets.
    follows: bool,
}

impl Step {
    const NONE: Self = Self {
        by: 0,
        follows: false,
    };

    fn by(by: i32) -> Self {
        Self { by, follows: true }
    }
}

/// The step that a bridge takes from `slot` towards the first slot at or behind `deadline_us`.
fn step(slot: usize, offset: i32, deadline_us: i32, moves: Moves) -> Step {
    let around = SLOTS as i32;
    let slots_to = |us: i32| {
        let wanted = (us + SLOT_US - 1).div_euclid(SLOT_US);
        (wanted - slot as i32 + REACH).rem_euclid(around) - REACH
    };
    let mut to = slots_to(deadline_us);
    if to == 0 || (to == -1 && slots_to(deadline_us + SPARE_US) == 0) {
        return Step::by(0);
    }
    let reach = if moves.later && !moves.follows {
        REACH
    } else {
        REACH_BEHIND
    };
    if offset + to < -reach {
        if moves.follows && to >= -SHORT_SLOTS {
            return Step::by(0);
        }
        to += around;
    } else if offset + to > reach {
        to -= around;
    }
    match to {
        // Not on the long way around: packets come too late until it has been gone.
        i32::MIN..=-1 if moves.earlier => Step {
            by: -1,
            follows: to >= -REACH,
        },
        // Its packets begin to come too late.
        1 => Step::by(1),
        2.. if moves.later || (moves.follows && to <= LATE_SLOTS) => Step::by(1),
        // Earlier would be nearer, and there in time it is.
        -1 => Step::by(0),
        _ => Step::NONE,
    }
}

/// Which moves would be heard by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moves {
    earlier: bool,
    later: bool,
    /// The bridge was behind these packets so far.
    follows: bool,
}

impl Worker {
    /// Moves a bridge by one slot where that brings it nearer to its dominant party's packets.
    pub(super) fn place(&mut self, bridge: u32) {
        let Some(Some(room)) = self.rooms.get_mut(bridge as usize) else {
            return;
        };
        let before = std::mem::take(&mut room.phase.followed);
        let followers = followers(&self.seats, &room.bridge);
        let quiet = room.bridge.is_quiet();
        let moves = Moves {
            earlier: quiet || !room.bridge.others_talk(),
            later: quiet,
            follows: before[0].is_some() && before[0] == followers.owners[0],
        };
        let step = followers.deadline_us.map_or(Step::NONE, |us| {
            // The fetch of a tick has begun by then that ends when the packet is there.
            step(
                room.slot,
                room.phase.offset,
                us - room.phase.steady_us,
                moves,
            )
        });
        if step.follows {
            room.phase.followed = followers.owners;
        }
        let now = room.phase.followed;
        for owner in before.into_iter().chain(now).flatten() {
            if let Some(Some(seat)) = self.seats.get_mut(owner as usize) {
                seat.leg.set_followed(now.contains(&Some(owner)));
            }
        }
        if step.by == 0 {
            return;
        }
        let from = room.slot;
        let to = (from as i32 + step.by).rem_euclid(SLOTS as i32) as usize;
        room.slot = to;
        room.phase.offset += step.by;
        let parties = room.bridge.len();
        self.slots.move_bridge(bridge, from, to, parties as u32);
        self.counts.moves += 1;
    }
}

/// Whom a bridge is to be placed behind.
struct Followers {
    /// The dominant party first.
    owners: [Option<u32>; 1 + RECENT_TALKERS],
    /// When the packets of all of them are there, us.
    deadline_us: Option<i32>,
}

/// The dominant party, and those who talked lately whose packets come not much later than its.
fn followers(seats: &[Option<Seat>], bridge: &Bridge) -> Followers {
    let deadline_us = |owner: u32| {
        let seat = seats.get(owner as usize)?.as_ref()?;
        seat.leg.arrival_deadline_us().map(|us| us as i32)
    };
    let mut owners = [None; 1 + RECENT_TALKERS];
    let first = bridge.dominant().and_then(|dominant| {
        owners[0] = Some(dominant);
        deadline_us(dominant)
    });
    let Some(first_us) = first else {
        return Followers {
            owners: [None; 1 + RECENT_TALKERS],
            deadline_us: None,
        };
    };
    let mut latest_us = 0;
    let others = bridge
        .recent_talkers()
        .filter(|&owner| bridge.dominant() != Some(owner));
    for (place, owner) in others.enumerate() {
        let Some(us) = deadline_us(owner) else {
            continue;
        };
        let behind_us = (us - first_us + TICK_US / 2).rem_euclid(TICK_US) - TICK_US / 2;
        if behind_us <= WAITED_US {
            latest_us = latest_us.max(behind_us);
            owners[(1 + place).min(RECENT_TALKERS)] = Some(owner);
        }
    }
    Followers {
        owners,
        deadline_us: Some(first_us + latest_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Moves = Moves {
        earlier: true,
        later: true,
        follows: false,
    };

    /// Steps until none is wanted; the slot, the offset and the number of steps.
    fn settle(mut slot: usize, mut offset: i32, deadline_us: i32) -> (usize, i32, u32) {
        let mut steps = 0;
        loop {
            let Step { by, follows } = step(slot, offset, deadline_us, ALL);
            // On the way around it follows nobody.
            assert!(follows || by == -1);
            if by == 0 {
                return (slot, offset, steps);
            }
            steps += 1;
            assert!(steps <= SLOTS as u32, "it goes on for ever");
            slot = (slot as i32 + by).rem_euclid(SLOTS as i32) as usize;
            offset += by;
        }
    }

    #[test]
    fn it_settles_behind_the_deadline_from_everywhere_and_stays_near_its_home() {
        for slot in 0..SLOTS {
            for offset in -REACH..=REACH {
                for deadline in (-3000..20_000).step_by(250) {
                    let (to, there, _) = settle(slot, offset, deadline);
                    let wait = (to as i32 * 1000 - deadline).rem_euclid(20_000);
                    assert!(wait <= 1300, "{slot} {offset} {deadline}: {wait} us");
                    assert!((-REACH..=REACH).contains(&there));
                }
            }
        }
    }

    #[test]
    fn one_slow_fetch_does_not_count_for_good() {
        let mut phase = Phase::default();
        let mut fetch = |us, times| {
            (0..times).for_each(|_| phase.fetched_in(Duration::from_micros(us)));
            phase.fetch()
        };
        assert_eq!(fetch(20, 100), Duration::ZERO);
        assert_eq!(fetch(10_000, 1), Duration::from_micros(500));
        assert_eq!(fetch(20, 100), Duration::ZERO);
        assert_eq!(fetch(5_000, 200), Duration::from_millis(5));
        assert_eq!(fetch(20, 200), Duration::ZERO);
    }

    #[test]
    fn in_speech_it_moves_only_where_nobody_hears_it() {
        let speech = Moves {
            earlier: false,
            later: false,
            follows: false,
        };
        let by = |deadline_us, moves| step(10, 0, deadline_us, moves).by;
        assert_eq!((by(5_000, speech), by(17_000, speech)), (0, 0));
        assert_eq!(by(10_400, speech), 1, "packets come too late");
        assert_eq!(by(16_000, speech), 0);
        let follows = Moves {
            follows: true,
            ..speech
        };
        assert_eq!((by(16_000, follows), by(17_000, follows)), (1, 0));
        let alone = Moves {
            earlier: true,
            ..speech
        };
        assert_eq!((by(5_000, alone), by(17_000, alone)), (-1, 0));
    }

    #[test]
    fn it_follows_where_it_is_behind_the_packets_or_comes_to_be() {
        let moves = Moves {
            earlier: false,
            later: false,
            follows: true,
        };
        let follows = |deadline_us| step(10, 0, deadline_us, moves).follows;
        for deadline_us in (8_001..=16_000).step_by(333) {
            assert!(follows(deadline_us), "{deadline_us}");
        }
        assert!(!follows(7_900) && !follows(16_100));
    }
}
