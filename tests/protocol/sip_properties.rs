//! What must hold for every message, URI and header value that can be written, and for every way
//! that a dialog can go.

use antiphon::sip::dialog::{Dialog, DialogState};
use antiphon::sip::header::{Name, NameAddr, Via};
use antiphon::sip::message::{Message, Request, Response, parse_datagram};
use antiphon::sip::method::Method;
use antiphon::sip::uri::{AnyUri, Uri};
use proptest::prelude::*;

fn uri() -> impl Strategy<Value = String> {
    let user = "([a-zA-Z0-9_.!~*'()&=+$,;?/-]|%[0-9A-F]{2}){1,12}(:[a-z0-9&=+$,-]{0,6})?@";
    let host = "([a-z][a-z0-9-]{0,8}[a-z0-9]\\.){0,2}[a-z][a-z0-9]{0,6}|192\\.0\\.2\\.[1-9]|\\[2001:db8::[1-9]\\]";
    let parameter = "(;(lr|transport=(udp|tcp)|user=phone|maddr=192\\.0\\.2\\.1|x[a-z]{0,3}(=[a-z0-9%]{0}[a-z0-9]{1,5})?)){0,3}";
    let headers = "(\\?[a-z]{1,5}=[a-z0-9]{0,5}(&[a-z]{1,5}=[a-z0-9]{0,5})?)?";
    let port = "(:[1-9][0-9]{0,3})?";
    (
        "sips?:",
        prop::option::of(user),
        host,
        port,
        parameter,
        headers,
    )
        .prop_map(|(scheme, user, host, port, parameters, headers)| {
            let user = user.unwrap_or_default();
            format!("{scheme}{user}{host}{port}{parameters}{headers}")
        })
}

fn name_addr() -> impl Strategy<Value = String> {
    let display = "(\"([ !#-\\[\\]-~]|\\\\[ -~]|é){0,12}\" ?|[a-zA-Z]{1,6}( [a-z]{1,6})? )?";
    let parameters = "(;(tag=[a-z0-9]{1,8}|expires=[0-9]{1,4}|[a-z]{2,4}|q=\"[a-z; ]{0,5}\")){0,3}";
    (display, uri(), parameters)
        .prop_map(|(display, uri, parameters)| format!("{display}<{uri}>{parameters}"))
}

