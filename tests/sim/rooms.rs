//! Conference rooms with a policy: who gets in, what keys do, how rooms end. By what each phone
//! hears, and by the events.

use std::sync::Arc;
use std::time::Duration;

use crate::api::Desk;
use crate::support::sim;

use antiphon::app::room::{Names, Role, RoomName, RoomSettings, RoomTable};
use antiphon::app::voicemail::Pin;
use antiphon::app::{AppSpec, ConferenceSpec, PlayItem};
use antiphon::audio::sound::Band;
use antiphon::call::{CallHandle, EndReason};
use antiphon::room::{EndCause, LeaveReason, RoomChange, RoomError, RoomOperation, Roster};
use antiphon::sdp::SrtpPolicy;
use antiphon::store::prompts::Prompts;
use antiphon::switch::Event;
use antiphon::switch::routes::{Route, anchored};
use sim::signal::amplitude;
use sim::{Setup, World};

/// A world whose rooms, all that begin with 6, are like this.
pub fn world(settings: RoomSettings) -> World {
    world_of(settings, |_| {})
}

/// The same with something else that is different about it.
fn world_of(settings: RoomSettings, change: impl FnOnce(&mut Setup)) -> World {
    let rooms = RoomTable(vec![(
        RoomName::Matches(anchored("6..").unwrap()),
        Arc::new(settings),
    )]);
    let spec = AppSpec::Conference(ConferenceSpec {
        room: "$0".into(),
        lone_prompt: false,
        max_members: 10,
        rooms: Arc::new(rooms),
        invited: false,
    });
    let mut routes = sim::routes();
    routes.0.insert(
        0,
        Route {
            pattern: anchored("6..").unwrap(),
            sources: Vec::new(),
            srtp: SrtpPolicy::Optional,
            denied: Vec::new(),
            auth: false,
            spec,
        },
    );
    let mut setup = Setup {
        seed: 1,
        routes,
        ..Setup::default()
    };
    change(&mut setup);
    let mut world = World::with(setup);
    world.switch.set_menus(sim::menu().menus);
    world
}

pub fn settings() -> RoomSettings {
    RoomSettings {
        lone_prompt: false,
        ..RoomSettings::default()
    }
}

pub fn pin(digits: &str) -> Pin {
    Pin::new(digits.to_owned())
}

pub fn caller(world: &mut World) -> usize {
    caller_of(world, "600")
}

pub fn caller_of(world: &mut World, user: &str) -> usize {
    let phone = world.phone();
    world.phones[phone].events = true;
    world.dial(phone, user);
    world.run(100);
    phone
}

/// With a PIN.
pub fn caller_with(world: &mut World, pin: &str) -> usize {
    let phone = caller(world);
    press(world, phone, &format!("{pin}#"));
    phone
}

pub fn press(world: &mut World, phone: usize, keys: &str) {
    world.phones[phone].voice.keys.press(keys, 60, 60);
    let out = world.run_until(10_000, |w| w.phones[phone].voice.keys.are_out());
    assert!(out, "all keys are out");
    world.run(100);
}

/// Whether a prompt is heard in the next 4 s, or was begun a moment ago.
#[track_caller]
pub fn hears_prompt(world: &mut World, phone: usize, name: &str) {
    let from = world.ms - 400;
    world.run(4_000);
    assert!(heard(world, phone, name, from), "phone {phone}: {name}");
}

/// By its end, or by 300 ms of a long one: many begin alike.
pub fn heard(world: &World, phone: usize, name: &str, from: u64) -> bool {
    let prompts = Prompts::load(None, "").unwrap();
    let prompt = prompts
        .get(name)
        .unwrap_or_else(|| panic!("no prompt {name}"));
    let at = (prompt.sound.len() - 2_560).min(12_000);
    let part = &prompt.sound.samples(Band::Narrow)[at..at + 2_400];
    likeness(part, &world.phones[phone].audio(from, world.ms)) > 0.7
}

