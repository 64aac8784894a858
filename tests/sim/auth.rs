//! Who has to say who they are, and what becomes of who does not: in simulated time.

use crate::support::sim;

use std::time::Duration;

use antiphon::sip::auth::Challenge;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Request, Response};
use antiphon::sip::method::Method;
use antiphon::switch::{Demand, Switch};
use sim::access::{Door, PASSWORD, access, client, guarded_routes, tcp, udp};
use sim::{Setup, World};

const HERE: &str = "192.0.2.1";

fn door() -> Door {
    let demand = Demand {
        register: true,
        ..Demand::default()
    };
    let mut access = access();
    access.bans = None;
    Door::new(access, demand, guarded_routes())
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let values = response.headers.get_all(&Name::WwwAuthenticate);
    values.map(|v| Challenge::parse(v).unwrap()).collect()
}

#[test]
fn a_user_is_asked_for_and_nothing_is_kept_of_who_is_not() {
    let mut door = door();
    let invite = door.request(Method::Invite, "500");
    let response = door.send(&invite, udp(HERE)).unwrap();
    assert_eq!(response.status, 401);
    let asked = challenges(&response);
    let names: Vec<_> = asked
        .iter()
        .map(|c| c.algorithm.unwrap().as_str())
        .collect();
    assert_eq!(names, ["SHA-256", "MD5"]);
    assert!(asked.iter().all(|c| c.qop_auth && !c.stale));
    assert!(!response.headers.contains(&Name::Server), "nothing of us");
    assert!(response.to_tag().is_some());
    assert_eq!(door.switch.transactions(), 0, "no memory for a stranger");
    assert_eq!(door.status(&invite, udp(HERE)), 401, "repeated");
    assert_eq!(door.calls, 0);
    let mut alice = client("alice", PASSWORD);
    assert_eq!(door.login(&invite, udp(HERE), &mut alice), 100);
    assert_eq!(door.calls, 1);
    for (user, password) in [("alice", "wrong"), ("bob", PASSWORD)] {
        let other = door.request(Method::Invite, "500");
        let mut client = client(user, password);
        assert_eq!(door.login(&other, udp(HERE), &mut client), 401);
    }
    let public = door.request(Method::Invite, "510");
    assert_eq!(
        door.status(&public, udp(HERE)),
        100,
        "a public route is public"
    );
    assert_eq!(door.calls, 2);
}

/// A response without what differs in any two: nonce, and what was copied from the request.
fn bare(response: &Response) -> (usize, Vec<String>) {
    let of = |(name, value): (&Name, &str)| match name {
        Name::WwwAuthenticate => {
            let challenge = Challenge::parse(value).unwrap();
            value.replace(&challenge.nonce, "")
        }
        Name::To | Name::From | Name::Via | Name::CallId | Name::CSeq => name.to_string(),
        _ => format!("{name}: {value}"),
    };
    (
        response.to_bytes().len(),
        response.headers.iter().map(of).collect(),
    )
}

#[test]
fn there_or_not_the_answer_is_the_same() {
    let mut door = door();
    let mut seen = Vec::new();
    for user in ["500", "499", "xyz"] {
        let request = door.request(Method::Invite, user);
        seen.push(bare(&door.send(&request, udp(HERE)).unwrap()));
    }
    for (name, password) in [("alice", "wrong"), ("carol", "x"), ("bobby", "x")] {
        let request = door.request(Method::Invite, "500");
        let mut client = client(name, password);
        let response = door.send(&request, udp(HERE)).unwrap();
        assert!(client.challenged(&response));
        let mut request = door.again(&request);
        client.authorize(&mut request);
        seen.push(bare(&door.send(&request, udp(HERE)).unwrap()));
    }
    assert!(seen.iter().all(|s| *s == seen[0]), "{seen:#?}");
}

