//! Calls whose keys come by DTLS in the media, in simulated time: audio both ways, losses, floods, and
//! who is refused.

use crate::support::sim;

use std::net::SocketAddr;
use std::time::Instant;

use antiphon::call::EndReason;
use antiphon::dtls::{Handshake, Identity, Keys, Output};
use antiphon::rtp::HEADER_LEN;
use antiphon::sdp::{Association, Description, Fingerprint, Profile, Role, SrtpPolicy};
use antiphon::sip::header::Name;
use antiphon::sip::message::Response;
use antiphon::sip::method::Method;
use antiphon::srtp::{Inbound, MAX_OVERHEAD, Outbound};
use antiphon::switch::Event;
use sim::net::Kind;
use sim::phone::{Heard, put_sdp};
use sim::signal::amplitude;
use sim::{Setup, World};

use super::dtls_rtcp::wait;

pub(super) fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(Vec::new()).unwrap();
    let key = made.signing_key.serialize_der();
    Identity::new(made.cert.der().to_vec(), key).unwrap()
}

pub(super) fn world(policy: SrtpPolicy) -> World {
    world_with(Setup::default(), policy)
}

pub(super) fn world_with(mut setup: Setup, policy: SrtpPolicy) -> World {
    for route in &mut setup.routes.0 {
        route.srtp = policy;
    }
    let mut world = World::with(setup);
    world.switch.set_identity(identity());
    world
}

pub(super) fn offered(sdp: &str, fingerprint: &Fingerprint, setup: &str) -> String {
    let sdp = sdp.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF");
    format!("{sdp}a=rtcp-mux\r\na=fingerprint:{fingerprint}\r\na=setup:{setup}\r\n")
}

/// What an answer says of the handshake; the role is the phone's.
pub(super) fn answered(response: &Response) -> Association {
    let description = Description::parse(&response.body).unwrap();
    let media = &description.media()[0];
    assert_eq!(media.proto, "UDP/TLS/RTP/SAVPF");
    let fingerprint = media.attribute("fingerprint").unwrap();
    Association {
        remote: Fingerprint::parse(fingerprint).unwrap(),
        role: match media.attribute("setup") {
            Some("active") => Role::Server,
            Some("passive") => Role::Client,
            other => panic!("{other:?}"),
        },
        profile: Profile::TlsSavpf,
        rtcp_apart: !media.has_attribute("rtcp-mux"),
        address: None,
        local_id: None,
        remote_id: media.attribute("tls-id").map(str::to_owned),
    }
}

/// A handshake goes on with what has come, and with time. What it then wants.
pub(super) fn shake(handshake: &mut Handshake, came: &[Vec<u8>], now: Instant) -> Vec<Output> {
    for datagram in came {
        handshake.handle(datagram, now);
    }
    if handshake.poll_timeout().is_some_and(|at| at <= now) {
        handshake.handle_timeout(now);
    }
    std::iter::from_fn(|| handshake.poll_output()).collect()
}

/// A phone with DTLS in a call.
pub(super) struct Party {
    pub world: World,
    identity: Identity,
    handshake: Handshake,
    pub keys: Option<Keys>,
    failed: bool,
    crypto: Option<(Outbound, Inbound)>,
    /// What was on its way, under the keys before.
    before: Option<Inbound>,
    /// What of the DTLS that came was seen.
    seen: usize,
    pub heard: Vec<i16>,
    /// The telephone events of it: their timestamps and payloads.
    pub events: Vec<(u32, Vec<u8>)>,
    /// Packets that it heard.
    pub came: u64,
    /// How many datagrams of its own are to be lost.
    lose: usize,
    sent: usize,
}

impl Party {
    /// In an echo call.
    fn call(world: World, setup: &str, shown: &Identity, told: &Fingerprint) -> Self {
        Self::call_to("500", world, setup, shown, told)
    }

    pub fn call_to(
        user: &str,
        mut world: World,
        setup: &str,
        shown: &Identity,
        told: &Fingerprint,
    ) -> Self {
        let phone = world.phone();
        world.phones[phone].events = user == "530";
        let mut invite = world.phones[phone].invite(user);
        let sdp = offered(&world.phones[phone].sdp("sendrecv"), told, setup);
        put_sdp(&mut invite, &sdp);
        let ok = world.set_up(phone, &invite);
        let handshake = Handshake::new(shown, answered(&ok), world.now());
        Self {
            world,
            identity: shown.clone(),
            handshake,
            keys: None,
            failed: false,
            crypto: None,
            before: None,
            seen: 0,
            heard: Vec::new(),
            events: Vec::new(),
            came: 0,
            lose: 0,
            sent: 0,
        }
    }

