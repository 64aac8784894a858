//! What is answered without a call.

use super::*;

fn answer(edits: &[(&str, &str)]) -> (Bench, Option<Response>) {
    let mut text = INVITE.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    let mut bench = Bench::new(Settings::default());
    bench.receive(&text);
    let mut responses = bench.responses();
    assert!(responses.len() <= 1);
    let response = responses.pop();
    (bench, response)
}

/// Edits, status, phrase, a header that the answer has.
type Case = (
    &'static [(&'static str, &'static str)],
    u16,
    &'static str,
    Option<(Name, &'static str)>,
);

const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, UPDATE, INFO, PRACK";

const CASES: &[Case] = &[
    (
        &[("From: <sip:alice@h>;tag=f1\r\n", "")],
        400,
        "Missing From header",
        None,
    ),
    (
        &[("Call-ID: c1\r\n", "")],
        400,
        "Missing Call-ID header",
        None,
    ),
    (
        &[("1 INVITE", "1 BYE")],
        400,
        "Bad CSeq header: method does not match",
        None,
    ),
    (
        &[("SIP/2.0\r\nVia", "SIP/7.0\r\nVia")],
        505,
        "Version Not Supported",
        None,
    ),
    (
        &[("sip:bob@192.0.2.1 ", "tel:+1 ")],
        416,
        "Unsupported URI Scheme",
        None,
    ),
    (
        &[("INVITE", "REFER")],
        405,
        "Method Not Allowed",
        Some((Name::Allow, ALLOW)),
    ),
    (
        &[("INVITE", "SING")],
        501,
        "Not Implemented",
        Some((Name::Allow, ALLOW)),
    ),
    (
        &[(
            "Max-Forwards",
            "Require: 100rel, foo, Timer, bar\r\nMax-Forwards",
        )],
        420,
        "Bad Extension",
        Some((Name::Unsupported, "foo, bar")),
    ),
    (
        &[("70\r\n\r\n", "70\r\nContent-Type: text/plain\r\n\r\nhi")],
        415,
        "Unsupported Media Type",
        Some((
            Name::Accept,
            "application/sdp, application/dtmf-relay, application/dtmf",
        )),
    ),
    (
        &[(
            "70\r\n\r\n",
            "70\r\nContent-Type: application/sdp\r\nContent-Encoding: gzip\r\n\r\nhi",
        )],
        415,
        "Unsupported Media Type",
        Some((Name::AcceptEncoding, "identity")),
    ),
    (
        &[("70\r\n\r\n", "70\r\n\r\nhi")],
        400,
        "Missing Content-Type header",
        None,
    ),
    (
        &[("Max-", "Accept: text/x\r\nMax-")],
        406,
        "Not Acceptable",
        None,
    ),
    (
        &[("INVITE", "CANCEL")],
        481,
        "Call/Transaction Does Not Exist",
        None,
    ),
];

#[test]
fn each_gets_its_answer() {
    for (edits, status, phrase, header) in CASES {
        let (mut bench, response) = answer(edits);
        let response = response.unwrap_or_else(|| panic!("no answer: {edits:?}"));
        assert_eq!(
            (response.status, response.reason.as_str()),
            (*status, *phrase),
            "{edits:?}"
        );
        if let Some((name, value)) = header {
            assert_eq!(response.headers.get(name), Some(*value));
        }
        assert!(response.to_tag().is_some(), "{edits:?}");
        assert_eq!(response.headers.get(&Name::Server), Some("antiphon"));
        assert_eq!(bench.events(), [], "{edits:?}");
        assert!(
            bench.endpoint.table.is_empty(),
            "nothing is held: {edits:?}"
        );
    }
}

#[test]
fn what_passes() {
    for edits in [
        &[("70\r\n\r\n", "70\r\nc: Application/SDP;a=b\r\n\r\nv=0")][..],
        &[("Max-", "Accept: text/x, application/*\r\nMax-")],
        &[("Max-", "Require: timer\r\nProxy-Require: foo\r\nMax-")],
        &[(
            "70\r\n\r\n",
            "70\r\nContent-Type: text/x\r\nContent-Disposition: x;handling=optional\r\n\r\nhi",
        )],
        &[
            ("INVITE", "BYE"),
            ("70\r\n\r\n", "70\r\nc: text/x\r\n\r\nhi"),
        ],
        &[("Max-Forwards: 70", "Max-Forwards: 0")],
        &[("sip:bob@192.0.2.1", "sips:bob@192.0.2.1")],
    ] {
        let (mut bench, response) = answer(edits);
        assert_eq!(response, None, "{edits:?}");
        bench.request();
    }
}

#[test]
fn nobody_answers_these() {
    for edits in [
        &[("INVITE", "ACK")][..],
        &[("INVITE", "ACK"), ("Call-ID: c1\r\n", "")],
        &[("Via: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKa1\r\n", "")],
        &[("INVITE sip:bob@192.0.2.1 SIP/2.0", "SIP/2.0 200 OK")],
        &[("INVITE sip:bob@192.0.2.1 SIP/2.0", "hello")],
    ] {
        let (mut bench, response) = answer(edits);
        assert_eq!(response, None, "{edits:?}");
        assert_eq!(bench.events(), [], "{edits:?}");
    }
}

#[test]
fn a_repetition_gets_the_same_answer() {
    let mut bench = Bench::new(Settings::default());
    let text = INVITE.replace("INVITE", "SING");
    bench.receive(&text);
    bench.receive(&text);
    let responses = bench.responses();
    assert_eq!(responses[0], responses[1]);
}

#[test]
fn a_merged_request_is_482_and_its_ack_disturbs_nobody() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    let (id, request) = bench.request();
    let other = INVITE.replace("z9hG4bKa1", "z9hG4bKb2");
    bench.receive(&other);
    let refused = bench.responses().remove(0);
    assert_eq!(refused.status, 482);
    bench.respond(id, &request, 200);
    let tag = refused.to_tag().unwrap();
    bench.receive(&follow_up("ACK", "z9hG4bKb2", &format!(";tag={tag}")));
    assert_eq!(bench.events(), []);
    // Within a dialog it is another matter: the dialog looks at CSeq.
    bench.receive(&other.replace("<sip:bob@h>", "<sip:bob@h>;tag=x"));
    bench.request();
}

