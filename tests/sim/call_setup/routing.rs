//! Where our requests within a dialog go: Record-Route, Contact, or where the peer really is.

use std::net::SocketAddr;

use super::sim::phone::{Phone, Received};
use super::sim::{SERVER, World, flow};
use antiphon::endpoint;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use antiphon::switch::Input;

/// Dials through two proxies that record their route; a third address stands for the first proxy.
fn through(routes: [&str; 2]) -> (World, Request, SocketAddr) {
    let mut world = World::new(31);
    let (phone, proxy) = (world.phone(), world.phone());
    let mut invite = world.phones[phone].invite("510");
    for route in routes {
        invite.headers.push(Name::RecordRoute, route);
    }
    let proxy_at = world.phones[proxy].sip;
    let sent_by = format!("SIP/2.0/UDP {proxy_at};branch=z9hG4bKproxy");
    invite.headers.push_front(Name::Via, sent_by);
    world.send(proxy, &invite);
    let ok = world.expect(proxy, 200);
    let recorded: Vec<_> = ok.headers.list(&Name::RecordRoute).collect();
    assert_eq!(recorded, routes, "the caller gets them as they were");
    world.phones[phone].learn(&ok);
    world.phones[phone].route = Vec::new();
    let ack = world.phones[phone].ack(&ok);
    world.send(proxy, &ack);
    world.speak(phone);
    let found = world.run_until(3000, |w| !w.phones[proxy].inbox.is_empty());
    assert!(found, "the BYE comes to the proxy");
    let Received { message, to, .. } = world.phones[proxy].inbox.remove(0);
    let Message::Request(bye) = message else {
        panic!("{message:?}")
    };
    assert_eq!(bye.method, Method::Bye);
    assert!(
        world.phones[phone].inbox.is_empty(),
        "nothing goes around it"
    );
    (world, bye, to)
}

#[test]
fn our_bye_takes_the_loose_route() {
    let (world, bye, to) = through(["<sip:10.1.0.1:5060;lr>", "<sip:10.1.0.77:5070;lr>"]);
    assert_eq!(to, world.phones[1].sip);
    assert_eq!(bye.uri, "sip:phone0@10.1.0.0:5060");
    let routes: Vec<_> = bye.headers.list(&Name::Route).collect();
    assert_eq!(
        routes,
        ["<sip:10.1.0.1:5060;lr>", "<sip:10.1.0.77:5070;lr>"]
    );
}

#[test]
fn our_bye_takes_the_strict_route() {
    let (world, bye, to) = through(["<sip:10.1.0.1:5060>", "<sip:10.1.0.77:5070;lr>"]);
    assert_eq!(to, world.phones[1].sip);
    assert_eq!(bye.uri, "sip:10.1.0.1:5060");
    let routes: Vec<_> = bye.headers.list(&Name::Route).collect();
    assert_eq!(
        routes,
        ["<sip:10.1.0.77:5070;lr>", "<sip:phone0@10.1.0.0:5060>"]
    );
}

/// Dials 510 with this Via and Contact; where the BYE goes.
fn bye_to(sent_by: &str, contact: &str) -> SocketAddr {
    let mut world = World::new(32);
    let (phone, other) = (world.phone(), world.phone());
    let change = |request: &mut Request| {
        let via = request.headers.get(&Name::Via).unwrap();
        let (_, branch) = via.split_once(';').unwrap();
        let via = format!("SIP/2.0/UDP {sent_by};{branch}");
        request.headers.set(Name::Via, via);
        request.headers.set(Name::Contact, contact);
    };
    let mut invite = world.phones[phone].invite("510");
    change(&mut invite);
    world.send(phone, &invite);
    let ok: Response = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    let mut ack = world.phones[phone].ack(&ok);
    change(&mut ack);
    world.send(phone, &ack);
    world.run(1500);
    let to: Vec<_> = [phone, other]
        .iter()
        .flat_map(|&p: &usize| -> &[Received] { &world.phones[p].inbox })
        .map(|r| r.to)
        .collect();
    assert!(!to.is_empty(), "there is a BYE");
    to[0]
}

