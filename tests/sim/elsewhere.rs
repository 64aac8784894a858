//! Calls whose name leads to several places (RFC 3263 §4.3), in simulated time.

use crate::support::sim;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use antiphon::app::{AppSpec, ScriptSpec};
use antiphon::call::{CallHandle, EndReason};
use antiphon::endpoint;
use antiphon::sip::header::Name;
use antiphon::sip::message::Request;
use antiphon::sip::method::Method;
use antiphon::sip::transport::{Flow, Transport};
use antiphon::switch::Input;
use sim::{SERVER_IP, World, flow};

/// Another address of the server's.
const OTHER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

/// Places a call that may be answered by either of two phones.
fn place(seed: u64) -> (World, [usize; 2], CallHandle) {
    place_from(World::new(seed), SERVER_IP)
}

/// The same, with the second one reached from this address.
fn place_from(mut world: World, second: IpAddr) -> (World, [usize; 2], CallHandle) {
    let phones = [world.phone(), world.phone()];
    let mut to = phones.map(|phone| flow(world.phones[phone].sip));
    to[1].local.set_ip(second);
    let now = world.now();
    let spec = AppSpec::Script(ScriptSpec::default());
    let handle = world.switch.originate(
        "sip:bob@pbx.example".into(),
        "antiphon".into(),
        to[0],
        vec![to[1]],
        spec,
        now,
    );
    world.carry_out();
    (world, phones, handle)
}

/// The INVITE at a place, whose phone takes note of it.
fn invited(world: &mut World, phone: usize) -> Request {
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    invite
}

/// The same request at the second place: all but the branch, and who is told where to find us.
fn check_same(first: &Request, second: &Request) {
    check_same_call(first, second);
    assert_eq!(first.body, second.body);
}

fn check_same_call(first: &Request, second: &Request) {
    for name in [Name::CallId, Name::CSeq, Name::From, Name::To] {
        assert_eq!(first.headers.get(&name), second.headers.get(&name));
    }
    let branch = |request: &Request| {
        let via = request.headers.via().unwrap();
        via.branch().unwrap().to_owned()
    };
    assert_ne!(branch(first), branch(second));
}

