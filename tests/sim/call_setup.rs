//! From INVITE to the end of a call, and what is refused: each corner in simulated time.

use crate::support::sim;

mod refused;
mod routing;

use antiphon::call::EndReason;
use antiphon::sip::header::Name;
use antiphon::sip::message::Message;
use antiphon::sip::method::Method;
use sim::World;
use sim::phone::{Phone, media_address, put_sdp};
use sim::signal::amplitude;

/// A world with one phone in it.
fn one() -> (World, usize) {
    let mut world = World::new(21);
    let phone = world.phone();
    (world, phone)
}

/// The phone hears itself, which is what the echo at 500 is for.
#[track_caller]
fn check_echo(world: &mut World, phone: usize) {
    world.run(600);
    let from = world.ms;
    world.run(300);
    let voice = world.phones[phone].voice.clone();
    let heard = world.phones[phone].audio(from, world.ms);
    assert!(heard.len() >= 1600, "media flows");
    let level = amplitude(&heard[..1600], voice.hz);
    assert!(level > 0.9 * voice.amplitude, "the echo is at {level:.0}");
}

#[track_caller]
fn check_end(world: &mut World, phone: usize, reason: &EndReason) {
    world.run(300);
    let ended = world.ended(phone).map(|s| s.reason.clone());
    assert_eq!(ended.as_ref(), Some(reason));
    // The last transaction lasts 32 s.
    world.run(40_000);
    world.check_empty();
}

#[test]
fn an_offer_in_the_invite_is_answered_in_the_200() {
    let (mut world, phone) = one();
    let ok = world.dial(phone, "500");
    assert_eq!(
        ok.headers.content_type().as_deref(),
        Some("application/sdp")
    );
    assert!(ok.to_tag().is_some());
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
    assert!(
        !world.phones[phone].reports.is_empty(),
        "RTCP says goodbye at least"
    );
}

#[test]
fn an_offer_in_the_200_is_answered_in_the_ack() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite_without_offer("500");
    world.send(phone, &invite);
    let ok = world.expect(phone, 200);
    assert!(
        media_address(&ok.body).is_some(),
        "the 200 carries an offer"
    );
    world.phones[phone].learn(&ok);
    let mut ack = world.phones[phone].ack(&ok);
    put_sdp(&mut ack, &world.phones[phone].sdp("sendrecv"));
    world.send(phone, &ack);
    world.speak(phone);
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn an_ack_without_the_answer_ends_the_call() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite_without_offer("500");
    world.send(phone, &invite);
    let ok = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    let bye = world.expect_request(phone, &Method::Bye);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn the_200_is_resent_until_its_ack() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &invite);
    let start = world.ms;
    let ok = world.expect(phone, 200);
    world.run(4000);
    let resent: Vec<_> = world.phones[phone].inbox.drain(..).collect();
    let times: Vec<_> = resent.iter().map(|r| r.at / 1000 - start).collect();
    // T1 doubles up to T2; 1 ms there and 1 ms back.
    assert_eq!(times, [502, 1502, 3502]);
    assert!(resent.iter().all(|r| r.bytes == ok.to_bytes()));
    // The same 200 for the INVITE that comes again.
    world.send(phone, &invite);
    assert_eq!(world.expect(phone, 200).to_bytes(), ok.to_bytes());
    world.phones[phone].learn(&ok);
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.speak(phone);
    world.expect_nothing(phone, 10_000);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

/// Sent at once, the BYE may come before the answer: the caller would refuse the one, and take the other.
#[test]
fn a_hang_up_right_behind_the_answer_waits_for_the_ack() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &invite);
    world.expect(phone, 200);
    // That one was lost.
    world.server_hangs_up(phone);
    let again = world.next(phone, 600).map(|received| received.message);
    let Some(Message::Response(ok)) = again else {
        panic!("{again:#?}")
    };
    assert_eq!(ok.status, 200);
    world.phones[phone].learn(&ok);
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    let bye = world.expect_request(phone, &Method::Bye);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    check_end(&mut world, phone, &EndReason::HungUp);
}

#[test]
fn a_hang_up_whose_ack_never_comes_ends_with_a_bye_all_the_same() {
    for at_once in [false, true] {
        let (mut world, phone) = one();
        let invite = world.phones[phone].invite("500");
        world.send(phone, &invite);
        world.expect(phone, 200);
        world.server_hangs_up(phone);
        if at_once {
            let now = world.now();
            world.switch.hang_up_all(&EndReason::Shutdown, now);
            world.carry_out();
        } else {
            world.run(31_900);
            let mut repeated = world.phones[phone].inbox.drain(..);
            assert!(repeated.all(|r| matches!(r.message, Message::Response(_))));
        }
        let bye = world.expect_request_within(phone, &Method::Bye, 200);
        let reply = world.phones[phone].response(&bye, 200);
        world.reply(phone, &reply);
        check_end(&mut world, phone, &EndReason::HungUp);
    }
}

