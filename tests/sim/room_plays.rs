//! What rooms play, by what each phone hears: announcements, what programs want, who makes way.

use crate::support::sim;

use std::time::Duration;

use super::rooms::{
    caller, caller_with, changes, finish, handle, heard, hears_prompt, operate, pin, press,
    settings, world,
};

use antiphon::app::room::{Ducking, RoomSettings};
use antiphon::app::{PlayId, PlayItem, PlayOutcome};
use antiphon::room::{Audience, PlayOrder, RecordOrder, RoomChange, RoomError, RoomOperation};
use sim::World;
use sim::signal::amplitude;

/// What a tone at -16 dBm0 is, about.
const LOUD: f64 = 3_600.0;

fn tone(hz: f32, ms: u64) -> PlayItem {
    PlayItem::Tone {
        hz,
        level_dbm0: -16.0,
        length: Duration::from_millis(ms),
    }
}

fn play(
    world: &mut World,
    item: PlayItem,
    repeat: u32,
    (to, ducking): (Audience, Ducking),
) -> Result<PlayId, RoomError> {
    let order = PlayOrder {
        items: vec![item],
        repeat,
        to,
        ducking: Some(ducking),
    };
    let now = world.now();
    let result = world.switch.play_in_room("600", order, now);
    world.carry_out();
    result
}

/// How loud a phone hears a tone in the next 200 ms.
fn level(world: &mut World, phone: usize, hz: f64) -> f64 {
    let from = world.ms;
    world.run(220);
    amplitude(&world.phones[phone].audio(from, world.ms)[..1600], hz)
}

/// For how long it was heard since then, ms.
fn heard_ms(world: &World, phone: usize, hz: f64, from: u64) -> usize {
    let audio = world.phones[phone].audio(from, world.ms);
    let there = |window: &&[i16]| amplitude(window, hz) > 800.0;
    audio.chunks_exact(160).filter(there).count() * 20
}

/// Callers that say nothing.
fn silent(world: &mut World, count: usize) -> Vec<usize> {
    let phones: Vec<usize> = (0..count).map(|_| caller(world)).collect();
    for &phone in &phones {
        world.hush(phone);
    }
    world.run(1_500);
    phones
}

/// Has the room be recorded, which it announces, or no longer.
fn record(world: &mut World, on: bool) {
    let start = RecordOrder::Start {
        settings: None,
        left: None,
    };
    let order = if on { start } else { RecordOrder::Stop };
    operate(world, "600", RoomOperation::Record(order)).unwrap();
}

