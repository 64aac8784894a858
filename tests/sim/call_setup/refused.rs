//! What is answered without a call.

use std::time::Duration;

use super::sim::{Setup, World};
use super::{check_end, one};
use antiphon::app::{AppSpec, StasisSpec};
use antiphon::call::EndReason;
use antiphon::sip::header::Name;
use antiphon::sip::method::Method;
use antiphon::switch::{BridgeNumber, Event, ProgramError};

/// Sends an INVITE that is refused, and acknowledges the refusal.
fn refused(
    world: &mut World,
    phone: usize,
    user: &str,
    status: u16,
) -> antiphon::sip::message::Response {
    let invite = world.phones[phone].invite(user);
    world.ask(phone, &invite, status)
}

#[test]
fn nothing_in_common_is_488_with_a_warning() {
    let (mut world, phone) = one();
    let mut invite = world.phones[phone].invite("500");
    let sdp = String::from_utf8(invite.body.clone()).unwrap();
    invite.body = sdp
        .replace(
            "RTP/AVP 0 8\r\n",
            "RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n",
        )
        .into();
    let response = world.ask(phone, &invite, 488);
    let warning = response.headers.get(&Name::Warning).unwrap();
    assert!(warning.starts_with("30"), "{warning}");
    world.run(40_000);
    world.check_empty();
}

