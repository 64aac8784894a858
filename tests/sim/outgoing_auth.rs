//! Calls that the server places to who asks who calls: 401, 407, in simulated time.

use crate::support::sim;

use std::sync::Arc;
use std::time::Duration;

use antiphon::app::{AppSpec, DtmfMethod, ScriptDigits, ScriptSpec, StasisSpec};
use antiphon::call::{CallHandle, EndReason};
use antiphon::endpoint;
use antiphon::sip::auth::Verdict;
use antiphon::sip::auth::{
    Algorithm, Authenticator, Credentials, Ha1, Key, Login, Settings, Users,
};
use antiphon::sip::header::Name;
use antiphon::sip::message::{Message, Request, Response};
use antiphon::sip::method::Method;
use antiphon::sip::transport::{ConnectionId, Flow, Transport};
use antiphon::switch::Input;
use sim::{SERVER_IP, World, flow};

/// A phone that asks who calls.
struct Asking {
    world: World,
    phone: usize,
    handle: CallHandle,
    authenticator: Authenticator,
}

fn placed(password: &str, algorithms: &[Algorithm]) -> (Asking, Request) {
    let spec = AppSpec::Script(ScriptSpec {
        length: Some(Duration::from_secs(2)),
        ..ScriptSpec::default()
    });
    placed_for(spec, password, algorithms, 5060)
}

/// A call to a phone at this port, which asks nothing.
fn placed_at(port: u16) -> (Asking, Request) {
    let spec = AppSpec::Script(ScriptSpec {
        length: Some(Duration::from_secs(2)),
        ..ScriptSpec::default()
    });
    placed_for(spec, "secret", &[], port)
}

/// A call with this application.
fn placed_for(
    spec: AppSpec,
    password: &str,
    algorithms: &[Algorithm],
    port: u16,
) -> (Asking, Request) {
    let mut world = World::new(71);
    let phone = world.phone();
    world.phones[phone].sip.set_port(port);
    let (to, now) = (world.phones[phone].sip, world.now());
    let uri = format!("sip:bob@{to}");
    let handle = world
        .switch
        .originate(uri, "us".into(), flow(to), vec![], spec, now);
    let login = Login {
        user: "us".to_owned(),
        password: password.to_owned(),
    };
    world.switch.set_login(handle, Arc::new(login));
    world.carry_out();
    let invite = world.expect_request(phone, &Method::Invite);
    world.phones[phone].called(&invite);
    let mut users = Users::default();
    for &algorithm in algorithms {
        users.add("us", algorithm, Ha1::new(algorithm, "us", "r", "secret"));
    }
    let settings = Settings {
        realm: "r".to_owned(),
        algorithms: algorithms.to_vec(),
        nonce_life: Duration::from_secs(1),
        ..Settings::default()
    };
    let authenticator = Authenticator::new(settings, users, [Key([1; 32]), Key([2; 32])]);
    let asking = Asking {
        world,
        phone,
        handle,
        authenticator,
    };
    (asking, invite)
}

const BOTH: &[Algorithm] = &[Algorithm::Md5, Algorithm::Sha256];

impl Asking {
    fn refuse(&mut self, request: &Request, status: u16, stale: bool) {
        let name = match status {
            401 => Name::WwwAuthenticate,
            _ => Name::ProxyAuthenticate,
        };
        let mut response = self.world.phones[self.phone].response(request, status);
        let now = self.world.now();
        for value in self.authenticator.challenge(stale, SERVER_IP, now) {
            response.headers.push(name.clone(), value);
        }
        self.world.reply(self.phone, &response);
        if request.method == Method::Invite {
            let ack = self.world.expect_request(self.phone, &Method::Ack);
            assert_eq!(ack.headers.cseq().unwrap().number, cseq(request));
        }
    }

    fn verdict(&mut self, request: &Request) -> Verdict {
        let mut request = request.clone();
        let proxy = request.headers.get(&Name::ProxyAuthorization);
        if let Some(value) = proxy.map(str::to_owned) {
            request.headers.set(Name::Authorization, value);
        }
        let now = self.world.now();
        self.authenticator.check(&request, SERVER_IP, now)
    }

    #[track_caller]
    fn granted(&mut self, request: &Request) {
        assert_eq!(self.verdict(request), Verdict::Granted("us".to_owned()));
    }

    fn expect(&mut self, method: &Method) -> Request {
        self.world.expect_request_within(self.phone, method, 2500)
    }

