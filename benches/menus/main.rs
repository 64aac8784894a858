//! Callers in menus: `cargo bench --bench menus`.
//!
//! Starts the real server as a process of its own. Each caller is in one of two menus whose prompts
//! are tones, 500 and 2,000 Hz; any digit leads to the other menu. So each digit that gets through is
//! heard as a change of the tone, and the time from sending its first packet to the arrival of the
//! first packet without the old tone is how long the prompt went on. The fade of 5 ms is added.

#[path = "../support/mod.rs"]
mod support;

mod caller;

use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use antiphon::audio::MediaTime;
use antiphon::net::sys::{self, Batch};
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;

use caller::Caller;
use support::server::Server;
use support::sip::{Dialog, Response};
use support::stats::Quantiles;

const EXAMPLES: &str = "\
Examples:
  cargo bench --bench menus
  cargo bench --bench menus -- --callers 400 --digits 20";

/// Callers in menus: digits lost, and how long a prompt goes on behind its digit.
#[derive(Parser, Debug)]
#[command(after_help = EXAMPLES)]
struct Args {
    /// Callers at once.
    #[arg(long, default_value_t = 100)]
    callers: usize,
    /// Digits that each presses, one a second or so.
    #[arg(long, default_value_t = 10)]
    digits: usize,
    /// Draws the moments of the presses.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Slots of 1 ms in a packet time.
const SLOTS: usize = 20;
/// The fade of a prompt that is cut short.
const FADE_US: i64 = 5000;

fn main() {
    let args = Args::parse();
    let _ = sys::raise_nofile();
    // Below the server's media threads: the generator must not be what delays them.
    let priority = match sys::set_fifo(10) {
        Ok(()) => "real-time priority 10".to_owned(),
        Err(error) => format!("normal priority ({error}): expect its own delays in the figures"),
    };
    println!("{}\ngenerator: {priority}", support::machine());
    println!("{} callers, {} digits each\n", args.callers, args.digits);
    let server = Server::start_with(menus);
    let process = server.process();
    let (mut callers, dialogs, sip) = call_in(&args, &server);
    let before = process.cpu();
    let (seconds, lateness) = run(&mut callers);
    let cpu = process.cpu().since(before);
    for dialog in dialogs {
        request(&sip, &dialog.bye(), dialog.number, "BYE");
    }
    let told = server.stop();
    let pressed = args.callers * args.digits;
    let heard: usize = callers.iter().map(|c| c.stops_us.len()).sum();
    let stops = callers
        .iter()
        .flat_map(|c| &c.stops_us)
        .map(|us| us + FADE_US);
    let q = Quantiles::new(stops.collect());
    let late = Quantiles::new(lateness);
    println!("| what | value |\n|---|---|");
    println!(
        "| digits pressed, told, heard to have worked | {pressed}, {}, {heard} |",
        told.digits
    );
    println!(
        "| the prompt goes on behind a digit: p50, p99, max | {:.1}, {:.1}, {:.1} ms |",
        q.at(0.5),
        q.at(0.99),
        q.at(1.0)
    );
    let per_call = |cpu: Duration| cpu.as_secs_f64() * 1e6 / args.callers as f64 / seconds;
    println!(
        "| CPU per caller and second, of it media threads | {:.0}, {:.0} us |",
        per_call(cpu.all),
        per_call(cpu.media)
    );
    println!("| ticks skipped by the server | {} |", told.skipped_ticks);
    println!(
        "| generator late: p99, max | {:.0}, {:.0} us |",
        late.at(0.99) * 1000.0,
        late.at(1.0) * 1000.0
    );
    if heard != pressed || told.digits != pressed as u64 {
        println!("NOT EVERY DIGIT GOT THROUGH");
        std::process::exit(1);
    }
}

/// The two menus, and their prompts.
fn menus(directory: &Path) -> String {
    let mut text = String::new();
    for (name, next, hz) in [("low", "high", 500.0), ("high", "low", 2000.0)] {
        let file = directory.join(format!("{name}.wav"));
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&file, spec).expect("a file");
        for n in 0..30 * 8000 {
            let sample = 10_000.0 * (TAU * hz * f64::from(n) / 8000.0).sin();
            writer.write_sample(sample as i16).expect("a sample");
        }
        writer.finalize().expect("the file is whole");
        let _ = write!(
            text,
            "[[menu]]\nname = \"{name}\"\nprompts = ['{}']\nretries = 0\nterminator = \"\"\n\
             [[menu.choice]]\ndigits = \"X\"\napp = \"menu\"\nmenu = \"{next}\"\n",
            file.display()
        );
    }
    text.push_str("[[route]]\nuser = \"menu\"\napp = \"menu\"\nmenu = \"low\"\n");
    text
}

/// Sends and receives until everybody has pressed all. How long it took, and how late the slots of
/// the generator began, us.
fn run(callers: &mut [Caller]) -> (f64, Vec<i64>) {
    let start_ms = sys::monotonic_now().as_millis() + 1;
    let mut batch = Batch::new();
    let mut lateness = Vec::new();
    let mut ms = 0;
    while callers.iter().any(|c| !c.is_done()) {
        let due = MediaTime::from_millis(start_ms + ms);
        sys::sleep_until(due);
        lateness.push(sys::monotonic_now().since(due).as_micros() as i64);
        let slot = (ms % SLOTS as u64) as usize;
        for (n, caller) in callers.iter_mut().enumerate() {
            // Phones are not in step: 7 has no factor in common with 20.
            if n * 7 % SLOTS == slot {
                caller.send(ms);
                caller.receive(&mut batch);
            }
        }
        ms += 1;
    }
    (ms as f64 / 1000.0, lateness)
}

fn call_in(args: &Args, server: &Server) -> (Vec<Caller>, Vec<Dialog>, UdpSocket) {
    let sip = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    sip.connect(server.sip).expect("a loopback address");
    sip.set_read_timeout(Some(Duration::from_secs(5)))
        .expect("not zero");
    let local = sip.local_addr().expect("it is bound");
    let mut rng = StdRng::seed_from_u64(args.seed);
    let (mut callers, mut dialogs) = (Vec::new(), Vec::new());
    for number in 0..args.callers {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
        let media = socket.local_addr().expect("it is bound");
        let mut dialog = Dialog::new(number, "menu", local, server.sip);
        let answer = request(&sip, &dialog.invite(media), number, "INVITE");
        let response = Response::parse(&answer).expect("it was parsed before");
        assert_eq!(response.status, 200, "call {number} is answered");
        dialog.answered(&response);
        let port = response.media_port().expect("the answer has audio");
        sip.send(dialog.ack().as_bytes())
            .expect("the server listens");
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(to).expect("a loopback address");
        callers.push(Caller::new(number, socket, args.digits, &mut rng));
        dialogs.push(dialog);
    }
    (callers, dialogs, sip)
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
