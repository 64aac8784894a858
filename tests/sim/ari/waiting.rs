//! Callers whom a program keeps waiting: what they are told, and for how long.

use antiphon::call::EndReason;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Response};

use super::Desk;

/// The next response for a phone.
#[track_caller]
fn next(desk: &mut Desk, phone: usize, within_ms: u64) -> Response {
    match desk.world.next(phone, within_ms).map(|r| r.message) {
        Some(Message::Response(response)) => response,
        other => panic!("phone {phone} waits for a response, and gets {other:#?}"),
    }
}

#[test]
fn who_waits_is_told_so_each_minute() {
    let mut desk = Desk::new(511);
    desk.connect("hello");
    let phones = desk.world.phones(2);
    let id = desk.dial(phones[0], "400");
    desk.dial(phones[1], "400");
    desk.post(&format!("/ari/channels/{id}/ring"));
    desk.world.expect(phones[0], 180);
    desk.world.run(200_000);
    for (phone, status) in [(phones[0], 180), (phones[1], 183)] {
        for _ in 0..3 {
            let told = desk.world.expect(phone, status);
            assert!(told.body.is_empty() && told.headers.require().is_empty());
        }
        desk.world.expect_nothing(phone, 0);
    }
    desk.post(&format!("/ari/channels/{id}/answer"));
    desk.take_answer(phones[0]);
    // Who is answered is told nothing more of that.
    desk.run(70_000);
    desk.world.expect_nothing(phones[0], 0);
}

#[test]
fn a_caller_that_requires_it_acknowledges_each() {
    for rings_before_prack in [false, true] {
        let mut desk = Desk::new(512);
        desk.connect("hello");
        let phone = desk.world.phone();
        let id = desk.dial_reliably(phone, "400");
        let ring = format!("/ari/channels/{id}/ring");
        let first = next(&mut desk, phone, 61_000);
        assert_eq!(first.status, 183, "nobody is alerted");
        let mut rseq = first.headers.rseq().unwrap().unwrap();
        if rings_before_prack {
            desk.post(&ring);
        }
        acknowledge(&mut desk, phone, &first);
        for status in [183, 180, 180] {
            if status == 183 && rings_before_prack {
                continue;
            }
            let again = next(&mut desk, phone, 61_000);
            assert_eq!(again.status, status);
            rseq += 1;
            assert_eq!(again.headers.rseq().unwrap(), Some(rseq));
            acknowledge(&mut desk, phone, &again);
            if status == 183 {
                desk.post(&ring);
            }
        }
        desk.post(&format!("/ari/channels/{id}/answer"));
        desk.take_answer(phone);
    }
}

fn acknowledge(desk: &mut Desk, phone: usize, response: &Response) {
    desk.world.phones[phone].learn(response);
    let prack = desk.world.phones[phone].prack(response);
    desk.world.send(phone, &prack);
    desk.world.expect(phone, 200);
}

#[test]
fn an_invitation_that_has_expired_gets_487() {
    let mut desk = Desk::new(513);
    desk.connect("hello");
    let phone = desk.world.phone();
    let mut invite = desk.world.phones[phone].invite("400");
    invite.headers.push(Name::Expires, "60");
    desk.world.send(phone, &invite);
    desk.run(50);
    let id = desk.channel(phone);
    desk.post(&format!("/ari/channels/{id}/ring"));
    desk.world.expect(phone, 180);
    desk.run(59_000);
    desk.world.expect_nothing(phone, 0);
    desk.run(1_200);
    let expired = desk.world.expect(phone, 487);
    let ack = desk.world.phones[phone].ack(&expired);
    desk.world.send(phone, &ack);
    desk.run(100);
    let ended = desk
        .world
        .ended(phone)
        .map(|summary| summary.reason.clone());
    assert_eq!(ended, Some(EndReason::NoAnswer));
    let told = desk.events(&["ChannelDestroyed"]);
    assert_eq!(told[0]["cause"], 19);
    desk.run(40_000);
    desk.world.check_empty();
}

#[test]
fn a_caller_that_is_gone_does_not_wait_for_ever() {
    let mut desk = Desk::new(514);
    desk.connect("hello");
    let phone = desk.world.phone();
    desk.dial(phone, "400");
    // The longest call.
    desk.world.run(4 * 3_600_000 - 1_000);
    assert_eq!(desk.world.switch.calls(), 1);
    desk.world.run(2_000);
    assert_eq!(desk.world.switch.calls(), 0);
    let mut last = None;
    while let Some(received) = desk.world.next(phone, 0) {
        last = Some(received.message);
    }
    assert!(matches!(last, Some(Message::Response(r)) if r.status == 480));
    let ended = desk
        .world
        .ended(phone)
        .map(|summary| summary.reason.clone());
    assert_eq!(ended, Some(EndReason::MaxLength));
    desk.world.run(40_000);
    desk.world.check_empty();
}
