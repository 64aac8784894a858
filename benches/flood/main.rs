//! What floods do to a running conference: `cargo bench --bench flood`.
//!
//! Starts the real server with its own limits and a room that talks, measures the time between
//! packets at each leg, then the same while INVITEs that nobody acknowledges, or RTP for one port,
//! come in from a process' worth of threads; asks after the server's health meanwhile (OPTIONS), and
//! watches its memory until it is back.

#[path = "../support/mod.rs"]
mod support;

mod flooder;

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::net::sys;
use clap::Parser;

use flooder::{Flood, Health, Kind};
use support::GENERATOR_PRIORITY;
use support::generator::format::Format;
use support::generator::load::{Load, Shape};
use support::generator::speech::{Speech, TalkerPhase};
use support::phones::Phones;
use support::server::{Process, Server, Settings};
use support::stats::Quantiles;

const EXAMPLES: &str = "\
Examples (each behind `cargo bench --bench flood --`):
  --kind invites --rate 20000 --sources 1     unacknowledged INVITEs from one address
  --kind invites --rate 20000 --sources 250   from many
  --kind invites --rate 2500 --seconds 10     25,000 INVITEs that are never acknowledged
  --kind rtp --rate 50000                     RTP for the port of one leg";

/// Floods beside a conference: packet spacing, loss, answers, memory.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// What comes in.
    #[arg(long, value_enum, default_value_t = Kind::Invites)]
    kind: Kind,
    /// Datagrams per second.
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// From so many addresses (127.0.1.1 and up).
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=250))]
    sources: u32,
    /// Legs of the room.
    #[arg(long, default_value_t = 50)]
    legs: usize,
    /// Seconds of each of both measurements.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long memory is watched afterwards, at most, seconds.
    #[arg(long, default_value_t = 60)]
    after: u64,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    println!(
        "{}\ngenerator: {}\n{:?} at {} per second from {} addresses for {} s beside a room of {}\n",
        support::machine(),
        support::generator_priority(),
        args.kind,
        args.rate,
        args.sources,
        args.seconds,
        args.legs
    );
    let shape = Shape {
        legs: args.legs,
        rooms: 1,
        speech: Speech {
            talkers: 2,
            phase: TalkerPhase::Random,
            all_talking: false,
            silent_listeners: false,
        },
        format: Format::Pcmu,
        measured: 0,
        drift_ppm: 0,
        srtp: None,
        toil: None,
    };
    let settings = Settings {
        own_limits: true,
        ..Settings::default()
    };
    let server = Server::start_for(&settings, |_| String::new());
    let process = server.process();
    let phones = Phones::new(&server);
    let (mut load, dialogs) = phones.call_in(&shape);
    for leg in &mut load.legs {
        leg.listener.spaces = true;
    }
    on_time(&mut load, |load| load.run(Duration::from_secs(8), false));
    let rss_before = process.rss_kb();

    println!(
        "| | packets to legs | lost | ticks left out | spacing p50 ms | p99 | p99.9 | max | OPTIONS answered | p50 ms | max | server CPU % |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let health = Health::start(server.sip);
    measure("before", &mut load, &args, process);
    health.stop_and_print();
    let target = match args.kind {
        Kind::Invites => server.sip,
        Kind::Rtp => port_of(&load, 0),
    };
    let flood = Flood::start(args.kind, target, args.rate, args.sources);
    let health = Health::start(server.sip);
    measure("during", &mut load, &args, process);
    health.stop_and_print();
    let peak = process.rss_kb();
    let ended = Instant::now();
    let counts = flood.stop();
    println!("\n{counts}");
    println!("RSS: {rss_before} kB before, {peak} kB at its end");
    let back = watch(&mut load, process, rss_before, args.after, ended);
    println!("{back}");
    phones.leave(std::slice::from_mut(&mut load), &dialogs);
    let told = server.stop();
    println!(
        "the server: {} calls ended, {} ticks left out, slot lateness p99 < {} us",
        told.calls, told.skipped_ticks, told.lateness_p99_us
    );
}

/// A run on a thread with the generator's priority.
fn on_time<T: Send>(load: &mut Load, run: impl FnOnce(&mut Load) -> T + Send) -> T {
    let work = || {
        let _ = sys::set_fifo(GENERATOR_PRIORITY);
        run(load)
    };
    thread::scope(|s| s.spawn(work).join()).expect("the generator does not panic")
}

fn measure(name: &str, load: &mut Load, args: &Args, process: Process) {
    let before = process.cpu();
    on_time(load, |load| {
        for leg in &mut load.legs {
            leg.listener.spacing_ns.clear();
            leg.listener.packets = 0;
            leg.listener.lost = 0;
            leg.listener.left_out = 0;
        }
        load.run(Duration::from_secs(args.seconds), true);
    });
    let cpu = process.cpu().since(before).all.as_secs_f64() / args.seconds as f64 * 100.0;
    // The flooded port's own leg is not asked to be well.
    let skip = usize::from(args.kind == Kind::Rtp);
    let legs = &load.legs[skip..];
    let packets: u64 = legs.iter().map(|l| l.listener.packets).sum();
    let lost: i64 = legs.iter().map(|l| l.listener.lost).sum();
    let left_out: u64 = legs.iter().map(|l| l.listener.left_out).sum();
    let spacing = legs.iter().flat_map(|l| &l.listener.spacing_ns);
    let q = Quantiles::new(spacing.map(|ns| ns / 1000).collect());
    print!(
        "| {name} | {packets} | {lost} | {left_out} | {:.2} | {:.2} | {:.2} | {:.2} | ",
        q.at(0.5),
        q.at(0.99),
        q.at(0.999),
        q.at(1.0)
    );
    // The health's columns come behind, and then this one.
    flooder::CPU.store((cpu * 10.0) as u64, std::sync::atomic::Ordering::Relaxed);
}

fn port_of(load: &Load, leg: usize) -> SocketAddr {
    let socket: &UdpSocket = &load.legs[leg].socket;
    socket.peer_addr().expect("it is connected")
}

/// Goes on talking until memory is back within 20 %.
fn watch(load: &mut Load, process: Process, before: u64, after: u64, ended: Instant) -> String {
    let mut lines = String::new();
    let mut back = None;
    while ended.elapsed() < Duration::from_secs(after) {
        on_time(load, |load| load.run(Duration::from_secs(5), false));
        let now = process.rss_kb();
        let seconds = ended.elapsed().as_secs();
        let _ = writeln!(lines, "  {now} kB after {seconds} s");
        if back.is_none() && now * 5 <= before * 6 {
            back = Some(seconds);
        }
    }
    match back {
        Some(seconds) => format!("{lines}memory is back within 20 % after {seconds} s"),
        None => format!("{lines}MEMORY IS NOT BACK"),
    }
}
