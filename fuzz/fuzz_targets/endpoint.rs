//! `cargo +nightly fuzz run endpoint`; without cargo-fuzz: `cargo run --bin endpoint FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

use std::time::Instant;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::switch::fuzz::script(bytes, Instant::now()));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::switch::fuzz::script(&std::fs::read(path)?, Instant::now());
    }
    Ok(())
}
