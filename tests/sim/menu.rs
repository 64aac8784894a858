//! Menus and voicemail through the whole server in simulated time: walked to their ends, and left at
//! every point on the way.

use crate::support::sim;

use antiphon::audio::sound::Band;
use antiphon::call::EndReason;
use antiphon::store::prompts::Prompts;
use sim::World;
use sim::signal::{db, peak};

/// The phone's voice against what it sends.
const VOICE: f64 = 2500.0;

fn caller(world: &mut World, user: &str) -> usize {
    let phone = world.phone();
    world.phones[phone].events = true;
    world.phones[phone].voice.hz = 503.0;
    world.dial(phone, user);
    phone
}

fn press(world: &mut World, phone: usize, keys: &str) {
    world.phones[phone].voice.keys.press(keys, 60, 60);
    let out = world.run_until(10_000, |w| w.phones[phone].voice.keys.are_out());
    assert!(out, "all keys are out");
    world.run(100);
}

/// Whether a prompt's first 400 ms were heard in what came since `from`.
fn heard(world: &World, phone: usize, name: &str, from: u64) -> bool {
    let prompts = Prompts::load(None, "").unwrap();
    let prompt = prompts
        .get(name)
        .unwrap_or_else(|| panic!("no prompt {name}"));
    let part = &prompt.sound.samples(Band::Narrow)[..3200];
    likeness(part, &world.phones[phone].audio(from, world.ms)) > 0.95
}

/// The best normalised correlation of `part` in `audio`.
fn likeness(part: &[i16], audio: &[i16]) -> f64 {
    let energy = |x: &[i16]| x.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let own = energy(part);
    let at = |start: usize| {
        let piece = &audio[start..start + part.len()];
        let product: f64 = piece
            .iter()
            .zip(part)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum();
        product / (own * energy(piece).max(1.0)).sqrt()
    };
    let last = audio.len().saturating_sub(part.len());
    (0..last).map(at).fold(0.0, f64::max)
}

/// Waits until nothing has been heard for 300 ms.
fn until_silent(world: &mut World, phone: usize) {
    let silent = |w: &World| peak(&w.phones[phone].audio(w.ms - 300, w.ms)) < 20;
    world.run(320);
    assert!(world.run_until(40_000, silent), "it falls silent");
}

#[test]
fn a_caller_leaves_a_message_calls_back_hears_it_and_deletes_it() {
    let mut world = World::new(1);
    let phone = caller(&mut world, "540");
    let from = world.ms;
    world.run(1000);
    assert!(heard(&world, phone, "menu-main", from));
    let from = world.ms;
    press(&mut world, phone, "3");
    world.run(1000);
    assert!(heard(&world, phone, "vm-greeting", from));
    assert!(
        world.run_until(20_000, |w| !w.mail.leaving.is_empty()),
        "it is recorded"
    );
    world.run(3000);
    let from = world.ms;
    press(&mut world, phone, "#");
    world.run(1000);
    assert!(heard(&world, phone, "vm-kept", from));
    let message = world.mail.boxes["900"][0].clone();
    assert!(
        (3.0..3.2).contains(&message.length.as_secs_f64()),
        "{:?}",
        message.length
    );
    assert_eq!(message.caller, format!("phone{phone}"));
    // Behind the farewell the menu comes again; pound hangs up.
    until_silent(&mut world, phone);
    press(&mut world, phone, "#");
    world.run(500);
    assert_eq!(world.ended(phone).unwrap().reason, EndReason::HungUp);

    let phone = caller(&mut world, "540");
    world.run(500);
    // The PIN ahead of its question.
    let from = world.ms;
    press(&mut world, phone, "41234#");
    world.run(6000);
    for prompt in ["vm-you-have", "vm-message-number", "vm-options"] {
        assert!(heard(&world, phone, prompt, from), "{prompt}");
    }
    let tone = |w: &World, from: u64| {
        let audio = w.phones[phone].audio(from, w.ms);
        let steady = |window: &&[i16]| db(window, 503.0, VOICE).abs() < 1.0;
        audio.chunks_exact(800).filter(steady).count() * 100
    };
    let ms = tone(&world, from);
    assert!((2700..=3200).contains(&ms), "{ms} ms of the message");
    let from = world.ms;
    press(&mut world, phone, "3");
    world.run(500);
    assert!(heard(&world, phone, "vm-message-deleted", from));
    assert_eq!(world.mail.boxes["900"], []);
    world.hang_up(phone);
    world.run(60_000);
    world.check_empty();
}

