//! Encrypted calls in simulated time: both directions, new keys, the policy, and what an attacker
//! without the key gets.

use crate::support::sim;

use std::net::SocketAddr;

use antiphon::app::{AppSpec, ScriptSpec};
use antiphon::call::EndReason;
use antiphon::leg::LegStats;
use antiphon::rtp::packet::{Header, is_rtcp, write_header};
use antiphon::rtp::rtcp::{Rtcp, parse, write_bye, write_compound};
use antiphon::rtp::{HEADER_LEN, PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::sdp::crypto::Crypto;
use antiphon::sdp::{Description, SrtpPolicy};
use antiphon::sip::header::Name;
use antiphon::sip::message::Response;
use antiphon::sip::method::Method;
use antiphon::srtp::{Inbound, MAX_OVERHEAD, MasterKey, Outbound, Suite};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sim::net::Kind;
use sim::phone::{Heard, put_sdp, whole};
use sim::signal::amplitude;
use sim::{Setup, World, flow};

/// A phone with keys, in an echo call.
struct Party {
    world: World,
    /// What it sends with.
    key: MasterKey,
    /// What the server sends with.
    theirs: MasterKey,
    out: Outbound,
    inbound: Inbound,
    /// How much of what it heard it has opened.
    opened: usize,
}

fn key(suite: Suite, seed: u64) -> MasterKey {
    MasterKey::random(suite, &mut StdRng::seed_from_u64(seed))
}

fn secured(sdp: &str, key: &MasterKey) -> String {
    let crypto = Crypto {
        tag: 1,
        key: key.clone(),
    };
    sdp.replace("RTP/AVP", "RTP/SAVP") + &format!("a=crypto:{crypto}\r\n")
}

/// The key in an answer.
fn answered(response: &Response) -> MasterKey {
    let description = Description::parse(&response.body).unwrap();
    let line = description.media()[0].attribute("crypto").unwrap();
    Crypto::parse(line).unwrap().key
}

fn setup(policy: SrtpPolicy) -> Setup {
    let mut setup = Setup::default();
    for route in &mut setup.routes.0 {
        route.srtp = policy;
    }
    setup
}

impl Party {
    fn call(suite: Suite, policy: SrtpPolicy) -> Self {
        let mut world = World::with(setup(policy));
        let phone = world.phone();
        let key = key(suite, 3);
        let sdp = secured(&world.phones[phone].sdp("sendrecv"), &key);
        let mut invite = world.phones[phone].invite("500");
        put_sdp(&mut invite, &sdp);
        let ok = world.set_up(phone, &invite);
        world.run(25);
        let theirs = answered(&ok);
        Self {
            out: Outbound::new(&key),
            inbound: Inbound::new(&theirs),
            key,
            theirs,
            world,
            opened: 0,
        }
    }

    fn send(&mut self, from: SocketAddr, bytes: &[u8]) {
        let (us, to) = (self.world.us(), self.world.phones[0].target.unwrap());
        let port = to.port() + u16::from(is_rtcp(bytes));
        let to = SocketAddr::new(to.ip(), port);
        self.world.net.send(Kind::Media, us, from, to, bytes);
    }

    fn next_packet(&mut self) -> Vec<u8> {
        let mut packet = self.world.phones[0].packet();
        let len = packet.len();
        packet.resize(len + MAX_OVERHEAD, 0);
        let len = self.out.protect_rtp(&mut packet, len).unwrap();
        packet.truncate(len);
        packet
    }

    /// `count` packets of the phone's voice, 20 ms apart.
    fn talk(&mut self, count: usize) {
        let from = self.world.phones[0].rtp;
        for _ in 0..count {
            let packet = self.next_packet();
            self.send(from, &packet);
            self.world.run(20);
        }
    }

    /// What the server has sent since the last time; all of it opens with its key.
    fn hear(&mut self) -> Vec<i16> {
        let heard = &self.world.phones[0].heard[self.opened..];
        self.opened += heard.len();
        let mut samples = Vec::new();
        for heard in heard {
            let mut packet = whole(heard);
            let len = self.inbound.unprotect_rtp(&mut packet).unwrap();
            let clear = Heard {
                payload: packet[HEADER_LEN..len].to_vec(),
                ..heard.clone()
            };
            samples.extend(clear.audio());
        }
        samples
    }

    /// The level of the phone's own tone in what came in the last `packets` of a talk.
    fn echo(&mut self, packets: usize) -> f64 {
        let heard = self.hear();
        let samples = &heard[heard.len().saturating_sub(packets * 160)..];
        amplitude(samples, self.world.phones[0].voice.hz)
    }

    fn reinvite(&mut self, sdp: &str) -> Response {
        let change = self.world.phones[0].reinvite(sdp);
        self.world.ask(0, &change, 200)
    }

    fn finish(mut self) -> LegStats {
        self.world.hang_up(0);
        self.world.run(100);
        self.world.ended(0).unwrap().stats.unwrap()
    }
}

/// Full level: the echo of a tone of 2500.
fn is_full(level: f64) -> bool {
    (level - 2500.0).abs() < 250.0
}

#[test]
fn both_directions_and_reports_in_every_suite() {
    for suite in Suite::ALL {
        for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
            let mut party = Party::call(suite, policy);
            assert_eq!(party.theirs.suite(), suite);
            // Its numbers roll over in this.
            party.talk(300);
            assert!(is_full(party.echo(100)), "{suite:?}");
            let stats = party.world.phones[0].reports.len();
            assert!(stats > 0, "6 s are enough for a report");
            party.world.hang_up(0);
            party.world.run(100);
            party.hear();
            let mut byes = 0;
            for (_, report) in party.world.phones[0].reports.clone() {
                assert!(parse(&report, |_| {}).is_err() || report.len() > 100);
                let mut report = report;
                let len = party.inbound.unprotect_rtcp(&mut report).unwrap();
                parse(&report[..len], |item| {
                    byes += usize::from(matches!(item, Rtcp::Bye { .. }));
                })
                .unwrap();
            }
            assert_eq!(byes, 1, "the last report says goodbye");
            let stats = party.world.ended(0).unwrap().stats.unwrap();
            assert!(stats.secure);
            assert_eq!((stats.receive.packets, stats.receive.lost), (300, 0));
            assert_eq!(
                (stats.counts.unauthenticated, stats.counts.replayed),
                (0, 0)
            );
        }
    }
}

