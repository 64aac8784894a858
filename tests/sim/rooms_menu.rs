//! Keys of a room that lead to a menu.

use std::sync::Arc;

use super::rooms::{caller, caller_of, finish, hears, hears_prompt, press, settings, world};
use antiphon::app::keypad::{Keypad, KeypadAction};
use antiphon::app::room::RoomSettings;
use antiphon::call::EndReason;
use antiphon::room::RoomChange;
use antiphon::switch::Event;

use crate::support::sim::World;

#[test]
fn a_key_leads_to_a_menu_and_back() {
    let key = |word: &str| KeypadAction::parse(word).unwrap();
    let pattern = |digits: &str| antiphon::app::collect::Pattern::parse(digits).unwrap();
    let mut world = world(RoomSettings {
        keypad: Arc::new(Keypad {
            keys: vec![
                (pattern("#"), key("leave-to=main")),
                (pattern("0"), key("leave")),
            ],
            ..Keypad::none()
        }),
        ..settings()
    });
    let (one, two) = (caller(&mut world), caller(&mut world));
    assert!(hears(&mut world, one, two));
    press(&mut world, one, "#");
    hears_prompt(&mut world, one, "menu-main");
    assert!(!hears(&mut world, two, one));
    press(&mut world, one, "700");
    world.run(1_000);
    let three = caller_of(&mut world, "700");
    assert!(hears(&mut world, three, one), "a room of the menu");
    press(&mut world, two, "0");
    world.run(100);
    assert_eq!(world.ended(two).unwrap().reason, EndReason::HungUp);
    finish(&mut world, &[one, three]);
}

/// What the room still played when the call left it ends then, and is not taken for the menu's.
#[test]
fn the_menu_that_a_key_leads_to_knows_its_own_prompt() {
    let key = |word: &str| KeypadAction::parse(word).unwrap();
    let pattern = |digits: &str| antiphon::app::collect::Pattern::parse(digits).unwrap();
    let mut world = world(RoomSettings {
        lone_prompt: true,
        keypad: Arc::new(Keypad {
            keys: vec![(pattern("#"), key("leave-to=main"))],
            ..Keypad::none()
        }),
        ..settings()
    });
    let one = caller(&mut world);
    press(&mut world, one, "#");
    let heard_until = |world: &mut World, ms: u64| {
        world.run(ms);
        let last = world.phones[one].audio(world.ms - ms / 2, world.ms);
        last.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
    };
    assert!(heard_until(&mut world, 2_000) > 300, "the menu speaks");
    // A key that may go on silences it, as any prompt.
    press(&mut world, one, "7");
    assert!(heard_until(&mut world, 300) < 100);
    press(&mut world, one, "00");
    world.run(1_000);
    let three = caller_of(&mut world, "700");
    assert!(hears(&mut world, three, one), "a room of the menu");
    finish(&mut world, &[one, three]);
}

/// Its leg is on its way to the worker that mixes the room.
#[test]
fn who_hangs_up_on_the_way_to_a_room_does_not_enter_it() {
    let mut chosen = None;
    for early in 0..8 {
        let mut world = World::new(77);
        let (member, caller) = (world.phone(), world.phone());
        world.dial(member, "701");
        world.phones[caller].events = true;
        world.dial(caller, "540");
        world.run(500);
        world.phones[caller].voice.keys.press("701", 60, 60);
        match chosen {
            None => {
                assert!(world.run_until(2_000, |w| w.digits() == "701"));
                chosen = Some(world.ms);
                continue;
            }
            Some(at) => world.run(at + 2 - early - world.ms),
        }
        world.hang_up(caller);
        let before = world.events.len();
        world.run(200);
        let enters = |event: &Event| match event {
            Event::Room(event) => matches!(event.change, RoomChange::Joined(_)),
            _ => false,
        };
        assert!(!world.events[before..].iter().any(enters), "{early} ms");
        world.hang_up(member);
        world.run(40_000);
        world.check_empty();
    }
}
