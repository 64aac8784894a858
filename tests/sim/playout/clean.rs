//! A clean network: nothing is added, nothing is changed.

use super::*;

fn decoded(packets: &[Sent]) -> Vec<i16> {
    let mut all = Vec::new();
    for sent in packets {
        let mut pcm = vec![0; sent.payload.len()];
        Codec::Pcmu.decode(&sent.payload, &mut pcm);
        all.extend(pcm);
    }
    all
}

#[test]
fn every_sample_comes_out_as_decoded() {
    for ptime_ms in [10, 20, 30, 40, 60] {
        for phase_ms in 0..20 {
            let sender = Sender {
                ptime_ms,
                phase_us: 1_100_000 + phase_ms * 1000,
                ..Sender::default()
            };
            let packets = sender.packets(60);
            let expected = decoded(&packets);
            let run = play(packets, 60);
            let what = format!("ptime {ptime_ms}, phase {phase_ms}");
            let last = run.last();
            assert_eq!((last.accelerated, last.expanded), (0, 0), "{what}");
            assert_eq!((last.late, last.concealed_samples), (0, 0), "{what}");
            let silence = run.out.iter().position(|&s| s != 0).unwrap();
            let lead_in = expected.iter().position(|&s| s != 0).unwrap();
            let first_tick = (100 + phase_ms).div_ceil(20) as usize * 160;
            let added = silence - lead_in - first_tick;
            // Packets of whole ticks are played at once.
            assert!(
                added < 160 && (ptime_ms % 20 != 0 || added == 0),
                "{what}: {added}"
            );
            let from = silence - lead_in;
            assert!(
                run.out[from..] == expected[..run.out.len() - from],
                "{what}"
            );
        }
    }
}

#[test]
fn packets_of_whole_ticks_leave_nothing_in_the_buffer() {
    let run = play(Sender::default().packets(60), 60);
    assert_eq!(run.last().max_depth_samples, 0);
    assert!(run.kinds[1..].iter().all(|&k| k == Pulled::Audio));
}

#[test]
fn a_sender_at_the_edge_of_the_tick_does_not_flap() {
    for seed in 0..20 {
        let mut random = random(seed);
        let sender = Sender {
            phase_us: 1_098_000,
            ..Sender::default()
        };
        let mut packets = sender.packets(120);
        jitter(&mut packets, &mut random, 4000);
        let run = play(packets, 120);
        for counter in [
            |s: &PlayoutStats| s.late,
            |s: &PlayoutStats| s.concealed_samples,
            |s: &PlayoutStats| s.restarts,
        ] {
            assert_eq!(run.between(2, 120, counter), 0, "seed {seed}");
        }
        let moved = run.between(4, 120, |s| s.expanded + s.accelerated);
        assert_eq!(moved, 0, "seed {seed}: moved after it was settled");
        let added = run.added_delay_ms(120);
        assert!(added <= 20.0, "seed {seed}: {added} ms");
    }
}

#[test]
fn ticks_that_were_left_out_or_moved_add_no_delay() {
    let packets = Sender {
        phase_us: 1_010_000,
        ..Sender::default()
    }
    .packets(30);
    let mut packets = packets.iter().peekable();
    let mut playout = Playout::new(PlayoutSettings::default());
    let mut frame = [0; 160];
    let mut now = FIRST_TICK_US;
    for tick in 0..1400 {
        // Overruns of one and of five ticks; later the phase moves by 5 ms and back.
        now += match tick {
            300 => 2 * TICK_US,
            400 => 6 * TICK_US,
            600..605 => TICK_US + 1000,
            800..805 => TICK_US - 1000,
            _ => TICK_US,
        };
        while let Some(sent) = packets.next_if(|p| p.arrival_us <= now) {
            playout.insert(
                &sent.packet(),
                Codec::Pcmu,
                MediaTime::from_micros(sent.arrival_us),
            );
        }
        let pulled = playout.pull(&mut frame, MediaTime::from_micros(now));
        assert!(tick < 2 || pulled == Pulled::Audio, "tick {tick}");
        assert_eq!(playout.stats().depth_samples, 0, "tick {tick}");
    }
}
