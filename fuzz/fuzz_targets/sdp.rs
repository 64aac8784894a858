//! `cargo +nightly fuzz run sdp`; without cargo-fuzz: `cargo run --bin sdp FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::sdp::fuzz::description(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::sdp::fuzz::description(&std::fs::read(path)?);
    }
    Ok(())
}
