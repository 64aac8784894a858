//! Texts outside of calls: those that come while a program listens, and those that it sends.

use antiphon::api::Method;
use antiphon::sip::header::Name;
use antiphon::sip::message::Request;
use antiphon::sip::method::Method as SipMethod;

use super::Desk;

fn text(desk: &mut Desk, phone: usize, body: &[u8]) -> Request {
    let phone = &mut desk.world.phones[phone];
    phone.begin("desk");
    let mut request = phone.request(SipMethod::Message);
    request.headers.set(Name::ContentType, "text/plain");
    request.body = body.to_vec();
    request
}

#[test]
fn texts_come_to_who_listens_and_to_nobody_else() {
    let mut desk = Desk::new(471);
    let reader = desk.connect("hello");
    let phones = desk.world.phones(2);
    let send = |desk: &mut Desk, phone: usize, body: &[u8], status: u16| {
        let request = text(desk, phones[phone], body);
        desk.world.send(phones[phone], &request);
        desk.world.expect(phones[phone], status);
        desk.run(50);
    };
    send(&mut desk, 0, b"hello", 405);
    let url = "/ari/applications/hello/subscription?eventSource=endpoint:PJSIP/phone0";
    desk.post(url);
    desk.types();
    send(&mut desk, 0, "gr\u{fc}\u{df}e".as_bytes(), 200);
    send(&mut desk, 1, b"not for you", 200);
    send(&mut desk, 0, b"\xff\xfe", 400);
    send(&mut desk, 0, &[b'x'; 8_193], 413);
    let told = desk.events(&["TextMessageReceived"]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["message"]["body"], "gr\u{fc}\u{df}e");
    assert_eq!(told[0]["endpoint"]["resource"], "phone0");
    assert!(
        told[0]["message"]["from"]
            .as_str()
            .unwrap()
            .starts_with("sip:phone0@")
    );
    desk.ok(Method::Delete, url);
    send(&mut desk, 0, b"hello", 405);
    // Nor while nobody reads.
    desk.post(url);
    desk.disconnect(&reader);
    send(&mut desk, 0, b"hello", 405);
}

#[test]
fn a_text_that_is_too_long_is_not_sent_as_an_empty_one() {
    let mut desk = Desk::new(473);
    let phone = desk.world.phone();
    let to = desk.world.phones[phone].sip;
    for length in [8_193, 20_000] {
        let body = "x".repeat(length);
        let body = format!(r#"{{"to": "sip:a@{to}", "from": "desk", "body": "{body}"}}"#);
        let (status, _) = desk.get(Method::Put, "/ari/endpoints/sendMessage", &body);
        assert_eq!(status, 400, "{length}");
    }
    desk.world.expect_nothing(phone, 1_000);
}

#[test]
fn a_text_is_sent_with_its_headers() {
    let mut desk = Desk::new(472);
    desk.connect("hello");
    let phone = desk.world.phone();
    let to = desk.world.phones[phone].sip;
    let body = format!(
        r#"{{"to": "sip:a@{to}", "from": "PJSIP/desk", "body": "dinner", "variables": {{"X-Room": "5"}}}}"#
    );
    let (status, _) = desk.get(Method::Put, "/ari/endpoints/sendMessage", &body);
    assert_eq!(status, 202);
    let sent = desk.world.expect_request(phone, &SipMethod::Message);
    assert_eq!(sent.body, b"dinner");
    assert_eq!(sent.headers.get(&Name::parse("X-Room")), Some("5"));
    assert!(
        sent.headers
            .get(&Name::From)
            .unwrap()
            .starts_with("<sip:desk@")
    );
    let reply = desk.world.phones[phone].response(&sent, 200);
    desk.world.reply(phone, &reply);
    desk.run(40_000);
    desk.world.check_empty();
}
