//! INVITEs that a proxy has sent to several places, and what they say before the answer.

use antiphon::call::EndReason;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;

use super::{answer, bye_from_us, ends, hang_up, ok, placed};
use crate::support::sim::{self, World};

/// The 200 of another branch of a fork.
fn forked(world: &mut World, phone: usize, invite: &Request) -> Response {
    let mut second = ok(world, phone, invite);
    let to = format!("{};tag=other", invite.headers.get(&Name::To).unwrap());
    second.headers.set(Name::To, to);
    second
}

#[test]
fn a_second_branch_that_answers_gets_ack_and_bye() {
    let (mut world, phone, handle, invite) = placed();
    answer(&mut world, phone, &invite);
    let second = forked(&mut world, phone, &invite);
    world.reply(phone, &second);
    let ack = world.expect_request(phone, &Method::Ack);
    assert_eq!(ack.to_tag().as_deref(), Some("other"));
    let bye = world.expect_request(phone, &Method::Bye);
    assert_eq!(bye.to_tag().as_deref(), Some("other"));
    let reply = Response::to(&bye, 200);
    world.reply(phone, &reply);
    // The first is what goes on.
    world.run(2000);
    assert!(world.ended(phone).is_none());
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

/// A provisional response of a branch of a fork: reliable, with an answer.
fn proven(
    world: &mut World,
    invite: &Request,
    (branch, phone): (&str, usize),
    rseq: &str,
) -> Response {
    let mut session = ok(world, phone, invite);
    session.status = 183;
    let to = format!("{};tag={branch}", invite.headers.get(&Name::To).unwrap());
    session.headers.set(Name::To, to);
    let contact = format!("<sip:{branch}@{}>", world.phones[phone].sip);
    session.headers.set(Name::Contact, contact);
    session.headers.push(Name::Require, "100rel");
    session.headers.push(Name::RSeq, rseq);
    session
}

#[test]
fn who_is_called_may_offer_anew_before_it_answers_the_call() {
    let (mut world, phone, handle, invite) = placed();
    let other = world.phone();
    world.phones[other].called(&invite);
    let offer = |world: &mut World| {
        let mut update = world.phones[phone].request(Method::Update);
        let sdp = world.phones[other].sdp("sendrecv");
        sim::phone::put_sdp(&mut update, &sdp);
        world.send(phone, &update);
        match world.next(phone, 50).map(|received| received.message) {
            Some(Message::Response(response)) => response,
            other => panic!("{other:#?}"),
        }
    };
    let reliable = |world: &mut World, mut session: Response, rseq: &str| {
        session.headers.push(Name::Require, "100rel");
        session.headers.push(Name::RSeq, rseq);
        world.reply(phone, &session);
        let prack = world.expect_request(phone, &Method::Prack);
        let reply = world.phones[phone].response(&prack, 200);
        world.reply(phone, &reply);
    };
    // Ours has no answer yet: one offer at a time (RFC 3311 §5.2).
    let ringing = world.phones[phone].response(&invite, 180);
    reliable(&mut world, ringing, "5");
    assert_eq!(offer(&mut world).status, 491);
    let mut session = ok(&mut world, phone, &invite);
    session.status = 183;
    reliable(&mut world, session.clone(), "6");
    let answer = offer(&mut world);
    assert_eq!(answer.status, 200);
    let ours = sim::phone::media_address(&answer.body).unwrap();
    assert_eq!(ours, sim::phone::media_address(&invite.body).unwrap());
    // The last of what was agreed holds, whatever the 200 says again.
    let mut answer = world.phones[phone].response(&invite, 200);
    answer.headers.set(Name::ContentType, "application/sdp");
    answer.body.clone_from(&session.body);
    world.reply(phone, &answer);
    world.expect_request(phone, &Method::Ack);
    world.speak(other);
    world.run(1000);
    assert!(world.phones[other].heard.len() > 40);
    assert!(world.phones[phone].heard.is_empty());
    world.hush(other);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

#[test]
fn each_branch_of_a_fork_has_its_own_pracks_and_its_own_answer() {
    let (mut world, phone, handle, invite) = placed();
    let other = world.phone();
    world.phones[other].called(&invite);
    // The same number means nothing: each branch counts for itself.
    for (branch, at) in [("a", phone), ("b", other)] {
        let session = proven(&mut world, &invite, (branch, at), "5");
        world.reply(phone, &session);
        let prack = world.expect_request(at, &Method::Prack);
        assert_eq!(prack.to_tag().as_deref(), Some(branch));
        assert_eq!(prack.uri, format!("sip:{branch}@{}", world.phones[at].sip));
        let reply = Response::to(&prack, 200);
        world.reply(at, &reply);
    }
    // Who has said with what in a provisional response need not say it again.
    let mut answer = proven(&mut world, &invite, ("b", other), "0");
    answer.status = 200;
    answer.body.clear();
    for name in [Name::ContentType, Name::Require, Name::RSeq] {
        answer.headers.remove(&name);
    }
    world.reply(phone, &answer);
    let ack = world.expect_request(other, &Method::Ack);
    assert_eq!(ack.to_tag().as_deref(), Some("b"));
    world.speak(other);
    world.run(1000);
    assert!(
        world.phones[other].heard.len() > 40,
        "it is the second's answer"
    );
    // The first answers all the same: its ACK and its BYE go to where it is.
    let mut late = proven(&mut world, &invite, ("a", phone), "0");
    late.status = 200;
    world.reply(phone, &late);
    assert_eq!(
        world
            .expect_request(phone, &Method::Ack)
            .to_tag()
            .as_deref(),
        Some("a")
    );
    let bye = world.expect_request(phone, &Method::Bye);
    assert_eq!(bye.to_tag().as_deref(), Some("a"));
    let reply = Response::to(&bye, 200);
    world.reply(phone, &reply);
    // And its own, which has crossed ours, ends nothing.
    let mut crossing = world.phones[phone].request(Method::Bye);
    let from = format!("{};tag=a", invite.headers.get(&Name::To).unwrap());
    crossing.headers.set(Name::From, from);
    world.ask(phone, &crossing, 200);
    world.run(1000);
    assert!(world.phones[other].heard.len() > 80, "the call goes on");
    hang_up(&mut world, handle);
    bye_from_us(&mut world, other, 50);
    world.run(40_000);
    world.check_empty();
}
