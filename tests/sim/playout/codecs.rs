//! Codecs with state, at the playout's rate or another: decoded in order, repaired, concealed.

use antiphon::codec::{Encoder, MAX_PAYLOAD, OpusSettings};
use antiphon::leg::playout::Decoders;

use super::*;

pub(super) struct Stream {
    codec: Codec,
    encoder: Encoder,
    pub(super) ptime_ms: usize,
    n: usize,
}

impl Stream {
    pub(super) fn new(codec: Codec, dtx: bool) -> Self {
        let settings = OpusSettings {
            dtx,
            expected_loss: 20,
            ..OpusSettings::default()
        };
        let encoder = Encoder::new(codec, &settings).unwrap();
        Self {
            codec,
            encoder,
            ptime_ms: 20,
            n: 0,
        }
    }

    /// The next packet of `signal`, of samples at the codec's rate.
    pub(super) fn next(&mut self, signal: impl Fn(f64) -> f64) -> Vec<u8> {
        let rate = self.codec.sample_rate();
        let len = rate as usize / 1000 * self.ptime_ms;
        let pcm: Vec<i16> = (0..len)
            .map(|i| signal((self.n * len + i) as f64 / f64::from(rate)) as i16)
            .collect();
        self.n += 1;
        let mut payload = vec![0; MAX_PAYLOAD];
        let bytes = self.encoder.encode(&pcm, &mut payload);
        payload.truncate(bytes);
        payload
    }
}

pub(super) fn tone(seconds: f64) -> f64 {
    (seconds * 440.0 * std::f64::consts::TAU).sin() * 8000.0
}

/// A playout, and what it is fed with.
struct Line {
    playout: Playout,
    rate: u32,
    tick: u64,
    heard: Vec<i16>,
    kinds: Vec<Pulled>,
}

impl Line {
    fn new(codecs: &[Codec], rate: u32) -> Self {
        let mut playout = Playout::new(PlayoutSettings {
            rate,
            ..PlayoutSettings::default()
        });
        playout.set_decoders(Decoders::new(codecs, rate).unwrap());
        Self {
            playout,
            rate,
            tick: 50,
            heard: Vec::new(),
            kinds: Vec::new(),
        }
    }

    fn insert(&mut self, codec: Codec, n: u64, payload: &[u8]) {
        let packet = Packet {
            payload_type: PayloadType(96),
            marker: false,
            seq: SeqNo((n + 65_500) as u16),
            timestamp: Timestamp((n * u64::from(codec.clock_rate()) / 50) as u32),
            ssrc: Ssrc(1),
            payload,
        };
        let arrival = MediaTime::from_micros(self.tick * TICK_US + 5000);
        self.playout.insert(&packet, codec, arrival);
    }

    fn pull(&mut self) {
        self.tick += 1;
        let mut frame = vec![0; self.rate as usize / 50];
        let now = MediaTime::from_micros(self.tick * TICK_US);
        self.kinds.push(self.playout.pull(&mut frame, now));
        self.heard.extend(frame);
    }

    /// The part of the sound from `from_ms` on that is no 440 Hz.
    fn distortion(&self, from_ms: usize) -> f64 {
        let piece = &self.heard[from_ms * self.rate as usize / 1000..];
        // Whole periods: 440 Hz has 11 in 25 ms.
        let whole = self.rate as usize / 40;
        let piece = &piece[..piece.len() / whole * whole];
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (t, &sample) in piece.iter().enumerate() {
            let sample = f64::from(sample);
            let turn = t as f64 * 440.0 / f64::from(self.rate) * std::f64::consts::TAU;
            re += sample * turn.cos();
            im += sample * turn.sin();
            all += sample * sample;
        }
        let own = 2.0 * (re * re + im * im) / piece.len() as f64;
        assert!(own > 0.0, "silence");
        (all - own) / own
    }
}

#[test]
fn every_codec_plays_at_every_rate_without_added_delay() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::L16Wide] {
        for rate in [8000, 16_000, 48_000] {
            let mut stream = Stream::new(codec, false);
            let mut line = Line::new(&[codec], rate);
            for n in 0..100 {
                line.insert(codec, n, &stream.next(tone));
                line.pull();
                let stats = line.playout.stats();
                assert_eq!(stats.depth_samples, 0, "{codec:?} at {rate}, {n}");
            }
            assert!(line.kinds.iter().all(|&k| k == Pulled::Audio));
            let distortion = line.distortion(200);
            assert!(distortion < 0.01, "{codec:?} at {rate}: {distortion}");
            assert_eq!(line.playout.next_timestamp(), codec.clock_rate() * 2);
        }
    }
}

