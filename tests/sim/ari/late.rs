//! What programs want while files are still being looked for, opened or closed.

use std::time::Duration;

use antiphon::api::Method;
use antiphon::app::{Order, PlayItem};
use antiphon::switch::BridgeNumber;

use super::Desk;
use crate::support::sim::signal::amplitude;

/// A call, in a bridge or not; and the path of what plays and records then.
fn talk(seed: u64, in_bridge: bool) -> (Desk, usize, String) {
    let mut desk = Desk::new(seed);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    let mut whose = format!("/ari/channels/{id}");
    if in_bridge {
        desk.post("/ari/bridges/b");
        desk.post(&format!("/ari/bridges/b/addChannel?channel={id}"));
        "/ari/bridges/b".clone_into(&mut whose);
    }
    desk.run(100);
    desk.types();
    (desk, phone, whose)
}

fn is_silent(heard: &[i16]) -> bool {
    heard.iter().all(|sample| sample.unsigned_abs() < 100)
}

#[test]
fn a_recording_that_is_paused_before_its_file_is_open_begins_so() {
    for in_bridge in [false, true] {
        let (mut desk, _, whose) = talk(501, in_bridge);
        desk.world.slow_files = true;
        desk.post(&format!("{whose}/record?name=r&format=wav"));
        // The last one counts.
        desk.post("/ari/recordings/live/r/mute");
        desk.post("/ari/recordings/live/r/pause");
        desk.run(200);
        desk.world.files_come();
        desk.run(1_000);
        desk.ok(Method::Delete, "/ari/recordings/live/r/pause");
        desk.run(1_000);
        desk.post("/ari/recordings/live/r/stop");
        desk.run(300);
        let told = desk.events(&["RecordingFinished"]);
        assert_eq!(told[0]["recording"]["duration"], 1, "{in_bridge}");
        let audio = &desk.world.recorded[&desk.world.named["r"]];
        let length = audio.len();
        assert!((7_600..=8_400).contains(&length), "{in_bridge}: {length}");
        assert!(!is_silent(audio), "it goes on, and is not muted");
    }
}

#[test]
fn a_play_that_is_paused_before_it_is_there_begins_in_silence() {
    for in_bridge in [false, true] {
        let (mut desk, phone, whose) = talk(502, in_bridge);
        desk.post(&format!("{whose}/moh"));
        desk.run(500);
        desk.world.slow_files = true;
        desk.post(&format!("{whose}/play/p?media=tone:!2000/1000"));
        desk.post("/ari/playbacks/p/control?operation=pause");
        desk.run(100);
        assert!(!is_silent(&desk.heard(phone, 500)), "the music goes on");
        desk.world.files_come();
        desk.run(100);
        let heard = desk.heard(phone, 500);
        assert!(is_silent(&heard), "{in_bridge}: it is paused");
        desk.types();
        desk.post("/ari/playbacks/p/control?operation=unpause");
        desk.run(100);
        let heard = desk.heard(phone, 400);
        assert!(amplitude(&heard, 2000.0) > 1_000.0, "{in_bridge}");
        desk.run(400);
        assert!(desk.types().is_empty(), "all of it is heard");
        desk.run(300);
        assert_eq!(desk.types(), ["PlaybackFinished"]);
    }
}

#[test]
fn a_play_that_was_paused_and_goes_on_before_it_is_there_is_heard() {
    for in_bridge in [false, true] {
        let (mut desk, phone, whose) = talk(503, in_bridge);
        desk.world.slow_files = true;
        desk.post(&format!("{whose}/play/p?media=tone:!2000/1000"));
        for operation in ["pause", "forward", "unpause"] {
            desk.post(&format!("/ari/playbacks/p/control?operation={operation}"));
        }
        desk.world.files_come();
        desk.run(100);
        let heard = desk.heard(phone, 400);
        assert!(amplitude(&heard, 2000.0) > 1_000.0, "{in_bridge}");
    }
}

#[test]
fn of_two_orders_for_music_the_last_is_heard() {
    for reversed in [false, true] {
        let (mut desk, phone, _) = talk(504, true);
        desk.world.slow_files = true;
        let now = desk.world.now();
        for hz in [1000.0, 2000.0] {
            let tone = PlayItem::Tone {
                hz,
                level_dbm0: -16.0,
                length: Duration::from_secs(2),
            };
            let music = Order::Music(Some(vec![tone]));
            let ordered = desk.world.switch.order_bridge(BridgeNumber(1), music, now);
            ordered.unwrap();
        }
        desk.settle();
        assert_eq!(desk.world.held.len(), 2);
        if reversed {
            desk.world.held.make_contiguous().reverse();
        }
        desk.world.files_come();
        desk.run(200);
        let heard = desk.heard(phone, 500);
        let levels = [1000.0, 2000.0].map(|hz| amplitude(&heard, hz));
        assert!(levels[1] > 1_000.0, "{reversed}: {levels:?}");
        assert!(levels[0] < 60.0, "{reversed}: {levels:?}");
    }
}

#[test]
fn a_recording_that_is_cancelled_while_its_file_is_being_closed_goes() {
    for in_bridge in [false, true] {
        let (mut desk, _, whose) = talk(505, in_bridge);
        desk.post(&format!(
            "{whose}/record?name=r&format=wav&maxDurationSeconds=1"
        ));
        desk.run(100);
        desk.world.slow_files = true;
        desk.run(1_500);
        assert_eq!(desk.world.held.len(), 1, "it has reached its length");
        desk.ok(Method::Delete, "/ari/recordings/live/r");
        desk.world.files_come();
        desk.run(100);
        let told = desk.events(&["RecordingFinished"]);
        assert_eq!(told[0]["recording"]["state"], "canceled");
        let number = desk.world.named["r"];
        assert_eq!(desk.world.discarded, [number], "{in_bridge}");
    }
}
