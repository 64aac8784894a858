use super::*;
use crate::sip::method::Method;

const SETTINGS: Settings = Settings {
    bindings: 3,
    bindings_per_address: 2,
    min_expires: Duration::from_mins(1),
    max_expires: Duration::from_mins(10),
};

struct Bench {
    registrar: Registrar,
    start: Instant,
    cseq: u32,
    source: Option<IpAddr>,
    flow: Flow,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            registrar: Registrar::new(SETTINGS),
            start: Instant::now(),
            cseq: 0,
            source: None,
            flow: flow(Transport::Udp, None),
        }
    }

    /// Registers `contact` for `user` at `second`: the status, and the contacts of the answer.
    fn register(&mut self, second: u64, user: &str, lines: &[&str]) -> (u16, Vec<String>) {
        self.register_at(second, &format!("sip:{user}@H"), lines)
    }

    fn register_at(&mut self, second: u64, to: &str, lines: &[&str]) -> (u16, Vec<String>) {
        self.cseq += 1;
        let mut request = Request::new(Method::Register, "sip:h");
        request.headers.push(Name::To, format!("<{to}>"));
        request.headers.push(Name::From, "<sip:x@h>;tag=1");
        request.headers.push(Name::CallId, "c");
        request
            .headers
            .push(Name::CSeq, format!("{} REGISTER", self.cseq));
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            request.headers.push(Name::parse(name), value);
        }
        let now = self.start + Duration::from_secs(second);
        let response = self.registrar.handle(&request, self.source, self.flow, now);
        let contacts = response.headers.get_all(&Name::Contact);
        (response.status, contacts.map(str::to_owned).collect())
    }
}

/// The path from behind a NAT.
fn flow(transport: Transport, connection: Option<u64>) -> Flow {
    Flow {
        transport,
        local: ([192, 0, 2, 1], 5060).into(),
        remote: ([203, 0, 113, 5], 31_000).into(),
        connection: connection.map(ConnectionId),
        host: None,
    }
}

fn ok(contacts: &[&str]) -> (u16, Vec<String>) {
    (200, contacts.iter().map(ToString::to_string).collect())
}

#[test]
fn come_stay_and_go() {
    let mut b = Bench::new();
    assert_eq!(b.register(0, "a", &[]), ok(&[]));
    let phone = "Contact: \"A\" <sip:a@10.0.0.1>;expires=100";
    assert_eq!(
        b.register(0, "a", &[phone]),
        ok(&["<sip:a@10.0.0.1>;expires=100"])
    );
    assert_eq!(b.register(40, "a;x=y", &[]), ok(&[]));
    assert_eq!(
        b.register(40, "a", &[]),
        ok(&["<sip:a@10.0.0.1>;expires=60"])
    );
    // Again, and another; the header's time is for those that have none of their own.
    let both = "Contact: <SIP:a@10.0.0.1>, <tel:+1>;expires=70";
    assert_eq!(
        b.register(50, "a", &[both, "Expires: 80"]),
        ok(&["<sip:a@10.0.0.1>;expires=80", "<tel:+1>;expires=70"])
    );
    assert_eq!(
        b.register(50, "a", &["Contact: <tel:+1>;expires=0"]),
        ok(&["<sip:a@10.0.0.1>;expires=80"])
    );
    assert_eq!(b.register(130, "a", &[]), ok(&[]));
    assert!(b.registrar.is_empty());
}

#[test]
fn wildcard() {
    let mut b = Bench::new();
    b.register(0, "a", &["Contact: <sip:1@h>, <sip:2@h>"]);
    assert_eq!(b.register(0, "a", &["Contact: *"]).0, 400);
    assert_eq!(
        b.register(0, "a", &["Contact: *, <sip:1@h>", "Expires: 0"])
            .0,
        400
    );
    assert_eq!(b.registrar.len(), 2);
    assert_eq!(b.register(0, "a", &["Contact: *", "Expires: 0"]), ok(&[]));
    assert!(b.registrar.is_empty());
}

#[test]
fn times() {
    let mut b = Bench::new();
    assert_eq!(
        b.register(0, "a", &["Contact: <sip:1@h>;expires=59"]).0,
        423
    );
    for text in [
        "Contact: <sip:1@h>",
        "Contact: <sip:1@h>;expires=x",
        "Contact: <sip:1@h>;expires=99999999999999",
    ] {
        assert_eq!(
            b.register(0, "a", &[text]),
            ok(&["<sip:1@h>;expires=600"]),
            "{text}"
        );
    }
}

