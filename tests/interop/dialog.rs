//! The corners of dialogs, on the wire: repetition, order, cancellation, identity.

use crate::support::server;
use crate::support::sip;

use std::net::SocketAddr;

use server::Config;
use sip::{Call, Dialog, Message, Peer, response, sdp, unique};

/// Where no media is needed: nobody listens there.
fn offer() -> String {
    sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "")
}

fn invite_with(peer: &mut Peer, user: &str, headers: &str) -> Dialog {
    let mut dialog = Dialog::new(peer, user);
    let invite = dialog.request(peer, "INVITE", headers, &offer());
    peer.send(invite);
    dialog
}

#[test]
fn a_repeated_invite_gets_the_same_200_and_the_200_comes_until_the_ack() {
    let server = Config::new().set("sip", "t1_ms", 100).start();
    let mut peer = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&peer, "500");
    let invite = dialog.request(&peer, "INVITE", "", &offer());
    peer.send(&invite);
    let first = peer.answer();
    assert_eq!(first.status(), 200);
    let tag = first.to_tag().unwrap().to_owned();
    // A copy of the request, three times: the same answer, no second call.
    for _ in 0..3 {
        peer.send(&invite);
        let again = peer.answer();
        assert_eq!(again.to_tag(), Some(&*tag));
        assert_eq!(again.body, first.body);
    }
    // Without any prompting it comes again, and again.
    for _ in 0..3 {
        let again = peer.answer();
        assert_eq!((again.status(), again.to_tag()), (200, Some(&*tag)));
    }
    dialog.answered(&first);
    let ack = dialog.request(&peer, "ACK", "", "");
    peer.send(ack);
    server.wait_log("answered");
    // What was on its way; then nothing, for longer than the next interval (T2 at most 4 s).
    while peer.recv_for(sip::QUIET).is_some() {}
    assert!(peer.recv_for(std::time::Duration::from_secs(4)).is_none());
    assert_eq!(server.log().matches(" call call_id").count(), 1);
}

#[test]
fn without_an_ack_the_server_says_bye() {
    let server = Config::new().set("sip", "t1_ms", 20).start();
    let mut peer = Peer::udp(server.udp());
    let dialog = invite_with(&mut peer, "500", "");
    let bye = peer.await_that(|m| m.start.starts_with("BYE "));
    assert_eq!(bye.header("Call-ID"), dialog.call_id);
    peer.send(response(&bye, "200 OK"));
    assert!(server.wait_log("ended").contains("no-ack"));
}

#[test]
fn a_bye_before_the_ack_ends_the_call() {
    let server = Config::new().set("sip", "t1_ms", 100).start();
    let mut peer = Peer::udp(server.udp());
    let mut dialog = invite_with(&mut peer, "500", "");
    let ok = peer.answer();
    dialog.answered(&ok);
    let bye = dialog.request(&peer, "BYE", "", "");
    peer.send(bye);
    assert_eq!(peer.await_that(|m| m.method() == "BYE").status(), 200);
    assert!(server.wait_log("ended").contains("remote-hung-up"));
    // The 200 to the INVITE is not resent for a call that is over.
    while peer.recv_for(sip::QUIET).is_some() {}
    peer.assert_quiet();
}

#[test]
fn a_cancel_before_the_final_response_gives_487() {
    let server = Config::new().start();
    for (n, transport) in ["udp", "tcp"].into_iter().enumerate() {
        let mut peer = Peer::over(transport, server.address(transport, false));
        let mut dialog = invite_with(&mut peer, "500", "Require: 100rel\r\n");
        let ringing = peer.answer();
        assert_eq!(ringing.status(), 180);
        let tag = ringing.to_tag().unwrap().to_owned();
        let cancel = dialog.of_invite(&peer, "CANCEL", None);
        peer.send(cancel);
        let ok = peer.await_that(|m| m.method() == "CANCEL");
        assert_eq!(ok.status(), 200);
        assert_eq!(ok.to_tag(), Some(&*tag), "the tag of the INVITE's answers");
        let refused = peer.await_that(|m| m.method() == "INVITE" && m.status() >= 200);
        assert_eq!((refused.status(), refused.to_tag()), (487, Some(&*tag)));
        let ack = dialog.of_invite(&peer, "ACK", Some(&tag));
        peer.send(ack);
        assert!(server.wait_log_count("ended", n + 1)[n].contains("cancelled"));
        // The dialog is gone.
        dialog.answered(&ringing);
        let bye = dialog.request(&peer, "BYE", "", "");
        peer.send(bye);
        assert_eq!(peer.await_that(|m| m.method() == "BYE").status(), 481);
    }
}

