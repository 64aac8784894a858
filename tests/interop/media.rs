//! What signalling does to audio, and audio from elsewhere: hold, resume, another codec, another
//! address, an offer of ours, NAT, strangers.

use crate::support::media;
use crate::support::server;
use crate::support::sip;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use media::{Law, Phone, Timing, on_time, tone};
use server::{Config, Server};
use sip::{Call, Dialog, Peer, sdp};

/// A call with a phone, to an endless tone of 1000 Hz (user 7) or what `user` says.
fn call(server: &Server, timing: &Timing, user: &str) -> (Call, Phone) {
    let phone = Phone::v4(timing);
    let call = Call::establish(
        Peer::udp(server.udp()),
        user,
        &sdp(phone.address, "0 8", ""),
    );
    (call, phone)
}

fn tone_server() -> Server {
    Config::new()
        .route("user = \"7\"\napp = \"play\"\ntone_hz = 1000\nrepeat = 0")
        .start()
}

#[test]
fn hold_is_silent_and_resume_is_heard_again() {
    let server = Config::new().start();
    on_time(|timing| {
        let room = format!("conf-{}", sip::unique());
        let (mut held, phone) = call(&server, timing, &room);
        let (mut other, friend) = call(&server, timing, &room);
        phone.say(held.ok.rtp(), tone(1050));
        friend.say(other.ok.rtp(), tone(450));
        phone.await_tone(450.0, true);
        friend.await_tone(1050.0, true);
        for style in ["a=sendonly\r\n", "a=inactive\r\n"] {
            // We put the server on hold, and play music: it must not get into the conference.
            let ok = held.reinvite(&sdp(phone.address, "0 8", style));
            let answer = if style == "a=sendonly\r\n" {
                "a=recvonly"
            } else {
                "a=inactive"
            };
            assert!(ok.body.contains(answer), "{}", ok.body);
            phone.await_break(Duration::from_millis(200));
            phone.assert_unsent_for(Duration::from_millis(300));
            friend.await_tone(1050.0, false);
            friend.listen(25).assert_absent(1050.0);
            let ok = held.reinvite(&sdp(phone.address, "0 8", "a=sendrecv\r\n"));
            assert!(!ok.body.contains("a=recvonly") && !ok.body.contains("a=inactive"));
            phone.await_tone(450.0, true);
            phone.listen(25).assert_steady(tone(450));
            friend.await_tone(1050.0, true);
            friend.listen(25).assert_steady(tone(1050));
        }
        // The old style: a connection address of zeros. We may go on speaking.
        let zero = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), phone.address.port());
        held.reinvite(&sdp(zero, "0 8", ""));
        phone.await_break(Duration::from_millis(200));
        friend.await_tone(1050.0, false);
        held.reinvite(&sdp(phone.address, "0 8", ""));
        phone.await_tone(450.0, true);
        friend.await_tone(1050.0, true);
        held.hang_up();
        other.hang_up();
    });
}

#[test]
fn the_codec_changes_in_mid_call() {
    let server = Config::new().start();
    on_time(|timing| {
        let (mut call, phone) = call(&server, timing, "500");
        let to = call.ok.rtp();
        phone.say(to, tone(1050));
        phone.await_tone(1050.0, true);
        for (formats, law) in [("8", Law::A), ("0", Law::Mu)] {
            let ok = call.reinvite(&sdp(phone.address, formats, ""));
            assert_eq!(ok.rtp(), to);
            phone.say_in(to, tone(1050), law);
            phone.listen_where(1, |p| p.payload_type == law.payload_type());
            // What the change has cut is past after the playout's delay.
            phone.listen(25);
            let heard = phone.listen(25);
            assert!(heard.0.iter().all(|p| p.payload_type == law.payload_type()));
            heard.assert_steady(tone(1050));
        }
        // Refused: all stays as it is.
        let refused = call.request("INVITE", "", &sdp(phone.address, "18", ""));
        assert_eq!(refused.status(), 488);
        let ack = call.dialog.of_invite(&call.peer, "ACK", refused.to_tag());
        call.peer.send(ack);
        phone.listen(25).assert_steady(tone(1050));
        call.hang_up();
    });
}