#[test]
fn bounds() {
    let mut b = Bench::new();
    assert_eq!(
        b.register(0, "a", &["Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>"])
            .0,
        503
    );
    assert_eq!(
        b.register(0, "a", &["Contact: <sip:1@h>, <sip:2@h>"]).0,
        200
    );
    assert_eq!(
        b.register(0, "b", &["Contact: <sip:1@h>, <sip:2@h>"]).0,
        503
    );
    assert_eq!(b.register(1, "b", &["Contact: <sip:1@h>"]).0, 200);
    assert_eq!(b.register(1, "c", &["Contact: <sip:1@h>"]).0, 503);
    // A refresh needs no room, and what has ended gives it back.
    assert_eq!(b.register(2, "b", &["Contact: <sip:1@h>"]).0, 200);
    assert_eq!(b.register(600, "c", &["Contact: <sip:1@h>"]).0, 200);
    assert_eq!(b.registrar.len(), 2);
    let long = format!("Contact: <sip:{}@h>", "x".repeat(MAX_TEXT));
    assert_eq!(b.register(601, "d", &[&long]).0, 400);
}

#[test]
fn a_user_is_one_address_whatever_its_host() {
    let mut b = Bench::new();
    let addresses = ["sip:a@h1", "sips:a@h2", "sip:a@h3:5070", "sip:%61@[::1]"];
    for (n, to) in addresses.into_iter().enumerate() {
        let contact = format!("Contact: <sip:{n}@h>");
        let (status, kept) = b.register_at(0, to, &[&contact]);
        let most = SETTINGS.bindings_per_address;
        assert_eq!((status, kept.len()), (200, most.min(n + 1)), "{to}");
    }
    b.registrar.settings.bindings = 10;
    assert_eq!(b.register(0, "b", &["Contact: <sip:1@h>"]).0, 200);
    // Of nobody there is a place, and no name.
    assert_eq!(b.register_at(0, "sip:h1", &["Contact: <sip:2@h>"]).0, 200);
    assert_eq!(b.registrar.len(), 4);
    assert_eq!(b.registrar.users(b.start), ["a", "b"]);
    assert_eq!(b.registrar.contact("", b.start), None);
}

#[test]
fn who_was_asked_for_no_password_has_half() {
    let mut b = Bench::new();
    b.registrar.settings.bindings = 20;
    let ip = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
    let fill = |b: &mut Bench, second, source: Option<IpAddr>, of: &str| {
        b.source = source;
        let more = (0..30).filter(|n| {
            let contact = "Contact: <sip:1@h>;expires=100";
            b.register(second, &format!("{of}{n}"), &[contact]).0 == 200
        });
        more.count()
    };
    assert_eq!(fill(&mut b, 0, ip(1), "a"), 10);
    assert_eq!(fill(&mut b, 1, ip(2), "b"), 10);
    assert_eq!(fill(&mut b, 2, None, "c"), 0, "all is taken");
    // What has ended gives back its room, and so does what is taken out.
    assert_eq!(fill(&mut b, 100, ip(1), "d"), 10);
    b.source = ip(1);
    assert_eq!(
        b.register(100, "d0", &["Contact: <sip:1@h>;expires=0"]).0,
        200
    );
    assert_eq!(fill(&mut b, 100, ip(1), "e"), 1);
    // A refresh needs none; who refreshes holds it.
    b.source = ip(3);
    assert_eq!(b.register(100, "d1", &["Contact: <sip:1@h>"]).0, 200);
    assert_eq!(b.registrar.holders.held(ip(1)), 9);
    assert_eq!(b.registrar.holders.held(ip(3)), 1);
    // Users have all of it.
    assert_eq!(fill(&mut b, 10_000, None, "f"), 20);
    assert!(b.registrar.holders.sources.is_empty());
}

