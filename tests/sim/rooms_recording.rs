//! Recordings of rooms: begun by the API, by keys and by configuration; what is in the files, and what the
//! sidecar says of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api::Desk;
use crate::rooms::{
    caller, check_roster, handle, hears, hears_prompt, operate, press, settings, world,
};
use crate::support::sim;

use antiphon::api::Method;
use antiphon::app::collect::Pattern;
use antiphon::app::keypad::{Keypad, KeypadAction};
use antiphon::app::room::{Ducking, RoomSettings};
use antiphon::app::room_record::{RecordFormat, RecordLayout, RoomRecordSettings};
use antiphon::room::RoomOperation;
use antiphon::store::meeting::{Meeting, Pause};
use serde_json::{Value, json};
use sim::World;
use sim::room_files::DISK_IS_FULL;
use sim::signal::amplitude;

const URL: &str = "/api/v1/rooms/600/recording";

/// Rooms that are recorded at 8 kHz.
fn narrow(settings: RoomSettings) -> RoomSettings {
    RoomSettings {
        recording: RoomRecordSettings {
            rate: 8000,
            ..settings.recording
        },
        ..settings
    }
}

fn desk(settings: RoomSettings) -> Desk {
    let mut desk = Desk::of(world(narrow(settings)));
    desk.read("/api/v1/events?types=room.recording");
    desk
}

#[track_caller]
fn post(desk: &mut Desk, path: &str, body: &Value, status: u16) -> Value {
    let (got, answer) = desk.get(Method::Post, &format!("{URL}{path}"), Some(body));
    assert_eq!(got, status, "{answer}");
    answer
}

/// What was told of recordings: the changes, and the events of each.
fn told(desk: &mut Desk) -> (Vec<String>, BTreeMap<String, Value>) {
    let events = desk.events();
    let change = |event: &Value| event["change"].as_str().unwrap().to_owned();
    let words = events.iter().map(change).collect();
    (
        words,
        events.iter().map(|e| (change(e), e.clone())).collect(),
    )
}

fn paths(event: &Value) -> Vec<PathBuf> {
    let files = event["files"].as_array().unwrap().iter();
    files.map(|file| file.as_str().unwrap().into()).collect()
}

fn wav(path: &Path) -> (u16, Vec<i16>) {
    let reader = hound::WavReader::open(path).unwrap();
    let channels = reader.spec().channels;
    (
        channels,
        reader.into_samples().map(Result::unwrap).collect(),
    )
}

/// The sidecar of an event, and the audio of each time line: mix, rest, and tracks by member.
fn sidecar(event: &Value) -> (Meeting, BTreeMap<String, Vec<i16>>) {
    let path = Path::new(event["sidecar"].as_str().unwrap());
    let meeting: Meeting = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(!meeting.incomplete);
    let mut lines = BTreeMap::new();
    let mut add = |name: &str, files: &antiphon::store::meeting::Files| {
        let audio: &mut Vec<i16> = lines.entry(name.to_owned()).or_default();
        for piece in &files.files {
            assert_eq!(audio.len() as u64, piece.from, "{name}");
            audio.extend(wav(&path.with_file_name(&piece.file)).1);
        }
    };
    add("mix", &meeting.mix);
    if let Some(rest) = &meeting.rest {
        add("rest", rest);
    }
    for track in meeting.tracks.iter().filter(|t| !t.files.files.is_empty()) {
        add(&track.member, &track.files);
    }
    lines.retain(|_, audio| !audio.is_empty());
    (meeting, lines)
}

/// The tones of phones in a second of audio.
fn tones(audio: &[i16], at: usize, world: &World) -> Vec<usize> {
    let second = &audio[at..at + 8000];
    let is_heard = |phone: &usize| amplitude(second, world.phones[*phone].voice.hz) > 1000.0;
    (0..world.phones.len()).filter(is_heard).collect()
}

#[track_caller]
fn adds_up(lines: &BTreeMap<String, Vec<i16>>, samples: u64) {
    let mix = &lines["mix"];
    for (name, audio) in lines {
        let off = audio.len().abs_diff(samples as usize);
        assert!(off <= 160, "{name} is off by {off} samples");
    }
    for (at, sample) in mix.iter().enumerate() {
        let tracks = lines.iter().filter(|(name, _)| *name != "mix");
        let sum: i32 = tracks.map(|(_, audio)| i32::from(audio[at])).sum();
        let off = sum.abs_diff(i32::from(*sample));
        assert!(off <= 1, "{off} off at {at}");
    }
}