#[test]
fn a_cancel_after_the_final_response_changes_nothing() {
    let server = Config::new().start();
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    let cancel = call.dialog.of_invite(&call.peer, "CANCEL", None);
    call.peer.send(cancel);
    let answer = call.peer.await_that(|m| m.method() == "CANCEL");
    assert!([200, 481].contains(&answer.status()), "{}", answer.start);
    call.peer.assert_quiet();
    assert_eq!(call.request("OPTIONS", "", "").status(), 200);
    call.hang_up();
    // One for nothing at all.
    let mut peer = Peer::udp(server.udp());
    let mut nothing = Dialog::new(&peer, "500");
    nothing.request(&peer, "INVITE", "", "");
    let cancel = nothing.of_invite(&peer, "CANCEL", None);
    peer.send(cancel);
    assert_eq!(peer.answer().status(), 481);
}

#[test]
fn a_bye_on_an_early_dialog_ends_it() {
    let server = Config::new().start();
    let mut peer = Peer::udp(server.udp());
    let mut dialog = invite_with(&mut peer, "500", "Require: 100rel\r\n");
    let ringing = peer.answer();
    dialog.answered(&ringing);
    let bye = dialog.request(&peer, "BYE", "", "");
    peer.send(bye);
    let mut answers = [peer.answer(), peer.answer()].map(|m| (m.method().to_owned(), m.status()));
    answers.sort();
    assert_eq!(
        answers,
        [("BYE".to_owned(), 200), ("INVITE".to_owned(), 487)]
    );
}

#[test]
fn a_gap_in_cseq_is_fine_and_an_old_one_is_not() {
    let server = Config::new().start();
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    call.dialog.cseq += 1000;
    assert_eq!(call.request("OPTIONS", "", "").status(), 200);
    let current = call.dialog.cseq;
    let old = call
        .dialog
        .request_as(&call.peer, "INFO", current - 500, "", "");
    call.peer.send(old);
    let refused = call.peer.answer();
    assert_eq!(refused.status(), 500);
    assert_eq!(refused.header("CSeq"), format!("{} INFO", current - 500));
    // The call itself is not touched, and a gap before BYE ends it none the less.
    call.dialog.cseq += 7;
    call.hang_up();
}

#[test]
fn what_belongs_to_no_dialog_gets_481() {
    let server = Config::new().start();
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    let right = call.dialog.clone();
    let wrong: [fn(&mut Dialog); 3] = [
        |d| d.call_id = unique(),
        |d| d.to_tag = Some(unique()),
        |d| d.from_tag = unique(),
    ];
    for spoil in wrong {
        for method in ["BYE", "INVITE", "UPDATE", "INFO", "OPTIONS", "PRACK"] {
            call.dialog = right.clone();
            spoil(&mut call.dialog);
            let body = if method == "INVITE" {
                offer()
            } else {
                String::new()
            };
            let answer = call.request(method, "", &body);
            assert_eq!(answer.status(), 481, "{method}");
            if method == "INVITE" {
                let ack = call.dialog.of_invite(&call.peer, "ACK", answer.to_tag());
                call.peer.send(ack);
            }
        }
    }
    // Without a dialog at all.
    call.dialog = right.clone();
    call.dialog.to_tag = None;
    call.dialog.call_id = unique();
    for method in ["BYE", "UPDATE", "INFO", "PRACK"] {
        assert_eq!(call.request(method, "", "").status(), 481, "{method}");
    }
    call.dialog = right;
    call.hang_up();
}

#[test]
fn the_same_request_by_another_way_is_merged() {
    let server = Config::new().start();
    let mut one = Peer::udp(server.udp());
    let mut other = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&one, "500");
    let invite = dialog.request(&one, "INVITE", "", &offer());
    one.send(invite);
    let ok = one.answer();
    assert_eq!(ok.status(), 200);
    // A proxy has forked it: same From tag, Call-ID and CSeq, another branch.
    let copy = dialog.with_branch(
        &other,
        "INVITE",
        1,
        &format!("z9hG4bK{}", unique()),
        "",
        &offer(),
    );
    other.send(copy);
    assert_eq!(other.answer().status(), 482);
    dialog.answered(&ok);
    let ack = dialog.request(&one, "ACK", "", "");
    one.send(ack);
    server.wait_log("answered");
}

#[test]
fn each_answer_but_100_has_a_to_tag_and_the_same_one() {
    let server = Config::new().start();
    let mut peer = Peer::udp(server.udp());
    for (user, method, body, status) in [
        ("999", "INVITE", offer(), 404),
        ("500", "OPTIONS", String::new(), 200),
    ] {
        let mut dialog = Dialog::new(&peer, user);
        let request = dialog.request(&peer, method, "", &body);
        peer.send(&request);
        let first = peer.answer();
        assert_eq!(first.status(), status);
        let tag = first.to_tag().unwrap().to_owned();
        peer.send(&request);
        assert_eq!(peer.answer().to_tag(), Some(&*tag));
        if method == "INVITE" {
            let ack = dialog.of_invite(&peer, "ACK", Some(&tag));
            peer.send(ack);
        }
        while peer.recv_for(sip::QUIET).is_some() {}
    }
}

