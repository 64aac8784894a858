//! Who is not heard for a while, and who cannot be made to be by others: in simulated time.

use crate::support::sim;

use std::net::IpAddr;
use std::time::Duration;

use antiphon::endpoint::{BanSettings, Offence, Scope};
use antiphon::sip::auth::Credentials;
use antiphon::sip::header::Name;
use antiphon::sip::message::Request;
use antiphon::sip::method::Method;
use antiphon::sip::transport::Flow;
use antiphon::switch::Demand;
use sim::access::{Door, PASSWORD, access, client, guarded_routes, tcp, udp};

const HERE: &str = "192.0.2.1";
const TRUSTED: &str = "10.5.0.1";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn door() -> Door {
    let demand = Demand {
        register: true,
        ..Demand::default()
    };
    Door::new(access(), demand, guarded_routes())
}

/// Guesses passwords until nothing is answered any more: guesses.
fn guess(door: &mut Door, flow: Flow) -> u32 {
    for n in 1..100 {
        let register = door.request(Method::Register, "alice");
        let Some(response) = door.send(&register, flow) else {
            return n - 1;
        };
        let mut guesser = client("alice", "guess");
        assert!(guesser.challenged(&response));
        let mut register = door.again(&register);
        guesser.authorize(&mut register);
        assert_eq!(door.status(&register, flow), 401);
    }
    panic!("nobody stops it");
}

/// Asks for what needs a user, and never says who it is: how often it was answered.
fn knock(door: &mut Door, flow: Flow, times: u32) -> u32 {
    let knock = |_| {
        let register = door.request(Method::Register, "alice");
        u32::from(door.send(&register, flow).is_some())
    };
    (0..times).map(knock).sum()
}

#[test]
fn who_guesses_passwords_is_banned_for_longer_each_time() {
    let mut door = door();
    for (times, minutes) in [(1, 10), (2, 20), (3, 40), (4, 80)] {
        // With a nonce in hand UDP is as good as TCP: the guesser has received it.
        assert_eq!(guess(&mut door, udp(HERE)), 10);
        let ban = door.bans.pop().unwrap();
        assert_eq!((ban.scope, ban.times), (Scope::All, times));
        assert_eq!(ban.reason, Offence::FailedAuthentication);
        assert_eq!(ban.address(), HERE);
        let options = door.request(Method::Options, "x");
        assert_eq!(door.status(&options, udp(HERE)), 0);
        assert_eq!(door.status(&options, tcp(HERE)), 0, "on every transport");
        assert_eq!(
            door.status(&options, udp("192.0.2.2")),
            200,
            "others are heard"
        );
        door.pass(SECOND * (60 * minutes - 1));
        let options = door.request(Method::Options, "x");
        assert_eq!(door.status(&options, udp(HERE)), 0);
        door.pass(SECOND * 2);
        let options = door.request(Method::Options, "x");
        assert_eq!(door.status(&options, udp(HERE)), 200, "over");
    }
    assert!(door.switch.bans(door.now).is_empty());
    door.pass(MINUTE * 200);
    guess(&mut door, udp(HERE));
    assert_eq!(door.bans.pop().unwrap().times, 1, "long ago is forgotten");
}

#[test]
fn a_phone_with_an_old_password_is_not_banned() {
    let mut door = door();
    for _ in 0..100 {
        let register = door.request(Method::Register, "alice");
        let mut phone = client("alice", "old");
        assert_eq!(door.login(&register, udp(HERE), &mut phone), 401);
        door.pass(SECOND * 30);
    }
    assert!(door.bans.is_empty());
}

#[test]
fn a_crowd_behind_one_address_that_knows_its_passwords_is_not_banned() {
    let mut door = door();
    for _ in 0..500 {
        let register = door.request(Method::Register, "alice");
        let mut phone = client("alice", PASSWORD);
        assert_eq!(door.login(&register, tcp(HERE), &mut phone), 200);
    }
    assert!(door.bans.is_empty());
}

#[test]
fn scanners_get_no_answer_and_are_banned() {
    let named: [(Name, &str); 3] = [
        (Name::UserAgent, "friendly-SCANNER v1"),
        (Name::From, "\"SIPvicious\" <sip:100@1.1.1.1>;tag=1"),
        (Name::To, "\"sipvicious\" <sip:100@1.1.1.1>"),
    ];
    for (name, value) in named {
        for (flow, scope) in [(udp(HERE), Scope::Udp), (tcp(HERE), Scope::All)] {
            let mut door = door();
            let scan = |door: &mut Door| {
                let mut scan = door.request(Method::Options, "100");
                scan.headers.set(name.clone(), value);
                scan
            };
            for _ in 0..3 {
                let scan = scan(&mut door);
                assert_eq!(door.status(&scan, flow), 0);
            }
            let ban = door.bans.pop().unwrap();
            assert_eq!((ban.scope, ban.reason), (scope, Offence::Scanner));
        }
    }
    let mut door = door();
    let mut honest = door.request(Method::Options, "x");
    honest.headers.set(Name::UserAgent, "friendly phone");
    assert_eq!(door.status(&honest, udp(HERE)), 200);
}