fn finish(world: &mut World) {
    for phone in 0..world.phones.len() {
        if world.ended(phone).is_none() {
            world.hang_up(phone);
        }
    }
    world.run(40_000);
    world.check_empty();
    check_roster(world);
}

#[test]
fn a_program_records_the_mix_and_tracks_that_add_up_to_it() {
    let mut desk = desk(settings());
    let (one, two) = (caller(&mut desk.world), caller(&mut desk.world));
    let (status, _) = desk.get(Method::Get, URL, None);
    assert_eq!(status, 404, "nothing is recorded yet");
    let wanted = json!({"layout": "mix+tracks", "name": "meetings/{room}"});
    let answer = post(&mut desk, "", &wanted, 202);
    assert_eq!(answer["layout"], "mix+tracks");
    desk.world.run(2_000);
    let three = caller(&mut desk.world);
    desk.world.run(1_900);
    let call = handle(&desk.world, one);
    operate(&mut desk.world, "600", RoomOperation::Mute(call, true)).unwrap();
    desk.world.run(2_000);
    let shown = desk.ok("/api/v1/rooms/600");
    assert_eq!(shown["recording"], true);
    let details = &shown["recording_details"];
    assert_eq!(details["state"], "recording");
    assert_eq!(details["files"].as_array().unwrap().len(), 5, "{details}");
    desk.world.hang_up(two);
    desk.world.run(2_000);
    assert_eq!(desk.get(Method::Delete, URL, None).0, 204);
    desk.world.run(100);
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["began", "track", "ended"]);
    assert_eq!(desk.get(Method::Delete, URL, None).0, 409);
    let ended = &events["ended"];
    assert_eq!(paths(ended).len(), 5);
    assert!(paths(ended)[0].ends_with("meetings/600.wav"), "{ended}");
    let (meeting, lines) = sidecar(ended);
    let length = ended["length_ms"].as_u64().unwrap();
    assert!((7_900..8_200).contains(&length), "{length}");
    adds_up(&lines, meeting.samples);
    // What was heard when.
    let world = &desk.world;
    let mix = &lines["mix"];
    assert_eq!(tones(mix, 8_000, world), [one, two]);
    assert_eq!(tones(mix, 20_000, world), [one, two, three]);
    assert_eq!(tones(mix, 38_000, world), [two, three], "muted");
    assert_eq!(tones(mix, 54_000, world), [three], "gone");
    for phone in [one, two, three] {
        let track = &lines[&format!("phone{phone}")];
        assert_eq!(tones(track, 22_000, world), [phone]);
    }
    // Who was there when, as the sidecar has it.
    let [first, second, third] = &meeting.tracks[..] else {
        panic!("{:?}", meeting.tracks);
    };
    assert_eq!(first.present.len(), 1);
    assert_eq!(
        (first.present[0].from, first.present[0].to),
        (0, meeting.samples)
    );
    let near = |a: u64, b: u64| assert!(a.abs_diff(b) < 1_000, "{a} and not {b}");
    near(first.muted[0].from, 32_000);
    near(second.present[0].to, 48_000);
    near(third.present[0].from, 16_000);
    assert_eq!(third.present[0].to, meeting.samples);
    finish(&mut desk.world);
}

#[test]
fn of_a_recording_that_is_cut_off_the_clock_tells_who_was_in() {
    let mut desk = desk(settings());
    caller(&mut desk.world);
    let two = caller(&mut desk.world);
    let wanted = json!({"layout": "mix+tracks", "name": "{room}"});
    post(&mut desk, "", &wanted, 202);
    desk.world.run(2_000);
    desk.world.hang_up(two);
    desk.world.run(1_000);
    // The server ends, and does not wait for the media threads.
    let now = desk.world.now();
    desk.world.switch.cut_room_recordings(now);
    desk.world.carry_out();
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["began", "ended"]);
    let (meeting, _) = sidecar(&events["ended"]);
    let present = meeting.tracks.iter().map(|track| &track.present[..]);
    let present: Vec<_> = present.collect();
    let [[first], [second]] = &present[..] else {
        panic!("{:?}", meeting.tracks);
    };
    assert!(first.from < 1_000 && first.to == meeting.samples);
    assert!(second.to.abs_diff(16_000) < 1_000, "{second:?}");
}

