//! `cargo +nightly fuzz run authorization`; without cargo-fuzz: `cargo run --bin authorization FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::sip::fuzz::authorization(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::sip::fuzz::authorization(&std::fs::read(path)?);
    }
    Ok(())
}
