use super::*;

const RATE: u32 = 8000;

fn bridge(parties: usize) -> Bridge {
    let mut bridge = Bridge::new(parties);
    for owner in 0..parties {
        bridge
            .join(Box::new(Port::new(owner as u32, RATE)))
            .unwrap();
    }
    bridge
}

/// One tick in which party `i` says the constant `levels[i]`.
fn tick(bridge: &mut Bridge, levels: &[i16]) {
    for (i, &level) in levels.iter().enumerate() {
        bridge.rx(i).unwrap().fill(level);
    }
    bridge.mix();
}

fn heard(bridge: &Bridge, port: usize) -> &[i16] {
    match bridge.tx(port).unwrap() {
        Tx::Common(s) | Tx::Own(s) => s,
    }
}

#[test]
fn each_hears_the_exact_sum_of_the_others() {
    let mut b = bridge(4);
    tick(&mut b, &[0; 4]);
    tick(&mut b, &[100, 2000, -700, 0]);
    assert_eq!(heard(&b, 0), [1300; 160]);
    assert_eq!(heard(&b, 1), [-600; 160]);
    assert_eq!(heard(&b, 2), [2100; 160]);
    assert_eq!(heard(&b, 3), [1400; 160]);
    assert!(
        matches!(b.tx(3), Some(Tx::Common(_))),
        "a silent party shares the common frame"
    );
    assert_eq!(b.talkers(), 3);
}

#[test]
fn the_sum_is_exact_beyond_sixteen_bits() {
    let mut b = bridge(3);
    tick(&mut b, &[0; 3]);
    tick(&mut b, &[32767, 32767, -32768]);
    // The intermediate sum of 65534 must not have been clipped before the subtraction.
    assert_eq!(heard(&b, 2)[80], 32767);
    assert_eq!(heard(&b, 0)[80], -1);
    assert_eq!(heard(&b, 1)[80], -1);
}

#[test]
fn a_lone_party_hears_silence() {
    let mut b = bridge(1);
    tick(&mut b, &[9000]);
    tick(&mut b, &[9000]);
    assert_eq!(heard(&b, 0), [0; 160]);
}

#[test]
fn idle_channel_noise_is_not_summed() {
    let mut b = bridge(3);
    tick(&mut b, &[0; 3]);
    tick(&mut b, &[8, -8, 0]);
    assert_eq!(heard(&b, 2), [0; 160]);
    assert_eq!(b.talkers(), 0);
}

#[test]
fn joining_and_leaving_make_no_step() {
    let mut b = Bridge::new(2);
    b.join(Box::new(Port::new(0, RATE))).unwrap();
    tick(&mut b, &[0]);
    b.join(Box::new(Port::new(1, RATE))).unwrap();
    let mut out = Vec::new();
    for round in 0..4 {
        if round == 2 {
            b.leave(1);
        }
        tick(&mut b, &[0, 8000]);
        out.extend_from_slice(heard(&b, 0));
    }
    let step = out.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
    assert!(
        step <= 200,
        "a step of {step} clicks: 8000 over 40 samples is 200 each"
    );
    assert!(out[160..320].iter().all(|&s| s == 8000));
    assert!(b.has_left(1));
    assert_eq!(out[3 * 160 - 1], 0);
}

#[test]
fn who_leaves_before_its_first_frame_is_never_heard() {
    let mut b = bridge(2);
    tick(&mut b, &[0; 2]);
    let mut b2 = Bridge::new(2);
    b2.join(Box::new(Port::new(0, RATE))).unwrap();
    tick(&mut b2, &[0]);
    b2.join(Box::new(Port::new(1, RATE))).unwrap();
    b2.leave(1);
    tick(&mut b2, &[0, 8000]);
    assert_eq!(heard(&b2, 0), [0; 160]);
}

#[test]
fn a_removed_port_gives_its_number_to_the_last() {
    let mut b = bridge(3);
    let (port, moved) = b.remove(0).unwrap();
    assert_eq!((port.owner, moved), (0, Some(2)));
    assert_eq!(b.owner(0), Some(2));
    let (_, moved) = b.remove(1).unwrap();
    assert_eq!(moved, None);
    assert!(b.remove(5).is_none());
}

#[test]
fn a_full_bridge_hands_the_port_back() {
    let mut b = bridge(2);
    let back = b.join(Box::new(Port::new(7, RATE))).unwrap_err();
    assert_eq!(back.0.owner, 7);
}