#[test]
fn prack_is_awaited_and_answered() {
    let server = Config::new().set("sip", "t1_ms", 100).start();
    let mut peer = Peer::udp(server.udp());
    let mut dialog = invite_with(&mut peer, "500", "Require: 100rel\r\n");
    let ringing = peer.answer();
    assert_eq!(
        (ringing.status(), ringing.header("Require")),
        (180, "100rel")
    );
    let rseq: u32 = ringing.header("RSeq").parse().unwrap();
    // Until the PRACK it is resent.
    assert_eq!(peer.answer().header("RSeq"), rseq.to_string());
    dialog.answered(&ringing);
    // One for another number is no PRACK of ours.
    let wrong = dialog.request(
        &peer,
        "PRACK",
        &format!("RAck: {} 1 INVITE\r\n", rseq + 1),
        "",
    );
    peer.send(wrong);
    assert_eq!(peer.await_that(|m| m.method() == "PRACK").status(), 481);
    let right = dialog.request(&peer, "PRACK", &format!("RAck: {rseq} 1 INVITE\r\n"), "");
    peer.send(right);
    assert_eq!(peer.await_that(|m| m.method() == "PRACK").status(), 200);
    let ok = peer.await_that(|m| m.method() == "INVITE" && m.status() >= 200);
    assert_eq!(ok.status(), 200);
    dialog.cseq = 1;
    let ack = dialog.request(&peer, "ACK", "", "");
    peer.send(ack);
    server.wait_log("answered");
    dialog.cseq = 3;
    let mut call = Call { peer, dialog, ok };
    call.hang_up();
}

#[test]
fn without_a_prack_the_invite_is_refused() {
    let server = Config::new().set("sip", "t1_ms", 20).start();
    let mut peer = Peer::udp(server.udp());
    invite_with(&mut peer, "500", "Require: 100rel\r\n");
    let refused = peer.await_that(|m| m.status() >= 200);
    assert_eq!(refused.status(), 504);
}

#[test]
fn the_bye_of_the_server_takes_the_recorded_route() {
    let server = Config::new()
        .route("user = \"7\"\napp = \"play\"\ntone_hz = 500")
        .start();
    for transport in ["udp", "tcp"] {
        // Two proxies: requests come to the nearer one, which is this socket; a strict router
        // (no `lr`) farther off stays in the Route.
        let address = server.address(transport, false);
        let peer = Peer::over(transport, address);
        let near = format!("<sip:{};lr;transport={transport}>", peer.local);
        let far = "<sip:far.invalid;lr>";
        let headers = format!("Record-Route: {near}, {far}\r\n");
        let mut call = Call::establish_with(peer, "7", &headers, &offer());
        let echoed: Vec<_> = call.ok.all("Record-Route").collect();
        assert_eq!(echoed.join(", "), format!("{near}, {far}"));
        let bye = call.serve("BYE");
        let routes: Vec<_> = bye.all("Route").collect();
        assert_eq!(routes.join(", "), format!("{near}, {far}"));
        let contact = format!("sip:test@{};transport={transport}", call.peer.local);
        assert_eq!(bye.start, format!("BYE {contact} SIP/2.0"));
    }
}

#[test]
fn a_strict_router_gets_its_own_uri() {
    let server = Config::new()
        .route("user = \"7\"\napp = \"play\"\ntone_hz = 500")
        .start();
    let peer = Peer::udp(server.udp());
    let strict = format!("sip:{}", peer.local);
    let headers = format!("Record-Route: <{strict}>\r\n");
    let mut call = Call::establish_with(peer, "7", &headers, &offer());
    let bye = call.serve("BYE");
    // RFC 3261 §12.2.1.1: the strict router's URI is the Request-URI, ours is the last Route.
    assert_eq!(bye.start, format!("BYE {strict} SIP/2.0"));
    let contact = format!("<sip:test@{};transport=udp>", call.peer.local);
    assert_eq!(bye.header("Route"), contact);
}

#[test]
fn requests_of_the_dialog_come_to_the_contact() {
    let server = Config::new()
        .route("user = \"7\"\napp = \"play\"\ntone_hz = 500")
        .start();
    let mut contact = Peer::udp(server.udp());
    let mut peer = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&peer, "7");
    let invite = dialog.request(&peer, "INVITE", "", &offer());
    // Its Via is right (no NAT), its Contact is another socket.
    let (old, new) = (peer.local.to_string(), contact.local.to_string());
    let moved = invite.replace(
        &format!("Contact: <sip:test@{old}"),
        &format!("Contact: <sip:test@{new}"),
    );
    assert_ne!(moved, invite);
    peer.send(moved);
    let ok = peer.answer();
    dialog.answered(&ok);
    let ack = dialog.request(&peer, "ACK", "", "");
    peer.send(ack);
    let bye: Message = contact.await_that(|m| m.start.starts_with("BYE "));
    contact.send(response(&bye, "200 OK"));
    server.wait_log("ended");
}
