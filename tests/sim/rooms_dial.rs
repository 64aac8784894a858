//! Rooms that call somebody.

use std::sync::Arc;

use super::rooms::{
    caller, caller_of, check_roster, hears, hears_prompt, moved, operate, press, settings, world,
};
use crate::support::sim::{World, flow};

use antiphon::app::room::{RoomName, RoomSettings, RoomTable};
use antiphon::call::EndReason;
use antiphon::room::{RoomChange, RoomError, RoomOperation};
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use antiphon::switch::Event;

/// A room with one member, and a phone that the room calls; its INVITE.
fn dialled() -> (World, usize, usize, Request) {
    dialled_in(world(settings()))
}

fn dialled_in(mut world: World) -> (World, usize, usize, Request) {
    let member = caller(&mut world);
    let phone = world.phone();
    world.phones[phone].events = true;
    let to = world.phones[phone].sip;
    world.ways = Ok((flow(to), Vec::new()));
    let uri = format!("sip:guest@{to}");
    operate(&mut world, "600", RoomOperation::Dial { uri }).unwrap();
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    (world, member, phone, invite)
}

fn answer(world: &mut World, phone: usize, invite: &Request) {
    let mut ok = world.phones[phone].response(invite, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.speak(phone);
    world.run(100);
}

fn not_joined(world: &World) -> Option<&str> {
    world.events.iter().find_map(|event| match event {
        Event::Room(event) => match &event.change {
            RoomChange::NotJoined { reason, .. } => Some(reason.as_str()),
            _ => None,
        },
        _ => None,
    })
}

fn finish(mut world: World, member: usize) {
    check_roster(&world);
    world.hang_up(member);
    world.run(60_000);
    world.check_empty();
}

#[test]
fn who_answers_and_presses_1_is_in() {
    let (mut world, member, guest, invite) = dialled();
    let from = invite.headers.get(&Name::From).unwrap();
    assert!(from.contains("sip:conference@"), "{from}");
    answer(&mut world, guest, &invite);
    hears_prompt(&mut world, guest, "conf-invited");
    assert!(
        !hears(&mut world, member, guest),
        "not before it has said so"
    );
    press(&mut world, guest, "1");
    assert!(hears(&mut world, member, guest) && hears(&mut world, guest, member));
    assert_eq!(not_joined(&world), None);
    check_roster(&world);
    let bye = world.phones[guest].request(Method::Bye);
    world.send(guest, &bye);
    world.run(50);
    world.hush(guest);
    finish(world, member);
}

#[test]
fn who_was_called_may_be_moved_to_rooms_that_are_as_configured_or_as_any() {
    // No more than there are places for legs where nothing is said of a room.
    for (to, members) in [("601", 7), ("602", 50)] {
        let known = RoomSettings {
            max_members: 7,
            ..settings()
        };
        let table = RoomTable(vec![(RoomName::Is("601".into()), Arc::new(known))]);
        let mut world = world(settings());
        world.switch.set_room_table(Arc::new(table));
        let (mut world, member, guest, invite) = dialled_in(world);
        answer(&mut world, guest, &invite);
        hears_prompt(&mut world, guest, "conf-invited");
        press(&mut world, guest, "1");
        let moves = moved(&world, guest, to);
        operate(&mut world, "600", moves).unwrap();
        world.run(100);
        let room = world.switch.room_state(to).expect("it has begun");
        assert_eq!(room.max_members, members, "{to}");
        let other = caller_of(&mut world, to);
        assert!(hears(&mut world, other, guest) && hears(&mut world, guest, other));
        world.hang_up(other);
        let bye = world.phones[guest].request(Method::Bye);
        world.send(guest, &bye);
        world.run(50);
        world.hush(guest);
        finish(world, member);
    }
}

#[test]
fn who_presses_nothing_is_not_in() {
    let (mut world, member, guest, invite) = dialled();
    answer(&mut world, guest, &invite);
    let bye = world.expect_request_within(guest, &Method::Bye, 60_000);
    let reply: Response = world.phones[guest].response(&bye, 200);
    world.reply(guest, &reply);
    world.hush(guest);
    world.run(200);
    assert_eq!(not_joined(&world), Some(EndReason::HungUp.word()));
    finish(world, member);
}

#[test]
fn who_refuses_or_does_not_answer_is_told_of() {
    let (mut world, member, guest, invite) = dialled();
    let busy = world.phones[guest].response(&invite, 486);
    world.reply(guest, &busy);
    world.expect_request(guest, &Method::Ack);
    world.run(100);
    assert_eq!(not_joined(&world), Some("486 Busy Here"));
    finish(world, member);

    let (mut world, member, guest, invite) = dialled();
    let ringing = world.phones[guest].response(&invite, 180);
    world.reply(guest, &ringing);
    let cancel = world.expect_request_within(guest, &Method::Cancel, 31_000);
    let ok = world.phones[guest].response(&cancel, 200);
    world.reply(guest, &ok);
    let terminated = world.phones[guest].response(&invite, 487);
    world.reply(guest, &terminated);
    let next = world.next(guest, 100).map(|r| r.message);
    assert!(matches!(next, Some(Message::Request(r)) if r.method == Method::Ack));
    world.run(100);
    assert!(not_joined(&world).is_some());
    finish(world, member);
}

#[test]
fn nowhere_and_nonsense_are_told_of() {
    let mut world = world(settings());
    let member = caller(&mut world);
    let dial = |uri: &str| RoomOperation::Dial {
        uri: uri.to_owned(),
    };
    let wrong = operate(&mut world, "600", dial("tel:100"));
    assert_eq!(wrong, Err(RoomError::Uri("tel:100".into())));
    operate(&mut world, "600", dial("sip:nobody@nowhere.invalid")).unwrap();
    world.run(10);
    assert_eq!(not_joined(&world), Some("nobody is anywhere"));
    finish(world, member);
}

#[test]
fn a_server_that_takes_no_calls_places_none_for_its_rooms() {
    let mut world = world(settings());
    let member = caller(&mut world);
    let phone = world.phone();
    let to = world.phones[phone].sip;
    world.ways = Ok((flow(to), Vec::new()));
    let dial = RoomOperation::Dial {
        uri: format!("sip:guest@{to}"),
    };
    // It is not known yet where that is.
    let now = world.now();
    let begun = world.switch.room_operation("600", dial.clone(), now);
    assert_eq!(begun, Ok(()));
    world.switch.stop_accepting();
    world.carry_out();
    world.run(10);
    let none = RoomError::TooManyCalls;
    assert_eq!(not_joined(&world), Some(&*none.to_string()));
    assert_eq!(operate(&mut world, "600", dial), Err(none));
    world.expect_nothing(phone, 1_000);
    finish(world, member);
}
