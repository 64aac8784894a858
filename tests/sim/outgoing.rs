//! Calls that the server places: the client side of every corner, in simulated time.

use crate::support::sim;

mod forks;

use std::time::Duration;

use antiphon::app::{AppSpec, ScriptSpec};
use antiphon::call::{CallHandle, EndReason};
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use sim::{Setup, World, flow};

/// Places a call to a phone; its INVITE has arrived.
fn place(mut world: World, length: Option<u64>) -> (World, usize, CallHandle, Request) {
    let phone = world.phone();
    let (to, now) = (world.phones[phone].sip, world.now());
    let spec = AppSpec::Script(ScriptSpec {
        length: length.map(Duration::from_secs),
        ..ScriptSpec::default()
    });
    let uri = format!("sip:bob@{to}");
    let handle = world
        .switch
        .originate(uri, "antiphon".into(), flow(to), vec![], spec, now);
    world.carry_out();
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    (world, phone, handle, invite)
}

fn placed() -> (World, usize, CallHandle, Request) {
    place(World::new(51), None)
}

/// The phone's 200 with its answer.
fn ok(world: &mut World, phone: usize, invite: &Request) -> Response {
    let mut ok = world.phones[phone].response(invite, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    ok
}

fn answer(world: &mut World, phone: usize, invite: &Request) -> Request {
    let ok = ok(world, phone, invite);
    world.reply(phone, &ok);
    let ack = world.expect_request(phone, &Method::Ack);
    world.speak(phone);
    ack
}

fn bye_from_us(world: &mut World, phone: usize, within: u64) {
    let bye = world.expect_request_within(phone, &Method::Bye, within);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    world.hush(phone);
}

fn ends(mut world: World, phone: usize, reason: &EndReason) {
    world.run(300);
    let ended = world.ended(phone).map(|s| s.reason.clone());
    assert_eq!(ended.as_ref(), Some(reason));
    world.run(40_000);
    world.check_empty();
}

fn hang_up(world: &mut World, handle: CallHandle) {
    let now = world.now();
    world.switch.hang_up(handle, now);
    world.carry_out();
}

#[test]
fn answered_and_ended_as_planned() {
    let (mut world, phone, _, invite) = place(World::new(52), Some(3));
    assert!(
        invite
            .headers
            .get(&Name::Allow)
            .is_some_and(|a| a.contains("UPDATE"))
    );
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    world.run(700);
    let ack = answer(&mut world, phone, &invite);
    assert_eq!(ack.headers.cseq().unwrap().number, 1);
    assert_eq!(ack.uri, "sip:phone0@10.1.0.0:5060");
    let start = world.ms;
    bye_from_us(&mut world, phone, 3100);
    assert!((2990..3010).contains(&(world.ms - start)));
    let heard = world.phones[phone].heard.len();
    assert!((148..=151).contains(&heard), "{heard} packets in 3 s");
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn the_other_side_hangs_up() {
    let (mut world, phone, _, invite) = placed();
    answer(&mut world, phone, &invite);
    world.run(1000);
    world.hang_up(phone);
    ends(world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn a_200_that_comes_again_is_acknowledged_again() {
    let (mut world, phone, handle, invite) = placed();
    let ok = ok(&mut world, phone, &invite);
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.run(500);
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.expect_nothing(phone, 1000);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn a_422_that_crosses_the_cancel_ends_the_call() {
    let (mut world, phone, handle, invite) = placed();
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    hang_up(&mut world, handle);
    let cancel = world.expect_request(phone, &Method::Cancel);
    let reply = Response::to(&cancel, 200);
    world.reply(phone, &reply);
    let mut small = world.phones[phone].response(&invite, 422);
    small.headers.push(Name::MinSe, "3600");
    world.reply(phone, &small);
    world.expect_request(phone, &Method::Ack);
    world.expect_nothing(phone, 1000);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn a_200_to_our_reinvite_that_comes_again_is_acknowledged_again() {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    let (mut world, phone, handle, invite) = place(World::with(setup), None);
    let mut ok = ok(&mut world, phone, &invite);
    ok.headers.push(Name::SessionExpires, "100;refresher=uac");
    ok.headers.push(Name::Require, "timer");
    ok.headers.push(Name::Allow, "INVITE");
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    let refresh = world.expect_request_within(phone, &Method::Invite, 51_000);
    let mut ok = world.phones[phone].response(&refresh, 200);
    ok.headers.push(Name::SessionExpires, "100;refresher=uac");
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    world.reply(phone, &ok);
    let first = world.expect_request(phone, &Method::Ack);
    world.run(500);
    world.reply(phone, &ok);
    let again = world.expect_request(phone, &Method::Ack);
    assert_eq!(again.headers.cseq(), first.headers.cseq());
    world.expect_nothing(phone, 1000);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn a_422_is_tried_again_with_the_interval_asked_for() {
    let (mut world, phone, handle, invite) = placed();
    let mut small = world.phones[phone].response(&invite, 422);
    small.headers.push(Name::MinSe, "3600");
    world.reply(phone, &small);
    world.expect_request(phone, &Method::Ack);
    let again = world.expect_request(phone, &Method::Invite);
    assert_eq!(again.headers.cseq().unwrap().number, 2);
    assert_eq!(again.headers.min_se(), Ok(Some(3600)));
    assert_eq!(again.headers.call_id(), invite.headers.call_id());
    let ok = ok(&mut world, phone, &again);
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.speak(phone);
    // The 200 to the second INVITE may come again like any.
    world.reply(phone, &ok);
    let ack = world.expect_request(phone, &Method::Ack);
    assert_eq!(ack.headers.cseq().unwrap().number, 2);
    world.run(1000);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn a_refusal_ends_the_call() {
    for (status, phrase) in [(404, "Not Found"), (486, "Busy Here"), (603, "Decline")] {
        let (mut world, phone, _, invite) = placed();
        let refusal = world.phones[phone].response(&invite, status);
        world.reply(phone, &refusal);
        world.expect_request(phone, &Method::Ack);
        ends(world, phone, &EndReason::Rejected(status, phrase.into()));
    }
}

#[test]
fn without_any_answer_the_call_ends_after_32_s() {
    let (mut world, phone, _, _) = placed();
    let start = world.ms;
    world.run(31_900);
    assert!(world.ended(phone).is_none());
    // Timer A doubles without a bound: 0.5, 1.5, 3.5, 7.5, 15.5, 31.5 s.
    assert_eq!(world.phones[phone].inbox.len(), 6);
    world.run(32_100 - (world.ms - start));
    ends(world, phone, &EndReason::NoAnswer);
}

#[test]
fn an_answer_that_cannot_be_used_is_acknowledged_and_hung_up() {
    let (mut world, phone, _, invite) = placed();
    let mut ok = world.phones[phone].response(&invite, 200);
    ok.body = Vec::new();
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    bye_from_us(&mut world, phone, 50);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let (mut world, phone, handle, invite) = placed();
    hang_up(&mut world, handle);
    world.expect_nothing(phone, 300);
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    let cancel = world.expect_request(phone, &Method::Cancel);
    assert_eq!(
        cancel.headers.via().unwrap().branch(),
        invite.headers.via().unwrap().branch()
    );
    let reply = Response::to(&cancel, 200);
    world.reply(phone, &reply);
    let gone = world.phones[phone].response(&invite, 487);
    world.reply(phone, &gone);
    world.expect_request(phone, &Method::Ack);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_hung_up() {
    let (mut world, phone, handle, invite) = placed();
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    world.run(5);
    let ok = ok(&mut world, phone, &invite);
    world.reply(phone, &ok);
    hang_up(&mut world, handle);
    let cancel = world.expect_request(phone, &Method::Cancel);
    world.expect_request(phone, &Method::Ack);
    let late = Response::to(&cancel, 200);
    world.reply(phone, &late);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn a_cancel_that_nobody_heeds_ends_the_call_all_the_same() {
    let (mut world, phone, handle, invite) = placed();
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    world.run(5);
    hang_up(&mut world, handle);
    let cancel = world.expect_request(phone, &Method::Cancel);
    let reply = Response::to(&cancel, 200);
    world.reply(phone, &reply);
    // RFC 3261 §9.1: after 64*T1 the INVITE counts as cancelled.
    world.run(40_000);
    assert!(world.ended(phone).is_some());
    world.run(40_000);
    world.check_empty();
}

/// The ringing that a gateway plays waits in the socket until the call is answered: it is none of the
/// call.
#[test]
fn what_is_heard_before_the_answer_is_neither_lost_nor_late() {
    let (mut world, phone, handle, invite) = placed();
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    world.speak(phone);
    world.run(6_000);
    let ok = ok(&mut world, phone, &invite);
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.run(3_000);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    world.run(300);
    let stats = world.ended(phone).unwrap().stats.unwrap();
    assert_eq!((stats.receive.lost, stats.playout.late), (0, 0));
    assert_eq!(stats.loss.discarded, 0, "{stats:?}");
    let rated = stats.rating.unwrap();
    assert!(rated.mos_lq > 4.3, "{rated:?}");
    assert!((145..175).contains(&stats.receive.packets), "{stats:?}");
}

#[test]
fn a_reliable_provisional_gets_one_prack() {
    let (mut world, phone, handle, invite) = placed();
    let mut ringing = world.phones[phone].response(&invite, 180);
    ringing.headers.push(Name::Require, "100rel");
    ringing.headers.push(Name::RSeq, "7000");
    world.reply(phone, &ringing);
    let prack = world.expect_request(phone, &Method::Prack);
    let rack = prack.headers.rack().unwrap();
    assert_eq!((rack.rseq, rack.cseq.number), (7000, 1));
    // It comes again before the PRACK has arrived: one is enough.
    world.reply(phone, &ringing);
    let reply = world.phones[phone].response(&prack, 200);
    world.reply(phone, &reply);
    world.expect_nothing(phone, 1000);
    let mut next = ringing.clone();
    next.headers.set(Name::RSeq, "7001");
    world.reply(phone, &next);
    let second = world.expect_request(phone, &Method::Prack);
    let (first, second_cseq) = (prack.headers.cseq(), second.headers.cseq());
    assert_eq!(second_cseq.unwrap().number, first.unwrap().number + 1);
    let reply = world.phones[phone].response(&second, 200);
    world.reply(phone, &reply);
    answer(&mut world, phone, &invite);
    hang_up(&mut world, handle);
    let bye = world.expect_request(phone, &Method::Bye);
    assert!(bye.headers.cseq().unwrap().number > second.headers.cseq().unwrap().number);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    world.hush(phone);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn the_session_is_refreshed_by_us_as_caller() {
    for (allow, method) in [
        ("INVITE, UPDATE", Method::Update),
        ("INVITE", Method::Invite),
    ] {
        let mut setup = Setup::default();
        setup.settings.media_timeout_ms = 0;
        let (mut world, phone, handle, invite) = place(World::with(setup), None);
        let expires = invite.headers.session_expires().unwrap().unwrap();
        assert_eq!(expires.seconds, 1800);
        let mut ok = ok(&mut world, phone, &invite);
        ok.headers.push(Name::SessionExpires, "100;refresher=uac");
        ok.headers.push(Name::Require, "timer");
        ok.headers.push(Name::Allow, allow);
        world.reply(phone, &ok);
        world.expect_request(phone, &Method::Ack);
        for _ in 0..3 {
            let start = world.ms;
            let refresh = world.expect_request_within(phone, &method, 51_000);
            assert!((49_900..50_100).contains(&(world.ms - start)));
            let mut ok = world.phones[phone].response(&refresh, 200);
            ok.headers.push(Name::SessionExpires, "100;refresher=uac");
            if method == Method::Invite {
                ok.headers.set(Name::ContentType, "application/sdp");
                ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
            }
            world.reply(phone, &ok);
            if method == Method::Invite {
                world.expect_request(phone, &Method::Ack);
            }
        }
        hang_up(&mut world, handle);
        bye_from_us(&mut world, phone, 50);
        ends(world, phone, &EndReason::HungUp);
    }
}

#[test]
fn a_called_party_that_does_not_refresh_is_hung_up_on() {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    let (mut world, phone, _, invite) = place(World::with(setup), None);
    let mut ok = ok(&mut world, phone, &invite);
    ok.headers.push(Name::SessionExpires, "90;refresher=uas");
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    bye_from_us(&mut world, phone, 61_000);
    ends(world, phone, &EndReason::SessionExpired);
}

#[test]
fn nothing_listens_there() {
    let (mut world, phone, _, _) = placed();
    let failed = antiphon::endpoint::Input::TransportFailed(flow(world.phones[phone].sip));
    let now = world.now();
    world
        .switch
        .handle(antiphon::switch::Input::Sip(failed), now);
    world.carry_out();
    ends(world, phone, &EndReason::TransportFailed);
}

#[test]
fn the_called_party_changes_the_call() {
    let (mut world, phone, handle, invite) = placed();
    answer(&mut world, phone, &invite);
    world.run(500);
    let sdp = world.phones[phone].sdp("sendonly");
    let hold = world.phones[phone].reinvite(&sdp);
    let held = world.ask(phone, &hold, 200);
    assert!(
        std::str::from_utf8(&held.body)
            .unwrap()
            .contains("a=recvonly")
    );
    let ringing = world.next(phone, 1000);
    assert!(!matches!(
        ringing.map(|r| r.message),
        Some(Message::Request(_))
    ));
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

/// Who rings when its connection is lost may answer long after we have given it up.
#[test]
fn who_rings_behind_a_lost_connection_is_called_off_and_hung_up_on() {
    let mut world = World::new(64);
    let phone = world.phone();
    let (to, now) = (world.phones[phone].sip, world.now());
    let connection = ConnectionId(1);
    let way = Flow {
        transport: Transport::Tcp,
        connection: Some(connection),
        ..flow(to)
    };
    let uri = format!("sip:bob@{to}");
    let spec = AppSpec::Script(ScriptSpec::default());
    let us = "antiphon".to_owned();
    world.switch.originate(uri, us, way, vec![], spec, now);
    world.carry_out();
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    world.run(1000);
    let closed = antiphon::endpoint::Input::ConnectionClosed(connection);
    let now = world.now();
    world
        .switch
        .handle(antiphon::switch::Input::Sip(closed), now);
    world.carry_out();
    let cancel = world.expect_request_within(phone, &Method::Cancel, 33_000);
    let branch = |request: &Request| {
        let via = request.headers.via().unwrap();
        via.branch().unwrap().to_owned()
    };
    assert_eq!(branch(&cancel), branch(&invite));
    world.run(300);
    let ended = world.ended(phone).map(|s| s.reason.clone());
    assert_eq!(ended, Some(EndReason::TransportFailed));
    // It has answered before the CANCEL came, and its 200 finds its way late.
    world.reply(phone, &Response::to(&cancel, 200));
    world.run(8_000);
    let ok = ok(&mut world, phone, &invite);
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    let bye = world.expect_request(phone, &Method::Bye);
    world.reply(phone, &Response::to(&bye, 200));
    world.run(40_000);
    world.check_empty();
}

/// The connection of a refresh that ends without an answer is not the call's end.
#[test]
fn a_refresh_whose_connection_ends_is_tried_again() {
    for allow in ["INVITE, UPDATE", "INVITE"] {
        let mut setup = Setup::default();
        setup.settings.media_timeout_ms = 0;
        let mut world = World::with(setup);
        let phone = world.phone();
        let (to, now) = (world.phones[phone].sip, world.now());
        let over_tcp = Flow {
            transport: Transport::Tcp,
            ..flow(to)
        };
        let spec = AppSpec::Script(ScriptSpec::default());
        let uri = format!("sip:bob@{to};transport=tcp");
        let from = "antiphon".to_owned();
        let switch = &mut world.switch;
        let handle = switch.originate(uri, from, over_tcp, vec![], spec, now);
        world.carry_out();
        let invite = world.expect_request(phone, &Method::Invite);
        world.phones[phone].called(&invite);
        let mut ok = ok(&mut world, phone, &invite);
        ok.headers.push(Name::SessionExpires, "100;refresher=uac");
        ok.headers.push(Name::Require, "timer");
        ok.headers.push(Name::Allow, allow);
        world.reply(phone, &ok);
        world.expect_request(phone, &Method::Ack);
        world.ends_tcp = true;
        world.expect_nothing(phone, 60_000);
        assert!(world.ended_tcp > 1, "{}", world.ended_tcp);
        assert!(world.ended(phone).is_none());
        world.ends_tcp = false;
        let method = if allow == "INVITE" {
            Method::Invite
        } else {
            Method::Update
        };
        let refresh = world.expect_request_within(phone, &method, 4_000);
        let mut ok = world.phones[phone].response(&refresh, 200);
        ok.headers.push(Name::SessionExpires, "100;refresher=uac");
        if method == Method::Invite {
            ok.headers.set(Name::ContentType, "application/sdp");
            ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
        }
        world.reply(phone, &ok);
        if method == Method::Invite {
            world.expect_request(phone, &Method::Ack);
        }
        world.run(40_000);
        assert!(world.ended(phone).is_none());
        hang_up(&mut world, handle);
        bye_from_us(&mut world, phone, 50);
        ends(world, phone, &EndReason::HungUp);
    }
}

/// RFC 3261 §18.1.1: what is too long for UDP goes over TCP, and over UDP where that is refused, or
/// where the connection ends without an answer.
#[test]
fn a_long_invite_gets_through_where_there_is_no_tcp() {
    for refuses in [true, false] {
        let mut world = World::new(63);
        world.refuses_tcp = refuses;
        world.ends_tcp = !refuses;
        long_invite(world);
    }
}

fn long_invite(mut world: World) {
    let tried = |world: &World| world.refused as u64 + world.ended_tcp;
    let phone = world.phone();
    let (to, now) = (world.phones[phone].sip, world.now());
    let uri = format!("sip:{}@{to}", "b".repeat(1000));
    let spec = AppSpec::Script(ScriptSpec {
        length: Some(Duration::from_secs(2)),
        ..ScriptSpec::default()
    });
    world
        .switch
        .originate(uri, "antiphon".into(), flow(to), vec![], spec, now);
    world.carry_out();
    let invite = world.expect_request(phone, &Method::Invite);
    assert!(invite.to_bytes().len() > 2000);
    assert_eq!(invite.headers.via().unwrap().transport, "UDP");
    assert_eq!(tried(&world), 1);
    world.phones[phone].called(&invite);
    answer(&mut world, phone, &invite);
    bye_from_us(&mut world, phone, 3000);
    assert_eq!(tried(&world), 1, "it is known by now");
    ends(world, phone, &EndReason::HungUp);
}
