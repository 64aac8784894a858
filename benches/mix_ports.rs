//! The mixer's cost: `cargo bench --bench mix_ports`. The bridge alone, without packets, codecs
//! and jitter buffers: ns per port and tick, for a few talkers among many and for all talking.

use std::hint::black_box;
use std::time::Instant;

use antiphon::bridge::{Bridge, Port};
use clap::Parser;

/// ns per port and tick of the mixing bridge.
#[derive(Parser)]
struct Args {
    /// Numbers of ports.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "3,5,10,20,50,100,200,500,1000"
    )]
    ports: Vec<usize>,
    /// Rounds; the least counts, since what disturbs a round only makes it longer.
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

const RATE: u32 = 8000;
/// Ports mixed in each round, whatever their number in a bridge.
const WORK: usize = 200_000;

fn main() {
    let args = Args::parse();
    println!("| ports | all talk: ns per port | us per tick | 3 talk: ns per port | us per tick |");
    println!("|---|---|---|---|---|");
    for &ports in &args.ports {
        let all = least(ports, ports, args.rounds);
        let three = least(ports, 3, args.rounds);
        let tick = |ns: f64| ns * ports as f64 / 1000.0;
        println!(
            "| {ports} | {all:.0} | {:.1} | {three:.0} | {:.1} |",
            tick(all),
            tick(three)
        );
    }
}

fn least(ports: usize, talkers: usize, rounds: u32) -> f64 {
    let mut bridge = Bridge::new(ports);
    for owner in 0..ports {
        let joined = bridge.join(Box::new(Port::new(owner as u32, RATE)));
        joined.expect("it has room for all");
    }
    for port in 0..ports.min(talkers) {
        let rx = bridge.rx(port).expect("it has joined");
        let step = 300 + port as i32 % 100;
        for (i, s) in rx.iter_mut().enumerate() {
            *s = ((i as i32 * step) % 2000 - 1000) as i16;
        }
    }
    bridge.mix(); // the fades of the join
    let ticks = (WORK / ports).max(1);
    let mut round = || {
        let begin = Instant::now();
        for _ in 0..ticks {
            black_box(&mut bridge).mix();
            black_box(bridge.tx(0));
        }
        begin.elapsed().as_nanos() as f64 / (ticks * ports) as f64
    };
    (0..rounds).map(|_| round()).fold(f64::MAX, f64::min)
}
