use super::*;

/// A voice, roughly: harmonics of a gliding pitch under a syllable's swell, and some hiss.
pub(super) fn voice(rate: u32, ms: u32) -> Vec<i16> {
    let mut phase = 0.0f32;
    let mut noise = 1u32;
    (0..rate / 1000 * ms)
        .map(|n| {
            let t = n as f32 / rate as f32;
            phase += (120.0 + 30.0 * (t * 3.0).sin()) / rate as f32;
            let swell = 0.55 + 0.45 * (t * 4.0 * std::f32::consts::TAU).sin();
            let tones = (1..=20).map(|k| {
                let formant = if matches!(k, 4 | 5 | 13) { 1.0 } else { 0.2 };
                (phase * k as f32 * std::f32::consts::TAU).sin() * formant
            });
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 16) as f32 / 65_536.0 - 0.5;
            ((tones.sum::<f32>() * 2500.0 + hiss * 300.0) * swell) as i16
        })
        .collect()
}

pub(super) fn sine(rate: u32, hz: f32, ms: u32, peak: f32) -> Vec<i16> {
    let step = hz / rate as f32 * std::f32::consts::TAU;
    (0..rate / 1000 * ms)
        .map(|n| ((n as f32 * step).sin() * peak) as i16)
        .collect()
}

/// The signal-to-noise ratio of `heard` against `said`, dB, at the delay that makes it best.
pub(super) fn snr_db(said: &[i16], heard: &[i16], delays: std::ops::Range<usize>) -> f64 {
    let energy = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let skip = said.len() / 4;
    delays
        .map(|delay| {
            let pairs = || said[skip..].iter().zip(&heard[skip + delay..]);
            let signal = energy(&mut pairs().map(|(s, _)| f64::from(*s)));
            let noise = energy(&mut pairs().map(|(s, h)| f64::from(*s) - f64::from(*h)));
            10.0 * (signal / noise.max(1.0)).log10()
        })
        .fold(f64::MIN, f64::max)
}

/// Encodes and decodes in frames of `ms`.
pub(super) fn through(codec: Codec, pcm: &[i16], ms: u32) -> Vec<i16> {
    let mut encoder = Encoder::new(codec, &OpusSettings::default()).unwrap();
    let mut decoder = Decoder::new(codec).unwrap();
    let mut heard = Vec::new();
    for frame in pcm.chunks_exact(codec.frame_samples(ms)) {
        let mut payload = [0; 8000];
        let len = encoder.encode(frame, &mut payload);
        assert_eq!(codec.samples(&payload[..len]), frame.len(), "{codec:?}");
        let mut out = [0; MAX_FRAME_SAMPLES];
        let count = decoder.decode(&payload[..len], &mut out);
        assert_eq!(count, frame.len(), "{codec:?} {ms} ms");
        heard.extend_from_slice(&out[..count]);
    }
    heard
}

#[test]
fn stops_at_the_shorter_side() {
    let mut bytes = [0u8; 4];
    assert_eq!(Codec::Pcmu.encode(&[0; 6], &mut bytes), 4);
    assert_eq!(bytes, [0xff; 4]);
    let mut pcm = [1i16; 3];
    assert_eq!(Codec::Pcma.decode(&[0xd5, 0x55], &mut pcm), 2);
    assert_eq!(pcm, [8, -8, 1]);
}

#[test]
fn linear_samples_go_out_in_network_byte_order() {
    let mut bytes = [9u8; 5];
    assert_eq!(Codec::L16Wide.encode(&[1, -2, 3], &mut bytes), 4);
    assert_eq!(bytes, [0, 1, 0xff, 0xfe, 9]);
    let mut pcm = [7i16; 3];
    assert_eq!(
        Codec::L16Narrow.decode(&[0x12, 0x34, 0xff, 0xff, 5], &mut pcm),
        2
    );
    assert_eq!(pcm, [0x1234, -1, 7]);
    assert_eq!(Codec::L16Full.samples(&[0; 5]), 2);
}

