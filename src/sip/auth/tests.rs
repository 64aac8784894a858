use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::header::Qop;
use super::replay::Replays;
use super::*;
use crate::sip::header::Name;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;

const HERE: &str = "192.0.2.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn server(settings: Settings) -> Authenticator {
    let mut users = Users::default();
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        users.add(
            "alice",
            algorithm,
            Ha1::new(algorithm, "alice", "antiphon", "secret"),
        );
    }
    Authenticator::new(settings, users, [Key([1; 32]), Key([2; 32])])
}

/// The 401 of `server`.
fn refusal(server: &mut Authenticator, stale: bool, now: Instant) -> Response {
    let request = Request::new(Method::Register, "sip:h");
    let mut response = Response::to(&request, 401);
    for value in server.challenge(stale, ip(HERE), now) {
        response.headers.push(Name::WwwAuthenticate, value);
    }
    response
}

fn client(user: &str, password: &str) -> Client {
    let login = Login {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    Client::new(Arc::new(login), 7)
}

fn request(client: &mut Client) -> Request {
    let mut request = Request::new(Method::Register, "sip:h");
    client.authorize(&mut request);
    request
}

fn credentials(request: &Request) -> Credentials {
    Credentials::parse(request.headers.get(&Name::Authorization).unwrap()).unwrap()
}

fn with(credentials: &Credentials) -> Request {
    let mut request = Request::new(Method::Register, "sip:h");
    request
        .headers
        .push(Name::Authorization, credentials.to_string());
    request
}

/// RFC 7616 §3.9.1, and RFC 2617 §3.5 for the old values of the first.
#[test]
fn the_examples_of_the_standards() {
    let (nonce, cnonce) = (
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    );
    let get = Method::parse("GET").unwrap();
    let qop = Qop {
        nc: 1,
        cnonce: cnonce.to_owned(),
    };
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (
            Algorithm::Sha256,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let ha1 = Ha1::new(
            algorithm,
            "Mufasa",
            "http-auth@example.org",
            "Circle of Life",
        );
        let response = ha1.response(algorithm, nonce, Some(&qop), &get, "/dir/index.html");
        assert_eq!(response, expected);
    }
    let ha1 = Ha1::new(
        Algorithm::Md5,
        "Mufasa",
        "testrealm@host.com",
        "Circle Of Life",
    );
    let old = Qop {
        nc: 1,
        cnonce: "0a4f113b".to_owned(),
    };
    let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
    assert_eq!(
        ha1.response(Algorithm::Md5, nonce, Some(&old), &get, "/dir/index.html"),
        "6629fae49393a05397450978507c4ef1"
    );
    assert_eq!(
        ha1.response(Algorithm::Md5, nonce, None, &get, "/dir/index.html"),
        "670fd8c2df070c60b045671b8b24ff02"
    );
}

#[test]
fn the_strongest_hash_is_answered_and_granted_once_for_each_count() {
    let mut server = server(Settings::default());
    let now = Instant::now();
    let mut client = client("alice", "secret");
    assert!(client.challenged(&refusal(&mut server, false, now)));
    for count in 1..=3 {
        let request = request(&mut client);
        let credentials = credentials(&request);
        assert_eq!(credentials.algorithm, Some(Algorithm::Sha256));
        assert_eq!(credentials.qop.as_ref().unwrap().nc, count);
        let granted = Verdict::Granted("alice".to_owned());
        assert_eq!(server.check(&request, ip(HERE), now), granted);
        let again = server.check(&request, ip(HERE), now);
        assert_eq!(again, Verdict::Stale { proven: true }, "a replay");
    }
}

#[test]
fn each_hash_and_the_old_form() {
    let now = Instant::now();
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut server = server(Settings {
            algorithms: vec![algorithm],
            ..Settings::default()
        });
        let mut client = client("alice", "secret");
        let mut response = refusal(&mut server, false, now);
        assert_eq!(response.headers.get_all(&Name::WwwAuthenticate).count(), 1);
        let value = response.headers.get(&Name::WwwAuthenticate).unwrap();
        let old = value.replace(", qop=\"auth\"", "");
        response.headers.set(Name::WwwAuthenticate, old);
        assert!(client.challenged(&response));
        let request = request(&mut client);
        assert_eq!(credentials(&request).qop, None);
        let granted = Verdict::Granted("alice".to_owned());
        assert_eq!(server.check(&request, ip(HERE), now), granted);
        let again = server.check(&request, ip(HERE), now);
        assert_eq!(again, Verdict::Stale { proven: true }, "once without count");
    }
}

