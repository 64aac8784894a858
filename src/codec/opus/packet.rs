//! What the first bytes of an Opus packet tell (RFC 6716 §3).

use super::STEP;
use crate::codec::MAX_FRAME_SAMPLES;

/// The samples at 48 kHz that a packet holds, by its table of contents (RFC 6716 §3.1); 0 where
/// that is missing or says more than 120 ms.
pub fn samples(payload: &[u8]) -> usize {
    let Some(toc) = payload.first() else {
        return 0;
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => payload.get(1).map_or(0, |count| usize::from(count & 0x3f)),
    };
    let all = frame_samples(*toc) * frames;
    if all <= MAX_FRAME_SAMPLES { all } else { 0 }
}

/// Whether the first frame of a packet carries a copy of the frame before it: SILK's low bit-rate
/// redundancy (RFC 6716 §4.2.4), in either channel.
pub fn has_fec(payload: &[u8]) -> bool {
    let Some(&toc) = payload.first() else {
        return false;
    };
    let config = toc >> 3;
    if config >= FIRST_CELT {
        return false;
    }
    let Some(&flags) = first_frame(payload).and_then(<[u8]>::first) else {
        return false;
    };
    // The frame begins with a bit of voice activity for each 20 ms, then the redundancy's (RFC 6716
    // §4.2.3); with two channels, the same again. Each is one raw bit, as all have even odds.
    let silk_frames = (frame_samples(toc) / (8 * STEP)).max(1);
    let mid = flags >> (7 - silk_frames) & 1;
    let is_stereo = toc & 4 != 0;
    let side = flags >> (6 - 2 * silk_frames) & 1;
    mid == 1 || (is_stereo && side == 1)
}

/// The samples of one frame (RFC 6716 §3.1, table 2).
pub fn frame_samples(toc: u8) -> usize {
    let config = toc >> 3;
    let steps = match config {
        ..FIRST_HYBRID => [4, 8, 16, 24][usize::from(config & 3)],
        FIRST_HYBRID..FIRST_CELT => [4, 8][usize::from(config & 1)],
        FIRST_CELT.. => [1, 2, 4, 8][usize::from(config & 3)],
    };
    steps * STEP
}

/// The bytes from the first frame on; none where the packet ends before.
fn first_frame(payload: &[u8]) -> Option<&[u8]> {
    let start = match payload.first()? & 3 {
        0 | 1 => 1,
        2 => 1 + length_of_length(*payload.get(1)?),
        _ => after_count(payload)?,
    };
    payload.get(start..)
}

/// Where the first frame of a packet with a frame count begins (RFC 6716 §3.2.5).
fn after_count(payload: &[u8]) -> Option<usize> {
    let count = *payload.get(1)?;
    let mut at = 2;
    if count & 0x40 != 0 {
        while *payload.get(at)? == 255 {
            at += 1;
        }
        at += 1;
    }
    if count & 0x80 != 0 {
        for _ in 1..count & 0x3f {
            at += length_of_length(*payload.get(at)?);
        }
    }
    Some(at)
}

/// How many bytes a frame's length takes (RFC 6716 §3.2.1).
fn length_of_length(first: u8) -> usize {
    if first < 252 { 1 } else { 2 }
}

/// Configurations from here are hybrid, below SILK.
const FIRST_HYBRID: u8 = 12;
/// Configurations from here are CELT.
const FIRST_CELT: u8 = 16;