#[test]
fn the_answer_is_no_longer_than_a_few_requests() {
    let mut b = Bench::new();
    let contact = |n: u32| format!("Contact: <sip:{n}@{}>", "h".repeat(MAX_LISTED / 2));
    assert_eq!(
        b.register(0, "a", &[&contact(1)]).0,
        400,
        "longer than one may be"
    );
    let contact = |n: u32| format!("Contact: <sip:{n}@{}>", "h".repeat(MAX_TEXT - 20));
    b.registrar.settings.bindings_per_address = 10;
    b.registrar.settings.bindings = 10;
    for (n, kept) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 3)] {
        let (status, listed) = b.register(n.into(), "a", &[&contact(n)]);
        assert_eq!((status, listed.len()), (200, kept), "{n}");
        let newest = format!("<sip:{n}@");
        assert!(listed.last().unwrap().starts_with(&newest), "{n}");
    }
    // One that grows when it is refreshed counts as what it is then.
    let small = "Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>, <sip:4@h>";
    b.register(10, "b", &[small]);
    for n in 1..=4 {
        let longer = format!("Contact: <sip:{n}@h;x={}>", "y".repeat(480));
        let (_, listed) = b.register(11, "b", &[&longer]);
        let bytes: usize = listed.iter().map(String::len).sum();
        assert!(bytes < MAX_LISTED + 100, "{n}: {bytes}");
    }
    let all: Vec<String> = (5..9).map(contact).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(b.register(20, "a", &all).0, 503, "too much for one request");
}

#[test]
fn who_moves_about_gives_up_what_ends_first() {
    let mut b = Bench::new();
    b.registrar.settings.bindings_per_address = 10;
    b.registrar.settings.bindings = 12;
    assert_eq!(b.register(0, "b", &["Contact: <sip:b@h>"]).0, 200);
    for n in 0..12_u64 {
        let contact = format!("Contact: <sip:{n}@h>");
        let (status, kept) = b.register(n, "a", &[&contact]);
        assert_eq!(status, 200, "{n}");
        let oldest = format!("<sip:{}@h>", n.saturating_sub(9));
        assert!(kept[0].starts_with(&oldest), "{n}: {kept:?}");
        let newest = format!("<sip:{n}@h>");
        assert!(kept.last().unwrap().starts_with(&newest), "{n}: {kept:?}");
    }
    assert_eq!(b.registrar.len(), 11, "of nobody else");
    // One that lasts longer outlasts those that come later.
    assert_eq!(b.register(20, "a", &["Contact: <sip:5@h>"]).0, 200);
    for n in 20..29 {
        let contact = format!("Contact: <sip:{n}@h>;expires=100");
        assert_eq!(b.register(21, "a", &[&contact]).0, 200, "{n}");
    }
    let (_, kept) = b.register(21, "a", &[]);
    assert_eq!(kept.len(), 10);
    assert!(kept.iter().any(|contact| contact.starts_with("<sip:5@h>")));
    // The bound of all is what it was, and is no obstacle where one takes another's place.
    assert_eq!(b.register(22, "c", &["Contact: <sip:1@h>"]).0, 200);
    assert_eq!(b.register(22, "d", &["Contact: <sip:1@h>"]).0, 503);
    assert_eq!(b.register(22, "a", &["Contact: <sip:30@h>"]).0, 200);
}

#[test]
fn a_phone_that_moves_takes_the_place_of_itself() {
    let mut b = Bench::new();
    let contact = |at: u8, id: &str, path: &str| {
        format!("Contact: <sip:a@10.0.0.{at}>;expires=100;+sip.instance=\"<urn:uuid:{id}>\"{path}")
    };
    let of = |at: u8| format!("<sip:a@10.0.0.{at}>;expires=100");
    let first = contact(1, "0A", ";reg-id=1");
    assert_eq!(b.register(0, "a", &[&first]), ok(&[&of(1)]));
    let moved = contact(2, "0a", ";reg-id=1");
    assert_eq!(b.register(0, "a", &[&moved]), ok(&[&of(2)]));
    // Another of its paths, and another phone, stay beside it.
    let second = contact(3, "0a", ";reg-id=2");
    assert_eq!(b.register(0, "a", &[&second]), ok(&[&of(2), &of(3)]));
    b.registrar.settings.bindings_per_address = 3;
    let other = contact(4, "0b", ";reg-id=1");
    assert_eq!(b.register(0, "a", &[&other]), ok(&[&of(2), &of(3), &of(4)]));
    // What is taken out is that contact, whichever comes first.
    let next = contact(5, "0a", ";reg-id=1");
    let gone = moved.replace("expires=100", "expires=0");
    let left = b.register(0, "a", &[&next, &gone]);
    assert_eq!(left, ok(&[&of(3), &of(4), &of(5)]));
    // Without the number of a path it is a contact like any other.
    let plain = [contact(6, "0a", ""), contact(7, "0a", "")];
    b.register(0, "a", &[&plain[0]]);
    let left = b.register(0, "a", &[&plain[1]]);
    assert_eq!(left, ok(&[&of(5), &of(6), &of(7)]));
}

