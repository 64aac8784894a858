//! 10,000 random things that members and programs do with rooms: nobody hears whom it may not, and
//! everybody whom it may; and whoever has listened to the events knows who is where, and how.
//!
//! Each phone sends a tone of its own all the time. Prompts are silent: a voice has all tones in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::rooms::{handle, operate, world};
use super::worlds::hearing::{TONES, amplitudes};
use crate::support::sim::World;

use antiphon::app::keypad::Keypad;
use antiphon::app::room::{Role, RoomSettings};
use antiphon::call::{CallHandle, EndReason};
use antiphon::room::{RoomError, RoomOperation, Roster, Scope, hears};
use antiphon::sip::message::Message;
use antiphon::sip::method::Method;
use antiphon::switch::Event;

const OPERATIONS: usize = 10_000;
const PHONES: usize = TONES.len();
/// What is on its way, in a buffer or in a fade, ms.
const LATE_MS: u64 = 400;
/// Samples of a window.
const WINDOW_MS: u64 = 100;

/// When a phone was allowed to hear another.
#[derive(Clone, Copy, Default)]
struct Pair {
    /// Last.
    last_ms: Option<u64>,
    /// All the time since.
    since_ms: Option<u64>,
}

struct Meeting {
    world: World,
    rng: StdRng,
    /// Each phone's call.
    calls: [Option<CallHandle>; PHONES],
    pairs: [[Pair; PHONES]; PHONES],
    roster: Roster,
    /// Windows with a voice in them, and such that had to have one.
    heard: usize,
    wanted: usize,
}

impl Meeting {
    fn new(seed: u64) -> Self {
        let mut world = world(RoomSettings {
            lone_prompt: false,
            keypad: Arc::new(Keypad::none()),
            ..RoomSettings::default()
        });
        world.silent_prompts = true;
        for hz in TONES {
            let phone = world.phone();
            world.phones[phone].voice.hz = hz;
        }
        Self {
            world,
            rng: StdRng::seed_from_u64(seed),
            calls: [None; PHONES],
            pairs: [[Pair::default(); PHONES]; PHONES],
            roster: Roster::default(),
            heard: 0,
            wanted: 0,
        }
    }

    fn phone_of(&self, call: CallHandle) -> Option<usize> {
        self.calls.iter().position(|&known| known == Some(call))
    }

    /// Phones answer what hangs them up.
    fn answer_byes(&mut self) {
        for phone in 0..PHONES {
            for received in std::mem::take(&mut self.world.phones[phone].inbox) {
                if let Message::Request(bye) = received.message
                    && bye.method == Method::Bye
                {
                    let ok = self.world.phones[phone].response(&bye, 200);
                    self.world.reply(phone, &ok);
                }
            }
        }
    }

    /// Takes note of who may hear whom, and compares the events with what is.
    fn note(&mut self) {
        self.answer_byes();
        for event in std::mem::take(&mut self.world.events) {
            match event {
                Event::Room(event) => self.roster.apply(&event),
                Event::Ended(summary) => {
                    if let Some(phone) = self.phone_of(summary.call) {
                        self.calls[phone] = None;
                        self.world.hush(phone);
                    }
                }
                _ => {}
            }
        }
        let rooms = self.world.switch.room_states();
        let truth = rooms.iter().map(|room| {
            let members = room.members.iter().map(|m| (m.call, m.clone()));
            (room.name.clone(), members.collect())
        });
        assert_eq!(self.roster.0, truth.collect());
        let mut allowed = BTreeSet::new();
        for room in &rooms {
            let members: Vec<_> = room
                .members
                .iter()
                .filter_map(|m| Some((self.phone_of(m.call)?, m)))
                .collect();
            for &(listener, l) in members.iter().filter(|(_, m)| m.listens()) {
                for &(talker, t) in members.iter().filter(|(_, m)| m.is_heard()) {
                    if hears((l.call, &l.relations), (t.call, &t.relations)) {
                        allowed.insert((listener, talker));
                    }
                }
            }
        }
        let now = self.world.ms;
        for listener in 0..PHONES {
            for talker in 0..PHONES {
                let pair = &mut self.pairs[listener][talker];
                if allowed.contains(&(listener, talker)) {
                    pair.last_ms = Some(now);
                    pair.since_ms.get_or_insert(now);
                } else {
                    pair.since_ms = None;
                }
            }
        }
    }

    /// Lets time pass, and looks at what was heard in windows within.
    fn run(&mut self, ms: u64) {
        self.note();
        let from = self.world.ms;
        self.world.run(ms);
        self.note();
        let mut at = from;
        while at + WINDOW_MS <= self.world.ms {
            self.check(at);
            at += WINDOW_MS;
        }
        for phone in &mut self.world.phones {
            phone.heard.clear();
        }
    }