#[test]
fn an_unchanged_key_keeps_its_roll_over_counter_and_a_new_one_begins() {
    let mut party = Party::call(Suite::AesCm128HmacSha1_80, SrtpPolicy::Optional);
    party.talk(100);
    // The same line again: hold, resume.
    for direction in ["sendonly", "sendrecv"] {
        let sdp = secured(&party.world.phones[0].sdp(direction), &party.key);
        let ok = party.reinvite(&sdp);
        assert_eq!(answered(&ok), party.theirs);
    }
    party.talk(50);
    assert!(is_full(party.echo(20)));
    for (seed, suite) in [
        (4, Suite::AesCm128HmacSha1_80),
        (5, Suite::AeadAes256Gcm),
        (6, Suite::AeadAes256Gcm),
    ] {
        // On its way while the key changes: still heard.
        let late = party.next_packet();
        party.hear();
        let new = key(suite, seed);
        let sdp = secured(&party.world.phones[0].sdp("sendrecv"), &new);
        let ok = party.reinvite(&sdp);
        let theirs = answered(&ok);
        assert_ne!(theirs, party.theirs);
        let from = party.world.phones[0].rtp;
        party.send(from, &late);
        // What came before the change is theirs under the key before.
        party.opened = party.world.phones[0].heard.len();
        (party.out, party.inbound) = (Outbound::new(&new), Inbound::new(&theirs));
        (party.key, party.theirs) = (new, theirs);
        party.talk(50);
        assert!(is_full(party.echo(20)), "{seed}");
    }
    let stats = party.finish();
    assert_eq!(
        (stats.counts.unauthenticated, stats.counts.replayed),
        (0, 0)
    );
    assert_eq!(stats.receive.packets, 303);
}

#[test]
fn from_plain_to_encrypted_and_back() {
    let mut world = World::with(setup(SrtpPolicy::Optional));
    let phone = world.phone();
    world.dial(phone, "500");
    world.run(1000);
    world.hush(phone);
    let key = key(Suite::AeadAes128Gcm, 8);
    let sdp = secured(&world.phones[phone].sdp("sendrecv"), &key);
    let change = world.phones[phone].reinvite(&sdp);
    let ok = world.ask(phone, &change, 200);
    let theirs = answered(&ok);
    let mut party = Party {
        opened: world.phones[phone].heard.len(),
        out: Outbound::new(&key),
        inbound: Inbound::new(&theirs),
        key,
        theirs,
        world,
    };
    party.talk(60);
    assert!(is_full(party.echo(20)));
    let plain = party.world.phones[0].sdp("sendrecv");
    let ok = party.reinvite(&plain);
    assert!(!String::from_utf8(ok.body).unwrap().contains("crypto"));
    let from = party.world.phones[0].rtp;
    for _ in 0..60 {
        let packet = party.world.phones[0].packet();
        party.send(from, &packet);
        party.world.run(20);
    }
    let until = party.world.ms;
    let heard = party.world.phones[0].audio(until - 400, until);
    assert!(is_full(amplitude(
        &heard[..2400],
        party.world.phones[0].voice.hz
    )));
    assert!(!party.finish().secure);
}

#[test]
fn the_policy_refuses_and_says_why() {
    let ask = |policy, secure: bool| {
        let mut world = World::with(setup(policy));
        let phone = world.phone();
        let mut invite = world.phones[phone].invite("500");
        if secure {
            let key = key(Suite::AesCm128HmacSha1_32, 9);
            let sdp = secured(&world.phones[phone].sdp("sendrecv"), &key);
            put_sdp(&mut invite, &sdp);
        }
        world.send(phone, &invite);
        let response = world.expect(phone, 488);
        let ack = world.phones[phone].ack(&response);
        world.send(phone, &ack);
        world.run(40_000);
        world.check_empty();
        let warning = response.headers.get(&Name::Warning).unwrap();
        warning.to_owned()
    };
    assert!(ask(SrtpPolicy::Required, false).contains("SRTP is required"));
    let off = ask(SrtpPolicy::Off, true);
    assert!(
        off.contains("unsupported media transport RTP/SAVP"),
        "{off}"
    );
}

