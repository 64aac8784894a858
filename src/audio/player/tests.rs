use super::*;
use crate::audio::sound::Sound;
use crate::audio::source::{CHUNK_SAMPLES, feed};
use crate::audio::tone::{Oscillator, Tone};

fn samples(value: i16, count: usize) -> Source {
    Source::Samples(Sound::new(&vec![value; count], 8000))
}

#[allow(clippy::unnecessary_box_returns)] // what a player takes
fn play(items: Vec<Source>, repeat: u32, gap_samples: u64) -> Box<Play> {
    Box::new(Play {
        id: 1,
        items,
        repeat,
        gap_samples,
    })
}

/// Everything that is heard, to the end.
fn run(player: &mut Player) -> (Vec<i16>, PlayEnd) {
    let mut heard = Vec::new();
    for _ in 0..1000 {
        let mut out = [99i16; 160];
        match player.fill(&mut out, Band::Narrow) {
            PlayStatus::Idle => panic!("idle before the end"),
            PlayStatus::Playing => heard.extend_from_slice(&out),
            PlayStatus::Ended(_, end) => {
                heard.extend_from_slice(&out);
                return (heard, end);
            }
        }
    }
    panic!("never ended");
}

#[test]
fn plays_a_list_in_order_across_ticks() {
    let mut player = Player::new();
    let list = vec![
        samples(1, 100),
        Source::Silence { samples: 30 },
        samples(2, 200),
    ];
    assert!(player.start(play(list, 1, 0)).is_none());
    let (heard, end) = run(&mut player);
    let expected = PlayEnd {
        reason: PlayEndReason::Finished,
        samples: 330,
        underruns: 0,
    };
    assert_eq!(end, expected);
    let runs = [(0..100, 1), (100..130, 0), (130..330, 2), (330..480, 0)];
    for (range, value) in runs {
        assert!(
            heard[range.clone()].iter().all(|s| *s == value),
            "{range:?}"
        );
    }
    assert!(matches!(
        player.fill(&mut [0; 160], Band::Narrow),
        PlayStatus::Idle
    ));
}

#[test]
fn repeats_with_a_gap_between_and_none_behind() {
    let mut player = Player::new();
    player.start(play(vec![samples(5, 80), samples(6, 80)], 3, 40));
    let (heard, end) = run(&mut player);
    assert_eq!(
        (end.samples, end.reason),
        (3 * 160 + 2 * 40, PlayEndReason::Finished)
    );
    for pass in [0, 200, 400] {
        assert!(heard[pass..pass + 80].iter().all(|s| *s == 5));
        assert!(heard[pass + 80..pass + 160].iter().all(|s| *s == 6));
        assert!(heard[pass + 160..].iter().take(40).all(|s| *s == 0));
    }
}

#[test]
fn an_end_on_the_tick_boundary_is_told_on_that_tick() {
    let mut player = Player::new();
    player.start(play(vec![samples(5, 320)], 1, 0));
    let (heard, end) = run(&mut player);
    assert_eq!((heard.len(), end.samples), (320, 320));
}

#[test]
fn empty_lists_end_even_when_they_repeat_for_ever() {
    for items in [
        vec![],
        vec![samples(0, 0)],
        vec![Source::Silence { samples: 0 }],
    ] {
        let mut player = Player::new();
        player.start(play(items, 0, 0));
        assert_eq!(run(&mut player).1.samples, 0);
    }
}

#[test]
fn a_stop_fades_within_5_ms() {
    let mut player = Player::new();
    let mut tone = vec![0; 8000];
    Oscillator::new(Tone::sine(300.0, 0.0), 8000).fill(&mut tone);
    let steepest = tone.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    player.start(play(vec![Source::Samples(Sound::new(&tone, 8000))], 0, 0));
    let mut out = [0i16; 480];
    player.fill(&mut out[..173], Band::Narrow);
    let (_, end) = player.stop().expect("was playing");
    assert_eq!((end.reason, end.samples), (PlayEndReason::Stopped, 173));
    assert!(matches!(
        player.fill(&mut out[173..333], Band::Narrow),
        PlayStatus::Idle
    ));
    assert!(out[213..333].iter().all(|s| *s == 0));
    let step = out.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    assert!(step <= steepest + 700, "{step}, the tone itself {steepest}");
    assert!(player.stop().is_none());
}