#[test]
fn the_audio_follows_to_another_address() {
    let server = tone_server();
    for method in ["INVITE", "UPDATE"] {
        on_time(|timing| {
            let (mut call, old) = call(&server, timing, "7");
            // The old one speaks, so that it is latched.
            old.say(call.ok.rtp(), tone(450));
            old.await_tone(1000.0, true);
            old.hush();
            let new = Phone::v4(timing);
            let offer = sdp(new.address, "0 8", "");
            let ok = if method == "INVITE" {
                call.reinvite(&offer)
            } else {
                call.request(method, "", &offer)
            };
            assert_eq!(ok.status(), 200);
            assert_eq!(ok.rtp(), call.ok.rtp());
            new.await_tone(1000.0, true);
            let heard = new.listen(20);
            heard.assert_unbroken();
            old.await_break(Duration::from_millis(200));
            old.assert_unsent_for(Duration::from_millis(300));
            // One line: the stream at the new address goes on with the old one's numbers.
            let (last, first) = (old.all().0.pop().unwrap(), new.all().0.remove(0));
            assert_eq!(first.ssrc, last.ssrc);
            assert_eq!(first.seq, last.seq.wrapping_add(1));
            call.hang_up();
        });
    }
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let server = Config::new().start();
    for transport in ["udp", "tcp"] {
        on_time(|timing| {
            let mut peer = Peer::over(transport, server.address(transport, false));
            let phone = Phone::v4(timing);
            let mut dialog = Dialog::new(&peer, "500");
            let invite = dialog.request(&peer, "INVITE", "", "");
            peer.send(invite);
            let ok = peer.answer();
            assert_eq!(ok.status(), 200);
            assert!(ok.body.contains("RTP/AVP 96 9 0 8"), "{}", ok.body);
            dialog.answered(&ok);
            let ack = dialog.request(&peer, "ACK", "", &sdp(phone.address, "8", ""));
            peer.send(ack);
            phone.say_in(ok.rtp(), tone(1050), Law::A);
            phone.await_tone(1050.0, true);
            phone.listen(25).assert_steady(tone(1050));
            Call { peer, dialog, ok }.hang_up();
        });
    }
    // An answer that fits nothing: no session, the server hangs up.
    let mut peer = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&peer, "500");
    let invite = dialog.request(&peer, "INVITE", "", "");
    peer.send(invite);
    let ok = peer.answer();
    dialog.answered(&ok);
    let ack = dialog.request(&peer, "ACK", "", &sdp(ok.rtp(), "18", ""));
    peer.send(ack);
    Call { peer, dialog, ok }.serve("BYE");
}

#[test]
fn a_late_offer_with_prack_is_answered_there() {
    let server = Config::new().start();
    on_time(|timing| {
        let mut peer = Peer::udp(server.udp());
        let phone = Phone::v4(timing);
        let mut dialog = Dialog::new(&peer, "500");
        let invite = dialog.request(&peer, "INVITE", "Require: 100rel\r\n", "");
        peer.send(invite);
        let progress = peer.answer();
        assert_eq!(progress.status(), 183);
        dialog.answered(&progress);
        let rack = format!("RAck: {} 1 INVITE\r\n", progress.header("RSeq"));
        let prack = dialog.request(&peer, "PRACK", &rack, &sdp(phone.address, "0", ""));
        peer.send(prack);
        let ok = peer.await_that(|m| m.method() == "INVITE" && m.status() >= 200);
        assert_eq!((ok.status(), &*ok.body), (200, ""));
        let ack = dialog.request_as(&peer, "ACK", 1, "", "");
        peer.send(ack);
        phone.say(progress.rtp(), tone(1050));
        phone.await_tone(1050.0, true);
        phone.listen(25).assert_steady(tone(1050));
        Call { peer, dialog, ok }.hang_up();
    });
}

