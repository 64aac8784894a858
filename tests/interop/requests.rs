//! What single requests are answered: refusals with their headers, OPTIONS, REGISTER, and the
//! spellings that a request may have.

use crate::support::server;
use crate::support::sip;

use std::net::SocketAddr;

use server::Config;
use sip::{Call, Dialog, Message, Peer, sdp};

fn offer() -> String {
    sdp(SocketAddr::from(([127, 0, 0, 1], 9)), "0", "")
}

/// Sends the request after `edit` and gives its final answer, with ACK where one is due.
fn ask(
    peer: &mut Peer,
    method: &str,
    headers: &str,
    body: &str,
    edit: impl Fn(String) -> String,
) -> Message {
    let mut dialog = Dialog::new(peer, "500");
    let request = dialog.request(peer, method, headers, body);
    peer.send(edit(request));
    let answer = peer.await_that(|m| m.status() >= 200);
    if method == "INVITE" && answer.status() >= 300 {
        let ack = dialog.of_invite(peer, "ACK", answer.to_tag());
        peer.send(ack);
    }
    answer
}

fn same(request: String) -> String {
    request
}

/// Each refusal, over both transports.
fn refusals(check: impl Fn(&mut Peer)) {
    let server = Config::new().start();
    check(&mut Peer::udp(server.udp()));
    check(&mut Peer::tcp(server.tcp()));
    assert!(
        !server.log().contains("answered"),
        "nothing of this is a call"
    );
}

#[test]
fn an_unknown_extension_is_named() {
    refusals(|peer| {
        let headers = "Require: 100rel, teleport\r\nRequire: timer, levitate\r\n";
        let answer = ask(peer, "INVITE", headers, &offer(), same);
        assert_eq!(answer.status(), 420);
        let named: Vec<_> = answer.all("Unsupported").collect();
        assert_eq!(named.join(", "), "teleport, levitate");
    });
}

#[test]
fn methods_that_are_not_served() {
    refusals(|peer| {
        for (method, status) in [
            ("SUBSCRIBE", 405),
            ("MESSAGE", 405),
            ("REFER", 405),
            ("JUGGLE", 501),
        ] {
            let answer = ask(peer, method, "", "", same);
            assert_eq!(answer.status(), status, "{method}");
            for served in [
                "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "INFO",
            ] {
                let allow = answer.header("Allow");
                assert!(
                    allow.split(", ").any(|m| m == served),
                    "{served} in {allow}"
                );
            }
        }
    });
}

#[test]
fn bodies_schemes_and_versions_that_are_not_understood() {
    refusals(|peer| {
        let kind = "Content-Type: application/isup\r\n";
        let answer = ask(peer, "INVITE", kind, "x", same);
        assert_eq!(answer.status(), 415);
        assert!(answer.header("Accept").contains("application/sdp"));
        let coded = "Content-Encoding: gzip\r\nContent-Type: application/sdp\r\n";
        let answer = ask(peer, "INVITE", coded, &offer(), same);
        assert_eq!(answer.status(), 415);
        assert_eq!(answer.header("Accept-Encoding"), "identity");
        for scheme in ["tel:500", "soap.beep://a/b"] {
            let answer = ask(peer, "INVITE", "", &offer(), |text| {
                let (_, rest) = text.split_once(" SIP/2.0").unwrap();
                format!("INVITE {scheme} SIP/2.0{rest}")
            });
            assert_eq!(answer.status(), 416, "{scheme}");
        }
        let answer = ask(peer, "OPTIONS", "", "", |text| {
            text.replacen(" SIP/2.0\r\n", " SIP/7.0\r\n", 1)
        });
        assert_eq!(answer.status(), 505);
    });
}

#[test]
fn nothing_in_common_is_488_with_the_reason() {
    refusals(|peer| {
        let here = SocketAddr::from(([127, 0, 0, 1], 9));
        for (body, warning) in [
            (sdp(here, "97", "a=rtpmap:97 iLBC/8000\r\n"), "305"),
            (offer().replace("m=audio", "m=video"), "304"),
            (offer().replace("RTP/AVP", "RTP/XAVP"), "302"),
            // Encrypted, and no key with it.
            (offer().replace("RTP/AVP", "RTP/SAVP"), "399"),
        ] {
            let answer = ask(peer, "INVITE", "", &body, same);
            assert_eq!(answer.status(), 488, "{body}");
            assert!(
                answer.header("Warning").starts_with(warning),
                "{}",
                answer.header("Warning")
            );
        }
    });
}