/// The best normalised correlation of `part` in `audio`.
fn likeness(part: &[i16], audio: &[i16]) -> f64 {
    let energy = |x: &[i16]| x.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let own = energy(part);
    let at = |start: usize| {
        let piece = &audio[start..start + part.len()];
        let pairs = piece.iter().zip(part);
        let product: f64 = pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        product / (own * energy(piece).max(1.0)).sqrt()
    };
    let last = audio.len().saturating_sub(part.len());
    (0..last).map(at).fold(0.0, f64::max)
}

/// Whether one phone hears another's tone now.
pub fn hears(world: &mut World, listener: usize, talker: usize) -> bool {
    world.run(300);
    let from = world.ms;
    world.run(220);
    let audio = world.phones[listener].audio(from, world.ms);
    let level = amplitude(&audio[..1600], world.phones[talker].voice.hz);
    assert!(!(100.0..2_000.0).contains(&level), "neither nor: {level}");
    level > 1000.0
}

pub fn handle(world: &World, phone: usize) -> CallHandle {
    let id = &world.phones[phone].call_id;
    let started = |event: &Event| match event {
        Event::Started { call, call_id, .. } if call_id == id => Some(*call),
        _ => None,
    };
    world.events.iter().find_map(started).unwrap()
}

pub fn operate(world: &mut World, room: &str, operation: RoomOperation) -> Result<(), RoomError> {
    let now = world.now();
    let result = world.switch.room_operation(room, operation, now);
    world.carry_out();
    result
}

/// A phone's call goes to another room.
pub fn moved(world: &World, phone: usize, to: &str) -> RoomOperation {
    RoomOperation::Move {
        member: handle(world, phone),
        to: to.into(),
    }
}

pub fn changes(world: &World) -> impl Iterator<Item = &RoomChange> {
    world.events.iter().filter_map(|event| match event {
        Event::Room(event) => Some(&event.change),
        _ => None,
    })
}

/// What the events tell is what is.
#[track_caller]
pub fn check_roster(world: &World) {
    let mut roster = Roster::default();
    for event in &world.events {
        if let Event::Room(event) = event {
            roster.apply(event);
        }
    }
    let truth = world.switch.room_states().into_iter().map(|room| {
        let members = room.members.into_iter().map(|m| (m.call, m));
        (room.name, members.collect())
    });
    assert_eq!(roster.0, truth.collect());
}

#[track_caller]
pub fn finish(world: &mut World, phones: &[usize]) {
    check_roster(world);
    for &phone in phones {
        if world.ended(phone).is_none() {
            world.hang_up(phone);
        }
    }
    world.run(40_000);
    world.check_empty();
    check_roster(world);
}

#[test]
fn the_list_of_rooms_goes_on_whatever_callers_dial() {
    let mut world = world_of(settings(), |setup| {
        let mut spec = setup.routes.0[0].spec.clone();
        if let AppSpec::Conference(conference) = &mut spec {
            conference.room = "$1".into();
        }
        setup.routes.0.push(Route {
            pattern: anchored("conf[=-](.+)").unwrap(),
            spec,
            ..setup.routes.0[0].clone()
        });
    });
    let longest = format!("%7F{}", "x".repeat(300));
    for name in ["%01x", &longest[3..], &longest[..], &longest[3..=67]] {
        let phone = world.phone();
        let invite = world.phones[phone].invite(&format!("conf-{name}"));
        world.send(phone, &invite);
        world.expect(phone, 404);
    }
    let fits = format!("conf-{}", &longest[3..67]);
    let dialled = ["600", fits.as_str(), "conf-a%20b"];
    let phones = dialled.map(|user| caller_of(&mut world, user));
    let mut desk = Desk::of(world);
    let (mut names, mut url) = (Vec::new(), "/api/v1/rooms?limit=1".to_owned());
    loop {
        let page = desk.ok(&url);
        names.push(page["rooms"][0]["name"].as_str().unwrap().to_owned());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        url = format!("/api/v1/rooms?limit=1&after={}", next.replace(' ', "%20"));
    }
    assert_eq!(names, ["600", "a b", &longest[3..67]]);
    finish(&mut desk.world, &phones);
}

