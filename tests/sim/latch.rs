//! Whose packets are taken and where ours go, and every kind of packet that comes: RTP and RTCP of
//! whole calls.

use crate::support::sim;

mod packets;
mod reports;
mod strangers;

use std::net::SocketAddr;

use antiphon::leg::LegStats;
use sim::net::Kind;
use sim::signal::amplitude;
use sim::{Setup, World};

/// A phone in an echo call that has not said a word yet.
fn silent_call() -> (World, usize) {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 0;
    let mut world = World::with(setup);
    let phone = world.phone();
    let invite = world.phones[phone].invite("500");
    world.set_up(phone, &invite);
    world.run(25);
    (world, phone)
}

/// Sends a packet to the phone's leg from any address.
fn rtp(world: &mut World, from: SocketAddr, bytes: &[u8]) {
    let (us, to) = (world.us(), world.phones[0].target.unwrap());
    world.net.send(Kind::Media, us, from, to, bytes);
}

/// `count` packets of the phone's voice from an address, 20 ms apart.
fn talk(world: &mut World, from: SocketAddr, count: usize) {
    for _ in 0..count {
        let bytes = world.phones[0].packet();
        rtp(world, from, &bytes);
        world.run(20);
    }
}

/// Where the leg's last packet went.
fn sends_to(world: &mut World) -> SocketAddr {
    world.run(45);
    world.phones[0].heard.last().unwrap().to
}

fn other(port: u16) -> SocketAddr {
    ([10, 1, 0, 0], port).into()
}

fn stats(world: &mut World) -> LegStats {
    world.hang_up(0);
    world.run(100);
    world.ended(0).unwrap().stats.unwrap()
}

#[test]
fn before_any_packet_ours_go_where_the_sdp_says() {
    let (mut world, phone) = silent_call();
    assert_eq!(sends_to(&mut world), world.phones[phone].rtp);
}

#[test]
fn another_source_needs_four_packets_in_sequence() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    talk(&mut world, other(7000), 3);
    assert_eq!(sends_to(&mut world), sdp);
    // A gap: the count begins again.
    world.phones[phone].voice.seq += 1;
    talk(&mut world, other(7000), 3);
    assert_eq!(sends_to(&mut world), sdp);
    talk(&mut world, other(7000), 1);
    assert_eq!(sends_to(&mut world), other(7000));
    assert_eq!(stats(&mut world).counts.foreign, 6);
}

#[test]
fn the_address_of_the_sdp_always_may() {
    let (mut world, phone) = silent_call();
    talk(&mut world, other(7000), 4);
    assert_eq!(sends_to(&mut world), other(7000));
    let sdp = world.phones[phone].rtp;
    talk(&mut world, sdp, 1);
    assert_eq!(sends_to(&mut world), sdp);
}

#[test]
fn nobody_breaks_into_a_stream_that_flows() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    for _ in 0..150 {
        talk(&mut world, sdp, 1);
        // The same stream, as an attacker on the path would copy it.
        let copy = world.phones[phone].packet();
        rtp(&mut world, other(6666), &copy);
        let voice = &mut world.phones[phone].voice;
        voice.seq = voice.seq.wrapping_sub(1);
        voice.timestamp = voice.timestamp.wrapping_sub(160);
        voice.samples -= 160;
    }
    assert_eq!(sends_to(&mut world), sdp);
    assert!(world.phones[phone].heard.iter().all(|h| h.to == sdp));
    let stats = stats(&mut world);
    assert_eq!((stats.receive.packets, stats.receive.lost), (150, 0));
}

#[test]
fn a_nat_that_rebinds_is_followed_after_two_seconds_of_silence() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    talk(&mut world, sdp, 50);
    // Too soon.
    world.run(1500);
    talk(&mut world, other(7001), 10);
    assert_eq!(sends_to(&mut world), sdp);
    world.run(400);
    talk(&mut world, other(7001), 3);
    assert_eq!(sends_to(&mut world), sdp);
    talk(&mut world, other(7001), 4);
    assert_eq!(sends_to(&mut world), other(7001));
}