#[test]
fn the_old_form_may_be_refused() {
    let mut server = server(Settings {
        require_qop: true,
        ..Settings::default()
    });
    let now = Instant::now();
    let mut response = refusal(&mut server, false, now);
    let value = response.headers.get(&Name::WwwAuthenticate).unwrap();
    let old = value.replace(", qop=\"auth\"", "");
    response.headers.set(Name::WwwAuthenticate, old);
    let mut client = client("alice", "secret");
    assert!(client.challenged(&response));
    let verdict = server.check(&request(&mut client), ip(HERE), now);
    assert_eq!(verdict, Verdict::Wrong { proven: true });
}

#[test]
fn a_nonce_expires_and_is_for_one_address() {
    let mut server = server(Settings::default());
    let start = Instant::now();
    let mut client = client("alice", "secret");
    assert!(client.challenged(&refusal(&mut server, false, start)));
    let elsewhere = server.check(&request(&mut client), ip("192.0.2.2"), start);
    assert_eq!(elsewhere, Verdict::Stale { proven: false });
    let life = Settings::default().nonce_life;
    let in_time = server.check(&request(&mut client), ip(HERE), start + life);
    assert!(matches!(in_time, Verdict::Granted(_)));
    let late = start + life + Duration::from_millis(1);
    let expired = server.check(&request(&mut client), ip(HERE), late);
    assert_eq!(expired, Verdict::Stale { proven: true });
    client.accepted();
    assert!(client.challenged(&refusal(&mut server, true, late)));
    let again = server.check(&request(&mut client), ip(HERE), late);
    assert!(matches!(again, Verdict::Granted(_)));
}

#[test]
fn whoever_it_is_a_wrong_answer_is_the_same() {
    let mut server = server(Settings::default());
    let now = Instant::now();
    for (user, password) in [
        ("alice", "wrong"),
        ("bob", "secret"),
        ("", ""),
        ("\"\\,", "x"),
    ] {
        let mut client = client(user, password);
        let first = refusal(&mut server, false, now);
        assert!(client.challenged(&first));
        let verdict = server.check(&request(&mut client), ip(HERE), now);
        assert_eq!(verdict, Verdict::Wrong { proven: true }, "{user}");
        let second = refusal(&mut server, false, now);
        assert_eq!(first.to_bytes().len(), second.to_bytes().len());
        assert!(!client.challenged(&second), "once for each nonce");
    }
}

#[test]
fn every_part_of_an_answer_counts() {
    let mut server = server(Settings::default());
    let now = Instant::now();
    let mut client = client("alice", "secret");
    assert!(client.challenged(&refusal(&mut server, false, now)));
    let good = credentials(&request(&mut client));
    let changes: [fn(&mut Credentials); 6] = [
        |c| c.username = "alicf".to_owned(),
        |c| c.uri.push('x'),
        |c| c.response.replace_range(0..1, "x"),
        |c| c.response.push('0'),
        |c| c.qop.as_mut().unwrap().nc = 9,
        |c| c.qop.as_mut().unwrap().cnonce.push('0'),
    ];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        let verdict = server.check(&with(&other), ip(HERE), now);
        assert!(matches!(verdict, Verdict::Wrong { .. }), "{other}");
    }
    // With a nonce that is not ours no password is tried: right or wrong, the answer is the same.
    for wrong in [false, true] {
        let mut other = good.clone();
        other.nonce.replace_range(5..6, "f");
        if wrong {
            other.response.replace_range(0..1, "x");
        }
        let verdict = server.check(&with(&other), ip(HERE), now);
        assert_eq!(verdict, Verdict::Stale { proven: false }, "{other}");
    }
    let mut other = good.clone();
    other.realm = "elsewhere".to_owned();
    assert_eq!(server.check(&with(&other), ip(HERE), now), Verdict::Missing);
    let mut request = with(&good);
    request.method = Method::Invite;
    let verdict = server.check(&request, ip(HERE), now);
    assert!(matches!(verdict, Verdict::Wrong { .. }), "the method");
    let verdict = server.check(&with(&good), ip(HERE), now);
    assert!(matches!(verdict, Verdict::Granted(_)), "as it was");
}

