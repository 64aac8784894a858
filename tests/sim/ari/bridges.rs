//! What bridges play to all who are in them, and what is recorded of them.

use antiphon::api::Method;
use antiphon::sip::header::Name;
use antiphon::sip::method::Method as SipMethod;
use antiphon::switch::Event;

use super::Desk;
use crate::support::sim::phone::put_sdp;
use crate::support::sim::signal::amplitude;

/// Two calls in a bridge of a program, which is told.
fn table(seed: u64) -> (Desk, Vec<usize>, Vec<String>) {
    let mut desk = Desk::new(seed);
    desk.connect("hello");
    let phones = desk.world.phones(2);
    let ids: Vec<String> = phones.iter().map(|&p| desk.answered(p, "400")).collect();
    desk.post("/ari/bridges/b");
    desk.post(&format!(
        "/ari/bridges/b/addChannel?channel={}",
        ids.join(",")
    ));
    desk.run(100);
    desk.types();
    (desk, phones, ids)
}

#[test]
fn all_hear_what_a_bridge_plays_until_it_is_stopped() {
    let (mut desk, phones, _) = table(431);
    let play = desk.post("/ari/bridges/b/play/p?media=tone:!1000/2000");
    assert_eq!(play["state"], "queued");
    desk.post("/ari/bridges/b/play/q?media=tone:2000/60000");
    desk.run(100);
    for &phone in &phones {
        let from = desk.world.ms;
        let heard = desk.heard(phone, 400);
        assert!(amplitude(&heard, 1000.0) > 1_000.0, "from {from}");
    }
    assert_eq!(desk.types(), ["PlaybackStarted"]);
    // The second one begins by itself; it can be paused, and stopped.
    desk.run(2_000);
    assert_eq!(desk.types(), ["PlaybackFinished", "PlaybackStarted"]);
    let heard = desk.heard(phones[0], 400);
    assert!(amplitude(&heard, 2000.0) > 1_000.0);
    desk.post("/ari/playbacks/q/control?operation=pause");
    desk.run(100);
    let heard = desk.heard(phones[0], 400);
    assert!(amplitude(&heard, 2000.0) < 60.0);
    desk.post("/ari/playbacks/q/control?operation=unpause");
    desk.run(100);
    let heard = desk.heard(phones[1], 400);
    assert!(amplitude(&heard, 2000.0) > 1_000.0);
    desk.ok(Method::Delete, "/ari/playbacks/q");
    desk.run(200);
    assert_eq!(desk.types(), ["PlaybackFinished"]);
    let heard = desk.heard(phones[0], 400);
    assert!(amplitude(&heard, 2000.0) < 60.0);
    // What cannot be played fails, and what waits behind it is played all the same.
    desk.post("/ari/bridges/b/play/x?media=sound:nowhere");
    desk.post("/ari/bridges/b/play/y?media=sound:welcome");
    desk.run(200);
    let told = desk.events(&["PlaybackStarted", "PlaybackFinished"]);
    let of = |n: usize| {
        let event = &told[n];
        let playback = &event["playback"];
        (
            event["type"].as_str().unwrap(),
            playback["id"].as_str().unwrap(),
            playback["state"].as_str().unwrap(),
        )
    };
    assert_eq!(of(0), ("PlaybackStarted", "x", "playing"));
    assert_eq!(of(1), ("PlaybackFinished", "x", "failed"));
    assert_eq!(of(2), ("PlaybackStarted", "y", "playing"));
}

#[test]
fn a_bridge_is_recorded_with_all_that_is_heard_in_it() {
    let (mut desk, phones, ids) = table(432);
    let live = desk.post("/ari/bridges/b/record?name=meeting&format=wav&maxDurationSeconds=4");
    assert_eq!(live["state"], "queued");
    desk.run(1_000);
    desk.post("/ari/bridges/b/play?media=tone:!2000/1000");
    desk.run(1_000);
    desk.post(&format!("/ari/bridges/b/removeChannel?channel={}", ids[0]));
    desk.run(1_000);
    desk.post("/ari/recordings/live/meeting/mute");
    desk.run(1_200);
    let told = desk.events(&["RecordingStarted", "RecordingFinished"]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1]["recording"]["state"], "done");
    assert_eq!(told[1]["recording"]["duration"], 4);
    let number = desk.world.named["meeting"];
    let audio = desk.world.recorded[&number].clone();
    assert_eq!(audio.len(), 32_000);
    let hz = |n: usize| desk.world.phones[phones[n]].voice.hz;
    let part = |second: usize| &audio[second * 8_000 + 1_600..(second + 1) * 8_000 - 800];
    let loud = |second: usize, hz: f64| amplitude(part(second), hz) > 1_000.0;
    assert!(loud(0, hz(0)) && loud(0, hz(1)) && !loud(0, 2000.0));
    assert!(loud(1, hz(0)) && loud(1, hz(1)) && loud(1, 2000.0));
    assert!(!loud(2, hz(0)) && loud(2, hz(1)));
    assert!(part(3).iter().all(|sample| *sample == 0), "it is muted");
    // What is recorded can be played, to all.
    desk.files
        .0
        .lock()
        .unwrap()
        .insert("meeting".to_owned(), Vec::new());
    desk.post("/ari/bridges/b/play?media=recording:meeting");
    desk.run(1_400);
    let heard = desk.heard(phones[1], 500);
    assert!(amplitude(&heard, 2000.0) > 1_000.0);
}

