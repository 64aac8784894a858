//! The twenty 1 ms slots of a tick: who runs in which.

/// Slots per tick.
pub const SLOTS: usize = 20;
/// About what a core does in a slot's millisecond; more run on into the next one's.
const PARTIES_PER_SLOT: u32 = 150;

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
