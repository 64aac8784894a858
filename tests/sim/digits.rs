//! Digits through the whole server in simulated time: as events, as tones, by INFO; lost, doubled,
//! late, and twice; in calls, in conferences, and on their way out.

use crate::support::sim;

use std::time::Duration;

use antiphon::app::{AppSpec, DtmfMethod, ScriptDigits, ScriptSpec};
use antiphon::dtmf::event::Event;
use antiphon::dtmf::{Detector, Digit};
use antiphon::sip::header::Name;
use antiphon::sip::method::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::net::Faults;
use sim::phone::Phone;
use sim::signal::{db, peak};
use sim::{Setup, World, flow};

const KEYS: &str = "0123456789*#ABCD";

fn random_keys(seed: u64, count: usize) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let keys: Vec<char> = KEYS.chars().collect();
    let mut last = 0;
    // A third of them the same as the one before.
    (0..count)
        .map(|_| {
            if rng.random_bool(0.7) {
                last = rng.random_range(0..keys.len());
            }
            keys[last]
        })
        .collect()
}

/// One phone in echo, which takes no notice of digits but `#`.
fn call(setup: Setup, events: bool) -> (World, usize) {
    let mut world = World::with(setup);
    let phone = world.phone();
    world.phones[phone].events = events;
    world.phones[phone].keep = false;
    world.dial(phone, "700");
    (world, phone)
}

fn press(world: &mut World, phone: usize, keys: &str, tone_ms: u32, pause_ms: u32) {
    world.phones[phone]
        .voice
        .keys
        .press(keys, tone_ms, pause_ms);
    let patience = keys.len() as u64 * u64::from(tone_ms + pause_ms + 60) + 1000;
    let out = world.run_until(patience, |w| w.phones[phone].voice.keys.are_out());
    assert!(out, "all keys are out");
    world.run(500);
}

fn bad(seed: u64, loss: f64, delay_us: (u64, u64)) -> Setup {
    Setup {
        seed,
        media: Faults {
            loss,
            duplicate: 0.05,
            delay_us,
        },
        ..Setup::default()
    }
}

#[test]
fn events_over_a_bad_network_are_each_one_digit() {
    for (seed, delay_us) in [(1, (1000, 1000)), (2, (1000, 25_000)), (3, (1000, 41_000))] {
        let (mut world, phone) = call(bad(seed, 0.1, delay_us), true);
        let keys = random_keys(seed, 500);
        press(&mut world, phone, &keys, 80, 60);
        assert_eq!(world.digits(), keys, "seed {seed}");
        world.hang_up(phone);
        world.run(60_000);
        world.check_empty();
    }
}

#[test]
fn tones_are_read_where_there_are_no_events() {
    for (tone_ms, pause_ms) in [(40, 40), (70, 70), (100, 100), (1000, 50)] {
        let (mut world, phone) = call(Setup::default(), false);
        let keys = random_keys(4, 100);
        press(&mut world, phone, &keys, tone_ms, pause_ms);
        assert_eq!(world.digits(), keys, "{tone_ms}/{pause_ms} ms");
    }
}

#[test]
fn tones_through_loss_and_concealment() {
    // 2 % of packets lost, and up to 15 ms of jitter: what is missing is made up by the playout.
    let mut found = 0;
    let mut sent = 0;
    for seed in 0..5 {
        let setup = Setup {
            seed,
            media: Faults {
                loss: 0.02,
                duplicate: 0.0,
                delay_us: (1000, 16_000),
            },
            ..Setup::default()
        };
        let (mut world, phone) = call(setup, false);
        // No two alike in a row: a doubled digit shows.
        let keys: String = KEYS.chars().cycle().take(400).collect();
        press(&mut world, phone, &keys, 70, 70);
        let digits = world.digits();
        assert!(is_part_of(&digits, &keys), "doubled or made up: {digits}");
        found += digits.len();
        sent += keys.len();
    }
    assert!(found * 100 >= sent * 99, "{found} of {sent}");
}