#[test]
fn a_pin_lets_in_and_three_wrong_ones_do_not() {
    let mut world = world(RoomSettings {
        pin: Some(pin("1234")),
        moderator_pin: Some(pin("9876")),
        ..settings()
    });
    let one = caller(&mut world);
    assert_eq!(world.switch.rooms(), 0, "who has not got in makes no room");
    hears_prompt(&mut world, one, "conf-pin");
    press(&mut world, one, "1234#");
    let two = caller_with(&mut world, "9876");
    assert!(hears(&mut world, one, two) && hears(&mut world, two, one));
    let three = caller(&mut world);
    for wrong in ["1111#", "123#"] {
        press(&mut world, three, wrong);
        hears_prompt(&mut world, three, "conf-wrong-pin");
    }
    assert!(!hears(&mut world, one, three));
    press(&mut world, three, "98765#");
    world.run(5_000);
    assert_eq!(world.ended(three).unwrap().reason, EndReason::HungUp);
    let refused = world.events.iter().filter_map(|event| match event {
        Event::RoomPinRefused { room, failures, .. } => Some((room.as_str(), *failures)),
        _ => None,
    });
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused, [("600", 1), ("600", 2), ("600", 3)]);
    finish(&mut world, &[one, two]);
}

#[test]
fn wrong_pins_count_over_all_rooms_of_a_pattern_and_moderators_apart() {
    let mut world = world(RoomSettings {
        pin: Some(pin("1234")),
        moderator_pin: Some(pin("9876")),
        ..settings()
    });
    let enter = |world: &mut World, room: &str, pins: &[&str]| {
        let phone = caller_of(world, room);
        for pin in pins {
            press(world, phone, &format!("{pin}#"));
        }
        phone
    };
    let role = |world: &World, room: &str, phone: usize| {
        let room = world.switch.room_state(room)?;
        let call = handle(world, phone);
        let member = room.members.iter().find(|member| member.call == call)?;
        Some(member.role)
    };
    for room in ["600", "601", "602"] {
        let guesses = enter(&mut world, room, &["9871", "9872", "9873"]);
        world.run(8_000);
        assert!(world.ended(guesses).is_some());
        world.hush(guesses);
        // The members' PIN clears what was tried at that alone.
        let member = enter(&mut world, room, &["1234"]);
        assert_eq!(role(&world, room, member), Some(Role::Member));
        world.hang_up(member);
    }
    let phone = enter(&mut world, "603", &["9874", "9876", "1234"]);
    assert_eq!(role(&world, "603", phone), Some(Role::Member), "locked");
    let refused = world.events.iter().filter_map(|event| match event {
        Event::RoomPinRefused { room, failures, .. } => Some((room.as_str(), *failures)),
        _ => None,
    });
    let refused: Vec<_> = refused.skip(7).collect();
    assert_eq!(refused, [("602", 8), ("602", 9), ("603", 10), ("603", 10)]);
    world.hang_up(phone);
    world.run(301_000);
    let lead = enter(&mut world, "603", &["9876"]);
    assert_eq!(role(&world, "603", lead), Some(Role::Moderator));
    finish(&mut world, &[lead]);
}

#[test]
fn a_locked_room_turns_away_and_a_moderators_pin_passes() {
    let mut world = world(RoomSettings {
        moderator_pin: Some(pin("9876")),
        ..settings()
    });
    let lead = caller_with(&mut world, "9876");
    press(&mut world, lead, "*5");
    hears_prompt(&mut world, lead, "conf-room-locked");
    let late = caller_with(&mut world, "");
    hears_prompt(&mut world, late, "conf-locked");
    world.run(3_000);
    assert_eq!(world.ended(late).unwrap().reason, EndReason::HungUp);
    let other = caller_with(&mut world, "9876");
    assert!(hears(&mut world, lead, other));
    press(&mut world, lead, "*5");
    let next = caller_with(&mut world, "");
    assert!(hears(&mut world, lead, next));
    finish(&mut world, &[lead, other, next]);
}

