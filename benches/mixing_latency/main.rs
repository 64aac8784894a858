//! Mouth-to-ear latency, loss and CPU of conferences: `cargo bench --bench mixing_latency`.
//!
//! Starts the real server as a process of its own, calls into its rooms over real sockets, and
//! measures from the sending of a packet with the onset of a burst to the kernel's time of arrival
//! of the packet with that onset at every other leg of the room.

#[path = "../support/mod.rs"]
mod support;

mod args;
mod busy;
mod reflector;
mod run;

use args::Args;
use busy::Busy;
use run::Reflected;
use support::stats::Spread;

/// All rounds of one number of legs.
struct Rounds {
    legs: usize,
    conference: Vec<f64>,
    reflector: Vec<Reflected>,
}

fn main() {
    let args = Args::read();
    if let Some(legs) = args.reflect {
        reflector::run(legs).expect("the reflector has its sockets");
        return;
    }
    if args.spin {
        busy::spin();
        return;
    }
    let _busy = args.busy.then(|| Busy::start().expect("busy loops start"));
    let generator = support::generator_priority();
    println!("{}\ngenerator: {generator}", support::machine());
    println!("{}\n", args.told());
    if !args.reflector_only {
        println!("{}", run::HEAD);
    }
    let with_reflector = args.reflector || args.reflector_only || args.rounds.is_some();
    let mut all = Vec::new();
    for &legs in &args.legs {
        let shape = args.shape(legs);
        let mut rounds = Rounds {
            legs,
            conference: Vec::new(),
            reflector: Vec::new(),
        };
        // One right after the other: what the machine does besides is nearly the same for both.
        for _ in 0..args.rounds.unwrap_or(1) {
            if !args.reflector_only {
                rounds.conference.push(run::conference(&args, &shape));
            }
            if with_reflector {
                rounds.reflector.push(run::reflected(&args, &shape));
            }
        }
        all.push(rounds);
    }
    if with_reflector {
        compare(&all);
    }
}

fn compare(all: &[Rounds]) {
    println!("\nbare reflector, one socket per leg, epoll\n");
    println!("| legs | round trip p50 ms | p99 | CPU us/leg/s | lost |\n|---|---|---|---|---|");
    for rounds in all {
        for r in &rounds.reflector {
            println!(
                "| {} | {:.2} | {:.2} | {:.0} | {} |",
                rounds.legs, r.p50_ms, r.p99_ms, r.cost, r.lost
            );
        }
    }
    println!("\nCPU us per leg and second: median (least to most)\n");
    println!("| legs | rounds | conference | reflector | conference / reflector, by round |");
    println!("|---|---|---|---|---|");
    for rounds in all {
        let pairs = rounds.conference.iter().zip(&rounds.reflector);
        let ratios = pairs.map(|(conference, r)| conference / r.cost).collect();
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.2} |",
            rounds.legs,
            rounds.conference.len(),
            Spread(rounds.conference.clone()),
            Spread(rounds.reflector.iter().map(|r| r.cost).collect()),
            Spread(ratios)
        );
    }
}
