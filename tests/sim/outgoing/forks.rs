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

/// RFC 3261 §12.1: any provisional response with a tag makes a dialog.
#[test]
fn who_rings_may_say_who_it_is() {
    let (mut world, phone, handle, invite) = placed();
    let ringing = world.phones[phone].response(&invite, 180);
    world.reply(phone, &ringing);
    world.run(5);
    for method in [Method::Update, Method::Options, Method::Info] {
        let request = world.phones[phone].request(method);
        let ok = world.ask(phone, &request, 200);
        assert_eq!(
            ok.headers.get(&Name::CSeq),
            request.headers.get(&Name::CSeq)
        );
    }
    // An answer that may be lost is none yet (RFC 3311 §5.1).
    let mut session = ok(&mut world, phone, &invite);
    session.status = 183;
    world.reply(phone, &session);
    world.run(5);
    let mut update = world.phones[phone].request(Method::Update);
    let sdp = world.phones[phone].sdp("sendrecv");
    sim::phone::put_sdp(&mut update, &sdp);
    world.ask(phone, &update, 491);
    let mut late = world.phones[phone].request(Method::Options);
    late.headers.set(Name::CSeq, "1 OPTIONS");
    world.ask(phone, &late, 500);
    answer(&mut world, phone, &invite);
    // The dialog goes on with its numbers.
    late.headers.set(Name::CSeq, "2 OPTIONS");
    let via = format!(
        "SIP/2.0/UDP {};branch=z9hG4bKlate;rport",
        world.phones[phone].sip
    );
    late.headers.set(Name::Via, via);
    world.ask(phone, &late, 500);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, phone, 50);
    ends(world, phone, &EndReason::HungUp);
}

/// Two branches of a fork that are proven: `a` at the first phone, `b` at the second.
fn two_proven(world: &mut World, phone: usize, other: usize, invite: &Request) {
    world.phones[other].called(invite);
    for (branch, at) in [("a", phone), ("b", other)] {
        let session = proven(world, invite, (branch, at), "5");
        world.reply(phone, &session);
        let prack = world.expect_request(at, &Method::Prack);
        world.reply(at, &Response::to(&prack, 200));
    }
}

/// A request of a branch, in its own dialog.
fn of_branch(
    world: &mut World,
    at: usize,
    branch: &str,
    invite: &Request,
    method: Method,
) -> Request {
    let mut request = world.phones[at].request(method);
    let from = format!("{};tag={branch}", invite.headers.get(&Name::To).unwrap());
    request.headers.set(Name::From, from);
    request
}

#[test]
fn each_branch_of_a_fork_has_a_dialog_of_its_own() {
    let (mut world, phone, handle, invite) = placed();
    let (other, third) = (world.phone(), world.phone());
    two_proven(&mut world, phone, other, &invite);
    // The numbers of one are nothing to another.
    let mut options = of_branch(&mut world, phone, "a", &invite, Method::Options);
    options.headers.set(Name::CSeq, "500 OPTIONS");
    world.ask(phone, &options, 200);
    let mut update = of_branch(&mut world, other, "b", &invite, Method::Update);
    let sdp = world.phones[third].sdp("sendrecv");
    sim::phone::put_sdp(&mut update, &sdp);
    let moved = format!("<sip:moved@{}>", world.phones[third].sip);
    update.headers.set(Name::Contact, moved);
    let agreed = world.ask(other, &update, 200);
    world.phones[third].learn_target(&agreed.body);
    // Nobody has answered yet: a PRACK goes to where its own branch is now.
    let mut next = proven(&mut world, &invite, ("b", other), "6");
    next.body.clear();
    next.headers.remove(&Name::ContentType);
    world.reply(phone, &next);
    let prack = world.expect_request(third, &Method::Prack);
    assert_eq!(prack.to_tag().as_deref(), Some("b"));
    world.reply(third, &Response::to(&prack, 200));
    let mut answer = next.clone();
    answer.status = 200;
    for name in [Name::Require, Name::RSeq] {
        answer.headers.remove(&name);
    }
    world.reply(phone, &answer);
    world.expect_request(other, &Method::Ack);
    world.speak(third);
    world.run(1000);
    assert!(world.phones[third].heard.len() > 40, "its updated media");
    assert!(world.phones[other].heard.is_empty());
    world.hush(third);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, other, 50);
    world.run(40_000);
    world.check_empty();
}

/// It may not (RFC 3261 §15), but gateways do: our INVITE stands until it has a final response.
#[test]
fn who_hangs_up_before_it_answers_is_called_off() {
    for refuses in [true, false] {
        let (mut world, phone, _, invite) = placed();
        let mut session = ok(&mut world, phone, &invite);
        session.status = 183;
        session.headers.push(Name::Require, "100rel");
        session.headers.push(Name::RSeq, "5");
        world.reply(phone, &session);
        let prack = world.expect_request(phone, &Method::Prack);
        let reply = world.phones[phone].response(&prack, 200);
        world.reply(phone, &reply);
        let bye = world.phones[phone].request(Method::Bye);
        world.ask(phone, &bye, 200);
        let cancel = world.expect_request(phone, &Method::Cancel);
        world.reply(phone, &Response::to(&cancel, 200));
        if refuses {
            let gone = world.phones[phone].response(&invite, 487);
            world.reply(phone, &gone);
            world.expect_request(phone, &Method::Ack);
        } else {
            world.run(33_000);
        }
        ends(world, phone, &EndReason::RemoteHungUp);
    }
}

#[test]
fn one_branch_that_hangs_up_leaves_the_others() {
    let (mut world, phone, handle, invite) = placed();
    let other = world.phone();
    two_proven(&mut world, phone, other, &invite);
    let bye = of_branch(&mut world, phone, "a", &invite, Method::Bye);
    world.ask(phone, &bye, 200);
    world.expect_nothing(phone, 100);
    let options = of_branch(&mut world, phone, "a", &invite, Method::Options);
    world.ask(phone, &options, 481);
    let mut answer = proven(&mut world, &invite, ("b", other), "0");
    answer.status = 200;
    for name in [Name::Require, Name::RSeq] {
        answer.headers.remove(&name);
    }
    world.reply(phone, &answer);
    world.expect_request(other, &Method::Ack);
    world.speak(other);
    world.run(1000);
    assert!(world.phones[other].heard.len() > 40);
    world.hush(other);
    hang_up(&mut world, handle);
    bye_from_us(&mut world, other, 50);
    world.run(40_000);
    world.check_empty();
}
