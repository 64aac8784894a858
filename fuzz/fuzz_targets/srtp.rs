//! `cargo +nightly fuzz run srtp`; without cargo-fuzz: `cargo run --bin srtp FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::srtp::fuzz::packets(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::srtp::fuzz::packets(&std::fs::read(path)?);
    }
    Ok(())
}
