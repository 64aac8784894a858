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
}

impl Bench {
    fn new() -> Bench {
        Bench {
            registrar: Registrar::new(SETTINGS),
            start: Instant::now(),
            cseq: 0,
            source: None,
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
        let response = self.registrar.handle(&request, self.source, now);
        let contacts = response.headers.get_all(&Name::Contact);
        (response.status, contacts.map(str::to_owned).collect())
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
        let expected = if n < SETTINGS.bindings_per_address {
            200
        } else {
            503
        };
        assert_eq!(b.register_at(0, to, &[&contact]).0, expected, "{to}");
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
    assert!(b.registrar.holders.0.is_empty());
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
    for (n, status) in [(1, 200), (2, 200), (3, 200), (4, 503)] {
        assert_eq!(b.register(n.into(), "a", &[&contact(n)]).0, status, "{n}");
    }
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
    let response = Registrar::new(SETTINGS).handle(&request, None, Instant::now());
    assert_eq!(response.status, 400);
}
