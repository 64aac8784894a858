//! `cargo +nightly fuzz run config`; without cargo-fuzz: `cargo run --bin config FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::config::fuzz::config(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::config::fuzz::config(&std::fs::read(path)?);
    }
    Ok(())
}
