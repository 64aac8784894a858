//! Who is not of the call, and sends to its port or is sent to: strangers who spray ports, and victims
//! to whom others want media sent.

use std::net::SocketAddr;

use antiphon::app::{AppSpec, ScriptSpec};
use antiphon::call::EndReason;
use antiphon::sip::header::Name;
use antiphon::sip::message::Request;
use antiphon::sip::method::Method;

use super::{other, rtp, sends_to, silent_call, stats, talk};
use crate::support::sim::phone::put_sdp;
use crate::support::sim::{Setup, World, flow};

const STRANGER: ([u8; 4], u16) = ([10, 99, 0, 1], 7000);

#[test]
fn a_stranger_is_not_heard_in_place_of_who_has_not_spoken_yet() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    talk(&mut world, STRANGER.into(), 100);
    assert_eq!(sends_to(&mut world), sdp);
    // Behind its NAT, at another port, the party may be.
    talk(&mut world, other(7000), 4);
    assert_eq!(sends_to(&mut world), other(7000));
    assert_eq!(stats(&mut world).counts.foreign, 103);
}

#[test]
fn nor_when_signalling_has_moved_the_stream() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    talk(&mut world, sdp, 50);
    world.phones[phone].rtp = other(7100);
    let text = world.phones[phone].sdp("sendrecv");
    let change = world.phones[phone].reinvite(&text);
    world.ask(phone, &change, 200);
    talk(&mut world, STRANGER.into(), 100);
    assert_eq!(sends_to(&mut world), other(7100));
}

/// A phone at a private address behind proxies, whose Via they tell of, or not; who may be it.
fn behind(vias: &[&str], anywhere: bool, from: SocketAddr) -> bool {
    let heard = |named| behind_as(named, vias, anywhere, from);
    let same = heard("IN IP4 192.168.7.7");
    assert_eq!(heard("IN IP6 fd00::7"), same, "whatever the IP version");
    same
}

fn behind_as(named: &str, vias: &[&str], anywhere: bool, from: SocketAddr) -> bool {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    setup.settings.call.media_from_anywhere = anywhere;
    let mut world = World::with(setup);
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("500");
    for via in vias {
        invite.headers.push(Name::Via, *via);
    }
    let sdp = String::from_utf8(invite.body.clone()).unwrap();
    put_sdp(&mut invite, &sdp.replace("IN IP4 10.1.0.0", named));
    world.set_up(phone, &invite);
    world.run(25);
    talk(&mut world, from, 6);
    stats(&mut world).counts.foreign < 6
}

#[test]
fn a_party_behind_a_nat_and_a_proxy_is_where_the_proxy_says() {
    let told = "SIP/2.0/UDP 192.168.7.7;branch=z9hG4bKp;received=10.88.0.1;rport=999";
    let untold = "SIP/2.0/UDP phone.invalid;branch=z9hG4bKp";
    let nat: SocketAddr = ([10, 88, 0, 1], 9000).into();
    assert!(behind(&[told], false, nat));
    assert!(!behind(&[told], false, STRANGER.into()));
    // A proxy that does not say where: there is no telling.
    assert!(behind(&[untold], false, nat));
    // No proxy at all: it is where it signals from.
    assert!(!behind(&[], false, nat));
    assert!(behind(&[], false, other(9000)));
    assert!(behind(&[], true, nat), "where the configuration says so");
}

/// What a phone without IPv4 sends through a NAT64 (RFC 6146): it knows its own addresses alone.
fn translated(request: &mut Request, sdp: &str) {
    let via = request.headers.get(&Name::Via).unwrap();
    let via = via.replace("10.1.0.0:5060", "[2001:db8::7]:5060");
    request.headers.set(Name::Via, via);
    put_sdp(
        request,
        &sdp.replace("IN IP4 10.1.0.0", "IN IP6 2001:db8::7"),
    );
}

#[test]
fn a_phone_without_ipv4_behind_a_nat64_is_where_it_signals_from() {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    let mut world = World::with(setup);
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("500");
    let sdp = String::from_utf8(invite.body.clone()).unwrap();
    translated(&mut invite, &sdp);
    world.set_up(phone, &invite);
    world.run(25);
    talk(&mut world, STRANGER.into(), 6);
    talk(&mut world, other(9000), 6);
    assert_eq!(sends_to(&mut world), other(9000));
    // It goes on from another port, as another stream.
    world.phones[phone].rtp.set_port(7100);
    world.phones[phone].voice.ssrc += 1;
    let sdp = world.phones[phone].sdp("sendrecv");
    let mut change = world.phones[phone].reinvite(&sdp);
    translated(&mut change, &sdp);
    world.ask(phone, &change, 200);
    talk(&mut world, STRANGER.into(), 6);
    talk(&mut world, other(9100), 6);
    assert_eq!(sends_to(&mut world), other(9100));
    assert_eq!(stats(&mut world).counts.foreign, 6 + 3 + 6 + 3);
}

