//! Users that are registered: called by the path of their REGISTER, where no other leads to them.

use std::net::SocketAddr;

use antiphon::api::Method;
use antiphon::endpoint;
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request};
use antiphon::sip::method::Method as SipMethod;
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use antiphon::switch::Input;

use super::Desk;
use crate::support::sim::flow;
use crate::support::sim::signal::amplitude;

/// A path to a phone that is not the one of its address.
fn path(desk: &Desk, phone: usize, transport: Transport, connection: Option<u64>) -> Flow {
    let remote = SocketAddr::new(desk.world.phones[phone].sip.ip(), 31_000);
    Flow {
        transport,
        connection: connection.map(ConnectionId),
        ..flow(remote)
    }
}

fn comes(desk: &mut Desk, input: endpoint::Input) {
    let now = desk.world.now();
    desk.world.switch.handle(Input::Sip(input), now);
    desk.settle();
}

/// A phone registers by this path, with this Contact.
fn register(desk: &mut Desk, phone: usize, path: Flow, contact: &str) {
    let it = &mut desk.world.phones[phone];
    it.begin(&format!("phone{phone}"));
    let mut request: Request = it.request(SipMethod::Register);
    request.headers.set(Name::Contact, format!("<{contact}>"));
    let message = Message::Request(request);
    comes(
        desk,
        endpoint::Input::Message {
            flow: path,
            message,
        },
    );
    desk.world.expect(phone, 200);
}

#[test]
fn a_phone_behind_a_nat_is_called_where_it_has_registered_from_and_heard() {
    let mut desk = Desk::new(511);
    desk.connect("hello");
    let phone = desk.world.phone();
    let path = path(&desk, phone, Transport::Udp, None);
    let (inside, contact) = ("192.168.1.20", "sip:phone0@192.168.1.20:5060");
    desk.world.phones[phone].sip = path.remote;
    register(&mut desk, phone, path, contact);
    desk.post("/ari/channels/c?endpoint=PJSIP/phone0&app=hello");
    let invite = desk.world.expect_request(phone, &SipMethod::Invite);
    assert_eq!(invite.uri, contact);
    let taken = desk.world.last_path.unwrap();
    assert_eq!((taken.local, taken.remote), (path.local, path.remote));
    // It names its own network everywhere.
    let named = format!("IN IP4 {inside}");
    let ack = answer(&mut desk, phone, &invite, contact, &named, None);
    assert_eq!(ack.uri, contact);
    hears(&mut desk, phone);
    desk.run(40_000);
    desk.world.check_empty();
}

/// A phone answers with this Contact, its media's address named so, and this field besides; the ACK.
fn answer(
    desk: &mut Desk,
    phone: usize,
    invite: &Request,
    contact: &str,
    named: &str,
    field: Option<(Name, &str)>,
) -> Request {
    let it = &mut desk.world.phones[phone];
    it.called(invite);
    let mut ok = it.response(invite, 200);
    ok.headers.set(Name::Contact, format!("<{contact}>"));
    if let Some((name, value)) = field {
        ok.headers.push(name, value);
    }
    ok.headers.set(Name::ContentType, "application/sdp");
    let own = format!("IN IP4 {}", it.rtp.ip());
    ok.body = it.sdp("sendrecv").replace(&own, named).into_bytes();
    desk.world.reply(phone, &ok);
    desk.world.expect_request(phone, &SipMethod::Ack)
}

/// It hears a tone, and is hung up on.
fn hears(desk: &mut Desk, phone: usize) {
    desk.world.speak(phone);
    desk.run(500);
    desk.post("/ari/channels/c/play?media=tone:1000/10000");
    desk.run(500);
    let heard = desk.heard(phone, 1_000);
    assert!(amplitude(&heard, 1_000.0) > 1_000.0);
    desk.ok(Method::Delete, "/ari/channels/c");
    desk.expect_bye(phone);
}

#[test]
fn a_phone_whose_contact_is_where_it_has_registered_from_is_called_there() {
    let mut desk = Desk::new(512);
    desk.connect("hello");
    let phone = desk.world.phone();
    let path = path(&desk, phone, Transport::Udp, None);
    let contact = "sip:phone0@10.1.0.0:5070";
    register(&mut desk, phone, path, contact);
    desk.post("/ari/channels/c?endpoint=PJSIP/phone0&app=hello");
    let invite = desk.world.expect_request(phone, &SipMethod::Invite);
    assert_eq!(invite.uri, contact);
    let taken = desk.world.last_path.unwrap();
    assert_eq!(taken.remote.to_string(), "10.1.0.0:5070");
}