#[test]
fn register_needs_a_user_and_each_registers_alone_for_themselves() {
    let mut door = door();
    let mut alice = client("alice", PASSWORD);
    let own = door.request(Method::Register, "alice");
    assert_eq!(door.login(&own, udp(HERE), &mut alice), 200);
    let mut next = door.again(&own);
    alice.authorize(&mut next);
    assert_eq!(door.status(&next, udp(HERE)), 200, "the nonce goes on");
    let mut other = door.request(Method::Register, "bob");
    alice.authorize(&mut other);
    assert_eq!(door.status(&other, udp(HERE)), 403);
}

/// A user has as many contacts as a user may have, the newest, and not as many for each host.
#[test]
fn a_user_does_not_fill_the_registrar() {
    let mut door = door();
    let mut alice = client("alice", PASSWORD);
    let first = door.request(Method::Register, "alice");
    assert_eq!(door.login(&first, udp(HERE), &mut alice), 200);
    for n in 0..20_usize {
        let mut register = door.request(Method::Register, "alice");
        register
            .headers
            .set(Name::To, format!("<sip:alice@host{n}:{}>", 5000 + n));
        register.headers.set(
            Name::Contact,
            format!("<sip:alice@192.0.2.99:{}>", 6000 + n),
        );
        alice.authorize(&mut register);
        let answer = door.send(&register, udp(HERE)).unwrap();
        assert_eq!(answer.status, 200, "{n}");
        let kept = answer.headers.get_all(&Name::Contact).count();
        assert_eq!(kept, (n + 2).min(10), "{n}");
    }
}

/// Where no password is asked no source takes the room of all the others.
#[test]
fn a_source_that_is_not_asked_leaves_room_in_the_registrar() {
    let mut settings = sim::settings();
    settings.endpoint.access = access();
    settings.registration.bindings = 20;
    let kept = |sources: &[&str]| -> Vec<usize> {
        let mut door = Door::new(access(), Demand::default(), sim::routes());
        door.switch = Switch::new(settings.clone(), sim::routes(), 1);
        let register = |source: &&str| {
            let taken = (0..30).filter(|n| {
                let register = door.request(Method::Register, &format!("{n}-{source}"));
                door.status(&register, udp(source)) == 200
            });
            taken.count()
        };
        sources.iter().map(register).collect()
    };
    // The second time it is the same ten, who refresh what they have.
    assert_eq!(kept(&[HERE, HERE, "192.0.2.2"]), [10, 10, 10]);
    assert_eq!(kept(&["10.5.0.1"]), [20], "trusted: it speaks for many");
}

#[test]
fn a_nonce_ends_with_its_time_and_each_count_with_its_use() {
    let mut door = door();
    let mut alice = client("alice", PASSWORD);
    let register = door.request(Method::Register, "alice");
    assert_eq!(door.login(&register, udp(HERE), &mut alice), 200);
    let mut second = door.again(&register);
    alice.authorize(&mut second);
    assert_eq!(door.status(&second, udp(HERE)), 200);
    // The same words in another transaction: somebody has listened.
    let mut replay = door.request(Method::Register, "alice");
    let words = second.headers.get(&Name::Authorization).unwrap().to_owned();
    replay.headers.set(Name::Authorization, words);
    let response = door.send(&replay, udp(HERE)).unwrap();
    assert_eq!(response.status, 401);
    assert!(challenges(&response).iter().all(|c| c.stale));
    door.pass(Duration::from_secs(301));
    let mut late = door.again(&second);
    alice.authorize(&mut late);
    let response = door.send(&late, udp(HERE)).unwrap();
    assert_eq!(response.status, 401);
    assert!(challenges(&response).iter().all(|c| c.stale));
    alice.accepted();
    assert!(alice.challenged(&response), "with the new nonce");
    let mut late = door.again(&late);
    alice.authorize(&mut late);
    assert_eq!(door.status(&late, udp(HERE)), 200);
}

