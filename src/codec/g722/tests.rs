//! Properties, and bit-exactness against libspandsp 0.0.6, which made `reference.g722` of
//! [`signal`] and the sums of what it decodes.

use super::*;
use crate::codec::tests::{sine, snr_db, voice};

const REFERENCE: &[u8] = include_bytes!("reference.g722");

struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }
}

/// 400 ms, 50 ms each: hiss, low noise, a square wave, silence, noise and a wave at half of full
/// scale (beyond 16 bits the reference wraps round, where the recommendation saturates), louder low
/// noise, next to nothing.
fn signal(noise: &mut Noise) -> Vec<i16> {
    let mut low = 0;
    (0..6400)
        .map(|n| {
            let white = (noise.next() >> 16) as i32 - 32_768;
            let value = match n / 800 {
                0 => white >> 6,
                1 => {
                    low += (white - low) >> 3;
                    low
                }
                2 if n / 20 % 2 == 1 => 12_000,
                2 => -12_000,
                3 => 0,
                4 => white >> 1,
                5 if n / 3 % 2 == 1 => 16_000,
                5 => -16_000,
                6 => {
                    low += (white - low) >> 2;
                    low >> 1
                }
                _ => white >> 12,
            };
            value as i16
        })
        .collect()
}

fn encode(pcm: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; pcm.len() / 2];
    assert_eq!(Encoder::default().encode(pcm, &mut bytes), bytes.len());
    bytes
}

fn decode(bytes: &[u8]) -> Vec<i16> {
    let mut pcm = vec![0; bytes.len() * 2];
    assert_eq!(Decoder::default().decode(bytes, &mut pcm), pcm.len());
    pcm
}

/// FNV-1a of the samples, little-endian.
fn sum(pcm: &[i16]) -> u64 {
    pcm.iter()
        .flat_map(|sample| sample.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[test]
fn encodes_and_decodes_as_the_reference_does() {
    let mut noise = Noise(1);
    let pcm = signal(&mut noise);
    let bytes = encode(&pcm);
    let differs = bytes.iter().zip(REFERENCE).position(|(a, b)| a != b);
    assert_eq!(differs, None);
    assert_eq!(bytes.len(), REFERENCE.len());
    assert_eq!(sum(&decode(REFERENCE)), SUM_OF_REFERENCE);
    // Any codes, but for large steps.
    let any: Vec<u8> = (0..1600)
        .map(|_| (noise.next() >> 24) as u8 | 0x18)
        .collect();
    assert_eq!(sum(&decode(&any)), SUM_OF_RANDOM);
}

#[test]
fn tones_and_voice_come_back() {
    for (what, pcm, least_db) in [
        ("1 kHz", sine(16_000, 1000.0, 1000, 10_000.0), 35.0),
        ("5 kHz", sine(16_000, 5000.0, 1000, 10_000.0), 15.0),
        ("voice", voice(16_000, 1000), 20.0),
    ] {
        let heard = decode(&encode(&pcm));
        let snr = snr_db(&pcm[..pcm.len() - 100], &heard, 0..40);
        println!("{what}: {snr:.1} dB");
        assert!(snr > least_db, "{what}: {snr:.1} dB");
    }
}

#[test]
fn the_band_is_flat_up_to_seven_kilohertz() {
    let level = |pcm: &[i16]| {
        let sum: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
        10.0 * (sum / pcm.len() as f64).log10()
    };
    for hz in [
        100.0, 1000.0, 3000.0, 3900.0, 4100.0, 5000.0, 6000.0, 7000.0,
    ] {
        let pcm = sine(16_000, hz, 500, 8000.0);
        let heard = decode(&encode(&pcm));
        let change = level(&heard[4000..]) - level(&pcm[4000..]);
        println!("{hz} Hz: {change:.2} dB");
        // ITU-T G.722 §2.2.
        assert!((-1.5..1.0).contains(&change), "{hz} Hz: {change:.2} dB");
    }
}

#[test]
fn frames_of_any_length_join_without_a_seam() {
    let pcm = signal(&mut Noise(7));
    let whole = encode(&pcm);
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
    let (mut bytes, mut heard) = (Vec::new(), Vec::new());
    for frame in pcm.chunks(74) {
        let mut out = [0; 40];
        let len = encoder.encode(frame, &mut out);
        let mut samples = [0; 80];
        let count = decoder.decode(&out[..len], &mut samples);
        bytes.extend_from_slice(&out[..len]);
        heard.extend_from_slice(&samples[..count]);
    }
    assert_eq!(bytes, whole);
    assert_eq!(heard, decode(&whole));
}

#[test]
fn stops_at_the_shorter_side() {
    assert_eq!(Encoder::default().encode(&[1; 5], &mut [0; 9]), 2);
    assert_eq!(Encoder::default().encode(&[1; 9], &mut [0; 2]), 2);
    assert_eq!(Decoder::default().decode(&[1; 9], &mut [0; 5]), 4);
    assert_eq!(Decoder::default().decode(&[1; 2], &mut [0; 9]), 4);
}

const SUM_OF_REFERENCE: u64 = 0x8ce8_db53_7b21_5f13;
const SUM_OF_RANDOM: u64 = 0x6320_28ee_a3ae_b8f6;

#[test]
fn past_full_scale_it_saturates() {
    // Steps from one end to the other, which the filters overshoot.
    let pcm: Vec<i16> = (0..3200)
        .map(|n| if n / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    let heard = decode(&encode(&pcm));
    let wrong = |(n, (said, heard)): (usize, (&i16, &i16))| {
        n % 40 > 8 && n % 40 < 32 && (i32::from(*said) - i32::from(*heard)).abs() > 12_000
    };
    let heard = &heard[22..];
    assert_eq!(
        pcm.iter()
            .zip(heard)
            .enumerate()
            .skip(800)
            .filter(|p| wrong(*p))
            .count(),
        0
    );
    assert!(heard.contains(&i16::MAX) && heard.contains(&i16::MIN));
}
