//! `cargo +nightly fuzz run codec`; without cargo-fuzz: `cargo run --bin codec FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::codec::fuzz::payloads(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::codec::fuzz::payloads(&std::fs::read(path)?);
    }
    Ok(())
}