#[test]
fn malformed_requests_get_400_that_says_what() {
    refusals(|peer| {
        let cut = |header: &'static str| {
            move |text: String| -> String {
                let keep = |l: &&str| !l.starts_with(header);
                text.split_inclusive("\r\n").filter(keep).collect()
            }
        };
        for header in ["From", "To", "Call-ID", "CSeq"] {
            let answer = ask(peer, "OPTIONS", "", "", cut(header));
            assert_eq!(answer.status(), 400, "{header}");
            assert!(answer.start.contains(header), "{}", answer.start);
        }
        for (from, to, phrase) in [
            ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE", "CSeq"),
            ("CSeq: 1 OPTIONS", "CSeq: x OPTIONS", "CSeq"),
            ("Max-Forwards: 70", "Max-Forwards: lots", "Max-Forwards"),
            ("From: <", "From: \"open <", "From"),
        ] {
            let answer = ask(peer, "OPTIONS", "", "", |text| text.replacen(from, to, 1));
            assert_eq!(answer.status(), 400, "{to}");
            assert!(answer.start.contains(phrase), "{}", answer.start);
        }
        let answer = ask(peer, "INVITE", "", "this is no description", same);
        assert_eq!(answer.status(), 400);
        // After all that the path is as good as before.
        assert_eq!(ask(peer, "OPTIONS", "", "", same).status(), 200);
    });
}

#[test]
fn options_says_what_there_is() {
    let server = Config::new().set("sip", "user_agent", "\"tested\"").start();
    for transport in ["udp", "tcp"] {
        for v6 in [false, true] {
            let mut peer = Peer::over(transport, server.address(transport, v6));
            let answer = ask(&mut peer, "OPTIONS", "", "", same);
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.header("Accept"), "application/sdp");
            assert!(answer.header("Allow").contains("INVITE"));
            assert!(answer.header("Supported").contains("timer"));
            assert_eq!(answer.header("Server"), "tested");
            // RFC 3581: where we are seen.
            let via = answer.header("Via");
            assert!(
                via.contains(&format!("rport={}", peer.local.port())),
                "{via}"
            );
            assert!(
                via.contains(&format!("received={}", peer.local.ip())),
                "{via}"
            );
        }
    }
}

#[test]
fn register_keeps_lists_and_removes_bindings() {
    let server = Config::new().set("sip", "registrations", 3).start();
    let mut peer = Peer::udp(server.udp());
    let mut registration = Dialog::new(&peer, "alice");
    let mut register = |peer: &mut Peer, contact: &str, headers: &str| {
        let text = registration.request(peer, "REGISTER", headers, "");
        let line = text
            .split("\r\n")
            .find(|l| l.starts_with("Contact:"))
            .unwrap()
            .to_owned();
        peer.send(text.replace(&format!("{line}\r\n"), contact));
        peer.await_that(|m| m.status() >= 200)
    };
    let contacts = |m: &Message| m.all("Contact").collect::<Vec<_>>().join(", ");
    let ok = register(
        &mut peer,
        "Contact: <sip:alice@192.0.2.1>\r\n",
        "Expires: 100\r\n",
    );
    assert_eq!(ok.status(), 200);
    assert!(
        contacts(&ok).contains("<sip:alice@192.0.2.1>;expires="),
        "{}",
        contacts(&ok)
    );
    let ok = register(
        &mut peer,
        "Contact: <sip:alice@192.0.2.2>;expires=90\r\n",
        "",
    );
    assert!(contacts(&ok).contains("192.0.2.1") && contacts(&ok).contains("192.0.2.2"));
    // A query changes nothing.
    let ok = register(&mut peer, "", "");
    assert!(contacts(&ok).contains("192.0.2.1") && contacts(&ok).contains("192.0.2.2"));
    let ok = register(
        &mut peer,
        "Contact: <sip:alice@192.0.2.1>;expires=0\r\n",
        "",
    );
    assert!(!contacts(&ok).contains("192.0.2.1") && contacts(&ok).contains("192.0.2.2"));
    let ok = register(&mut peer, "Contact: *\r\n", "Expires: 0\r\n");
    assert_eq!((ok.status(), contacts(&ok)), (200, String::new()));
    let bad = register(&mut peer, "Contact: *\r\n", "Expires: 5\r\n");
    assert_eq!(bad.status(), 400);
    // Bounded: a fourth binding finds no room.
    let many =
        "Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>, <sip:a@192.0.2.3>, <sip:a@192.0.2.4>\r\n";
    assert!(register(&mut peer, many, "").status() >= 400);
}