#[test]
fn sources_and_transports_may_be_asked_for_everything() {
    let demand = Demand {
        exempt: vec!["10.7.0.0/16".parse().unwrap()],
        sources: vec!["10.0.0.0/8".parse().unwrap()],
        transports: vec![antiphon::sip::transport::Transport::Tcp],
        register: false,
    };
    let mut access = access();
    access.bans = None;
    let mut door = Door::new(access, demand, guarded_routes());
    for (flow, method, user, status) in [
        (udp("10.1.1.1"), Method::Options, "x", 401),
        (udp("10.1.1.1"), Method::Register, "alice", 401),
        (udp("10.1.1.1"), Method::Invite, "510", 401),
        (udp("10.1.1.1"), Method::Bye, "x", 401),
        (udp("10.7.1.1"), Method::Options, "x", 200),
        (udp("10.7.1.1"), Method::Invite, "500", 100),
        (udp(HERE), Method::Options, "x", 200),
        (udp(HERE), Method::Register, "alice", 200),
        (tcp(HERE), Method::Options, "x", 401),
    ] {
        let request = door.request(method.clone(), user);
        assert_eq!(door.status(&request, flow), status, "{method} {flow:?}");
    }
    // ACK and CANCEL cannot be asked (RFC 3261 §22.1), nor is there anything to tell.
    let ack = door.request(Method::Ack, "500");
    assert_eq!(door.status(&ack, tcp(HERE)), 0);
    let cancel = door.request(Method::Cancel, "500");
    assert_eq!(door.status(&cancel, tcp(HERE)), 481);
}

/// Credentials that were read on the way are good for no other target; a proxy may rewrite it.
#[test]
fn credentials_are_for_the_target_that_they_name() {
    let targets = ["sip:499@10.0.0.1:5060", "sip:500@198.51.100.1:5060"];
    for (from, answers) in [(HERE, [400, 400]), ("10.5.0.1", [404, 100])] {
        let mut door = door();
        let mut alice = client("alice", PASSWORD);
        let invite = door.request(Method::Invite, "500");
        assert_eq!(door.login(&invite, udp(from), &mut alice), 100);
        for (target, answer) in targets.into_iter().zip(answers) {
            let mut own = door.request(Method::Invite, "500");
            alice.authorize(&mut own);
            let words = own.headers.get(&Name::Authorization).unwrap().to_owned();
            let mut stolen = door.request(Method::Invite, "500");
            target.clone_into(&mut stolen.uri);
            stolen.headers.set(Name::Authorization, words);
            assert_eq!(door.status(&stolen, udp(from)), answer, "{from} {target}");
            if answer == 400 {
                assert_eq!(door.status(&own, udp(from)), 100, "not used up");
            }
        }
    }
}

/// A whole call: asked for a user once, and not within the dialog.
#[test]
fn a_dialog_is_not_asked_again() {
    let mut setup = Setup {
        routes: guarded_routes(),
        ..Setup::default()
    };
    setup.settings.endpoint.access = access();
    let mut world = World::with(setup);
    let phone = world.phone();
    let invite = world.phones[phone].invite("500");
    let refused = world.ask(phone, &invite, 401);
    let mut alice = client("alice", PASSWORD);
    assert!(alice.challenged(&refused));
    let mut invite = reinvite(&mut world, phone, &invite);
    alice.authorize(&mut invite);
    world.dial_with(phone, &invite);
    world.run(500);
    let sdp = world.phones[phone].sdp("sendrecv");
    let hold = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &hold, 200);
    world.hang_up(phone);
    world.run(40_000);
    assert!(world.ended(phone).is_some());
    world.check_empty();
}

/// The INVITE once more: another transaction, the next CSeq.
fn reinvite(world: &mut World, phone: usize, invite: &Request) -> Request {
    let mut next = world.phones[phone].request(Method::Invite);
    next.body.clone_from(&invite.body);
    next.headers.set(Name::ContentType, "application/sdp");
    next
}