#[test]
fn packets_out_of_order_are_decoded_in_order() {
    for codec in [Codec::G722, Codec::Opus] {
        let mut stream = Stream::new(codec, false);
        let mut plain = Line::new(&[codec], codec.sample_rate());
        let mut swapped = Line::new(&[codec], codec.sample_rate());
        for n in 0..50 {
            let (first, second) = (stream.next(tone), stream.next(tone));
            plain.insert(codec, 2 * n, &first);
            plain.insert(codec, 2 * n + 1, &second);
            swapped.insert(codec, 2 * n + 1, &second);
            swapped.insert(codec, 2 * n, &first);
            for _ in 0..2 {
                plain.pull();
                swapped.pull();
            }
        }
        assert!(plain.heard == swapped.heard, "{codec:?}");
    }
}

#[test]
fn opus_repairs_losses_with_a_packet_more_of_depth_and_gives_it_back() {
    let mut stream = Stream::new(Codec::Opus, false);
    let mut line = Line::new(&[Codec::Opus], 48_000);
    let voice = |t: f64| {
        let syllable = (t * 3.0 * std::f64::consts::TAU).sin().max(0.1);
        (1..6)
            .map(|h| (t * 120.0 * f64::from(h) * std::f64::consts::TAU).sin() / f64::from(h))
            .sum::<f64>()
            * syllable
            * 5000.0
    };
    for n in 0..1000 {
        let payload = stream.next(voice);
        // 20 s, one packet in ten lost in the first ten of them.
        if !(100..500).contains(&n) || n % 10 != 3 {
            line.insert(Codec::Opus, n, &payload);
        }
        line.pull();
        match n {
            99 => assert_eq!(line.playout.stats().depth_samples, 0),
            490 => {
                let stats = line.playout.stats();
                assert_eq!(stats.depth_samples, 960, "{stats:?}");
                // The encoder makes copies of voice that is loud enough.
                assert!(stats.repaired >= 10, "{stats:?}");
                let lost = stats.concealed_samples / 960 + stats.repaired;
                assert!((39..=41).contains(&lost), "{stats:?}");
            }
            _ => {}
        }
        if n >= 750 {
            let stats = line.playout.stats();
            assert_eq!(stats.depth_samples, 0, "{n}: {stats:?}");
        }
    }
}

#[test]
fn opus_conceals_what_it_cannot_repair() {
    let mut stream = Stream::new(Codec::Opus, false);
    let mut line = Line::new(&[Codec::Opus], 48_000);
    for n in 0..100 {
        let payload = stream.next(tone);
        if n % 25 != 20 {
            line.insert(Codec::Opus, n, &payload);
        }
        line.pull();
    }
    let stats = line.playout.stats();
    assert_eq!(stats.late, 0, "{stats:?}");
    assert!(
        stats.concealed_samples + stats.repaired * 960 >= 4 * 960,
        "{stats:?}"
    );
    // The sound goes on, and no step is larger than the tone's own by much.
    for (n, tick) in line.heard[20 * 960..].chunks(960).enumerate() {
        let peak = tick.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((1500..10_000).contains(&peak), "{n}: {peak}");
    }
    let steps = line.heard[4800..].windows(2).map(|w| w[0].abs_diff(w[1]));
    let step = steps.max().unwrap();
    assert!(step < 700, "{step}");
}

#[test]
fn a_pause_of_opus_is_no_loss() {
    let mut stream = Stream::new(Codec::Opus, true);
    let mut line = Line::new(&[Codec::Opus], 48_000);
    let mut sent = 0;
    for n in 0..1000 {
        // Two seconds of voice, two of silence.
        let payload = stream.next(|t| if t % 4.0 < 2.0 { tone(t) } else { 0.0 });
        if !payload.is_empty() {
            let packet = Packet {
                payload_type: PayloadType(96),
                marker: false,
                seq: SeqNo(sent),
                timestamp: Timestamp(n * 960),
                ssrc: Ssrc(1),
                payload: &payload,
            };
            sent += 1;
            let arrival = MediaTime::from_micros(line.tick * TICK_US + 5000);
            line.playout.insert(&packet, Codec::Opus, arrival);
        }
        line.pull();
    }
    assert!(sent < 900, "{sent} packets: there is no pause");
    let stats = line.playout.stats();
    assert_eq!((stats.late, stats.restarts), (0, 0), "{stats:?}");
    // Of the pause at the end nobody knows yet.
    assert!(stats.concealed_samples <= 3 * 960, "{stats:?}");
    assert_eq!(stats.depth_samples, 0, "{stats:?}");
}

