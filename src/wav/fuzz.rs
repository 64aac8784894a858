//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use std::io::Cursor;

use super::{Reader, Writer};

/// Frames that are read of one file.
const MAX_FRAMES: usize = 100_000;

/// Reads `bytes` as a WAV file; it holds what it says it holds, and what was read can be written.
///
/// # Panics
/// Where it does not: that is a bug.
pub fn file(bytes: &[u8]) {
    let Ok(mut reader) = Reader::open(Cursor::new(bytes)) else {
        return;
    };
    let spec = *reader.spec();
    assert!(spec.frames <= bytes.len() as u64, "no more than is there");
    let mut samples = Vec::new();
    while samples.len() < MAX_FRAMES {
        match reader.read_mono(&mut samples, 1000) {
            Ok(0) | Err(_) => break,
            Ok(count) => assert!(count <= 1000),
        }
    }
    if samples.len() < MAX_FRAMES {
        assert_eq!(samples.len() as u64, spec.frames, "all that it says");
    }
    let mut writer = Writer::create(Cursor::new(Vec::new()), spec.rate).expect("memory");
    writer.write(&samples).expect("memory");
    let written = writer.finish().expect("memory").into_inner();
    let mut again = Vec::new();
    let mut reader = Reader::open(Cursor::new(written)).expect("what we write can be read");
    let wanted = samples.len() + 1;
    reader.read_mono(&mut again, wanted).expect("memory");
    assert_eq!(again, samples, "writing loses nothing");
}