    fn answer(&mut self, invite: &Request) -> Request {
        self.answer_with(invite, None)
    }

    /// The same with this header field in the 200.
    fn answer_with(&mut self, invite: &Request, field: Option<(Name, &str)>) -> Request {
        let world = &mut self.world;
        let mut ok = world.phones[self.phone].response(invite, 200);
        if let Some((name, value)) = field {
            ok.headers.set(name, value);
        }
        ok.headers.set(Name::ContentType, "application/sdp");
        ok.body = world.phones[self.phone].sdp("sendrecv").into_bytes();
        world.reply(self.phone, &ok);
        let ack = world.expect_request(self.phone, &Method::Ack);
        world.speak(self.phone);
        ack
    }

    fn ok(&mut self, request: &Request) {
        let ok: Response = self.world.phones[self.phone].response(request, 200);
        self.world.reply(self.phone, &ok);
        self.world.hush(self.phone);
    }

    fn ends(mut self, reason: &EndReason) {
        self.world.run(300);
        let ended = self.world.events.iter().find_map(|event| match event {
            antiphon::switch::Event::Ended(summary) => Some(summary.reason.clone()),
            _ => None,
        });
        assert_eq!(ended.as_ref(), Some(reason));
        self.world.run(40_000);
        self.world.check_empty();
    }
}

fn cseq(request: &Request) -> u32 {
    request.headers.cseq().unwrap().number
}

fn credentials(request: &Request, name: &Name) -> Credentials {
    Credentials::parse(request.headers.get(name).expect("credentials")).unwrap()
}

#[test]
fn asked_once_it_says_who_it_is_to_the_end() {
    for (status, name) in [(401, Name::Authorization), (407, Name::ProxyAuthorization)] {
        let (mut asking, first) = placed("secret", BOTH);
        assert!(!first.headers.contains(&name));
        asking.refuse(&first, status, false);
        let second = asking.expect(&Method::Invite);
        assert_eq!(cseq(&second), cseq(&first) + 1);
        for same in [Name::CallId, Name::From, Name::To] {
            assert_eq!(second.headers.get(&same), first.headers.get(&same));
        }
        assert_eq!(second.body, first.body);
        let branch = |r: &Request| r.headers.via().unwrap().branch().unwrap().to_owned();
        assert_ne!(branch(&second), branch(&first));
        let said = credentials(&second, &name);
        assert_eq!(said.algorithm, Some(Algorithm::Sha256), "the strongest");
        asking.granted(&second);
        let ack = asking.answer(&second);
        assert_eq!(ack.headers.get(&name), second.headers.get(&name));
        assert_eq!(cseq(&ack), cseq(&second));
        let bye = asking.expect(&Method::Bye);
        assert_eq!(credentials(&bye, &name).qop.unwrap().nc, 2, "unasked");
        assert_eq!(cseq(&bye), cseq(&second) + 1);
        asking.ok(&bye);
        asking.ends(&EndReason::HungUp);
    }
}

#[test]
fn md5_alone_is_answered_with_md5() {
    let (mut asking, first) = placed("secret", &[Algorithm::Md5]);
    asking.refuse(&first, 401, false);
    let second = asking.expect(&Method::Invite);
    let said = credentials(&second, &Name::Authorization);
    assert_eq!(said.algorithm, Some(Algorithm::Md5));
    asking.granted(&second);
    asking.answer(&second);
    let bye = asking.expect(&Method::Bye);
    asking.ok(&bye);
    asking.ends(&EndReason::HungUp);
}

#[test]
fn a_wrong_password_is_tried_once() {
    let (mut asking, first) = placed("wrong", BOTH);
    asking.refuse(&first, 401, false);
    let second = asking.expect(&Method::Invite);
    assert!(matches!(asking.verdict(&second), Verdict::Wrong { .. }));
    asking.refuse(&second, 401, false);
    asking.world.expect_nothing(asking.phone, 1000);
    asking.ends(&EndReason::Rejected(401, "Unauthorized".to_owned()));
}

#[test]
fn an_old_nonce_is_replaced_but_not_for_ever() {
    let (mut asking, mut invite) = placed("secret", BOTH);
    asking.refuse(&invite, 401, false);
    for _ in 0..3 {
        invite = asking.expect(&Method::Invite);
        asking.refuse(&invite, 401, true);
    }
    invite = asking.expect(&Method::Invite);
    assert_eq!(cseq(&invite), 5);
    asking.refuse(&invite, 401, true);
    asking.world.expect_nothing(asking.phone, 1000);
    asking.ends(&EndReason::Rejected(401, "Unauthorized".to_owned()));
}