#[test]
fn counts_may_overtake_each_other_and_never_come_twice() {
    let mut replays = Replays::new(10);
    let id = (1, 1);
    for nc in [5, 3, 4, 70, 69, 7] {
        assert!(replays.take(id, 7, nc), "{nc}");
        assert!(!replays.take(id, 7, nc), "{nc} again");
    }
    for nc in [0, 5, 6] {
        assert!(!replays.take(id, 7, nc), "{nc} is used, or too far back");
    }
    assert!(replays.take(id, 7, u32::MAX));
    assert!(!replays.take(id, 7, 71));
}

#[test]
fn at_the_bound_old_nonces_count_as_expired() {
    let mut replays = Replays::new(100);
    for n in 0..1000 {
        assert!(replays.take((n, 0), 7, 1));
        assert!(replays.len() <= 100);
    }
    assert!(!replays.take((5, 0), 7, 1), "forgotten is not fresh");
    assert!(!replays.take((5, 0), 7, 2));
    assert!(replays.take((950, 0), 7, 2), "remembered goes on");
    replays.forget(2000);
    assert_eq!(replays.len(), 0);
}

#[test]
fn credentials_are_meant_for_one_target() {
    let mut server = server(Settings::default());
    let now = Instant::now();
    let challenge = server.challenge(false, ip(HERE), now).remove(0);
    let nonce = Challenge::parse(&challenge).unwrap().nonce;
    for (uri, request_uri, meant) in [
        ("sip:500@a.example", "sip:500@a.example", true),
        ("sip:500@A.example", "sip:500@a.example;transport=tcp", true),
        ("sip:500@a.example:5060", "sip:500@a.example", true),
        ("sip:%35%300@a.example", "sip:500@a.example", true),
        ("sip:a.example", "sip:500@a.example", true),
        ("sip:[2001:DB8::1]", "sip:[2001:db8::1]:5060", true),
        ("tel:+1", "tel:+1", true),
        ("sip:501@a.example", "sip:500@a.example", false),
        ("sip:500@a.example", "sip:a.example", false),
        ("sip:500@b.example", "sip:500@a.example", false),
        ("sip:500@a.example:5070", "sip:500@a.example:5060", false),
        ("sips:500@a.example", "sip:500@a.example", false),
        ("tel:+1", "sip:+1@a.example", false),
        ("", "sip:500@a.example", false),
    ] {
        let credentials = Credentials {
            username: "alice".to_owned(),
            realm: "antiphon".to_owned(),
            nonce: nonce.clone(),
            uri: uri.to_owned(),
            response: "0".to_owned(),
            algorithm: None,
            opaque: None,
            qop: None,
        };
        let mut request = with(&credentials);
        request_uri.clone_into(&mut request.uri);
        let is_meant = server.is_meant(&request, ip(HERE), now);
        assert_eq!(is_meant, meant, "{uri} {request_uri}");
        // Under a nonce that is not for this address nothing is tried at all.
        assert!(server.is_meant(&request, ip("192.0.2.2"), now));
        // Another realm's are nobody's business here.
        let elsewhere = Credentials {
            realm: "elsewhere".to_owned(),
            ..credentials
        };
        let mut request = with(&elsewhere);
        request_uri.clone_into(&mut request.uri);
        assert!(server.is_meant(&request, ip(HERE), now));
    }
}

#[test]
fn a_nonce_belongs_to_whom_it_was_granted() {
    let mut server = server(Settings::default());
    let now = Instant::now();
    let mut client = client("alice", "secret");
    assert!(client.challenged(&refusal(&mut server, false, now)));
    let first = request(&mut client);
    assert!(!server.is_granted(&first, ip(HERE), now), "not yet");
    assert!(matches!(
        server.check(&first, ip(HERE), now),
        Verdict::Granted(_)
    ));
    assert!(server.is_granted(&first, ip(HERE), now));
    assert!(!server.is_granted(&first, ip("192.0.2.2"), now));
    let late = now + Settings::default().nonce_life + Duration::from_millis(1);
    assert!(!server.is_granted(&first, ip(HERE), late));
    let mut other = credentials(&first);
    other.username = "bob".to_owned();
    assert!(
        !server.is_granted(&with(&other), ip(HERE), now),
        "bob's it is not"
    );
}