#[test]
fn compact_folded_and_joined_headers_are_the_same_request() {
    let server = Config::new().start();
    for transport in ["udp", "tcp"] {
        let mut peer = Peer::over(transport, server.address(transport, false));
        let mut dialog = Dialog::new(&peer, "500");
        let more = "Record-Route: <sip:127.0.0.1:9;lr>,\r\n\t<sip:b.invalid;lr>\r\nSubject: a\r\n  long\r\n one\r\n";
        let text = dialog.request(&peer, "INVITE", more, &offer());
        let mut text = text;
        for (long, short) in [
            ("Via: SIP/2.0/", "v:SIP / 2.0\r\n /"),
            ("From: ", "f:"),
            ("To: ", "t\t:\t"),
            ("Call-ID:", "i :"),
            ("Contact:", "m:"),
            ("Content-Type:", "c:"),
            ("Content-Length:", "l:"),
            ("CSeq: 1 INVITE", "cSEQ:\r\n 1\r\n  INVITE"),
        ] {
            assert!(text.contains(long), "{long}");
            text = text.replacen(long, short, 1);
        }
        // A second Via on the same line, as a proxy may write it.
        text = text.replacen(
            ";rport\r\n",
            ";rport , SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKfar\r\n",
            1,
        );
        peer.send(&text);
        let ok = peer.answer();
        assert_eq!(ok.status(), 200, "{ok:#?}");
        assert_eq!(ok.header("Call-ID"), dialog.call_id);
        let vias: Vec<_> = ok.all("Via").collect();
        assert!(
            vias.join(", ")
                .ends_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKfar"),
            "{vias:?}"
        );
        let routes: Vec<_> = ok.all("Record-Route").collect();
        assert_eq!(
            routes.join(", "),
            "<sip:127.0.0.1:9;lr>, <sip:b.invalid;lr>"
        );
        dialog.answered(&ok);
        let ack = dialog.request(&peer, "ACK", "", "");
        peer.send(ack);
        let mut call = Call { peer, dialog, ok };
        call.hang_up();
    }
}

#[test]
fn a_udp_request_of_60_kb_is_answered() {
    let server = Config::new().start();
    let mut peer = Peer::udp(server.udp());
    // In its headers, of which each is of a sane length,
    let headers = format!("X-Filler: {}\r\n", "x".repeat(980)).repeat(60);
    assert_eq!(ask(&mut peer, "OPTIONS", &headers, "", same).status(), 200);
    // and in its body.
    let long = format!("a=filler:{}\r\n", "x".repeat(980)).repeat(60);
    let mut call = Call::establish(peer, "500", &(offer() + &long));
    call.hang_up();
}

#[test]
fn an_unknown_user_is_404_and_a_full_room_486() {
    let server = Config::new()
        .route("user = \"9.*\"\napp = \"conference\"\nmax_members = 1")
        .start();
    let mut peer = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&peer, "unknown");
    let invite = dialog.request(&peer, "INVITE", "", &offer());
    peer.send(invite);
    assert_eq!(peer.answer().status(), 404);
    let mut first = Call::establish(Peer::udp(server.udp()), "900", &offer());
    let mut second = Peer::udp(server.udp());
    let mut dialog = Dialog::new(&second, "900");
    let invite = dialog.request(&second, "INVITE", "", &offer());
    second.send(invite);
    assert_eq!(second.answer().status(), 486);
    first.hang_up();
}

#[test]
fn info_is_accepted_and_update_refreshes() {
    let server = Config::new().start();
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    let digit = "Content-Type: application/dtmf-relay\r\n";
    let answer = call.request("INFO", digit, "Signal=5\r\nDuration=160\r\n");
    assert_eq!(answer.status(), 200);
    let odd = call.request("INFO", "Content-Type: text/poetry\r\n", "roses");
    assert_eq!(odd.status(), 415);
    // Without an offer: a refresh. With one: an answer.
    assert_eq!(call.request("UPDATE", "", "").body, "");
    let answer = call.request(
        "UPDATE",
        "",
        &offer().replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\n"),
    );
    assert_eq!(answer.status(), 200);
    assert!(answer.body.contains("a=inactive"), "{}", answer.body);
    assert_eq!(answer.sdp_version(), call.ok.sdp_version() + 1);
    let refused = call.request("UPDATE", "", &offer().replace("AVP 0", "AVP 18"));
    assert_eq!(refused.status(), 488);
    assert_eq!(call.request("OPTIONS", "", "").status(), 200);
    call.hang_up();
}

#[test]
fn session_timers_are_agreed_or_refused_with_422() {
    let server = Config::new()
        .set("sip", "session_expires_seconds", 600)
        .set("sip", "min_se_seconds", 120)
        .start();
    let mut peer = Peer::udp(server.udp());
    let small = "Supported: timer\r\nSession-Expires: 90\r\n";
    let refused = ask(&mut peer, "INVITE", small, &offer(), same);
    assert_eq!((refused.status(), refused.header("Min-SE")), (422, "120"));
    let fine = "Supported: timer\r\nSession-Expires: 180;refresher=uac\r\n";
    let mut call = Call::establish_with(peer, "500", fine, &offer());
    assert_eq!(call.ok.header("Session-Expires"), "180;refresher=uac");
    assert_eq!(call.ok.header("Require"), "timer");
    // A refresh within the call: the same rule.
    let update = call.request("UPDATE", small, "");
    assert_eq!((update.status(), update.header("Min-SE")), (422, "120"));
    let update = call.request("UPDATE", fine, "");
    assert_eq!(update.status(), 200);
    assert_eq!(update.header("Session-Expires"), "180;refresher=uac");
    call.hang_up();
    // A peer that knows nothing of timers: ours, which we refresh ourselves.
    let mut call = Call::establish(Peer::udp(server.udp()), "500", &offer());
    assert_eq!(call.ok.header("Session-Expires"), "600;refresher=uas");
    call.hang_up();
}