/// Whether `part` is `whole` with some left out.
fn is_part_of(part: &str, whole: &str) -> bool {
    let mut rest = whole.chars();
    part.chars().all(|c| rest.any(|w| w == c))
}

#[test]
fn no_digit_is_sought_in_audio_that_is_configured_away() {
    let mut setup = Setup::default();
    setup.settings.inband_digits = false;
    let (mut world, phone) = call(setup, false);
    press(&mut world, phone, "12345", 100, 100);
    assert_eq!(world.digits(), "");
}

#[test]
fn where_events_were_agreed_on_tones_are_not_read() {
    let mut world = World::new(1);
    let phone = world.phone();
    world.phones[phone].events = true;
    world.dial(phone, "700");
    // It sends tones all the same.
    world.phones[phone].events = false;
    press(&mut world, phone, "12345", 100, 100);
    assert_eq!(world.digits(), "");
}

fn info(world: &mut World, phone: usize, digit: char) {
    let mut info = world.phones[phone].request(Method::Info);
    info.headers
        .set(Name::ContentType, "application/dtmf-relay");
    info.body = format!("Signal={digit}\r\nDuration=100\r\n").into_bytes();
    world.ask(phone, &info, 200);
}

#[test]
fn one_press_both_ways_is_one_digit() {
    for events in [true, false] {
        let (mut world, phone) = call(Setup::default(), events);
        for digit in "1223".chars() {
            press(&mut world, phone, &digit.to_string(), 100, 40);
            info(&mut world, phone, digit);
        }
        assert_eq!(world.digits(), "1223", "events {events}");
        // INFO alone.
        for digit in "77".chars() {
            world.run(3500);
            info(&mut world, phone, digit);
        }
        assert_eq!(world.digits(), "122377", "events {events}");
        world.run(3500);
        let mut plain = world.phones[phone].request(Method::Info);
        plain.headers.set(Name::ContentType, "application/dtmf");
        plain.body = b"8".to_vec();
        world.ask(phone, &plain, 200);
        assert_eq!(world.digits(), "1223778", "events {events}");
        let mut bad = world.phones[phone].request(Method::Info);
        bad.headers.set(Name::ContentType, "application/dtmf-relay");
        bad.body = b"Signal=seven".to_vec();
        world.ask(phone, &bad, 400);
    }
}

/// Two in a conference; what the second hears of the first.
fn pair(events: bool) -> (World, usize, usize) {
    let mut world = World::new(9);
    let phones = world.phones(2);
    world.phones[phones[0]].events = events;
    world.phones[phones[0]].voice.hz = 503.0;
    for &phone in &phones {
        world.dial(phone, "700");
    }
    world.hush(phones[1]);
    // It latches by what it sends, and is silent then.
    world.speak(phones[1]);
    world.run(200);
    world.phones[phones[1]].voice.amplitude = 0.0;
    world.run(1000);
    (world, phones[0], phones[1])
}

/// Milliseconds in which a key's tones are heard, by windows of 5 ms.
fn tone_ms(audio: &[i16], digit: char) -> usize {
    let (low, high) = Digit::from_char(digit).unwrap().frequencies();
    let loud = |window: &&[i16]| {
        let level = |hz: f32| db(window, f64::from(hz), 7200.0);
        level(low) > -20.0 && level(high) > -20.0
    };
    audio.chunks_exact(40).filter(loud).count() * 5
}

#[test]
fn nobody_in_a_conference_hears_a_digit() {
    for (events, most_ms) in [(true, 0), (false, 15)] {
        for offset in 0..20 {
            let (mut world, me, other) = pair(events);
            world.run(offset);
            let from = world.ms;
            press(&mut world, me, "5", 200, 100);
            world.run(500);
            let heard = world.phones[other].audio(from, world.ms);
            let leaked = tone_ms(&heard, '5');
            assert!(
                leaked <= most_ms,
                "events {events}: {leaked} ms of the tone, at {offset} ms"
            );
            // What was said before and after is heard.
            let before = world.phones[other].audio(from - 500, from);
            let after = world.phones[other].audio(world.ms - 500, world.ms);
            for (what, audio) in [("before", before), ("after", after)] {
                let level = db(&audio[..3200], 503.0, 2500.0);
                assert!(level.abs() < 0.5, "{what}: {level:.1} dB");
            }
            assert_eq!(world.digits(), "5");
        }
    }
}

