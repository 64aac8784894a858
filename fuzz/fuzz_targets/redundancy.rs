//! `cargo +nightly fuzz run redundancy`; without cargo-fuzz: `cargo run --bin redundancy FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::rtp::fuzz::redundancy(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::rtp::fuzz::redundancy(&std::fs::read(path)?);
    }
    Ok(())
}
