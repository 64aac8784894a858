//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use super::{Codec, Decoder, MAX_FRAME_SAMPLES};

/// Reads `bytes` as a run of payloads, each behind its length in one byte, and takes them through a
/// decoder of each codec, with losses between them.
///
/// # Panics
/// Where something does not hold: that is a bug.
pub fn payloads(bytes: &[u8]) {
    let mut pcm = [0; MAX_FRAME_SAMPLES];
    for codec in Codec::ALL {
        let mut decoder = Decoder::new(codec).expect("memory for a decoder");
        let mut rest = bytes;
        while let Some((&len, behind)) = rest.split_first() {
            let (payload, behind) = behind.split_at(behind.len().min(len.into()));
            rest = behind;
            let samples = codec.samples(payload);
            assert!(samples <= MAX_FRAME_SAMPLES);
            let gap = usize::from(len) % 49 * 120;
            if len % 4 == 0 {
                let filled = decoder.decode_fec(payload, &mut pcm[..gap]);
                assert!(filled == 0 || (filled == gap && decoder.has_fec(payload)));
            }
            if len % 4 == 1 {
                let concealed = decoder.conceal(&mut pcm[..gap]);
                assert!(codec == Codec::Opus || !concealed);
            }
            let decoded = decoder.decode(payload, &mut pcm);
            assert!(decoded == samples || (decoded == 0 && codec == Codec::Opus));
            // Less room than needed is no fault either.
            assert!(decoder.decode(payload, &mut pcm[..gap / 8]) <= gap / 8);
            if len == 250 {
                decoder.reset();
            }
        }
    }
}