/// A proxy that was refused may try another user, which is here too.
#[test]
fn a_refused_call_may_be_tried_here_again() {
    for acknowledged in [true, false] {
        let mut bench = Bench::new(Settings::default());
        bench.receive(INVITE);
        let (id, request) = bench.request();
        let elsewhere = |branch: &str| {
            let other = INVITE.replace("z9hG4bKa1", branch);
            other.replace("INVITE sip:bob@", "INVITE sip:voicemail@")
        };
        bench.receive(&elsewhere("z9hG4bKb2"));
        assert_eq!(bench.statuses(), [482], "it is being asked still");
        bench.respond(id, &request, 486);
        assert_eq!(bench.statuses(), [486]);
        if acknowledged {
            bench.receive(&follow_up("ACK", "z9hG4bKa1", ""));
        }
        bench.receive(&elsewhere("z9hG4bKc3"));
        let (second, request) = bench.request();
        assert!(request.uri.starts_with("sip:voicemail@"));
        bench.respond(second, &request, 200);
        assert_eq!(bench.statuses(), [200]);
        bench.receive(&elsewhere("z9hG4bKd4"));
        assert_eq!(bench.statuses(), [482], "it is answered");
        // The answer's own ACK finds it, whatever was refused before.
        bench.receive(&follow_up("ACK", "z9hG4bKe5", ""));
        assert!(
            matches!(&bench.events()[..], [Output::Ack { transaction, .. }]
                if *transaction == second)
        );
        bench.receive(&follow_up("ACK", "z9hG4bKa1", ""));
        bench.pass(ms(40_000));
        assert!(bench.endpoint.table.is_empty());
    }
}

