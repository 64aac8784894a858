//! Limits on calls: a clear answer at each, and nobody else suffers.

use crate::support::server;
use crate::support::sip;

use std::net::SocketAddr;

use server::Config;
use sip::{Call, Dialog, Message, Peer, sdp};

fn offer() -> String {
    sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "")
}

/// Calls, and gives what comes of it.
fn attempt(peer: &mut Peer, user: &str) -> (Dialog, Message) {
    let mut dialog = Dialog::new(peer, user);
    let invite = dialog.request(peer, "INVITE", "", &offer());
    peer.send(invite);
    let id = dialog.call_id.clone();
    let answer = peer.await_that(|m| m.status() >= 200 && m.header("Call-ID") == id);
    if answer.status() >= 300 {
        let ack = dialog.of_invite(peer, "ACK", answer.to_tag());
        peer.send(ack);
    }
    (dialog, answer)
}

#[test]
fn beyond_the_limit_of_calls_is_503_with_retry_after() {
    let server = Config::new().set("limits", "calls", 2).start();
    let mut one = Call::establish(Peer::udp(server.udp()), "500", &offer());
    let mut two = Call::establish(Peer::tcp(server.tcp()), "500", &offer());
    for transport in ["udp", "tcp"] {
        let mut peer = Peer::over(transport, server.address(transport, false));
        let (_, refused) = attempt(&mut peer, "500");
        assert_eq!(refused.status(), 503);
        assert!(refused.header("Retry-After").parse::<u32>().unwrap() > 0);
    }
    // The running ones are served, and one that ends makes room.
    assert_eq!(one.request("OPTIONS", "", "").status(), 200);
    assert_eq!(two.reinvite(&offer()).status(), 200);
    one.hang_up();
    server.wait_log("ended");
    let mut three = Call::establish(Peer::udp(server.udp()), "500", &offer());
    three.hang_up();
    two.hang_up();
}

#[test]
fn without_rtp_ports_is_503() {
    let server = Config::new().rtp_pairs(2).start();
    let _one = Call::establish(Peer::udp(server.udp()), "500", &offer());
    let _two = Call::establish(Peer::udp(server.udp()), "500", &offer());
    let (_, refused) = attempt(&mut Peer::udp(server.udp()), "500");
    assert_eq!(refused.status(), 503);
    assert!(refused.find("Retry-After").is_some());
}

#[test]
fn too_few_open_files_are_shared_out_and_told() {
    // 72 to share: a quarter for connections leaves 18 calls of the 40.
    let server = Config::new()
        .through(&["prlimit", "--nofile=200:200"])
        .set("limits", "calls", 40)
        .start();
    let warned = server.wait_log("less is possible at once than is configured");
    assert!(warned.contains("room for 18 calls"), "{warned}");
    assert!(warned.contains("LimitNOFILE=1248"), "{warned}");
    let log = server.log();
    assert!(log.contains("calls       at most 18 "), "{log}");
}

#[test]
fn a_source_that_calls_too_fast_is_slowed_and_another_is_not() {
    let server = Config::new()
        .set("limits", "calls_per_second_per_source", 2)
        .set("access", "trusted", "[]")
        .start();
    let mut fast = Peer::udp(server.udp());
    let answers: Vec<_> = (0..12).map(|_| attempt(&mut fast, "unknown").1).collect();
    let refused: Vec<_> = answers.iter().filter(|a| a.status() == 503).collect();
    // Twelve at once: a burst of two, and whatever the time they took allows.
    assert!(refused.len() >= 6, "{} of 12 refused", refused.len());
    assert!(refused.iter().all(|r| r.find("Retry-After").is_some()));
    assert_eq!(answers[0].status(), 404);
    let other = "127.0.0.77".parse().unwrap();
    let (_, answer) = attempt(&mut Peer::udp_from(server.udp(), other), "unknown");
    assert_eq!(answer.status(), 404, "another source");
    // What is no new call is not counted.
    let mut dialog = Dialog::new(&fast, "500");
    let options = dialog.request(&fast, "OPTIONS", "", "");
    fast.send(options);
    assert_eq!(fast.await_that(|m| m.method() == "OPTIONS").status(), 200);
}

#[test]
fn too_many_transactions_are_503_and_calls_still_end() {
    let server = Config::new().set("limits", "transactions", 10).start();
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    // Each of these is a transaction that lives on for repetitions of it.
    let mut peer = Peer::udp(server.udp());
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let mut dialog = Dialog::new(&peer, "500");
        let options = dialog.request(&peer, "OPTIONS", "", "");
        peer.send(options);
        let answer = peer.answer();
        assert!(answer.status() == 200 || answer.find("Retry-After").is_some());
        statuses.push(answer.status());
    }
    assert_eq!(statuses[0], 200);
    assert_eq!(*statuses.last().unwrap(), 503);
    call.hang_up();
    assert!(server.wait_log("ended").contains("remote-hung-up"));
}

#[test]
fn a_call_ends_at_its_longest() {
    let server = Config::new().set("sip", "max_call_seconds", 1).start();
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    call.serve("BYE");
    assert!(server.wait_log("ended").contains("max-length"));
}

#[test]
fn a_call_without_media_ends_unless_it_is_on_hold() {
    let server = Config::new().set("media", "timeout_seconds", 1).start();
    let held = offer() + "a=inactive\r\n";
    let mut on_hold = Call::establish(Peer::udp(server.udp()), "500", &held);
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    call.serve("BYE");
    assert!(server.wait_log("ended").contains("media-timeout"));
    assert_eq!(on_hold.request("OPTIONS", "", "").status(), 200);
    // Once it is resumed its time counts.
    on_hold.reinvite(&offer());
    on_hold.serve("BYE");
    assert_eq!(server.wait_log_count("media-timeout", 2).len(), 2);
}
