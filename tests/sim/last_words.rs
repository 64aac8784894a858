//! What is played last before a hang-up is heard to its end: the phone has a jitter buffer of its own,
//! and throws away what is in it when the call ends.

use antiphon::call::EndReason;
use antiphon::sip::method::Method;

use crate::support::sim::World;

/// When the last packet came that is not silent, and when the BYE did, ms.
fn end_of(user: &str) -> (u64, u64, EndReason) {
    let mut world = World::new(501);
    let phone = world.phone();
    world.dial(phone, user);
    let bye = world.expect_request_within(phone, &Method::Bye, 5_000);
    let at = world.ms;
    let reply = world.phones[phone].response(&bye, 200);
    world.reply(phone, &reply);
    world.hush(phone);
    world.run(300);
    let heard = &world.phones[phone].heard;
    let loud = |audio: &[i16]| audio.iter().any(|sample| sample.unsigned_abs() > 100);
    let last = heard.iter().rfind(|packet| loud(&packet.audio())).unwrap();
    let silent = heard.iter().filter(|packet| packet.at > last.at).count();
    assert!(silent >= 8, "packets go on until the end: {silent}");
    let reason = world.ended(phone).unwrap().reason.clone();
    (last.at / 1000, at, reason)
}

#[test]
fn a_hang_up_waits_until_what_was_played_is_heard() {
    let (last, bye, reason) = end_of("510");
    let waited = bye - last;
    assert!((190..260).contains(&waited), "{waited} ms");
    assert_eq!(reason, EndReason::HungUp);
}