/// Key 5 records, for members and moderators.
fn with_key(settings: RoomSettings) -> RoomSettings {
    let keys = Arc::new(Keypad {
        keys: vec![(
            Pattern::parse("5").unwrap(),
            KeypadAction::parse("record").unwrap(),
        )],
        ..Keypad::none()
    });
    RoomSettings {
        keypad: keys.clone(),
        moderator_keypad: keys,
        ..settings
    }
}

#[test]
fn a_key_begins_a_recording_and_ends_it_and_all_are_told() {
    let mut desk = desk(with_key(RoomSettings {
        announce_recording: true,
        ducking: Ducking::Off,
        ..settings()
    }));
    let (one, two) = (caller(&mut desk.world), caller(&mut desk.world));
    press(&mut desk.world, one, "5");
    hears_prompt(&mut desk.world, two, "conf-recording");
    let three = caller(&mut desk.world);
    hears_prompt(&mut desk.world, three, "conf-recording");
    press(&mut desk.world, two, "5");
    for phone in [one, two] {
        desk.world.hush(phone);
    }
    hears_prompt(&mut desk.world, three, "conf-recording-ended");
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["began", "ended"]);
    let (meeting, lines) = sidecar(&events["ended"]);
    assert_eq!(lines.len(), 1, "the mix alone");
    assert_eq!(tones(&lines["mix"], 8_000, &desk.world), [one, two]);
    let members: Vec<_> = meeting.tracks.iter().map(|t| t.member.as_str()).collect();
    assert_eq!(members, ["phone0", "phone1", "phone2"]);
    // Once more: another file.
    desk.world.speak(one);
    press(&mut desk.world, one, "5");
    desk.world.run(1_000);
    press(&mut desk.world, one, "5");
    let (words, again) = told(&mut desk);
    assert_eq!(words, ["began", "ended"]);
    assert_ne!(paths(&again["ended"]), paths(&events["ended"]));
    finish(&mut desk.world);
}

#[test]
fn a_room_is_recorded_from_its_start_in_split_files_until_it_ends() {
    let mut desk = desk(RoomSettings {
        record: true,
        recording: RoomRecordSettings {
            split: Some(Duration::from_secs(10)),
            layout: RecordLayout::Tracks,
            ..RoomRecordSettings::default()
        },
        ..settings()
    });
    let one = caller(&mut desk.world);
    desk.world.run(12_000);
    let two = caller(&mut desk.world);
    desk.world.run(12_000);
    desk.world.hang_up(two);
    desk.world.hang_up(one);
    desk.world.run(2_000);
    let (words, events) = told(&mut desk);
    assert_eq!(words.first().unwrap(), "began");
    assert_eq!(words.last().unwrap(), "ended");
    let splits = words.iter().filter(|word| *word == "split").count();
    // Two of each of three files.
    assert_eq!(splits, 6, "{words:?}");
    let (meeting, lines) = sidecar(&events["ended"]);
    assert!(meeting.mix.files.is_empty(), "tracks alone");
    let lengths: Vec<usize> = lines.values().map(Vec::len).collect();
    assert_eq!(lengths, [meeting.samples as usize; 3]);
    assert!(lines["rest"].iter().all(|sample| *sample == 0));
    for at in [4_000, 76_000, 156_000] {
        let late = if at > 100_000 { vec![two] } else { vec![] };
        assert_eq!(tones(&lines["phone0"], at, &desk.world), [one]);
        assert_eq!(tones(&lines["phone1"], at, &desk.world), late);
    }
    desk.world.run(40_000);
    desk.world.check_empty();
}

