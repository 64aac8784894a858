//! The playout against a simulated network, in simulated time, from seeds.

use std::sync::LazyLock;

use antiphon::audio::MediaTime;
use antiphon::codec::Codec;
use antiphon::leg::playout::{Playout, PlayoutSettings, PlayoutStats, Pulled};
use antiphon::rtp::{Packet, PayloadType, SeqNo, Ssrc, Timestamp};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

mod cases;
mod clean;
mod codecs;
mod hostile;
mod network;
mod pauses;
mod restarts;
mod seams;

/// One sent packet.
#[derive(Clone, Debug)]
struct Sent {
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    payload: Vec<u8>,
    arrival_us: u64,
}

/// A sender of a speech-like signal.
struct Sender {
    ptime_ms: u64,
    /// When the first packet arrives, us.
    phase_us: u64,
    first_seq: u16,
    first_timestamp: u32,
    /// Parts per million by which its clock is slow.
    drift_ppm: f64,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            ptime_ms: 20,
            phase_us: 1_013_000,
            first_seq: 65_500,
            first_timestamp: u32::MAX - 8000,
            drift_ppm: 0.0,
        }
    }
}

impl Sender {
    /// The packets of `seconds`, all on time.
    fn packets(&self, seconds: u64) -> Vec<Sent> {
        let count = seconds * 1000 / self.ptime_ms;
        let len = self.ptime_ms as usize * 8;
        let mut payload = vec![0; len];
        (0..count)
            .map(|n| {
                let pcm: Vec<i16> = (0..len).map(|i| signal(n as usize * len + i)).collect();
                Codec::Pcmu.encode(&pcm, &mut payload);
                let us = (n * self.ptime_ms * 1000) as f64 * (1.0 + self.drift_ppm / 1e6);
                Sent {
                    seq: self.first_seq.wrapping_add(n as u16),
                    timestamp: self.first_timestamp.wrapping_add(n as u32 * len as u32),
                    ssrc: 77,
                    marker: n == 0,
                    payload: payload.clone(),
                    arrival_us: self.phase_us + us as u64,
                }
            })
            .collect()
    }
}

/// Voiced syllables of 120 Hz with harmonics, and pauses between them: a second, repeated.
fn signal(n: usize) -> i16 {
    static SECOND: LazyLock<Vec<i16>> = LazyLock::new(|| (0..8000).map(speech).collect());
    SECOND[n % 8000]
}

fn speech(n: usize) -> i16 {
    let t = n as f32 / 8000.0;
    let syllable = (t * 3.0 * std::f32::consts::TAU).sin().max(0.0);
    let voice: f32 = (1..6)
        .map(|h| (t * 120.0 * h as f32 * std::f32::consts::TAU).sin() / h as f32)
        .sum();
    (voice * syllable * 5000.0) as i16
}

/// What a run gave.
struct Run {
    out: Vec<i16>,
    kinds: Vec<Pulled>,
    /// Statistics after each tick.
    stats: Vec<PlayoutStats>,
}

const TICK_US: u64 = 20_000;
const FIRST_TICK_US: u64 = 1_000_000;

/// Plays packets in order of arrival; a tick at each 20 ms.
fn play(packets: Vec<Sent>, seconds: u64) -> Run {
    play_with(PlayoutSettings::default(), packets, seconds)
}

fn play_with(settings: PlayoutSettings, mut packets: Vec<Sent>, seconds: u64) -> Run {
    packets.sort_by_key(|p| p.arrival_us);
    let mut packets = packets.iter().peekable();
    let mut playout = Playout::new(settings);
    let mut run = Run {
        out: Vec::new(),
        kinds: Vec::new(),
        stats: Vec::new(),
    };
    for tick in 0..seconds * 50 {
        let now = FIRST_TICK_US + tick * TICK_US;
        while let Some(sent) = packets.next_if(|p| p.arrival_us <= now) {
            playout.insert(
                &sent.packet(),
                Codec::Pcmu,
                MediaTime::from_micros(sent.arrival_us),
            );
        }
        let mut frame = [0; 160];
        run.kinds
            .push(playout.pull(&mut frame, MediaTime::from_micros(now)));
        run.out.extend(frame);
        run.stats.push(playout.stats());
    }
    run
}

impl Sent {
    fn packet(&self) -> Packet<'_> {
        Packet {
            payload_type: PayloadType(0),
            marker: self.marker,
            seq: SeqNo(self.seq),
            timestamp: Timestamp(self.timestamp),
            ssrc: Ssrc(self.ssrc),
            payload: &self.payload,
        }
    }
}

impl Run {
    fn last(&self) -> PlayoutStats {
        *self.stats.last().unwrap()
    }

    /// The least that stayed in the buffer in the second before `second`: the added delay.
    fn added_delay_ms(&self, second: u64) -> f32 {
        let end = second as usize * 50;
        let least = self.stats[end - 50..end]
            .iter()
            .map(|s| s.depth_samples)
            .min()
            .unwrap();
        least as f32 / 8.0
    }

    /// The growth of a counter between two seconds.
    fn between(&self, from: u64, to: u64, counter: impl Fn(&PlayoutStats) -> u64) -> u64 {
        let at = |second: u64| counter(&self.stats[second as usize * 50 - 1]);
        at(to) - at(from)
    }

    fn count(&self, kind: Pulled) -> usize {
        self.kinds.iter().filter(|&&k| k == kind).count()
    }
}

fn random(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

/// Delays each packet by up to `jitter_us`, evenly distributed.
fn jitter(packets: &mut [Sent], random: &mut SmallRng, jitter_us: u64) {
    for packet in packets {
        packet.arrival_us += random.random_range(0..=jitter_us);
    }
}
