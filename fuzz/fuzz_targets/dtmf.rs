//! `cargo +nightly fuzz run rtp`; without cargo-fuzz: `cargo run --bin dtmf FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::dtmf::fuzz::digits(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::dtmf::fuzz::digits(&std::fs::read(path)?);
    }
    Ok(())
}
