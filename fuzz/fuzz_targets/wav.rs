//! `cargo +nightly fuzz run wav`; without cargo-fuzz: `cargo run --bin wav FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::wav::fuzz::file(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::wav::fuzz::file(&std::fs::read(path)?);
    }
    Ok(())
}
