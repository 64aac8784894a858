//! A program whose connection is lost, and one that is taken over.

use std::time::Duration;

use antiphon::api::Method;
use antiphon::sip::header::Name;
use antiphon::sip::message::Request;
use antiphon::sip::method::Method as SipMethod;
use antiphon::switch::{Abandoned, Absence};
use serde_json::json;

use super::Desk;

fn absence(desk: &mut Desk, seconds: u64, then: Abandoned) {
    desk.world.switch.set_absence(Absence {
        wait: Duration::from_secs(seconds),
        then,
    });
}

#[test]
fn calls_wait_for_their_program_and_it_finds_them() {
    let mut desk = Desk::new(421);
    absence(&mut desk, 20, Abandoned::Otherwise);
    let reader = desk.connect("hello");
    let phones = desk.world.phones(2);
    let id = desk.answered(phones[0], "300");
    desk.disconnect(&reader);
    desk.run(18_000);
    // Who calls now goes on at once, in an echo.
    desk.dial(phones[1], "301");
    desk.take_answer(phones[1]);
    desk.hears(phones[1], &[(phones[1], true)]);
    let app = desk.ok(Method::Get, "/ari/applications/hello");
    assert_eq!(app["channel_ids"], json!([id]));
    // The program is back before the time is over: its call is where it was.
    desk.connect("hello");
    desk.run(30_000);
    let channel = desk.ok(Method::Get, &format!("/ari/channels/{id}"));
    assert_eq!(channel["state"], "Up");
    assert_eq!(channel["dialplan"]["app_name"], "Stasis");
    desk.hears(phones[0], &[(phones[0], false)]);
    desk.world.hang_up(phones[0]);
    desk.run(100);
    let told = desk.events(&["StasisEnd", "ChannelDestroyed"]);
    let types: Vec<_> = told.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["StasisEnd", "ChannelDestroyed"]);
}

