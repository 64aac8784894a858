//! The DTMF detector: `cargo bench --bench dtmf`. What it finds of presses on good and bad lines,
//! what a conference still hears of their tones, and its cost; beside the crate `dtmf`.
//!
//! `cargo bench --bench dtmf -- --talk-off` has it listen to hours of synthetic speech and other
//! sounds, in which there is no digit. That needs espeak-ng and sox.

mod cost;
mod judge;
mod requirements;
mod signal;
mod sounds;
mod speech;
#[path = "../support/mod.rs"]
mod support;
mod talk_off;

use std::process::ExitCode;

use clap::Parser;

/// What the DTMF detector finds, and what it costs; with --talk-off, what it finds where there is
/// nothing to find.
#[derive(Parser)]
struct Args {
    /// Presses in each row (fewer where they are long).
    #[arg(long, default_value_t = 8000)]
    presses: usize,
    /// Listen to speech and other sounds instead.
    #[arg(long)]
    talk_off: bool,
    /// Hours of speech of each of the two sets.
    #[arg(long, default_value_t = 10.0)]
    hours: f64,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    println!("{}\n", support::machine());
    let good = if args.talk_off {
        talk_off::is_possible()
            && talk_off::table(args.hours)
                .inspect_err(|e| eprintln!("espeak-ng or sox: {e}"))
                .is_ok()
    } else {
        let met = requirements::table(args.presses);
        println!();
        cost::table();
        met
    };
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says on a terminal how far a long run is.
fn progress(name: &str, share: f64) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        eprint!("\r{name}: {:.0} % ", share * 100.0);
    }
}