#[test]
fn a_stranger_is_not_followed_even_after_silence() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    talk(&mut world, sdp, 50);
    world.run(3000);
    world.phones[phone].voice.ssrc += 1;
    talk(&mut world, other(7002), 100);
    assert_eq!(sends_to(&mut world), sdp, "another SSRC");
    world.phones[phone].voice.ssrc -= 1;
    world.phones[phone].voice.seq = world.phones[phone].voice.seq.wrapping_add(20_000);
    talk(&mut world, other(7002), 100);
    assert_eq!(sends_to(&mut world), sdp, "another sequence");
}

#[test]
fn a_nat_that_forgets_a_phone_on_hold_is_followed() {
    for direction in ["inactive", "sendonly"] {
        let (mut world, phone) = silent_call();
        talk(&mut world, other(7000), 50);
        assert_eq!(sends_to(&mut world), other(7000));
        for (direction, ms) in [(direction, 3_000), ("sendrecv", 100)] {
            let sdp = world.phones[phone].sdp(direction);
            let change = world.phones[phone].reinvite(&sdp);
            world.ask(phone, &change, 200);
            world.run(ms);
        }
        world.phones[phone].voice.ssrc += 1;
        talk(&mut world, other(7300), 60);
        assert!(level(&world, 400) > 2_400.0, "{direction}");
        assert_eq!(sends_to(&mut world), other(7300), "{direction}");
    }
}

#[test]
fn signalling_moves_the_stream() {
    let (mut world, phone) = silent_call();
    let sdp = world.phones[phone].rtp;
    talk(&mut world, sdp, 50);
    world.phones[phone].rtp = other(7100);
    let text = world.phones[phone].sdp("sendrecv");
    let change = world.phones[phone].reinvite(&text);
    world.ask(phone, &change, 200);
    assert_eq!(sends_to(&mut world), other(7100), "at once, unasked");
    talk(&mut world, other(7100), 2);
    // And the old one may not come back.
    talk(&mut world, sdp, 20);
    assert_eq!(sends_to(&mut world), other(7100));
}

/// The port is used again at once, by a call whose phone has said nothing yet; the phone of the call
/// before goes on as if that were not over.
#[test]
fn what_comes_late_for_a_closed_call_is_not_heard_in_the_next() {
    let mut setup = Setup {
        ports: 1,
        ..Setup::default()
    };
    setup.settings.media_timeout_ms = 0;
    // So that any source may be the phone's.
    setup.settings.call.media_from_anywhere = true;
    let mut world = World::with(setup);
    let phones = [world.phone(), world.phone()];
    world.dial(phones[0], "500");
    world.run(1000);
    let port = world.phones[0].target.unwrap();
    world.hang_up(0);
    world.run(100);
    let mut invite = world.phones[1].invite("500");
    // Where nobody is: as behind a NAT.
    let sdp = String::from_utf8(invite.body.clone()).unwrap();
    let hidden = sdp.replace("IN IP4 10.1.0.1", "IN IP4 10.77.0.1");
    assert_ne!(sdp, hidden);
    sim::phone::put_sdp(&mut invite, &hidden);
    world.dial_with(phones[1], &invite);
    assert_eq!(world.phones[1].target, Some(port));
    world.hush(1);
    world.run(100);
    let until = world.phones[0].heard.len();
    for _ in 0..200 {
        let late = world.phones[0].packet();
        let from = world.phones[0].rtp;
        rtp(&mut world, from, &late);
        world.run(20);
    }
    assert_eq!(world.phones[0].heard.len(), until, "it hears the next call");
    // Its own phone speaks: from where its description does not say.
    for _ in 0..60 {
        let own = world.phones[1].packet();
        let late = world.phones[0].packet();
        let from = [world.phones[1].rtp, world.phones[0].rtp];
        rtp(&mut world, from[1], &late);
        rtp(&mut world, from[0], &own);
        world.run(20);
    }
    assert!(
        world.phones[1].heard.len() > 40,
        "{}",
        world.phones[1].heard.len()
    );
    assert_eq!(world.phones[0].heard.len(), until);
    world.hang_up(1);
    world.run(100);
    let stats = world.ended(1).unwrap().stats.unwrap();
    assert!((55..=60).contains(&stats.receive.packets), "{stats:?}");
}

/// Level of the phone's own tone in the last `ms` that it heard.
fn level(world: &World, ms: u64) -> f64 {
    let heard = world.phones[0].audio(world.ms - ms, world.ms);
    let whole = heard.len() / 160 * 160;
    if whole == 0 {
        return 0.0;
    }
    amplitude(&heard[..whole], world.phones[0].voice.hz)
}
