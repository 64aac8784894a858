//! Calls set up and torn down: `cargo bench --bench calls_per_second`.
//!
//! Starts the real server as a process of its own and dials its echo: INVITE, 200, ACK, a few RTP
//! packets, BYE, 200. Counts what either side had to send again, and how the server's memory goes.
//! With `--signalling` there is no media, and a thread of this process signals. With `--target` the
//! same calls go to another server that runs already, to compare.

#[path = "../support/mod.rs"]
mod support;

mod caller;
mod signalling;

use std::net::SocketAddr;
use std::time::Duration;

use antiphon::net::sys;
use clap::Parser;

use caller::{Caller, Counts, Plan};
use signalling::Signalling;
use support::server::{Process, Server};
use support::stats::Quantiles;

/// RTP packets that each call sends, so that the server latches on to it.
const RTP_PACKETS: u64 = 5;

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench calls_per_second
  cargo bench --bench calls_per_second -- --calls 50000 --rate 400
  cargo bench --bench calls_per_second -- --signalling --calls 120000 --rate 2000 --hold 100
  cargo bench --bench calls_per_second -- --target 127.0.0.1:5060 --pid 4711 --rate 2000";

/// Calls per second: set-up time, retransmissions, CPU per call, memory.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Calls in all.
    #[arg(long, default_value_t = 2000)]
    calls: usize,
    /// Calls begun per second.
    #[arg(long, default_value_t = 105.0)]
    rate: f64,
    /// How long each call lasts, ms.
    #[arg(long, default_value_t = 500)]
    hold: u64,
    /// A line on the server's memory after every so many calls.
    #[arg(long, default_value_t = 5000)]
    every: usize,
    /// Signalling alone: the transport, the transactions and the calls of the server, without RTP
    /// sockets and media threads.
    #[arg(long)]
    signalling: bool,
    /// With --signalling: its thread and the caller's have real-time priority, so that others who
    /// want the cores hold nobody up.
    #[arg(long, requires = "signalling")]
    realtime: bool,
    /// Calls another server over UDP, whichever, without RTP; it has to answer whoever calls.
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        requires = "pid",
        conflicts_with = "signalling"
    )]
    target: Option<SocketAddr>,
    /// The process of which the CPU time is counted.
    #[arg(long, requires = "target")]
    pid: Option<u32>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    println!("{}", support::machine());
    println!(
        "{} calls, {} per second, {} ms each\n",
        args.calls, args.rate, args.hold
    );
    let other = args.target.zip(args.pid.map(Process));
    let plan = Plan {
        calls: args.calls,
        interval: Duration::from_secs_f64(1.0 / args.rate),
        hold: Duration::from_millis(args.hold),
        rtp_packets: if args.signalling || other.is_some() {
            0
        } else {
            RTP_PACKETS
        },
    };
    let clean = match other {
        Some((target, process)) => other_server(target, process, plan),
        None if args.signalling => signalling(&args, plan),
        None => calls(&args, plan),
    };
    if !clean {
        println!("NOT ALL CALLS WENT THROUGH");
        std::process::exit(1);
    }
}

/// Signalling alone. Whether all calls went through.
fn signalling(args: &Args, plan: Plan) -> bool {
    println!("{}\n", signalling::SCOPE);
    let ((caller, took, cpu), told) = Signalling::serve(args.realtime, |server| {
        if args.realtime {
            let told = match sys::set_fifo(support::GENERATOR_PRIORITY) {
                Ok(()) => "both threads have real-time priority".to_owned(),
                Err(error) => format!("no real-time priority here: {error}"),
            };
            println!("{told}\n");
        }
        let before = server.cpu();
        let mut caller = Caller::new(server.sip, plan).expect("sockets on loopback");
        let took = caller.run(|_| ());
        (caller, took, server.cpu().saturating_sub(before))
    });
    report(&caller, took, cpu);
    println!(
        "\nthe server: {} calls ended, {} datagrams received, {} dropped, {} sent; {} transactions \
         wait for their end, {} things of calls are left",
        told.calls, told.received, told.dropped, told.sent, told.transactions, told.left
    );
    told.calls == args.calls as u64 && caller.counts.ended == told.calls && told.left == 0
}

/// Calls to a server that is not ours. Whether all went through.
fn other_server(target: SocketAddr, process: Process, plan: Plan) -> bool {
    let before = process.cpu();
    if before.all.is_zero() {
        println!(
            "there is no process {} whose CPU time could be counted",
            process.0
        );
        return false;
    }
    let mut caller = Caller::new(target, plan).expect("sockets on loopback");
    let took = caller.run(|_| ());
    report(&caller, took, process.cpu().since(before).all);
    caller.counts.ended == plan.calls as u64
}

/// Calls with media. Whether all went through.
fn calls(args: &Args, plan: Plan) -> bool {
    let server = Server::start();
    let process = server.process();
    let before = process.cpu();
    let mut caller = Caller::new(server.sip, plan).expect("sockets on loopback");
    let with_memory = args.calls > args.every;
    if with_memory {
        println!("| calls ended | at once | RSS kB | threads |\n|---|---|---|---|");
        memory(process, &caller);
    }
    let mut next = args.every;
    let took = caller.run(|caller| {
        if with_memory && caller.counts.ended >= next as u64 {
            memory(process, caller);
            next += args.every;
        }
    });
    let cpu = process.cpu().since(before);
    std::thread::sleep(Duration::from_millis(300));
    if with_memory {
        memory(process, &caller);
        println!();
    }
    report(&caller, took, cpu.all);
    let counts = caller.counts;
    let told = server.stop();
    println!(
        "\nthe server: {} calls ended, {} RTP packets received, {} sent, {} ticks skipped",
        told.calls, told.rx_packets, told.tx_packets, told.skipped_ticks
    );
    counts.ended == args.calls as u64 && told.calls == args.calls as u64
}

fn report(caller: &Caller, took: Duration, cpu: Duration) {
    let Counts {
        answered,
        ended,
        refused,
        resent,
        answers_again,
        byes_again,
    } = caller.counts;
    let q = Quantiles::new(caller.set_up_us.clone());
    println!("| what | value |\n|---|---|");
    println!("| calls answered, ended, refused | {answered}, {ended}, {refused} |");
    println!("| took | {:.2} s |", took.as_secs_f64());
    println!("| requests sent again by the caller | {resent} |");
    println!("| 200s to INVITE sent again by the server | {answers_again} |");
    println!("| 200s to BYE more than once | {byes_again} |");
    println!(
        "| INVITE to 200: p50, p99, max | {:.2}, {:.2}, {:.2} ms |",
        q.at(0.5),
        q.at(0.99),
        q.at(1.0)
    );
    let per_call = cpu.as_secs_f64() * 1e6 / ended.max(1) as f64;
    println!("| CPU per call | {per_call:.0} us |");
}

fn memory(process: Process, caller: &Caller) {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.0));
    println!(
        "| {} | {} | {} | {} |",
        caller.counts.ended,
        caller.running(),
        process.rss_kb(),
        threads.map_or(0, Iterator::count)
    );
}