#[test]
fn our_bye_goes_to_the_contact_or_behind_a_nat_to_where_the_caller_is() {
    let phone = Phone::new(0).sip;
    let other = Phone::new(1).sip;
    assert_ne!(phone, SERVER);
    let public = format!("<sip:p@{other}>");
    assert_eq!(bye_to("10.1.0.0:5060", &public), other);
    // Via shows another address than the packets come from: Contact cannot be believed either.
    assert_eq!(
        bye_to("192.168.1.5:5060", "<sip:p@192.168.1.5:5060>"),
        phone
    );
}

/// A call over TCP through a proxy that names itself and then closes its idle connection; where it was
/// found, and where the BYE goes.
fn bye_to_the_named_proxy(found: Option<SocketAddr>) -> (World, SocketAddr) {
    let mut world = World::new(34);
    let (phone, _other) = (world.phone(), world.phone());
    let from = Flow {
        transport: Transport::Tcp,
        remote: (world.phones[phone].sip.ip(), 40_123).into(),
        connection: Some(ConnectionId(1)),
        ..flow(SERVER)
    };
    let tell = |world: &mut World, input: endpoint::Input| {
        let now = world.now();
        world.switch.handle(Input::Sip(input), now);
        world.carry_out();
    };
    let arrive = |world: &mut World, request: Request| {
        let message = Message::Request(request);
        tell(
            world,
            endpoint::Input::Message {
                flow: from,
                message,
            },
        );
    };
    let mut invite = world.phones[phone].invite("500");
    let route = "<sip:sbc.example.com:5071;transport=tcp;lr>";
    invite.headers.push(Name::RecordRoute, route);
    arrive(&mut world, invite);
    let ok = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    // That is the proxy's to follow.
    world.phones[phone].route = Vec::new();
    let ack = world.phones[phone].ack(&ok);
    arrive(&mut world, ack);
    world.run(100);
    let closed = endpoint::Input::ConnectionClosed(ConnectionId(1));
    tell(&mut world, closed);
    if let Some(remote) = found {
        let way = Flow {
            remote,
            connection: None,
            ..from
        };
        world.ways = Ok((way, Vec::new()));
    }
    world.server_hangs_up(phone);
    world.run(10);
    let mut bye = None;
    for at in 0..2 {
        while let Some(Received { message, to, .. }) = world.phones[at].inbox.pop() {
            let Message::Request(request) = message else {
                panic!("{message:?}")
            };
            assert_eq!(request.method, Method::Bye);
            assert_eq!(request.headers.get(&Name::Route), Some(route));
            let ok = Response::to(&request, 200);
            world.reply(at, &ok);
            assert_eq!(bye.replace(to), None, "one alone");
        }
    }
    let bye = bye.expect("a BYE");
    (world, bye)
}

/// RFC 3261 §8.1.2: the port that its connection came from is nobody's any more.
#[test]
fn a_proxy_whose_connection_is_gone_is_called_by_its_name() {
    let known = Phone::new(1).sip;
    let unknown = SocketAddr::new(Phone::new(0).sip.ip(), 5071);
    for (found, to) in [(Some(known), known), (None, unknown)] {
        let (mut world, bye) = bye_to_the_named_proxy(found);
        assert_eq!(bye, to);
        world.run(40_000);
        world.check_empty();
    }
}

#[test]
fn the_next_bye_goes_to_the_contact_of_the_last_reinvite() {
    let mut world = World::new(33);
    let (phone, other) = (world.phone(), world.phone());
    world.dial(phone, "500");
    let sdp = world.phones[phone].sdp("sendrecv");
    let mut moved = world.phones[phone].reinvite(&sdp);
    let contact = format!("<sip:moved@{}>", world.phones[other].sip);
    moved.headers.set(Name::Contact, contact);
    world.ask(phone, &moved, 200);
    let now = world.now();
    let reason = antiphon::call::EndReason::HungUp;
    world.switch.hang_up_all(&reason, now);
    world.carry_out();
    let bye = world.expect_request(other, &Method::Bye);
    assert_eq!(bye.uri, "sip:moved@10.1.0.1:5060");
}
