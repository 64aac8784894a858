//! What rooms play, for whom, and who makes way for whom; and who is told to talk.

use super::*;
use crate::audio::player::{Play, PlayControl, PlayEndReason};
use crate::audio::sound::Sound;
use crate::audio::source::Source;
use crate::audio::tone::{Oscillator, Tone};

/// A bridge with this many parties at 8 kHz, past their first tick.
fn bridge(parties: u32) -> Bridge {
    let mut bridge = Bridge::new(8);
    bridge.set_classes(Classes::new(3));
    for owner in 0..parties {
        bridge.join(Box::new(Port::new(owner, 8000))).unwrap();
        bridge.set_silent(owner as usize);
    }
    bridge.mix();
    bridge
}

fn heard(bridge: &Bridge, port: usize) -> &[i16] {
    match bridge.tx(port).unwrap() {
        Tx::Common(s) | Tx::Own(s) => s,
    }
}

/// A play of a constant, for so many ticks.
fn play(id: u64, level: i16, ticks: usize) -> RoomPlay {
    let sound = Sound::new(&vec![level; ticks * 160], 8000);
    RoomPlay::new(Box::new(Play::once(id, vec![Source::Samples(sound)])))
}

fn id(play: &RoomPlay) -> u64 {
    play.play.as_ref().unwrap().id
}

#[test]
fn a_room_plays_to_all_or_to_those_of_a_class() {
    let mut b = bridge(3);
    b.relate(2, Relation { voice: 0, ears: 1 });
    b.mix();
    b.play(Box::new(play(1, 1000, 5)));
    b.play(Box::new(RoomPlay {
        place: 1,
        voice: 0b10,
        ..play(2, 300, 10)
    }));
    b.mix();
    b.mix();
    assert_eq!(heard(&b, 0), [1000; 160]);
    assert_eq!(heard(&b, 2), [1300; 160]);
    assert!(matches!(b.tx(2), Some(Tx::Common(_))));
    assert_eq!(b.talkers(), 0, "a play is no party");
    let mut ended = Vec::new();
    for _ in 0..10 {
        b.mix();
        while let Some((play, end)) = b.take_ended_play() {
            assert_eq!(end.reason, PlayEndReason::Finished);
            ended.push((id(&play), end.samples));
        }
    }
    assert_eq!(ended, [(1, 800), (2, 1600)]);
    assert_eq!(heard(&b, 2), [0; 160]);
    assert_eq!(b.classes_of(2), (1, 0), "the same as all hear");
}

#[test]
fn what_is_replaced_fades_out_to_those_who_heard_it_alone() {
    let mut b = bridge(2);
    b.relate(1, Relation { voice: 0, ears: 1 });
    b.mix();
    b.play(Box::new(RoomPlay {
        voice: 0b10,
        ..play(1, 5000, 50)
    }));
    b.mix();
    let [stopped, waited] = b.play(Box::new(RoomPlay {
        voice: 0b01,
        ..play(2, 700, 50)
    }));
    let (old, end) = stopped.unwrap();
    assert_eq!((id(&old), end.reason), (1, PlayEndReason::Replaced));
    assert!(waited.is_none());
    b.mix();
    assert_eq!(heard(&b, 0), [0; 160], "none of the old one");
    let fade = heard(&b, 1);
    assert!(fade[1] > 4000 && fade[60] == 0);
    b.mix();
    assert_eq!((heard(&b, 0)[100], heard(&b, 1)[100]), (700, 0));
    let [stopped, _] = b.stop_play(0);
    assert_eq!(stopped.unwrap().1.reason, PlayEndReason::Stopped);
    assert!(b.stop_play(ROOM_PLAYS as u8).iter().all(Option::is_none));
}

#[test]
fn what_is_paused_while_the_one_before_fades_out_begins_in_silence() {
    let mut b = bridge(2);
    b.play(Box::new(play(1, 5000, 50)));
    b.mix();
    b.play(Box::new(play(2, 700, 50)));
    b.control_play(0, PlayControl::Pause);
    b.mix();
    b.mix();
    assert_eq!(heard(&b, 0), [0; 160]);
    b.control_play(0, PlayControl::Resume);
    b.mix();
    assert_eq!(heard(&b, 0)[100], 700);
    // The next one is not paused for that.
    b.play(Box::new(play(3, 900, 50)));
    b.control_play(0, PlayControl::Pause);
    b.play(Box::new(play(4, 300, 50)));
    b.mix();
    b.mix();
    assert_eq!(heard(&b, 0)[100], 300);
}

