//! Pauses, restarts, other sources: nothing is left behind.

use super::*;

/// Packets of 40 s, the ones after 10 s changed.
fn changed(change: impl Fn(&mut Sent)) -> Run {
    let mut packets = Sender::default().packets(40);
    packets[500..].iter_mut().for_each(change);
    play(packets, 40)
}

fn assert_recovered(run: &Run, what: &str) {
    assert_eq!(run.between(11, 39, |s| s.late + s.overflow), 0, "{what}");
    assert_eq!(run.between(11, 39, |s| s.concealed_samples), 0, "{what}");
    let (soon, later) = (run.added_delay_ms(16), run.added_delay_ms(38));
    assert!(soon < 1.0 && later < 1.0, "{what}: {soon} ms, {later} ms");
    let lost = run.between(9, 11, |s| s.concealed_samples);
    assert!(lost <= 4 * 160, "{what}: {lost} concealed");
}

#[test]
fn a_timestamp_restart_is_followed_without_a_gap() {
    for jump in [
        1,
        160,
        3000,
        1 << 20,
        1 << 31,
        u32::MAX - 5000,
        u32::MAX - 100,
    ] {
        let run = changed(|p| p.timestamp = p.timestamp.wrapping_add(jump));
        assert_recovered(&run, &format!("jump {jump}"));
        // A smaller jump cannot be told from a network that changes.
        if (jump as i32).unsigned_abs() > 2000 {
            assert_eq!(
                run.between(9, 11, |s| s.concealed_samples),
                0,
                "jump {jump}"
            );
        }
    }
}

#[test]
fn a_restart_of_timestamp_and_sequence_is_followed() {
    for jump in [5000, 1 << 20, 1 << 31, u32::MAX - 50_000] {
        let run = changed(|p| {
            p.timestamp = p.timestamp.wrapping_add(jump);
            p.seq = p.seq.wrapping_add(20_000);
        });
        assert_recovered(&run, &format!("jump {jump}"));
    }
}

#[test]
fn another_source_starts_afresh() {
    let run = changed(|p| {
        p.ssrc = 5;
        p.timestamp = p.timestamp.wrapping_mul(77);
        p.seq = p.seq.wrapping_add(1234);
    });
    // The timestamps above are no line: only that of the first packet after the change counts.
    assert!(run.last().depth_samples <= 8000);
    let run = changed(|p| {
        p.ssrc = 5;
        p.timestamp = p.timestamp.wrapping_add(0x7777_7777);
        p.seq = p.seq.wrapping_add(1234);
    });
    assert_recovered(&run, "ssrc");
    assert_eq!(run.between(9, 11, |s| s.concealed_samples), 0);
}

/// Talk-spurts of 3 s with pauses between, DTX style; `stopped`: the timestamp waits.
fn spurts(stopped: bool, marker: bool, pause_ms: u64) -> Run {
    let mut packets = Sender::default().packets(60);
    let mut shift = 0;
    for (n, packet) in packets.iter_mut().enumerate() {
        let spurt = n as u64 / 150;
        shift = spurt * pause_ms * 1000;
        packet.arrival_us += shift;
        packet.marker = n % 150 == 0 && (marker || n == 0);
        if !stopped {
            packet.timestamp = packet.timestamp.wrapping_add((spurt * pause_ms * 8) as u32);
        }
    }
    play(packets, 60 + shift / 1_000_000)
}

#[test]
fn pauses_leave_nothing_behind() {
    for pause_ms in [40, 140, 400, 1007, 1400, 10_000, 30_003] {
        for (stopped, marker) in [(false, false), (false, true), (true, true), (true, false)] {
            let run = spurts(stopped, marker, pause_ms);
            let what = format!("pause {pause_ms}, stopped {stopped}, marker {marker}");
            let last = run.last();
            let late_per_pause = if stopped && pause_ms < 1000 { 3 } else { 0 };
            assert!(last.late <= 20 * late_per_pause, "{what}: {last:?}");
            let mean = last.mean_depth_samples / 8.0;
            assert!(mean < 25.0, "{what}: {mean} ms");
            let silent = run.count(Pulled::Silence) as u64 * 20;
            let expected = 19 * pause_ms.saturating_sub(60);
            assert!(
                silent <= expected + 19 * 80 + 500,
                "{what}: {silent} of {expected} ms"
            );
        }
    }
}

#[test]
fn comfort_noise_replaces_concealment() {
    let mut playout = Playout::new(PlayoutSettings::default());
    let packets = Sender::default().packets(2);
    let mut frame = [0; 160];
    let time = |tick: u64| MediaTime::from_millis(1000 + tick * 20);
    for tick in 0..50 {
        let sent = &packets[tick as usize];
        playout.insert(&sent.packet(), Codec::Pcmu, time(tick));
        playout.pull(&mut frame, time(tick));
    }
    let noise = Sent {
        payload: vec![40],
        ..packets[50].clone()
    };
    playout.comfort_noise(&noise.packet(), time(50));
    let mut sum = 0.0;
    for tick in 50..150 {
        assert_eq!(playout.pull(&mut frame, time(tick)), Pulled::Silence);
        if tick >= 55 {
            sum += frame.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
        }
    }
    let level = 10.0 * (sum / (95.0 * 160.0) / 32_768f64.powi(2)).log10();
    assert!((level + 40.0).abs() < 0.5, "{level} dBov");
    assert_eq!(playout.stats().concealed_samples, 0);
    let next = Sent {
        seq: packets[50].seq.wrapping_add(1),
        timestamp: packets[50].timestamp.wrapping_add(100 * 160),
        ..packets[50].clone()
    };
    playout.insert(&next.packet(), Codec::Pcmu, time(150));
    assert_eq!(playout.pull(&mut frame, time(150)), Pulled::Audio);
    assert_eq!(playout.stats().late, 0);
}