/// Something of the phone comes by this connection, which then ends.
fn came_by_a_connection(asking: &mut Asking) {
    let (world, phone) = (&mut asking.world, asking.phone);
    let remote = world.phones[phone].sip;
    let connection = ConnectionId(1);
    let by = Flow {
        transport: Transport::Tcp,
        connection: Some(connection),
        ..flow(remote)
    };
    let message = Message::Request(world.phones[phone].request(Method::Options));
    for input in [
        endpoint::Input::Message { flow: by, message },
        endpoint::Input::ConnectionClosed(connection),
    ] {
        let now = world.now();
        world.switch.handle(Input::Sip(input), now);
        world.carry_out();
    }
    world.expect(phone, 200);
}

#[test]
fn a_bye_that_waited_for_the_name_of_its_hop_is_sent_again() {
    let (mut asking, first) = placed("secret", BOTH);
    asking.refuse(&first, 407, false);
    let second = asking.expect(&Method::Invite);
    let proxy = "<sip:proxy.example.com;transport=tcp;lr>";
    asking.answer_with(&second, Some((Name::RecordRoute, proxy)));
    came_by_a_connection(&mut asking);
    let way = Flow {
        transport: Transport::Tcp,
        ..flow(asking.world.phones[asking.phone].sip)
    };
    asking.world.ways = Ok((way, Vec::new()));
    let bye = asking.expect(&Method::Bye);
    assert_eq!(bye.headers.get(&Name::Route), Some(proxy));
    let said = credentials(&bye, &Name::ProxyAuthorization);
    assert_eq!(said.qop.unwrap().nc, 2, "unasked");
    asking.refuse(&bye, 407, true);
    let again = asking.expect(&Method::Bye);
    assert_eq!(cseq(&again), cseq(&bye) + 1);
    asking.granted(&again);
    asking.ok(&again);
    asking.ends(&EndReason::HungUp);
}

/// Its own port is known to listen, whatever the transport's is.
#[test]
fn a_bye_whose_hop_nobody_knows_goes_where_we_have_called() {
    let (mut asking, first) = placed_at(5070);
    let contact = "<sip:bob@phone.example.com;transport=tcp>";
    asking.answer_with(&first, Some((Name::Contact, contact)));
    came_by_a_connection(&mut asking);
    let bye = asking.expect(&Method::Bye);
    let taken = asking.world.last_path.unwrap();
    assert_eq!(
        (taken.transport, taken.remote.port()),
        (Transport::Tcp, 5070)
    );
    asking.ok(&bye);
    asking.ends(&EndReason::HungUp);
}

#[test]
fn a_bye_with_an_old_nonce_is_sent_again() {
    let (mut asking, first) = placed("secret", BOTH);
    asking.refuse(&first, 401, false);
    let second = asking.expect(&Method::Invite);
    asking.granted(&second);
    asking.answer(&second);
    let bye = asking.expect(&Method::Bye);
    assert_eq!(asking.verdict(&bye), Verdict::Stale { proven: true });
    // Before the BYE is repeated.
    asking.world.run(300);
    assert_eq!(asking.world.switch.calls(), 0, "the call is gone");
    asking.refuse(&bye, 401, true);
    let again = asking.expect(&Method::Bye);
    assert_eq!(cseq(&again), cseq(&bye) + 1);
    asking.granted(&again);
    asking.ok(&again);
    asking.ends(&EndReason::HungUp);
}

#[test]
fn hung_up_while_it_is_asked_it_says_nothing_more() {
    let (mut asking, first) = placed("secret", BOTH);
    let ringing = asking.world.phones[asking.phone].response(&first, 180);
    asking.world.reply(asking.phone, &ringing);
    asking.world.run(50);
    let now = asking.world.now();
    asking.world.switch.hang_up(asking.handle, now);
    asking.world.carry_out();
    let cancel = asking.expect(&Method::Cancel);
    let ok = asking.world.phones[asking.phone].response(&cancel, 200);
    asking.world.reply(asking.phone, &ok);
    asking.refuse(&first, 401, false);
    asking.world.expect_nothing(asking.phone, 1000);
    asking.ends(&EndReason::HungUp);
}

