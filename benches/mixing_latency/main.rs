//! Mouth-to-ear latency, loss and CPU of a conference: `cargo bench --bench mixing_latency`.
//!
//! Starts the real server as a process of its own, calls into one room over real sockets, and
//! measures from the sending of a packet with the onset of a burst to the kernel's time of arrival
//! of the packet with that onset at every other leg.

#[path = "../support/mod.rs"]
mod support;

mod listener;
mod load;
mod reflector;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use antiphon::net::sys;
use clap::Parser;

use load::{Load, LoadLeg, Speech};
use reflector::Reflector;
use support::server::{Cpu, Process, Server};
use support::sip::{Dialog, Response};
use support::stats::Quantiles;

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench mixing_latency
  cargo bench --bench mixing_latency -- --legs 400 --seconds 60
  cargo bench --bench mixing_latency -- --legs 100,400 --all-talking --reflector";

/// Mouth-to-ear latency, CPU and loss of one G.711 conference over real sockets.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Numbers of legs, one run each.
    #[arg(long, value_delimiter = ',', default_value = "2,20,100,400")]
    legs: Vec<usize>,
    /// Seconds measured in each run, after a warm-up of 3 s.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many burst in each half second, in turn; the part goes around among all legs.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3))]
    talkers: u64,
    /// All the others are heard too, quietly, so that every leg needs a mix of its own.
    #[arg(long)]
    all_talking: bool,
    /// Measure a bare reflector with one socket per leg too, under the same load.
    #[arg(long)]
    reflector: bool,
    /// Be the reflector.
    #[arg(long, hide = true)]
    reflect: Option<usize>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    if let Some(legs) = args.reflect {
        reflector::run(legs).expect("the reflector has its sockets");
        return;
    }
    let _ = sys::raise_nofile();
    // Below the server's media threads: the generator must not be what delays them.
    let generator = match sys::set_fifo(10) {
        Ok(()) => "real-time priority 10".to_owned(),
        Err(error) => format!("normal priority ({error}): expect its own delays in the figures"),
    };
    println!("{}\ngenerator: {generator}", support::machine());
    println!(
        "one room, PCMU, 20 ms, {} talker(s){}, {} s\n",
        args.talkers,
        if args.all_talking {
            ", all talking"
        } else {
            ""
        },
        args.seconds
    );
    println!(
        "| legs | onsets | p50 ms | p90 | p99 | max | missed | CPU us/leg/s | of it media \
         | lost to server | lost to legs | ticks left out | slot p99 us | generator p99, max us |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for &legs in &args.legs {
        conference(legs, &args);
    }
    if args.reflector {
        println!("\nbare reflector, one socket per leg, epoll\n");
        println!("| legs | round trip p50 ms | p99 | CPU us/leg/s | lost |\n|---|---|---|---|---|");
        for &legs in &args.legs {
            reflected(legs, &args);
        }
    }
}

fn conference(legs: usize, args: &Args) {
    let server = Server::start();
    let (mut load, dialogs, sip) = call_in(legs, &server, args);
    let cpu = measure(&mut load, args, server.process());
    for dialog in dialogs {
        request(&sip, &dialog.bye(), dialog.number, "BYE");
    }
    let media = server.media.clone();
    let told = server.stop();
    load.drain();
    let sent: u64 = load.legs.iter().map(|l| l.sent).sum();
    let packets: u64 = load.legs.iter().map(|l| l.listener.packets).sum();
    let lost: i64 = load.legs.iter().map(|l| l.listener.lost).sum();
    let left_out: u64 = load.legs.iter().map(|l| l.listener.left_out).sum();
    let (latencies, missed) = load.latencies();
    let q = Quantiles::new(latencies.iter().map(|ns| ns / 1000).collect());
    let late = Quantiles::new(load.lateness.clone());
    println!(
        "| {legs} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {missed} | {:.0} | {:.0} \
         | {} of {sent} | {lost} of {packets} | {left_out} | < {} | {:.0}, {:.0} |",
        q.len(),
        q.at(0.5),
        q.at(0.9),
        q.at(0.99),
        q.at(1.0),
        per_leg(cpu.all, legs, args),
        per_leg(cpu.media, legs, args),
        sent as i64 - told.rx_packets as i64,
        told.lateness_p99_us,
        late.at(0.99) * 1000.0,
        late.at(1.0) * 1000.0,
    );
    let sent_to_legs = told.tx_packets as i64;
    if told.calls != legs as u64
        || sent_to_legs != packets as i64
        || load.refused + told.late + told.skipped_ticks > 0
    {
        println!(
            "  server: media {media}; {} calls, {} ticks skipped, {} packets late, {sent_to_legs} \
             packets sent; generator: {} packets refused",
            told.calls, told.skipped_ticks, told.late, load.refused
        );
    }
}