#[test]
fn a_new_play_replaces_and_crosses_over() {
    let mut player = Player::new();
    player.start(play(vec![samples(8000, 8000)], 1, 0));
    let mut out = [0i16; 160];
    player.fill(&mut out, Band::Narrow);
    let other = Box::new(Play {
        id: 2,
        ..*play(vec![samples(100, 1000)], 1, 0)
    });
    let (old, end) = player.replace(other).expect("was playing");
    assert_eq!(
        (old.id, end.reason, end.samples),
        (1, PlayEndReason::Replaced, 160)
    );
    assert_eq!(player.playing(), Some(2));
    player.fill(&mut out, Band::Narrow);
    assert_eq!((out[0], out[20], out[40]), (8100, 4100, 100));
}

#[test]
fn a_tone_is_played_with_soft_edges() {
    let mut player = Player::new();
    let tone = Source::Tone {
        tone: Tone::sine(1000.0, 0.0),
        samples: 800,
    };
    player.start(play(vec![tone], 2, 800));
    let (heard, end) = run(&mut player);
    assert_eq!(end.samples, 2400);
    assert!(heard[..4].iter().all(|s| s.abs() < 1000));
    assert!(heard[800..1600].iter().all(|s| *s == 0));
    assert!(heard[2002].abs() > 10_000);
}

#[test]
fn a_starved_file_keeps_its_place_and_a_lost_one_fails() {
    let (feed, supply) = feed();
    let mut player = Player::new();
    player.start(play(vec![Source::Feed(feed)], 1, 0));
    let mut out = [9i16; 160];
    assert!(matches!(
        player.fill(&mut out, Band::Narrow),
        PlayStatus::Playing
    ));
    assert_eq!(out, [0; 160]);
    let mut chunk = supply.take_empty().expect("room");
    chunk.narrow = [3; CHUNK_SAMPLES];
    chunk.len = CHUNK_SAMPLES;
    supply.deliver(chunk);
    drop(supply);
    let (_, end) = run(&mut player);
    let expected = PlayEnd {
        reason: PlayEndReason::Failed,
        samples: 800,
        underruns: 1,
    };
    assert_eq!(end, expected);
}

#[test]
fn a_play_pauses_skips_and_restarts_without_a_click() {
    // A slow wave whose place can be told: 20 s that rise and fall.
    let wave: Vec<i16> = (0..160_000i32)
        .map(|i| ((i % 16_000) - 8000).abs() as i16)
        .collect();
    let mut player = Player::new();
    player.start(Box::new(Play::once(
        1,
        vec![Source::Samples(Sound::new(&wave, 8000))],
    )));
    let mut heard = Vec::new();
    let mut run = |player: &mut Player, ticks: usize| {
        let from = heard.len();
        for _ in 0..ticks {
            let mut out = [0i16; 160];
            assert!(!matches!(
                player.fill(&mut out, Band::Narrow),
                PlayStatus::Ended(..)
            ));
            heard.extend_from_slice(&out);
        }
        heard[from..].to_vec()
    };
    run(&mut player, 10);
    player.control(PlayControl::Pause);
    let paused = run(&mut player, 50);
    assert!(paused[40..].iter().all(|s| *s == 0) && !player.is_idle());
    player.control(PlayControl::Resume);
    // Behind the 10 ticks and the 40 samples that faded out.
    assert_eq!(run(&mut player, 1)[40..], wave[1680..1800]);
    player.control(PlayControl::Skip(1000));
    assert_eq!(run(&mut player, 1)[40..], wave[9880..10_000]);
    player.control(PlayControl::Skip(-500));
    assert_eq!(run(&mut player, 1)[40..], wave[6080..6200]);
    player.control(PlayControl::Restart);
    assert_eq!(run(&mut player, 1)[40..], wave[40..160]);
    let step = heard.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    assert!(step <= 250, "a step of {step} clicks");
    player.control(PlayControl::Skip(60_000));
    let mut out = [0i16; 160];
    let PlayStatus::Ended(_, end) = player.fill(&mut out, Band::Narrow) else {
        panic!("it goes on behind its end");
    };
    assert_eq!(end.reason, PlayEndReason::Finished);
}