#[test]
fn without_an_ack_there_is_a_bye_after_64_t1() {
    let mut setup = sim::Setup::default();
    setup.settings.media_timeout_ms = 0;
    let mut world = World::with(setup);
    let phone = world.phone();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &invite);
    let start = world.ms;
    world.expect(phone, 200);
    world.run(31_990);
    let resent: Vec<_> = world.phones[phone].inbox.drain(..).collect();
    let times: Vec<_> = resent.iter().map(|r| r.at / 1000 - start).collect();
    assert_eq!(times.len(), 10, "T1, then T2 for good: {times:?}");
    let bye = world.expect_request(phone, &Method::Bye);
    assert_eq!(world.ms - start, 32_002);
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    check_end(&mut world, phone, &EndReason::NoAck);
}

#[test]
fn bye_before_the_ack_ends_the_call() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &invite);
    let ok = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    world.hang_up(phone);
    // The 200 to the INVITE is not resent any more.
    world.expect_nothing(phone, 10_000);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

/// Sends an INVITE that requires reliable provisionals and takes the 180.
fn proving(world: &mut World, phone: usize) -> antiphon::sip::message::Response {
    let mut invite = world.phones[phone].invite("500");
    invite.headers.push(Name::Require, "100rel");
    world.send(phone, &invite);
    let ringing = world.expect(phone, 180);
    assert_eq!(ringing.headers.require(), ["100rel"]);
    world.phones[phone].learn(&ringing);
    ringing
}