#[test]
fn calls_that_we_place_follow_a_policy_that_has_changed() {
    let mut world = World::new(78);
    for (policy, wanted) in [
        (SrtpPolicy::Off, "RTP/AVP"),
        (SrtpPolicy::Required, "RTP/SAVP"),
        (SrtpPolicy::Off, "RTP/AVP"),
    ] {
        let suites = vec![Suite::AesCm128HmacSha1_80];
        world.switch.set_srtp(policy, suites, false);
        let phone = world.phone();
        let (to, now) = (world.phones[phone].sip, world.now());
        let spec = AppSpec::Script(ScriptSpec::default());
        let uri = format!("sip:bob@{to}");
        world
            .switch
            .originate(uri, "antiphon".into(), flow(to), vec![], spec, now);
        world.carry_out();
        let invite = world.expect_request(phone, &Method::Invite);
        let offer = String::from_utf8_lossy(&invite.body).into_owned();
        assert!(offer.contains(&format!(" {wanted} ")), "{offer}");
        let lines = offer.matches("a=crypto:").count();
        assert_eq!(lines, usize::from(policy == SrtpPolicy::Required));
    }
}

/// Everything that an attacker can make up who has seen the stream, and not the key.
#[test]
fn without_the_key_nothing_is_heard_moved_or_ended() {
    for suite in Suite::ALL {
        let mut party = Party::call(suite, SrtpPolicy::Optional);
        let own = party.world.phones[0].rtp;
        let other: SocketAddr = ([10, 9, 0, 1], 7000).into();
        let mut foe = Outbound::new(&key(suite, 77));
        let mut forged = 0;
        for n in 0..150u16 {
            let seen = party.next_packet();
            for from in [own, other] {
                // In the clear, under another key, the seen one altered; spoofed in all that is told.
                let voice = &party.world.phones[0].voice;
                let header = Header {
                    payload_type: PayloadType(0),
                    marker: false,
                    seq: SeqNo(voice.seq.wrapping_add(n % 3)),
                    timestamp: Timestamp(voice.timestamp),
                    ssrc: Ssrc(voice.ssrc),
                };
                let mut clear = vec![0x00; HEADER_LEN + 160 + MAX_OVERHEAD];
                write_header(&mut clear, &header);
                let mut under = clear.clone();
                let len = foe.protect_rtp(&mut under, HEADER_LEN + 160);
                clear.truncate(HEADER_LEN + 160);
                let mut altered = seen.clone();
                altered[40] ^= 1;
                let mut report = [0; 128];
                let ssrc = Ssrc(voice.ssrc);
                let mut end = write_compound(&mut report, ssrc, None, &[], "x", false);
                end += write_bye(&mut report[end..], ssrc);
                party.send(from, &clear);
                party.send(from, &altered);
                party.send(from, &report[..end]);
                forged += 2 * u64::from(from == own);
                if let Ok(len) = len {
                    party.send(from, &under[..len]);
                    forged += u64::from(from == own);
                }
            }
            party.send(own, &seen);
            // And once more, from everywhere.
            party.send(own, &seen);
            party.send(other, &seen);
            party.world.run(20);
        }
        let heard = party.hear();
        let tail = &heard[heard.len() - 100 * 160..];
        let level = amplitude(tail, party.world.phones[0].voice.hz);
        assert!(is_full(level), "{suite:?}: {level}");
        // Nothing else is in it: the forged ones are a square of full scale.
        assert!(tail.iter().all(|s| s.unsigned_abs() < 3000), "{suite:?}");
        assert!(party.world.phones[0].heard.iter().all(|h| h.to == own));
        let stats = party.finish();
        assert_eq!(stats.receive.packets, 150, "{suite:?}");
        assert_eq!(stats.receive.lost, 0, "{suite:?}");
        assert!(!stats.counts.peer_bye);
        assert!(stats.counts.unauthenticated >= forged, "{:?}", stats.counts);
        assert!(stats.counts.replayed >= 150, "{:?}", stats.counts);
    }
}

#[test]
fn what_is_not_authentic_keeps_no_call_alive_and_latches_nothing() {
    let mut party = Party::call(Suite::AeadAes128Gcm, SrtpPolicy::Required);
    let other: SocketAddr = ([10, 9, 0, 1], 7000).into();
    let own = party.world.phones[0].rtp;
    for _ in 0..1_600 {
        let packet = party.world.phones[0].packet();
        party.send(own, &packet);
        party.send(other, &packet);
        party.world.run(20);
    }
    assert!(party.world.phones[0].heard.iter().all(|h| h.to == own));
    let ended = party.world.ended(0).unwrap();
    assert_eq!(ended.reason, EndReason::MediaTimeout);
    let stats = ended.stats.unwrap();
    assert_eq!((stats.receive.packets, stats.counts.foreign), (0, 0));
    assert!(stats.counts.unauthenticated > 2_900);
}