fn reflected(legs: usize, args: &Args) {
    let reflector = Reflector::start(legs).expect("the reflector starts");
    let mut generator = Vec::new();
    for (i, &port) in reflector.ports.iter().enumerate() {
        let leg = LoadLeg::bind(i).expect("a socket");
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        leg.socket.connect(to).expect("a loopback address");
        generator.push(leg);
    }
    let mut load = Load::new(generator, speech(args));
    let cpu = measure(&mut load, args, reflector.process());
    load.drain();
    // Its own burst is what each leg hears here.
    let mut trips = Vec::new();
    for onset in &load.onsets {
        let heard = &load.legs[onset.leg].listener.onsets;
        trips.extend(
            heard
                .iter()
                .find(|at| **at >= onset.sent_ns)
                .map(|at| (at - onset.sent_ns) / 1000),
        );
    }
    let q = Quantiles::new(trips);
    let lost: i64 = load
        .legs
        .iter()
        .map(|l| l.sent as i64 - l.listener.packets as i64)
        .sum();
    println!(
        "| {legs} | {:.2} | {:.2} | {:.0} | {lost} |",
        q.at(0.5),
        q.at(0.99),
        per_leg(cpu.all, legs, args)
    );
}

/// Warms up, then runs the load for the time asked for. Returns the process' CPU time meanwhile.
fn measure(load: &mut Load, args: &Args, process: Process) -> Cpu {
    load.run(Duration::from_secs(3), false);
    load.clear();
    let before = process.cpu();
    load.run(Duration::from_secs(args.seconds), true);
    let cpu = process.cpu().since(before);
    // The last packets come back before anybody hangs up.
    load.run(Duration::from_millis(200), false);
    cpu
}

fn per_leg(cpu: Duration, legs: usize, args: &Args) -> f64 {
    cpu.as_secs_f64() * 1e6 / legs as f64 / args.seconds as f64
}

fn speech(args: &Args) -> Speech {
    Speech {
        talkers: args.talkers as usize,
        all_talking: args.all_talking,
    }
}

/// Calls into the room with so many legs, one after the other.
fn call_in(legs: usize, server: &Server, args: &Args) -> (Load, Vec<Dialog>, UdpSocket) {
    let sip = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sip.connect(server.sip).expect("a loopback address");
    sip.set_read_timeout(Some(Duration::from_secs(5)))
        .expect("not zero");
    let local = sip.local_addr().expect("it is bound");
    let mut generator = Vec::new();
    let mut dialogs = Vec::new();
    for number in 0..legs {
        let leg = LoadLeg::bind(number).expect("a socket");
        let media = leg.socket.local_addr().expect("it is bound");
        let mut dialog = Dialog::new(number, "600", local, server.sip);
        let answer = request(&sip, &dialog.invite(media), number, "INVITE");
        let response = Response::parse(&answer).expect("it was parsed before");
        assert_eq!(response.status, 200, "call {number} is answered");
        dialog.answered(&response);
        let port = response.media_port().expect("the answer has audio");
        sip.send(dialog.ack().as_bytes())
            .expect("the server listens");
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        leg.socket.connect(to).expect("a loopback address");
        generator.push(leg);
        dialogs.push(dialog);
    }
    (Load::new(generator, speech(args)), dialogs, sip)
}

/// Sends a request and waits for its final response.
fn request(sip: &UdpSocket, text: &str, number: usize, method: &str) -> Vec<u8> {
    sip.send(text.as_bytes()).expect("the server listens");
    let mut buffer = vec![0; 65_536];
    loop {
        let len = sip.recv(&mut buffer).expect("the server answers in 5 s");
        let Some(response) = Response::parse(&buffer[..len]) else {
            continue;
        };
        if response.number == number && response.method == method && response.status >= 200 {
            buffer.truncate(len);
            return buffer;
        }
    }
}
