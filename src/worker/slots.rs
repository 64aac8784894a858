//! The twenty 1 ms slots of a tick: who runs in which.

/// Slots per tick.
pub const SLOTS: usize = 20;
/// About what a core does in a slot's millisecond; more run on into the next one's.
const PARTIES_PER_SLOT: u32 = 150;
/// Parties that a slot takes before legs without a bridge open another one: each slot in use is a
/// wake-up per tick, which costs as much as a leg, and so many legs run for a third of a slot.
const SOLO_LEGS: u32 = 32;

/// When somebody's last tick was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    last_ms: Option<u64>,
}

impl Due {
    /// Whether a slot that comes up at `ms` is this tick's: who has just moved on by one slot meets it
    /// again at once.
    pub fn is_due(&mut self, ms: u64) -> bool {
        let due = self
            .last_ms
            .is_none_or(|last| ms.saturating_sub(last) >= SLOTS as u64 / 2);
        if due {
            self.last_ms = Some(ms);
        }
        due
    }
}

/// Who starts in one slot. All lists have room for everybody from the start.
#[derive(Debug)]
pub(super) struct Slot {
    /// Legs without a bridge.
    pub legs: Vec<u32>,
    /// Bridges.
    pub bridges: Vec<u32>,
    /// Legs with a packet that is due ten slots after their tick.
    pub held: Vec<u32>,
}

/// The slot table.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Parties that run in each slot.
    load: [u32; SLOTS],
}

impl Slots {
    pub fn new(max_legs: usize, max_bridges: usize) -> Self {
        let slots = (0..SLOTS)
            .map(|_| Slot {
                legs: Vec::with_capacity(max_legs),
                bridges: Vec::with_capacity(max_bridges),
                held: Vec::with_capacity(max_legs),
            })
            .collect();
        Self {
            slots,
            load: [0; SLOTS],
        }
    }

    pub fn get(&mut self, slot: usize) -> &mut Slot {
        &mut self.slots[slot]
    }

    /// The slot with the fewest parties, those included that spill over from the slots before it.
    pub fn quietest(&self) -> usize {
        let mut spill = 0;
        let mut booked = [0; SLOTS];
        // Twice around, so that what spills over the last slot is met again at the first.
        for slot in (0..SLOTS).chain(0..SLOTS) {
            booked[slot] = self.load[slot] + spill;
            spill = booked[slot].saturating_sub(PARTIES_PER_SLOT);
        }
        (0..SLOTS).min_by_key(|&s| booked[s]).unwrap_or(0)
    }

    /// The slot for a leg without a bridge: the fullest that still has room for one, else the
    /// quietest.
    pub fn for_leg(&self) -> usize {
        let in_use = |&s: &usize| (1..SOLO_LEGS).contains(&self.load[s]);
        (0..SLOTS)
            .filter(in_use)
            .max_by_key(|&s| self.load[s])
            .unwrap_or_else(|| self.quietest())
    }

    pub fn add_leg(&mut self, slot: usize, leg: u32) {
        self.slots[slot].legs.push(leg);
        self.load[slot] += 1;
    }

    pub fn remove_leg(&mut self, slot: usize, leg: u32) {
        let legs = &mut self.slots[slot].legs;
        if let Some(i) = legs.iter().position(|&l| l == leg) {
            legs.swap_remove(i);
            self.load[slot] -= 1;
        }
    }

    /// A leg goes to another slot.
    pub fn move_leg(&mut self, leg: u32, from: usize, to: usize) {
        self.remove_leg(from, leg);
        self.add_leg(to, leg);
    }

    pub fn add_bridge(&mut self, slot: usize, bridge: u32) {
        self.slots[slot].bridges.push(bridge);
        self.load[slot] += 1;
    }

    pub fn remove_bridge(&mut self, slot: usize, bridge: u32) {
        let bridges = &mut self.slots[slot].bridges;
        if let Some(i) = bridges.iter().position(|&b| b == bridge) {
            bridges.swap_remove(i);
            self.load[slot] -= 1;
        }
    }

    /// A bridge of so many parties goes to another slot.
    pub fn move_bridge(&mut self, bridge: u32, from: usize, to: usize, parties: u32) {
        self.remove_bridge(from, bridge);
        self.add_bridge(to, bridge);
        self.load[from] = self.load[from].saturating_sub(parties);
        self.load[to] += parties;
    }

    /// A party more (or less) in a bridge of this slot.
    pub fn weigh(&mut self, slot: usize, joined: bool) {
        let load = &mut self.load[slot];
        *load = if joined {
            *load + 1
        } else {
            load.saturating_sub(1)
        };
    }

    /// A leg's packet is due `after` slots from `slot`.
    pub fn hold(&mut self, slot: usize, after: usize, leg: u32) {
        let held = &mut self.slots[(slot + after) % SLOTS].held;
        if held.len() < held.capacity() {
            held.push(leg);
        }
    }

    /// Milliseconds from `slot` (0 to 19) to the first with anything to do.
    pub fn next_busy(&self, slot: usize) -> Option<usize> {
        (0..SLOTS).find(|&d| {
            let s = &self.slots[(slot + d) % SLOTS];
            !(s.legs.is_empty() && s.bridges.is_empty() && s.held.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places a leg; returns its slot.
    fn place(slots: &mut Slots, leg: u32) -> usize {
        let slot = slots.for_leg();
        slots.add_leg(slot, leg);
        slot
    }

    #[test]
    fn legs_fill_a_slot_before_they_open_another() {
        let mut slots = Slots::new(1000, 10);
        let first = place(&mut slots, 0);
        assert!((1..SOLO_LEGS).all(|leg| place(&mut slots, leg) == first));
        let second = place(&mut slots, SOLO_LEGS);
        assert_ne!(second, first);
        slots.remove_leg(first, 0);
        assert_eq!(place(&mut slots, 0), first, "the fuller of the two");
        assert_eq!(place(&mut slots, 40), second);
        let bridges = slots.quietest();
        assert!(bridges != first && bridges != second);
    }

    #[test]
    fn beyond_that_they_spread() {
        let mut slots = Slots::new(1000, 10);
        let mut legs = [0u32; SLOTS];
        for leg in 0..1000 {
            legs[place(&mut slots, leg)] += 1;
        }
        assert!(legs.iter().all(|&n| n == 50), "{legs:?}");
    }
}
