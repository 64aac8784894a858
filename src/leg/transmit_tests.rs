use super::*;
use crate::audio::TICK_SAMPLES;
use crate::audio::process::ProcessSettings;
use crate::codec::{Decoder, OpusSettings};
use crate::dtmf::Digit;
use crate::leg::dial::Dialled;
use crate::leg::{Dial, DialMethod, DigitString, EventFormat, LegParams};

const PCMU: Codec = Codec::Pcmu;

fn coding(codec: Codec) -> Coding {
    let mut params = LegParams::g711(codec, None);
    params.opus = OpusSettings::default();
    Coding::new(&params, 200, ProcessSettings::default()).unwrap()
}

fn format(codec: Codec, ptime_ms: u8) -> Format {
    Format {
        codec,
        payload_type: 96,
        ptime_ms,
    }
}

/// Tick, whether it was held for ten slots later, bytes.
type Sent = (u64, bool, Vec<u8>);

/// What goes out in `ticks` ticks of a 440 Hz tone.
fn run(codec: Codec, ptime_ms: u8, ticks: u64) -> Vec<Sent> {
    let mut t = Transmit::new(1, 100, 5000, codec);
    let mut coding = coding(codec);
    let mut out: Vec<Sent> = Vec::new();
    for tick in 0..ticks {
        let samples = tone(codec, tick);
        let mut now = Vec::new();
        let format = format(codec, ptime_ms);
        let held = t.push(
            Outgoing::own(&samples),
            tick * 160,
            format,
            &mut coding,
            |p| now.push(p.to_vec()),
        );
        out.extend(now.into_iter().map(|p| (tick, false, p)));
        if held {
            t.flush_held(&coding, &mut |p: &[u8]| out.push((tick, true, p.to_vec())));
        }
    }
    out
}

fn tone(codec: Codec, tick: u64) -> Vec<i16> {
    let rate = codec.sample_rate() as f64;
    let frame = codec.frame_samples(20) as u64;
    (tick * frame..(tick + 1) * frame)
        .map(|n| (6000.0 * (std::f64::consts::TAU * 440.0 * n as f64 / rate).sin()) as i16)
        .collect()
}

fn due_ms(packet: &Sent) -> u64 {
    packet.0 * 20 + if packet.1 { 10 } else { 0 }
}

fn timestamp(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]])
}

#[test]
fn each_packet_time_of_each_codec_keeps_its_own_spacing() {
    for codec in Codec::ALL {
        for wanted in [10, 20, 30, 40, 50, 60] {
            let ptime = codec.ptime_ms(wanted);
            let packets = run(codec, ptime, 60);
            let name = format!("{codec:?}, {ptime} ms");
            assert_eq!(packets.len(), 1200 / usize::from(ptime), "{name}");
            for pair in packets.windows(2) {
                let spacing = due_ms(&pair[1]) - due_ms(&pair[0]);
                assert_eq!(spacing, u64::from(ptime), "{name}");
                assert_eq!(
                    timestamp(&pair[1].2).wrapping_sub(timestamp(&pair[0].2)),
                    u32::from(ptime) * codec.clock_rate() / 1000,
                    "{name}"
                );
                let samples = codec.samples(&pair[0].2[HEADER_LEN..]);
                assert_eq!(samples, codec.frame_samples(u32::from(ptime)), "{name}");
            }
        }
    }
}

#[test]
fn what_goes_out_is_the_tone() {
    for codec in Codec::ALL {
        for wanted in [10, 20, 60] {
            let mut decoder = Decoder::new(codec).unwrap();
            let mut heard = Vec::new();
            for (_, _, packet) in run(codec, codec.ptime_ms(wanted), 60) {
                let mut pcm = [0i16; 5760];
                let n = decoder.decode(&packet[HEADER_LEN..], &mut pcm);
                heard.extend_from_slice(&pcm[..n]);
            }
            let rate = codec.sample_rate() as f64;
            let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
            let tail = &heard[heard.len() / 2..];
            for (n, &s) in tail.iter().enumerate() {
                let phase = std::f64::consts::TAU * 440.0 * n as f64 / rate;
                re += f64::from(s) * phase.cos();
                im += f64::from(s) * phase.sin();
                all += f64::from(s) * f64::from(s);
            }
            let part = 2.0 * (re * re + im * im) / (tail.len() as f64 * all);
            assert!(part > 0.98, "{codec:?} {wanted} ms: {part}");
        }
    }
}

#[test]
fn only_the_first_packet_has_the_marker() {
    let packets = run(PCMU, 20, 5);
    let markers: Vec<bool> = packets.iter().map(|p| p.2[1] & 0x80 != 0).collect();
    assert_eq!(markers, [true, false, false, false, false]);
}

#[test]
fn a_skipped_tick_advances_the_timestamp_and_not_the_sequence() {
    let mut t = Transmit::new(1, 100, 5000, Codec::Pcma);
    let mut coding = coding(Codec::Pcma);
    let mut packets = Vec::new();
    for tick in [0u64, 1, 4] {
        let outgoing = Outgoing::own(&[0; 160]);
        t.push(
            outgoing,
            tick * 160,
            format(Codec::Pcma, 20),
            &mut coding,
            |p| {
                packets.push(p.to_vec());
            },
        );
    }
    assert_eq!(packets[2][2..4], 102u16.to_be_bytes());
    assert_eq!(packets[2][4..8], (5000 + 4 * 160u32).to_be_bytes());
}