#[test]
fn an_unknown_user_is_404() {
    let (mut world, phone) = one();
    refused(&mut world, phone, "nobody", 404);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn a_full_room_is_486_until_somebody_leaves() {
    let mut world = World::new(22);
    let phones = world.phones(3);
    world.dial(phones[0], "800");
    world.dial(phones[1], "800");
    refused(&mut world, phones[2], "800", 486);
    world.hang_up(phones[0]);
    world.run(100);
    world.dial(phones[2], "800");
    for &phone in &phones[1..] {
        world.hang_up(phone);
    }
    world.run(40_000);
    world.check_empty();
}

#[test]
fn two_late_offers_cannot_overfill_a_room() {
    let mut world = World::new(23);
    let phones = world.phones(3);
    world.dial(phones[0], "800");
    let mut answers = Vec::new();
    for &phone in &phones[1..] {
        let invite = world.phones[phone].invite_without_offer("800");
        world.send(phone, &invite);
        let ok = world.expect(phone, 200);
        world.phones[phone].learn(&ok);
        answers.push(ok);
    }
    for (&phone, ok) in phones[1..].iter().zip(&answers) {
        let mut ack = world.phones[phone].ack(ok);
        let sdp = world.phones[phone].sdp("sendrecv");
        super::put_sdp(&mut ack, &sdp);
        world.send(phone, &ack);
        world.speak(phone);
    }
    let bye = world.expect_request_within(phones[2], &Method::Bye, 200);
    let reply = world.phones[phones[2]].response(&bye, 200);
    world.reply(phones[2], &reply);
    world.run(1000);
    world.hang_up(phones[0]);
    world.hang_up(phones[1]);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn limits_are_503_with_retry_after() {
    let limited = |change: fn(&mut Setup)| {
        let mut setup = Setup::default();
        change(&mut setup);
        let mut world = World::with(setup);
        let phones = world.phones(2);
        world.dial(phones[0], "600");
        let response = refused(&mut world, phones[1], "601", 503);
        assert!(response.headers.contains(&Name::RetryAfter));
        world.hang_up(phones[0]);
        world.run(40_000);
        world.check_empty();
        world.dial(phones[1], "601");
        world.hang_up(phones[1]);
    };
    limited(|s| s.settings.max_calls = 1);
    limited(|s| s.settings.max_rooms = 1);
    limited(|s| s.ports = 1);
    limited(|s| {
        s.settings.bridges_per_worker = 1;
        s.settings.workers = 1;
    });
    limited(|s| {
        s.settings.legs_per_worker = 1;
        s.settings.workers = 1;
    });
}

/// What a program lets ring is not answered, and so is not waited for.
#[test]
fn calls_that_only_ring_are_not_unacknowledged() {
    let mut setup = Setup::default();
    setup.settings.unacknowledged = 4;
    setup.routes.0[0].spec = AppSpec::Stasis(StasisSpec {
        app: "program".to_owned(),
        args: Vec::new(),
        otherwise: None,
    });
    let mut world = World::with(setup);
    let phones = world.phones(8);
    let ring = |world: &mut World, phone: usize| {
        let invite = world.phones[phone].invite("500");
        world.send(phone, &invite);
        world.run(10);
        let id = &world.phones[phone].call_id;
        let started = world.events.iter().find_map(|event| match event {
            Event::Started { call, call_id, .. } if call_id == id => Some(*call),
            _ => None,
        });
        let call = started.unwrap();
        let now = world.now();
        world.switch.ring(call, now).unwrap();
        world.carry_out();
        world.expect(phone, 180);
        call
    };
    let calls: Vec<_> = phones[..6].iter().map(|&p| ring(&mut world, p)).collect();
    let mut answers = Vec::new();
    for (&phone, &call) in phones.iter().zip(&calls[..4]) {
        let now = world.now();
        world.switch.answer(call, now).unwrap();
        world.carry_out();
        answers.push(world.expect(phone, 200));
    }
    refused(&mut world, phones[6], "500", 503);
    let ack = world.phones[phones[0]].ack(&answers[0]);
    world.send(phones[0], &ack);
    world.run(10);
    ring(&mut world, phones[7]);
}

#[test]
fn a_room_that_is_for_nobody_does_not_begin() {
    let mut setup = Setup::default();
    for route in &mut setup.routes.0 {
        if let AppSpec::Conference(conference) = &mut route.spec {
            conference.max_members = 0;
        }
    }
    let mut world = World::with(setup);
    let phone = world.phone();
    refused(&mut world, phone, "600", 503);
    assert_eq!(world.switch.rooms(), 0);
    world.run(40_000);
    world.check_empty();
}

fn bridge(world: &mut World) -> Result<BridgeNumber, ProgramError> {
    let now = world.now();
    let made = world.switch.create_bridge(true, 10, now);
    world.carry_out();
    made
}

#[test]
fn rooms_and_programs_bridges_are_mixed_where_there_is_a_place_left() {
    let mut setup = Setup::default();
    setup.settings.bridges_per_worker = 2;
    let mut world = World::with(setup);
    let phones = world.phones(3);
    // The worker without the leg is the quieter one, also when it has no place left.
    world.dial(phones[2], "500");
    let bridges = [(); 3].map(|()| bridge(&mut world).unwrap());
    world.dial(phones[0], "600");
    assert_eq!(bridge(&mut world), Err(ProgramError::Full));
    refused(&mut world, phones[1], "601", 503);
    world.hang_up(phones[2]);
    for number in bridges {
        let now = world.now();
        world.switch.destroy_bridge(number, now).unwrap();
        world.carry_out();
    }
    world.hang_up(phones[0]);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn a_source_that_calls_too_fast_is_503() {
    let mut setup = Setup::default();
    setup.settings.endpoint.limits.calls_per_second_per_source = 2;
    let mut world = World::with(setup);
    let phones = world.phones(2);
    refused(&mut world, phones[0], "nobody", 404);
    refused(&mut world, phones[0], "nobody", 404);
    let response = refused(&mut world, phones[0], "nobody", 503);
    assert!(response.headers.contains(&Name::RetryAfter));
    refused(&mut world, phones[1], "nobody", 404);
    world.run(1000);
    refused(&mut world, phones[0], "nobody", 404);
}

#[test]
fn shutting_down_takes_no_calls_and_ends_those_there_are() {
    let mut world = World::new(24);
    let phones = world.phones(2);
    world.dial(phones[0], "500");
    world.switch.stop_accepting();
    let response = refused(&mut world, phones[1], "500", 503);
    assert!(response.headers.contains(&Name::RetryAfter));
    let now = world.now();
    world.switch.hang_up_all(&EndReason::Shutdown, now);
    world.carry_out();
    let bye = world.expect_request(phones[0], &Method::Bye);
    let reply = world.phones[phones[0]].response(&bye, 200);
    world.reply(phones[0], &reply);
    check_end(&mut world, phones[0], &EndReason::Shutdown);
}

#[test]
fn a_session_interval_that_is_too_small_is_422() {
    let (mut world, phone) = one();
    let mut invite = world.phones[phone].invite("500");
    invite.headers.push(Name::Supported, "timer");
    invite.headers.push(Name::SessionExpires, "60");
    let response = world.ask(phone, &invite, 422);
    assert_eq!(response.headers.min_se(), Ok(Some(90)));
    world.run(40_000);
    world.check_empty();
}

#[test]
fn register_and_options_are_answered() {
    let (mut world, phone) = one();
    world.phones[phone].begin("500");
    let options = world.phones[phone].request(Method::Options);
    let response = world.ask(phone, &options, 200);
    assert!(
        response
            .headers
            .get(&Name::Allow)
            .is_some_and(|a| a.contains("INVITE"))
    );
    let mut register = world.phones[phone].request(Method::Register);
    register.headers.set(Name::To, "<sip:phone0@10.0.0.1>");
    register.headers.push(Name::Expires, "300");
    let response = world.ask(phone, &register, 200);
    assert_eq!(response.headers.contacts().unwrap().len(), 1);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn requests_out_of_any_dialog_are_481() {
    let (mut world, phone) = one();
    world.phones[phone].begin("500");
    for method in [Method::Bye, Method::Update, Method::Info, Method::Prack] {
        let request = world.phones[phone].request(method);
        world.ask(phone, &request, 481);
    }
    world.run(40_000);
    world.check_empty();
}

#[test]
fn a_caller_who_vanishes_is_noticed() {
    let mut setup = Setup::default();
    setup.settings.media_timeout_ms = 20_000;
    let mut world = World::with(setup);
    let phone = world.phone();
    world.dial(phone, "600");
    world.run(1000);
    world.phones[phone].vanished = true;
    world.run(Duration::from_secs(20).as_millis() as u64);
    check_end(&mut world, phone, &EndReason::MediaTimeout);
}