/// The level of the play behind each tick, while party 0 talks in ticks 50 to 99.
fn levels(ducking: Ducking, of: impl Fn(i16, i16) -> i16) -> Vec<i16> {
    let mut b = bridge(3);
    b.play(Box::new(RoomPlay {
        ducking,
        ..play(1, 1000, 400)
    }));
    let mut last = Vec::new();
    let mut steps = 0;
    let mut before = 0;
    for tick in 0..200 {
        let talks = (50..100).contains(&tick);
        b.say(0, &[if talks { 8000 } else { 0 }; 160]);
        b.say(1, &[0; 160]);
        b.say(2, &[0; 160]);
        b.mix();
        // Party 0 hears the play alone, party 1 both.
        let (play, both) = (heard(&b, 0)[159], heard(&b, 1)[159]);
        for sample in heard(&b, 0) {
            if tick > 0 {
                steps = steps.max((*sample - before).abs());
            }
            before = *sample;
        }
        last.push(of(play, both));
    }
    assert!(steps <= 8, "a step of {steps}");
    last
}

#[test]
fn a_play_makes_way_for_who_talks() {
    let levels = levels(Ducking::Play(20.0), |play, _| play);
    assert_eq!(levels[40], 1000);
    assert!((99..=101).contains(&levels[90]), "{}", levels[90]);
    // Down within 100 ms and some, up behind half a second of silence, in half a second.
    assert!(levels[58] < 200 && levels[110] < 200 && levels[165] == 1000);
}

#[test]
fn talkers_make_way_for_a_play() {
    let levels = levels(Ducking::Talkers(20.0), |play, both| both - play);
    assert!((790..=810).contains(&levels[90]), "{}", levels[90]);
}

#[test]
fn nobody_makes_way_for_a_play_while_it_is_paused() {
    let mut b = bridge(2);
    b.play(Box::new(RoomPlay {
        ducking: Ducking::Talkers(20.0),
        ..play(1, 1000, 400)
    }));
    let speech = |b: &mut Bridge| {
        for _ in 0..40 {
            b.say(0, &[8000; 160]);
            b.set_silent(1);
            b.mix();
        }
        heard(b, 1)[159] - heard(b, 0)[159]
    };
    assert!((790..=810).contains(&speech(&mut b)));
    b.control_play(0, PlayControl::Pause);
    assert_eq!(speech(&mut b), 8000);
    b.control_play(0, PlayControl::Resume);
    assert!((790..=810).contains(&speech(&mut b)));
}

#[test]
fn who_talks_while_it_makes_way_is_told_as_loud_as_it_is() {
    let mut b = bridge(2);
    b.watch(true);
    b.play(Box::new(RoomPlay {
        ducking: Ducking::Talkers(40.0),
        ..play(1, 1000, 400)
    }));
    for _ in 0..100 {
        b.say(0, &[600; 160]);
        b.set_silent(1);
        b.mix();
    }
    assert_eq!(b.talking(), 1);
    let mut told = Vec::new();
    b.tell_talking(|owner, level, ticks| told.push((owner, level.round() as i32, ticks)));
    assert_eq!(told, [(0, -35, 100)]);
}

#[test]
fn who_talks_is_told_with_level_and_time() {
    let mut b = bridge(4);
    b.watch(true);
    for tick in 0..60 {
        b.say(0, &[3277; 160]);
        b.say(1, &[if tick < 30 { 600 } else { 0 }; 160]);
        // Noise is no talk, a muted party is none.
        b.say(2, &[20; 160]);
        b.say(3, &[9000; 160]);
        b.relate(3, Relation::OPEN.muted(true));
        b.mix();
        if tick == 20 {
            assert_eq!(b.talking(), 2);
        }
    }
    assert_eq!(b.talking(), 1);
    let mut told = Vec::new();
    b.tell_talking(|owner, level, ticks| told.push((owner, level.round() as i32, ticks)));
    assert_eq!(told, [(0, -20, 60)]);
}