#[test]
fn a_bridge_that_ends_tells_what_it_played_and_recorded() {
    let (mut desk, phones, ids) = table(433);
    desk.post("/ari/bridges/b/record?name=r&format=wav");
    desk.post("/ari/bridges/b/play/p?media=tone:1000/60000");
    desk.run(500);
    desk.types();
    desk.ok(Method::Delete, "/ari/bridges/b");
    desk.run(200);
    let mut types = desk.types();
    types.sort();
    let expected = [
        "BridgeDestroyed",
        "ChannelLeftBridge",
        "ChannelLeftBridge",
        "PlaybackFinished",
        "RecordingFinished",
    ];
    assert_eq!(types, expected);
    let heard = desk.heard(phones[0], 400);
    assert!(amplitude(&heard, 1000.0) < 60.0);
    for id in ids {
        desk.ok(Method::Delete, &format!("/ari/channels/{id}"));
    }
    for phone in phones {
        desk.expect_bye(phone);
    }
    desk.run(40_000);
    desk.world.check_empty();
}

/// Whether a phone whose bridge is silent hears anything.
fn hears_music(desk: &mut Desk, phone: usize) -> bool {
    desk.run(200);
    let heard = desk.heard(phone, 1_000);
    heard.iter().any(|sample| sample.unsigned_abs() > 300)
}

#[test]
fn music_of_a_holding_bridge_is_heard_in_it_alone() {
    let mut desk = Desk::new(434);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.post("/ari/bridges/m");
    desk.post("/ari/bridges/h?type=holding");
    desk.post("/ari/bridges/h/moh");
    let add = |bridge: &str| format!("/ari/bridges/{bridge}/addChannel?channel={id}");
    desk.post(&add("h"));
    assert!(hears_music(&mut desk, phone));
    desk.post(&add("m"));
    assert!(!hears_music(&mut desk, phone), "it has left");
    desk.post(&add("h"));
    assert!(hears_music(&mut desk, phone));
    desk.post(&format!("/ari/bridges/h/removeChannel?channel={id}"));
    assert!(!hears_music(&mut desk, phone), "it was taken out");
    // What was asked for the channel alone is heard again where the bridge's has ended.
    desk.post(&add("h"));
    desk.post(&format!("/ari/channels/{id}/moh"));
    desk.ok(Method::Delete, "/ari/bridges/h/moh");
    assert!(hears_music(&mut desk, phone));
    desk.ok(Method::Delete, &format!("/ari/channels/{id}/moh"));
    assert!(!hears_music(&mut desk, phone));
    desk.post("/ari/bridges/h/moh");
    assert!(hears_music(&mut desk, phone));
    desk.ok(Method::Delete, "/ari/bridges/h");
    assert!(!hears_music(&mut desk, phone), "its bridge is no more");
}

#[test]
fn who_comes_later_hears_the_music_that_the_bridge_has() {
    let mut desk = Desk::new(435);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.post("/ari/bridges/h?type=holding");
    // There is no such sound: nothing is heard, and not the melody.
    desk.post("/ari/bridges/h/moh?mohClass=nowhere");
    desk.post(&format!("/ari/bridges/h/addChannel?channel={id}"));
    assert!(!hears_music(&mut desk, phone));
    desk.post("/ari/bridges/h/moh");
    assert!(hears_music(&mut desk, phone));
}

