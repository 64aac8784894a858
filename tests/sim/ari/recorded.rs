//! What programs are told of recordings whose call or bridge they have lost: when the file is closed,
//! how long it is, and whether the last of it could be written.

use antiphon::api::Method;
use antiphon::switch::Input;
use serde_json::Value;

use super::Desk;

/// What is told of recordings from now on, after so long: type, name, state and seconds.
fn told(desk: &mut Desk, ms: u64) -> Vec<(String, String, String, Option<u64>)> {
    desk.run(ms);
    let told = desk.events(&["RecordingFinished", "RecordingFailed"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |event: &Value| {
        let recording = &event["recording"];
        (
            text(&event["type"]),
            text(&recording["name"]),
            text(&recording["state"]),
            recording["duration"].as_u64(),
        )
    };
    told.iter().map(of).collect()
}

fn row(kind: &str, name: &str, state: &str, seconds: u64) -> (String, String, String, Option<u64>) {
    (
        kind.to_owned(),
        name.to_owned(),
        state.to_owned(),
        Some(seconds),
    )
}

/// A call that is recorded for 2 s; 3 s more are left out.
fn recorded(seed: u64) -> (Desk, usize, String) {
    let mut desk = Desk::new(seed);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.post(&format!("/ari/channels/{id}/record?name=r&format=wav"));
    desk.run(2_000);
    desk.post("/ari/recordings/live/r/pause");
    desk.run(3_000);
    desk.types();
    (desk, phone, id)
}

#[test]
fn a_recording_ends_with_its_call_and_is_as_long_as_its_file() {
    let (mut desk, phone, _) = recorded(470);
    desk.world.hang_up(phone);
    assert_eq!(
        told(&mut desk, 300),
        [row("RecordingFinished", "r", "done", 2)]
    );
    // The call goes on elsewhere, and the program is told all the same.
    let (mut other, _, second) = recorded(471);
    other.post(&format!("/ari/channels/{second}/continue?extension=500"));
    assert_eq!(
        told(&mut other, 300),
        [row("RecordingFinished", "r", "done", 2)]
    );
    let (status, _) = other.get(Method::Get, "/ari/recordings/live/r", "");
    assert_eq!(status, 404, "it is over");
    // A bridge's.
    let mut desk = Desk::new(472);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.post("/ari/bridges/b");
    desk.post(&format!("/ari/bridges/b/addChannel?channel={id}"));
    desk.post("/ari/bridges/b/record?name=m&format=wav");
    desk.run(2_000);
    desk.post("/ari/recordings/live/m/pause");
    desk.run(3_000);
    desk.types();
    desk.ok(Method::Delete, "/ari/bridges/b");
    assert_eq!(
        told(&mut desk, 300),
        [row("RecordingFinished", "m", "done", 2)]
    );
    desk.world.hang_up(phone);
    desk.run(40_000);
    desk.world.check_empty();
}

#[test]
fn a_bound_beyond_all_bounds_is_none() {
    let mut desk = Desk::new(476);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    let most = u64::MAX;
    desk.post(&format!(
        "/ari/channels/{id}/record?name=r&format=wav&maxDurationSeconds={most}&maxSilenceSeconds={most}"
    ));
    assert!(told(&mut desk, 2_000).is_empty(), "it goes on");
    desk.post("/ari/recordings/live/r/stop");
    let ended = told(&mut desk, 300);
    let (kind, name, state, _) = &ended[0];
    assert_eq!(
        (&**kind, &**name, &**state),
        ("RecordingFinished", "r", "done")
    );
}

#[test]
fn a_recording_whose_last_part_cannot_be_written_has_failed() {
    let (mut desk, phone, id) = recorded(473);
    desk.world.full_at_close = true;
    desk.post("/ari/recordings/live/r/stop");
    let failed = |name: &str| {
        let state = ("RecordingFailed", "failed");
        row(state.0, name, state.1, 2)
    };
    assert_eq!(told(&mut desk, 300), [failed("r")]);
    // The next one begins behind it, and fails when its call ends.
    desk.post(&format!("/ari/channels/{id}/record?name=s&format=wav"));
    desk.run(2_000);
    desk.types();
    desk.world.hang_up(phone);
    assert_eq!(told(&mut desk, 300), [failed("s")]);
    desk.run(40_000);
    desk.world.check_empty();
}

#[test]
fn what_is_thrown_away_as_the_call_ends_is_not_told_as_kept() {
    let (mut desk, phone, _) = recorded(474);
    desk.ok(Method::Delete, "/ari/recordings/live/r");
    desk.world.hang_up(phone);
    assert_eq!(
        told(&mut desk, 300),
        [row("RecordingFinished", "r", "canceled", 2)]
    );
}

#[test]
fn a_recording_is_not_overwritten_by_one_that_cannot_be() {
    let mut desk = Desk::new(475);
    desk.connect("hello");
    let phones = desk.world.phones(2);
    let ringing = desk.dial(phones[0], "400");
    desk.world.dial(phones[1], "500");
    desk.run(50);
    let other = desk.channel(phones[1]);
    desk.files.0.lock().unwrap().insert("s".to_owned(), vec![1]);
    let query = "record?name=s&format=wav&ifExists=overwrite";
    for (id, refused) in [(&ringing, 412), (&other, 409)] {
        let url = format!("/ari/channels/{id}/{query}");
        let (status, body) = desk.get(Method::Post, &url, "");
        assert_eq!(status, refused, "{body}");
    }
    desk.ok(Method::Get, "/ari/recordings/stored/s");
    assert!(desk.world.replaced.is_empty());
    // One that can be takes its place.
    desk.post(&format!("/ari/channels/{ringing}/answer"));
    desk.take_answer(phones[0]);
    desk.post(&format!("/ari/channels/{ringing}/{query}"));
    desk.run(300);
    assert_eq!(desk.world.replaced, ["s"]);
}

#[test]
fn an_old_recording_stays_until_the_one_in_its_place_begins() {
    let (mut desk, phone, id) = recorded(477);
    desk.files.0.lock().unwrap().insert("s".to_owned(), vec![1]);
    let query = "name=s&format=wav&ifExists=overwrite";
    desk.post(&format!("/ari/channels/{id}/record?{query}"));
    desk.run(300);
    // It waits for the one under way.
    desk.ok(Method::Get, "/ari/recordings/stored/s");
    assert!(desk.world.replaced.is_empty());
    desk.post("/ari/recordings/live/r/stop");
    desk.run(300);
    assert_eq!(desk.world.replaced, ["s"]);
    // One that never begins takes nothing away.
    desk.files.0.lock().unwrap().insert("t".to_owned(), vec![1]);
    let query = "name=t&format=wav&ifExists=overwrite";
    desk.post(&format!("/ari/channels/{id}/record?{query}"));
    desk.world.hang_up(phone);
    desk.run(40_000);
    desk.ok(Method::Get, "/ari/recordings/stored/t");
    assert_eq!(desk.world.replaced, ["s"]);
    desk.world.check_empty();
}

#[test]
fn a_bridge_is_recorded_in_the_place_of_an_older_recording() {
    let mut desk = Desk::new(478);
    desk.connect("hello");
    desk.post("/ari/bridges/b");
    desk.files.0.lock().unwrap().insert("s".to_owned(), vec![1]);
    desk.post("/ari/bridges/b/record?name=s&format=wav&ifExists=overwrite");
    desk.ok(Method::Get, "/ari/recordings/stored/s");
    desk.run(300);
    assert_eq!(desk.world.replaced, ["s"]);
}

#[test]
fn a_recording_that_fails_while_its_call_ends_gives_its_name_back() {
    let (mut desk, phone, id) = recorded(476);
    let recording = desk.world.named["r"];
    desk.ok(Method::Delete, &format!("/ari/channels/{id}"));
    // The leg is still to be closed.
    let now = desk.world.now();
    let error = "the disk is full".to_owned();
    let failed = Input::RecordingFailed { recording, error };
    desk.world.switch.handle(failed, now);
    desk.expect_bye(phone);
    desk.run(300);
    let told = desk.events(&["RecordingFinished", "RecordingFailed"]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["type"], "RecordingFailed");
    assert_eq!(told[0]["recording"]["name"], "r");
    let (status, _) = desk.get(Method::Get, "/ari/recordings/live/r", "");
    assert_eq!(status, 404, "its name can be had again");
    desk.run(40_000);
    desk.world.check_empty();
}
