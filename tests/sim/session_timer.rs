//! Session timers (RFC 4028) in whole calls, hours in seconds.

use crate::support::sim;

use antiphon::call::EndReason;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use sim::{Setup, World};

/// A call whose INVITE has these headers; no media is expected.
fn call(headers: &[(Name, &str)]) -> (World, usize) {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    let mut world = World::with(setup);
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("500");
    for (name, value) in headers {
        invite.headers.push(name.clone(), *value);
    }
    let ok = world.dial_with(phone, &invite);
    world.hush(phone);
    assert!(ok.headers.session_expires().unwrap().is_some());
    (world, phone)
}

fn ends(mut world: World, phone: usize, reason: &EndReason) {
    world.run(300);
    let ended = world.ended(phone).map(|s| s.reason.clone());
    assert_eq!(ended.as_ref(), Some(reason));
    world.run(40_000);
    world.check_empty();
}

/// Answers a refresh with this session interval.
fn answer(world: &mut World, phone: usize, refresh: &Request, expires: &str) {
    let mut ok = world.phones[phone].response(refresh, 200);
    ok.headers.push(Name::SessionExpires, expires);
    if refresh.method == Method::Invite {
        ok.headers.set(Name::ContentType, "application/sdp");
        ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    }
    world.reply(phone, &ok);
    if refresh.method == Method::Invite {
        world.expect_request(phone, &Method::Ack);
    }
}

#[test]
fn a_caller_that_does_not_refresh_is_hung_up_on() {
    let (mut world, phone) = call(&[
        (Name::Supported, "timer"),
        (Name::SessionExpires, "90;refresher=uac"),
    ]);
    let start = world.ms;
    let bye = world.expect_request_within(phone, &Method::Bye, 91_000);
    // RFC 4028 §10: a third of the interval before its end, 32 s at most.
    let waited = world.ms - start;
    assert!((59_900..60_100).contains(&waited), "after {waited} ms");
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    ends(world, phone, &EndReason::SessionExpired);
}