#[test]
fn each_kind_of_offence_counts() {
    let broken = |door: &mut Door, flow| {
        door.datagram(b"HELLO\r\n\r\n", flow);
    };
    let bad = |door: &mut Door, flow| {
        let mut request = door.request(Method::Options, "x");
        request.headers.set(Name::CSeq, "1 INVITE");
        door.send(&request, flow);
    };
    let unknown = |door: &mut Door, flow| {
        let request = door.request(Method::Invite, "nobody");
        door.send(&request, flow);
    };
    let fast = |door: &mut Door, flow| {
        for _ in 0..10 {
            let request = door.request(Method::Invite, "510");
            door.send(&request, flow);
        }
    };
    type Offend<'a> = &'a dyn Fn(&mut Door, Flow);
    let cases: [(Offence, Offend<'_>); 4] = [
        (Offence::Malformed, &broken),
        (Offence::Malformed, &bad),
        (Offence::UnknownUser, &unknown),
        (Offence::RateExcess, &fast),
    ];
    for (offence, offend) in cases {
        for (flow, scope) in [(tcp(HERE), Scope::All), (udp(HERE), Scope::Udp)] {
            // Nobody has to be a user: else an unknown one is asked for, and not told.
            let mut door = Door::new(access(), Demand::default(), sim::routes());
            for _ in 0..100 {
                offend(&mut door, flow);
            }
            let ban = door.bans.first().unwrap_or_else(|| panic!("{offence:?}"));
            assert_eq!((ban.reason, ban.scope), (offence, scope));
            assert_eq!(door.bans.len(), 1, "told once");
        }
        let mut door = Door::new(access(), Demand::default(), sim::routes());
        for _ in 0..100 {
            offend(&mut door, udp(TRUSTED));
        }
        assert!(door.bans.is_empty(), "{offence:?}: trusted");
    }
}

#[test]
fn trusted_peers_have_no_limit_of_their_own() {
    let mut door = Door::new(access(), Demand::default(), sim::routes());
    for (flow, limited) in [(udp(TRUSTED), false), (udp(HERE), true)] {
        let statuses: Vec<u16> = (0..300)
            .map(|_| {
                let invite = door.request(Method::Invite, "510");
                door.status(&invite, flow)
            })
            .collect();
        assert_eq!(statuses.contains(&503), limited, "{flow:?}");
    }
}

/// What others send in somebody's name over UDP shuts out new requests over UDP without a nonce, but
/// for one each second: not a stream, not a dialog, not who shows a nonce.
#[test]
fn a_forged_source_leaves_its_owner_a_way_in() {
    let mut door = door();
    // The owner has a nonce from before, which it has not used yet.
    let register = door.request(Method::Register, "alice");
    let mut owner = client("alice", PASSWORD);
    assert!(owner.challenged(&door.send(&register, udp(HERE)).unwrap()));
    assert_eq!(
        knock(&mut door, udp(HERE), 1000),
        30,
        "then one in each second"
    );
    let ban = door.bans.pop().unwrap();
    assert_eq!(
        (ban.scope, ban.reason),
        (Scope::Udp, Offence::UnansweredChallenge)
    );
    let options = door.request(Method::Options, "x");
    assert_eq!(door.status(&options, udp(HERE)), 0);
    assert_eq!(door.status(&options, tcp(HERE)), 200, "a stream");
    let mut stray = door.request(Method::Bye, "x");
    stray.headers.set(Name::To, "<sip:x@h>;tag=1");
    assert_eq!(
        door.status(&stray, udp(HERE)),
        481,
        "a dialog is looked for"
    );
    let mut forged = door.request(Method::Register, "alice");
    let made_up =
        "Digest username=\"alice\", realm=\"antiphon\", nonce=\"00\", uri=\"x\", response=\"0\"";
    forged.headers.set(Name::Authorization, made_up);
    assert_eq!(door.status(&forged, udp(HERE)), 0, "a nonce of nobody");
    door.pass(SECOND);
    assert_eq!(knock(&mut door, udp(HERE), 100), 1, "one in each second");
    let mut register = door.again(&register);
    owner.authorize(&mut register);
    assert_eq!(door.status(&register, udp(HERE)), 200, "its nonce");
    let options = door.request(Method::Options, "x");
    assert_eq!(door.status(&options, udp(HERE)), 200, "a password ends it");
    assert!(door.switch.bans(door.now).is_empty() && door.bans.is_empty());
}

#[test]
fn who_has_shown_a_password_cannot_be_banned_by_forged_packets() {
    let mut door = door();
    let register = door.request(Method::Register, "alice");
    let mut owner = client("alice", PASSWORD);
    assert_eq!(door.login(&register, udp(HERE), &mut owner), 200);
    assert_eq!(knock(&mut door, udp(HERE), 1000), 1000);
    for _ in 0..1000 {
        door.datagram(b"HELLO\r\n\r\n", udp(HERE));
    }
    assert!(door.bans.is_empty());
    // But for wrong passwords with a nonce of ours it is.
    assert_eq!(guess(&mut door, udp(HERE)), 10);
}

#[test]
fn a_ban_is_lifted_by_hand() {
    let mut door = door();
    guess(&mut door, tcp("2001:db8::1"));
    let bans = door.switch.bans(door.now);
    assert_eq!(bans.len(), 1);
    assert_eq!(bans[0].address(), "2001:db8::/64");
    let options = door.request(Method::Options, "x");
    assert_eq!(door.status(&options, tcp("2001:db8::2")), 0, "its /64");
    let source = "2001:db8::3".parse().unwrap();
    assert!(door.switch.lift_ban(source, door.now));
    assert!(!door.switch.lift_ban(source, door.now));
    let options: Request = door.again(&options);
    assert_eq!(door.status(&options, tcp("2001:db8::1")), 200);
}

/// What SIGHUP does: who is trusted from now on is heard again, who was is a stranger.
#[test]
fn trusted_peers_and_scanners_change_while_it_runs() {
    let mut door = door();
    guess(&mut door, udp(HERE));
    assert_eq!(door.switch.bans(door.now).len(), 1);
    let trusted = vec!["192.0.2.1/32".parse().unwrap()];
    door.switch
        .set_peers(trusted, vec!["Sip-Saw".to_owned()], door.now);
    let options = door.request(Method::Options, "x");
    assert_eq!(door.status(&options, udp(HERE)), 200);
    assert!(door.switch.bans(door.now).is_empty(), "forgiven");
    assert_eq!(door.unbanned.len(), 1, "and told");
    for (agent, status) in [("friendly-scanner", 200), ("SIP-SAW 1", 0)] {
        let mut scan = door.request(Method::Options, "x");
        scan.headers.set(Name::UserAgent, agent);
        assert_eq!(door.status(&scan, udp("192.0.2.7")), status, "{agent}");
    }
    assert_eq!(guess(&mut door, udp(TRUSTED)), 10, "trusted no more");
}

/// What SIGHUP does with the rules of bans: running ones stay, as far as the new rules allow them.
#[test]
fn the_rules_of_bans_change_while_it_runs() {
    let mut door = door();
    guess(&mut door, udp(HERE));
    let options = |door: &mut Door| {
        let options = door.request(Method::Options, "x");
        door.status(&options, udp(HERE))
    };
    let rules = BanSettings {
        failed_authentication: 3,
        max_length: MINUTE * 5,
        ..BanSettings::default()
    };
    door.switch.set_bans(Some(rules), door.now);
    assert_eq!(options(&mut door), 0, "it stays");
    assert!(door.unbanned.is_empty());
    door.pass(MINUTE * 5);
    assert_eq!(options(&mut door), 200, "and is shorter");
    assert_eq!(guess(&mut door, udp("192.0.2.7")), 3);
    let rules = BanSettings {
        failed_authentication: 0,
        ..rules
    };
    door.switch.set_bans(Some(rules), door.now);
    assert_eq!(options(&mut door), 200);
    assert_eq!(door.unbanned, ["192.0.2.7".parse::<IpAddr>().unwrap()]);
    let scan = |door: &mut Door| {
        let mut scan = door.request(Method::Options, "x");
        scan.headers.set(Name::UserAgent, "sipvicious");
        door.send(&scan, tcp(HERE));
    };
    scan(&mut door);
    assert_eq!(options(&mut door), 0);
    door.switch.set_bans(None, door.now);
    scan(&mut door);
    assert_eq!(options(&mut door), 200, "nobody is banned any more");
    assert!(door.switch.bans(door.now).is_empty());
}

/// A request with credentials that are wrong, under a nonce that was read on the way.
fn wrong(door: &mut Door, seen: &Request, user: &str) -> Request {
    let mut forged = door.request(Method::Register, user);
    let words = seen.headers.get(&Name::Authorization).unwrap();
    let mut words = Credentials::parse(words).unwrap();
    user.clone_into(&mut words.username);
    words.qop.as_mut().unwrap().nc = 500;
    words.uri.clone_from(&forged.uri);
    forged.headers.set(Name::Authorization, words.to_string());
    forged
}

/// Who reads a phone's nonce and forges its address cannot take the phone's place on streams, nor its
/// dialogs, nor what it has been granted.
#[test]
fn a_nonce_read_on_the_way_does_not_shut_out_its_owner() {
    for user in ["alice", "bob"] {
        let mut door = door();
        let mut alice = client("alice", PASSWORD);
        let register = door.request(Method::Register, "alice");
        assert_eq!(door.login(&register, udp(HERE), &mut alice), 200);
        let mut seen = door.again(&register);
        alice.authorize(&mut seen);
        assert_eq!(door.status(&seen, udp(HERE)), 200);
        for _ in 0..100 {
            let forged = wrong(&mut door, &seen, user);
            door.send(&forged, udp(HERE));
        }
        let ban = door.bans.pop().unwrap();
        assert_eq!(
            (ban.scope, ban.reason),
            (Scope::Udp, Offence::FailedAuthentication)
        );
        assert!(door.bans.is_empty());
        let mut next = door.again(&register);
        alice.authorize(&mut next);
        assert_eq!(
            door.status(&next, udp(HERE)),
            200,
            "what was granted goes on"
        );
        let mut fresh = client("alice", PASSWORD);
        assert_eq!(door.login(&register, tcp(HERE), &mut fresh), 200, "streams");
        let mut bye = door.request(Method::Bye, "500");
        bye.headers.set(Name::To, "<sip:500@h>;tag=x");
        assert_eq!(door.status(&bye, udp(HERE)), 481, "dialogs");
    }
}

/// With an account of one's own nobody guesses for longer than without.
#[test]
fn who_has_an_account_cannot_guess_others() {
    let mut door = door();
    let mut own = client("alice", PASSWORD);
    let register = door.request(Method::Register, "alice");
    assert_eq!(door.login(&register, udp(HERE), &mut own), 200);
    let mut tried = 0;
    for round in 0..50 {
        let mut good = door.again(&register);
        own.authorize(&mut good);
        assert_eq!(door.status(&good, udp(HERE)), 200, "{round}");
        // A new nonce for each guess, and the one that is granted.
        let ask = door.request(Method::Register, "bob");
        if let Some(challenge) = door.send(&ask, udp(HERE)) {
            let mut guesser = client("bob", &format!("guess {round}"));
            assert!(guesser.challenged(&challenge));
            let mut guess = door.again(&ask);
            guesser.authorize(&mut guess);
            tried += u32::from(door.send(&guess, udp(HERE)).is_some());
        }
        let guess = wrong(&mut door, &good, "bob");
        tried += u32::from(door.send(&guess, udp(HERE)).is_some());
        door.pass(SECOND);
    }
    assert!((10..=12).contains(&tried), "{tried}");
    door.pass(SECOND * 590);
    let ask = door.request(Method::Options, "x");
    assert_eq!(door.status(&ask, udp(HERE)), 200, "over");
}

/// Nor on a stream: what own logins answer, and those of others behind the same address, pays for no wrong
/// password.
#[test]
fn who_has_an_account_cannot_guess_others_on_a_stream() {
    let mut door = door();
    let mut own = client("alice", PASSWORD);
    let register = door.request(Method::Register, "alice");
    assert_eq!(door.login(&register, tcp(HERE), &mut own), 200);
    let mut tried = 0;
    while door.bans.is_empty() && tried < 50 {
        for _ in 0..5 {
            let mut good = door.again(&register);
            own.authorize(&mut good);
            assert_eq!(door.status(&good, tcp(HERE)), 200);
        }
        let another = door.request(Method::Register, "alice");
        let mut neighbour = client("alice", PASSWORD);
        assert_eq!(door.login(&another, tcp(HERE), &mut neighbour), 200);
        let ask = door.request(Method::Register, "bob");
        let mut guesser = client("bob", &format!("guess {tried}"));
        assert_eq!(door.login(&ask, tcp(HERE), &mut guesser), 401);
        tried += 1;
    }
    assert_eq!(tried, 10);
    let ban = door.bans.pop().unwrap();
    assert_eq!(
        (ban.scope, ban.reason),
        (Scope::All, Offence::FailedAuthentication)
    );
}