    fn send(&mut self, from: SocketAddr, bytes: &[u8]) {
        let (us, to) = (self.world.us(), self.world.phones[0].target.unwrap());
        self.world.net.send(Kind::Media, us, from, to, bytes);
    }

    /// Its handshake goes on for so long.
    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.world.run(1);
            let now = self.world.now();
            let came = self.world.phones[0].dtls[self.seen..].to_vec();
            self.seen += came.len();
            for output in shake(&mut self.handshake, &came, now) {
                match output {
                    Output::Send(datagram) => {
                        self.sent += 1;
                        if self.lose > 0 {
                            self.lose -= 1;
                            continue;
                        }
                        let from = self.world.phones[0].rtp;
                        self.send(from, &datagram);
                    }
                    Output::Keys(keys) => {
                        self.before = self.crypto.take().map(|(_, inbound)| inbound);
                        self.crypto = Some((Outbound::new(&keys.tx), Inbound::new(&keys.rx)));
                        self.keys = Some(*keys);
                    }
                    Output::Failed(_) => self.failed = true,
                }
            }
            self.listen();
        }
    }

    /// All that has come opens with the keys.
    fn listen(&mut self) {
        for heard in std::mem::take(&mut self.world.phones[0].heard) {
            let (_, inbound) = self.crypto.as_mut().expect("nothing comes before the keys");
            let mut packet = sim::phone::whole(&heard);
            let len = inbound.unprotect_rtp(&mut packet).unwrap_or_else(|_| {
                packet = sim::phone::whole(&heard);
                let before = self.before.as_mut().expect("it opens");
                before.unprotect_rtp(&mut packet).unwrap()
            });
            let clear = Heard {
                payload: packet[HEADER_LEN..len].to_vec(),
                ..heard
            };
            self.came += 1;
            if clear.payload_type == 101 {
                self.events.push((clear.timestamp, clear.payload));
            } else {
                self.heard.extend(clear.audio());
            }
        }
    }

    fn talk(&mut self, count: usize) {
        for _ in 0..count {
            let packet = self.world.phones[0].packet();
            let (outbound, _) = self.crypto.as_mut().unwrap();
            let packet = sealed(outbound, packet);
            let from = self.world.phones[0].rtp;
            self.send(from, &packet);
            self.run(20);
        }
    }

    /// Its own tone comes back at its level: heard both ways.
    fn check_echo(&mut self) {
        self.talk(80);
        let samples = &self.heard[self.heard.len() - 20 * 160..];
        let level = amplitude(samples, self.world.phones[0].voice.hz);
        assert!((level - 2500.0).abs() < 250.0, "{level}");
    }

    fn reinvite(&mut self, fingerprint: &Fingerprint, setup: &str) -> Association {
        let sdp = self.world.phones[0].sdp("sendrecv");
        self.describe(&offered(&sdp, fingerprint, setup))
    }

    fn describe(&mut self, sdp: &str) -> Association {
        let change = self.world.phones[0].reinvite(sdp);
        let ok = self.world.ask(0, &change, 200);
        answered(&ok)
    }

    /// Another handshake gives other keys.
    fn rekey(&mut self, shown: Identity, association: Association, ms: u64) {
        self.identity = shown;
        self.handshake = Handshake::new(&self.identity, association, self.world.now());
        let old = self.keys.take().unwrap();
        self.run(ms);
        assert_ne!(self.keys.as_ref().expect("new ones").rx, old.rx);
    }

    fn rekeys_failed(&self) -> usize {
        let failed = |event: &&Event| matches!(event, Event::RekeyFailed { .. });
        self.world.events.iter().filter(failed).count()
    }
}

fn sealed(outbound: &mut Outbound, mut packet: Vec<u8>) -> Vec<u8> {
    let len = packet.len();
    packet.resize(len + MAX_OVERHEAD, 0);
    let len = outbound.protect_rtp(&mut packet, len).unwrap();
    packet.truncate(len);
    packet
}

