use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

mod plays;

use super::*;
use crate::app::room::{RoomRequest, Toggle};

/// A room, what the bridge was told, and what a listener to its events knows.
struct World {
    room: Room,
    now: Instant,
    ports: BTreeMap<CallHandle, Hearing>,
    roster: Roster,
    numbers: u64,
    told: Vec<(CallHandle, RoomNews)>,
    said: Vec<String>,
    /// What the bridge was to play, and has not been told to have ended.
    plays: Vec<WantedPlay>,
    /// What it was told of that.
    commands: Vec<String>,
    events: Vec<RoomChange>,
    port_commands: usize,
}

fn settings() -> RoomSettings {
    RoomSettings {
        max_members: 2_000,
        ..RoomSettings::default()
    }
}

fn c(n: u64) -> CallHandle {
    CallHandle(n)
}

fn set(members: &[u64]) -> BTreeSet<CallHandle> {
    members.iter().map(|&n| c(n)).collect()
}

impl World {
    fn new(settings: RoomSettings) -> Self {
        let bridge = BridgeId {
            index: 0,
            generation: 0,
        };
        let now = Instant::now();
        let max = settings.max_members;
        let room = Room::new("600".into(), (0, bridge), Arc::new(settings), max, now);
        let mut world = Self {
            room,
            now,
            ports: BTreeMap::new(),
            roster: Roster::default(),
            numbers: 0,
            told: Vec::new(),
            said: Vec::new(),
            plays: Vec::new(),
            commands: Vec::new(),
            events: Vec::new(),
            port_commands: 0,
        };
        world.drain();
        world
    }

    fn arrive(&mut self, n: u64, role: Role) {
        let entrant = Entrant {
            room: "600".into(),
            settings: self.room.settings().clone(),
            role,
            name: None,
            invited: false,
        };
        self.room.expect(c(n));
        self.room.arrive(c(n), &format!("u{n}"), &entrant, self.now);
        self.drain();
    }

    fn members(&mut self, count: u64) {
        (1..=count).for_each(|n| self.arrive(n, Role::Member));
    }

    fn leave(&mut self, n: u64) {
        self.room.leave(c(n), self.now);
        self.drain();
    }

    fn request(&mut self, n: u64, request: RoomRequest) {
        self.room.request(c(n), request, self.now);
        self.drain();
    }

    fn operate(&mut self, operation: RoomOperation) -> Result<(), RoomError> {
        let result = self.room.operate(operation, self.now);
        self.drain();
        result
    }

