//! Memory of the server: `cargo bench --bench memory`.
//!
//! How much its resident memory grows with each leg of a room that has talked for some seconds;
//! with `--joins`, whether it goes on growing while legs of a steady population come and go.

#[path = "../support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use antiphon::net::sys;
use clap::Parser;

use support::GENERATOR_PRIORITY;
use support::generator::format::Format;
use support::generator::load::{Load, Shape};
use support::generator::speech::{Speech, TalkerPhase};
use support::phones::Phones;
use support::server::{Server, Settings};
use support::sip::Dialog;

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench memory
  cargo bench --bench memory -- --legs 2000 --rooms 500 --all-talking
  cargo bench --bench memory -- --legs 5000 --rooms 1000 --seconds 0   what a peak leaves behind
  cargo bench --bench memory -- --joins 100000";

/// SIP keeps a transaction for 32 s after its last response (RFC 3261: timer J, 64 T1), and ports
/// rest for 5 s.
const SETTLED: Duration = Duration::from_secs(40);

/// Resident memory of the server: per leg, or over many joins and leaves.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Legs.
    #[arg(long, default_value_t = 2000, value_parser = at_least_one)]
    legs: usize,
    /// The legs are spread over so many rooms.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    rooms: usize,
    /// How long they talk before memory is read.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// All are heard, not only two in each room.
    #[arg(long)]
    all_talking: bool,
    /// What the legs send and receive.
    #[arg(long, value_enum, default_value_t = Format::Pcmu)]
    codec: Format,
    /// Instead: so many joins, each with a leave, of a steady population.
    #[arg(long)]
    joins: Option<usize>,
    /// With --joins: the population.
    #[arg(long, default_value_t = 50, value_parser = at_least_one)]
    population: usize,
    /// With --joins: joins per second.
    #[arg(long, default_value_t = 400, value_parser = at_least_one)]
    rate: usize,
    /// With --joins: a row each so many.
    #[arg(long, default_value_t = 10_000, value_parser = at_least_one)]
    every: usize,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn shape(&self, legs: usize) -> Shape {
        Shape {
            legs,
            rooms: self.rooms.min(legs),
            speech: Speech {
                talkers: 2,
                phase: TalkerPhase::Random,
                all_talking: self.all_talking,
                silent_listeners: false,
            },
            format: self.codec,
            measured: 0,
            drift_ppm: 0,
            srtp: None,
            toil: None,
        }
    }
}

fn main() {
    let args = Args::parse();
    println!(
        "{}\ngenerator: {}\n",
        support::machine(),
        support::generator_priority()
    );
    match args.joins {
        None => legs(&args),
        Some(joins) => churn(&args, joins),
    }
}

fn start(shape: &Shape) -> Server {
    let settings = Settings {
        codecs: vec![shape.format.key()],
        calls: shape.legs,
        members: shape.legs.div_ceil(shape.rooms),
        ..Settings::default()
    };
    Server::start_for(&settings, |_| String::new())
}

/// So many legs come in and talk.
fn legs(args: &Args) {
    let shape = args.shape(args.legs);
    let server = start(&shape);
    let process = server.process();
    let before_kb = process.rss_kb();
    let phones = Phones::new(&server);
    let (mut load, dialogs) = phones.call_in(&shape);
    let called_kb = process.rss_kb();
    run(&mut load, Duration::from_secs(args.seconds));
    let talked_kb = process.rss_kb();
    phones.leave(std::slice::from_mut(&mut load), &dialogs);
    let left_kb = process.rss_kb();
    thread::sleep(SETTLED);
    let settled_kb = process.rss_kb();
    let told = server.stop();
    println!(
        "| legs | rooms | codec | RSS before kB | all in | talked for {} s | all gone | 40 s later | KiB per leg |",
        args.seconds
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {} | {} | {before_kb} | {called_kb} | {talked_kb} | {left_kb} | {settled_kb} | {:.1} |",
        shape.legs,
        shape.rooms,
        shape.format.codec().name(),
        talked_kb.saturating_sub(before_kb) as f64 / shape.legs as f64
    );
    let lost: i64 = load.legs.iter().map(|l| l.listener.lost).sum();
    if told.calls != shape.legs as u64 || lost > 0 {
        println!("  {} calls ended, {lost} packets lost", told.calls);
    }
}

/// Legs come and go: the one that has been in longest leaves, and calls again.
fn churn(args: &Args, joins: usize) {
    let shape = args.shape(args.population);
    let server = start(&shape);
    let process = server.process();
    let phones = Phones::new(&server);
    println!("| joins | after s | RSS kB |\n|---|---|---|");
    println!("| 0 | 0 | {} |", process.rss_kb());
    let (mut load, dialogs) = phones.call_in(&shape);
    let seats = load.legs.iter().map(|l| (l.room, l.socket.try_clone()));
    let mut population: VecDeque<Seat> = seats
        .zip(dialogs)
        .map(|((room, socket), dialog)| Seat {
            room,
            socket: socket.expect("a descriptor"),
            dialog,
        })
        .collect();
    let mut joined = shape.legs;
    let done = AtomicBool::new(false);
    // All legs go on sending meanwhile, on a thread of its own, whose priority nobody inherits.
    thread::scope(|s| {
        s.spawn(|| {
            let _ = sys::set_fifo(GENERATOR_PRIORITY);
            while !done.load(Ordering::Relaxed) {
                load.run(Duration::from_secs(1), false);
            }
        });
        let start = Instant::now();
        while joined < joins {
            let due = joined as f64 / args.rate as f64;
            thread::sleep(Duration::from_secs_f64(due).saturating_sub(start.elapsed()));
            let mut seat = population.pop_front().expect("there is a population");
            phones.hang_up(&seat.dialog);
            seat.dialog = phones.call(joined, seat.room, &seat.socket, &shape);
            population.push_back(seat);
            joined += 1;
            if joined.is_multiple_of(args.every) {
                let seconds = start.elapsed().as_secs();
                println!("| {joined} | {seconds} | {} |", process.rss_kb());
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let dialogs: Vec<Dialog> = population.into_iter().map(|seat| seat.dialog).collect();
    phones.leave(std::slice::from_mut(&mut load), &dialogs);
    thread::sleep(SETTLED);
    println!(
        "| all gone for {} s | | {} |",
        SETTLED.as_secs(),
        process.rss_kb()
    );
    let told = server.stop();
    println!("\n{} calls ended, {joined} made", told.calls);
}

/// One of the population.
struct Seat {
    room: usize,
    /// The generator's too.
    socket: UdpSocket,
    dialog: Dialog,
}

/// Runs the load on a thread of its own, whose priority nobody inherits.
fn run(load: &mut Load, length: Duration) {
    let work = || {
        let _ = sys::set_fifo(GENERATOR_PRIORITY);
        load.run(length, false);
    };
    thread::scope(|s| s.spawn(work).join()).expect("the generator does not panic");
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..) => Ok(n),
        _ => Err("a number from 1 on".to_owned()),
    }
}