#[test]
fn heard_both_ways_whoever_begins() {
    for policy in [SrtpPolicy::Optional, SrtpPolicy::Required] {
        for setup in ["actpass", "active", "passive"] {
            let own = identity();
            let mut party = Party::call(world(policy), setup, &own, own.fingerprint());
            let waits = party.handshake.association().role == Role::Server;
            assert_eq!(waits, setup != "active", "the answerer begins where it may");
            party.run(400);
            assert!(party.keys.is_some(), "{setup}");
            party.check_echo();
            party.world.hang_up(0);
            party.world.run(40_000);
            party.world.check_empty();
            let stats = party.world.ended(0).unwrap().stats.unwrap();
            assert!(stats.secure);
            assert_eq!((stats.counts.unauthenticated, stats.counts.invalid), (0, 0));
        }
    }
}

#[test]
fn another_certificate_than_the_offer_says_gets_no_keys_and_no_call() {
    for setup in ["actpass", "active"] {
        let (own, other) = (identity(), identity());
        let mut party = Party::call(
            world(SrtpPolicy::Optional),
            setup,
            &own,
            other.fingerprint(),
        );
        for _ in 0..100 {
            let packet = party.world.phones[0].packet();
            let from = party.world.phones[0].rtp;
            party.send(from, &packet);
            party.run(20);
        }
        let ended = party.world.ended(0).unwrap();
        let EndReason::HandshakeFailed(why) = &ended.reason else {
            panic!("{:?}", ended.reason);
        };
        assert!(why.contains("fingerprint"), "{why}");
        assert_eq!(ended.stats.unwrap().receive.packets, 0);
        assert!(party.heard.is_empty());
    }
}

#[test]
fn a_phone_that_never_shakes_hands_is_let_go_of() {
    for setup in ["passive", "active"] {
        let own = identity();
        let mut party = Party::call(world(SrtpPolicy::Optional), setup, &own, own.fingerprint());
        party.world.run(9_000);
        assert!(party.world.ended(0).is_none());
        party.world.run(2_000);
        let ended = party.world.ended(0).unwrap();
        assert!(matches!(&ended.reason, EndReason::HandshakeFailed(why) if why.contains("10 s")));
        assert!(party.world.phones[0].dtls.len() <= 6, "few repetitions");
    }
}

#[test]
fn what_is_lost_is_sent_again() {
    for lose in 1..5 {
        let own = identity();
        let mut party = Party::call(
            world(SrtpPolicy::Optional),
            "actpass",
            &own,
            own.fingerprint(),
        );
        party.lose = lose;
        party.run(9_000);
        assert!(party.keys.is_some(), "{lose}");
        party.check_echo();
    }
    let own = identity();
    let mut bad = world(SrtpPolicy::Optional);
    bad.net.media.loss = 0.2;
    let mut party = Party::call(bad, "active", &own, own.fingerprint());
    party.run(9_000);
    party.world.net.media.loss = 0.0;
    party.check_echo();
}

#[test]
fn a_forged_alert_ends_no_call() {
    // Fatal, in the clear: handshake_failure.
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    for setup in ["actpass", "active"] {
        let own = identity();
        let mut party = Party::call(world(SrtpPolicy::Optional), setup, &own, own.fingerprint());
        let from = party.world.phones[0].rtp;
        for _ in 0..5 {
            party.send(from, &alert);
            party.run(1);
        }
        party.run(400);
        assert!(party.keys.is_some(), "{setup}");
        party.check_echo();
    }
}

/// As fast as it goes, from the party's own address and from another.
#[test]
fn a_flood_of_dtls_is_bounded_and_does_no_harm() {
    let own = identity();
    let mut party = Party::call(
        world(SrtpPolicy::Optional),
        "active",
        &own,
        own.fingerprint(),
    );
    party.run(400);
    let hello = party.world.phones[0].dtls[0].clone();
    let other: SocketAddr = ([10, 9, 0, 1], 7000).into();
    let rtp = party.world.phones[0].rtp;
    let before = party.world.phones[0].dtls.len();
    for _ in 0..200 {
        for _ in 0..10 {
            party.send(other, &hello);
            party.send(rtp, &hello);
            party.send(rtp, &[22; 3000]);
        }
        party.run(20);
    }
    party.check_echo();
    assert!(party.world.phones[0].dtls.len() - before < 200);
    party.world.hang_up(0);
    party.world.run(100);
    let counts = party.world.ended(0).unwrap().stats.unwrap().counts;
    assert!(counts.foreign > 1000, "{counts:?}");
    assert!(counts.invalid > 1000, "{counts:?}");
}