/// RFC 3261 §13.2.2.4.
#[test]
fn the_ack_of_a_reinvite_says_who_we_are_too() {
    let spec = AppSpec::Script(ScriptSpec::default());
    let (mut asking, first) = placed_for(spec, "secret", BOTH, 5060);
    asking.refuse(&first, 407, false);
    let second = asking.expect(&Method::Invite);
    let world = &mut asking.world;
    let mut ok = world.phones[asking.phone].response(&second, 200);
    ok.headers.push(Name::SessionExpires, "100;refresher=uac");
    ok.headers.push(Name::Require, "timer");
    ok.headers.push(Name::Allow, "INVITE");
    ok.headers.set(Name::ContentType, "application/sdp");
    ok.body = world.phones[asking.phone].sdp("sendrecv").into_bytes();
    world.reply(asking.phone, &ok);
    world.expect_request(asking.phone, &Method::Ack);
    world.speak(asking.phone);
    let refresh = world.expect_request_within(asking.phone, &Method::Invite, 51_000);
    let ack = asking.answer(&refresh);
    let name = Name::ProxyAuthorization;
    assert!(ack.headers.contains(&name));
    assert_eq!(ack.headers.get(&name), refresh.headers.get(&name));
    let now = asking.world.now();
    asking.world.switch.hang_up(asking.handle, now);
    asking.world.carry_out();
    let bye = asking.expect(&Method::Bye);
    asking.ok(&bye);
    asking.ends(&EndReason::HungUp);
}

#[test]
fn a_digit_is_sent_again_to_who_asks_who_presses_it() {
    let ms = Duration::from_millis;
    let spec = AppSpec::Script(ScriptSpec {
        digits: ScriptDigits::parse("12", DtmfMethod::Info, ms(100), ms(80)),
        length: Some(Duration::from_secs(5)),
        ..ScriptSpec::default()
    });
    let (mut asking, invite) = placed_for(spec, "secret", BOTH, 5060);
    asking.answer(&invite);
    let mut digits = Vec::new();
    let signal = |info: &Request| String::from_utf8(info.body.clone()).unwrap();
    let asked = asking.expect(&Method::Info);
    asking.refuse(&asked, 407, false);
    for _ in 0..2 {
        let info = asking.expect(&Method::Info);
        asking.granted(&info);
        digits.push(signal(&info));
        let ok = asking.world.phones[asking.phone].response(&info, 200);
        asking.world.reply(asking.phone, &ok);
    }
    assert_eq!(digits[0], signal(&asked));
    assert!(digits[1].starts_with("Signal=2"), "{digits:?}");
    let bye = asking
        .world
        .expect_request_within(asking.phone, &Method::Bye, 6_000);
    asking.ok(&bye);
    asking.ends(&EndReason::HungUp);
}

#[test]
fn a_transfer_is_asked_for_again_by_name() {
    for password in ["secret", "wrong"] {
        let spec = AppSpec::Stasis(StasisSpec {
            app: "desk".to_owned(),
            ..StasisSpec::default()
        });
        let (mut asking, invite) = placed_for(spec, password, BOTH, 5060);
        asking.answer(&invite);
        asking.world.run(10);
        let now = asking.world.now();
        let to = "sip:else@192.0.2.7";
        let sent = asking.world.switch.redirect(asking.handle, to, now);
        assert!(sent.is_ok(), "{sent:?}");
        asking.world.carry_out();
        let refer = asking.expect(&Method::Refer);
        asking.refuse(&refer, 401, false);
        let again = asking.expect(&Method::Refer);
        assert_eq!(cseq(&again), cseq(&refer) + 1);
        let target = again.headers.get(&Name::ReferTo);
        assert_eq!(target, refer.headers.get(&Name::ReferTo));
        if password == "wrong" {
            asking.refuse(&again, 401, false);
            asking.world.expect_nothing(asking.phone, 1000);
            let now = asking.world.now();
            asking.world.switch.hang_up(asking.handle, now);
            asking.world.carry_out();
        } else {
            asking.granted(&again);
            let accepted = asking.world.phones[asking.phone].response(&again, 202);
            asking.world.reply(asking.phone, &accepted);
        }
        let bye = asking.expect(&Method::Bye);
        asking.ok(&bye);
        asking.ends(&EndReason::HungUp);
    }
}
