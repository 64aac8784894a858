//! The server side of calls.

use super::*;
use crate::sip::method::Method;

#[test]
fn one_answer_within_200_ms_and_no_100() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    let (id, request) = bench.request();
    bench.pass(ms(199));
    bench.respond(id, &request, 180);
    bench.pass(ms(5000));
    assert_eq!(bench.statuses(), [180]);
}

#[test]
fn an_unanswered_invite_is_100_after_200_ms_or_when_repeated() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    bench.pass(ms(199));
    assert!(bench.statuses().is_empty());
    bench.pass(ms(1));
    let trying = bench.responses().remove(0);
    assert_eq!((trying.status, trying.to_tag()), (100, None));
    bench.receive(INVITE);
    assert_eq!(bench.statuses(), [100]);
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    bench.receive(INVITE);
    assert_eq!(bench.statuses(), [100]);
    bench.request();
}

#[test]
fn a_2xx_is_resent_until_its_ack_on_any_transport() {
    for mut bench in [Bench::new(Settings::default()), Bench::tcp()] {
        bench.receive(INVITE);
        let (id, request) = bench.request();
        bench.respond(id, &request, 200);
        bench.pass(ms(3500));
        let sent = bench.responses();
        assert_eq!(sent.len(), 4);
        assert!(sent.iter().all(|r| *r == sent[0]), "the same 200");
        bench.receive(INVITE);
        assert_eq!(bench.responses(), [sent[0].clone()]);
        let tag = format!(";tag={}", sent[0].to_tag().unwrap());
        bench.receive(&follow_up("ACK", "z9hG4bKack", ";tag=wrong"));
        assert_eq!(bench.events(), [], "an ACK of another dialog");
        for _ in 0..2 {
            bench.receive(&follow_up("ACK", "z9hG4bKack", &tag));
        }
        assert!(
            matches!(&bench.events()[..], [Output::Ack { transaction, request }]
                if *transaction == id && request.method == Method::Ack)
        );
        bench.pass(ms(20_000));
        assert!(bench.statuses().is_empty());
        bench.pass(ms(20_000));
        assert!(bench.endpoint.table.is_empty());
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn a_2xx_without_ack_times_out_after_64_t1() {
    let mut bench = Bench::tcp();
    bench.receive(INVITE);
    let (id, request) = bench.request();
    bench.respond(id, &request, 200);
    bench.pass(ms(31_999));
    assert_eq!(bench.events(), []);
    bench.pass(ms(1));
    assert_eq!(bench.events(), [Output::AckTimeout { transaction: id }]);
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn the_ack_of_a_refusal_is_absorbed() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    let (id, request) = bench.request();
    bench.respond(id, &request, 486);
    bench.pass(ms(500));
    let sent = bench.responses();
    assert_eq!(sent.len(), 2);
    assert!(sent[0].to_tag().is_some());
    let tag = format!(";tag={}", sent[0].to_tag().unwrap());
    bench.receive(&follow_up("ACK", "z9hG4bKa1", &tag));
    bench.pass(ms(4999));
    bench.receive(INVITE);
    assert!(bench.statuses().is_empty(), "confirmed");
    bench.pass(ms(1));
    assert!(bench.endpoint.table.is_empty());
    assert_eq!(bench.events(), []);
}

#[test]
fn cancel_before_the_final_response() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    let (id, request) = bench.request();
    bench.respond(id, &request, 180);
    let tag = bench.responses()[0].to_tag();
    let cancel = follow_up("CANCEL", "z9hG4bKa1", "");
    for _ in 0..2 {
        bench.receive(&cancel);
    }
    let answers = bench.responses();
    assert!(answers.iter().all(|r| r.status == 200 && r.to_tag() == tag));
    assert_eq!(answers.len(), 2);
    assert!(
        matches!(&bench.events()[..], [Output::Cancelled { transaction, request }]
            if *transaction == id && request.method == Method::Cancel)
    );
    bench.respond(id, &request, 487);
    assert_eq!(bench.responses()[0].to_tag(), tag, "one tag for all");
}

#[test]
fn cancel_after_the_final_response_changes_nothing() {
    for status in [200, 486] {
        let mut bench = Bench::new(Settings::default());
        bench.receive(INVITE);
        let (id, request) = bench.request();
        bench.respond(id, &request, status);
        assert_eq!(bench.statuses(), [status]);
        bench.receive(&follow_up("CANCEL", "z9hG4bKa1", ""));
        assert_eq!(bench.statuses(), [200]);
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn reliable_provisionals_go_one_by_one() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    let (id, request) = bench.request();
    for rseq in [10, 11] {
        let mut response = Response::to(&request, 183);
        response.headers.push(Name::RSeq, rseq.to_string());
        response.headers.push(Name::Require, "100rel");
        bench.endpoint.respond_reliable(id, response, bench.now);
    }
    bench.pass(ms(500));
    let sent = bench.responses();
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|r| r.headers.rseq() == Ok(Some(10))));
    assert!(!bench.endpoint.provisional_acknowledged(id, 11));
    assert!(bench.endpoint.provisional_acknowledged(id, 10));
    bench.drain();
    assert_eq!(bench.responses()[0].headers.rseq(), Ok(Some(11)));
    bench.pass(ms(32_000));
    assert_eq!(
        bench.events(),
        [Output::ProvisionalTimeout { transaction: id }]
    );
    bench.respond(id, &request, 504);
    bench.receive(&follow_up("ACK", "z9hG4bKa1", ""));
    bench.pass(ms(5000));
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn non_invite_requests_are_answered_again_for_64_t1() {
    let mut bench = Bench::new(Settings::default());
    let bye = follow_up("BYE", "z9hG4bKbye", ";tag=x");
    bench.receive(&bye);
    let (id, request) = bench.request();
    bench.receive(&bye);
    assert!(bench.statuses().is_empty());
    bench.respond(id, &request, 200);
    bench.respond(id, &request, 500);
    bench.pass(ms(31_999));
    bench.receive(&bye);
    assert_eq!(bench.statuses(), [200, 200]);
    bench.pass(ms(1));
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn received_and_rport_say_where_it_came_from() {
    // Via's sent-by and parameters, source, Via of the answer, where the answer goes.
    for (sent_by, source, params, to) in [
        ("192.0.2.9:5070", "192.0.2.9:5070", "", "192.0.2.9:5070"),
        ("192.0.2.9", "192.0.2.9:9", "", "192.0.2.9:5060"),
        (
            "192.0.2.9;received=1.2.3.4",
            "192.0.2.9:9",
            "",
            "192.0.2.9:5060",
        ),
        (
            "h:5071",
            "192.0.2.9:9",
            ";received=192.0.2.9",
            "192.0.2.9:5071",
        ),
        (
            "10.0.0.1:5071;rport;received=1.2.3.4",
            "192.0.2.9:9",
            ";rport=9;received=192.0.2.9",
            "192.0.2.9:9",
        ),
        (
            "192.0.2.9:5071;maddr=5.6.7.8",
            "192.0.2.9:9",
            ";maddr=5.6.7.8",
            "192.0.2.9:5071",
        ),
    ] {
        let mut bench = Bench::new(Settings::default());
        bench.flow.remote = source.parse().unwrap();
        bench.receive(&INVITE.replace("192.0.2.9:5070;branch", &format!("{sent_by};branch")));
        let (id, request) = bench.request();
        bench.respond(id, &request, 180);
        let (flow, message) = bench.sent.remove(0);
        assert_eq!(flow.remote, to.parse::<SocketAddr>().unwrap(), "{sent_by}");
        let via = message.headers().get(&Name::Via).unwrap();
        for param in params.split(';') {
            assert!(via.contains(param), "{via}");
        }
        assert_eq!(via.contains("received"), params.contains("received"));
        assert!(!via.contains("1.2.3.4"));
    }
}

/// The connection of the request that has come ends, and it is answered; which way that goes.
fn answer_behind_a_lost_connection(bench: &mut Bench) -> Flow {
    let (id, request) = bench.request();
    let closed = Input::ConnectionClosed(ConnectionId(1));
    bench.endpoint.handle(closed, bench.now);
    bench.respond(id, &request, 200);
    bench.sent.remove(0).0
}

#[test]
fn a_lost_connection_leaves_the_answer_another_way() {
    let mut bench = Bench::tcp();
    bench.flow.remote.set_port(40_000);
    bench.receive(INVITE);
    let flow = answer_behind_a_lost_connection(&mut bench);
    assert_eq!(flow.connection, None);
    assert_eq!(flow.remote, "192.0.2.9:5070".parse().unwrap());
    bench.pass(ms(32_000));
    assert!(bench.endpoint.table.is_empty());
}

/// RFC 3261 §18.2.2: the default port of its transport.
#[test]
fn a_lost_connection_of_who_names_no_port_leaves_the_answer_to_the_default_one() {
    for (transport, port) in [(Transport::Tcp, 5060), (Transport::Tls, 5061)] {
        let mut bench = Bench::new(Settings::default());
        bench.flow = flow(transport);
        bench.flow.remote.set_port(40_000);
        let via = format!("SIP/2.0/{transport} proxy.example;");
        bench.receive(&INVITE.replace("SIP/2.0/UDP 192.0.2.9:5070;", &via));
        let flow = answer_behind_a_lost_connection(&mut bench);
        assert_eq!((flow.transport, flow.connection), (transport, None));
        assert_eq!(flow.remote, SocketAddr::from(([192, 0, 2, 9], port)));
    }
}

#[test]
fn an_rfc_2543_client_is_served() {
    let old = |text: &str| text.replace(";branch=z9hG4bKa1", "");
    let mut bench = Bench::new(Settings::default());
    bench.receive(&old(INVITE));
    bench.receive(&old(INVITE));
    let (id, request) = bench.request();
    bench.respond(id, &request, 486);
    bench.statuses();
    bench.receive(&old(&follow_up("ACK", "z9hG4bKa1", ";tag=any")));
    bench.pass(ms(500));
    assert!(bench.statuses().is_empty(), "acknowledged");
    let mut bench = Bench::new(Settings::default());
    bench.receive(&old(INVITE));
    bench.request();
    bench.receive(&old(&follow_up("CANCEL", "z9hG4bKa1", "")));
    assert!(matches!(bench.events()[..], [Output::Cancelled { .. }]));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut bench = Bench::new(Settings::default());
        bench.receive(INVITE);
        let (id, request) = bench.request();
        bench.respond(id, &request, 180);
        bench.receive(&INVITE.replace("INVITE", "SING"));
        (bench.responses(), bench.endpoint.new_call_id())
    };
    assert_eq!(run(), run());
}

#[test]
fn an_abandoned_2xx_is_neither_resent_nor_missed() {
    let mut bench = Bench::new(Settings::default());
    bench.receive(INVITE);
    let (id, request) = bench.request();
    bench.respond(id, &request, 200);
    bench.endpoint.abandon(id);
    bench.pass(ms(60_000));
    assert_eq!(bench.statuses(), [200]);
    assert_eq!(bench.events(), []);
    assert!(bench.endpoint.table.is_empty());
}
