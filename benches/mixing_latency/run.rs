//! One run against the server, and one against a reflector.

use std::thread;
use std::time::Duration;

use antiphon::net::sys;

use crate::args::Args;
use crate::reflector::{Kind, Reflector};
use crate::support::GENERATOR_PRIORITY;
use crate::support::cable;
use crate::support::generator::load::{Load, LoadLeg, Shape};
use crate::support::phones::Phones;
use crate::support::server::{Cpu, Process, Server, Settings};
use crate::support::stats::Quantiles;

/// The head of the table whose rows [`conference`] prints.
pub const HEAD: &str = "\
| legs | rooms | onsets | p50 ms | p90 | p99 | max | missed | CPU us/leg/s | of it media \
| lost to server | lost to legs | ticks left out | slot p99 us | generator us/leg/s | its p99, max us |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// What a conference costs, CPU us per leg and second; prints its row.
pub fn conference(args: &Args, shape: &Shape) -> f64 {
    let settings = Settings {
        codecs: vec![shape.format.key()],
        calls: shape.legs,
        xdp: args.xdp,
        members: shape.legs.div_ceil(shape.rooms),
        ..Settings::default()
    };
    let server = Server::start_for(&settings, |_| String::new());
    let phones = Phones::new(&server);
    let (load, dialogs) = phones.call_in(shape);
    let mut loads = load.split(shape, args.generators.min(shape.rooms));
    let cpu = measure(&mut loads, args, server.process());
    phones.leave(&mut loads, &dialogs);
    let media = server.media.clone();
    let told = server.stop();
    loads.iter_mut().for_each(Load::drain);
    let legs = || loads.iter().flat_map(|load| &load.legs);
    let sent: u64 = legs().map(|l| l.sent).sum();
    let packets: u64 = legs().map(|l| l.listener.packets).sum();
    let lost: i64 = legs().map(|l| l.listener.lost).sum();
    let left_out: u64 = legs().map(|l| l.listener.left_out).sum();
    let (latencies, missed): (Vec<_>, Vec<_>) = loads.iter().map(Load::latencies).unzip();
    let missed: usize = missed.iter().sum();
    let q = Quantiles::new(latencies.iter().flatten().map(|ns| ns / 1000).collect());
    let lateness = loads.iter().flat_map(|load| &load.lateness);
    let late = Quantiles::new(lateness.copied().collect());
    let refused: u64 = loads.iter().map(|load| load.refused).sum();
    let generated: Duration = loads.iter().map(|load| load.cpu).sum();
    let cost = per_leg(cpu.all, shape, args);
    println!(
        "| {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {missed} | {cost:.0} | {:.0} \
         | {} of {sent} | {lost} of {packets} | {left_out} | < {} | {:.0} | {:.0}, {:.0} |",
        shape.legs,
        shape.rooms,
        q.len(),
        q.at(0.5),
        q.at(0.9),
        q.at(0.99),
        q.at(1.0),
        per_leg(cpu.media, shape, args),
        sent as i64 - told.rx_packets as i64,
        told.lateness_p99_us,
        per_leg(generated, shape, args),
        late.at(0.99) * 1000.0,
        late.at(1.0) * 1000.0,
    );
    let sent_to_legs = told.tx_packets as i64;
    if told.calls != shape.legs as u64
        || sent_to_legs != packets as i64
        || refused + told.late + told.skipped_ticks > 0
    {
        println!(
            "  server: media {media}; {} calls, {} ticks skipped, {} packets late, {sent_to_legs} \
             packets sent; generator: {} packets refused",
            told.calls, told.skipped_ticks, told.late, refused
        );
    }
    if args.busy {
        println!(
            "  server's ticks: {} run, p99 of their lateness < {} us, {} left out; {}",
            told.slots,
            told.lateness_p99_us,
            told.skipped_ticks,
            told.ticks.join(", ")
        );
    }
    cost
}

/// What a reflector has shown.
#[derive(Clone, Copy, Debug)]
pub struct Reflected {
    /// CPU us per leg and second.
    pub cost: f64,
    /// Round trips, ms.
    pub p50_ms: f64,
    /// Of 99 %.
    pub p99_ms: f64,
    /// Packets that did not come back.
    pub lost: i64,
}

/// The same load against a reflector.
pub fn reflected(kind: Kind, args: &Args, shape: &Shape) -> Reflected {
    let reflector = Reflector::start(kind, shape.legs).expect("the reflector starts");
    let mut legs = Vec::new();
    for (i, &port) in reflector.ports.iter().enumerate() {
        let leg = LoadLeg::bind(i, shape).expect("a socket");
        let to = (cable::server(), port);
        leg.socket.connect(to).expect("a local address");
        legs.push(leg);
    }
    let load = Load::new(legs, shape);
    let mut loads = load.split(shape, args.generators.min(shape.rooms));
    let cpu = measure(&mut loads, args, reflector.process());
    // The last packets may wait for some ticks.
    thread::sleep(Duration::from_millis(100));
    loads.iter_mut().for_each(Load::drain);
    // Its own burst is what each leg hears here.
    let trips = loads.iter().flat_map(Load::round_trips);
    let q = Quantiles::new(trips.map(|ns| ns / 1000).collect());
    let legs = || loads.iter().flat_map(|load| &load.legs);
    let lost = |l: &LoadLeg| l.sent as i64 - l.listener.packets as i64;
    Reflected {
        cost: per_leg(cpu.all, shape, args),
        p50_ms: q.at(0.5),
        p99_ms: q.at(0.99),
        lost: legs().map(lost).sum(),
    }
}

/// Warms up, then runs the loads, each on a thread of its own, for the time asked for, and a little longer: the
/// last packets come back before anybody hangs up. Returns the process' CPU time meanwhile.
///
/// What is started by a thread inherits its priority, and the server under test must have the one that it would
/// have elsewhere.
fn measure(loads: &mut [Load], args: &Args, process: Process) -> Cpu {
    let legs: usize = loads.iter().map(|load| load.legs.len()).sum();
    let [warm_up, measured] = [args.warm_up, args.seconds].map(Duration::from_secs);
    let (cpu, soft) = thread::scope(|s| {
        for load in loads {
            s.spawn(move || {
                let _ = sys::set_fifo(GENERATOR_PRIORITY);
                load.run_parts(&[
                    (warm_up, false),
                    (measured, true),
                    (Duration::from_millis(200), false),
                ]);
            });
        }
        thread::sleep(warm_up);
        let before = (process.cpu(), cable::soft_interrupts());
        thread::sleep(measured);
        let (cpu, soft) = (process.cpu(), cable::soft_interrupts());
        (cpu.since(before.0), soft.saturating_sub(before.1))
    });
    if args.cable || args.xdp {
        let each = soft.as_secs_f64() * 1e6 / legs as f64 / args.seconds as f64;
        println!("  the kernel's own threads for packets: {each:.1} us per leg and second");
    }
    cpu
}

fn per_leg(cpu: Duration, shape: &Shape, args: &Args) -> f64 {
    cpu.as_secs_f64() * 1e6 / shape.legs as f64 / args.seconds as f64
}
