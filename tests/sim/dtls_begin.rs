//! What an application says as soon as its call is established waits for the keys that come by DTLS.

use crate::support::sim;

use std::time::Duration;

use antiphon::app::{AppSpec, DtmfMethod, ScriptDigits, ScriptSpec};
use antiphon::dtmf::event;
use antiphon::sdp::SrtpPolicy;
use sim::signal::peak;
use sim::{Setup, World};

use super::dtls::{Party, identity, world_with};

/// A call to `user`, whose handshake takes a quarter of a second.
fn far(user: &str, setup: Setup) -> Party {
    let own = identity();
    let mut world: World = world_with(setup, SrtpPolicy::Optional);
    world.net.media.delay_us = (40_000, 40_000);
    let mut party = Party::call_to(user, world, "actpass", &own, own.fingerprint());
    party.run(100);
    assert!(party.keys.is_none(), "the handshake is under way");
    party
}

#[test]
fn a_prompt_begins_with_the_keys() {
    // A tone of one second.
    let mut party = far("510", Setup::default());
    party.run(2_000);
    let loud = party.heard.chunks(160).filter(|tick| peak(tick) > 1_000);
    assert_eq!(loud.count(), 50, "it is heard from its first sample on");
}

#[test]
fn digits_begin_with_the_keys() {
    let mut setup = Setup::default();
    let each = Duration::from_millis(100);
    let route = setup
        .routes
        .0
        .iter_mut()
        .find(|route| matches!(route.spec, AppSpec::Digits(_)));
    route.unwrap().spec = AppSpec::Script(ScriptSpec {
        digits: ScriptDigits::parse("1234", DtmfMethod::Auto, each, each),
        ..ScriptSpec::default()
    });
    let mut party = far("530", setup);
    party.run(2_000);
    let mut named = party.events.clone();
    named.dedup_by_key(|(timestamp, _)| *timestamp);
    let code = |payload: &[u8]| event::events(payload).next().unwrap().1.code;
    let codes = named.iter().map(|(_, payload)| code(payload));
    assert_eq!(codes.collect::<Vec<_>>(), [1, 2, 3, 4]);
    party.world.hang_up(0);
    party.run(300);
    let stats = party.world.ended(0).unwrap().stats.unwrap();
    assert_eq!(stats.send.packets, party.came);
}
