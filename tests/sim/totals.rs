//! The sums over the media of all calls (`/metrics`): those that run are in them, and none is twice.

use crate::support::sim;

use antiphon::leg::MediaTotals;
use antiphon::room::RoomOperation;
use sim::net::Faults;
use sim::{Setup, World};

use super::rooms::handle;

fn sums(world: &World) -> MediaTotals {
    let mut all = MediaTotals::default();
    for worker in &world.workers {
        all.replace(&MediaTotals::default(), &worker.counts().media);
    }
    all
}

#[test]
fn running_calls_count_and_each_packet_once() {
    let mut world = World::with(Setup {
        seed: 7,
        media: Faults {
            loss: 0.02,
            delay_us: (1_000, 15_000),
            ..Faults::NONE
        },
        ..Setup::default()
    });
    let phones = world.phones(6);
    for (phone, user) in phones
        .iter()
        .zip(["500", "500", "700", "700", "701", "701"])
    {
        world.dial(*phone, user);
    }
    world.run(4_000);
    let running = sums(&world);
    assert!((1_000..1_300).contains(&running.received), "{running:?}");
    assert!((1_000..1_300).contains(&running.sent), "{running:?}");
    assert!(
        running.lost > 5 && running.concealed_samples > 500,
        "{running:?}"
    );
    assert_eq!(running.receiving, 6);
    let mean_us = running.jitter_us / 6;
    assert!((2_000..8_000).contains(&mean_us), "{mean_us} us");
    // To and fro between workers.
    for to in ["701", "700", "701", "700"] {
        let member = handle(&world, phones[2]);
        let from = if to == "701" { "700" } else { "701" };
        let now = world.now();
        let to = to.to_owned();
        let operation = RoomOperation::Move { member, to };
        world.switch.room_operation(from, operation, now).unwrap();
        world.carry_out();
        world.run(700);
        assert_eq!(sums(&world).receiving, 6);
    }
    for &phone in &phones {
        world.hang_up(phone);
    }
    world.run(1_000);
    let ended: Vec<_> = phones
        .iter()
        .map(|&phone| world.ended(phone).unwrap().stats.unwrap())
        .collect();
    let all = sums(&world);
    let of = |count: fn(&antiphon::leg::LegStats) -> u64| ended.iter().map(count).sum::<u64>();
    assert_eq!(all.received, of(|stats| stats.receive.packets));
    assert_eq!(all.sent, of(|stats| stats.send.packets));
    assert_eq!(all.discarded, of(|stats| stats.loss.discarded));
    assert_eq!(
        all.concealed_samples,
        of(|stats| stats.playout.concealed_samples)
    );
    assert!(all.concealed_us.abs_diff(all.concealed_samples * 125) < 100);
    let lost = of(|stats| stats.receive.lost.max(0).unsigned_abs());
    assert!(
        (lost..lost + 10).contains(&all.lost),
        "{} of {lost}",
        all.lost
    );
    assert_eq!((all.receiving, all.jitter_us), (0, 0));
}