#[test]
fn members_wait_for_the_moderator_or_for_a_program() {
    let mut world = world(RoomSettings {
        moderator_pin: Some(pin("9876")),
        wait_for_moderator: true,
        waiting_music: vec![PlayItem::Tone {
            hz: 1000.0,
            level_dbm0: -10.0,
            length: Duration::from_secs(1),
        }],
        ..settings()
    });
    let (one, two) = (caller_with(&mut world, ""), caller_with(&mut world, ""));
    hears_prompt(&mut world, two, "conf-waiting");
    world.run(3_000);
    let from = world.ms;
    world.run(220);
    let music = amplitude(&world.phones[one].audio(from, world.ms)[..1600], 1000.0);
    assert!(music > 3_000.0, "music at {music}");
    assert!(!hears(&mut world, one, two));
    // A program lets one in: alone, it hears nothing of who waits.
    let call = handle(&world, one);
    operate(&mut world, "600", RoomOperation::Admit(call)).unwrap();
    assert!(!hears(&mut world, one, two));
    let lead = caller_with(&mut world, "9876");
    assert!(hears(&mut world, one, two) && hears(&mut world, two, lead));
    let waited = changes(&world).filter(|c| matches!(c, RoomChange::Waiting(_)));
    assert_eq!(waited.count(), 2);
    finish(&mut world, &[one, two, lead]);
}

#[test]
fn muted_members_are_silent_until_they_or_the_moderator_say_otherwise() {
    let mut world = world(RoomSettings {
        moderator_pin: Some(pin("9876")),
        start_muted: true,
        ..settings()
    });
    let lead = caller_with(&mut world, "9876");
    let one = caller_with(&mut world, "");
    world.run(2_000);
    assert!(!hears(&mut world, lead, one), "comes in muted");
    assert!(hears(&mut world, one, lead));
    press(&mut world, one, "*1");
    world.run(2_000);
    assert!(hears(&mut world, lead, one), "unmutes itself");
    press(&mut world, lead, "*81");
    world.run(2_500);
    assert!(!hears(&mut world, lead, one), "all are muted");
    assert!(hears(&mut world, one, lead), "but moderators");
    press(&mut world, one, "*1");
    world.run(2_500);
    assert!(!hears(&mut world, lead, one), "and cannot change that");
    press(&mut world, lead, "*82");
    world.run(2_500);
    assert!(hears(&mut world, lead, one));
    finish(&mut world, &[lead, one]);
}