#[test]
fn bye_on_an_early_dialog_gets_200_and_the_invite_487() {
    let (mut world, phone) = one();
    proving(&mut world, phone);
    let bye = world.phones[phone].request(Method::Bye);
    world.send(phone, &bye);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let Some(Message::Response(r)) = world.next(phone, 50).map(|r| r.message) else {
            panic!("two responses are due");
        };
        if r.status == 487 {
            let ack = world.phones[phone].ack(&r);
            world.send(phone, &ack);
        }
        statuses.push((r.headers.cseq().unwrap().method, r.status));
    }
    assert_eq!(statuses, [(Method::Bye, 200), (Method::Invite, 487)]);
    world.expect_nothing(phone, 10_000);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn a_reliable_provisional_waits_for_its_prack() {
    let (mut world, phone) = one();
    let ringing = proving(&mut world, phone);
    // It comes again, the same, until then.
    world.run(1600);
    let resent: Vec<_> = world.phones[phone].inbox.drain(..).collect();
    assert_eq!(resent.len(), 2);
    assert!(resent.iter().all(|r| r.bytes == ringing.to_bytes()));
    let mut wrong = world.phones[phone].prack(&ringing);
    wrong.headers.set(Name::RAck, "1 1 INVITE");
    world.send(phone, &wrong);
    world.expect(phone, 481);
    let prack = world.phones[phone].prack(&ringing);
    world.send(phone, &prack);
    assert_eq!(
        world.expect(phone, 200).headers.cseq().unwrap().method,
        Method::Prack
    );
    let ok = world.expect(phone, 200);
    assert_eq!(ok.headers.cseq().unwrap().method, Method::Invite);
    assert!(
        !ok.headers.contains(&Name::RSeq),
        "the final response is no provisional"
    );
    world.phones[phone].learn(&ok);
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.speak(phone);
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn a_late_offer_may_stand_in_the_reliable_provisional() {
    let (mut world, phone) = one();
    let mut invite = world.phones[phone].invite_without_offer("500");
    invite.headers.push(Name::Require, "100rel");
    world.send(phone, &invite);
    let progress = world.expect(phone, 183);
    world.phones[phone].learn(&progress);
    let mut prack = world.phones[phone].prack(&progress);
    put_sdp(&mut prack, &world.phones[phone].sdp("sendrecv"));
    world.send(phone, &prack);
    world.expect(phone, 200);
    let ok = world.expect(phone, 200);
    assert!(ok.body.is_empty(), "the answer was there already");
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.speak(phone);
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn without_a_prack_the_invite_fails() {
    let (mut world, phone) = one();
    proving(&mut world, phone);
    world.run(31_990);
    world.phones[phone].inbox.clear();
    let failed = world.expect(phone, 504);
    let ack = world.phones[phone].ack(&failed);
    world.send(phone, &ack);
    world.run(40_000);
    world.check_empty();
}

#[test]
fn cancel_before_the_answer_ends_the_call() {
    let (mut world, phone) = one();
    let mut invite = world.phones[phone].invite("500");
    invite.headers.push(Name::Require, "100rel");
    world.send(phone, &invite);
    world.expect(phone, 180);
    world.send(phone, &Phone::cancel(&invite));
    let ok = world.expect(phone, 200);
    assert_eq!(ok.headers.cseq().unwrap().method, Method::Cancel);
    let gone = world.expect(phone, 487);
    let ack = world.phones[phone].ack(&gone);
    world.send(phone, &ack);
    check_end(&mut world, phone, &EndReason::Cancelled);
}

#[test]
fn cancel_after_the_answer_changes_nothing() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &invite);
    let ok = world.expect(phone, 200);
    world.phones[phone].learn(&ok);
    world.send(phone, &Phone::cancel(&invite));
    let answer = world.expect(phone, 200);
    assert_eq!(answer.headers.cseq().unwrap().method, Method::Cancel);
    let ack = world.phones[phone].ack(&ok);
    world.send(phone, &ack);
    world.speak(phone);
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn a_cancel_of_nothing_is_481() {
    let (mut world, phone) = one();
    let invite = world.phones[phone].invite("500");
    world.send(phone, &Phone::cancel(&invite));
    world.expect(phone, 481);
}

#[test]
fn an_old_cseq_is_500_and_a_gap_is_fine() {
    let (mut world, phone) = one();
    world.dial(phone, "500");
    world.phones[phone].cseq += 40;
    let info = world.phones[phone].request(Method::Info);
    world.ask(phone, &info, 200);
    let mut old = world.phones[phone].request(Method::Info);
    old.headers.set(Name::CSeq, "7 INFO");
    world.ask(phone, &old, 500);
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn a_wrong_dialog_is_481() {
    let (mut world, phone) = one();
    world.dial(phone, "500");
    let before = world.switch.transactions();
    for method in [Method::Bye, Method::Invite, Method::Update, Method::Info] {
        let mut request = world.phones[phone].request(method);
        request
            .headers
            .set(Name::To, "<sip:500@10.0.0.1>;tag=other");
        world.ask(phone, &request, 481);
        let mut request = world.phones[phone].request(Method::Bye);
        request
            .headers
            .set(Name::From, "<sip:x@10.1.0.0>;tag=other");
        world.ask(phone, &request, 481);
        // Nothing is held for what belongs to nothing.
        assert_eq!(world.switch.transactions(), before);
    }
    check_echo(&mut world, phone);
    world.hang_up(phone);
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}

#[test]
fn the_longest_call_ends() {
    let mut setup = sim::Setup::default();
    setup.settings.call.max_length = std::time::Duration::from_secs(10);
    let mut world = World::with(setup);
    let phone = world.phone();
    world.dial(phone, "500");
    let start = world.ms;
    let bye = world.expect_request_within(phone, &Method::Bye, 11_000);
    assert!((9_990..=10_010).contains(&(world.ms - start)));
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    check_end(&mut world, phone, &EndReason::MaxLength);
}

#[test]
fn a_caller_without_media_is_hung_up_on_but_not_on_hold() {
    let (mut world, phone) = one();
    world.dial(phone, "500");
    let sdp = world.phones[phone].sdp("sendonly");
    let hold = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &hold, 200);
    world.hush(phone);
    world.expect_nothing(phone, 100_000);
    let sdp = world.phones[phone].sdp("sendrecv");
    let resume = world.phones[phone].reinvite(&sdp);
    world.ask(phone, &resume, 200);
    let resumed = world.ms;
    let bye = world.expect_request_within(phone, &Method::Bye, 32_000);
    let waited = world.ms - resumed;
    assert!((29_950..=30_050).contains(&waited), "after {waited} ms");
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    check_end(&mut world, phone, &EndReason::MediaTimeout);
}

#[test]
fn a_tone_is_played_and_the_call_ends() {
    let (mut world, phone) = one();
    world.dial(phone, "510");
    let from = world.ms;
    let bye = world.expect_request_within(phone, &Method::Bye, 2000);
    let heard = world.phones[phone].audio(from, world.ms);
    let tone = amplitude(&heard[1600..5600], 1000.0);
    // -10 dBm0 is an amplitude of about 32768 * 10^(-(10 + 3.14) / 20).
    let wanted = 32_768.0 * 10f64.powf(-13.14 / 20.0);
    assert!((tone / wanted - 1.0).abs() < 0.02, "{tone:.0}");
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    check_end(&mut world, phone, &EndReason::HungUp);
}

#[test]
fn a_recording_is_as_long_as_the_call_and_silent_where_nothing_came() {
    let (mut world, phone) = one();
    world.dial(phone, "520");
    world.run(2000);
    world.hush(phone);
    world.run(1000);
    world.speak(phone);
    world.run(2000);
    world.hang_up(phone);
    world.run(100);
    let [(recording, samples)] = world.closed[..] else {
        panic!("one recording is closed: {:?}", world.closed);
    };
    let seconds = samples as f64 / 8000.0;
    assert!((4.96..5.06).contains(&seconds), "{seconds} s");
    let audio = &world.recorded[&recording];
    assert_eq!(audio.len() as u64, samples);
    let voice = world.phones[phone].voice.clone();
    for (from, loud) in [(0.5, true), (2.4, false), (3.8, true)] {
        let at = (from * 8000.0) as usize;
        let level = amplitude(&audio[at..at + 4000], voice.hz);
        assert_eq!(level > 0.95 * voice.amplitude, loud, "{level:.0} at {from}");
        assert!(loud || level < 20.0);
    }
    check_end(&mut world, phone, &EndReason::RemoteHungUp);
}