#[test]
fn the_shared_encoding_is_sent_as_it_is() {
    let mut t = Transmit::new(1, 100, 5000, PCMU);
    let mut coding = coding(PCMU);
    let mut packet = [0x5a; HEADER_LEN + 160];
    let mut sent = Vec::new();
    let shared = Outgoing {
        samples: &[0; 160],
        shared: Some(&mut packet),
        encoder: None,
    };
    t.push(shared, 0, format(PCMU, 20), &mut coding, |p| {
        sent.extend_from_slice(p);
    });
    assert_eq!(sent[HEADER_LEN..], [0x5a; 160]);
    assert_eq!(sent[4..8], 5000u32.to_be_bytes());
    sent.clear();
    let shared = Outgoing {
        samples: &[0; 160],
        shared: Some(&mut packet),
        encoder: None,
    };
    t.push(shared, 160, format(PCMU, 40), &mut coding, |p| {
        sent.extend_from_slice(p);
    });
    assert!(
        sent.is_empty(),
        "another packet time makes packets of its own"
    );
}

#[test]
fn who_begins_to_talk_goes_on_from_the_shared_encoder_and_comes_back_where_it_is_quiet() {
    let codec = Codec::G722;
    let format = format(codec, 20);
    let mut t = Transmit::new(1, 100, 5000, codec);
    let mut coding = coding(codec);
    let mut common = Encoder::new(codec, &OpusSettings::default()).unwrap();
    let mut before = Encoder::new(codec, &OpusSettings::default()).unwrap();
    // What one encoder for all would have made of it.
    let mut alone = Encoder::new(codec, &OpusSettings::default()).unwrap();
    let mut own = Vec::new();
    for tick in 0..200u64 {
        let quiet = tick >= 150;
        let samples = if quiet {
            vec![3; 320]
        } else {
            tone(codec, tick)
        };
        let mut packet = [0u8; MAX_PACKET];
        assert!(before.copy_state(&common));
        let len = common.encode(&samples, &mut packet[HEADER_LEN..]);
        let packet = &mut packet[..HEADER_LEN + len];
        let shared_payload = packet[HEADER_LEN..].to_vec();
        let talks = (60..80).contains(&tick);
        let outgoing = Outgoing {
            samples: &samples,
            shared: (!talks).then_some(packet),
            encoder: Some(&before),
        };
        let mut sent = Vec::new();
        t.push(outgoing, tick * 160, format, &mut coding, |p| {
            sent.extend_from_slice(&p[HEADER_LEN..]);
        });
        let mut expected = vec![0u8; 160];
        alone.encode(&samples, &mut expected);
        assert_eq!(sent, expected, "tick {tick}: another stream");
        own.push(coding.encoder.codec() == codec && sent == shared_payload);
    }
    assert!(own[0]);
    // Two seconds after the talk-spurt at the latest, and here at once when it is quiet.
    assert!(!t.follows_shared || t.linger == 0);
    assert!(t.follows_shared);
}

#[test]
fn a_pause_of_opus_sends_nothing_and_the_next_packet_has_the_marker() {
    let mut params = LegParams::g711(Codec::Opus, None);
    params.opus = OpusSettings {
        dtx: true,
        ..OpusSettings::default()
    };
    let mut coding = Coding::new(&params, 200, ProcessSettings::default()).unwrap();
    let mut t = Transmit::new(1, 100, 5000, Codec::Opus);
    let mut packets: Vec<(u64, Vec<u8>)> = Vec::new();
    for tick in 0..200u64 {
        let samples = if (50..150).contains(&tick) {
            vec![0; 960]
        } else {
            tone(Codec::Opus, tick)
        };
        let outgoing = Outgoing::own(&samples);
        t.push(
            outgoing,
            tick * 160,
            format(Codec::Opus, 20),
            &mut coding,
            |p| {
                packets.push((tick, p.to_vec()));
            },
        );
    }
    let in_pause = packets.iter().filter(|p| (80..150).contains(&p.0)).count();
    assert!(in_pause <= 6, "{in_pause} packets in a pause of 1.4 s");
    let first = packets.iter().find(|p| p.0 >= 150).unwrap();
    assert!(first.1[1] & 0x80 != 0, "a talk-spurt begins");
    assert_eq!(timestamp(&first.1), 5000 + first.0 as u32 * 960);
    let numbers: Vec<u16> = packets
        .iter()
        .map(|p| u16::from_be_bytes([p.1[2], p.1[3]]))
        .collect();
    assert!(numbers.windows(2).all(|w| w[1] == w[0].wrapping_add(1)));
}

/// A digit of 400 ms at 8 kHz, in which Opus takes the place of PCMU.
#[test]
fn an_event_keeps_its_name_when_the_codec_changes() {
    let digits = DigitString::new([Digit::POUND, Digit::POUND]);
    let mut dial = Dial::new(1, digits, DialMethod::Events, 400, 100);
    let events = EventFormat {
        rx: 101,
        tx: 101,
        clock_rate: 8000,
    };
    let mut t = Transmit::new(1, 100, 5000, PCMU);
    let coding = coding(PCMU);
    let mut named = Vec::new();
    for tick in 0..100 {
        let position = 8000 + tick * 160;
        if tick == 5 {
            t.recode(Codec::Opus, position);
        }
        let mut out = [0; TICK_SAMPLES];
        let dialled = dial.tick(position, true, Some(events), &mut out);
        let Dialled::Reports { reports, .. } = dialled else {
            continue;
        };
        for report in reports.iter().flatten() {
            t.push_event(report, 101, &coding, |p| named.push(timestamp(p)));
        }
    }
    assert_eq!(named.iter().filter(|&&at| at == 5000 + 8000).count(), 22);
    named.dedup();
    assert_eq!(named.len(), 2, "{named:?}");
}