#[test]
fn what_is_wanted_of_a_call_that_is_answered_waits_for_its_prack() {
    let mut desk = Desk::new(436);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.dial_reliably(phone, "400");
    desk.post("/ari/bridges/b");
    let refused = format!("/ari/bridges/b/addChannel?channel={id}");
    assert_eq!(desk.get(Method::Post, &refused, "").0, 412, "it rings");
    desk.post(&format!("/ari/channels/{id}/answer"));
    let ringing = desk.world.expect(phone, 180);
    desk.world.phones[phone].learn(&ringing);
    desk.post(&format!("/ari/bridges/b/addChannel?channel={id}"));
    desk.post(&format!("/ari/channels/{id}/play/p?media=tone:1000/60000"));
    desk.post(&format!("/ari/channels/{id}/play/q?media=tone:1000/60000"));
    desk.types();
    desk.ok(Method::Delete, "/ari/playbacks/q");
    assert_eq!(desk.types(), ["PlaybackFinished"]);
    let prack = desk.world.phones[phone].prack(&ringing);
    desk.world.send(phone, &prack);
    let proven = desk.world.expect(phone, 200);
    assert_eq!(proven.headers.cseq().unwrap().method, SipMethod::Prack);
    desk.take_answer(phone);
    desk.run(100);
    let types = desk.types();
    for begun in ["ChannelEnteredBridge", "PlaybackStarted"] {
        assert!(types.iter().any(|kind| kind == begun), "{begun}: {types:?}");
    }
    let heard = desk.heard(phone, 400);
    assert!(amplitude(&heard, 1000.0) > 1_000.0);
}

/// RFC 3262 §3: who requires it is told so each time, and with our offer once.
#[test]
fn who_requires_prack_is_rung_reliably_each_time() {
    for late in [false, true] {
        let mut desk = Desk::new(439);
        desk.connect("hello");
        let phone = desk.world.phone();
        let caller = &mut desk.world.phones[phone];
        let mut invite = if late {
            caller.invite_without_offer("400")
        } else {
            caller.invite("400")
        };
        invite.headers.push(Name::Require, "100rel");
        desk.world.send(phone, &invite);
        desk.run(50);
        let id = desk.channel(phone);
        let mut last = None;
        for round in 0..3 {
            desk.post(&format!("/ari/channels/{id}/ring"));
            let first = late && round == 0;
            let ringing = desk.world.expect(phone, if first { 183 } else { 180 });
            assert_eq!(ringing.body.is_empty(), !first);
            assert_eq!(ringing.headers.require(), ["100rel"]);
            let rseq = ringing.headers.rseq().unwrap().unwrap();
            assert!(last.is_none_or(|last| rseq == last + 1));
            last = Some(rseq);
            desk.world.phones[phone].learn(&ringing);
            let mut prack = desk.world.phones[phone].prack(&ringing);
            if first {
                let sdp = desk.world.phones[phone].sdp("sendrecv");
                put_sdp(&mut prack, &sdp);
            }
            desk.world.send(phone, &prack);
            let proven = desk.world.expect(phone, 200);
            assert_eq!(proven.headers.cseq().unwrap().method, SipMethod::Prack);
        }
        desk.post(&format!("/ari/channels/{id}/answer"));
        desk.take_answer(phone);
        desk.run(100);
        desk.world.hang_up(phone);
        desk.run(40_000);
        desk.world.check_empty();
    }
}

#[test]
fn channels_come_and_go_all_together_or_not_at_all() {
    let mut desk = Desk::new(437);
    desk.connect("hello");
    let phones = desk.world.phones(3);
    let up: Vec<String> = phones[..2]
        .iter()
        .map(|&p| desk.answered(p, "400"))
        .collect();
    let ringing = desk.dial(phones[2], "400");
    desk.api.state.settings.max_members = 1;
    desk.post("/ari/bridges/small");
    desk.api.state.settings.max_members = 10;
    desk.post("/ari/bridges/b");
    desk.types();
    for (bridge, channels, refused) in [
        ("b", format!("{},{ringing}", up[0]), 412),
        ("small", up.join(","), 409),
    ] {
        let url = format!("/ari/bridges/{bridge}/addChannel?channel={channels}");
        assert_eq!(desk.get(Method::Post, &url, "").0, refused);
        desk.run(100);
        assert!(desk.types().is_empty(), "nobody has entered");
    }
    // Who is named twice comes, and goes, once.
    let twice = format!("channel={0},{0}", up[0]);
    desk.post(&format!("/ari/bridges/small/addChannel?{twice}"));
    desk.run(100);
    assert_eq!(desk.types(), ["ChannelEnteredBridge"]);
    let both = format!("/ari/bridges/small/removeChannel?channel={}", up.join(","));
    assert_eq!(desk.get(Method::Post, &both, "").0, 422);
    desk.run(100);
    assert!(desk.types().is_empty(), "nobody has left");
    desk.post(&format!("/ari/bridges/small/removeChannel?{twice}"));
    desk.run(100);
    assert_eq!(desk.types(), ["ChannelLeftBridge"]);
}