/// 20 ms of a sine at `rate`, `tick` ticks into it.
fn sine(hz: f32, rate: u32, tick: usize) -> Vec<i16> {
    let frame = rate as usize / 50;
    let at = |i: usize| (tick * frame + i) as f64 / f64::from(rate);
    (0..frame)
        .map(|i| (8000.0 * (std::f64::consts::TAU * f64::from(hz) * at(i)).sin()).round() as i16)
        .collect()
}

/// The amplitude of `hz` in `samples`.
fn amplitude(samples: &[i16], hz: f32, rate: u32) -> f32 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, &s) in samples.iter().enumerate() {
        let phase = std::f32::consts::TAU * hz * i as f32 / rate as f32;
        re += f32::from(s) * phase.cos();
        im += f32::from(s) * phase.sin();
    }
    2.0 * f32::hypot(re, im) / samples.len() as f32
}

const BANDS: [u32; 3] = [8000, 16_000, 48_000];

/// A bridge with a talker (port 0) at `from` and listeners at each rate (ports 1 to 3), 50 ticks;
/// what each listener hears of the last 40.
fn across(from: u32, hz: f32) -> [Vec<i16>; 3] {
    let mut b = Bridge::new(4);
    b.join(Box::new(Port::new(0, from))).unwrap();
    for (i, rate) in BANDS.into_iter().enumerate() {
        b.join(Box::new(Port::new(i as u32 + 1, rate))).unwrap();
    }
    let mut out: [Vec<i16>; 3] = Default::default();
    for tick in 0..50 {
        b.rx(0).unwrap().copy_from_slice(&sine(hz, from, tick));
        for port in 1..4 {
            b.set_silent(port);
        }
        b.mix();
        if tick >= 10 {
            for (i, out) in out.iter_mut().enumerate() {
                out.extend_from_slice(heard(&b, i + 1));
            }
        }
    }
    out
}

#[test]
fn parties_of_all_rates_hear_each_other_as_far_as_their_rate_reaches() {
    for from in BANDS {
        for hz in [1000.0, 3000.0, 6000.0, 15_000.0f32] {
            if hz > 0.425 * from as f32 {
                continue;
            }
            for (rate, samples) in BANDS.into_iter().zip(across(from, hz)) {
                let level = amplitude(&samples, hz, rate);
                if hz < 0.425 * rate as f32 {
                    assert!(
                        (level - 8000.0).abs() < 350.0,
                        "{hz} Hz, {from} -> {rate}: {level}"
                    );
                } else {
                    let loudest = samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
                    assert!(loudest < 20, "{hz} Hz, {from} -> {rate}: {loudest}");
                }
            }
        }
    }
}

#[test]
fn within_a_rate_nothing_is_filtered_and_nobody_hears_itself_from_another_rate() {
    let mut b = Bridge::new(3);
    for (owner, rate) in [(0, 16_000), (1, 16_000), (2, 48_000)] {
        b.join(Box::new(Port::new(owner, rate))).unwrap();
    }
    for tick in 0..20 {
        let said = sine(1000.0, 16_000, tick);
        b.rx(0).unwrap().copy_from_slice(&said);
        b.set_silent(1);
        b.set_silent(2);
        b.mix();
        if tick > 0 {
            assert_eq!(heard(&b, 1), said);
            assert_eq!(heard(&b, 0), [0; 320]);
        }
    }
}

#[test]
fn rates_come_and_go_without_a_click() {
    let mut b = Bridge::new(8);
    b.join(Box::new(Port::new(0, 8000))).unwrap();
    b.join(Box::new(Port::new(1, 8000))).unwrap();
    let mut narrow = Vec::new();
    let mut wide = Vec::new();
    for tick in 0..100 {
        if tick == 20 {
            b.join(Box::new(Port::new(2, 48_000))).unwrap();
        }
        if tick == 70 {
            b.leave(2);
        }
        if tick == 71 {
            assert!(b.has_left(2));
            b.remove(2);
        }
        b.rx(0).unwrap().copy_from_slice(&sine(300.0, 8000, tick));
        b.set_silent(1);
        if (20..71).contains(&tick) {
            b.rx(2).unwrap().copy_from_slice(&sine(200.0, 48_000, tick));
        }
        b.mix();
        narrow.extend_from_slice(heard(&b, 1));
        if (20..71).contains(&tick) {
            wide.extend_from_slice(heard(&b, 2));
        }
    }
    let step = |samples: &[i16]| {
        let steps = samples
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
        steps.max().unwrap()
    };
    // The steepest that both sines can be together, and the fade's part.
    let steepest = std::f32::consts::TAU * 8000.0 * (300.0 + 200.0) / 8000.0 + 200.0;
    assert!(
        step(&narrow[160..]) <= steepest as i32,
        "{}",
        step(&narrow[160..])
    );
    let steepest = std::f32::consts::TAU * 8000.0 * 300.0 / 48_000.0 + 40.0;
    assert!(step(&wide) <= steepest as i32, "{}", step(&wide));
    assert!(amplitude(&narrow[40 * 160..60 * 160], 200.0, 8000) > 7500.0);
}