fn told(world: &World) -> Vec<String> {
    let told = changes(world).filter_map(|change| match change {
        RoomChange::PlayBegan(play) => Some(format!("began {}", play.id.0)),
        RoomChange::PlayEnded { id, outcome, heard } => {
            let seconds = heard.as_secs_f64();
            Some(match outcome {
                PlayOutcome::Finished => format!("finished {} {seconds:.1}", id.0),
                PlayOutcome::Stopped => format!("stopped {} {seconds:.1}", id.0),
                PlayOutcome::Failed(why) => format!("failed {} {why}", id.0),
            })
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn who_comes_is_announced_once_to_all_but_itself() {
    let mut world = world(RoomSettings {
        tones: true,
        ..settings()
    });
    let phones = silent(&mut world, 4);
    let (from, plays) = (world.ms, world.plays);
    let late = caller(&mut world);
    world.hush(late);
    world.run(1_500);
    for &phone in &phones {
        for hz in [660.0, 880.0] {
            let ms = heard_ms(&world, phone, hz, from);
            assert!(
                (100..=160).contains(&ms),
                "phone {phone}: {hz} Hz for {ms} ms"
            );
        }
    }
    assert_eq!(heard_ms(&world, late, 660.0, from), 0);
    assert_eq!(heard_ms(&world, late, 880.0, from), 0);
    assert_eq!(
        (world.plays.0 - plays.0, world.plays.1 - plays.1),
        (1, 0),
        "once into the room, and to no leg"
    );
    // When another goes, it hears that like all others.
    let from = world.ms;
    world.hang_up(phones[0]);
    world.run(1_500);
    for phone in [phones[1], late] {
        assert!((100..=160).contains(&heard_ms(&world, phone, 660.0, from)));
    }
    finish(&mut world, &[phones[1], phones[2], phones[3], late]);
}

#[test]
fn announcements_are_heard_one_after_the_other() {
    let mut world = world(RoomSettings {
        announce_recording: true,
        ..settings()
    });
    let phones = silent(&mut world, 2);
    let from = world.ms;
    for on in [true, false, true] {
        record(&mut world, on);
        world.run(100);
    }
    world.run(8_000);
    let ear = phones[1];
    assert!(heard(&world, ear, "conf-recording", from));
    assert!(heard(&world, ear, "conf-recording-ended", from));
    assert_eq!(world.plays, (3, 0));
    finish(&mut world, &phones);
}

#[test]
fn speech_makes_way_for_an_announcement_as_configured() {
    let mut world = world(RoomSettings {
        announce_recording: true,
        ducking: Ducking::Speech(20),
        ..settings()
    });
    let (one, two) = (caller(&mut world), caller(&mut world));
    world.run(1_000);
    let before = level(&mut world, two, 311.0);
    record(&mut world, true);
    world.run(300);
    let during = level(&mut world, two, 311.0);
    world.run(4_000);
    let after = level(&mut world, two, 311.0);
    let ratio = before / during;
    assert!((8.5..11.5).contains(&ratio), "20 dB: {before} to {during}");
    assert!((before / after - 1.0).abs() < 0.03, "{before} to {after}");
    finish(&mut world, &[one, two]);
}

#[test]
fn what_a_program_plays_makes_way_or_has_speech_make_way() {
    let mut world = world(settings());
    let (one, two) = (caller(&mut world), caller(&mut world));
    world.run(1_000);
    let before = level(&mut world, two, 311.0);
    let all = (Audience::All, Ducking::Speech(12));
    play(&mut world, tone(1000.0, 1_500), 1, all).unwrap();
    world.run(300);
    let (speech, tone_level) = (
        level(&mut world, two, 311.0),
        level(&mut world, two, 1000.0),
    );
    let ratio = before / speech;
    assert!((3.6..4.4).contains(&ratio), "12 dB: {before} to {speech}");
    assert!((tone_level / LOUD - 1.0).abs() < 0.15, "{tone_level}");
    world.run(2_000);
    assert!((level(&mut world, two, 311.0) / before - 1.0).abs() < 0.03);

    let all = (Audience::All, Ducking::Play(20));
    play(&mut world, tone(1000.0, 4_000), 1, all).unwrap();
    world.run(400);
    let (speech, low) = (
        level(&mut world, two, 311.0),
        level(&mut world, two, 1000.0),
    );
    assert!((speech / before - 1.0).abs() < 0.03, "{before} to {speech}");
    assert!((8.5..11.5).contains(&(LOUD / low)), "20 dB: {low}");
    world.hush(one);
    world.hush(two);
    world.run(1_500);
    let high = level(&mut world, two, 1000.0);
    assert!((high / LOUD - 1.0).abs() < 0.15, "nobody talks: {high}");
    world.run(3_000);
    finish(&mut world, &[one, two]);
}

#[test]
fn who_waits_hears_nothing_of_the_room_and_may_be_played_to_by_itself() {
    let mut world = world(RoomSettings {
        moderator_pin: Some(pin("9876")),
        wait_for_moderator: true,
        ..settings()
    });
    let (one, two) = (caller_with(&mut world, ""), caller_with(&mut world, ""));
    hears_prompt(&mut world, two, "conf-waiting");
    world.run(3_000);
    let call = handle(&world, one);
    operate(&mut world, "600", RoomOperation::Admit(call)).unwrap();
    for phone in [one, two] {
        world.hush(phone);
    }
    world.run(500);
    let all = (Audience::All, Ducking::Off);
    play(&mut world, tone(1000.0, 1_500), 1, all).unwrap();
    world.run(300);
    let from = world.ms;
    world.run(500);
    let level = |world: &World, phone: usize| {
        let audio = world.phones[phone].audio(from, world.ms);
        amplitude(&audio[..3_200], 1000.0)
    };
    assert!(level(&world, one) > 3_000.0);
    assert!(level(&world, two) < 10.0, "{}", level(&world, two));
    world.run(1_500);

    let to = (Audience::Member(handle(&world, two)), Ducking::Off);
    play(&mut world, tone(1000.0, 1_000), 1, to).unwrap();
    let from = world.ms;
    world.run(1_500);
    let heard = |phone| heard_ms(&world, phone, 1000.0, from);
    assert!((960..=1_040).contains(&heard(two)), "{} ms", heard(two));
    assert_eq!(heard(one), 0);
    assert_eq!(
        told(&world),
        ["began 1", "finished 1 1.5", "began 2", "finished 2 1.0"]
    );
    finish(&mut world, &[one, two]);
}

#[test]
fn plays_are_paused_resumed_stopped_and_follow_each_other() {
    let mut world = world(settings());
    let phones = silent(&mut world, 3);
    let all = (Audience::All, Ducking::Off);
    let endless = play(&mut world, tone(1000.0, 200), 0, all).unwrap();
    let next = play(&mut world, tone(700.0, 1_000), 1, all).unwrap();
    let last = play(&mut world, PlayItem::Library("../none".into()), 1, all).unwrap();
    let beneath = (Audience::Background, Ducking::Off);
    let music = play(&mut world, tone(1700.0, 200), 0, beneath).unwrap();
    world.run(200);
    let ear = phones[1];
    assert!(level(&mut world, ear, 1000.0) > 3_000.0);
    assert!(level(&mut world, ear, 1700.0) > 3_000.0, "beneath it");
    let pause = |world: &mut World, id, on| {
        let now = world.now();
        world.switch.pause_room_play("600", id, on, now).unwrap();
        world.carry_out();
        world.run(100);
    };
    pause(&mut world, endless, true);
    assert!(level(&mut world, ear, 1000.0) < 10.0, "paused");
    assert!(level(&mut world, ear, 1700.0) > 3_000.0);
    pause(&mut world, endless, false);
    assert!(level(&mut world, ear, 1000.0) > 3_000.0);
    let stop = |world: &mut World, id| {
        let now = world.now();
        world.switch.stop_room_play("600", id, now).unwrap();
        world.carry_out();
        world.run(100);
    };
    stop(&mut world, endless);
    assert!(level(&mut world, ear, 1000.0) < 10.0);
    assert!(level(&mut world, ear, 700.0) > 3_000.0, "the next");
    world.run(1_500);
    stop(&mut world, music);
    assert!(level(&mut world, ear, 1700.0) < 10.0);
    assert_eq!(
        (endless, next, last, music),
        (PlayId(1), PlayId(2), PlayId(3), PlayId(4))
    );
    let news = told(&world);
    assert_eq!(news[..2], ["began 1", "began 4"]);
    assert!(news[2].starts_with("stopped 1"), "{news:?}");
    assert_eq!(news[3..5], ["began 2", "finished 2 1.0"]);
    assert!(
        news[5].starts_with("failed 3") && news[6].starts_with("stopped 4"),
        "{news:?}"
    );
    finish(&mut world, &phones);
}

#[test]
fn what_one_member_is_to_hear_and_is_not_there_has_not_begun() {
    let mut world = world(settings());
    let phones = silent(&mut world, 2);
    let to = (Audience::Member(handle(&world, phones[0])), Ducking::Off);
    play(&mut world, PlayItem::Library("../none".into()), 1, to).unwrap();
    play(&mut world, tone(1000.0, 400), 1, to).unwrap();
    world.run(1_000);
    let news = told(&world);
    assert!(news[0].starts_with("failed 1"), "{news:?}");
    assert_eq!(news[1..], ["began 2", "finished 2 0.4"]);
    finish(&mut world, &phones);
}

#[test]
fn a_member_hears_its_own_play_between_what_its_room_says() {
    let mut world = world(settings());
    let phones = silent(&mut world, 2);
    let to = Audience::Member(handle(&world, phones[0]));
    let first = play(&mut world, tone(1000.0, 400), 3, (to, Ducking::Off)).unwrap();
    let second = play(&mut world, tone(700.0, 5_000), 1, (to, Ducking::Off)).unwrap();
    let from = world.ms;
    // What keys say comes behind the first, and before the second.
    world.speak(phones[0]);
    press(&mut world, phones[0], "*3");
    world.hush(phones[0]);
    world.run(1_000);
    assert!((1_140..=1_260).contains(&heard_ms(&world, phones[0], 1000.0, from)));
    world.run(3_000);
    assert!(heard(&world, phones[0], "conf-count", from));
    let now = world.now();
    world.switch.stop_room_play("600", second, now).unwrap();
    world.carry_out();
    world.run(500);
    assert_eq!(heard_ms(&world, phones[1], 1000.0, from), 0);
    let news = told(&world);
    assert_eq!(first, PlayId(1));
    assert_eq!(news[..3], ["began 1", "finished 1 1.2", "began 2"]);
    assert!(news[3].starts_with("stopped 2"), "{news:?}");
    finish(&mut world, &phones);
}
