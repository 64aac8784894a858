use super::*;
use crate::sip::message::Message;
use crate::sip::parse::parse_datagram;

fn invite(extra: &str) -> Request {
    let text = format!(
        "INVITE sip:600@server SIP/2.0\r\n\
        Via: SIP/2.0/UDP caller;branch=z9hG4bK1\r\n\
        From: \"Al, Ice\" <sip:alice@a>;tag=at\r\n\
        To: <sip:600@server>\r\n\
        Call-ID: c@a\r\n\
        CSeq: 10 INVITE\r\n{extra}\r\n"
    );
    match parse_datagram(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn uas(extra: &str) -> Dialog {
    Dialog::uas(&invite(extra), "ours").expect("dialog")
}

fn lines(request: &Request, name: &Name) -> Vec<String> {
    request.headers.get_all(name).map(str::to_owned).collect()
}

#[test]
fn a_called_server_hangs_up() {
    let mut dialog = uas("Contact: <sip:alice@10.0.0.1:5070;method=INVITE?a=b>\r\n");
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri, "sip:alice@10.0.0.1:5070");
    assert_eq!(
        bye.headers.get(&Name::From),
        Some("<sip:600@server>;tag=ours")
    );
    assert_eq!(
        bye.headers.get(&Name::To),
        Some("\"Al, Ice\" <sip:alice@a>;tag=at")
    );
    assert_eq!(bye.headers.get(&Name::CSeq), Some("1 BYE"));
    assert_eq!(bye.headers.call_id(), Ok("c@a"));
    assert_eq!(
        dialog.request(Method::Info).headers.get(&Name::CSeq),
        Some("2 INFO")
    );
    // The peer's next request finds the same dialog.
    let mut next = invite("");
    next.headers.set(Name::To, "<sip:600@server>;tag=ours");
    let of_next = DialogId {
        call_id: next.headers.call_id().unwrap().to_owned(),
        local_tag: next.to_tag().unwrap(),
        remote_tag: next.from_tag().unwrap(),
    };
    assert_eq!(of_next, dialog.id);
}

#[test]
fn loose_and_strict_routes() {
    let loose = "Contact: <sip:a@t>\r\nRecord-Route: <sip:p1;lr>, <sip:p2>\r\nRecord-Route: <sip:p3;lr>\r\n";
    let mut dialog = uas(loose);
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri, "sip:a@t");
    assert_eq!(
        lines(&bye, &Name::Route),
        ["<sip:p1;lr>", "<sip:p2>", "<sip:p3;lr>"]
    );
    assert_eq!(dialog.next_hop().to_string(), "sip:p1;lr");
    let mut dialog = uas(&loose.replacen("p1;lr", "p1;method=BYE", 1));
    let bye = dialog.request(Method::Bye);
    assert_eq!(bye.uri, "sip:p1");
    assert_eq!(
        lines(&bye, &Name::Route),
        ["<sip:p2>", "<sip:p3;lr>", "<sip:a@t>"]
    );
}

#[test]
fn the_caller_side() {
    let request = invite("Contact: <sip:me@10.0.0.9>\r\n");
    let mut ringing = Response::to(&request, 180);
    assert_eq!(
        Dialog::uac(&request, &ringing).err(),
        Some(DialogError::Tag)
    );
    ringing.headers.set(Name::To, "<sip:600@server>;tag=theirs");
    ringing.headers.push(Name::Contact, "<sip:600@10.0.0.2>");
    ringing
        .headers
        .push(Name::RecordRoute, "<sip:p1;lr>, <sip:p2;lr>");
    let mut dialog = Dialog::uac(&request, &ringing).expect("dialog");
    assert_eq!(dialog.state, DialogState::Early);
    let routes: Vec<_> = dialog.route_set.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["<sip:p2;lr>", "<sip:p1;lr>"]);

    let mut answer = ringing.clone();
    answer.status = 200;
    answer.headers.remove(&Name::RecordRoute);
    answer.headers.set(Name::Contact, "<sip:other@10.0.0.3>");
    dialog.confirm_by(&answer).expect("confirmed");
    assert_eq!(dialog.state, DialogState::Confirmed);
    assert_eq!(DialogId::of_response(&answer).as_ref(), Some(&dialog.id));
    let ack = dialog.ack(10);
    assert_eq!(ack.uri, "sip:other@10.0.0.3");
    assert_eq!(ack.headers.get(&Name::CSeq), Some("10 ACK"));
    assert_eq!(ack.headers.get(&Name::Route), None);
    assert_eq!(
        dialog.request(Method::Bye).headers.get(&Name::CSeq),
        Some("11 BYE")
    );
    assert_eq!(dialog.next_hop().to_string(), "sip:other@10.0.0.3");
}

#[test]
fn order_of_requests() {
    let mut dialog = uas("Contact: <sip:a@t>\r\n");
    let mut request = invite("");
    for (method, number, fine) in [
        (Method::Info, 11, true),
        (Method::Info, 500, true),
        (Method::Bye, 499, false),
        (Method::Ack, 10, true),
        (Method::Cancel, 10, true),
        (Method::Bye, 501, true),
    ] {
        request
            .headers
            .set(Name::CSeq, format!("{number} {method}"));
        request.method = method;
        assert_eq!(dialog.on_request(&request).is_ok(), fine, "{number}");
    }
}

#[test]
fn targets() {
    assert_eq!(uas("").remote_target.to_string(), "sip:alice@a");
    let tel = Dialog::uas(&invite("Contact: <tel:+1>\r\n"), "t");
    assert_eq!(tel.err(), Some(DialogError::Target));
    let mut dialog = uas("Contact: <sip:a@t>\r\n");
    dialog.refresh_target(&invite("Contact: <tel:+1>\r\n").headers);
    dialog.refresh_target(&invite("").headers);
    assert_eq!(dialog.remote_target.to_string(), "sip:a@t");
    dialog.refresh_target(&invite("m: <sip:a@u>\r\n").headers);
    assert_eq!(dialog.remote_target.to_string(), "sip:a@u");
}
