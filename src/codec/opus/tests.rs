use super::*;
use crate::codec::tests::{sine, snr_db, voice};
use crate::codec::{Codec, Decoder, Encoder, MAX_FRAME_SAMPLES, MAX_PAYLOAD};

const FRAME: usize = 960;

fn encoder(settings: OpusSettings) -> Encoder {
    Encoder::new(Codec::Opus, &settings).unwrap()
}

/// The packets of a signal, 20 ms each.
fn packets(settings: OpusSettings, pcm: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = encoder(settings);
    let mut packet = [0; MAX_PAYLOAD];
    pcm.chunks_exact(FRAME)
        .map(|frame| {
            let len = encoder.encode(frame, &mut packet);
            packet[..len].to_vec()
        })
        .collect()
}

fn bits_per_second(packets: &[Vec<u8>]) -> usize {
    packets.iter().map(Vec::len).sum::<usize>() * 8 * 50 / packets.len()
}

#[test]
fn lengths_by_the_table_of_contents() {
    // RFC 6716 §3.1, table 2: configuration, frame in units of 2.5 ms.
    for (config, steps) in [
        (0, 4),
        (1, 8),
        (2, 16),
        (3, 24),
        (11, 24),
        (12, 4),
        (13, 8),
        (14, 4),
        (15, 8),
        (16, 1),
        (19, 8),
        (28, 1),
        (31, 8),
    ] {
        assert_eq!(
            samples(&[config << 3]),
            steps * 120,
            "configuration {config}"
        );
        let double = if steps * 240 > 5760 { 0 } else { steps * 240 };
        assert_eq!(samples(&[config << 3 | 5, 0]), double);
        assert_eq!(samples(&[config << 3 | 2, 0]), double);
    }
    // A count: none, too many, as many as may be, missing.
    assert_eq!(samples(&[16 << 3 | 3, 0]), 0);
    assert_eq!(samples(&[16 << 3 | 3, 49]), 0);
    assert_eq!(samples(&[16 << 3 | 3, 48]), 5760);
    assert_eq!(samples(&[16 << 3 | 3]), 0);
    assert_eq!(samples(&[]), 0);
}

#[test]
fn settings_do_what_they_say() {
    let pcm = voice(48_000, 2000);
    let base = OpusSettings::default();
    for bitrate in [12_000, 24_000, 64_000] {
        let sent = bits_per_second(&packets(OpusSettings { bitrate, ..base }, &pcm));
        let bounds = bitrate as usize * 7 / 10..bitrate as usize * 12 / 10;
        assert!(bounds.contains(&sent), "{bitrate}: {sent}");
    }
    let constant = packets(OpusSettings { cbr: true, ..base }, &pcm);
    assert!(constant.iter().all(|packet| packet.len() == 80));
    // 60 ms at the highest rate still fits a packet.
    let mut loud = encoder(OpusSettings {
        bitrate: 510_000,
        cbr: true,
        ..base
    });
    let mut out = [0; MAX_PAYLOAD];
    let len = loud.encode(&pcm[..2880], &mut out);
    assert!(len > 1000 && samples(&out[..len]) == 2880);
    // The band, by the configuration: narrow, medium, wide, super-wide.
    for (max_playback_rate, configs) in [
        (8000, [0..4, 16..20]),
        (12_000, [0..8, 16..20]),
        (16_000, [0..12, 16..24]),
        (24_000, [0..14, 16..28]),
    ] {
        let settings = OpusSettings {
            max_playback_rate,
            ..base
        };
        for packet in packets(settings, &pcm) {
            let config = packet[0] >> 3;
            assert!(configs.iter().any(|c| c.contains(&config)), "{config}");
        }
    }
}

#[test]
fn values_out_of_range_are_clamped() {
    let wild = OpusSettings {
        bitrate: u32::MAX,
        complexity: 255,
        max_playback_rate: 0,
        expected_loss: 255,
        ..OpusSettings::default()
    };
    let clamped = wild.clamped();
    assert_eq!((clamped.bitrate, clamped.complexity), (510_000, 10));
    assert_eq!(
        (clamped.max_playback_rate, clamped.expected_loss),
        (8000, 100)
    );
    assert_eq!(packets(wild, &voice(48_000, 40)).len(), 2);
    let mut encoder = encoder(OpusSettings { bitrate: 0, ..wild });
    encoder.set_expected_loss(255);
    let mut out = [0; 100];
    assert!(encoder.encode(&[0; FRAME], &mut out) > 0);
    // No frame of Opus.
    assert_eq!(encoder.encode(&[0; 1000], &mut out), 0);
}

#[test]
fn a_lost_frame_comes_back_out_of_the_next_packet() {
    let pcm = voice(48_000, 2000);
    let settings = OpusSettings {
        expected_loss: 20,
        ..OpusSettings::default()
    };
    let packets = packets(settings, &pcm);
    let carriers = packets.iter().filter(|packet| has_fec(packet)).count();
    assert!(
        carriers > packets.len() / 2,
        "{carriers} of {}",
        packets.len()
    );

    let whole = decode(&packets, |_| Loss::None);
    let lost = |n: usize| n % 5 == 3 && n > 10;
    let with = |how: Loss| decode(&packets, |n| if lost(n) { how } else { Loss::None });
    let snr = |heard: Vec<i16>| snr_db(&whole[..80_000], &heard, 0..1);
    let (repaired, concealed) = (snr(with(Loss::Repaired)), snr(with(Loss::Concealed)));
    println!("repaired {repaired:.1} dB, concealed {concealed:.1} dB");
    assert!(repaired > concealed + 2.0, "{repaired:.1} {concealed:.1}");
}