/// Its media goes past the proxy, to where nothing of ours gets.
#[test]
fn a_phone_without_ipv4_behind_a_proxy_gets_488() {
    let mut world = World::new(76);
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("500");
    let sdp = String::from_utf8(invite.body.clone()).unwrap();
    put_sdp(
        &mut invite,
        &sdp.replace("IN IP4 10.1.0.0", "IN IP6 2001:db8::7"),
    );
    let own = "SIP/2.0/UDP [2001:db8::7]:5060;branch=z9hG4bKp;received=2001:db8::7";
    invite.headers.push(Name::Via, own);
    world.send(phone, &invite);
    world.expect(phone, 488);
}

/// A call that we place, to a phone with this Contact and a private address in its description: whether
/// it is heard from its NAT.
fn placed_to(contact: Option<&str>, route: Option<&str>, from: SocketAddr) -> bool {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    let mut world = World::with(setup);
    let phone = world.phone();
    let (to, now) = (world.phones[phone].sip, world.now());
    let spec = AppSpec::Script(ScriptSpec::default());
    let uri = format!("sip:bob@{to}");
    let caller = "antiphon".into();
    let handle = world
        .switch
        .originate(uri, caller, flow(to), vec![], spec, now);
    world.carry_out();
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    let mut ok = world.phones[phone].response(&invite, 200);
    let sdp = world.phones[phone].sdp("sendrecv");
    let hidden = sdp.replace("IN IP4 10.1.0.0", "IN IP4 192.168.7.7");
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = hidden.into_bytes();
    for (name, value) in [(Name::Contact, contact), (Name::RecordRoute, route)] {
        if let Some(value) = value {
            ok.headers.set(name, value);
        }
    }
    world.reply(phone, &ok);
    world.expect_request(phone, &Method::Ack);
    world.run(25);
    talk(&mut world, from, 6);
    let now = world.now();
    world.switch.hang_up(handle, now);
    world.carry_out();
    world.run(100);
    world.ended(0).unwrap().stats.unwrap().counts.foreign < 6
}

#[test]
fn whom_we_call_behind_a_nat_is_heard() {
    let nat: SocketAddr = ([10, 88, 0, 1], 9000).into();
    let own = "<sip:bob@10.1.0.0:5060>";
    // Directly: where its signalling is.
    assert!(placed_to(Some(own), None, other(9000)));
    assert!(!placed_to(Some(own), None, nat));
    // Through a proxy there is no telling where.
    let route = "<sip:10.1.0.0;lr>";
    assert!(placed_to(Some(own), Some(route), nat));
    assert!(placed_to(Some("<sip:bob@192.168.7.7>"), Some(route), nat));
}

#[test]
fn nothing_is_sent_before_the_answer_is_acknowledged() {
    let mut world = World::new(491);
    let phone = world.phone();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &invite);
    let ok = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    world.run(10_000);
    let sent = &world.phones[phone];
    assert!(
        sent.heard.is_empty() && sent.reports.is_empty(),
        "anybody may have asked"
    );
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.speak(phone);
    world.run(1_000);
    assert!(world.phones[phone].heard.len() > 40);
    world.hang_up(phone);
    world.run(100);
}

#[test]
fn who_only_listens_may_be_silent_unless_somebody_else_is_to_listen() {
    for (victim, ends) in [(None, false), (Some("10.66.0.1"), true)] {
        let mut setup = Setup::default();
        setup.settings.media_timeout_ms = 5_000;
        let mut world = World::with(setup);
        let phone = world.phone();
        let mut invite = world.phones[phone].invite("500");
        let mut sdp = world.phones[phone].sdp("recvonly");
        if let Some(victim) = victim {
            sdp = sdp.replace("IN IP4 10.1.0.0", &format!("IN IP4 {victim}"));
        }
        put_sdp(&mut invite, &sdp);
        world.set_up(phone, &invite);
        world.run(4_500);
        assert!(world.ended(phone).is_none());
        world.run(20_000);
        if ends {
            let bye = world.expect_request(phone, &Method::Bye);
            let reply = world.phones[phone].response(&bye, 200);
            world.reply(phone, &reply);
            world.run(100);
            assert_eq!(world.ended(phone).unwrap().reason, EndReason::MediaTimeout);
        } else {
            assert!(world.ended(phone).is_none());
            world.hang_up(phone);
            world.run(100);
        }
    }
}

#[test]
fn a_relay_that_was_left_is_not_sent_to_once_it_is_silent() {
    let (mut world, phone) = silent_call();
    let relay = world.phones[phone].rtp;
    talk(&mut world, relay, 50);
    world.phones[phone].rtp = other(7100);
    let text = world.phones[phone].sdp("sendrecv");
    let change = world.phones[phone].reinvite(&text);
    world.ask(phone, &change, 200);
    // It goes on for a while; where the party is now, nobody has said a word.
    for _ in 0..10 {
        let late = world.phones[phone].packet();
        rtp(&mut world, relay, &late);
        world.run(20);
    }
    world.run(1_200);
    assert_eq!(sends_to(&mut world), other(7100));
    world.run(10_000);
    assert_eq!(sends_to(&mut world), other(7100));
}