#[test]
fn a_reinvite_keeps_the_association_and_a_new_certificate_begins_another() {
    let own = identity();
    let mut party = Party::call(
        world(SrtpPolicy::Optional),
        "actpass",
        &own,
        own.fingerprint(),
    );
    party.run(400);
    party.check_echo();
    let before = party.world.phones[0].dtls.len();
    let again = party.reinvite(own.fingerprint(), "actpass");
    assert!(again.is_same(party.handshake.association()));
    party.check_echo();
    assert_eq!(party.world.phones[0].dtls.len(), before, "no new handshake");

    let new = identity();
    let association = party.reinvite(new.fingerprint(), "actpass");
    party.rekey(new, association, 400);
    party.check_echo();
    // And back to plain RTP.
    let plain = party.world.phones[0].sdp("sendrecv");
    let change = party.world.phones[0].reinvite(&plain);
    party.listen();
    let ok = party.world.ask(0, &change, 200);
    assert!(!String::from_utf8(ok.body).unwrap().contains("fingerprint"));
}

#[test]
fn the_policy_and_what_is_missing_are_told() {
    let own = identity();
    let whole = |world: &mut World, phone: usize| {
        offered(
            &world.phones[phone].sdp("sendrecv"),
            own.fingerprint(),
            "actpass",
        )
    };
    type Change = fn(&str) -> String;
    let cases: [(SrtpPolicy, Change, &str); 3] = [
        (SrtpPolicy::Off, str::to_owned, "UDP/TLS/RTP/SAVPF"),
        (
            SrtpPolicy::Required,
            |sdp| sdp.replace("sha-256", "sha-1"),
            "a=fingerprint",
        ),
        (
            SrtpPolicy::Optional,
            |sdp| sdp.replace("actpass", "holdconn"),
            "a=setup",
        ),
    ];
    for (policy, change, why) in cases {
        let mut world = world(policy);
        let phone = world.phone();
        let mut invite = world.phones[phone].invite("500");
        let sdp = change(&whole(&mut world, phone));
        put_sdp(&mut invite, &sdp);
        world.send(phone, &invite);
        let response = world.expect(phone, 488);
        let warning = response.headers.get(&Name::Warning).unwrap();
        assert!(warning.contains(why), "{warning}");
    }
}

fn connected() -> (Party, Identity) {
    let own = identity();
    let world = world(SrtpPolicy::Optional);
    let mut party = Party::call(world, "actpass", &own, own.fingerprint());
    party.run(400);
    (party, own)
}

/// As where a call goes on to another server of media that has the same certificate.
#[test]
fn another_end_with_the_same_certificate_gets_keys_of_its_own() {
    let (mut party, own) = connected();
    party.talk(10);
    let before = party.world.phones[0].rtp;
    let mut end_before = Outbound::new(&party.keys.as_ref().unwrap().tx);
    party.world.phones[0].rtp.set_port(4010);
    let association = party.reinvite(own.fingerprint(), "actpass");
    party.handshake = Handshake::new(&own, association, party.world.now());
    let old = party.keys.take().unwrap();
    // The end before goes on for a while.
    for _ in 0..30 {
        let packet = party.world.phones[0].packet();
        let packet = sealed(&mut end_before, packet);
        party.send(before, &packet);
        party.run(20);
    }
    assert_ne!(party.keys.as_ref().expect("new ones").rx, old.rx);
    let misled = &party.world.phones[0].rtcp_dtls;
    assert!(misled.is_empty(), "no handshake with the end before");
    party.check_echo();
    assert_eq!(party.rekeys_failed(), 0);
}

