//! Who talks in a room: by the events, and by what is known of its members.

use std::time::Duration;

use crate::support::sim;

use super::rooms::{caller, changes, finish, handle, settings, world};

use antiphon::app::room::RoomSettings;
use antiphon::room::{RoomChange, RoomTalk};
use antiphon::switch::Event;
use sim::World;

fn follow(world: &mut World, on: bool) {
    world.switch.watch_talkers(on);
    world.carry_out();
}

/// What was told so far, and when: runs for so long.
fn run(world: &mut World, ms: u64) -> Vec<(u64, RoomTalk)> {
    let mut told = Vec::new();
    let mut seen = world.events.len();
    for _ in 0..ms {
        world.run(1);
        for event in &world.events[seen..] {
            if let Event::Talkers(talk) = event {
                told.push((world.ms, RoomTalk::clone(talk)));
            }
        }
        seen = world.events.len();
    }
    told
}

/// Whoever applies the events has what the room says of itself.
fn check(world: &World, told: &[(u64, RoomTalk)]) {
    let room = world.switch.room_state("600").unwrap().talk.unwrap();
    let last = &told.last().unwrap().1;
    assert_eq!((last.dominant, last.talking), (room.dominant, room.talking));
    let who = |talk: &RoomTalk| -> Vec<_> {
        let talking = talk.members.iter().filter(|(_, m)| m.talking);
        talking.map(|(call, m)| (*call, m.level_dbov)).collect()
    };
    assert_eq!(who(last), who(&room));
}

#[test]
fn who_talks_is_told_with_level_time_and_who_leads() {
    let mut world = world(settings());
    let phones: Vec<usize> = (0..3).map(|_| caller(&mut world)).collect();
    let [one, two, three] = phones[..] else {
        unreachable!()
    };
    let calls: Vec<_> = phones.iter().map(|&phone| handle(&world, phone)).collect();
    world.hush(three);
    assert!(run(&mut world, 1_000).is_empty(), "nobody wants to know");
    assert_eq!(world.switch.room_state("600").unwrap().talk, None);
    follow(&mut world, true);
    let told = run(&mut world, 2_000);
    check(&world, &told);
    let last = &told.last().unwrap().1;
    assert_eq!((last.room.as_str(), last.talking), ("600", 2));
    for n in [0, 1] {
        let member = last.members[&calls[n]];
        assert!(
            member.talking && (-27..=-24).contains(&member.level_dbov),
            "{member:?}"
        );
    }
    assert!(
        !last.members.contains_key(&calls[2]),
        "who is silent has not talked"
    );
    // Nothing changes in two steady tones: hardly anything is told.
    assert!(told.len() <= 6, "{} times", told.len());

    // Twelve decibels louder is clearly the loudest.
    world.phones[two].voice.amplitude = 10_000.0;
    let told = run(&mut world, 2_000);
    check(&world, &told);
    let last = &told.last().unwrap().1;
    assert_eq!(last.dominant, Some(calls[1]));
    assert!(
        (-15..=-12).contains(&last.members[&calls[1]].level_dbov),
        "{last:?}"
    );
    // A short burst of another does not take over.
    world.hush(one);
    run(&mut world, 1_000);
    world.hush(two);
    let told = run(&mut world, 2_000);
    check(&world, &told);
    let last = &told.last().unwrap().1;
    assert_eq!((last.talking, last.dominant), (0, Some(calls[1])));
    let seconds = last.members[&calls[0]].talked.as_secs_f64();
    assert!((3.9..5.0).contains(&seconds), "talked for {seconds} s");
    assert!(
        run(&mut world, 2_000).is_empty(),
        "nobody talks, nothing is told"
    );

    follow(&mut world, false);
    assert_eq!(world.switch.room_state("600").unwrap().talk, None);
    finish(&mut world, &phones);
}

#[test]
fn it_is_told_every_100_ms_at_most_and_never_of_who_is_not_heard() {
    let mut world = world(settings());
    follow(&mut world, true);
    let phones: Vec<usize> = (0..3).map(|_| caller(&mut world)).collect();
    let muted = handle(&world, phones[2]);
    let mute = antiphon::room::RoomOperation::Mute(muted, true);
    super::rooms::operate(&mut world, "600", mute).unwrap();
    world.run(1_000);
    let mut told = Vec::new();
    for n in 0..24 {
        // Louder and softer all the time.
        world.phones[phones[0]].voice.amplitude = [600.0, 9_000.0][n % 2];
        told.extend(run(&mut world, 150));
    }
    assert!(told.len() > 10, "{} times", told.len());
    let gaps = told.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.min().unwrap() >= 100);
    for (_, talk) in &told {
        assert!(!talk.members.get(&muted).is_some_and(|m| m.talking));
    }
    finish(&mut world, &phones);
}

#[test]
fn a_room_that_is_configured_so_knows_without_a_listener_and_logs_it() {
    let mut world = world(RoomSettings {
        watch_talkers: true,
        ..settings()
    });
    let (one, two) = (caller(&mut world), caller(&mut world));
    world.hush(two);
    world.run(3_000);
    let call = handle(&world, one);
    let talk = world.switch.room_state("600").unwrap().talk.unwrap();
    assert!(talk.members[&call].talking && talk.dominant == Some(call));
    world.hang_up(one);
    world.run(200);
    let talked = changes(&world).find_map(|change| match change {
        RoomChange::Left { talked, .. } => Some(*talked),
        _ => None,
    });
    let talked = talked.unwrap().unwrap();
    let fits = Duration::from_millis(2_700)..Duration::from_millis(3_300);
    assert!(fits.contains(&talked), "{talked:?}");
    finish(&mut world, &[two]);
}