/// Walks the way of a message, and hangs up after so long: what is in the box then, and how long was
/// recorded, ms.
fn leave_after(ms: u64) -> (usize, u64) {
    let mut world = World::new(ms);
    let phone = caller(&mut world, "900");
    world.run(300);
    // Past the greeting.
    press(&mut world, phone, "1");
    world.run(ms);
    world.hang_up(phone);
    world.run(60_000);
    world.check_empty();
    assert!(world.mail.leaving.is_empty());
    let recorded = world.closed.iter().map(|c| c.1 / 8).sum();
    (world.mail.boxes.get("900").map_or(0, Vec::len), recorded)
}

#[test]
fn who_hangs_up_at_any_point_leaves_a_whole_message_or_none() {
    let mut kept = 0;
    let mut short = 0;
    for ms in (0..2600).step_by(61) {
        let (messages, recorded) = leave_after(ms);
        assert_eq!(
            messages,
            usize::from(recorded >= 1000),
            "{recorded} ms, left after {ms}"
        );
        kept += messages;
        short += usize::from(recorded > 0 && messages == 0);
    }
    assert!(kept > 5 && short > 5, "{kept} kept, {short} too short");
}

#[test]
fn silence_and_the_limit_end_a_message() {
    for (silent, seconds) in [(true, 6.0), (false, 60.0)] {
        let mut world = World::new(3);
        let phone = caller(&mut world, "900");
        world.run(300);
        press(&mut world, phone, "1");
        let from = world.ms;
        if silent {
            // Behind a second of speech, which is what makes it a message.
            assert!(world.run_until(20_000, |w| !w.mail.leaving.is_empty()));
            world.run(1000);
            world.phones[phone].voice.amplitude = 0.0;
        }
        assert!(world.run_until(70_000, |w| w.mail.boxes.contains_key("900")));
        let length = world.mail.boxes["900"][0].length.as_secs_f64();
        assert!((length - seconds).abs() < 0.2, "{length} s");
        world.run(1000);
        assert!(heard(&world, phone, "vm-kept", from));
        world.run(10_000);
        assert_eq!(world.ended(phone).unwrap().reason, EndReason::HungUp);
    }
}

#[test]
fn who_says_nothing_leaves_no_message() {
    let mut world = World::new(3);
    let phone = caller(&mut world, "900");
    world.phones[phone].voice.amplitude = 0.0;
    world.run(300);
    press(&mut world, phone, "1");
    let from = world.ms;
    // It ends by its silence, all the same.
    assert!(world.run_until(20_000, |w| !w.closed.is_empty()));
    world.run(1000);
    assert!(heard(&world, phone, "vm-short", from));
    assert!(world.mail.boxes.is_empty() && world.mail.leaving.is_empty());
}

#[test]
fn a_box_that_is_full_says_so() {
    let mut world = World::new(4);
    for _ in 0..3 {
        let phone = caller(&mut world, "900");
        world.run(300);
        press(&mut world, phone, "1");
        world.run(2000);
        world.hang_up(phone);
        world.run(500);
    }
    assert_eq!(world.mail.boxes["900"].len(), 3);
    let phone = caller(&mut world, "900");
    let from = world.ms;
    world.run(1000);
    assert!(heard(&world, phone, "vm-full", from));
    world.run(10_000);
    assert!(world.ended(phone).is_some());
    assert_eq!(world.mail.boxes["900"].len(), 3);
}

#[test]
fn a_menu_leads_into_a_room_that_is_mixed_elsewhere() {
    let mut world = World::new(5);
    // Callers of rooms of their own, so that both workers have some.
    let mut rooms = Vec::new();
    for n in 0..6 {
        let phone = world.phone();
        world.dial(phone, &format!("70{n}"));
        rooms.push(phone);
    }
    for (n, &there) in rooms.iter().enumerate() {
        let phone = caller(&mut world, "540");
        world.phones[phone].voice.hz = 1709.0;
        world.run(300);
        press(&mut world, phone, &format!("70{n}"));
        world.run(400);
        let from = world.ms;
        world.run(1000);
        // Both hear each other.
        let theirs = world.phones[there].voice.hz;
        let level = db(
            &world.phones[phone].audio(from, world.ms)[..7200],
            theirs,
            VOICE,
        );
        assert!(level.abs() < 0.5, "room {n}: {level:.1} dB");
        let level = db(
            &world.phones[there].audio(from, world.ms)[..7200],
            1709.0,
            VOICE,
        );
        assert!(level.abs() < 0.5, "room {n}: {level:.1} dB");
        // One stream, whatever moved.
        let mut late = 0;
        for pair in world.phones[phone].heard.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            assert_eq!((b.ssrc, b.seq), (a.ssrc, a.seq.wrapping_add(1)));
            let step = b.timestamp.wrapping_sub(a.timestamp);
            assert!(step == 160 || step == 320, "{step}");
            late += usize::from(step == 320);
        }
        assert!(late <= 1, "{late} ticks left out");
        world.hang_up(phone);
    }
    for phone in rooms {
        world.hang_up(phone);
    }
    world.run(60_000);
    world.check_empty();
}