#[derive(Clone, Copy)]
enum Loss {
    None,
    Repaired,
    Concealed,
}

fn decode(packets: &[Vec<u8>], lost: impl Fn(usize) -> Loss) -> Vec<i16> {
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    let mut heard = Vec::new();
    for (n, packet) in packets.iter().enumerate() {
        let mut out = [0; FRAME];
        let next = packets.get(n + 1);
        match (lost(n), next) {
            (Loss::None, _) => assert_eq!(decoder.decode(packet, &mut out), FRAME),
            (Loss::Repaired, Some(next)) if decoder.decode_fec(next, &mut out) > 0 => {}
            _ => assert!(decoder.conceal(&mut out)),
        }
        heard.extend(out);
    }
    heard
}

#[test]
fn without_expected_loss_nothing_is_added() {
    let pcm = voice(48_000, 1000);
    let base = OpusSettings::default();
    let loss = |expected_loss, fec| OpusSettings {
        fec,
        expected_loss,
        ..base
    };
    for settings in [loss(0, true), loss(20, false)] {
        assert!(!packets(settings, &pcm).iter().any(|packet| has_fec(packet)));
    }
    let mut encoder = encoder(loss(0, true));
    encoder.set_expected_loss(20);
    let mut out = [0; MAX_PAYLOAD];
    let found = pcm.chunks_exact(FRAME).any(|frame| {
        let len = encoder.encode(frame, &mut out);
        has_fec(&out[..len])
    });
    assert!(found);
}

#[test]
fn silence_is_not_sent_where_the_peer_wants_that() {
    let mut pcm = voice(48_000, 400);
    pcm.resize(pcm.len() + 48_000 * 2, 0);
    pcm.extend(voice(48_000, 200));
    let settings = OpusSettings {
        dtx: true,
        ..OpusSettings::default()
    };
    let sent = packets(settings, &pcm);
    let silent = &sent[40..115];
    let empty = silent.iter().filter(|packet| packet.is_empty()).count();
    assert!(empty > 60, "{empty} of 75");
    assert!(sent[..20].iter().all(|packet| !packet.is_empty()));
    assert!(sent[121..].iter().all(|packet| !packet.is_empty()));
    let always = packets(OpusSettings::default(), &pcm);
    assert!(always.iter().all(|packet| !packet.is_empty()));
}

#[test]
fn stereo_is_mixed_down() {
    use audiopus::{Application, Channels, SampleRate};
    let inner =
        audiopus::coder::Encoder::new(SampleRate::Hz48000, Channels::Stereo, Application::Audio)
            .unwrap();
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    let tone = sine(48_000, 440.0, 400, 8000.0);
    let mut heard = Vec::new();
    for frame in tone.chunks_exact(FRAME) {
        // Left only.
        let pairs: Vec<i16> = frame.iter().flat_map(|s| [*s, 0]).collect();
        let mut packet = [0; MAX_PAYLOAD];
        let len = inner.encode(&pairs, &mut packet).unwrap();
        assert!(packet[0] & 4 != 0, "two channels");
        let mut out = [0; MAX_FRAME_SAMPLES];
        assert_eq!(decoder.decode(&packet[..len], &mut out), FRAME);
        heard.extend_from_slice(&out[..FRAME]);
    }
    let peak = heard[4800..].iter().map(|s| s.abs()).max().unwrap();
    assert!((3500..4500).contains(&peak), "half of the left: {peak}");
}

#[test]
fn what_is_no_packet_is_no_audio() {
    let mut decoder = Decoder::new(Codec::Opus).unwrap();
    let mut out = [0; MAX_FRAME_SAMPLES];
    let one = packets(OpusSettings::default(), &voice(48_000, 20)).remove(0);
    // Nothing; two frames of equal length in an odd rest; lengths past the end; no room.
    for bad in [&[][..], &[0x19, 1, 2, 3], &[0x1a, 200, 1], &[0x83, 0xff]] {
        assert_eq!(decoder.decode(bad, &mut out), 0, "{bad:?}");
        assert_eq!(decoder.decode_fec(bad, &mut out[..FRAME]), 0, "{bad:?}");
    }
    assert_eq!(decoder.decode(&one, &mut out[..FRAME - 1]), 0);
    assert_eq!(decoder.decode(&one, &mut out), FRAME);
    // Gaps in no steps of 2.5 ms, none, and more than 120 ms.
    assert!(!decoder.conceal(&mut out[..FRAME - 1]));
    assert!(!decoder.conceal(&mut []));
    assert!(!decoder.conceal(&mut [0; MAX_FRAME_SAMPLES + 120]));
    assert!(decoder.conceal(&mut out));
}