#[test]
fn a_party_that_changes_its_codec_is_followed() {
    let codecs = [Codec::Pcmu, Codec::G722, Codec::Opus];
    for rate in [8000, 16_000, 48_000] {
        let mut line = Line::new(&codecs, rate);
        let mut streams = codecs.map(|codec| Stream::new(codec, false));
        for n in 0..600 {
            let stream = &mut streams[n as usize / 40 % 3];
            stream.n = n as usize;
            let payload = stream.next(tone);
            line.insert(stream.codec, n, &payload);
            line.pull();
        }
        let stats = line.playout.stats();
        assert_eq!((stats.undecodable, stats.overflow), (0, 0), "{rate}");
        assert!(stats.late <= 2, "{rate}: {stats:?}");
        assert!(
            stats.concealed_samples <= u64::from(rate / 10),
            "{rate}: {stats:?}"
        );
        assert!(stats.depth_samples <= rate / 25, "{rate}: {stats:?}");
    }
}

#[test]
fn redundant_frames_repair_a_fifth_of_loss() {
    let mut stream = Stream::new(Codec::Pcmu, false);
    let mut line = Line::new(&[], 8000);
    let mut random = random(5);
    let (mut before, mut lost, mut twice) = (Vec::new(), 0, 0);
    let mut last_lost = false;
    for n in 0..1000 {
        let payload = stream.next(tone);
        let is_lost = n > 100 && random.random_bool(0.2);
        if is_lost {
            lost += 1;
            twice += u64::from(last_lost);
        } else {
            let packet = Packet {
                payload_type: PayloadType(0),
                marker: false,
                seq: SeqNo((n + 65_500) as u16),
                timestamp: Timestamp((n * 160) as u32),
                ssrc: Ssrc(1),
                payload: &payload,
            };
            line.playout
                .insert_redundant(&packet, Codec::Pcmu, 160, &before);
            line.insert(Codec::Pcmu, n, &payload);
        }
        last_lost = is_lost;
        before = payload;
        line.pull();
    }
    let stats = line.playout.stats();
    // All but those whose next packet was lost as well, and the first ones.
    assert!(
        stats.repaired + twice + 5 >= lost,
        "{lost}, {twice}: {stats:?}"
    );
    assert!(
        stats.concealed_samples <= (twice + 5) * 160,
        "{twice}: {stats:?}"
    );
    assert_eq!(stats.depth_samples, 160, "{stats:?}");
}

#[test]
fn what_has_no_decoder_is_counted() {
    let mut stream = Stream::new(Codec::G722, false);
    let mut line = Line::new(&[], 8000);
    for n in 0..10 {
        line.insert(Codec::G722, n, &stream.next(tone));
        line.pull();
    }
    assert_eq!(line.playout.stats().undecodable, 10);
    assert!(line.kinds.iter().all(|&k| k == Pulled::Silence));
}

#[test]
fn hostile_payloads_never_panic() {
    let codecs = [Codec::Opus, Codec::G722, Codec::L16Narrow, Codec::Pcma];
    for seed in 0..20 {
        let mut random = random(seed);
        let rate = [8000, 16_000, 48_000][seed as usize % 3];
        let mut line = Line::new(&codecs, rate);
        let mut n = 0u64;
        for _ in 0..1000 {
            for _ in 0..random.random_range(0..4) {
                n = match random.random_range(0..20) {
                    0 => random.random(),
                    1 => n.wrapping_add(random.random_range(0..100)),
                    2 => n.wrapping_sub(random.random_range(0..100)),
                    _ => n.wrapping_add(1),
                } >> 20
                    << 20
                    | n & 0xf_ffff;
                n += 1;
                let len = random.random_range(0..1400);
                let payload: Vec<u8> = (0..len).map(|_| random.random()).collect();
                let codec = codecs[random.random_range(0..4)];
                line.insert(codec, n % (1 << 40), &payload);
            }
            line.pull();
        }
    }
}