/// What whoever hears wideband hears of a sound that has more than narrowband; nobody hears its alias.
#[test]
fn a_room_with_a_wide_party_plays_wide() {
    let mut tone = vec![0; 32_000];
    Oscillator::new(Tone::sine(6000.0, -10.0), 16_000).fill(&mut tone);
    let sound = Sound::new(&tone, 16_000);
    let loudest = |frame: &[i16]| frame.iter().map(|s| s.unsigned_abs()).max().unwrap();
    for (rate, range) in [
        (16_000, 5000..32_768),
        (48_000, 4000..32_768),
        (8000, 0..30),
    ] {
        let mut b = bridge(1);
        b.join(Box::new(Port::new(1, rate))).unwrap();
        let play = Play::once(1, vec![Source::Samples(sound.clone())]);
        b.play(Box::new(RoomPlay::new(Box::new(play))));
        for tick in 0..50 {
            b.set_silent(0);
            b.set_silent(1);
            b.mix();
            if tick < 5 {
                continue;
            }
            let (narrow, other) = (loudest(heard(&b, 0)), loudest(heard(&b, 1)));
            assert!(narrow < 30, "{rate} Hz, tick {tick}: {narrow}");
            assert!(range.contains(&other), "{rate} Hz, tick {tick}: {other}");
        }
    }
}

/// Nothing is switched over in the middle of a play: neither when the first wide party comes, nor when the
/// last one goes.
#[test]
fn who_comes_and_goes_while_a_room_plays_makes_no_click() {
    let mut tone = vec![0; 32_000];
    Oscillator::new(Tone::sine(400.0, -10.0), 16_000).fill(&mut tone);
    let sound = Sound::new(&tone, 16_000);
    for begins_wide in [false, true] {
        let mut b = bridge(1);
        let join = |b: &mut Bridge| b.join(Box::new(Port::new(1, 16_000))).unwrap();
        let mut wide = begins_wide.then(|| join(&mut b));
        let play = Play::once(1, vec![Source::Samples(sound.clone())]);
        b.play(Box::new(RoomPlay::new(Box::new(play))));
        let mut all = Vec::new();
        for tick in 0..60 {
            match tick {
                20 if !begins_wide => wide = Some(join(&mut b)),
                40 => b.leave(wide.unwrap()),
                _ => {}
            }
            if wide.is_some_and(|port| b.has_left(port)) {
                b.remove(wide.take().unwrap());
            }
            b.set_silent(0);
            if wide.is_some() {
                b.set_silent(1);
            }
            b.mix();
            all.extend_from_slice(heard(&b, 0));
        }
        assert!(wide.is_none(), "it has left");
        // A sine of 400 Hz at 8 kHz bends by no more than (2 pi 400 / 8000)^2 of its height.
        let bend = |w: &[i16]| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs();
        let most = all[400..].windows(3).map(bend).max().unwrap();
        assert!(most < 900, "{begins_wide}: {most}");
    }
}

/// Who comes before a play begins counts, also where it is paused before it is first heard.
#[test]
fn a_play_that_is_paused_at_once_is_as_wide_as_its_room() {
    let mut tone = vec![0; 32_000];
    Oscillator::new(Tone::sine(6000.0, -10.0), 16_000).fill(&mut tone);
    let mut b = bridge(1);
    b.join(Box::new(Port::new(1, 16_000))).unwrap();
    let play = Play::once(1, vec![Source::Samples(Sound::new(&tone, 16_000))]);
    b.play(Box::new(RoomPlay::new(Box::new(play))));
    b.control_play(0, PlayControl::Pause);
    b.control_play(0, PlayControl::Resume);
    for _ in 0..3 {
        b.set_silent(0);
        b.set_silent(1);
        b.mix();
    }
    let loudest = heard(&b, 1).iter().map(|s| s.unsigned_abs()).max();
    assert!(loudest > Some(5000), "{loudest:?}");
}