#[test]
fn the_last_is_kicked_and_the_moderator_ends_it() {
    let mut world = world(RoomSettings {
        moderator_pin: Some(pin("9876")),
        ..settings()
    });
    let lead = caller_with(&mut world, "9876");
    let (one, two) = (caller_with(&mut world, ""), caller_with(&mut world, ""));
    press(&mut world, lead, "*83");
    hears_prompt(&mut world, two, "conf-kicked");
    world.run(3_000);
    assert_eq!(world.ended(two).unwrap().reason, EndReason::HungUp);
    assert!(hears(&mut world, lead, one));
    press(&mut world, lead, "*89");
    hears_prompt(&mut world, one, "conf-ended");
    world.run(3_000);
    assert!(world.ended(one).is_some() && world.ended(lead).is_some());
    let last = changes(&world).last();
    assert_eq!(last, Some(&RoomChange::Ended(EndCause::Asked)));
    let reasons = changes(&world).filter_map(|change| match change {
        RoomChange::Left { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    use LeaveReason::{Ended, Kicked};
    assert_eq!(reasons.collect::<Vec<_>>(), [Kicked, Ended, Ended]);
    finish(&mut world, &[]);
}

#[test]
fn it_ends_after_its_last_moderator_and_after_its_time() {
    let mut world = world(RoomSettings {
        moderator_pin: Some(pin("9876")),
        end_without_moderator: Some(Duration::from_secs(10)),
        max_length: Some(Duration::from_mins(1)),
        warning: Duration::from_secs(20),
        ..settings()
    });
    let lead = caller_with(&mut world, "9876");
    let one = caller_with(&mut world, "");
    world.hang_up(lead);
    hears_prompt(&mut world, one, "conf-ends-soon");
    let lead = caller_with(&mut world, "9876");
    world.run(15_000);
    assert!(hears(&mut world, one, lead), "one came back in time");
    let from = world.ms;
    world.run(22_000);
    assert!(
        heard(&world, one, "conf-ends-soon", from),
        "its time is nearly over"
    );
    world.run(30_000);
    assert!(world.ended(one).is_some() && world.ended(lead).is_some());
    let last = changes(&world).last();
    assert_eq!(last, Some(&RoomChange::Ended(EndCause::TimeLimit)));
    finish(&mut world, &[]);
}

#[test]
fn names_are_told_when_their_owners_come_and_go() {
    let mut world = world(RoomSettings {
        names: Names::Review,
        tones: true,
        announce_count: true,
        ..settings()
    });
    let named = |world: &mut World| {
        let phone = caller(world);
        // The prompt, the beep, then its tone is its name.
        world.run(5_500);
        press(world, phone, "#");
        world.run(500);
        press(world, phone, "1");
        world.hush(phone);
        phone
    };
    let one = named(&mut world);
    let from = world.ms;
    let two = named(&mut world);
    world.run(7_000);
    assert!(heard(&world, one, "conf-joined", from));
    let tone = |world: &World, from: u64| {
        let audio = world.phones[one].audio(from, world.ms);
        let hz = world.phones[two].voice.hz;
        let there = |window: &&[i16]| amplitude(window, hz) > 1_500.0;
        audio.chunks_exact(800).filter(there).count() * 100
    };
    let spoken = tone(&world, from);
    assert!(spoken >= 500, "the name was heard for {spoken} ms");
    assert!(heard(&world, two, "conf-count", from));
    let from = world.ms;
    world.hang_up(two);
    world.run(6_000);
    assert!(heard(&world, one, "conf-left", from));
    assert!(tone(&world, from) >= 500);
    finish(&mut world, &[one]);
}

#[test]
fn who_says_no_name_is_asked_again_and_who_begins_late_is_heard_out() {
    let mut world = world(RoomSettings {
        names: Names::Record,
        ..settings()
    });
    let phone = caller(&mut world);
    let voice = world.phones[phone].voice.amplitude;
    world.phones[phone].voice.amplitude = 0.0;
    assert!(world.run_until(20_000, |w| !w.closed.is_empty()));
    assert_eq!(world.closed[0].1, 0, "nothing was said");
    let from = world.ms;
    assert!(world.run_until(20_000, |w| !w.names.is_empty()));
    assert!(heard(&world, phone, "conf-no-name", from));
    world.run(2_000);
    world.phones[phone].voice.amplitude = voice;
    world.run(800);
    world.phones[phone].voice.amplitude = 0.0;
    assert!(world.run_until(20_000, |w| w.closed.len() == 2));
    let (name, samples) = world.closed[1];
    // Its end is soon behind what was said, and not behind the silence that has ended it.
    assert!((23_000..26_000).contains(&samples), "{samples} samples");
    let said = &world.recorded[&name][17_600..21_600];
    let hz = world.phones[phone].voice.hz;
    assert!(said.chunks_exact(800).all(|w| amplitude(w, hz) > 1_500.0));
    world.run(1_000);
    let joined = changes(&world).any(|change| matches!(change, RoomChange::Joined(_)));
    assert!(joined, "with this name");
    finish(&mut world, &[phone]);
}

#[test]
fn a_program_moves_members_to_other_rooms_and_hears_why_not() {
    let mut world = world(RoomSettings {
        max_members: 2,
        ..settings()
    });
    let (one, two) = (caller(&mut world), caller(&mut world));
    let (three, four) = (caller_of(&mut world, "601"), caller_of(&mut world, "601"));
    assert!(hears(&mut world, one, two) && hears(&mut world, three, four));
    let to = moved(&world, one, "601");
    let full = operate(&mut world, "600", to);
    assert_eq!(full, Err(RoomError::Full("601".into())));
    let to = moved(&world, one, "600");
    let stranger = operate(&mut world, "601", to);
    assert!(matches!(stranger, Err(RoomError::NoMember(_))));
    let nowhere = operate(&mut world, "609", RoomOperation::End);
    assert_eq!(nowhere, Err(RoomError::NoRoom("609".into())));
    world.hang_up(four);
    world.run(200);
    let to = moved(&world, one, "601");
    operate(&mut world, "600", to).unwrap();
    assert!(hears(&mut world, one, three) && hears(&mut world, three, one));
    assert!(!hears(&mut world, two, one) && !hears(&mut world, one, two));
    let to = moved(&world, two, "602");
    operate(&mut world, "600", to).unwrap();
    world.run(500);
    assert_eq!(world.switch.rooms(), 2, "600 is empty, and gone");
    check_roster(&world);
    finish(&mut world, &[one, two, three]);
}

#[test]
fn a_move_to_a_room_that_cannot_begin_is_refused_and_changes_nothing() {
    let mut world = world_of(settings(), |setup| setup.settings.max_rooms = 2);
    let (one, two) = (caller(&mut world), caller(&mut world));
    let three = caller_of(&mut world, "601");
    let to = moved(&world, one, "602");
    let refused = operate(&mut world, "600", to);
    assert_eq!(refused, Err(RoomError::TooManyRooms));
    assert!(hears(&mut world, one, two) && hears(&mut world, two, one));
    // The room that ends with the move makes room for the other.
    let to = moved(&world, three, "602");
    operate(&mut world, "601", to).unwrap();
    world.run(200);
    assert!(world.ended(three).is_none() && world.switch.room_state("602").is_some());
    assert_eq!(world.switch.rooms(), 2);
    finish(&mut world, &[one, two, three]);

    let mut world = world_of(settings(), |setup| {
        (setup.settings.workers, setup.settings.bridges_per_worker) = (1, 1);
    });
    let (one, two) = (caller(&mut world), caller(&mut world));
    let to = moved(&world, one, "602");
    let refused = operate(&mut world, "600", to);
    assert_eq!(refused, Err(RoomError::TooManyRooms));
    assert!(hears(&mut world, one, two) && hears(&mut world, two, one));
    // Who is alone takes the bridge's place along, as often as it likes.
    world.hang_up(two);
    world.run(200);
    for (from, to) in [("600", "602"), ("602", "603"), ("603", "600")] {
        let order = moved(&world, one, to);
        operate(&mut world, from, order).unwrap();
        world.run(100);
        assert_eq!(world.switch.rooms(), 1);
        assert_eq!(world.switch.room_state(to).unwrap().members.len(), 1);
    }
    finish(&mut world, &[one]);
}

#[test]
fn the_last_moderators_move_makes_room_where_that_ends_its_room() {
    let mut world = world_of(
        RoomSettings {
            moderator_pin: Some(pin("9876")),
            end_without_moderator: Some(Duration::ZERO),
            ..settings()
        },
        |setup| setup.settings.max_rooms = 1,
    );
    let one = caller_with(&mut world, "");
    let lead = caller_with(&mut world, "9876");
    let to = moved(&world, one, "602");
    let refused = operate(&mut world, "600", to);
    assert_eq!(refused, Err(RoomError::TooManyRooms));
    let to = moved(&world, lead, "602");
    operate(&mut world, "600", to).unwrap();
    world.run(8_000);
    assert!(world.ended(one).is_some() && world.ended(lead).is_none());
    finish(&mut world, &[lead]);
}