    fn check(&mut self, from: u64) {
        for listener in (0..PHONES).filter(|&phone| self.calls[phone].is_some()) {
            let audio = self.world.phones[listener].audio(from, from + WINDOW_MS);
            let Some(levels) = amplitudes(&audio) else {
                continue;
            };
            for (talker, &level) in levels.iter().enumerate() {
                let pair = self.pairs[listener][talker];
                let forbidden = pair.last_ms.is_none_or(|last| last + LATE_MS < from);
                let allowed = pair.since_ms.is_some_and(|since| since + LATE_MS < from);
                let at = from - 1_000_000;
                if forbidden {
                    assert!(
                        level < 600.0,
                        "{listener} hears {talker} at {at} ms: {level}"
                    );
                }
                if allowed {
                    assert!(
                        level > 1_200.0,
                        "{listener} misses {talker} at {at} ms: {level}"
                    );
                    self.wanted += 1;
                }
                self.heard += usize::from(level > 600.0);
            }
        }
    }

    fn scope(&mut self, members: &[CallHandle]) -> Scope {
        let count = self.rng.random_range(0..4usize);
        let some: BTreeSet<_> = members
            .choose_multiple(&mut self.rng, count)
            .copied()
            .collect();
        match self.rng.random_range(0..6) {
            0..3 => Scope::All,
            3 => Scope::Only(some),
            _ => Scope::Except(some),
        }
    }

    fn come_or_go(&mut self) {
        let phone = self.rng.random_range(0..PHONES);
        if self.calls[phone].take().is_some() {
            let bye = self.world.phones[phone].request(Method::Bye);
            self.world.send(phone, &bye);
            self.world.hush(phone);
            self.world.run(60);
            self.note();
            return;
        }
        let user = ["600", "601"][self.rng.random_range(0..2)];
        self.world.run(5);
        self.note();
        let invite = self.world.phones[phone].invite(user);
        self.world.dial_with(phone, &invite);
        self.calls[phone] = Some(handle(&self.world, phone));
        self.note();
    }

    fn step(&mut self) {
        let rooms = self.world.switch.room_states();
        let room = rooms
            .choose(&mut self.rng)
            .filter(|room| !room.members.is_empty());
        let Some(room) = room else {
            return self.come_or_go();
        };
        let members: Vec<CallHandle> = room.members.iter().map(|m| m.call).collect();
        let call = members[self.rng.random_range(0..members.len())];
        // More is undone than done: else all would be silent soon.
        let on = self.rng.random_bool(0.25);
        use RoomOperation as Op;
        let operation = match self.rng.random_range(0..100) {
            0..8 => return self.come_or_go(),
            8..20 => Op::Mute(call, on),
            20..28 => Op::Deafen(call, on),
            28..36 => Op::Hold(call, on),
            36..40 => Op::RaiseHand(call, on),
            40..43 => Op::MuteAll(on),
            43..70 => Op::Relate {
                member: call,
                hears: self.rng.random_bool(0.7).then(|| self.scope(&members)),
                heard_by: self.rng.random_bool(0.4).then(|| self.scope(&members)),
                group: None,
            },
            70..78 => Op::Group {
                member: call,
                group: self.rng.random_bool(0.4).then(|| "side".to_owned()),
            },
            78..84 => Op::SetRole(call, [Role::Member, Role::Moderator][usize::from(on)]),
            84..86 => Op::Kick(call),
            86..88 => Op::Lock(on && self.rng.random_bool(0.1)),
            88..99 => Op::Move {
                member: call,
                to: ["600", "601", "602"][self.rng.random_range(0..3)].into(),
            },
            _ if self.rng.random_bool(0.2) => Op::End,
            _ => Op::AdmitAll,
        };
        match operate(&mut self.world, &room.name.clone(), operation) {
            Ok(()) | Err(RoomError::TooManyRelations | RoomError::Full(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn ten_thousand_random_operations_let_nobody_hear_what_is_forbidden() {
    let mut meeting = Meeting::new(20);
    for _ in 0..12 {
        meeting.come_or_go();
    }
    for n in 0..OPERATIONS {
        meeting.step();
        meeting.note();
        // Bursts, and times in which something can be heard.
        if n % 40 == 39 {
            meeting.run(1_000);
        } else if n % 3 == 0 {
            let pause = meeting.rng.random::<u8>() % 25;
            meeting.run(u64::from(pause));
        }
    }
    let (heard, wanted) = (meeting.heard, meeting.wanted);
    eprintln!("{heard} windows with a voice, {wanted} that had to have one");
    assert!(heard > 1_000 && wanted > 1_000, "{heard}, {wanted}");
    let now = meeting.world.now();
    meeting.world.switch.hang_up_all(&EndReason::Shutdown, now);
    meeting.world.carry_out();
    meeting.world.run(100);
    meeting.note();
    assert_eq!(meeting.world.switch.rooms(), 0);
}
