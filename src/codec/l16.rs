//! Linear samples in network byte order (RFC 3551 §4.5.11).

/// As many samples as fit; returns the bytes written.
pub(super) fn encode(pcm: &[i16], out: &mut [u8]) -> usize {
    let (pairs, _) = out.as_chunks_mut::<2>();
    let count = pairs.len().min(pcm.len());
    for (pair, sample) in pairs.iter_mut().zip(pcm) {
        *pair = sample.to_be_bytes();
    }
    count * 2
}

/// As many samples as fit; returns how many. An odd byte at the end is no sample.
pub(super) fn decode(payload: &[u8], out: &mut [i16]) -> usize {
    let (pairs, _) = payload.as_chunks::<2>();
    for (sample, pair) in out.iter_mut().zip(pairs) {
        *sample = i16::from_be_bytes(*pair);
    }
    pairs.len().min(out.len())
}
