//! Encoders and decoders leave the heap alone, libopus included: C's allocator is watched as well
//! as Rust's.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(
    unsafe_code,
    dead_code,
    reason = "stands in for malloc; of the tally only a part is wanted here"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "realtime/tally.rs"]
mod tally;

use antiphon::codec::{Codec, Decoder, Encoder, MAX_FRAME_SAMPLES, MAX_PAYLOAD, OpusSettings};
use tally::Tally;

/// A tone with hiss, loud and silent by turns.
fn sample(n: usize) -> i16 {
    let hiss = (n.wrapping_mul(2_654_435_761) >> 16) as u16 as i16 / 64;
    let tone = ((n as f32 / 40.0).sin() * 9000.0) as i16;
    if n / 20_000 % 3 == 2 { 0 } else { tone + hiss }
}

#[test]
fn no_codec_takes_or_gives_back_memory() {
    let tally = Tally::traced();
    let settings = OpusSettings::default();
    let mut frames = 0;
    for codec in Codec::ALL {
        for complexity in [0, 5, 10] {
            for (dtx, fec) in [(true, false), (false, true)] {
                let settings = OpusSettings {
                    complexity,
                    dtx,
                    fec,
                    ..settings
                };
                let mut encoder = Encoder::new(codec, &settings).unwrap();
                let other = Encoder::new(codec, &settings).unwrap();
                let mut decoder = Decoder::new(codec).unwrap();
                tally.watch(|| frames += run(codec, &mut encoder, &mut decoder, &other));
            }
        }
    }
    assert!(frames > 1000, "{frames}");
    tally.assert_untouched();
}

#[test]
fn making_one_is_seen_to_take_memory() {
    let tally = Tally::traced();
    let decoder = tally.watch(|| Decoder::new(Codec::Opus).unwrap());
    assert_eq!(tally.counts().0, 1, "libopus' own");
    tally.watch(|| drop(decoder));
    assert_eq!(tally.counts().1, 1);
}

/// Every call there is, for some seconds of audio; returns the frames.
fn run(codec: Codec, encoder: &mut Encoder, decoder: &mut Decoder, other: &Encoder) -> u32 {
    let mut pcm = [0; MAX_FRAME_SAMPLES];
    let mut out = [0; MAX_FRAME_SAMPLES];
    let mut payload = [0; MAX_PAYLOAD];
    let (mut at, mut frames) = (0, 0);
    while at < codec.sample_rate() as usize * 2 {
        let ms = codec.ptime_ms([20, 10, 60, 40][frames as usize % 4]);
        let frame = &mut pcm[..codec.frame_samples(ms.into())];
        frame
            .iter_mut()
            .enumerate()
            .for_each(|(n, s)| *s = sample(at + n));
        at += frame.len();
        frames += 1;
        let len = encoder.encode(frame, &mut payload);
        let payload = &payload[..len];
        match frames % 8 {
            3 => {
                let gap = frame.len();
                if decoder.decode_fec(payload, &mut out[..gap]) == 0 {
                    decoder.conceal(&mut out[..gap]);
                }
                decoder.decode(payload, &mut out);
            }
            5 => {
                decoder.decode(&payload[..len / 3], &mut out);
            }
            6 => {
                encoder.set_expected_loss(frames as u8 % 30);
                encoder.copy_state(other);
            }
            _ if frames % 64 == 7 => {
                encoder.reset();
                decoder.reset();
            }
            _ => {
                decoder.decode(payload, &mut out);
            }
        }
    }
    frames
}
