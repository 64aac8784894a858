//! Senders that follow no rule: never a panic, and the next good stream plays.

use super::*;

#[test]
fn random_packets_never_panic_and_a_good_stream_recovers() {
    for seed in 0..40 {
        let mut random = random(seed);
        let mut playout = Playout::new(PlayoutSettings::default());
        let payload = [0x55; 1600];
        let mut frame = [0; 160];
        let mut now = 1_000_000u64;
        let (mut timestamp, mut seq) = (0u32, 0u16);
        for _ in 0..5000 {
            for _ in 0..random.random_range(0..8) {
                timestamp = match random.random_range(0..4) {
                    0 => random.random(),
                    1 => timestamp.wrapping_add(random.random_range(0..20_000)),
                    2 => timestamp.wrapping_sub(random.random_range(0..20_000)),
                    _ => timestamp.wrapping_add(160),
                };
                seq = if random.random() {
                    seq.wrapping_add(1)
                } else {
                    random.random()
                };
                let len = [0, 1, 80, 160, 161, 480, 1600][random.random_range(0..7)];
                let packet = Packet {
                    payload_type: PayloadType(0),
                    marker: random.random(),
                    seq: SeqNo(seq),
                    timestamp: Timestamp(timestamp),
                    ssrc: Ssrc(u32::from(random.random_bool(0.05))),
                    payload: &payload[..len],
                };
                let arrival = match random.random_range(0..10) {
                    0 => random.random(),
                    1 => 0,
                    _ => now,
                };
                let arrival = MediaTime::from_micros(arrival >> 1);
                if random.random_bool(0.05) {
                    playout.comfort_noise(&packet, arrival);
                } else {
                    playout.insert(&packet, Codec::Pcma, arrival);
                }
            }
            now += if random.random_bool(0.01) {
                random.random_range(0..1 << 40)
            } else {
                20_000
            };
            playout.pull(&mut frame, MediaTime::from_micros(now));
            assert!(playout.stats().depth_samples <= 8192);
        }
        let packets = Sender::default().packets(40);
        let begin = playout.stats();
        for (tick, sent) in packets.iter().enumerate() {
            let time = MediaTime::from_micros(now + (tick as u64 + 1) * 20_000);
            playout.insert(&sent.packet(), Codec::Pcmu, time);
            playout.pull(&mut frame, time);
        }
        let end = playout.stats();
        assert!(
            end.late + end.overflow - begin.late - begin.overflow < 10,
            "seed {seed}"
        );
        assert_eq!(end.depth_samples, 0, "seed {seed}");
    }
}

#[test]
fn odd_pulls_never_panic() {
    for seed in 0..30 {
        let mut random = random(seed);
        let packets = Sender {
            ptime_ms: 10,
            ..Sender::default()
        }
        .packets(15);
        let max_delay_ms = [0, 60, 200, 5000][seed as usize % 4];
        let rate = [8000, 16_000, 48_000, 0][seed as usize / 4 % 4];
        let mut playout = Playout::new(PlayoutSettings { max_delay_ms, rate });
        let mut now = 0;
        let mut frame = vec![0; 4000];
        for sent in &packets {
            let arrival = MediaTime::from_micros(now);
            if random.random_bool(0.8) {
                playout.insert(&sent.packet(), Codec::Pcmu, arrival);
            }
            let most = if random.random_bool(0.05) { 4000 } else { 170 };
            let len = random.random_range(0..most);
            now = match random.random_range(0..100) {
                0 => 0,
                1 => now + random.random_range(0..100_000_000),
                _ => now + random.random_range(0..40_000),
            };
            playout.pull(&mut frame[..len], MediaTime::from_micros(now));
        }
    }
}
