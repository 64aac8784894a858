//! Mouth-to-ear latency, loss and CPU of conferences: `cargo bench --bench mixing_latency`.
//!
//! Starts the real server as a process of its own, calls into its rooms over real sockets, and
//! measures from the sending of a packet with the onset of a burst to the kernel's time of arrival
//! of the packet with that onset at every other leg of the room.

#[path = "../support/mod.rs"]
mod support;

mod args;
mod busy;
mod floor;
mod reflector;
mod run;

use antiphon::srtp::Suite;
use args::Args;
use busy::Busy;
use reflector::Kind;
use run::Reflected;
use support::cable;
use support::generator::load::Shape;
use support::stats::Spread;

/// All rounds of one number of legs.
struct Rounds {
    legs: usize,
    conference: Vec<f64>,
    encrypted: Vec<f64>,
    reflector: Vec<Reflected>,
    floor: Vec<Reflected>,
}

fn main() {
    let args = Args::read();
    if let Some(legs) = args.reflect {
        reflector::run(legs).expect("the reflector has its sockets");
        return;
    }
    if let Some(legs) = args.reflect_in_ticks {
        floor::run(legs).expect("the floor has its sockets");
        return;
    }
    if args.spin {
        busy::spin();
        return;
    }
    if (args.cable || args.xdp)
        && let Some(status) = cable::run_again()
    {
        let status = status.expect("the cable is laid, for which one has to be root");
        std::process::exit(status.code().unwrap_or(1));
    }
    let _busy = args.busy.then(|| Busy::start().expect("busy loops start"));
    let generator = support::generator_priority();
    println!("{}\ngenerator: {generator}", support::machine());
    println!("{}\n", args.told());
    if !args.reflector_only {
        println!("{}", run::HEAD);
    }
    let yardstick = args.rounds.is_some() && args.srtp.is_none();
    let with_reflector = args.reflector || args.reflector_only || yardstick;
    let mut all = Vec::new();
    for &legs in &args.legs {
        let shape = args.shape(legs);
        let mut rounds = Rounds {
            legs,
            conference: Vec::new(),
            encrypted: Vec::new(),
            reflector: Vec::new(),
            floor: Vec::new(),
        };
        // One right after the other: what the machine does besides is nearly the same for all.
        for _ in 0..args.rounds.unwrap_or(1) {
            if !args.reflector_only {
                let shape = Shape {
                    toil: args.srtp,
                    ..shape
                };
                rounds.conference.push(run::conference(&args, &shape));
            }
            if args.srtp.is_some() {
                let shape = Shape {
                    srtp: args.srtp,
                    ..shape
                };
                rounds.encrypted.push(run::conference(&args, &shape));
            }
            if with_reflector {
                let reflected = run::reflected(Kind::AtOnce, &args, &shape);
                rounds.reflector.push(reflected);
            }
            if args.floor {
                let reflected = run::reflected(Kind::InTicks, &args, &shape);
                rounds.floor.push(reflected);
            }
        }
        all.push(rounds);
    }
    if with_reflector || args.floor {
        compare(&all);
    }
    if let Some(suite) = args.srtp {
        compare_encrypted(&all, suite);
    }
}

fn compare_encrypted(all: &[Rounds], suite: Suite) {
    println!("\nCPU us per leg and second, and ratios by round: median (least to most)\n");
    println!("| legs | rounds | clear | {} | ratio |", suite.name());
    println!("|---|---|---|---|---|");
    for rounds in all {
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.2} |",
            rounds.legs,
            rounds.encrypted.len(),
            Spread(rounds.conference.clone()),
            Spread(rounds.encrypted.clone()),
            ratios(&rounds.encrypted, &rounds.conference),
        );
    }
}

fn compare(all: &[Rounds]) {
    let kinds: [(&str, Take); 2] = [
        ("bare reflector, one socket per leg, epoll", |r| {
            &r.reflector
        }),
        (
            "floor: the same sockets, all read in each tick, then all sent from",
            |r| &r.floor,
        ),
    ];
    for (what, take) in kinds {
        if all.iter().all(|rounds| take(rounds).is_empty()) {
            continue;
        }
        println!("\n{what}\n");
        println!("| legs | round trip p50 ms | p99 | CPU us/leg/s | lost |\n|---|---|---|---|---|");
        for rounds in all {
            for r in take(rounds) {
                println!(
                    "| {} | {:.2} | {:.2} | {:.0} | {} |",
                    rounds.legs, r.p50_ms, r.p99_ms, r.cost, r.lost
                );
            }
        }
    }
    println!("\nCPU us per leg and second, and ratios by round: median (least to most)\n");
    println!(
        "| legs | rounds | conference | reflector | floor | conference / reflector \
         | conference / floor | floor / reflector |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for rounds in all {
        let costs = |reflected: &[Reflected]| reflected.iter().map(|r| r.cost).collect();
        let conference = rounds.conference.clone();
        let reflector: Vec<f64> = costs(&rounds.reflector);
        let floor: Vec<f64> = costs(&rounds.floor);
        let [to_reflector, to_floor, floors] = [
            ratios(&conference, &reflector),
            ratios(&conference, &floor),
            ratios(&floor, &reflector),
        ];
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {to_reflector:.2} | {to_floor:.2} | {floors:.2} |",
            rounds.legs,
            conference.len().max(reflector.len()).max(floor.len()),
            Spread(conference),
            Spread(reflector),
            Spread(floor),
        );
    }
}

/// One yardstick's rounds.
type Take = fn(&Rounds) -> &[Reflected];

/// Round by round; none where one of the two was not measured.
fn ratios(of: &[f64], to: &[f64]) -> Spread {
    Spread(of.iter().zip(to).map(|(a, b)| a / b).collect())
}
