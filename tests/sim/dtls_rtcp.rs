//! Keys by DTLS where RTCP has a port of its own: a handshake on each of the two, in simulated time.

use crate::support::sim;

use std::net::SocketAddr;

use antiphon::dtls::{Handshake, Keys, Output};
use antiphon::rtp::Ssrc;
use antiphon::rtp::rtcp::{ReportBlock, Rtcp, parse, write_compound};
use antiphon::sdp::{Fingerprint, SrtpPolicy};
use antiphon::sip::method::Method;
use antiphon::srtp::{Inbound, MAX_OVERHEAD, Outbound};
use antiphon::switch::Event;
use sim::net::Kind;
use sim::phone::put_sdp;
use sim::{Setup, World};

use super::dtls::{answered, identity, offered, shake, world, world_with};

/// One of the phone's two ports, and what it has of DTLS.
struct Side {
    own: SocketAddr,
    to: SocketAddr,
    handshake: Handshake,
    seen: usize,
    keys: Option<Keys>,
}

impl Side {
    fn send(&self, world: &mut World, bytes: &[u8]) {
        let us = world.us();
        world.net.send(Kind::Media, us, self.own, self.to, bytes);
    }

    /// Its handshake goes on.
    fn step(&mut self, world: &mut World) {
        let phone = &world.phones[0];
        let is_rtp = self.own == phone.rtp;
        let all = if is_rtp {
            &phone.dtls
        } else {
            &phone.rtcp_dtls
        };
        let came = all[self.seen..].to_vec();
        self.seen += came.len();
        let now = world.now();
        for output in shake(&mut self.handshake, &came, now) {
            match output {
                Output::Send(datagram) => self.send(world, &datagram),
                Output::Keys(keys) => self.keys = Some(*keys),
                Output::Failed(failure) => panic!("{failure}"),
            }
        }
    }

    fn keys(&self) -> &Keys {
        self.keys.as_ref().expect("it has succeeded")
    }
}

/// A phone in an echo call, with its sides of RTP and of RTCP.
fn call(setup: &str) -> (World, [Side; 2]) {
    let own = identity();
    let mut world = world(SrtpPolicy::Required);
    let phone = world.phone();
    let mut invite = world.phones[phone].invite("500");
    let sdp = world.phones[phone].sdp("sendrecv");
    let sdp = offered(&sdp, own.fingerprint(), setup).replace("a=rtcp-mux\r\n", "");
    put_sdp(&mut invite, &sdp);
    let ok = world.set_up(phone, &invite);
    let (own_rtp, to) = (world.phones[0].rtp, world.phones[0].target.unwrap());
    let now = world.now();
    let sides = [0, 1].map(|port| Side {
        own: (own_rtp.ip(), own_rtp.port() + port).into(),
        to: (to.ip(), to.port() + port).into(),
        handshake: Handshake::new(&own, answered(&ok), now),
        seen: 0,
        keys: None,
    });
    (world, sides)
}

fn run(world: &mut World, ms: u32, sides: &mut [Side]) {
    for _ in 0..ms {
        world.run(1);
        for side in &mut *sides {
            side.step(world);
        }
    }
}

/// A report of this many lost, under keys.
fn report(ssrc: u32, lost: i32, keys: &Keys) -> Vec<u8> {
    let mut packet = vec![0; 256];
    let block = ReportBlock {
        ssrc: Ssrc(ssrc),
        cumulative_lost: lost,
        ..ReportBlock::default()
    };
    let len = write_compound(&mut packet, Ssrc(9), None, &[block], "x", false);
    packet.resize(len + MAX_OVERHEAD, 0);
    let len = Outbound::new(&keys.tx).protect_rtcp(&mut packet, len);
    packet.truncate(len.unwrap());
    packet
}

