//! Thousands of calls through a network that loses, doubles and reorders, with callers that vanish,
//! cancel, hold and talk over each other: at the end nothing is left, and one seed is one run.

use crate::support::robot;
use crate::support::sim;

use antiphon::switch::Event;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use robot::Robot;
use sim::net::Faults;
use sim::{Setup, World, flow, settings};

/// Bad, but as met: a tenth of SIP is lost.
const SIP: Faults = Faults {
    loss: 0.1,
    duplicate: 0.05,
    delay_us: (500, 80_000),
};
const MEDIA: Faults = Faults {
    loss: 0.05,
    duplicate: 0.02,
    delay_us: (500, 60_000),
};

/// How calls came to their end.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    started: usize,
    answered: usize,
    refused: usize,
    reasons: std::collections::BTreeMap<&'static str, usize>,
}

/// `calls` calls, one every 60 ms or so; every tenth is placed by us.
fn soak(seed: u64, calls: usize) -> (Tally, u64) {
    let mut settings = settings();
    settings.max_calls = 400;
    settings.legs_per_worker = 400;
    settings.max_rooms = 30;
    settings.bridges_per_worker = 30;
    settings.media_timeout_ms = 8_000;
    settings.call.max_length = std::time::Duration::from_secs(100);
    settings.call.session_expires = std::time::Duration::from_secs(90);
    let mut world = World::with(Setup {
        seed,
        settings,
        sip: SIP,
        media: MEDIA,
        ports: 390,
        ..Setup::default()
    });
    let mut rng = StdRng::seed_from_u64(seed);
    let mut robots: Vec<Robot> = Vec::new();
    let mut next = world.ms;
    while robots.len() < calls {
        if world.ms >= next {
            next = world.ms + rng.random_range(0..120);
            let phone = world.phone();
            world.phones[phone].keep = false;
            let mut robot = Robot::new(phone, world.ms, &mut rng);
            if phone % 10 == 9 {
                place(&mut world, phone, &mut rng);
            } else {
                robot.invite(&mut world, &mut rng);
            }
            robots.push(robot);
        }
        tick(&mut world, &mut robots, &mut rng);
    }
    // Everybody comes to an end: 100 s for the longest call, 64*T1 for the last transaction.
    let end = world.ms + 200_000;
    while world.ms < end {
        tick(&mut world, &mut robots, &mut rng);
    }
    world.check_empty();
    let left: Vec<_> = world.recorded.keys().collect();
    for recording in left {
        let closed = world.closed.iter().filter(|(r, _)| r == recording).count();
        assert_eq!(
            closed, 1,
            "recording {recording} is closed once, seed {seed}"
        );
    }
    (tally(&world, seed), world.digest)
}

fn tick(world: &mut World, robots: &mut [Robot], rng: &mut StdRng) {
    world.step();
    for robot in robots.iter_mut().filter(|r| !r.done) {
        robot.step(world, rng);
    }
}

fn place(world: &mut World, phone: usize, rng: &mut StdRng) {
    let (to, now) = (world.phones[phone].sip, world.now());
    let spec = antiphon::app::AppSpec::Script(antiphon::app::ScriptSpec {
        length: Some(std::time::Duration::from_millis(rng.random_range(0..5000))),
        ..antiphon::app::ScriptSpec::default()
    });
    let handle = world.switch.originate(
        format!("sip:p@{to}"),
        "us".into(),
        flow(to),
        vec![],
        spec,
        now,
    );
    if rng.random_bool(0.3) {
        world.switch.hang_up(handle, now);
    }
    world.carry_out();
}

fn tally(world: &World, seed: u64) -> Tally {
    let mut tally = Tally::default();
    for event in &world.events {
        match event {
            Event::Started { .. } => tally.started += 1,
            Event::Answered { .. } => tally.answered += 1,
            Event::Refused { .. } => tally.refused += 1,
            Event::Ended(summary) => {
                *tally.reasons.entry(summary.reason.word()).or_default() += 1;
            }
            Event::Room(_) | Event::Progress { .. } | Event::Held { .. } => {}
            other => panic!("{other:?}, seed {seed}"),
        }
    }
    assert_eq!(
        tally.started,
        tally.reasons.values().sum::<usize>(),
        "each call ends once, seed {seed}"
    );
    tally
}

#[test]
fn nothing_is_left_of_five_thousand_calls() {
    let (tally, _) = soak(71, 5000);
    println!("{tally:?}");
    assert!(tally.started > 4000, "{tally:?}");
    assert!(tally.answered > 3000, "{tally:?}");
    // Every way to end a call was among them.
    for reason in [
        "hung-up",
        "remote-hung-up",
        "cancelled",
        "rejected",
        "no-answer",
        "no-ack",
        "media-timeout",
    ] {
        assert!(tally.reasons.contains_key(reason), "{reason}: {tally:?}");
    }
}

#[test]
fn one_seed_is_one_run_and_another_is_another() {
    let (first, digest) = soak(72, 300);
    assert_eq!(soak(72, 300), (first, digest), "seed 72");
    assert_ne!(soak(73, 300).1, digest);
}

/// Twelve calls, hung up all at once.
fn shut_down(seed: u64) -> u64 {
    let mut world = World::new(seed);
    for phone in world.phones(12) {
        world.dial(phone, "500");
    }
    let now = world.now();
    let reason = antiphon::call::EndReason::Shutdown;
    world.switch.hang_up_all(&reason, now);
    world.carry_out();
    world.run(1000);
    world.digest
}

#[test]
fn a_shutdown_is_the_same_for_the_same_seed() {
    let first = shut_down(74);
    assert!((0..4).all(|_| shut_down(74) == first), "seed 74");
}
