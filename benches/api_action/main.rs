//! How soon what a program asks for is heard: `cargo bench --bench api_action`.
//!
//! Starts the real server as a process of its own, with a room of silent legs and one talker. The
//! talker is muted and let in again by the control API, at random moments; measured is from just
//! before the request is written to the arrival of the first packet with the talker's tone at
//! other legs, by the kernel's clock. `--readers` has programs read events meanwhile, `--stalled`
//! some that never read.

#[path = "../support/mod.rs"]
mod support;

mod client;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use antiphon::audio::MediaTime;
use antiphon::net::sys::{self, Batch, SendCounters};
use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use client::{Client, Readers};
use support::GENERATOR_PRIORITY;
use support::generator::format::{Format, Payloads};
use support::generator::load::{Load, Shape};
use support::generator::speech::{Speech, TalkerPhase};
use support::phones::Phones;
use support::server::Server;
use support::stats::Quantiles;

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench api_action
  cargo bench --bench api_action -- --readers 1000 --stalled 100";

/// From a request to the API to the first packet that it has changed.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Legs of the room.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u16).range(2..=5000))]
    legs: u16,
    /// How often the talker is let in again.
    #[arg(long, default_value_t = 150)]
    actions: usize,
    /// Legs that listen for it.
    #[arg(long, default_value_t = 8)]
    listening: usize,
    /// Programs that read all events meanwhile.
    #[arg(long, default_value_t = 0)]
    readers: usize,
    /// Programs that asked for events and never read.
    #[arg(long, default_value_t = 0)]
    stalled: usize,
    /// Draws the moments of the requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The key that the bench shows.
pub const SECRET: &str = "a-secret-of-the-bench";
/// The talker's number among the calls.
const TALKER: usize = 1_000_000;
/// The talker is silent for so long, least and most: a listener needs three silent packets.
const SILENT_MS: (u64, u64) = (150, 250);
/// And is heard for so long.
const HEARD_MS: u64 = 150;

fn main() {
    let args = Args::parse();
    let generator = support::generator_priority();
    println!("{}\ngenerator: {generator}", support::machine());
    println!("{} legs, {} actions\n", args.legs, args.actions);
    let server = Server::start_with(|_| {
        format!(
            "[http]\nlisten = [\"127.0.0.1:0\"]\nrequests_per_second = 1000\n\
             connections = 5000\nconnections_per_address = 5000\n\
             [[http.key]]\nname = \"bench\"\nscope = \"control\"\nsecret = \"{SECRET}\"\n"
        )
    });
    let http = server.http.expect("the server listens for HTTP");
    let shape = Shape {
        legs: usize::from(args.legs) - 1,
        rooms: 1,
        speech: Speech {
            talkers: 0,
            phase: TalkerPhase::Steady,
            all_talking: false,
            silent_listeners: false,
        },
        format: Format::Pcmu,
        measured: args.listening,
        drift_ppm: 0,
        srtp: None,
        toil: None,
    };
    let phones = Phones::new(&server);
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
    let talker = phones.call(TALKER, 0, &socket, &shape);
    let mut client = Client::connect(http);
    let id = client.only_call();
    let stop = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        scope.spawn(|| talk(&socket, &stop));
        let (mut load, dialogs) = phones.call_in(&shape);
        let readers = Readers::connect(http, args.readers, args.stalled);
        let generator = scope.spawn(|| {
            let _ = sys::set_fifo(GENERATOR_PRIORITY);
            while !stop.load(Ordering::Relaxed) {
                load.run(Duration::from_millis(100), false);
            }
            load
        });
        let asked = act(&mut client, &id, &args);
        let read = readers.stop();
        stop.store(true, Ordering::Relaxed);
        let mut load = generator.join().expect("it does not panic");
        phones.leave(std::slice::from_mut(&mut load), &dialogs);
        tell(&load, &asked);
        if args.readers + args.stalled > 0 {
            println!("\n{read}");
        }
        asked.len()
    });
    phones.hang_up(&talker);
    let told = server.stop();
    println!(
        "\n{asked} actions; the server left out {} ticks; lateness of its slots p99 < {} us",
        told.skipped_ticks, told.lateness_p99_us
    );
}

/// Mutes the talker and lets it in again. When each request to let it in was made, wall clock, ns.
fn act(client: &mut Client, id: &str, args: &Args) -> Vec<i64> {
    let mut rng = StdRng::seed_from_u64(args.seed);
    let path = format!("/api/v1/rooms/600/members/{id}");
    let mut asked = Vec::new();
    // What comes in at the start settles.
    thread::sleep(Duration::from_secs(2));
    for _ in 0..args.actions {
        client.post(&path, r#"{"muted":true}"#);
        let us = rng.random_range(SILENT_MS.0 * 1000..SILENT_MS.1 * 1000);
        thread::sleep(Duration::from_micros(us));
        asked.push(wall_ns());
        client.post(&path, r#"{"muted":false}"#);
        thread::sleep(Duration::from_millis(HEARD_MS));
    }
    asked
}

fn tell(load: &Load, asked: &[i64]) {
    let mut times = Vec::new();
    let mut missed = 0;
    for leg in load.legs.iter().filter(|leg| leg.listener.hears()) {
        let heard = &leg.listener.onsets;
        for (n, &at) in asked.iter().enumerate() {
            let next = asked.get(n + 1).copied().unwrap_or(i64::MAX);
            let first = heard.get(heard.partition_point(|onset| *onset < at));
            match first.filter(|&&onset| onset < next) {
                Some(onset) => times.push((onset - at) / 1000),
                None => missed += 1,
            }
        }
    }
    let lost: i64 = load.legs.iter().map(|l| l.listener.lost).sum();
    let left_out: u64 = load.legs.iter().map(|l| l.listener.left_out).sum();
    let packets: u64 = load.legs.iter().map(|l| l.listener.packets).sum();
    let q = Quantiles::new(times);
    println!("| heard | missed | p50 ms | p90 | p99 | max | lost to legs | ticks left out |");
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {missed} | {:.1} | {:.1} | {:.1} | {:.1} | {lost} of {packets} | {left_out} |",
        q.len(),
        q.at(0.5),
        q.at(0.9),
        q.at(0.99),
        q.at(1.0)
    );
}

/// A tone without an end.
fn talk(socket: &UdpSocket, stop: &AtomicBool) {
    let _ = sys::set_fifo(GENERATOR_PRIORITY);
    socket.set_nonblocking(true).expect("a socket");
    let payloads = Payloads::new(Format::Pcmu, 1);
    let start_ms = sys::monotonic_now().as_millis() + 1;
    let mut batch = Batch::new();
    let mut packet = Vec::with_capacity(172);
    for n in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        sys::sleep_until(MediaTime::from_millis(start_ms + n * 20));
        packet.clear();
        packet.extend([0x80, if n == 0 { 0x80 } else { 0 }]);
        packet.extend((n as u16).to_be_bytes());
        packet.extend((n as u32).wrapping_mul(160).to_be_bytes());
        packet.extend((TALKER as u32).to_be_bytes());
        // The first packet of a burst is a whole number of periods, and loud from its start.
        packet.extend(payloads.burst(0));
        sys::send(socket, &packet, None, &mut SendCounters::default());
        sys::recv_batch(socket, &mut batch);
    }
}

fn wall_ns() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |d| d.as_nanos() as i64)
}
