//! Tests of `leg::playout` that look at the sound. The network is in `tests/sim/playout.rs`.

use super::*;
use crate::codec::Codec;
use crate::rtp::{Packet, PayloadType, Timestamp};

const STEP_OF_CODEC: i32 = 700;

fn sine(hz: f32, n: usize) -> i16 {
    ((n as f32 * hz / 8000.0 * std::f32::consts::TAU).sin() * 8000.0) as i16
}

/// Plays a sine of `ticks` packets, each arriving as many ticks late as `late` says, or never.
fn play(hz: f32, ticks: usize, late: impl Fn(usize) -> Option<usize>) -> (Vec<i16>, PlayoutStats) {
    let mut playout = Playout::new(PlayoutSettings::default());
    let mut out = Vec::new();
    for tick in 0..ticks {
        let now = MediaTime::from_millis(1000 + tick as u64 * 20);
        for n in tick.saturating_sub(60)..=tick {
            if late(n).is_none_or(|ticks| n + ticks != tick) {
                continue;
            }
            let pcm: Vec<i16> = (0..160).map(|i| sine(hz, n * 160 + i)).collect();
            let mut payload = [0; 160];
            Codec::Pcma.encode(&pcm, &mut payload);
            let packet = Packet {
                payload_type: PayloadType(8),
                marker: false,
                seq: SeqNo(n as u16),
                timestamp: Timestamp(n as u32 * 160),
                ssrc: Ssrc(1),
                payload: &payload,
            };
            playout.insert(&packet, Codec::Pcma, now);
        }
        let mut frame = [0; 160];
        playout.pull(&mut frame, now);
        out.extend(frame);
    }
    (out, playout.stats())
}

fn largest_step(samples: &[i16]) -> i32 {
    samples
        .windows(2)
        .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
        .max()
        .unwrap()
}

#[test]
fn lost_packets_do_not_click() {
    for hz in [150.0, 333.0, 440.0, 1004.0] {
        let clean = largest_step(&play(hz, 100, |_| Some(0)).0);
        for lost in 1..6 {
            let (out, stats) = play(hz, 100, |n| (n % 20 < 20 - lost).then_some(0));
            assert!(stats.concealed_samples > 0);
            let step = largest_step(&out);
            assert!(
                step < clean * 13 / 10 + STEP_OF_CODEC,
                "{hz} Hz, {lost}: {step} > {clean}"
            );
        }
    }
}

#[test]
fn growing_and_shrinking_delay_does_not_click() {
    for hz in [150.0, 333.0, 440.0, 1004.0] {
        let clean = largest_step(&play(hz, 100, |_| Some(0)).0);
        // Two ticks late at times for 10 s, then never again.
        let (out, stats) = play(hz, 2500, |n| {
            Some(if n < 500 && n % 20 == 7 { 2 } else { 0 })
        });
        assert!(
            stats.expanded >= 320 && stats.accelerated >= 320,
            "{stats:?}"
        );
        assert_eq!(stats.depth_samples, 0);
        let step = largest_step(&out);
        assert!(
            step < clean * 13 / 10 + STEP_OF_CODEC,
            "{hz} Hz: {step} > {clean}"
        );
    }
}

#[test]
fn the_stretched_sine_keeps_its_level_and_pitch() {
    let (out, stats) = play(400.0, 2500, |n| {
        Some(if n < 500 && n % 20 == 7 { 2 } else { 0 })
    });
    assert!(stats.accelerated >= 320, "{stats:?}");
    // From the first stretch on: zero crossings of 400 Hz, 80 per 100 ms, and one level.
    for (n, tick) in out[600 * 160..].chunks(800).enumerate() {
        let crossings = tick.windows(2).filter(|w| (w[0] < 0) != (w[1] < 0)).count();
        assert!((78..=82).contains(&crossings), "{n}: {crossings}");
        let peak = tick.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((7700..8400).contains(&peak), "{n}: {peak}");
    }
}