#[test]
fn rtcp_goes_by_keys_of_its_own_and_not_without() {
    for setup in ["actpass", "active"] {
        let (mut world, mut sides) = call(setup);
        // At first RTP alone shakes hands: it is heard, and nothing is reported.
        run(&mut world, 3_000, &mut sides[..1]);
        let mut inbound = Inbound::new(&sides[0].keys().rx);
        let heard = std::mem::take(&mut world.phones[0].heard);
        assert!(heard.len() > 100, "{setup}");
        for heard in &heard {
            let mut packet = sim::phone::whole(heard);
            assert!(inbound.unprotect_rtp(&mut packet).is_ok(), "{setup}");
        }
        assert!(world.phones[0].reports.is_empty(), "{setup}: without keys");
        let ours = heard[0].ssrc;
        let forged = report(ours, 55, sides[0].keys());
        sides[1].send(&mut world, &forged);
        run(&mut world, 3_000, &mut sides);
        assert_ne!(sides[0].keys().rx, sides[1].keys().rx);
        run(&mut world, 8_000, &mut sides);
        let reports = std::mem::take(&mut world.phones[0].reports);
        assert!(!reports.is_empty(), "{setup}");
        for (_, report) in reports {
            let mut refused = report.clone();
            let mut rtp = Inbound::new(&sides[0].keys().rx);
            assert!(rtp.unprotect_rtcp(&mut refused).is_err(), "RTP's keys");
            let mut report = report;
            let mut rtcp = Inbound::new(&sides[1].keys().rx);
            let len = rtcp.unprotect_rtcp(&mut report).unwrap();
            let mut senders = 0;
            let mut count = |item: &Rtcp| {
                let is_ours = matches!(item, Rtcp::SenderReport { ssrc, .. } if ssrc.0 == ours);
                senders += u32::from(is_ours);
            };
            parse(&report[..len], |item| count(&item)).unwrap();
            assert_eq!(senders, 1, "{setup}");
        }
        // What RTP's keys protect is refused with keys of its own as it was without.
        sides[1].send(&mut world, &forged);
        let own = report(ours, 77, sides[1].keys());
        sides[1].send(&mut world, &own);
        // Its port is read twice a second.
        run(&mut world, 600, &mut sides);
        world.hang_up(0);
        world.run(40_000);
        world.check_empty();
        let stats = world.ended(0).unwrap().stats.unwrap();
        assert_eq!(stats.peer.lost, 77, "{setup}");
        let counts = (stats.counts.before_keys, stats.counts.unauthenticated);
        assert_eq!(counts, (1, 1), "{setup}");
    }
}

/// Who offers no handshake for RTCP has none, and the call goes on.
#[test]
fn without_a_handshake_for_rtcp_the_audio_goes_on() {
    let (mut world, mut sides) = call("actpass");
    run(&mut world, 20_000, &mut sides[..1]);
    assert!(world.ended(0).is_none());
    assert!(world.phones[0].heard.len() > 900);
    assert!(world.phones[0].reports.is_empty());
    assert!(world.phones[0].rtcp_dtls.len() <= 6, "few repetitions");
    let told = |event: &Event| match event {
        Event::RtcpFailed { error, .. } => error.starts_with("no handshake within"),
        _ => false,
    };
    assert_eq!(world.events.iter().filter(|event| told(event)).count(), 1);
}

/// Both handshakes of a call count; whose do not fit any more is hung up. A quarter is left to who has keys.
#[test]
fn handshakes_under_way_are_bounded() {
    let own = identity();
    let mut setup = Setup::default();
    setup.settings.max_calls = 76;
    setup.settings.legs_per_worker = 76;
    let mut world = world_with(setup, SrtpPolicy::Required);
    let phones = world.phones(76);
    for &phone in &phones {
        wait(&mut world, phone, own.fingerprint(), "actpass");
    }
    world.expect_request(75, &Method::Bye);
    for phone in &phones[..75] {
        world.expect_nothing(*phone, 1);
    }
}

/// A call whose two handshakes the phone leaves to themselves.
pub(super) fn wait(world: &mut World, phone: usize, told: &Fingerprint, setup: &str) {
    let mut invite = world.phones[phone].invite("500");
    let sdp = world.phones[phone].sdp("sendrecv");
    let sdp = offered(&sdp, told, setup).replace("a=rtcp-mux\r\n", "");
    put_sdp(&mut invite, &sdp);
    world.set_up(phone, &invite);
}

/// Who calls and never shakes hands takes no handshakes of others.
#[test]
fn a_source_has_a_quarter_of_the_handshakes() {
    for trusted in [false, true] {
        let own = identity();
        let mut setup = Setup::default();
        if trusted {
            setup.settings.endpoint.access.trusted = vec!["10.1.0.0/32".parse().unwrap()];
        }
        let mut world = world_with(setup, SrtpPolicy::Required);
        let phones = world.phones(2);
        for _ in 0..25 {
            wait(&mut world, phones[0], own.fingerprint(), "active");
            world.expect_nothing(phones[0], 1);
        }
        wait(&mut world, phones[0], own.fingerprint(), "active");
        if trusted {
            world.expect_nothing(phones[0], 100);
        } else {
            world.expect_request(phones[0], &Method::Bye);
        }
        wait(&mut world, phones[1], own.fingerprint(), "actpass");
        world.expect_nothing(phones[1], 100);
        assert!(!world.phones[1].dtls.is_empty(), "others are served");
    }
}