#[test]
fn a_tone_beside_the_events_is_kept_out_too() {
    // A gateway that sends the tone as audio and as events at once.
    let (mut world, me, other) = pair(true);
    let from = world.ms;
    let mut audio = world.phones[me].clone();
    audio.events = false;
    audio.voice.keys.press("5", 200, 100);
    world.phones[me].voice.keys.press("5", 200, 100);
    for _ in 0..20 {
        world.run(20);
        let target = world.phones[me].target.unwrap();
        // Every other number is the audio's.
        let voice = &mut world.phones[me].voice;
        voice.seq = voice.seq.wrapping_add(1);
        (audio.voice.seq, audio.voice.timestamp) = (voice.seq, voice.timestamp);
        voice.seq = voice.seq.wrapping_add(1);
        let bytes = audio.packet();
        let (us, rtp) = (world.us(), world.phones[me].rtp);
        world
            .net
            .send(sim::net::Kind::Media, us, rtp, target, &bytes);
    }
    world.run(1000);
    let heard = world.phones[other].audio(from, world.ms);
    let leaked = tone_ms(&heard, '5');
    // What came as audio before the first event is out.
    assert!(leaked <= 20, "{leaked} ms");
    assert_eq!(world.digits(), "5");
}

/// The server calls a phone and presses keys; what the phone gets.
fn dialled(events: bool, method: DtmfMethod, keys: &str) -> (World, usize) {
    let mut world = World::new(11);
    let phone = world.phone();
    world.phones[phone].events = events;
    let ms = Duration::from_millis;
    let spec = AppSpec::Script(ScriptSpec {
        digits: ScriptDigits::parse(keys, method, ms(100), ms(80)),
        length: Some(Duration::from_secs(20)),
        ..ScriptSpec::default()
    });
    let (uri, now) = (format!("sip:bob@{}", world.phones[phone].sip), world.now());
    let path = flow(world.phones[phone].sip);
    world
        .switch
        .originate(uri, "antiphon".into(), path, vec![], spec, now);
    world.carry_out();
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    let mut ok = world.phones[phone].response(&invite, 200);
    let sdp = world.phones[phone].sdp("sendrecv");
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = sdp.into_bytes();
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.speak(phone);
    (world, phone)
}

#[test]
fn keys_are_pressed_as_events_on_the_line_of_the_audio() {
    let (mut world, phone) = dialled(true, DtmfMethod::Auto, ",19#");
    world.run(3000);
    let heard = &world.phones[phone].heard;
    let events: Vec<_> = heard.iter().filter(|h| h.payload_type == 101).collect();
    let read: Vec<Event> = events
        .iter()
        .map(|h| Event::read(h.payload[..].try_into().unwrap()))
        .collect();
    let ends: String = read
        .chunk_by(|a, b| a.code == b.code)
        .map(|same| {
            assert_eq!(same.iter().filter(|e| e.end).count(), 3);
            assert!(same.iter().filter(|e| e.end).all(|e| e.duration == 800));
            Digit::from_event(same[0].code).unwrap().as_char()
        })
        .collect();
    assert_eq!(ends, "19#");
    // One line: an event's timestamp is that of the audio which it replaces.
    let mut line = heard[0].timestamp;
    let mut seq = heard[0].seq;
    let mut audio_after_event = false;
    for h in &heard[1..] {
        seq = seq.wrapping_add(1);
        assert_eq!(h.seq, seq);
        if h.payload_type == 101 {
            audio_after_event = true;
            continue;
        }
        let step = h.timestamp.wrapping_sub(line);
        assert!(step.is_multiple_of(160) && step <= 960, "{step}");
        assert_eq!(
            h.marker,
            audio_after_event && step > 160,
            "a new talk-spurt"
        );
        audio_after_event &= step == 160;
        line = h.timestamp;
    }
    for h in &events {
        assert!(
            h.timestamp
                .wrapping_sub(heard[0].timestamp)
                .is_multiple_of(160)
        );
    }
}