/// A sine at 16 kHz that 8 kHz cannot have.
fn high(samples: usize) -> Vec<i16> {
    let mut tone = vec![0; samples];
    Oscillator::new(Tone::sine(6000.0, -10.0), 16_000).fill(&mut tone);
    tone
}

#[test]
fn a_wide_listener_hears_a_wide_sound_as_it_is_and_a_narrow_one_no_alias_of_it() {
    let wave = high(3200);
    let sound = Sound::new(&wave, 16_000);
    let mut player = Player::new();
    player.start(play(vec![Source::Samples(sound.clone())], 1, 0));
    let mut heard = Vec::new();
    for _ in 0..10 {
        let mut out = [99i16; 320];
        player.fill(&mut out, Band::Wide);
        heard.extend_from_slice(&out);
    }
    assert_eq!(heard, wave);
    let narrow = sound.samples(Band::Narrow);
    assert_eq!(narrow.len(), 1600);
    // The edges of the tone are steps.
    let loudest = narrow[100..1500].iter().map(|s| s.unsigned_abs()).max();
    assert!(loudest < Some(30), "{loudest:?}");
}

#[test]
fn a_listener_that_changes_its_rate_hears_the_same_place() {
    let wave: Vec<i16> = (0..16_000).map(|n| n as i16).collect();
    let sound = Sound::of(wave.iter().map(|n| 2 * n).collect(), {
        (0..32_000).map(|n| n as i16).collect()
    });
    let tone = Tone::sine(500.0, -10.0);
    let list = vec![Source::Samples(sound), Source::Tone { tone, samples: 320 }];
    let mut player = Player::new();
    player.start(play(list, 1, 0));
    let (mut narrow, mut wide) = ([0i16; 160], [0i16; 320]);
    for tick in 0..100 {
        if tick % 2 == 0 {
            player.fill(&mut narrow, Band::Narrow);
            assert_eq!(i32::from(narrow[0]), tick * 320, "tick {tick}");
        } else {
            player.fill(&mut wide, Band::Wide);
            assert_eq!(i32::from(wide[0]), tick * 320, "tick {tick}");
        }
    }
    // The tone's first half at one rate, its second half at the other: no longer than it is.
    player.fill(&mut narrow, Band::Narrow);
    let PlayStatus::Ended(_, end) = player.fill(&mut wide, Band::Wide) else {
        panic!("it goes on behind its end");
    };
    assert_eq!(end.samples, 16_000 + 320);
}

#[test]
fn a_fade_goes_over_into_the_other_rate() {
    for (first, then) in [(Band::Narrow, Band::Wide), (Band::Wide, Band::Narrow)] {
        let mut player = Player::new();
        player.start(play(vec![samples(1000, 800)], 1, 0));
        let mut out = [0i16; 320];
        player.fill(&mut out[..160 * first.scale()], first);
        player.stop();
        let out = &mut out[..160 * then.scale()];
        player.fill(out, then);
        let fade = 40 * then.scale();
        assert!(out[0] > 900 && out[fade / 2] > 400 && out[fade..].iter().all(|s| *s == 0));
        assert!(out.windows(2).all(|w| w[0] - w[1] <= 60), "{out:?}");
        assert!(player.is_idle());
    }
}