    fn hears(&mut self, n: u64, scope: Scope) -> Result<(), RoomError> {
        self.operate(RoomOperation::Relate {
            member: c(n),
            hears: Some(scope),
            heard_by: None,
            group: None,
        })
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.room.poll_timeout().filter(|&at| at <= end) {
            self.now = at;
            self.room.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    fn pairs(&self) -> BTreeSet<(CallHandle, CallHandle)> {
        let mut pairs = BTreeSet::new();
        for (&listener, ears) in &self.ports {
            for (&talker, voice) in &self.ports {
                let class = ears.ears.filter(|_| listener != talker);
                if class.is_some_and(|class| voice.voice >> class & 1 == 1) {
                    pairs.insert((listener, talker));
                }
            }
        }
        pairs
    }

    /// Who is to hear whom, by nothing but the members' own words.
    fn wanted(&self) -> BTreeSet<(CallHandle, CallHandle)> {
        let state = self.room.state();
        let mut pairs = BTreeSet::new();
        for l in state.members.iter().filter(|m| m.listens()) {
            for t in state.members.iter().filter(|m| m.is_heard()) {
                if hears((l.call, &l.relations), (t.call, &t.relations)) {
                    pairs.insert((l.call, t.call));
                }
            }
        }
        pairs
    }

    /// Carries out what the room wants, step by step: at no time may anybody hear what was
    /// forbidden before and is after.
    fn drain(&mut self) {
        let checked = self.ports.len() < 50;
        let before = if checked {
            self.pairs()
        } else {
            BTreeSet::new()
        };
        let wanted = if checked {
            self.wanted()
        } else {
            BTreeSet::new()
        };
        while let Some(output) = self.room.poll_output() {
            match output {
                RoomOutput::Enter(call, hearing) => {
                    assert!(self.ports.insert(call, hearing).is_none(), "{call:?} twice");
                }
                RoomOutput::Port(call, hearing) => {
                    self.port_commands += 1;
                    let old = self.ports.insert(call, hearing);
                    assert!(old.is_some_and(|old| old != hearing), "nothing new");
                }
                RoomOutput::Withdraw { call, .. } => {
                    self.ports.remove(&call);
                }
                RoomOutput::Tell(call, news) => self.told.push((call, news)),
                RoomOutput::Play(play) => {
                    for item in &play.items {
                        self.said.push(format!("{item:?}"));
                    }
                    self.plays.push(play);
                }
                RoomOutput::ControlPlay(place, change) => {
                    self.commands.push(format!("{change:?} {place}"));
                }
                RoomOutput::StopPlay(place) => self.commands.push(format!("Stop {place}")),
                RoomOutput::Event(event) => {
                    self.numbers += 1;
                    assert_eq!(event.number, self.numbers);
                    self.roster.apply(&event);
                    self.events.push(event.change);
                }
                _ => {}
            }
            if checked {
                // Who leaves by itself is out of the bridge by its call's end.
                let gone = |call: &CallHandle| self.room.member(*call).is_none();
                self.ports.retain(|call, _| !gone(call));
                for pair in self.pairs() {
                    assert!(before.contains(&pair) || wanted.contains(&pair), "{pair:?}");
                }
            }
        }
        let gone: Vec<_> = self.ports.keys().copied().collect();
        for call in gone {
            if self.room.member(call).is_none() {
                self.ports.remove(&call);
            }
        }
        if checked {
            assert_eq!(self.pairs(), self.wanted());
        }
        self.check_roster();
    }

    fn check_roster(&self) {
        let known = self.roster.0.get("600");
        if self.room.is_over() {
            assert_eq!(known, None);
            return;
        }
        let truth: BTreeMap<_, _> = self
            .room
            .state()
            .members
            .into_iter()
            .map(|m| (m.call, m))
            .collect();
        assert_eq!(known, Some(&truth));
    }

    fn last_told(&self, n: u64) -> Option<&RoomNews> {
        self.told
            .iter()
            .rev()
            .find(|(call, _)| *call == c(n))
            .map(|(_, news)| news)
    }
}

#[test]
fn who_is_on_the_way_counts_and_may_give_up() {
    let mut world = World::new(RoomSettings {
        max_members: 1,
        ..settings()
    });
    let room = &mut world.room;
    assert!(room.expect(c(1)) && room.expect(c(1)));
    assert!(!room.expect(c(2)));
    assert!(!room.has_room() && !room.is_empty());
    world.leave(1);
    assert!(world.room.is_over());
    assert_eq!(
        world.events.last(),
        Some(&RoomChange::Ended(EndCause::Empty))
    );
}

#[test]
fn a_whisperer_a_coach_and_a_listener() {
    let mut world = World::new(settings());
    world.members(4);
    // 4 listens only; 3 coaches 1: only 1 hears it.
    let relate = |member, heard_by| RoomOperation::Relate {
        member,
        hears: None,
        heard_by: Some(heard_by),
        group: None,
    };
    world.operate(relate(c(4), Scope::Only(set(&[])))).unwrap();
    world.operate(relate(c(3), Scope::Only(set(&[1])))).unwrap();
    let pairs = world.pairs();
    assert!(pairs.contains(&(c(1), c(3))) && !pairs.contains(&(c(2), c(3))));
    assert!(pairs.contains(&(c(4), c(2))) && !pairs.contains(&(c(2), c(4))));
    world.leave(1);
    assert!(world.pairs().iter().all(|&(_, talker)| talker != c(3)));
}

#[test]
fn side_conversations_are_among_themselves() {
    let mut world = World::new(settings());
    world.members(5);
    for member in [2, 3] {
        let group = Some("side".to_owned());
        let member = c(member);
        world
            .operate(RoomOperation::Group { member, group })
            .unwrap();
    }
    let with = |n: u64| {
        let pairs = world.pairs();
        let heard = pairs.iter().filter(|p| p.0 == c(n)).map(|p| p.1.0);
        heard.collect::<Vec<_>>()
    };
    assert_eq!(with(2), [3]);
    assert_eq!(with(1), [4, 5]);
}

#[test]
fn the_thirty_second_mix_is_refused_and_nothing_has_changed() {
    let mut world = World::new(settings());
    world.members(40);
    for n in 1..=31 {
        world.hears(n, Scope::Only(set(&[n + 1, 40]))).unwrap();
    }
    let (pairs, roster) = (world.pairs(), world.roster.clone());
    let refused = world.hears(32, Scope::Only(set(&[1, 2, 3])));
    assert_eq!(refused, Err(RoomError::TooManyRelations));
    assert_eq!((world.pairs(), &world.roster), (pairs, &roster));
    world.hears(32, Scope::Except(set(&[]))).unwrap();
    world.hears(5, Scope::All).unwrap();
    world.hears(32, Scope::Only(set(&[1, 2, 3]))).unwrap();
}

#[test]
fn a_thousand_cost_no_word_for_what_concerns_two() {
    let mut world = World::new(settings());
    world.members(1_000);
    world.port_commands = 0;
    world.hears(1, Scope::Except(set(&[2]))).unwrap();
    assert_eq!(
        world.port_commands, 2,
        "one listens otherwise, one is heard otherwise"
    );
    world.port_commands = 0;
    world.arrive(1_001, Role::Member);
    world.operate(RoomOperation::Mute(c(500), true)).unwrap();
    assert_eq!(world.port_commands, 1);
    world.port_commands = 0;
    world.hears(3, Scope::Only(set(&[4]))).unwrap();
    assert_eq!(
        world.port_commands, 999,
        "nobody else is heard in that class: all but the one, and who is muted, are told so; and who \
         listens otherwise"
    );
}

#[test]
fn who_is_locked_out_waits_or_comes_muted() {
    let mut world = World::new(RoomSettings {
        wait_for_moderator: true,
        start_muted: true,
        ..settings()
    });
    world.arrive(1, Role::Member);
    assert_eq!(world.last_told(1), Some(&RoomNews::Waiting));
    world.arrive(2, Role::Moderator);
    let entered = |members, muted| RoomNews::Entered {
        members,
        muted,
        recorded: false,
    };
    assert_eq!(world.last_told(1), Some(&entered(2, true)));
    assert!(!world.room.member(c(2)).unwrap().muted);
    world.request(1, RoomRequest::Mute(Toggle::Flip));
    assert!(world.pairs().contains(&(c(2), c(1))));
    world.request(2, RoomRequest::Lock(Toggle::Flip));
    world.arrive(3, Role::Member);
    assert_eq!(
        world.last_told(3),
        Some(&RoomNews::Refused(Refusal::Locked))
    );
    world.arrive(4, Role::Moderator);
    assert!(world.room.member(c(4)).is_some());
}

#[test]
fn who_was_put_on_hold_while_it_waited_comes_in_on_hold_and_is_not_muted() {
    let mut world = World::new(RoomSettings {
        wait_for_moderator: true,
        ..settings()
    });
    world.arrive(1, Role::Member);
    world.operate(RoomOperation::Hold(c(1), true)).unwrap();
    world.arrive(2, Role::Moderator);
    let told: Vec<_> = world
        .told
        .iter()
        .filter(|(call, _)| *call == c(1))
        .collect();
    let entered = RoomNews::Entered {
        members: 2,
        muted: false,
        recorded: false,
    };
    let wanted = [RoomNews::Waiting, entered, RoomNews::Held(true)];
    assert!(told.iter().map(|(_, news)| news).eq(&wanted), "{told:?}");
    assert!(!world.pairs().contains(&(c(2), c(1))));
}

#[test]
fn what_a_moderator_has_muted_its_owner_cannot_unmute() {
    let mut world = World::new(settings());
    world.arrive(1, Role::Moderator);
    world.arrive(2, Role::Member);
    world.request(1, RoomRequest::MuteAll(true));
    assert!(world.room.member(c(1)).unwrap().is_heard());
    world.request(2, RoomRequest::Mute(Toggle::Off));
    assert!(!world.room.member(c(2)).unwrap().is_heard());
    world.request(1, RoomRequest::MuteAll(false));
    assert!(world.room.member(c(2)).unwrap().is_heard());
}

#[test]
fn the_room_ends_without_its_moderator_unless_one_returns() {
    let mut world = World::new(RoomSettings {
        end_without_moderator: Some(Duration::from_secs(30)),
        ..settings()
    });
    world.arrive(1, Role::Moderator);
    world.arrive(2, Role::Member);
    world.leave(1);
    world.wait(29);
    world.arrive(3, Role::Moderator);
    world.wait(60);
    assert!(!world.room.is_over());
    world
        .operate(RoomOperation::SetRole(c(3), Role::Member))
        .unwrap();
    world.wait(31);
    assert_eq!(
        world.events.last(),
        Some(&RoomChange::Ended(EndCause::NoModerator))
    );
    assert_eq!(world.last_told(2), Some(&RoomNews::Ended));
    assert!(world.ports.is_empty());
}

#[test]
fn time_is_up_after_a_warning() {
    let mut world = World::new(RoomSettings {
        max_length: Some(Duration::from_secs(100)),
        warning: Duration::from_secs(10),
        ..settings()
    });
    world.members(2);
    world.wait(89);
    assert!(world.said.is_empty());
    world.wait(1);
    assert_eq!(world.said.len(), 1);
    world.wait(10);
    assert_eq!(
        world.events.last(),
        Some(&RoomChange::Ended(EndCause::TimeLimit))
    );
}

#[test]
fn the_last_one_who_came_is_kicked_but_never_a_moderator() {
    let mut world = World::new(settings());
    world.arrive(5, Role::Moderator);
    world.arrive(4, Role::Member);
    world.arrive(3, Role::Member);
    world.arrive(6, Role::Moderator);
    world.request(5, RoomRequest::KickLast);
    assert_eq!(world.last_told(3), Some(&RoomNews::Kicked));
    world.request(5, RoomRequest::KickLast);
    world.request(5, RoomRequest::KickLast);
    assert_eq!(world.room.len(), 2);
}

fn scope(rng: &mut StdRng, members: &[CallHandle]) -> Scope {
    let count = rng.random_range(0..4usize);
    let some: BTreeSet<_> = members.choose_multiple(rng, count).copied().collect();
    match rng.random_range(0..3) {
        0 => Scope::All,
        1 => Scope::Only(some),
        _ => Scope::Except(some),
    }
}

/// One thing that a member or a program does.
fn random_step(world: &mut World, rng: &mut StdRng, next: &mut u64) {
    let members: Vec<CallHandle> = world.room.members.keys().copied().collect();
    let Some(&call) = members.choose(rng) else {
        *next += 1;
        return world.arrive(*next, Role::Member);
    };
    let on = rng.random();
    let group = rng
        .random_bool(0.5)
        .then(|| ["a", "b"][rng.random_range(0..2)].to_owned());
    use RoomOperation as Op;
    let operation = match rng.random_range(0..24) {
        0..4 if members.len() < 24 => {
            *next += 1;
            let role = [Role::Member, Role::Moderator][usize::from(rng.random_bool(0.2))];
            return world.arrive(*next, role);
        }
        4 => Op::Mute(call, on),
        5 => Op::Deafen(call, on),
        6 => Op::Hold(call, on),
        7 => Op::RaiseHand(call, on),
        8 => Op::MuteAll(on),
        9..14 => Op::Relate {
            member: call,
            hears: rng.random_bool(0.7).then(|| scope(rng, &members)),
            heard_by: rng.random_bool(0.5).then(|| scope(rng, &members)),
            group: None,
        },
        14..16 => Op::Group {
            member: call,
            group,
        },
        16 if on => return world.play_all(),
        16 => Op::SetRole(
            call,
            [Role::Member, Role::Moderator][usize::from(rng.random_bool(0.5))],
        ),
        17 => Op::Kick(call),
        18 => Op::Lock(on),
        19 => Op::Admit(call),
        20 => Op::Gain {
            member: call,
            in_db: Some(rng.random_range(-6..6)),
            out_db: None,
        },
        21 => return world.request(call.0, RoomRequest::Mute(Toggle::Flip)),
        0..4 | 22 => return world.leave(call.0),
        _ => Op::Move {
            member: call,
            to: "601".into(),
        },
    };
    match world.operate(operation) {
        Ok(()) | Err(RoomError::TooManyRelations) => {}
        Err(other) => panic!("{other}"),
    }
}

/// Every step is checked by [`World::drain`] against what the members' own states say.
#[test]
fn ten_thousand_random_operations() {
    let mut told = 0;
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(RoomSettings {
            wait_for_moderator: seed % 3 == 0,
            start_muted: seed % 2 == 0,
            // Who comes is in a class of its own until that is over.
            tones: seed % 2 == 1,
            ..settings()
        });
        let mut next = 0;
        for _ in 0..1_000 {
            random_step(&mut world, &mut rng, &mut next);
            if world.room.is_over() {
                world = World::new(settings());
            }
        }
        told += world.told.len();
    }
    assert!(told > 0);
}

#[test]
fn classes_are_few_where_members_hear_alike() {
    // Four who hear each other and nobody else need one class, and their own voices differ in none.
    let mut world = World::new(settings());
    world.members(12);
    for n in 1..=4 {
        world.hears(n, Scope::Only(set(&[1, 2, 3, 4]))).unwrap();
    }
    let classes: HashMap<u8, usize> = world.ports.values().fold(HashMap::new(), |mut all, port| {
        *all.entry(port.ears.unwrap()).or_default() += 1;
        all
    });
    assert_eq!(classes.len(), 2, "{classes:?}");
}
