//! Playing into rooms, and who talks in them, by the control API.

use super::api::Desk;
use crate::support::sim;

use antiphon::api::Method;
use serde_json::{Value, json};
use sim::signal::amplitude;

const PLAYS: &str = "/api/v1/rooms/700/plays";

/// A desk with a room of two that are silent, and their calls.
fn desk(seed: u64) -> (Desk, [usize; 2], [String; 2]) {
    let mut desk = Desk::new(seed);
    let phones = [desk.world.phone(), desk.world.phone()];
    for phone in phones {
        desk.world.dial(phone, "700");
        desk.world.hush(phone);
        desk.world.run(500);
    }
    let room = desk.ok("/api/v1/rooms/700");
    let id = |n: usize| room["members"][n]["id"].as_str().unwrap().to_owned();
    let ids = [id(0), id(1)];
    desk.events();
    (desk, phones, ids)
}

fn level(desk: &mut Desk, phone: usize, hz: f64) -> f64 {
    let from = desk.world.ms;
    desk.world.run(220);
    let audio = desk.world.phones[phone].audio(from, desk.world.ms);
    amplitude(&audio[..1600], hz)
}

#[test]
fn something_is_played_to_all_listed_paused_and_stopped() {
    let (mut desk, phones, _) = desk(401);
    let reader = desk.read("/api/v1/events?types=room");
    let body = json!({
        "items": [{"tone": {"hz": 1000, "ms": 500}}],
        "repeat": 0, "ducking": {"speech": 20},
    });
    let response = desk.ask(Method::Post, PLAYS, Some(&body)).unwrap();
    assert_eq!(response.status, 201);
    let location = |(name, at): &(&str, String)| (*name == "Location").then(|| at.clone());
    let one = response.headers.iter().find_map(location).unwrap();
    assert_eq!(one, format!("{PLAYS}/1"));
    desk.world.run(200);
    let play = desk.ok(&one);
    let shown = json!({
        "id": 1, "state": "playing", "repeat": 0, "background": false, "ducking": {"speech": 20},
        "items": [{"tone": {"hz": 1000.0, "ms": 500, "level_dbm0": -16.0}}],
    });
    assert_eq!(play, shown);
    assert!(
        phones
            .iter()
            .all(|&phone| level(&mut desk, phone, 1000.0) > 3_000.0)
    );
    let (_, second) = desk.get(
        Method::Post,
        PLAYS,
        Some(&json!({"items": [{"silence": 1000}]})),
    );
    assert_eq!(
        (&second["state"], &second["ducking"]),
        (&json!("waiting"), &json!({"speech": 12}))
    );
    let music = json!({"items": ["hold-music"], "repeat": 0, "background": true});
    let (status, music) = desk.get(Method::Post, PLAYS, Some(&music));
    assert_eq!((status, &music["ducking"]), (201, &json!({"play": 12})));
    let listed = desk.ok(PLAYS);
    assert_eq!(listed["plays"].as_array().unwrap().len(), 3);
    assert_eq!(desk.ok("/api/v1/rooms/700")["plays"], listed["plays"]);

    let paused = |desk: &mut Desk, on: bool| {
        desk.get(Method::Post, &one, Some(&json!({"paused": on}))).1["state"].clone()
    };
    assert_eq!(paused(&mut desk, true), "paused");
    desk.world.run(100);
    assert!(level(&mut desk, phones[0], 1000.0) < 50.0);
    assert_eq!(paused(&mut desk, false), "playing");
    let waiting = desk.get(
        Method::Post,
        &format!("{PLAYS}/2"),
        Some(&json!({"paused": true})),
    );
    assert_eq!(waiting.0, 409, "{}", waiting.1);
    for n in [1, 3] {
        let (status, _) = desk.get(Method::Delete, &format!("{PLAYS}/{n}"), None);
        assert_eq!(status, 204);
    }
    desk.world.run(1_500);
    assert_eq!(desk.ok(PLAYS), json!({"plays": []}));
    assert_eq!(desk.get(Method::Get, &one, None).0, 404);
    let events = desk.events();
    let told: Vec<(&str, u64)> = events
        .iter()
        .map(|e| {
            let number = e["play"].as_u64().or(e["play"]["id"].as_u64());
            (e["change"].as_str().unwrap(), number.unwrap())
        })
        .collect();
    let began = |n| ("play-began", n);
    let ended = |n| ("play-ended", n);
    assert_eq!(
        told,
        [began(1), began(3), ended(1), ended(3), began(2), ended(2)]
    );
    let of = |n: u64| events.iter().find(|e| e["play"] == n).unwrap();
    assert_eq!(
        (&of(1)["stopped"], &of(2)["stopped"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(of(2)["seconds"], 1.0);
    desk.left(&reader);
}

#[test]
fn one_member_alone_is_played_to() {
    let (mut desk, phones, ids) = desk(402);
    let body = json!({"items": [{"tone": {"hz": 1000, "ms": 1500}}], "member": ids[1]});
    let (status, play) = desk.get(Method::Post, PLAYS, Some(&body));
    assert_eq!((status, &play["member"]), (201, &json!(ids[1])));
    desk.world.run(200);
    assert!(level(&mut desk, phones[1], 1000.0) > 3_000.0);
    assert!(level(&mut desk, phones[0], 1000.0) < 10.0);
    for n in 0..3 {
        assert_eq!(desk.get(Method::Post, PLAYS, Some(&body)).0, 201, "{n}");
    }
    let (status, problem) = desk.get(Method::Post, PLAYS, Some(&body));
    assert_eq!(status, 409);
    assert!(
        problem["detail"].as_str().unwrap().contains("stop one"),
        "{problem}"
    );
}

#[test]
fn what_is_wrong_with_a_play_is_named_and_what_is_too_much_refused() {
    let (mut desk, _, ids) = desk(403);
    let good = json!([{"prompt": "welcome"}]);
    let body = json!({"items": [{"prompt": "nope"}]});
    let (status, problem) = desk.get(Method::Post, PLAYS, Some(&body));
    assert_eq!((status, &problem["field"]), (404, &json!("items")));
    let tone = |hz: f64, ms: u64| json!({"items": [{"tone": {"hz": hz, "ms": ms}}]});
    for (body, field) in [
        (json!({}), "items"),
        (json!({"items": []}), "items"),
        (json!({"items": [{"file": ""}]}), "items"),
        (json!({"items": [{"url": "file:///etc/passwd"}]}), "items"),
        (
            json!({"items": [{"url": "ftp://example.org/a.wav"}]}),
            "items",
        ),
        (json!({"items": [{"text": {"text": ""}}]}), "items"),
        (
            json!({"items": [{"text": {"text": "x", "language": "-x;y"}}]}),
            "items",
        ),
        (tone(5.0, 500), "items"),
        (tone(500.0, 5), "items"),
        (json!({"items": good, "repeat": 1001}), "repeat"),
        (json!({"items": good, "ducking": {"speech": 0}}), "ducking"),
        (json!({"items": good, "ducking": {"speech": 99}}), "ducking"),
        (
            json!({"items": good, "member": ids[0], "repeat": 0}),
            "repeat",
        ),
        (
            json!({"items": good, "member": ids[0], "background": true}),
            "member",
        ),
        (
            json!({"items": good, "member": ids[0], "ducking": "off"}),
            "member",
        ),
        (json!({"items": good, "nonsense": 1}), "nonsense"),
        (json!({"items": [{"nonsense": 1}]}), "items[0].nonsense"),
        (Value::Null, "body"),
    ] {
        let (status, problem) = desk.get(Method::Post, PLAYS, Some(&body));
        let named = problem["field"].as_str().unwrap_or("");
        assert_eq!(status, 400, "{body}: {problem}");
        assert!(
            named.starts_with(field.split('[').next().unwrap()),
            "{body}: {problem}"
        );
    }
    let nowhere = json!({"items": good});
    assert_eq!(
        desk.get(Method::Post, "/api/v1/rooms/9/plays", Some(&nowhere))
            .0,
        404
    );
    let stranger = json!({"items": good, "member": "1.1"});
    assert_eq!(desk.get(Method::Post, PLAYS, Some(&stranger)).0, 404);
    for nothing in ["9", "-1", "+1", "x", "99999999999"] {
        let (status, _) = desk.get(Method::Delete, &format!("{PLAYS}/{nothing}"), None);
        assert_eq!(status, 404, "{nothing}");
    }
    let long = json!({"items": [{"silence": 60_000}]});
    for n in 0..16 {
        assert_eq!(desk.get(Method::Post, PLAYS, Some(&long)).0, 201, "{n}");
    }
    let (status, problem) = desk.get(Method::Post, PLAYS, Some(&long));
    assert_eq!(status, 409);
    assert!(
        problem["detail"].as_str().unwrap().contains("16 plays"),
        "{problem}"
    );
    let music = json!({"items": ["hold-music"], "background": true, "repeat": 0});
    assert_eq!(desk.get(Method::Post, PLAYS, Some(&music)).0, 201);
    assert_eq!(desk.get(Method::Post, PLAYS, Some(&music)).0, 409);
}

#[test]
fn talkers_are_told_to_who_asks_for_them_and_shown_while_somebody_does() {
    let (mut desk, phones, ids) = desk(404);
    let all = desk.read("/api/v1/events");
    desk.world.speak(phones[0]);
    desk.world.run(1_000);
    assert!(
        desk.events().is_empty(),
        "not to who has not asked for them"
    );
    assert_eq!(
        desk.ok("/api/v1/rooms/700")["members"][0]["talk"],
        Value::Null
    );
    let reader = desk.read("/api/v1/events?talkers=true");
    desk.world.carry_out();
    desk.world.run(2_000);
    let told = desk.events();
    let last = told.last().unwrap();
    assert_eq!(
        (&last["type"], &last["room"]),
        (&json!("room.talkers"), &json!("700"))
    );
    assert_eq!(
        (&last["talking"], &last["dominant"]),
        (&json!(1), &json!(ids[0]))
    );
    assert_eq!(last["talkers"][0]["id"], json!(ids[0]));
    let level = last["talkers"][0]["level_dbov"].as_i64().unwrap();
    assert!((-27..=-24).contains(&level), "{last}");
    let room = desk.ok("/api/v1/rooms/700");
    let talk = &room["members"][0]["talk"];
    assert_eq!(
        (&talk["talking"], &talk["dominant"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(talk["level_dbov"], level);
    assert!(
        (1.5..2.3).contains(&talk["seconds"].as_f64().unwrap()),
        "{talk}"
    );
    let silent = json!({"talking": false, "dominant": false, "seconds": 0.0});
    assert_eq!(room["members"][1]["talk"], silent);
    desk.left(&reader);
    desk.world.run(500);
    assert!(desk.events().is_empty());
    assert_eq!(
        desk.ok("/api/v1/rooms/700")["members"][0]["talk"],
        Value::Null
    );
    desk.left(&all);
}
