//! `cargo +nightly fuzz run srtp`; without cargo-fuzz: `cargo run --bin srtp FILE...`
//! replays files.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| antiphon::net::fuzz::web_socket(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    for path in std::env::args_os().skip(1) {
        antiphon::net::fuzz::web_socket(&std::fs::read(path)?);
    }
    Ok(())
}
