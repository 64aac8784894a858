//! Speech over bad networks: `cargo bench --bench networks`. Spoken by espeak-ng, sent in packets
//! over a simulated network to a leg of a media worker in simulated time, and what another leg is
//! sent of it scored by PESQ against what was spoken; beside it the concealment of G.711 Appendix I
//! on the same packets.
//!
//! Needs espeak-ng, sox, and Python with what builds `pesq` from PyPI; says what is missing.

mod appendix;
mod call;
mod delay;
mod network;
mod room;
mod score;
mod speech;
mod table;
mod tones;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

/// How speech sounds behind bad networks, and how much later it is.
#[derive(Parser)]
struct Args {
    /// Runs of each network, each with other losses.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Only codecs with this in their name.
    #[arg(long, default_value = "")]
    codec: String,
    /// Only networks with this in their name, and the clean one.
    #[arg(long, default_value = "")]
    network: String,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all bars that could be looked at are met.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let tones = tones::row()?;
    if !speech::is_possible() {
        return Ok(tones);
    }
    let Some(judge) = score::Judge::new() else {
        return Ok(tones);
    };
    Ok(table::print(judge, args)? && tones)
}
