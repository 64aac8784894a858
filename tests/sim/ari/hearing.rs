//! What programs are told of what is said: who talks, who holds.

use antiphon::api::Method;

use super::Desk;

#[test]
fn a_program_is_told_when_somebody_begins_and_ceases_to_talk() {
    let mut desk = Desk::new(441);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.world.hush(phone);
    desk.run(500);
    let url = |variable: &str| format!("/ari/channels/{id}/variable?variable={variable}");
    desk.types();
    // Nobody has asked yet.
    desk.world.speak(phone);
    desk.run(500);
    desk.world.hush(phone);
    desk.run(500);
    assert!(desk.types().is_empty());
    desk.post(&format!("{}&value=600", url("TALK_DETECT(set)")));
    desk.run(1_000);
    assert!(desk.types().is_empty(), "it is silent");
    for _ in 0..2 {
        desk.world.speak(phone);
        desk.run(150);
        assert_eq!(desk.types(), ["ChannelTalkingStarted"]);
        desk.run(1_000);
        desk.world.hush(phone);
        // A short pause is none.
        desk.run(300);
        desk.world.speak(phone);
        desk.run(700);
        desk.world.hush(phone);
        desk.run(500);
        assert!(desk.types().is_empty());
        desk.run(400);
        let told = desk.events(&["ChannelTalkingFinished"]);
        let duration = told[0]["duration"].as_u64().unwrap();
        assert!((2_000..2_400).contains(&duration), "{duration} ms");
        assert_eq!(told[0]["channel"]["id"], *id);
    }
    // Louder than what is said.
    desk.post(&format!("{}&value=600,8000", url("TALK_DETECT(set)")));
    desk.world.speak(phone);
    desk.run(1_000);
    assert!(desk.types().is_empty());
    desk.post(&format!("{}&value=600,800", url("TALK_DETECT(set)")));
    desk.run(200);
    assert_eq!(desk.types(), ["ChannelTalkingStarted"]);
    desk.post(&url("TALK_DETECT(remove)"));
    desk.world.hush(phone);
    desk.run(2_000);
    assert!(desk.types().is_empty());
    // It is asked for of one program's call, and goes along into a bridge on another worker.
    let other = desk.world.phone();
    let second = desk.answered(other, "400");
    desk.post("/ari/bridges/b");
    for channel in [&id, &second] {
        desk.post(&format!(
            "/ari/channels/{channel}/variable?variable=TALK_DETECT(set)&value=600"
        ));
        desk.post(&format!("/ari/bridges/b/addChannel?channel={channel}"));
    }
    desk.run(500);
    desk.types();
    desk.world.speak(phone);
    desk.run(200);
    let told = desk.events(&["ChannelTalkingStarted"]);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["channel"]["id"], *id);
}

#[test]
fn a_program_is_told_of_the_other_sides_hold() {
    let mut desk = Desk::new(442);
    desk.connect("hello");
    let phone = desk.world.phone();
    let id = desk.answered(phone, "400");
    desk.types();
    for (direction, told) in [
        ("sendonly", &["ChannelHold"][..]),
        ("inactive", &[]),
        ("sendrecv", &["ChannelUnhold"]),
        ("recvonly", &["ChannelHold"]),
        ("sendrecv", &["ChannelUnhold"]),
        ("sendrecv", &[]),
    ] {
        let sdp = desk.world.phones[phone].sdp(direction);
        let reinvite = desk.world.phones[phone].reinvite(&sdp);
        desk.world.ask(phone, &reinvite, 200);
        desk.run(100);
        assert_eq!(desk.types(), told, "{direction}");
    }
    // One that is no program's any more is nobody's business.
    desk.post(&format!("/ari/channels/{id}/continue?extension=500"));
    desk.run(100);
    desk.types();
    let sdp = desk.world.phones[phone].sdp("sendonly");
    let reinvite = desk.world.phones[phone].reinvite(&sdp);
    desk.world.ask(phone, &reinvite, 200);
    desk.run(100);
    assert!(desk.types().is_empty());
    desk.ok(Method::Delete, &format!("/ari/channels/{id}"));
    desk.expect_bye(phone);
}