#[test]
fn in_stereo_one_is_left_and_all_others_are_right() {
    let mut desk = desk(settings());
    let phones = [(); 3].map(|()| caller(&mut desk.world));
    let page = desk.ok("/api/v1/rooms/600");
    let left = page["members"][1]["id"].clone();
    post(
        &mut desk,
        "",
        &json!({"layout": "stereo", "left": left}),
        202,
    );
    desk.world.run(3_000);
    assert_eq!(desk.ok(URL)["left"], left);
    desk.get(Method::Delete, URL, None);
    desk.world.run(100);
    let (_, events) = told(&mut desk);
    let files = paths(&events["ended"]);
    let (channels, both) = wav(&files[0]);
    assert_eq!((files.len(), channels), (1, 2));
    let side = |n: usize| {
        both.iter()
            .skip(n)
            .step_by(2)
            .copied()
            .collect::<Vec<i16>>()
    };
    assert_eq!(tones(&side(0), 8_000, &desk.world), [phones[1]]);
    assert_eq!(tones(&side(1), 8_000, &desk.world), [phones[0], phones[2]]);
    let (meeting, _) = sidecar(&events["ended"]);
    assert_eq!(meeting.left.as_deref(), Some("phone1"));
    assert_eq!(both.len() as u64, 2 * meeting.samples);
    finish(&mut desk.world);
}

#[test]
fn pauses_are_left_out_or_silent_and_the_sidecar_has_them() {
    let mut desk = desk(settings());
    let one = caller(&mut desk.world);
    post(&mut desk, "", &json!({}), 202);
    desk.world.run(3_000);
    assert_eq!(
        post(&mut desk, "/pause", &json!({}), 200)["state"],
        "paused"
    );
    desk.world.run(5_000);
    post(&mut desk, "/resume", &json!({}), 200);
    desk.world.run(2_000);
    let answer = post(&mut desk, "/pause", &json!({"silence": true}), 200);
    assert_eq!(answer["state"], "muted");
    desk.world.run(2_000);
    post(&mut desk, "/resume", &json!({}), 200);
    desk.world.run(2_000);
    desk.get(Method::Delete, URL, None);
    desk.world.run(100);
    let (words, events) = told(&mut desk);
    let wanted = ["began", "paused", "resumed", "paused", "resumed", "ended"];
    assert_eq!(words, wanted);
    let (meeting, lines) = sidecar(&events["ended"]);
    let mix = &lines["mix"];
    assert!(mix.len().abs_diff(9 * 8000) < 1_000, "{}", mix.len());
    for (at, heard) in [
        (14_000, vec![one]),
        (26_000, vec![one]),
        (44_000, vec![]),
        (60_000, vec![one]),
    ] {
        assert_eq!(tones(mix, at, &desk.world), heard, "{at}");
    }
    let near = |a: u64, b: u64| assert!(a.abs_diff(b) < 500, "{a} and not {b}");
    let [
        Pause::LeftOut { at, seconds },
        Pause::Silence { at: from, to },
    ] = meeting.pauses[..]
    else {
        panic!("{:?}", meeting.pauses);
    };
    near(at, 24_000);
    assert!((seconds - 5.0).abs() < 0.1);
    near(from, 40_000);
    near(to, 56_000);
    finish(&mut desk.world);
}

#[test]
fn what_fails_is_told_and_the_conference_goes_on() {
    let mut desk = desk(RoomSettings {
        announce_recording: true,
        ducking: Ducking::Off,
        ..settings()
    });
    let (one, two) = (caller(&mut desk.world), caller(&mut desk.world));
    let taken = desk.world.room_edge().directory.path().join("taken");
    std::fs::write(&taken, "a file, and no folder").unwrap();
    post(&mut desk, "", &json!({"name": "taken/{room}"}), 202);
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["failed"]);
    let error = events["failed"]["error"].as_str().unwrap();
    assert!(error.contains("taken"), "{error}");
    assert_eq!(desk.get(Method::Get, URL, None).0, 404);
    // The disk fills up while it runs.
    let wanted = json!({"layout": "mix+tracks", "name": "{room}"});
    post(&mut desk, "", &wanted, 202);
    desk.world.run(1_000);
    DISK_IS_FULL.store(true, Ordering::Relaxed);
    let begun = std::time::Instant::now();
    while desk
        .world
        .hear_recorder(Duration::from_millis(20))
        .is_none()
    {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it is never found out"
        );
        desk.world.run(20);
    }
    desk.world.carry_out();
    desk.world.run(200);
    // The others of its files, as well as they may.
    while desk
        .world
        .hear_recorder(Duration::from_millis(400))
        .is_some()
    {}
    DISK_IS_FULL.store(false, Ordering::Relaxed);
    desk.world.carry_out();
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["began", "failed", "ended"]);
    assert!(hears(&mut desk.world, one, two) && hears(&mut desk.world, two, one));
    let file = paths(&events["ended"]).remove(0);
    assert!(wav(&file).1.len() > 4_000, "what was written is valid");
    // And once more, in other files.
    post(&mut desk, "", &json!({"name": "{room}"}), 202);
    desk.world.run(1_000);
    desk.get(Method::Delete, URL, None);
    desk.world.run(100);
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["began", "ended"]);
    assert!(paths(&events["ended"])[0].ends_with("600-2.wav"));
    finish(&mut desk.world);
}