fn is_answered(mut world: World, phone: usize, handle: CallHandle, invite: &Request) {
    world.phones[phone].called(invite);
    let mut ok = world.phones[phone].response(invite, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    let now = world.now();
    world.switch.hang_up(handle, now);
    world.carry_out();
    let bye = world.expect_request(phone, &Method::Bye);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn the_next_place_is_tried_when_the_first_says_503() {
    let (mut world, [first, second], handle) = place(91);
    let one = invited(&mut world, first);
    let mut busy = world.phones[first].response(&one, 503);
    busy.headers.set(Name::RetryAfter, "10");
    world.reply(first, &busy);
    let two = world.expect_request(second, &Method::Invite);
    check_same(&one, &two);
    is_answered(world, second, handle, &two);
}

#[test]
fn the_next_place_is_tried_when_the_first_is_silent() {
    let (mut world, [first, second], handle) = place(92);
    // Within the time that it may ring.
    let now = world.now();
    world
        .switch
        .ring_at_most(handle, Duration::from_secs(30), now);
    let one = invited(&mut world, first);
    for _ in 1..4 {
        world.expect_request_within(first, &Method::Invite, 4_000);
    }
    let two = world.expect_request_within(second, &Method::Invite, 3_000);
    check_same(&one, &two);
    is_answered(world, second, handle, &two);
}

/// The network had only been slow: whoever is there has rung, and answers.
#[test]
fn a_place_that_was_given_up_is_called_off_and_hung_up_on() {
    let (mut world, [first, second], handle) = place(98);
    let one = invited(&mut world, first);
    let two = world.expect_request_within(second, &Method::Invite, 7_000);
    world.phones[first].inbox.clear();
    let ringing = world.phones[first].response(&one, 180);
    world.reply(first, &ringing);
    let cancel = world.expect_request(first, &Method::Cancel);
    let branch = |request: &Request| request.headers.via().unwrap().branch().map(str::to_owned);
    assert_eq!(branch(&cancel), branch(&one));
    let reply = world.phones[first].response(&cancel, 200);
    world.reply(first, &reply);
    world.reply(first, &ringing);
    world.expect_nothing(first, 100);
    let mut ok = world.phones[first].response(&one, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[first].sdp("sendrecv").into_bytes();
    world.reply(first, &ok);
    world.expect_request(first, &Method::Ack);
    let bye = world.expect_request(first, &Method::Bye);
    assert_eq!(bye.to_tag(), ok.to_tag());
    let reply = world.phones[first].response(&bye, 200);
    world.reply(first, &reply);
    // Its ACK was lost: once more, and nothing else.
    world.reply(first, &ok);
    world.expect_request(first, &Method::Ack);
    world.expect_nothing(first, 100);
    is_answered(world, second, handle, &two);
}

#[test]
fn the_next_place_is_tried_when_the_first_cannot_be_reached() {
    let (mut world, [first, second], handle) = place(93);
    let one = invited(&mut world, first);
    let path = flow(world.phones[first].sip);
    let now = world.now();
    let failed = endpoint::Input::TransportFailed(path);
    world.switch.handle(Input::Sip(failed), now);
    world.carry_out();
    let two = world.expect_request(second, &Method::Invite);
    check_same(&one, &two);
    is_answered(world, second, handle, &two);
}

/// A dispatcher without anything behind it takes the connection, and ends it.
#[test]
fn the_next_place_is_tried_at_once_when_the_connection_to_the_first_ends() {
    let mut world = World::new(99);
    let phones = [world.phone(), world.phone()];
    let second = flow(world.phones[phones[1]].sip);
    let first = Flow {
        transport: Transport::Tcp,
        ..flow(world.phones[phones[0]].sip)
    };
    world.ends_tcp = true;
    let now = world.now();
    let spec = AppSpec::Script(ScriptSpec::default());
    let uri = "sip:bob@pbx.example".to_owned();
    let (switch, from) = (&mut world.switch, "antiphon".to_owned());
    let handle = switch.originate(uri, from, first, vec![second], spec, now);
    world.carry_out();
    let invite = world.expect_request(phones[1], &Method::Invite);
    assert_eq!(world.ended_tcp, 1);
    assert!(world.phones[phones[0]].inbox.is_empty());
    is_answered(world, phones[1], handle, &invite);
}

/// One of IPv6 behind one of IPv4, for example: the media is where its INVITE comes from.
#[test]
fn a_place_that_is_reached_from_another_address_gets_ports_there() {
    let mut world = World::new(97);
    world.addresses.push(OTHER_IP);
    let (mut world, [first, second], handle) = place_from(world, OTHER_IP);
    let one = invited(&mut world, first);
    let busy = world.phones[first].response(&one, 503);
    world.reply(first, &busy);
    let two = world.expect_request(second, &Method::Invite);
    check_same_call(&one, &two);
    let described = |invite: &Request| String::from_utf8_lossy(&invite.body).into_owned();
    let line = format!("c=IN IP4 {OTHER_IP}\r\n");
    assert!(!described(&one).contains(&line), "{}", described(&one));
    assert!(described(&two).contains(&line), "{}", described(&two));
    let contact = two.headers.get(&Name::Contact).unwrap();
    assert!(contact.contains(&OTHER_IP.to_string()), "{contact}");
    is_answered(world, second, handle, &two);
}

#[test]
fn a_place_that_no_ports_can_be_had_for_is_passed_over() {
    let (mut world, [first, second], _) = place_from(World::new(98), OTHER_IP);
    let one = invited(&mut world, first);
    let mut busy = world.phones[first].response(&one, 503);
    busy.reason = "Not Today".to_owned();
    world.reply(first, &busy);
    world.expect_nothing(second, 2000);
    let reason = world.ended(first).map(|summary| summary.reason.clone());
    let expected = EndReason::Rejected(503, "Not Today".to_owned());
    assert_eq!(reason, Some(expected));
    world.run(40_000);
    world.check_empty();
}

#[test]
fn the_last_place_has_the_last_word() {
    let (mut world, phones, _) = place(94);
    for phone in phones {
        let invite = invited(&mut world, phone);
        let busy = world.phones[phone].response(&invite, 503);
        world.reply(phone, &busy);
    }
    world.run(300);
    let reasons: Vec<_> = phones
        .iter()
        .filter_map(|&phone| world.ended(phone))
        .map(|summary| summary.reason.clone())
        .collect();
    assert!(
        reasons
            .iter()
            .all(|reason| matches!(reason, EndReason::Rejected(503, _))),
        "{reasons:?}"
    );
    world.run(40_000);
    world.check_empty();
}

#[test]
fn a_refusal_by_the_party_is_final_and_so_is_our_hanging_up() {
    let (mut world, [first, second], _) = place(95);
    let invite = invited(&mut world, first);
    let busy = world.phones[first].response(&invite, 486);
    world.reply(first, &busy);
    world.expect_nothing(second, 2000);

    let (mut world, [first, second], handle) = place(96);
    let invite = invited(&mut world, first);
    let ringing = world.phones[first].response(&invite, 180);
    world.reply(first, &ringing);
    world.run(100);
    let now = world.now();
    world.switch.hang_up(handle, now);
    world.carry_out();
    world.expect_request(first, &Method::Cancel);
    let unavailable = world.phones[first].response(&invite, 503);
    world.reply(first, &unavailable);
    world.expect_nothing(second, 2000);
}
