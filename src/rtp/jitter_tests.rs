use super::*;

#[test]
fn samples_fall_into_place_across_the_end_of_the_ring() {
    let mut buffer = JitterBuffer::new(256);
    let start = (1i64 << 32) - 100;
    buffer.restart(start);
    let ramp: Vec<i16> = (0..240).collect();
    assert_eq!(buffer.put(start + 80, &ramp[80..160]), Put::Stored);
    assert_eq!(buffer.run(start, 240), (false, 80));
    assert_eq!(buffer.put(start, &ramp[..80]), Put::Stored);
    assert_eq!(buffer.put(start, &ramp[..160]), Put::Duplicate);
    assert_eq!(buffer.run(start, 500), (true, 160));
    assert_eq!(buffer.put(start + 160, &ramp[160..]), Put::Stored);
    let mut out = [0; 240];
    buffer.copy(start, &mut out);
    assert_eq!(&out[..], &ramp[..]);
    buffer.advance(100);
    assert_eq!(buffer.put(start, &ramp[..100]), Put::Late);
    assert_eq!(buffer.put(start + 60, &ramp[60..140]), Put::Duplicate);
    assert_eq!(buffer.put(start + 240, &ramp[..117]), Put::Overflow);
    assert_eq!(buffer.put(start + 240, &ramp[..116]), Put::Stored);
    assert_eq!(buffer.run(start + 100, 300), (true, 256));
    buffer.advance(256);
    assert_eq!(buffer.run(buffer.start(), 256), (false, 256));
}

#[test]
fn one_late_event_is_forgiven_and_two_are_not() {
    let scale = Scale {
        tick: 160,
        moved_us: 0,
        guard_us: 0,
    };
    let mut history = DelayHistory::new(scale);
    let mut tick = 0;
    let mut run = |history: &mut DelayHistory, early: i32, ticks: u32| {
        for _ in 0..ticks {
            let late_us = 10_000 - early * 125;
            history.observe(Lateness { late_us, offset: 0 }, tick);
            history.tick();
            tick += 1;
        }
    };
    run(&mut history, 0, 100);
    // A burst over two ticks is one event, even across buckets.
    run(&mut history, -800, 1);
    run(&mut history, -640, 1);
    run(&mut history, 0, 300);
    let clean = Summary {
        typical: 0,
        recent: 0,
        best: 0,
        recovered: false,
    };
    assert_eq!(history.summary(), Some(clean));
    run(&mut history, -320, 1);
    assert_eq!(history.summary().unwrap().typical, -320);
    run(&mut history, 0, 170);
    assert!(!history.summary().unwrap().recovered);
    run(&mut history, 0, 31);
    let recovered = Summary {
        typical: -320,
        recovered: true,
        ..clean
    };
    assert_eq!(history.summary(), Some(recovered));
    run(&mut history, 0, 1000);
    assert_eq!(history.summary().unwrap().typical, 0);
    for _ in 0..1000 {
        history.tick();
    }
    assert_eq!(history.summary(), None);
}

#[test]
fn each_relapse_makes_the_next_recovery_slower_and_is_forgotten() {
    let mut history = DelayHistory::new(Scale {
        tick: 160,
        moved_us: 0,
        guard_us: 0,
    });
    let mut tick = 0;
    let mut run = |history: &mut DelayHistory, late_us: i32| {
        history.observe(Lateness { late_us, offset: 0 }, tick);
        history.tick();
        tick += 1;
        history.summary().is_some_and(|s| s.recovered)
    };
    for bound in [200, 400, 800, 800] {
        for _ in 0..2 {
            run(&mut history, 70_000);
            (0..10).for_each(|_| assert!(!run(&mut history, 10_000)));
        }
        let took = 10 + (1..1000).find(|_| run(&mut history, 10_000)).unwrap();
        assert!((bound - 25..=bound).contains(&took), "{took} of {bound}");
    }
    for _ in 0..2 * BUCKETS as u32 * BUCKET_TICKS {
        run(&mut history, 10_000);
    }
    assert_eq!(history.relapses, 0);
}

#[test]
fn what_was_learnt_holds_when_the_ticks_move() {
    let scale = Scale {
        tick: 160,
        moved_us: 0,
        guard_us: 500,
    };
    let mut history = DelayHistory::new(scale);
    // Packets come 19 ms behind a tick, so 1 ms before the next.
    for tick in 0..200 {
        let packet = Lateness {
            late_us: 19_000,
            offset: 0,
        };
        history.observe(packet, tick);
        history.tick();
    }
    let typical = |history: &mut DelayHistory| history.summary().unwrap().typical;
    assert_eq!(typical(&mut history), 0);
    for (moved_us, early) in [
        (-500, 0),
        (-501, -160),
        (-1000, -160),
        (-18_000, -160),
        (-20_500, -160),
        (-20_501, -320),
        (-500, 0),
        (19_499, 0),
        (19_500, 160),
        (0, 0),
    ] {
        history.move_to(moved_us);
        assert_eq!(typical(&mut history), early, "at once, {moved_us} us later");
    }
    history.set_guard(1500);
    assert_eq!(typical(&mut history), -160);
}

#[test]
fn a_summary_is_made_anew_only_where_a_move_changes_it() {
    let mut history = DelayHistory::new(Scale {
        tick: 160,
        moved_us: 0,
        guard_us: 0,
    });
    for tick in 0..200 {
        let late_us = if tick % 2 == 0 { 12_000 } else { 15_000 };
        history.observe(Lateness { late_us, offset: 0 }, tick);
        history.tick();
    }
    let before = history.summary();
    for moved_us in [-5_000, 0, 11_999] {
        history.move_to(moved_us);
        assert!(!history.stale, "{moved_us}");
        history.stale = true;
        assert_eq!(history.summary(), before, "{moved_us}");
    }
    for moved_us in [-5_001, 12_000] {
        history.move_to(moved_us);
        assert!(history.stale, "{moved_us}");
        assert_ne!(history.summary(), before, "{moved_us}");
        history.move_to(0);
        assert_eq!(history.summary(), before);
    }
}
