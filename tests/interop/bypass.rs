//! RTP past the network stack (AF_XDP): between two hosts of this machine's own.

use std::fs::File;
use std::net::IpAddr;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::support::cable::{Cable, INTERFACE, PHONES, SERVER};
use crate::support::media::{Phone, on_time, tone};
use crate::support::server::{Config, Server};
use crate::support::sip::{Call, Peer, sdp};

/// Packets in a second.
const SECOND: usize = 50;

/// A cable; none where this is not root's to lay, which the test says.
fn cable(queues: u32) -> Option<Cable> {
    let cable = Cable::lay(queues);
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: nothing was tested ({cable:?})");
        return None;
    }
    Some(cable.unwrap())
}

fn server(cable: &Cable, interface: &str) -> Server {
    Config::new()
        .set("sip", "udp", format!("[\"{SERVER}:0\"]"))
        .set("sip", "tcp", "[]")
        .set("media", "xdp_interface", format!("{interface:?}"))
        .set("media", "workers", 2)
        .through(&["ip", "netns", "exec", &cable.server])
        .start()
}

/// Does something on the phones' host.
fn at_phones(cable: &Cable, work: impl FnOnce() + Send) {
    let host = File::open(format!("/run/netns/{}", cable.phones)).unwrap();
    std::thread::scope(|s| {
        let there = s.spawn(move || {
            setns(host, CloneFlags::CLONE_NEWNET).unwrap();
            work();
        });
        if let Err(panic) = there.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn call(server: &Server, phone: &Phone, user: &str) -> Call {
    let peer = Peer::udp_from(server.udp(), IpAddr::from(PHONES));
    Call::establish(peer, user, &sdp(phone.address, "0", ""))
}

/// What the server says of packets past the stack at its end: received, sent, dropped.
fn counted(server: &Server) -> [u64; 3] {
    server.terminate();
    assert!(server.wait_exit().success());
    let log = server.log();
    ["xdp_received", "xdp_sent", "xdp_dropped"].map(|key| {
        let words = log.split_whitespace();
        let mut values = words.filter_map(|w| w.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
        values.next_back().unwrap()
    })
}

/// Two in a room hear each other, whichever thread and queue each has.
fn two_in_a_room(queues: u32) {
    let Some(cable) = cable(queues) else { return };
    let server = server(&cable, INTERFACE);
    assert!(server.log().contains("goes past the network stack"));
    at_phones(&cable, || {
        on_time(|timing| {
            let phones = [450, 1050].map(|hz| {
                let phone = Phone::new(timing, IpAddr::from(PHONES));
                let call = call(&server, &phone, "600");
                phone.say(call.ok.rtp(), tone(hz));
                (phone, call)
            });
            let [(first, mut one), (second, mut other)] = phones;
            first.await_tone(1050.0, true);
            second.await_tone(450.0, true);
            // Each way is taken up meanwhile.
            first.listen(3 * SECOND);
            first.listen(SECOND).assert_steady(tone(1050));
            second.listen(SECOND).assert_steady(tone(450));
            one.hang_up();
            other.hang_up();
        });
    });
    let [received, sent, dropped] = counted(&server);
    assert!(
        received > 200 && sent > 200,
        "{received} received, {sent} sent"
    );
    assert_eq!(dropped, 0);
}

#[test]
fn two_in_a_room_hear_each_other_past_the_stack() {
    two_in_a_room(1);
}

#[test]
fn an_interface_may_have_more_queues_than_one() {
    two_in_a_room(3);
}

#[test]
fn a_stranger_is_not_heard_and_who_moves_is_followed() {
    let Some(cable) = cable(1) else { return };
    let server = server(&cable, INTERFACE);
    at_phones(&cable, || {
        on_time(|timing| {
            let phone = Phone::new(timing, IpAddr::from(PHONES));
            let mut call = call(&server, &phone, "500");
            let to = call.ok.rtp();
            phone.say(to, tone(1050));
            phone.listen(3 * SECOND);
            // From another port of the same host, while the phone goes on.
            let stranger = Phone::new(timing, IpAddr::from(PHONES));
            stranger.say(to, tone(450));
            let heard = phone.listen(SECOND);
            heard.assert_steady(tone(1050));
            heard.assert_absent(450.0);
            assert_eq!(stranger.count(), 0);
            // Signalling moves the call there.
            phone.hush();
            call.reinvite(&sdp(stranger.address, "0", ""));
            stranger.await_tone(450.0, true);
            stranger.listen(3 * SECOND);
            stranger.listen(SECOND).assert_steady(tone(450));
            call.hang_up();
        });
    });
    let [received, sent, dropped] = counted(&server);
    assert!(
        received > 250 && sent > 250,
        "{received} received, {sent} sent"
    );
    // A second of the stranger's packets was left to the stack.
    assert!(dropped < 10, "{dropped} dropped");
}

#[test]
fn who_pauses_is_heard_again_and_goes_on_being_sent_to() {
    let Some(cable) = cable(1) else { return };
    let server = server(&cable, INTERFACE);
    at_phones(&cable, || {
        on_time(|timing| {
            let phone = Phone::new(timing, IpAddr::from(PHONES));
            let mut call = call(&server, &phone, "500");
            let to = call.ok.rtp();
            for pause in [Duration::from_millis(200), Duration::from_millis(1200)] {
                phone.say(to, tone(1050));
                phone.listen(2 * SECOND);
                phone.listen(SECOND).assert_steady(tone(1050));
                phone.hush();
                std::thread::sleep(pause);
            }
            // Nobody speaks, and the echo of it goes on being sent.
            let heard = phone.listen(SECOND);
            heard.assert_unbroken();
            phone.say(to, tone(1050));
            phone.await_tone(1050.0, true);
            phone.listen(2 * SECOND).assert_unbroken();
            phone.listen(SECOND).assert_steady(tone(1050));
            call.hang_up();
        });
    });
    let [received, sent, dropped] = counted(&server);
    assert!(
        received > 200 && sent > 200,
        "{received} received, {sent} sent"
    );
    assert_eq!(dropped, 0);
}

#[test]
fn without_such_an_interface_the_stack_does_and_the_log_says_why() {
    let Some(cable) = cable(1) else { return };
    for (interface, why) in [
        ("none0", "there is no interface none0"),
        ("lo", "lo is no Ethernet interface"),
    ] {
        let server = server(&cable, interface);
        let log = server.wait_log("media.xdp_interface");
        assert!(log.contains(why), "{log}");
        at_phones(&cable, || {
            on_time(|timing| {
                let phone = Phone::new(timing, IpAddr::from(PHONES));
                let mut call = call(&server, &phone, "500");
                phone.say(call.ok.rtp(), tone(1050));
                phone.await_tone(1050.0, true);
                call.hang_up();
            });
        });
        assert_eq!(counted(&server), [0, 0, 0]);
    }
}
