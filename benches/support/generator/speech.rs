//! Who says what when, room by room.
//!
//! `Random`: the part of talker goes around among all legs of the room, each with a phase of its
//! own, so that all phases against the mixer's tick are measured. `Steady`: the same few talk all
//! the time, in turn, in talk spurts of syllables, and their packets come at one steady phase: what
//! a server can put its mix behind.

use clap::ValueEnum;

/// In `Random`, packet times from one burst to the same talker's place again (500 ms).
const PERIOD: u64 = 25;
/// For so many (100 ms) a burst goes on.
const BURST: u64 = 5;
/// In `Steady`, packet times of a talk spurt (5 s), and of the pause behind it.
const SPURT: u64 = 250;
const PAUSE: u64 = 20;
/// Packet times from one packet of a silent listener to the next: 1 s.
const KEEP_ALIVE: u64 = 50;
/// Packet times of a syllable and of the gap behind it, least and most: an onset each 120 to
/// 500 ms. A gap has at least the three quiet packets that a listener needs, and less than 200 ms.
const SYLLABLE: (u64, u64) = (2, 17);
const GAP: (u64, u64) = (4, 8);

/// Which legs talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TalkerPhase {
    /// All in turn, each at its own phase.
    Random,
    /// The same few, at one phase.
    Steady,
}

/// What the legs say.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    /// How many talk in a room: within each half second (`Random`), or in all (`Steady`).
    pub talkers: u64,
    /// Which.
    pub phase: TalkerPhase,
    /// Whether all the others are heard too, quietly.
    pub all_talking: bool,
    /// Whether those who never talk send next to nothing, as phones do that are muted and leave
    /// silence out. In `Steady` only: in `Random` all talk in turn.
    pub silent_listeners: bool,
}

/// One room's plan.
#[derive(Debug)]
pub struct Plan {
    speech: Speech,
    members: usize,
    /// Rooms do not burst in step.
    offset: u64,
    /// From one talker to the next; without a factor in common with the number of members.
    step: usize,
    steady: Steady,
}

#[derive(Debug)]
struct Steady {
    noise: u32,
    talker: usize,
    /// The syllable, and where the next one begins.
    begin: u64,
    end: u64,
    next: u64,
    spurt_end: u64,
}

impl Plan {
    /// The plan of room number `room` with so many members.
    pub fn new(speech: Speech, room: usize, members: usize) -> Self {
        // Among so many numbers in a row there is one without a factor in common.
        let step = (37..37 + members.max(1)).find(|step| gcd(*step, members) == 1);
        Self {
            speech,
            members,
            offset: room as u64 * 5,
            step: step.unwrap_or(1),
            steady: Steady {
                noise: room as u32 + 1,
                talker: 0,
                begin: 0,
                end: 0,
                next: room as u64 % PERIOD,
                spurt_end: room as u64 * 37 % SPURT + 50,
            },
        }
    }

    /// The member by whose phase this one sends: its own, but for steady talkers.
    pub fn phase_of(&self, member: usize) -> usize {
        if self.speech.phase == TalkerPhase::Steady && self.talks(member) {
            0
        } else {
            member
        }
    }

    /// Whether the member leaves out its packet number `turn`. Not all of a room send in the same
    /// packet time.
    pub fn leaves_out(&self, member: usize, turn: u64) -> bool {
        self.speech.silent_listeners
            && !self.talks(member)
            && !(turn + member as u64).is_multiple_of(KEEP_ALIVE)
    }

    /// Whether it bursts at any time.
    fn talks(&self, member: usize) -> bool {
        self.speech.phase == TalkerPhase::Random || (member as u64) < self.speech.talkers
    }

    /// The number of its packet within a burst, if the member bursts in this packet time. Packet
    /// times never go back.
    pub fn burst(&mut self, member: usize, tick: u64) -> Option<u64> {
        match self.speech.phase {
            TalkerPhase::Random => {
                let share = PERIOD / self.speech.talkers;
                let (turn, place) = ((tick + self.offset) / share, (tick + self.offset) % share);
                let speaks = place < BURST && turn as usize * self.step % self.members == member;
                speaks.then_some(place)
            }
            TalkerPhase::Steady => {
                if !self.talks(member) {
                    return None;
                }
                let talkers = (self.speech.talkers as usize).min(self.members);
                while tick >= self.steady.next {
                    self.steady.advance(talkers);
                }
                let s = &self.steady;
                (member == s.talker && (s.begin..s.end).contains(&tick)).then(|| tick - s.begin)
            }
        }
    }
}

impl Steady {
    fn advance(&mut self, talkers: usize) {
        self.begin = self.next;
        if self.begin >= self.spurt_end {
            self.talker = (self.talker + 1) % talkers;
            self.begin += PAUSE;
            self.spurt_end = self.begin + SPURT;
        }
        self.end = self.begin + self.draw(SYLLABLE);
        self.next = self.end + self.draw(GAP);
    }

    fn draw(&mut self, (least, most): (u64, u64)) -> u64 {
        self.noise = self
            .noise
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        least + u64::from(self.noise >> 16) % (most - least + 1)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