#[test]
fn a_source_that_calls_too_fast_is_503_and_others_are_not() {
    let mut settings = Settings::default();
    settings.limits.calls_per_second_per_source = 5;
    let mut bench = Bench::new(settings);
    let invite = |n: usize| {
        INVITE
            .replace("z9hG4bKa1", &format!("z9hG4bK{n}"))
            .replace("Call-ID: c1", &format!("Call-ID: {n}"))
    };
    for n in 0..8 {
        bench.receive(&invite(n));
    }
    let refused = bench.responses();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|r| r.status == 503));
    assert_eq!(refused[0].headers.get(&Name::RetryAfter), Some("1"));
    assert_eq!(bench.events().len(), 5);
    // Within a dialog, and other methods, go on.
    bench.receive(&invite(9).replace("<sip:bob@h>", "<sip:bob@h>;tag=x"));
    bench.receive(&invite(10).replace("INVITE", "OPTIONS"));
    bench.flow.remote.set_ip("192.0.2.10".parse().unwrap());
    bench.receive(&invite(11));
    assert_eq!(bench.events().len(), 3);
    bench.flow = flow(Transport::Udp);
    bench.now += ms(200);
    bench.receive(&invite(12));
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn too_many_transactions_are_503_and_calls_can_still_end() {
    let mut settings = Settings::default();
    settings.limits.transactions = 8;
    let mut bench = Bench::new(settings);
    let options = |n: usize, to: &str| {
        follow_up("OPTIONS", &format!("z9hG4bK{n}"), to).replace("c1", &format!("c{n}"))
    };
    for n in 0..10 {
        bench.receive(&options(n, ""));
    }
    let refused = bench.responses();
    assert_eq!(refused.len(), 4, "one source has three quarters");
    assert_eq!(refused[0].status, 503);
    assert!(refused[0].headers.contains(&Name::RetryAfter));
    bench.flow.remote.set_ip("192.0.2.10".parse().unwrap());
    for n in 10..14 {
        bench.receive(&options(n, ""));
    }
    assert_eq!(bench.statuses().len(), 2, "another has the rest");
    for n in 20..30 {
        bench.receive(&options(n, ";tag=x"));
    }
    assert_eq!(bench.statuses().len(), 8, "two fit into the reserve");
    let bye = Request::new(Method::Bye, "sip:a@h");
    assert_eq!(
        bench.endpoint.request(bye, bench.flow, bench.now),
        Err(Overload)
    );
    // Nobody answers them: they go when their clients have given up.
    bench.pass(ms(32_000));
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn one_source_does_not_take_the_room_of_others_dialogs() {
    let mut settings = Settings::default();
    settings.limits.transactions = 8;
    let mut bench = Bench::new(settings);
    let options = |n: usize| {
        follow_up("OPTIONS", &format!("z9hG4bK{n}"), ";tag=x").replace("c1", &format!("c{n}"))
    };
    for n in 0..20 {
        bench.receive(&options(n));
    }
    assert_eq!(bench.statuses(), [503; 12]);
    bench.flow.remote.set_ip("192.0.2.10".parse().unwrap());
    for n in 20..25 {
        bench.receive(&options(n));
    }
    assert_eq!(
        bench.statuses(),
        [503; 3],
        "the quarter above is left to others"
    );
}

#[test]
fn a_large_request_counts_more() {
    let mut settings = Settings::default();
    settings.limits.transactions = 8;
    let mut bench = Bench::new(settings);
    let large = INVITE.replace("c1", &"c".repeat(40_000));
    bench.receive(&large);
    assert_eq!(bench.statuses(), [503]);
    bench.receive(INVITE);
    bench.request();
}
