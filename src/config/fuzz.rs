//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use super::Config;

/// Reads `bytes` as a configuration; what was accepted prints to what reads the same, and what
/// was refused says why.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Config::parse(text, "fuzz.toml") {
        Ok(config) => {
            let printed = config.to_toml_with_defaults();
            let again = Config::parse(&printed, "printed.toml").expect("what we print can be read");
            assert_eq!(again, config, "printing loses nothing");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
