//! Where received sound, repaired, concealed and stretched sound meet: a tone has no step there
//! that is larger than its own by much.

use antiphon::leg::playout::Decoders;

use super::codecs::{Stream, tone};
use super::*;

/// What is done to a tone on its way.
#[derive(Clone, Copy, Debug)]
struct Trip {
    codec: Codec,
    rate: u32,
    ptime_ms: usize,
    /// Packets lost in a row.
    burst: u32,
    seed: u64,
}

impl Trip {
    /// The steps between neighbouring samples from 500 ms on, and the statistics.
    ///
    /// Losses throughout. After 4 s packets come up to 50 ms late, for 3 s: the delay grows, is
    /// given back, and the line lies anyhow against the packets. At times the sender leaves out a
    /// part of a packet's time, as for a pause, and the tone goes on behind it.
    fn run(self) -> (i32, PlayoutStats) {
        let random = &mut random(self.seed);
        let mut stream = Stream::new(self.codec, false);
        stream.ptime_ms = self.ptime_ms;
        let packets = self.packets(&mut stream, random);
        let mut packets = packets.iter().peekable();
        let mut playout = Playout::new(PlayoutSettings {
            rate: self.rate,
            ..PlayoutSettings::default()
        });
        playout.set_decoders(Decoders::new(&[self.codec], self.rate).unwrap());
        let mut heard = vec![0; self.rate as usize * SECONDS];
        for (n, frame) in heard.chunks_exact_mut(self.rate as usize / 50).enumerate() {
            let now = FIRST_TICK_US + (n as u64 + 1) * TICK_US;
            while let Some(sent) = packets.next_if(|p| p.arrival_us <= now) {
                let arrival = MediaTime::from_micros(sent.arrival_us);
                playout.insert(&sent.packet(), self.codec, arrival);
            }
            playout.pull(frame, MediaTime::from_micros(now));
        }
        let steps = heard[self.rate as usize / 2..]
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
        (steps.max().unwrap(), playout.stats())
    }

    fn packets(self, stream: &mut Stream, random: &mut SmallRng) -> Vec<Sent> {
        let ptime_us = self.ptime_ms as u64 * 1000;
        let per_ms = u64::from(self.codec.clock_rate() / 1000);
        let phase_us = FIRST_TICK_US + random.random_range(0..TICK_US);
        let mut left_out = 0;
        let mut losing = 0;
        let mut packets = Vec::new();
        for n in 0..SECONDS as u64 * 1_000_000 / ptime_us {
            let payload = stream.next(tone);
            let sent_us = n * ptime_us;
            if random.random_bool(ptime_us as f64 / 700_000.0) {
                left_out += random.random_range(1..20 * per_ms);
            }
            if losing == 0 && n > 10 && random.random_bool(ptime_us as f64 / 400_000.0) {
                losing = self.burst;
            }
            let late = match sent_us / 1_000_000 {
                4..7 => random.random_range(0..50_000),
                _ => 0,
            };
            if losing > 0 {
                losing -= 1;
                continue;
            }
            packets.push(Sent {
                seq: n as u16,
                timestamp: (n * ptime_us / 1000 * per_ms + left_out) as u32,
                ssrc: 1,
                marker: false,
                payload,
                arrival_us: phase_us + sent_us + left_out * 1000 / per_ms + late,
            });
        }
        packets.sort_by_key(|p| p.arrival_us);
        packets
    }

    /// The tone's own largest step.
    fn own_step(self) -> f32 {
        16_000.0 * (440.0 * std::f32::consts::PI / self.rate as f32).sin()
    }
}

/// Packets of each length, losses of one, two and four, each at its own phases.
fn check(codec: Codec) {
    for seed in 0..36 {
        let trip = Trip {
            codec,
            rate: [8000, 16_000, 48_000][seed as usize / 12],
            ptime_ms: [10, 20, 40, 60][seed as usize % 4],
            burst: [1, 2, 4][seed as usize / 4 % 3],
            seed,
        };
        let (step, stats) = trip.run();
        assert!(stats.concealed_samples > 0, "{trip:?}: {stats:?}");
        let own = trip.own_step();
        assert!(step as f32 <= own * 1.5, "{trip:?}: {step} > {own}");
    }
}

#[test]
fn loss_leaves_no_step_in_a_tone_of_opus() {
    check(Codec::Opus);
}

#[test]
fn loss_leaves_no_step_in_a_tone_of_g722() {
    check(Codec::G722);
}

#[test]
fn loss_leaves_no_step_in_a_tone_of_pcmu() {
    check(Codec::Pcmu);
}

const SECONDS: usize = 12;