#[test]
fn reset_lets_the_old_stream_fade_and_the_next_begin() {
    let mut playout = Playout::new(PlayoutSettings::default());
    let payload = [0x2a; 160];
    let packet = |seq: u16, timestamp: u32| Packet {
        payload_type: PayloadType(8),
        marker: false,
        seq: SeqNo(seq),
        timestamp: Timestamp(timestamp),
        ssrc: Ssrc(9),
        payload: &payload,
    };
    let mut frame = [0; 160];
    playout.insert(&packet(1, 0), Codec::Pcma, MediaTime::from_millis(1));
    assert_eq!(
        playout.pull(&mut frame, MediaTime::from_millis(20)),
        Pulled::Audio
    );
    playout.reset();
    let mut kinds = Vec::new();
    for tick in 2..7 {
        kinds.push(playout.pull(&mut frame, MediaTime::from_millis(tick * 20)));
    }
    use Pulled::{Concealed, Silence};
    assert_eq!(kinds, [Concealed, Concealed, Concealed, Silence, Silence]);
    playout.insert(
        &packet(7, 0x7000_0000),
        Codec::Pcma,
        MediaTime::from_millis(139),
    );
    assert_eq!(
        playout.pull(&mut frame, MediaTime::from_millis(140)),
        Pulled::Audio
    );
    assert_eq!(playout.stats().late, 0);
}

/// Plays 300 packets, each so many us after the tick before the one that its number is due at.
fn play_at(arrival_us: impl Fn(u64) -> u64) -> PlayoutStats {
    let mut playout = Playout::new(PlayoutSettings::default());
    let mut next = 0;
    for tick in 1..=400 {
        let now_us = tick * 20_000;
        while next < 300 && (next * 20_000 + arrival_us(next)) <= now_us {
            let packet = Packet {
                payload_type: PayloadType(8),
                marker: false,
                seq: SeqNo(next as u16),
                timestamp: Timestamp(next as u32 * 160),
                ssrc: Ssrc(1),
                payload: &[0x2a; 160],
            };
            let arrival = MediaTime::from_micros(next * 20_000 + arrival_us(next));
            playout.insert(&packet, Codec::Pcma, arrival);
            next += 1;
        }
        if next == 300 {
            break;
        }
        playout.pull(&mut [0; 160], MediaTime::from_micros(now_us));
    }
    playout.stats()
}

#[test]
fn a_stream_that_begins_right_before_a_tick_loses_nothing() {
    for first in [1, 100, 250] {
        // Then 100 us before the tick and after it, in turn.
        let stats = play_at(|n| match n {
            0 => 20_000 - first,
            n if n % 2 == 1 => 20_100,
            _ => 19_900,
        });
        assert_eq!((stats.late, stats.concealed_samples), (0, 0), "{first}");
    }
}

#[test]
fn the_tick_that_is_kept_at_the_start_is_given_back_without_jitter() {
    let stats = play_at(|_| 19_900);
    assert_eq!((stats.late, stats.concealed_samples), (0, 0));
    assert_eq!((stats.accelerated, stats.depth_samples), (160, 0));
}

#[test]
fn memory_is_bounded_by_the_design() {
    let playout = Playout::new(PlayoutSettings::default());
    let heap = playout.buffer.capacity() * 2
        + playout.buffer.capacity() / 8
        + playout.scratch.len() * 2
        + (49 + 15) * 8 * 2;
    let all = heap + size_of::<Playout>();
    assert!(all <= 20 * 1024, "{all}");
}

/// The samples of the first tick, where these packets have come before it, and what still waits.
fn first_tick(packets: &[[i16; 160]]) -> ([i16; 160], u32) {
    let mut playout = Playout::new(PlayoutSettings::default());
    for (n, pcm) in packets.iter().enumerate() {
        let mut payload = [0; 160];
        Codec::Pcma.encode(pcm, &mut payload);
        let packet = Packet {
            payload_type: PayloadType(8),
            marker: false,
            seq: SeqNo(n as u16),
            timestamp: Timestamp(n as u32 * 160),
            ssrc: Ssrc(1),
            payload: &payload,
        };
        let arrival = MediaTime::from_millis(990 + n as u64);
        playout.insert(&packet, Codec::Pcma, arrival);
    }
    let mut frame = [0; 160];
    playout.pull(&mut frame, MediaTime::from_millis(1000));
    (frame, playout.stats().depth_samples)
}