#[test]
fn every_codec_carries_a_voice_in_every_packet_time() {
    for codec in Codec::ALL {
        let pcm = voice(codec.sample_rate(), 1200);
        for ms in [10, 20, 30, 40, 50, 60] {
            if u32::from(codec.ptime_ms(ms as u8)) != ms && codec == Codec::Opus {
                continue;
            }
            let heard = through(codec, &pcm, ms);
            let rate = codec.sample_rate() as usize;
            let snr = snr_db(&pcm[..rate * 8 / 10], &heard, 0..rate / 50);
            let least = match codec {
                Codec::Opus => 6.0,
                Codec::G722 => 18.0,
                Codec::Pcmu | Codec::Pcma => 35.0,
                _ => 90.0,
            };
            println!("{codec:?} {ms} ms: {snr:.1} dB");
            assert!(snr > least, "{codec:?} {ms} ms: {snr:.1} dB");
        }
    }
}

#[test]
fn packet_times_fit_the_codec_and_the_network() {
    for (codec, wanted, sent) in [
        (Codec::Pcmu, 0, 10),
        (Codec::Pcmu, 35, 30),
        (Codec::Pcma, 255, 60),
        (Codec::Opus, 9, 10),
        (Codec::Opus, 30, 20),
        (Codec::Opus, 50, 40),
        (Codec::Opus, 120, 60),
        (Codec::L16Wide, 60, 40),
        (Codec::L16Wide, 20, 20),
        (Codec::L16Full, 20, 10),
        (Codec::L16Full, 5, 10),
    ] {
        assert_eq!(codec.ptime_ms(wanted), sent, "{codec:?} {wanted}");
    }
    for codec in Codec::ALL {
        for wanted in 0..=255 {
            let samples = codec.frame_samples(codec.ptime_ms(wanted).into());
            let bytes = match codec {
                Codec::L16Narrow | Codec::L16Wide | Codec::L16Full => samples * 2,
                Codec::G722 => samples / 2,
                Codec::Opus => 0,
                _ => samples,
            };
            assert!(bytes <= MAX_PAYLOAD, "{codec:?} {wanted}");
        }
    }
}

#[test]
fn the_clock_counts_what_the_standard_says() {
    // 20 ms of each.
    for (codec, ticks) in [
        (Codec::Pcmu, 160),
        (Codec::G722, 160),
        (Codec::Opus, 960),
        (Codec::L16Wide, 320),
        (Codec::L16Full, 960),
    ] {
        assert_eq!(codec.clock_ticks(codec.frame_samples(20)), ticks);
        assert_eq!(codec.clock_rate() / 50, ticks);
    }
}

#[test]
fn a_listener_can_go_on_from_a_shared_encoding() {
    let pcm = voice(16_000, 200);
    let (head, tail) = pcm.split_at(1600);
    let settings = OpusSettings::default();
    let encoder = |codec| Encoder::new(codec, &settings).unwrap();
    let (mut shared, mut own) = (encoder(Codec::G722), encoder(Codec::G722));
    let (mut there, mut here, mut fresh) = ([0; 800], [0; 800], [0; 800]);
    shared.encode(head, &mut there);
    assert!(own.copy_state(&shared));
    shared.encode(tail, &mut there);
    own.encode(tail, &mut here);
    assert_eq!(there, here);
    own.reset();
    own.encode(tail, &mut here);
    encoder(Codec::G722).encode(tail, &mut fresh);
    assert_eq!(here, fresh);
    assert_ne!(here, there);

    assert!(encoder(Codec::Pcmu).copy_state(&encoder(Codec::Pcmu)));
    assert!(!encoder(Codec::Pcmu).copy_state(&encoder(Codec::Pcma)));
    assert!(!encoder(Codec::Opus).copy_state(&encoder(Codec::Opus)));
    assert!(!own.copy_state(&encoder(Codec::Pcma)));
}
