//! `cargo +nightly fuzz run sip_uri`; without cargo-fuzz: `cargo run --bin sip_uri FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::sip::fuzz::uri(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::sip::fuzz::uri(&std::fs::read(path)?);
    }
    Ok(())
}