#[test]
fn nothing_secret_is_shown() {
    let mut server = server(Settings::default());
    let mut client = client("alice", "secret");
    let now = Instant::now();
    assert!(client.challenged(&refusal(&mut server, false, now)));
    let request = request(&mut client);
    let credentials = credentials(&request);
    let shown = format!("{server:?} {client:?} {request:?} {credentials:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(!shown.contains(&credentials.response), "{shown}");
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let hash = algorithm_hash(algorithm);
        assert!(!shown.contains(&hash), "{shown}");
    }
}

fn algorithm_hash(algorithm: Algorithm) -> String {
    use sha2::Digest as _;
    let text = "alice:antiphon:secret";
    match algorithm {
        Algorithm::Md5 => super::digest::hex(&md5::Md5::digest(text)),
        Algorithm::Sha256 => super::digest::hex(&sha2::Sha256::digest(text)),
    }
}

#[test]
fn what_is_refused() {
    let good = "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:h\", response=\"0\"";
    assert!(Credentials::parse(good).is_ok());
    let fault = |text: &str| Credentials::parse(text).unwrap_err();
    assert_eq!(fault("Basic abc"), HeaderFault::Scheme);
    assert_eq!(fault(""), HeaderFault::Scheme);
    assert_eq!(fault("Digest"), HeaderFault::Missing("username"));
    let more = |text: &str| fault(&format!("{good}, {text}"));
    assert_eq!(more("username=\"b\""), HeaderFault::Repeated);
    assert_eq!(more("REALM=\"b\""), HeaderFault::Repeated);
    assert_eq!(more("x=1, x=2"), HeaderFault::Repeated);
    assert_eq!(more("qop=auth-int"), HeaderFault::Value("qop"));
    assert_eq!(more("qop=auth, cnonce=1"), HeaderFault::Missing("nc"));
    for nc in ["1", "0000001g", "000000001", "-0000001", "+0000001"] {
        let text = format!("qop=auth, cnonce=1, nc={nc}");
        assert_eq!(more(&text), HeaderFault::Value("nc"), "{nc}");
    }
    for text in ["x", "=1", "x=", "x=\"", "x=\"a\"b", "x=a b", "x y=1"] {
        assert_eq!(more(text), HeaderFault::Syntax, "{text}");
    }
    let many = (0..40).map(|n| format!("x{n}=1")).collect::<Vec<_>>();
    assert_eq!(more(&many.join(", ")), HeaderFault::Syntax);
    assert_eq!(
        more(&format!("x=\"{}\"", "y".repeat(5000))),
        HeaderFault::Syntax
    );
    // What nobody knows is no fault; quotes and escapes are taken away, commas in them are text.
    let odd = format!("{good}, foo=bar, baz=\"a, \\\"b\\\"=c\", ,");
    assert!(Credentials::parse(&odd).is_ok());
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".{0,200}") {
        let _ = Credentials::parse(&text);
        let _ = Challenge::parse(&text);
        let _ = Credentials::parse(&format!("Digest {text}"));
        let _ = Challenge::parse(&format!("Digest {text}"));
    }

    #[test]
    fn credentials_read_as_they_were_written(
        username in "[^\\x00-\\x1f\\x7f]{0,20}",
        realm in "[^\\x00-\\x1f\\x7f]{0,20}",
        uri in "[ -~]{0,20}",
        nc in any::<u32>(),
        cnonce in "[ -~]{0,10}",
        old in any::<bool>(),
        sha in any::<bool>(),
    ) {
        let written = Credentials {
            username, realm, uri,
            nonce: "n\"o".to_owned(),
            response: "00ff".to_owned(),
            algorithm: Some(if sha { Algorithm::Sha256 } else { Algorithm::Md5 }),
            opaque: None,
            qop: (!old).then_some(Qop { nc, cnonce }),
        };
        prop_assert_eq!(Credentials::parse(&written.to_string()), Ok(written));
    }

    #[test]
    fn a_doubled_parameter_is_refused(n in 0usize..5) {
        let params = ["username=\"a\"", "realm=\"r\"", "nonce=\"n\"", "uri=\"u\"", "response=\"0\""];
        let text = format!("Digest {}, {}", params.join(", "), params[n]);
        prop_assert_eq!(Credentials::parse(&text), Err(HeaderFault::Repeated));
    }
}
