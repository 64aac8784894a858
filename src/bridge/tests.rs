use super::*;

const RATE: u32 = 8000;

fn bridge(parties: usize) -> Bridge {
    let mut bridge = Bridge::new(RATE, parties);
    for owner in 0..parties {
        bridge.join(Box::new(Port::new(owner as u32))).unwrap();
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
    let mut b = Bridge::new(RATE, 2);
    b.join(Box::new(Port::new(0))).unwrap();
    tick(&mut b, &[0]);
    b.join(Box::new(Port::new(1))).unwrap();
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
    let mut b2 = Bridge::new(RATE, 2);
    b2.join(Box::new(Port::new(0))).unwrap();
    tick(&mut b2, &[0]);
    b2.join(Box::new(Port::new(1))).unwrap();
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
    let back = b.join(Box::new(Port::new(7))).unwrap_err();
    assert_eq!(back.0.owner, 7);
}