#[test]
fn a_refresh_by_the_caller_keeps_the_call() {
    let (mut world, phone) = call(&[
        (Name::Supported, "timer"),
        (Name::SessionExpires, "90;refresher=uac"),
    ]);
    for round in 0..6 {
        world.expect_nothing(phone, 45_000);
        let mut refresh = world.phones[phone].request(Method::Update);
        if round % 2 == 1 {
            let sdp = world.phones[phone].sdp("sendrecv");
            refresh = world.phones[phone].reinvite(&sdp);
        }
        refresh.headers.push(Name::Supported, "timer");
        refresh
            .headers
            .push(Name::SessionExpires, "90;refresher=uac");
        let ok = world.ask(phone, &refresh, 200);
        let agreed = ok.headers.get(&Name::SessionExpires).unwrap();
        assert_eq!(agreed, "90;refresher=uac");
    }
    world.hang_up(phone);
    ends(world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn we_refresh_with_update_where_the_caller_takes_it() {
    let (mut world, phone) = call(&[
        (Name::Supported, "timer"),
        (Name::SessionExpires, "90;refresher=uas"),
        (Name::Allow, "INVITE, ACK, BYE, CANCEL, UPDATE"),
    ]);
    let mut last = None;
    for _ in 0..4 {
        let start = world.ms;
        let refresh = world.expect_request_within(phone, &Method::Update, 46_000);
        let waited = world.ms - start;
        assert!((44_900..45_100).contains(&waited), "after {waited} ms");
        assert!(refresh.body.is_empty());
        let cseq = refresh.headers.cseq().unwrap().number;
        assert!(last.is_none_or(|l| cseq > l));
        last = Some(cseq);
        let expires = refresh.headers.session_expires().unwrap().unwrap();
        assert_eq!(expires.seconds, 90, "the interval that was agreed on");
        answer(&mut world, phone, &refresh, "90;refresher=uac");
    }
    world.hang_up(phone);
    ends(world, phone, &EndReason::RemoteHungUp);
}

/// RFC 3311 §5.1: a 2xx to our UPDATE moves the peer as one to a re-INVITE does.
#[test]
fn who_answers_a_refresh_from_elsewhere_is_hung_up_on_there() {
    for allow in [
        "INVITE, ACK, BYE, CANCEL, UPDATE",
        "INVITE, ACK, BYE, CANCEL",
    ] {
        let (mut world, phone) = call(&[
            (Name::Supported, "timer"),
            (Name::SessionExpires, "90;refresher=uas"),
            (Name::Allow, allow),
        ]);
        let elsewhere = world.phone();
        let received = world.next(phone, 46_000).map(|r| r.message);
        let Some(Message::Request(refresh)) = received else {
            panic!("{received:#?}")
        };
        let invite = refresh.method == Method::Invite;
        let mut ok = world.phones[phone].response(&refresh, 200);
        let contact = format!("<sip:moved@{}>", world.phones[elsewhere].sip);
        ok.headers.set(Name::Contact, contact);
        ok.headers.push(Name::SessionExpires, "90;refresher=uac");
        if invite {
            ok.headers.set(Name::ContentType, "application/sdp");
            ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
        }
        world.reply(phone, &ok);
        if invite {
            world.expect_request(elsewhere, &Method::Ack);
        }
        world.run(10);
        world.server_hangs_up(phone);
        let bye = world.expect_request(elsewhere, &Method::Bye);
        assert!(bye.uri.starts_with("sip:moved@"), "{}", bye.uri);
        world.reply(elsewhere, &Response::to(&bye, 200));
        ends(world, phone, &EndReason::HungUp);
    }
}

#[test]
fn we_refresh_with_a_reinvite_where_it_does_not() {
    let (mut world, phone) = call(&[
        (Name::Supported, "timer"),
        (Name::SessionExpires, "90;refresher=uas"),
        (Name::Allow, "INVITE, ACK, BYE, CANCEL"),
    ]);
    for _ in 0..3 {
        let refresh = world.expect_request_within(phone, &Method::Invite, 46_000);
        assert!(!refresh.body.is_empty());
        answer(&mut world, phone, &refresh, "90;refresher=uac");
    }
    world.hang_up(phone);
    ends(world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn a_caller_that_knows_no_timers_is_refreshed_by_us() {
    let (mut world, phone) = call(&[]);
    let start = world.ms;
    let refresh = world.expect_request_within(phone, &Method::Invite, 1_000_000);
    assert!((899_000..901_000).contains(&(world.ms - start)));
    // Its answer says nothing of timers.
    let mut ok = world.phones[phone].response(&refresh, 200);
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[phone].sdp("sendrecv").into_bytes();
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    // It vanishes: the next refresh finds nobody.
    world.phones[phone].vanished = true;
    world.run(2_000_000);
    ends(world, phone, &EndReason::SessionExpired);
}

#[test]
fn a_refresh_that_nobody_answers_ends_the_call() {
    let (mut world, phone) = call(&[
        (Name::Supported, "timer"),
        (Name::SessionExpires, "300;refresher=uas"),
        (Name::Allow, "UPDATE"),
    ]);
    world.phones[phone].vanished = true;
    world.run(150_000 + 32_500);
    ends(world, phone, &EndReason::SessionExpired);
}

#[test]
fn a_refresh_that_is_481_ends_the_call() {
    let (mut world, phone) = call(&[
        (Name::Supported, "timer"),
        (Name::SessionExpires, "90;refresher=uas"),
        (Name::Allow, "UPDATE"),
    ]);
    let refresh = world.expect_request_within(phone, &Method::Update, 46_000);
    let gone = world.phones[phone].response(&refresh, 481);
    world.reply(phone, &gone);
    ends(world, phone, &EndReason::SessionExpired);
}
