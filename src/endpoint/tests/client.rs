//! The client side.

use super::super::client::set_via_transport;
use super::*;
use crate::sip::method::Method;
use crate::sip::transport::{Advertised, HostId};

fn request(method: &Method) -> Request {
    let mut request = Request::new(method.clone(), "sip:alice@192.0.2.9:5070");
    for (name, value) in [
        (Name::Route, "<sip:proxy@h;lr>".to_owned()),
        (Name::From, "<sip:bob@h>;tag=l1".to_owned()),
        (Name::To, "<sip:alice@h>".to_owned()),
        (Name::CallId, "c2".to_owned()),
        (Name::CSeq, format!("3 {method}")),
    ] {
        request.headers.push(name, value);
    }
    request.body = b"v=0".to_vec();
    request
}

/// A bench that has sent a request, and the request as it went out.
fn started(method: &Method, mut bench: Bench) -> (Bench, ClientId, Request) {
    let id = bench
        .endpoint
        .request(request(method), bench.flow, bench.now)
        .unwrap();
    bench.drain();
    let sent = bench.requests().remove(0);
    (bench, id, sent)
}

fn udp() -> Bench {
    Bench::new(Settings::default())
}

fn answer(bench: &mut Bench, request: &Request, status: u16) {
    let mut response = Response::to(request, status);
    let to = format!("{};tag=r1", response.headers.get(&Name::To).unwrap());
    response.headers.set(Name::To, to);
    let text = String::from_utf8(response.to_bytes()).unwrap();
    bench.receive(&text);
}