#[test]
fn without_their_program_calls_go_on_elsewhere_or_end() {
    let mut desk = Desk::new(422);
    absence(&mut desk, 10, Abandoned::Otherwise);
    let reader = desk.connect("hello");
    desk.ask(Method::Get, "/ari/events?app=watcher&subscribeAll=true", "")
        .unwrap_err();
    let phones = desk.world.phones(3);
    let goes_on = desk.answered(phones[0], "300");
    let ends = desk.answered(phones[1], "400");
    let ringing = desk.dial(phones[2], "400");
    desk.post("/ari/bridges/b");
    desk.post(&format!(
        "/ari/bridges/b/addChannel?channel={goes_on},{ends}"
    ));
    desk.hears(phones[0], &[(phones[1], true)]);
    desk.types();
    desk.disconnect(&reader);
    desk.run(8_000);
    assert!(desk.types().is_empty(), "nothing has happened yet");
    desk.run(1_900);
    desk.world.expect_nothing(phones[1], 0);
    desk.world.run(100);
    desk.expect_bye(phones[1]);
    desk.world.expect(phones[2], 503);
    desk.run(100);
    let told = desk.events(&["StasisEnd", "ChannelLeftBridge"]);
    let of = |kind: &str| {
        let its = told.iter().filter(|event| event["type"] == kind);
        let ids = its.map(|event| event["channel"]["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(of("StasisEnd"), [&*goes_on, &*ends, &*ringing]);
    assert_eq!(of("ChannelLeftBridge"), [&*goes_on, &*ends]);
    // In the echo that its route names.
    desk.hears(phones[0], &[(phones[0], true), (phones[1], false)]);
    let channel = desk.ok(Method::Get, &format!("/ari/channels/{goes_on}"));
    assert_eq!(channel["dialplan"]["app_name"], "");
}

#[test]
fn calls_are_hung_up_or_kept_where_that_is_wanted() {
    for (seconds, then, kept) in [
        (0, Abandoned::HungUp, false),
        (5, Abandoned::HungUp, false),
        (5, Abandoned::Kept, true),
    ] {
        let mut desk = Desk::new(423);
        absence(&mut desk, seconds, then);
        let reader = desk.connect("hello");
        let phone = desk.world.phone();
        desk.answered(phone, "300");
        desk.disconnect(&reader);
        if kept {
            desk.run(60_000);
            desk.world.expect_nothing(phone, 0);
            desk.world.hang_up(phone);
        } else {
            let within = seconds * 1_000 + 50;
            let bye = desk
                .world
                .expect_request_within(phone, &SipMethod::Bye, within);
            let reply = desk.world.phones[phone].response(&bye, 200);
            desk.world.reply(phone, &reply);
            desk.world.hush(phone);
        }
        desk.run(40_000);
        desk.world.check_empty();
    }
}

#[test]
fn a_second_connection_takes_the_program_over() {
    let mut desk = Desk::new(424);
    absence(&mut desk, 1, Abandoned::HungUp);
    let first = desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "300");
    desk.types();
    let second = desk.connect("hello");
    assert_ne!(first.topics, second.topics);
    let told = desk.events(&["ApplicationReplaced"]);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["application"], "hello");
    // The first one's end is not the program's.
    desk.disconnect(&first);
    desk.run(5_000);
    desk.post(&format!("/ari/channels/{id}/variable?variable=A&value=1"));
    assert_eq!(desk.types(), ["ChannelVarset"]);
    desk.world.hang_up(phone);
    desk.run(100);
    assert!(desk.types().iter().any(|kind| kind == "StasisEnd"));
}

/// A program calls a phone, which rings, and loses its connection.
fn rings_without_program(seed: u64, then: Abandoned) -> (Desk, usize, Request) {
    let mut desk = Desk::new(seed);
    absence(&mut desk, 20, then);
    let reader = desk.connect("hello");
    let phone = desk.world.phone();
    let to = desk.world.phones[phone].sip;
    desk.post(&format!(
        "/ari/channels/c?endpoint=sip:guest@{to}&app=hello&appArgs=x"
    ));
    let invite = desk.world.expect_request(phone, &SipMethod::Invite);
    desk.world.phones[phone].called(&invite);
    let ringing = desk.world.phones[phone].response(&invite, 180);
    desk.world.reply(phone, &ringing);
    desk.run(100);
    desk.disconnect(&reader);
    desk.types();
    (desk, phone, invite)
}

#[test]
fn who_answers_while_the_program_is_away_is_there_when_it_is_back() {
    for then in [Abandoned::Otherwise, Abandoned::Kept] {
        let (mut desk, phone, invite) = rings_without_program(425, then);
        desk.run(10_000);
        let mut ok = desk.world.phones[phone].response(&invite, 200);
        ok.headers.set(Name::ContentType, "application/sdp");
        ok.body = desk.world.phones[phone].sdp("sendrecv").into_bytes();
        desk.world.reply(phone, &ok);
        desk.world.expect_request(phone, &SipMethod::Ack);
        desk.world.speak(phone);
        desk.run(5_000);
        desk.world.expect_nothing(phone, 0);
        let app = desk.ok(Method::Get, "/ari/applications/hello");
        assert_eq!(app["channel_ids"], json!(["c"]));
        assert!(desk.types().is_empty(), "nobody reads");
        desk.connect("hello");
        let told = desk.events(&["StasisStart"]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0]["channel"]["id"], "c");
        assert_eq!(told[0]["args"], json!(["x"]));
        // Whoever takes it over later is not told again.
        desk.connect("hello");
        assert!(desk.events(&["StasisStart"]).is_empty());
        desk.run(30_000);
        let channel = desk.ok(Method::Get, "/ari/channels/c");
        assert_eq!(channel["state"], "Up");
        desk.ok(Method::Delete, "/ari/channels/c");
        desk.expect_bye(phone);
        desk.run(40_000);
        desk.world.check_empty();
    }
}

#[test]
fn who_does_not_answer_before_the_time_is_over_is_given_up() {
    let (mut desk, phone, _) = rings_without_program(426, Abandoned::Otherwise);
    desk.run(19_800);
    desk.world.expect_nothing(phone, 0);
    desk.world
        .expect_request_within(phone, &SipMethod::Cancel, 300);
}