#[test]
fn a_connection_is_the_way_to_who_has_registered_by_it() {
    for (seed, transport, parameter) in [
        (513, Transport::Tcp, "tcp"),
        (514, Transport::Tls, "tls"),
        (515, Transport::Wss, "ws"),
    ] {
        let mut desk = Desk::new(seed);
        desk.connect("hello");
        let phones = desk.world.phones(2);
        let phone = phones[0];
        let path = path(&desk, phone, transport, Some(7));
        let is_browser = transport == Transport::Wss;
        let host = if is_browser {
            "x.invalid"
        } else {
            "10.1.0.0:5070"
        };
        let contact = format!("sip:phone0@{host};transport={parameter}");
        register(&mut desk, phone, path, &contact);
        desk.post("/ari/channels/c?endpoint=PJSIP/phone0&app=hello");
        let invite = desk.world.expect_request(phone, &SipMethod::Invite);
        assert_eq!(invite.uri, contact);
        assert_eq!(desk.world.last_path, Some(path), "{transport}");
        let text = r#"{"to": "PJSIP/phone0", "from": "desk", "body": "dinner"}"#;
        let (status, _) = desk.get(Method::Put, "/ari/endpoints/sendMessage", text);
        assert_eq!(status, 202, "{transport}");
        let text = desk.world.expect_request(phone, &SipMethod::Message);
        assert_eq!((&*text.uri, &*text.body), (&*contact, &b"dinner"[..]));
        assert_eq!(desk.world.last_path, Some(path), "{transport}");
        // Who else is sent to a browser has no way to it.
        let other = desk.dial(phones[1], "400");
        let url = format!("/ari/channels/{other}/redirect?endpoint=PJSIP/phone0");
        let (status, _) = desk.get(Method::Post, &url, "");
        assert_eq!(status, if is_browser { 422 } else { 204 }, "{transport}");
        closed(&mut desk, phone, is_browser);
    }
}

/// The connection of a phone ends: it is where its Contact says, and a browser nowhere.
fn closed(desk: &mut Desk, phone: usize, is_browser: bool) {
    let connection = ConnectionId(7);
    comes(desk, endpoint::Input::ConnectionClosed(connection));
    desk.run(100);
    desk.world.phones[phone].inbox.clear();
    let all = desk.ok(Method::Get, "/ari/endpoints");
    let online = all.as_array().unwrap().len();
    assert_eq!(online, usize::from(!is_browser));
    let again = "/ari/channels/d?endpoint=PJSIP/phone0&app=hello";
    let (status, _) = desk.get(Method::Post, again, "");
    assert_eq!(status, if is_browser { 400 } else { 200 });
    if is_browser {
        return;
    }
    desk.world.expect_request(phone, &SipMethod::Invite);
    let taken = desk.world.last_path.unwrap();
    let there = (taken.connection, taken.remote.port());
    assert_eq!(there, (None, 5070));
}

/// A phone on the same network has no NAT to be reached through: it opens another connection, or is called
/// where it says that it is.
#[test]
fn a_call_whose_connection_is_gone_ends_at_the_contact() {
    let mut desk = Desk::new(516);
    desk.connect("hello");
    let phone = desk.world.phone();
    let path = path(&desk, phone, Transport::Tcp, Some(7));
    let contact = "sip:phone0@10.1.0.0:5070;transport=tcp";
    register(&mut desk, phone, path, contact);
    desk.post("/ari/channels/c?endpoint=PJSIP/phone0&app=hello");
    let invite = desk.world.expect_request(phone, &SipMethod::Invite);
    let it = &mut desk.world.phones[phone];
    it.called(&invite);
    let mut ok = it.response(&invite, 200);
    ok.headers.set(Name::Contact, format!("<{contact}>"));
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = it.sdp("sendrecv").into_bytes();
    desk.world.reply(phone, &ok);
    desk.world.expect_request(phone, &SipMethod::Ack);
    assert_eq!(desk.world.last_path, Some(path));
    desk.world.speak(phone);
    desk.run(200);
    comes(
        &mut desk,
        endpoint::Input::ConnectionClosed(ConnectionId(7)),
    );
    desk.ok(Method::Delete, "/ari/channels/c");
    desk.expect_bye(phone);
    let taken = desk.world.last_path.unwrap();
    let there = (taken.transport, taken.connection, taken.remote.port());
    assert_eq!(there, (Transport::Tcp, None, 5070));
    desk.run(40_000);
    desk.world.check_empty();
}

/// Calls a phone without IPv4 that has registered through a NAT64, with this field in its answer too.
fn behind_a_nat64(seed: u64, field: Option<(Name, &str)>) -> (Desk, usize) {
    let mut desk = Desk::new(seed);
    desk.connect("hello");
    let phone = desk.world.phone();
    let path = path(&desk, phone, Transport::Udp, None);
    let contact = "sip:phone0@[2001:db8::7]:5060";
    desk.world.phones[phone].sip = path.remote;
    register(&mut desk, phone, path, contact);
    desk.post("/ari/channels/c?endpoint=PJSIP/phone0&app=hello");
    let invite = desk.world.expect_request(phone, &SipMethod::Invite);
    let named = "IN IP6 2001:db8::7";
    answer(&mut desk, phone, &invite, contact, named, field);
    (desk, phone)
}

#[test]
fn a_phone_behind_a_nat64_is_called_and_heard() {
    let (mut desk, phone) = behind_a_nat64(517, None);
    hears(&mut desk, phone);
}

/// It has the media of a phone that is elsewhere, to which nothing of ours gets.
#[test]
fn a_proxy_in_between_is_no_nat64() {
    let proxy = "<sip:10.1.0.0:31000;lr>";
    let (mut desk, phone) = behind_a_nat64(518, Some((Name::RecordRoute, proxy)));
    desk.expect_bye(phone);
    desk.run(40_000);
    desk.world.check_empty();
}