#[test]
fn who_is_behind_a_nat_is_reached_by_the_path_of_its_register() {
    let mut b = Bench::new();
    for (contact, by_path) in [
        ("sip:a@192.168.1.20:5060", true),
        ("sip:a@phone.invalid", true),
        // It knows what it looks like from outside.
        ("sip:a@203.0.113.5:5062", false),
    ] {
        b.register(0, "a", &["Contact: *", "Expires: 0"]);
        b.register(0, "a", &[&format!("Contact: <{contact}>")]);
        let found = b.registrar.contact("a", b.start).unwrap();
        assert_eq!(found.uri, contact);
        assert_eq!(found.path, by_path.then_some(b.flow), "{contact}");
    }
}

#[test]
fn a_connection_leads_to_who_has_registered_by_it_until_it_ends() {
    for (transport, stays) in [
        (Transport::Tcp, true),
        (Transport::Tls, true),
        (Transport::Ws, false),
        (Transport::Wss, false),
    ] {
        let mut b = Bench::new();
        let path = |b: &Bench, user: &str| {
            let found = b.registrar.contact(user, b.start);
            found.map(|found| found.path)
        };
        b.flow = flow(transport, Some(1));
        b.register(0, "a", &["Contact: <sip:1@x.invalid>, <sip:2@x.invalid>"]);
        b.register(0, "a", &["Contact: <sip:1@x.invalid>;expires=0"]);
        assert_eq!(path(&b, "a"), Some(Some(b.flow)), "one of two has gone");
        let other = flow(transport, Some(2));
        b.flow = other;
        b.register(0, "b", &["Contact: <sip:3@x.invalid>"]);
        b.registrar.connection_closed(ConnectionId(1));
        assert_eq!(path(&b, "a"), stays.then_some(None), "{transport}");
        assert_eq!(path(&b, "b"), Some(Some(other)));
        assert_eq!(b.registrar.users(b.start).len(), 1 + usize::from(stays));
        // It comes back by another one.
        b.flow = flow(transport, Some(3));
        b.register(0, "a", &["Contact: <sip:4@x.invalid>"]);
        assert_eq!(path(&b, "a"), Some(Some(b.flow)), "{transport}");
    }
}

#[test]
fn browsers_that_are_gone_make_room() {
    let mut b = Bench::new();
    for (connection, user) in [(1, "a"), (2, "b"), (3, "c")] {
        b.flow = flow(Transport::Wss, Some(connection));
        let status = b.register(0, user, &["Contact: <sip:1@x.invalid>"]).0;
        assert_eq!(status, 200, "{user}");
    }
    assert_eq!(b.register(1, "d", &["Contact: <sip:1@h>"]).0, 503);
    b.registrar.connection_closed(ConnectionId(1));
    assert_eq!(b.register(1, "d", &["Contact: <sip:1@h>"]).0, 200);
    assert_eq!((b.registrar.len(), b.registrar.holders.lost), (3, 0));
}

#[test]
fn an_old_request_changes_nothing() {
    let mut b = Bench::new();
    b.cseq = 10;
    b.register(0, "a", &["Contact: <sip:1@h>"]);
    b.cseq = 5;
    assert_eq!(b.register(0, "a", &["Contact: <sip:1@h>;expires=0"]).0, 500);
    assert_eq!(b.registrar.len(), 1);
}

#[test]
fn only_sip_addresses() {
    let mut request = Request::new(Method::Register, "sip:h");
    request.headers.push(Name::To, "<isbn:2983792873>");
    let from = flow(Transport::Udp, None);
    let response = Registrar::new(SETTINGS).handle(&request, None, from, Instant::now());
    assert_eq!(response.status, 400);
}