#[test]
fn a_start_passes_over_an_idle_line_and_nothing_else() {
    let loud = [8000; 160];
    // The smallest step of A-law, and a prompt that begins softly.
    let (heard, depth) = first_tick(&[[8; 160], [0; 160], loud]);
    assert!(heard[80] > 7000 && depth == 0, "{} {depth}", heard[80]);
    let (heard, depth) = first_tick(&[[8; 160], [48; 160], loud]);
    assert!((30..70).contains(&heard[80]), "{}", heard[80]);
    assert_eq!(depth, 160);
}

/// Samples taken out of eight seconds of a tone that began with a tick of delay, of which the
/// length is kept or not.
fn accelerated(kept: bool) -> u64 {
    let mut playout = Playout::new(PlayoutSettings::default());
    let mut frame = [0; 160];
    for n in 0..400usize {
        let pcm: Vec<i16> = (0..160).map(|i| sine(400.0, n * 160 + i)).collect();
        let mut payload = [0; 160];
        Codec::Pcma.encode(&pcm, &mut payload);
        let packet = Packet {
            payload_type: PayloadType(8),
            marker: false,
            seq: SeqNo(n as u16),
            timestamp: Timestamp(n as u32 * 160),
            ssrc: Ssrc(1),
            payload: &payload,
        };
        let at_ms = 1000 + n as u64 * 20;
        playout.insert(&packet, Codec::Pcma, MediaTime::from_millis(at_ms));
        // The first tick comes with the second packet: one waits from then on.
        if n > 0 {
            if kept {
                playout.keep_length();
            }
            playout.pull(&mut frame, MediaTime::from_millis(at_ms + 10));
        }
    }
    playout.stats().accelerated
}

#[test]
fn what_may_be_a_digit_keeps_its_length() {
    assert_eq!(accelerated(false), 160);
    assert_eq!(accelerated(true), 0);
}

#[test]
fn numbers_of_the_stream_before_are_none_of_the_next() {
    for (first, from) in [(900, 0u16), (40, 0), (64, 10)] {
        let mut playout = Playout::new(PlayoutSettings::default());
        let mut now = MediaTime::from_millis(1000);
        for (ssrc, packets, from) in [(1, first, 0), (2, 1000, from)] {
            playout.reset();
            for n in 0..packets {
                let packet = Packet {
                    payload_type: PayloadType(8),
                    marker: false,
                    seq: SeqNo(from + n),
                    timestamp: Timestamp(u32::from(n) * 160),
                    ssrc: Ssrc(ssrc),
                    payload: &[0x55; 160],
                };
                playout.insert(&packet, Codec::Pcma, now);
                let mut frame = [0; 160];
                playout.pull(&mut frame, now);
                now = now + std::time::Duration::from_millis(20);
            }
        }
        let stats = playout.stats();
        assert_eq!((stats.duplicates, stats.concealed_samples), (0, 0));
    }
}

#[test]
fn figures_go_on_at_another_rate_as_what_they_were() {
    let at = |rate| {
        let settings = PlayoutSettings::default();
        Playout::new(PlayoutSettings { rate, ..settings })
    };
    let mut wide = at(48_000);
    wide.stats.concealed_samples = 96_000;
    wide.stats.max_depth_samples = 4_800;
    (wide.depth_sum, wide.pulls) = (960 * 50, 50);
    let mut narrow = at(8000);
    narrow.continue_from(&wide);
    let stats = narrow.stats();
    assert_eq!(
        (stats.concealed_samples, stats.max_depth_samples),
        (16_000, 800)
    );
    assert!((stats.mean_depth_samples - 160.0).abs() < 1e-3);
}