#[test]
fn the_dominant_party_is_who_was_clearly_louder_for_a_while() {
    let mut b = bridge(3);
    tick(&mut b, &[0; 3]);
    assert_eq!(b.dominant(), None);
    tick(&mut b, &[8000, 0, 0]);
    assert_eq!(b.dominant(), Some(0));
    for _ in 0..10 {
        tick(&mut b, &[8000, 9000, 0]);
    }
    assert_eq!(b.dominant(), Some(0), "a little louder is not enough");
    assert!(b.others_talk());
    tick(&mut b, &[0, 20_000, 0]);
    tick(&mut b, &[8000, 0, 0]);
    assert_eq!(b.dominant(), Some(0), "a click changes nothing");
    for _ in 0..30 {
        tick(&mut b, &[0, 0, 0]);
    }
    assert_eq!(
        b.dominant(),
        Some(0),
        "who fell silent stays until another talks"
    );
    assert!(b.is_quiet());
    for _ in 0..3 {
        tick(&mut b, &[0, 0, 6000]);
    }
    assert_eq!(b.dominant(), Some(2));
    b.leave(2);
    tick(&mut b, &[0; 3]);
    b.remove(2);
    assert_eq!(b.dominant(), None);
}

/// The largest step between neighbours, and whether two of them are at the limit: a flat top.
fn steps(samples: &[i16]) -> (i32, bool) {
    let step = samples
        .windows(2)
        .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
        .max()
        .unwrap();
    let at_limit = |s: &i16| s.unsigned_abs() >= 32_767;
    (step, samples.windows(2).any(|w| w.iter().all(at_limit)))
}

#[test]
fn a_loud_room_is_turned_down_and_not_clipped_also_for_who_begins_and_ceases_to_talk() {
    let mut b = bridge(12);
    let mut silent = Vec::new();
    let mut sometimes = Vec::new();
    for t in 0..150 {
        let loud: Vec<i16> = sine(400.0, RATE, t).iter().map(|s| s * 3).collect();
        for port in 0..10 {
            b.rx(port).unwrap().copy_from_slice(&loud);
        }
        b.set_silent(10);
        if (50..100).contains(&t) {
            b.rx(11).unwrap().copy_from_slice(&sine(400.0, RATE, t));
        } else {
            b.set_silent(11);
        }
        b.mix();
        if t >= 2 {
            silent.extend_from_slice(heard(&b, 10));
            sometimes.extend_from_slice(heard(&b, 11));
        }
    }
    // A full-scale sine of 400 Hz moves by 10,300 at its steepest; clipped, it is at the limit.
    for (who, samples) in [("silent", &silent), ("sometimes", &sometimes)] {
        let (step, clipped) = steps(samples);
        assert!(step < 11_000 && !clipped, "{who}: {step}");
        let loudest = samples.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(loudest > 28_000, "{who}: {loudest}");
    }
}

#[test]
fn two_ordinary_talkers_pass_bit_for_bit() {
    let mut b = bridge(3);
    for t in 0..20 {
        let (one, two) = (sine(300.0, RATE, t), sine(500.0, RATE, t));
        b.rx(0).unwrap().copy_from_slice(&one);
        b.rx(1).unwrap().copy_from_slice(&two);
        b.set_silent(2);
        b.mix();
        let sum: Vec<i16> = one.iter().zip(&two).map(|(a, b)| a + b).collect();
        if t > 0 {
            assert_eq!(heard(&b, 2), sum);
            assert_eq!(heard(&b, 0), two);
        }
    }
}

#[test]
fn what_is_said_is_heard_and_an_idle_line_is_silence() {
    let mut b = bridge(2);
    for _ in 0..3 {
        b.say(0, &[1000; 160]);
        b.say(1, &[8; 160]);
        b.mix();
    }
    assert_eq!(heard(&b, 1), [1000; 160]);
    assert!(b.talkers() == 1);
    // What was said before is gone.
    b.say(0, &[0; 160]);
    b.say(1, &[8; 160]);
    b.mix();
    assert_eq!(heard(&b, 1), [0; 160]);
}
