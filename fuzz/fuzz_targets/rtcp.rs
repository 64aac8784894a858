//! `cargo +nightly fuzz run rtcp`; without cargo-fuzz: `cargo run --bin rtcp FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::rtp::fuzz::control(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::rtp::fuzz::control(&std::fs::read(path)?);
    }
    Ok(())
}