fn via() -> impl Strategy<Value = String> {
    let host = "(h\\.example|192\\.0\\.2\\.[1-9]|\\[2001:db8::1\\])(:[1-9][0-9]{0,3})?";
    let parameters = "(;(rport(=[0-9]{1,4})?|branch=z9hG4bK[a-zA-Z0-9]{1,9}|received=192\\.0\\.2\\.9|[a-z]{2,4}=\"[a-z ]{0,4}\")){0,4}";
    (
        "SIP ?/ ?2\\.0 ?/ ?(UDP|TCP|TLS|WSS)[ \t]{1,2}",
        host,
        parameters,
    )
        .prop_map(|(protocol, host, parameters)| format!("{protocol}{host}{parameters}"))
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        ("(INVITE|BYE|OPTIONS|REGISTER|INFO|PRACK|UPDATE|FOO)", uri())
            .prop_map(|(method, uri)| (format!("{method} {uri} SIP/2.0"), method)),
        ("[1-6][0-9]{2}", "[ -~é]{0,10}")
            .prop_map(|(status, reason)| (format!("SIP/2.0 {status} {reason}"), "BYE".to_owned())),
    ];
    let other = "(Subject|s|X-[A-Z]{1,4}|Allow|Supported|k|Accept): ?[ -~é]{0,20}\r\n([ \t][a-z]{1,5}\r\n)?";
    (
        start,
        via(),
        name_addr(),
        name_addr(),
        "[a-z0-9@.]{1,12}",
        0u32..0x7fff_ffff,
        prop::collection::vec(other, 0..5),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(
            |((start, method), via, from, to, call, cseq, others, body)| {
                let head = format!(
                    "{start}\r\nVia: {via}\r\nf: {from}\r\nTo: {to}\r\ni: {call}\r\n\
                 CSeq: {cseq} {method}\r\n{}Content-Length: {}\r\n\r\n",
                    others.concat(),
                    body.len()
                );
                [head.into_bytes(), body].concat()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_uri_is_printed_as_what_it_reads(text in uri()) {
        let uri: Uri = text.parse().unwrap();
        let printed = uri.to_string();
        prop_assert_eq!(printed.parse::<Uri>().unwrap(), uri.clone());
        prop_assert_eq!(printed.parse::<AnyUri>().unwrap().to_string(), printed);
        prop_assert!(uri.equivalent(&uri));
    }

    #[test]
    fn a_name_addr_is_printed_as_what_it_reads(text in name_addr()) {
        let value = NameAddr::parse(&text).unwrap();
        let printed = value.to_string();
        let again = NameAddr::parse(&printed).unwrap();
        prop_assert_eq!(again.to_string(), printed);
        prop_assert_eq!(again, value);
    }

    #[test]
    fn a_via_is_printed_as_what_it_reads(text in via()) {
        let value = Via::parse(&text).unwrap();
        let printed = value.to_string();
        let again = Via::parse(&printed).unwrap();
        prop_assert_eq!(again.to_string(), printed);
        prop_assert_eq!(again, value);
    }

    #[test]
    fn a_message_is_printed_as_what_it_reads(bytes in message()) {
        let message = parse_datagram(&bytes).unwrap();
        let printed = message.to_bytes();
        let again = parse_datagram(&printed).unwrap();
        prop_assert_eq!(again.to_bytes(), printed);
        prop_assert_eq!(again, message);
    }
}

/// What can happen to a dialog.
#[derive(Clone, Debug)]
enum Step {
    /// The peer's request: method, CSeq, Contact.
    Theirs(Method, u32, Option<u8>),
    Ours(Method),
    Confirm,
    /// A 2xx to our INVITE.
    Answered(Option<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let method = || {
        prop::sample::select(vec![
            Method::Invite,
            Method::Ack,
            Method::Bye,
            Method::Cancel,
            Method::Info,
            Method::Update,
        ])
    };
    let contact = || prop::option::of(0u8..4);
    let step = prop_oneof![
        5 => (method(), prop_oneof![0u32..20, 0u32..0x7fff_ffff], contact())
            .prop_map(|(method, cseq, contact)| Step::Theirs(method, cseq, contact)),
        2 => method().prop_map(Step::Ours),
        1 => Just(Step::Confirm),
        1 => contact().prop_map(Step::Answered),
    ];
    prop::collection::vec(step, 1..40)
}

/// Contact of this number: one is no SIP URI, and moves nobody.
fn contact(number: u8) -> String {
    match number {
        0 => "Contact: <tel:+1>\r\n".to_owned(),
        n => format!("Contact: <sip:a@192.0.2.{n}>\r\n"),
    }
}

fn request(method: &Method, cseq: u32, more: &str) -> Request {
    let text = format!(
        "{method} sip:us@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
         From: <sip:a@h>;tag=theirs\r\nTo: <sip:us@h>\r\nCall-ID: c\r\n\
         CSeq: {cseq} {method}\r\n{more}Content-Length: 0\r\n\r\n"
    );
    match parse_datagram(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn check(mut dialog: Dialog, steps: &[Step]) -> Result<(), TestCaseError> {
    for step in steps {
        let before = dialog.clone();
        // What may change is looked at below; nothing else does.
        let mut target = before.remote_target.clone();
        let mut remote_cseq = before.remote_cseq;
        match step {
            Step::Theirs(method, cseq, number) => {
                let more = number.map(contact).unwrap_or_default();
                let request = request(method, *cseq, &more);
                let taken = dialog.on_request(&request);
                let counts = !matches!(method, Method::Ack | Method::Cancel);
                let back = before.remote_cseq.is_some_and(|last| *cseq < last);
                prop_assert_eq!(taken.is_err(), counts && back);
                if counts && !back {
                    remote_cseq = Some(*cseq);
                }
                // As a call does (RFC 3261 §12.2.2, RFC 3311 §5.2).
                if taken.is_ok() && matches!(method, Method::Invite | Method::Update) {
                    dialog.refresh_target(&request.headers);
                    if let Some(n @ 1..) = number {
                        target = format!("sip:a@192.0.2.{n}").parse().unwrap();
                    }
                }
            }
            Step::Ours(method) => {
                let request = dialog.request(method.clone());
                let cseq = request.headers.cseq().unwrap().number;
                let next = !matches!(method, Method::Ack | Method::Cancel);
                prop_assert_eq!(cseq, before.local_cseq + u32::from(next));
                prop_assert_eq!(dialog.local_cseq, cseq);
                prop_assert_eq!(request.from_tag(), before.local.tag().map(str::to_owned));
                prop_assert_eq!(request.uri, before.remote_target.to_string());
            }
            Step::Confirm => dialog.confirm(),
            Step::Answered(number) => {
                let more = number.map(contact).unwrap_or_default();
                let mut response = Response::to(&request(&Method::Invite, 1, ""), 200);
                if let Some(line) = more.strip_prefix("Contact: ") {
                    response.headers.set(Name::Contact, line.trim());
                }
                dialog.confirm_by(&response).unwrap();
                if let Some(n @ 1..) = number {
                    target = format!("sip:a@192.0.2.{n}").parse().unwrap();
                }
            }
        }
        let confirmed = before.state == DialogState::Confirmed;
        prop_assert!(!confirmed || dialog.state == DialogState::Confirmed);
        prop_assert_eq!(&dialog.remote_target, &target, "after {:?}", step);
        prop_assert_eq!(dialog.remote_cseq, remote_cseq, "after {:?}", step);
        prop_assert!(dialog.local_cseq >= before.local_cseq);
        prop_assert_eq!(&dialog.id, &before.id);
        prop_assert_eq!(&dialog.local, &before.local);
        prop_assert_eq!(&dialog.remote, &before.remote);
        prop_assert_eq!(&dialog.route_set, &before.route_set);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_dialog_of_a_caller_never_goes_back(cseq in 0u32..30, steps in steps()) {
        let invite = request(&Method::Invite, cseq, &contact(1));
        check(Dialog::uas(&invite, "ours").unwrap(), &steps)?;
    }

    #[test]
    fn a_dialog_of_ours_never_goes_back(status in 180u16..201, steps in steps()) {
        let invite = request(&Method::Invite, 1, "");
        let mut response = Response::to(&invite, status.max(183));
        response.add_to_tag("theirs");
        check(Dialog::uac(&invite, &response).unwrap(), &steps)?;
    }
}