fn statuses(bench: &mut Bench, id: ClientId) -> Vec<u16> {
    bench
        .events()
        .into_iter()
        .map(|event| match event {
            Output::Response {
                transaction,
                response,
            } if transaction == id => response.status,
            Output::Timeout { transaction } if transaction == id => 408,
            Output::TransportError { transaction } if transaction == id => 503,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn what_a_request_gets() {
    let settings = Settings {
        advertised: Advertised {
            others: vec!["203.0.113.5".parse().unwrap()],
            ..Advertised::default()
        },
        ..Settings::default()
    };
    let (_, _, sent) = started(&Method::Options, Bench::new(settings));
    let via = sent.headers.via().unwrap();
    assert_eq!(via.sent_by_host.to_string(), "203.0.113.5");
    assert_eq!(
        (via.transport.as_str(), via.sent_by_port),
        ("UDP", Some(5060))
    );
    assert!(via.branch().unwrap().starts_with("z9hG4bK"));
    assert_eq!(via.params.get("rport"), Some(None));
    assert_eq!(sent.headers.max_forwards(), Ok(Some(70)));
    assert_eq!(sent.headers.get(&Name::UserAgent), Some("antiphon"));
}

#[test]
fn a_refusal_is_acknowledged_each_time_and_told_once() {
    let (mut bench, id, sent) = started(&Method::Invite, udp());
    answer(&mut bench, &sent, 180);
    for _ in 0..3 {
        answer(&mut bench, &sent, 486);
    }
    assert_eq!(statuses(&mut bench, id), [180, 486]);
    let acks = bench.requests();
    assert_eq!(acks.len(), 3);
    let ack = &acks[0];
    assert_eq!((&ack.method, &ack.uri), (&Method::Ack, &sent.uri));
    for name in [Name::Via, Name::Route, Name::From, Name::CallId] {
        assert_eq!(ack.headers.get(&name), sent.headers.get(&name), "{name}");
    }
    assert_eq!(ack.headers.get(&Name::CSeq), Some("3 ACK"));
    assert_eq!(ack.to_tag().as_deref(), Some("r1"));
    assert!(ack.body.is_empty());
    bench.pass(ms(32_000));
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn every_2xx_reaches_the_call() {
    let (mut bench, id, sent) = started(&Method::Invite, udp());
    for _ in 0..3 {
        answer(&mut bench, &sent, 200);
    }
    assert_eq!(statuses(&mut bench, id), [200, 200, 200]);
    assert_eq!(bench.requests(), [], "the call acknowledges");
    let ack = request(&Method::Ack);
    bench.endpoint.send_ack(ack, bench.flow);
    bench.drain();
    let ack = bench.requests().remove(0);
    assert_ne!(
        ack.headers.via().unwrap().branch(),
        sent.headers.via().unwrap().branch()
    );
    bench.pass(ms(32_000));
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn cancel_waits_for_a_provisional() {
    let (mut bench, id, sent) = started(&Method::Invite, udp());
    bench.endpoint.cancel(id, bench.now);
    bench.drain();
    assert_eq!(bench.requests(), []);
    answer(&mut bench, &sent, 100);
    let cancel = bench.requests().remove(0);
    assert_eq!((&cancel.method, &cancel.uri), (&Method::Cancel, &sent.uri));
    for name in [Name::Via, Name::Route, Name::From, Name::To, Name::CallId] {
        assert_eq!(cancel.headers.get(&name), sent.headers.get(&name), "{name}");
    }
    assert_eq!(cancel.headers.get(&Name::CSeq), Some("3 CANCEL"));
    answer(&mut bench, &cancel, 200);
    answer(&mut bench, &sent, 487);
    assert_eq!(statuses(&mut bench, id), [100, 487]);
    bench.pass(ms(32_000));
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn a_cancelled_invite_does_not_wait_for_ever() {
    let (mut bench, id, sent) = started(&Method::Invite, udp());
    answer(&mut bench, &sent, 180);
    bench.pass(ms(600_000));
    bench.endpoint.cancel(id, bench.now);
    bench.pass(ms(32_000));
    assert_eq!(
        statuses(&mut bench, id),
        [180, 408],
        "the CANCEL's own timeout is silent"
    );
    assert!(bench.endpoint.table.is_empty());
}

#[test]
fn silence_is_a_timeout() {
    for method in [Method::Invite, Method::Bye] {
        for bench in [udp(), Bench::tcp()] {
            let (mut bench, id, _) = started(&method, bench);
            bench.pass(ms(31_999));
            assert!(statuses(&mut bench, id).is_empty());
            bench.pass(ms(1));
            assert_eq!(statuses(&mut bench, id), [408]);
            assert!(bench.endpoint.table.is_empty());
        }
    }
}

#[test]
fn network_failures_are_told_once_and_only_to_whom_they_hit() {
    for method in [Method::Invite, Method::Bye] {
        let (mut bench, id, _) = started(&method, Bench::tcp());
        let (now, flow) = (bench.now, bench.flow);
        let endpoint = &mut bench.endpoint;
        endpoint.handle(Input::ConnectionClosed(ConnectionId(2)), now);
        let mut other = flow;
        other.connection = Some(ConnectionId(2));
        endpoint.handle(Input::TransportFailed(other), now);
        other = flow;
        other.remote.set_port(1);
        endpoint.handle(Input::TransportFailed(other), now);
        assert_eq!(endpoint.poll_output(), None);
        endpoint.handle(Input::ConnectionClosed(ConnectionId(1)), now);
        endpoint.handle(Input::TransportFailed(flow), now);
        bench.drain();
        assert_eq!(statuses(&mut bench, id), [503]);
        assert!(bench.endpoint.table.is_empty());
    }
}

/// A name that a certificate does not have fails nobody who calls another name at the same address.
#[test]
fn a_host_that_cannot_prove_itself_fails_its_own_requests_alone() {
    let mut bench = Bench::tcp();
    bench.flow = Flow {
        transport: Transport::Tls,
        connection: None,
        host: Some(HostId(1)),
        ..bench.flow
    };
    let (mut bench, id, _) = started(&Method::Invite, bench);
    let flow = bench.flow;
    for host in [None, Some(HostId(2))] {
        let other = Flow { host, ..flow };
        bench
            .endpoint
            .handle(Input::TransportFailed(other), bench.now);
        bench.drain();
        assert_eq!(statuses(&mut bench, id), [0; 0]);
    }
    bench
        .endpoint
        .handle(Input::TransportFailed(flow), bench.now);
    bench.drain();
    assert_eq!(statuses(&mut bench, id), [503]);
}

#[test]
fn a_connection_is_learnt_from_the_response() {
    let mut bench = Bench::tcp();
    bench.flow.connection = None;
    let (mut bench, id, sent) = started(&Method::Invite, bench);
    bench.flow.connection = Some(ConnectionId(4));
    answer(&mut bench, &sent, 180);
    bench
        .endpoint
        .handle(Input::ConnectionClosed(ConnectionId(4)), bench.now);
    bench.drain();
    assert_eq!(statuses(&mut bench, id), [180], "the INVITE is there");
    // A CANCEL goes by another connection, and so does what comes of it.
    bench.sent.clear();
    bench.endpoint.cancel(id, bench.now);
    bench.drain();
    let (flow, _) = bench.sent[0];
    assert_eq!(bench.requests().remove(0).method, Method::Cancel);
    assert_eq!(flow.connection, None);
    bench.flow.connection = Some(ConnectionId(5));
    answer(&mut bench, &sent, 487);
    assert_eq!(statuses(&mut bench, id), [487]);
    bench.pass(ms(64_000));
    assert!(bench.endpoint.table.is_empty());
}

/// RFC 3261 §17.1.4: the end of the connection that a request went on, and of no other, is its own.
#[test]
fn a_connection_that_ends_without_an_answer_fails_what_went_on_it() {
    for method in [Method::Invite, Method::Options] {
        // What the flow names may have been replaced by another meanwhile.
        for named in [None, Some(ConnectionId(3))] {
            let mut bench = Bench::tcp();
            bench.flow.connection = named;
            let (bench, first, _) = started(&method, bench);
            let (mut bench, second, _) = started(&method, bench);
            bench.endpoint.sent(first, ConnectionId(7));
            bench.endpoint.sent(second, ConnectionId(8));
            for connection in [3, 7].map(ConnectionId) {
                let closed = Input::ConnectionClosed(connection);
                bench.endpoint.handle(closed, bench.now);
            }
            bench.drain();
            assert_eq!(statuses(&mut bench, first), [503]);
            // One that could not be opened is named as well.
            for (connection, failed) in [(9, &[][..]), (8, &[503][..])] {
                let mut path = bench.flow;
                path.connection = Some(ConnectionId(connection));
                let input = Input::TransportFailed(path);
                bench.endpoint.handle(input, bench.now);
                bench.drain();
                assert_eq!(statuses(&mut bench, second), failed);
            }
            assert!(bench.endpoint.table.is_empty());
        }
    }
}

#[test]
fn a_long_request_goes_over_udp_where_a_connection_ends_without_an_answer() {
    let mut bench = udp();
    let (id, flow, _) = send_long(&mut bench, &Method::Invite, 1400);
    assert_eq!(flow.transport, Transport::Tcp);
    bench.endpoint.sent(id, ConnectionId(7));
    let closed = Input::ConnectionClosed(ConnectionId(7));
    bench.endpoint.handle(closed, bench.now);
    bench.drain();
    let (flow, _) = bench.sent[0];
    assert_eq!((flow.transport, flow.connection), (Transport::Udp, None));
    assert_eq!(via(&bench.requests().remove(0)), "UDP");
    assert_eq!(statuses(&mut bench, id), [0; 0]);
}

#[test]
fn foreign_responses_are_dropped() {
    let (mut bench, _, sent) = started(&Method::Invite, udp());
    let mut foreign = sent.clone();
    foreign
        .headers
        .set(Name::Via, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother");
    answer(&mut bench, &foreign, 200);
    let mut forwarded = sent.clone();
    forwarded
        .headers
        .push(Name::Via, "SIP/2.0/UDP h;branch=z9hG4bKx");
    answer(&mut bench, &forwarded, 200);
    let mut bye = sent.clone();
    bye.headers.set(Name::CSeq, "3 BYE");
    answer(&mut bench, &bye, 200);
    assert_eq!(bench.events(), []);
}

/// Sends a request of so many bytes in all; the flow and the request as it went out.
fn send_long(bench: &mut Bench, method: &Method, length: usize) -> (ClientId, Flow, Request) {
    let (_, _, bare) = started(method, udp());
    let overhead = bare.to_bytes().len();
    let mut long = request(method);
    let call_id = "c".repeat("c2".len() + length - overhead);
    long.headers.set(Name::CallId, call_id);
    let id = bench.endpoint.request(long, bench.flow, bench.now).unwrap();
    bench.drain();
    let (flow, message) = bench.sent.remove(0);
    assert!(bench.sent.is_empty());
    match message {
        Message::Request(request) => (id, flow, request),
        Message::Response(response) => panic!("{response:?}"),
    }
}

fn via(request: &Request) -> String {
    request.headers.via().unwrap().transport
}

#[test]
fn a_silent_place_is_given_up_soon_also_where_tcp_is_refused_first() {
    let mut bench = udp();
    let (id, flow, _) = send_long(&mut bench, &Method::Invite, 1301);
    bench.endpoint.hurry(id, bench.now);
    bench.pass(ms(5_000));
    bench
        .endpoint
        .handle(Input::TransportFailed(flow), bench.now);
    bench.pass(ms(5_900));
    assert_eq!(statuses(&mut bench, id), [0; 0]);
    bench.pass(ms(200));
    assert_eq!(statuses(&mut bench, id), [408]);
}

#[test]
fn a_hang_up_is_not_forgotten_where_tcp_is_refused() {
    let mut bench = udp();
    let (id, flow, _) = send_long(&mut bench, &Method::Invite, 1301);
    bench.pass(ms(2_000));
    bench.endpoint.cancel(id, bench.now);
    bench.pass(ms(3_000));
    bench
        .endpoint
        .handle(Input::TransportFailed(flow), bench.now);
    bench.drain();
    bench.pass(ms(32_000));
    assert!(bench.sent.is_empty(), "nobody rings: {:?}", bench.sent);
    assert_eq!(statuses(&mut bench, id), [503]);
    assert!(bench.endpoint.table.is_empty());
}

/// RFC 3261 §18.1.1.
#[test]
fn a_long_request_goes_over_tcp_and_over_udp_where_that_is_refused() {
    let minutes = Duration::from_mins(11);
    for method in [Method::Invite, Method::Options] {
        let mut bench = udp();
        let (_, flow, short) = send_long(&mut bench, &method, 1300);
        assert_eq!(short.to_bytes().len(), 1300);
        assert_eq!(
            (flow.transport, via(&short).as_str()),
            (Transport::Udp, "UDP")
        );
        bench.pass(minutes);
        (bench.sent, bench.events) = (Vec::new(), Vec::new());
        let (id, flow, long) = send_long(&mut bench, &method, 1301);
        let remote = bench.flow.remote;
        assert_eq!((flow.transport, flow.remote), (Transport::Tcp, remote));
        assert_eq!(via(&long), "TCP");
        bench.pass(ms(700));
        assert!(bench.sent.is_empty(), "TCP repeats nothing");
        bench
            .endpoint
            .handle(Input::TransportFailed(flow), bench.now);
        bench.drain();
        for _ in 0..2 {
            // Once at once, and once by its timer.
            let (flow, _) = bench.sent[0];
            assert_eq!((flow.transport, flow.remote), (Transport::Udp, remote));
            let again = bench.requests().remove(0);
            assert_eq!(via(&again), "UDP");
            assert_eq!(again.to_bytes().len(), 1301);
            let branch = |request: &Request| {
                let via = request.headers.via().unwrap();
                via.branch().unwrap().to_owned()
            };
            assert_eq!(branch(&again), branch(&long));
            bench.pass(ms(500));
        }
        bench.sent.clear();
        let mut over_udp = long.clone();
        set_via_transport(&mut over_udp, Transport::Udp);
        answer(&mut bench, &over_udp, 486);
        assert_eq!(statuses(&mut bench, id), [486]);
        if method == Method::Invite {
            let (flow, _) = bench.sent[0];
            let ack = bench.requests().remove(0);
            assert_eq!((ack.method.as_str(), via(&ack).as_str()), ("ACK", "UDP"));
            assert_eq!(flow.transport, Transport::Udp);
        }
        let (_, flow, _) = send_long(&mut bench, &method, 1301);
        assert_eq!(flow.transport, Transport::Udp, "it is known to refuse TCP");
        bench.pass(minutes);
        (bench.sent, bench.events) = (Vec::new(), Vec::new());
        let (id, flow, long) = send_long(&mut bench, &method, 1301);
        assert_eq!(flow.transport, Transport::Tcp, "asked again");
        answer(&mut bench, &long, 180);
        bench
            .endpoint
            .handle(Input::TransportFailed(flow), bench.now);
        bench.drain();
        if method == Method::Invite {
            assert_eq!(statuses(&mut bench, id), [180], "it has arrived once");
            answer(&mut bench, &long, 486);
        } else {
            assert_eq!(statuses(&mut bench, id), [180, 503], "it has arrived once");
        }
        bench.pass(minutes);
        assert!(bench.endpoint.table.is_empty());
    }
}