#[test]
fn media_from_behind_a_nat_finds_its_way_and_a_stranger_does_not() {
    let server = Config::new().start();
    on_time(|timing| {
        let room = format!("conf-{}", sip::unique());
        // The description names an address of the inside; the packets come from elsewhere.
        let phone = Phone::new(timing, IpAddr::from([127, 0, 0, 2]));
        let inside = SocketAddr::from(([127, 99, 0, 9], 40_000));
        let mut nat = Call::establish(Peer::udp(server.udp()), &room, &sdp(inside, "0", ""));
        let (mut other, friend) = call(&server, timing, &room);
        phone.say(nat.ok.rtp(), tone(1050));
        friend.say(other.ok.rtp(), tone(450));
        friend.await_tone(1050.0, true);
        phone.await_tone(450.0, true);
        friend.listen(25).assert_steady(tone(1050));
        phone.listen(25).assert_steady(tone(450));

        // A third party sends to the same port, from another address and from the same address.
        for ip in [[127, 0, 0, 3], [127, 0, 0, 2]] {
            let stranger = Phone::new(timing, IpAddr::from(ip));
            stranger.say(nat.ok.rtp(), tone(1850));
            let heard = friend.listen(75);
            heard.assert_absent(1850.0);
            heard.assert_steady(tone(1050));
            phone.listen(10).assert_steady(tone(450));
            assert_eq!(stranger.count(), 0, "the stream went to a stranger");
        }
        // Nor when the phone falls silent: the stranger's stream is not its continuation.
        let stranger = Phone::new(timing, IpAddr::from([127, 0, 0, 3]));
        phone.hush();
        stranger.say(nat.ok.rtp(), tone(1850));
        friend.listen(150).assert_absent(1850.0);
        assert_eq!(stranger.count(), 0, "the stream went to a stranger");
        stranger.hush();
        phone.say(nat.ok.rtp(), tone(1050));
        friend.await_tone(1050.0, true);
        friend.listen(25).assert_steady(tone(1050));
        nat.hang_up();
        other.hang_up();
    });
}

#[test]
fn the_address_of_the_description_may_always_speak() {
    let server = Config::new().start();
    on_time(|timing| {
        // A stranger comes first, from elsewhere: it is latched for want of anybody better.
        let (mut call, phone) = call(&server, timing, "500");
        let early = Phone::new(timing, IpAddr::from([127, 0, 0, 3]));
        early.say(call.ok.rtp(), tone(1850));
        early.await_tone(1850.0, true);
        // Then comes the one that signalling has named.
        phone.say(call.ok.rtp(), tone(1050));
        phone.await_tone(1050.0, true);
        // What the change of streams has cut is past after the playout's delay.
        phone.listen(25);
        let heard = phone.listen(25);
        heard.assert_steady(tone(1050));
        heard.assert_absent(1850.0);
        early.await_break(Duration::from_millis(200));
        call.hang_up();
    });
}

#[test]
fn the_external_address_is_what_peers_are_told() {
    let server = Config::new()
        .set("sip", "external_address", "\"198.51.100.7\"")
        .route("user = \"7\"\napp = \"play\"\ntone_hz = 500")
        .start();
    for transport in ["udp", "tcp"] {
        on_time(|timing| {
            let peer = Peer::over(transport, server.address(transport, false));
            let phone = Phone::v4(timing);
            let mut call = Call::establish(peer, "7", &sdp(phone.address, "0", ""));
            let contact = call.ok.contact().to_owned();
            let port = server.address(transport, false).port();
            assert!(
                contact.contains(&format!("198.51.100.7:{port}")),
                "{contact}"
            );
            assert_eq!(call.ok.rtp().ip(), IpAddr::from([198, 51, 100, 7]));
            assert!(call.ok.body.contains("o=") && !call.ok.body.contains("127.0.0.1"));
            // The packets themselves still come from where it is.
            let heard = phone.listen(5);
            assert_eq!(heard.0[0].from.ip(), IpAddr::from([127, 0, 0, 1]));
            let bye = call.serve("BYE");
            let via = bye.header("Via");
            assert!(via.contains(&format!("198.51.100.7:{port}")), "{via}");
        });
    }
}

#[test]
fn without_an_external_address_it_is_the_one_of_the_route() {
    let config =
        Config::new()
            .set("sip", "udp", "[\"0.0.0.0:0\"]")
            .set("sip", "tcp", "[\"0.0.0.0:0\"]");
    let server = config
        .route("user = \"7\"\napp = \"play\"\ntone_hz = 500")
        .start();
    // Over TCP the peer has chosen one of our addresses, and hears that one.
    for (transport, ip) in [
        ("udp", [127, 0, 0, 1]),
        ("tcp", [127, 0, 0, 1]),
        ("tcp", [127, 0, 0, 4]),
    ] {
        let ip = IpAddr::from(ip);
        on_time(|timing| {
            let port = server.address(transport, false).port();
            let peer = Peer::over(transport, SocketAddr::new(ip, port));
            let phone = Phone::v4(timing);
            let mut call = Call::establish(peer, "7", &sdp(phone.address, "0", ""));
            let contact = call.ok.contact();
            assert!(contact.contains(&format!("{ip}:{port}")), "{contact}");
            assert_eq!(call.ok.rtp().ip(), ip);
            phone.await_tone(500.0, true);
            let bye = call.serve("BYE");
            assert!(bye.header("Via").contains(&format!("{ip}:{port}")));
        });
    }
}