#[test]
fn music_begins_for_all_but_who_is_about_to_go() {
    let mut desk = Desk::new(438);
    desk.connect("hello");
    let phones = desk.world.phones(2);
    let ids: Vec<String> = phones.iter().map(|&p| desk.answered(p, "400")).collect();
    desk.post("/ari/bridges/h?type=holding");
    let both = ids.join(",");
    desk.post(&format!("/ari/bridges/h/addChannel?channel={both}"));
    desk.run(100);
    // Its leg is still to be closed.
    desk.ok(Method::Delete, &format!("/ari/channels/{}", ids[0]));
    desk.post("/ari/bridges/h/moh");
    desk.expect_bye(phones[0]);
    assert!(hears_music(&mut desk, phones[1]));
}

#[test]
fn a_channel_on_its_way_into_a_bridge_goes_on_to_a_room() {
    // Where the bridge is mixed, where the channel was, and one that is yet to be.
    for room in ["700", "701", "702"] {
        let mut desk = Desk::new(439);
        desk.connect("hello");
        let phones = desk.world.phones(4);
        desk.world.dial(phones[0], "700");
        let id = desk.answered(phones[3], "400");
        desk.post("/ari/bridges/near");
        desk.post("/ari/bridges/far");
        desk.world.dial(phones[1], "701");
        desk.run(100);
        desk.types();
        desk.post(&format!("/ari/bridges/far/addChannel?channel={id}"));
        assert!(desk.types().is_empty(), "its leg is on another worker");
        desk.post(&format!("/ari/channels/{id}/continue?extension={room}"));
        desk.run(200);
        let other = match room {
            "700" => phones[0],
            "701" => phones[1],
            _ => {
                desk.world.dial(phones[2], "702");
                phones[2]
            }
        };
        desk.hears(phones[3], &[(other, true)]);
        desk.hears(other, &[(phones[3], true)]);
    }
}

#[test]
fn who_hangs_up_on_the_way_to_a_room_leaves_nothing() {
    let mut desk = Desk::new(440);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.post("/ari/bridges/far");
    desk.types();
    desk.post(&format!("/ari/bridges/far/addChannel?channel={id}"));
    assert!(desk.types().is_empty(), "its leg is on another worker");
    desk.post(&format!("/ari/channels/{id}/continue?extension=700"));
    desk.ok(Method::Delete, &format!("/ari/channels/{id}"));
    desk.expect_bye(phone);
    desk.run(300);
    assert_eq!(desk.world.switch.rooms(), 0);
    desk.ok(Method::Delete, "/ari/bridges/far");
    desk.run(40_000);
    desk.world.check_empty();
}

#[test]
fn what_bridges_play_and_record_is_among_the_figures() {
    let (mut desk, _, _) = table(441);
    let figures = |desk: &mut Desk| {
        let response = desk.ask(Method::Get, "/metrics", "").unwrap();
        String::from_utf8(response.body).unwrap()
    };
    let before = figures(&mut desk);
    assert!(before.contains("antiphon_plays_failed_total 0\n"));
    assert!(before.contains("antiphon_recordings 0\n"));
    desk.post("/ari/bridges/b/record?name=r&format=wav");
    desk.post("/ari/bridges/b/play/x?media=sound:nowhere");
    desk.run(100);
    let during = figures(&mut desk);
    assert!(during.contains("antiphon_plays_failed_total 1\n"));
    assert!(during.contains("antiphon_recordings 1\n"));
    let failed = desk.world.events.iter().find_map(|event| match event {
        Event::BridgePlayFailed { bridge, error } => Some((*bridge, error.clone())),
        _ => None,
    });
    let (bridge, error) = failed.unwrap();
    assert_eq!(desk.api.bridge_name(bridge), "b");
    assert!(error.contains("nowhere"), "{error}");
    desk.post("/ari/recordings/live/r/stop");
    desk.run(100);
    assert!(figures(&mut desk).contains("antiphon_recordings 0\n"));
}