#[test]
fn a_hold_without_an_address_and_another_port_of_a_nat_keep_the_keys() {
    let (mut party, own) = connected();
    party.check_echo();
    let before = party.world.phones[0].dtls.len();
    let (own_rtp, nowhere) = (party.world.phones[0].rtp, "c=IN IP4 0.0.0.0");
    let here = format!("c=IN IP4 {}", own_rtp.ip());
    for address in [nowhere, here.as_str()] {
        let sdp = party.world.phones[0].sdp("sendrecv");
        let sdp = sdp.replace(&here, address);
        party.describe(&offered(&sdp, own.fingerprint(), "actpass"));
        party.run(100);
    }
    party.check_echo();
    // Behind a NAT that has forgotten it, with the description that it had.
    party.run(2_100);
    party.world.phones[0].rtp.set_port(4020);
    party.talk(10);
    let sdp = party.world.phones[0].sdp("sendrecv");
    let sdp = sdp.replace("m=audio 4020", "m=audio 4000");
    party.describe(&offered(&sdp, own.fingerprint(), "actpass"));
    party.check_echo();
    let phone = &party.world.phones[0];
    assert_eq!((phone.dtls.len(), phone.rtcp_dtls.len()), (before, 0));
}

/// Where both sides name their ends (RFC 8842) the names tell, and not where they are.
#[test]
fn ends_with_names_are_told_apart_by_them() {
    let (mut party, own) = connected();
    let named = |party: &mut Party, name: &str| {
        let sdp = party.world.phones[0].sdp("sendrecv");
        let sdp = offered(&sdp, own.fingerprint(), "actpass");
        party.describe(&format!("{sdp}a=tls-id:{name}\r\n"))
    };
    let before = party.world.phones[0].dtls.len();
    let one = named(&mut party, "a-name-of-20-letters");
    assert!(one.remote_id.is_some(), "ours");
    party.world.phones[0].rtp.set_port(4010);
    let moved = named(&mut party, "a-name-of-20-letters");
    assert_eq!(moved.remote_id, one.remote_id);
    party.check_echo();
    assert_eq!(party.world.phones[0].dtls.len(), before, "no new handshake");
    let other = named(&mut party, "another-name+/_of-letters");
    assert_ne!(other.remote_id, one.remote_id);
    party.rekey(own.clone(), other, 400);
    party.check_echo();
}

/// It may have its keys still, wherever it is.
#[test]
fn who_moves_and_shakes_no_hands_there_keeps_its_keys() {
    let (mut party, own) = connected();
    party.check_echo();
    party.world.phones[0].rtp.set_port(4010);
    party.reinvite(own.fingerprint(), "actpass");
    party.world.run(11_000);
    assert!(
        party.world.phones[0].dtls.len() > party.seen,
        "it was asked"
    );
    party.seen = party.world.phones[0].dtls.len();
    party.check_echo();
    assert!(party.world.ended(0).is_none());
    assert_eq!(party.rekeys_failed(), 1);
}

#[test]
fn new_calls_leave_room_for_new_keys_of_running_ones() {
    let mut setup = Setup::default();
    setup.settings.max_calls = 100;
    setup.settings.legs_per_worker = 100;
    let own = identity();
    let world = world_with(setup, SrtpPolicy::Required);
    let mut party = Party::call(world, "actpass", &own, own.fingerprint());
    party.run(400);
    for phone in party.world.phones(75) {
        wait(&mut party.world, phone, own.fingerprint(), "actpass");
    }
    let last = party.world.phone();
    wait(&mut party.world, last, own.fingerprint(), "actpass");
    party.world.expect_request(last, &Method::Bye);
    let new = identity();
    let association = party.reinvite(new.fingerprint(), "actpass");
    party.rekey(new, association, 400);
    party.check_echo();
}

#[test]
fn without_room_a_running_call_keeps_its_keys_and_waits_for_others() {
    let (mut party, own) = connected();
    party.check_echo();
    // All that its source may have.
    let call = party.world.phones[0].clone();
    for _ in 0..25 {
        wait(&mut party.world, 0, own.fingerprint(), "active");
    }
    party.world.phones[0].resume(&call);
    let before = party.world.phones[0].dtls.len();
    let new = identity();
    let association = party.reinvite(new.fingerprint(), "actpass");
    party.check_echo();
    party.run(5_000);
    assert_eq!(party.world.phones[0].dtls.len(), before, "it waits");
    // The others' time is over 10 s after they began.
    party.rekey(new, association, 6_000);
    party.check_echo();
    assert!(party.world.ended(0).is_none());
    assert_eq!(party.rekeys_failed(), 0);
}