#[test]
fn keys_are_pressed_as_tones_where_there_are_no_events() {
    for (events, method) in [(false, DtmfMethod::Auto), (true, DtmfMethod::Inband)] {
        let (mut world, phone) = dialled(events, method, ",1,2#");
        world.run(5000);
        let heard: Vec<i16> = world.phones[phone].audio(0, world.ms);
        let mut detector = Detector::new();
        let read: String = heard
            .chunks_exact(160)
            .filter_map(|frame| detector.process(frame).digit)
            .map(Digit::as_char)
            .collect();
        assert_eq!(read, "12#");
        assert!(peak(&heard) > 5000);
    }
}

#[test]
fn keys_are_pressed_by_info_one_after_the_other() {
    let (mut world, phone) = dialled(true, DtmfMethod::Info, "1#");
    for digit in ["1", "#"] {
        let info = world.expect_request_within(phone, &Method::Info, 500);
        let body = String::from_utf8(info.body.clone()).unwrap();
        assert_eq!(body, format!("Signal={digit}\r\nDuration=100\r\n"));
        // Nothing more before it is answered.
        world.expect_nothing(phone, 300);
        let ok = world.phones[phone].response(&info, 200);
        world.reply(phone, &ok);
    }
    world.expect_nothing(phone, 1000);
    // Refused: the caller is told, the call goes on.
    let (mut world, phone) = dialled(true, DtmfMethod::Info, "12");
    let info = world.expect_request_within(phone, &Method::Info, 500);
    let refused = world.phones[phone].response(&info, 415);
    world.reply(phone, &refused);
    world.expect_nothing(phone, 1000);
    let told = |e: &antiphon::switch::Event| match e {
        antiphon::switch::Event::DigitsNotSent { error, .. } => Some(error.clone()),
        _ => None,
    };
    let told: Vec<String> = world.events.iter().filter_map(told).collect();
    assert_eq!(told, ["INFO was answered 415 Unsupported Media Type"]);
    assert!(world.ended(phone).is_none());
}

#[test]
fn events_that_the_other_side_does_not_take_are_said_not_to_be_sent() {
    let (mut world, _) = dialled(false, DtmfMethod::Rfc4733, "12");
    world.run(1000);
    let told =
        |e: &antiphon::switch::Event| matches!(e, antiphon::switch::Event::DigitsNotSent { .. });
    assert!(world.events.iter().any(told));
}

#[test]
fn a_flood_of_digits_is_bounded_and_harms_nobody() {
    let mut world = World::new(3);
    let phones = world.phones(3);
    world.phones[phones[0]].events = true;
    for &phone in &phones {
        world.dial(phone, "700");
    }
    world.run(500);
    let target = world.phones[phones[0]].target.unwrap();
    let mut flood: Phone = world.phones[phones[0]].clone();
    let rtp = flood.rtp;
    for _ in 0..500 {
        for _ in 0..20 {
            // Each packet is another event.
            flood.voice.keys.press("5", 10, 0);
            let bytes = flood.packet();
            let us = world.us();
            world
                .net
                .send(sim::net::Kind::Media, us, rtp, target, &bytes);
        }
        world.run(20);
    }
    let told = world.digits().len();
    assert!((100..=550).contains(&told), "{told} of 10,000");
    let from = world.ms;
    world.run(1000);
    let heard = world.phones[phones[2]].audio(from, world.ms);
    let hz = world.phones[phones[1]].voice.hz;
    assert!(db(&heard[..7200], hz, 2500.0).abs() < 0.3);
    for phone in phones {
        world.hang_up(phone);
    }
    world.run(60_000);
    world.check_empty();
}
