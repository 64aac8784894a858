//! Many calls through a whole switch, every fault mixed in, signalling and port pool without media:
//! at the end no dialog, transaction, port, timer or leg is left.
//!
//! The suite runs a part. The million:
//! `ANTIPHON_SIM_CALLS=1000000 cargo nextest run --release --test sim million:: --no-capture`

mod caller;
mod world;

use std::time::Instant;

/// Calls where nothing else is asked for.
const CALLS: u32 = 20_000;

#[test]
fn nothing_is_left_of_many_calls() {
    let calls = std::env::var("ANTIPHON_SIM_CALLS")
        .map_or(CALLS, |text| text.parse().expect("a number of calls"));
    let seed = std::env::var("ANTIPHON_SIM_SEED").map_or(1, |text| text.parse().expect("a seed"));
    let start = Instant::now();
    let mut world = world::World::new(seed);
    world.run(calls);
    let tally = &world.tally;
    println!(
        "{calls} calls, seed {seed}: {tally:?}, {:.1} s",
        start.elapsed().as_secs_f64()
    );
    // Each fault was among them.
    let all = u64::from(calls);
    assert!(tally.answered > all / 2, "{tally:?}");
    for (what, count) in [
        ("lost", tally.lost),
        ("doubled", tally.doubled),
        ("refused", tally.refused),
        ("vanished", tally.vanished),
        ("cancelled", tally.cancelled),
        ("not acknowledged", tally.silent),
        ("garbled", tally.garbled),
        ("hung up by the server", tally.server_byes),
    ] {
        assert!(count > all / 200, "{what}: {tally:?}");
    }
}

#[test]
fn one_seed_is_one_run() {
    let run = |seed| {
        let mut world = world::World::new(seed);
        world.run(500);
        (world.digest, world.tally)
    };
    let first = run(5);
    assert_eq!(first, run(5));
    assert_ne!(first.0, run(6).0);
}