#[test]
fn who_hangs_up_on_the_way_into_a_room_leaves_nothing() {
    for ms in 0..60 {
        let mut world = World::new(ms);
        // A move takes some time, in which the call may end.
        world.poll_ms = 7;
        let there: Vec<usize> = (0..2)
            .map(|n| {
                let phone = world.phone();
                world.dial(phone, &format!("70{n}"));
                phone
            })
            .collect();
        for room in ["700", "701"] {
            let phone = caller(&mut world, "540");
            world.run(300);
            world.phones[phone].voice.keys.press(room, 60, 60);
            world.run(260 + ms);
            world.hang_up(phone);
        }
        for phone in there {
            world.hang_up(phone);
        }
        world.run(60_000);
        world.check_empty();
    }
}

#[test]
fn an_announcement_is_found_before_the_call_is_answered() {
    let mut world = World::new(6);
    for (params, status) in [
        ("play=nothing", 404),
        ("repeat=2", 400),
        ("play=welcome;repeat=none", 400),
    ] {
        let phone = world.phone();
        let mut invite = world.phones[phone].invite("annc");
        invite.uri = format!("sip:annc@{};{params}", sim::SERVER);
        world.send(phone, &invite);
        let refused = world.expect(phone, status);
        let ack = world.phones[phone].ack(&refused);
        world.send(phone, &ack);
    }
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("annc");
    invite.uri = format!("sip:annc@{};play=beep;repeat=2;delay=400", sim::SERVER);
    world.dial_with(phone, &invite);
    let from = world.ms;
    world.run(1500);
    let audio = world.phones[phone].audio(from - 50, world.ms);
    let beeps: Vec<bool> = audio.chunks_exact(160).map(|w| peak(w) > 3000).collect();
    let runs: Vec<(bool, usize)> = beeps
        .chunk_by(|a, b| a == b)
        .map(|r| (r[0], r.len()))
        .collect();
    let lengths: Vec<usize> = runs.iter().filter(|r| r.0).map(|r| r.1).collect();
    assert_eq!(lengths.len(), 2, "{runs:?}");
    let gap = runs.windows(3).find(|w| w[0].0 && w[2].0).unwrap()[1].1;
    assert!((19..=21).contains(&gap), "{gap} packets between the beeps");
    assert_eq!(world.ended(phone).unwrap().reason, EndReason::HungUp);
    world.run(60_000);
    world.check_empty();
}

#[test]
fn a_prompt_falls_silent_soon_after_the_key() {
    let mut worst = 0;
    for offset in 0..40 {
        let mut world = World::new(offset);
        let phone = caller(&mut world, "900");
        world.run(700 + offset);
        let sent = world.ms;
        world.phones[phone].voice.keys.press("1", 100, 40);
        world.run(200);
        // The beep follows, not the greeting: no voice, a tone of 1 kHz.
        let audio = |h: &&sim::phone::Heard| h.at > sent * 1000 && h.payload_type != 101;
        let packets: Vec<_> = world.phones[phone].heard.iter().filter(audio).collect();
        let is_greeting = |h: &&&sim::phone::Heard| {
            let samples = h.audio();
            peak(&samples) > 100 && db(&samples, 1000.0, f64::from(peak(&samples))) < -6.0
        };
        if let Some(last) = packets.iter().rfind(is_greeting) {
            worst = worst.max(last.at / 1000 - sent);
        }
    }
    // The packet's own wait for the tick, the control side, the next tick, the way back.
    assert!(worst <= 60, "{worst} ms");
}

#[test]
fn keys_pressed_before_the_ack_count() {
    let mut world = World::new(8);
    let phone = world.phone();
    world.phones[phone].events = true;
    let invite = world.phones[phone].invite("540");
    world.send(phone, &invite);
    let ok = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    world.speak(phone);
    // Pound hangs up in this menu; the ACK comes late.
    press(&mut world, phone, "#");
    assert!(world.ended(phone).is_none());
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.run(500);
    assert_eq!(world.ended(phone).unwrap().reason, EndReason::HungUp);
}