#[test]
fn wrong_requests_are_refused_with_what_is_wrong() {
    let mut desk = desk(settings());
    let nowhere = "/api/v1/rooms/601/recording";
    assert_eq!(desk.get(Method::Post, nowhere, Some(&json!({}))).0, 404);
    assert_eq!(desk.get(Method::Delete, nowhere, None).0, 404);
    caller(&mut desk.world);
    for (wrong, field) in [
        (json!({"layout": "both"}), "layout"),
        (json!({"format": "mp3"}), "format"),
        (json!({"rate": 44_100}), "rate"),
        (json!({"split_seconds": 9}), "split_seconds"),
        (json!({"name": "../{room}"}), "name"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let answer = post(&mut desk, "", &wrong, 400);
        assert_eq!(answer["field"], field, "{answer}");
    }
    for (wrong, status) in [
        (json!({"left": "1.2"}), 409),
        (json!({"layout": "stereo", "left": "1.2"}), 404),
    ] {
        assert_eq!(post(&mut desk, "", &wrong, status)["field"], "left");
    }
    post(&mut desk, "/pause", &json!({}), 409);
    post(&mut desk, "/resume", &json!({}), 409);
    assert_eq!(desk.get(Method::Delete, URL, None).0, 409);
    post(&mut desk, "", &json!({}), 202);
    post(&mut desk, "", &json!({}), 409);
    finish(&mut desk.world);
}

#[test]
fn opus_in_ogg_is_written_where_it_is_asked_for() {
    let mut desk = desk(RoomSettings {
        record: true,
        recording: RoomRecordSettings {
            format: RecordFormat::OggOpus,
            ..RoomRecordSettings::default()
        },
        ..settings()
    });
    caller(&mut desk.world);
    desk.world.run(2_000);
    desk.get(Method::Delete, URL, None);
    desk.world.run(100);
    let (_, events) = told(&mut desk);
    let file = paths(&events["ended"]).remove(0);
    assert_eq!(file.extension().unwrap(), "opus");
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"OggS") && bytes.len() > 2_000);
    finish(&mut desk.world);
}

#[test]
fn a_recording_from_the_start_that_has_to_wait_is_told_and_begins_later() {
    let mut desk = desk(RoomSettings {
        record: true,
        ..settings()
    });
    desk.world.room_edge().holds_closed = true;
    for _ in 0..4 {
        let phone = caller(&mut desk.world);
        desk.world.run(500);
        desk.world.hang_up(phone);
        desk.world.run(1_000);
    }
    assert_eq!(told(&mut desk).0, ["began"; 4]);
    let one = caller(&mut desk.world);
    let (words, events) = told(&mut desk);
    assert_eq!(words, ["failed"]);
    let error = events["failed"]["error"].as_str().unwrap();
    assert!(error.contains("still being closed"), "{error}");
    assert_eq!(desk.get(Method::Get, URL, None).0, 404);
    let two = caller(&mut desk.world);
    assert!(told(&mut desk).0.is_empty(), "it is told once");
    assert!(desk.world.close_held());
    desk.world.run(1_000);
    assert_eq!(told(&mut desk).0, ["ended", "began"]);
    assert_eq!(desk.ok(URL)["state"], "recording");
    for phone in [one, two] {
        desk.world.hang_up(phone);
    }
    desk.world.run(1_000);
    caller(&mut desk.world);
    assert_eq!(told(&mut desk).0, ["failed"]);
    // What is not wanted any more does not begin.
    assert_eq!(desk.get(Method::Delete, URL, None).0, 204);
    assert_eq!(desk.get(Method::Delete, URL, None).0, 409);
    desk.world.room_edge().holds_closed = false;
    while desk.world.close_held() {}
    assert_eq!(told(&mut desk).0, ["ended"; 4]);
    finish(&mut desk.world);
}
