use super::*;
use crate::rtp::seq::{PayloadType, Timestamp};

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn packet(ssrc: u32, seq: u16) -> Packet<'static> {
    Packet {
        payload_type: PayloadType(0),
        marker: false,
        seq: SeqNo(seq),
        timestamp: Timestamp(u32::from(seq) * 160),
        ssrc: Ssrc(ssrc),
        payload: &[],
    }
}

fn ms(ms: u64) -> MediaTime {
    MediaTime::from_millis(ms)
}

#[test]
fn the_signalled_address_may_at_once() {
    let mut latch = Latch::new(Some(address(1)));
    assert_eq!(latch.remote(), Some(address(1)));
    assert_eq!(latch.is_connected_wanted(ms(0)), None);
    assert_eq!(
        latch.on_packet(address(1), &packet(1, 1), ms(0)),
        Verdict::Latched(address(1))
    );
    assert_eq!(
        latch.on_packet(address(1), &packet(1, 2), ms(20)),
        Verdict::Accept
    );
    assert_eq!(latch.is_connected_wanted(ms(20)), Some(address(1)));
    assert_eq!(latch.is_connected_wanted(ms(2020)), None);
}

#[test]
fn another_source_needs_four_in_sequence() {
    let mut latch = Latch::new(Some(address(1)));
    for seq in [65_534, 65_535, 0] {
        assert_eq!(
            latch.on_packet(address(2), &packet(1, seq), ms(0)),
            Verdict::Ignore
        );
    }
    assert_eq!(
        latch.on_packet(address(2), &packet(1, 1), ms(60)),
        Verdict::Latched(address(2))
    );
    assert_eq!(latch.remote(), Some(address(2)));
    // Not connected yet: the signalled address must be heard if it comes.
    assert_eq!(latch.is_connected_wanted(ms(60)), None);
    latch.on_packet(address(2), &packet(1, 2), ms(5059));
    assert_eq!(latch.is_connected_wanted(ms(5060)), Some(address(2)));
    // It takes over, and is not driven out again.
    assert_eq!(
        latch.on_packet(address(1), &packet(9, 1), ms(80)),
        Verdict::Latched(address(1))
    );
    for seq in 3..20 {
        assert_eq!(
            latch.on_packet(address(2), &packet(1, seq), ms(100)),
            Verdict::Ignore
        );
    }
}

/// A party behind a NAT, whose description has its private address.
fn behind_nat() -> Latch {
    let mut latch = Latch::new(Some(address(1)));
    for seq in 0..10 {
        latch.on_packet(address(2), &packet(1, seq), ms(u64::from(seq) * 20));
    }
    assert_eq!(latch.remote(), Some(address(2)));
    latch
}

/// A hold without an address, and one by direction alone.
const HOLDS: [fn(&mut Latch); 2] = [
    |latch| {
        latch.signalled(None, ms(1000));
        latch.signalled(Some(address(1)), ms(40_000));
    },
    Latch::resumed,
];

#[test]
fn who_comes_back_from_a_hold_is_where_it_was() {
    HOLDS.into_iter().for_each(stays_where_it_was);
}

fn stays_where_it_was(hold: fn(&mut Latch)) {
    let mut latch = behind_nat();
    hold(&mut latch);
    latch.on_packet(address(2), &packet(1, 11), ms(9000));
    for seq in 0..20 {
        let verdict = latch.on_packet(address(3), &packet(9, seq), ms(9010));
        assert_eq!(verdict, Verdict::Ignore, "nobody takes the stream over");
    }
}

#[test]
fn who_comes_back_from_a_hold_behind_another_port_of_its_nat_is_heard() {
    HOLDS.into_iter().for_each(comes_from_another_port);
}

fn comes_from_another_port(hold: fn(&mut Latch)) {
    let mut latch = behind_nat();
    hold(&mut latch);
    let elsewhere: SocketAddr = ([203, 0, 113, 9], 7).into();
    let mut verdicts = Vec::new();
    for seq in 0..8 {
        let now = ms(40_000 + u64::from(seq) * 20);
        assert_eq!(
            latch.on_packet(elsewhere, &packet(8, seq), now),
            Verdict::Ignore
        );
        // Another stream, since the phone has made its own anew.
        verdicts.push(latch.on_packet(address(3), &packet(9, 500 + seq), now));
    }
    assert!(
        verdicts.iter().all(|verdict| *verdict == Verdict::Ignore),
        "they take turns"
    );
    for seq in 8..12 {
        let now = ms(40_000 + u64::from(seq) * 20);
        latch.on_packet(address(3), &packet(9, 500 + seq), now);
    }
    assert_eq!(latch.remote(), Some(address(3)));
}

#[test]
fn who_has_the_keys_is_the_party_where_it_was_silent() {
    let elsewhere: SocketAddr = ([203, 0, 113, 9], 7).into();
    for (secure, silent, heard) in [
        (true, 2000, true),
        (true, 1900, false),
        (false, 2000, false),
    ] {
        let mut latch = behind_nat();
        latch.set_secure(secure);
        let mut verdict = Verdict::Ignore;
        for seq in 0..4 {
            verdict = latch.on_packet(elsewhere, &packet(9, seq), ms(180 + silent));
        }
        let expected = if heard {
            Verdict::Latched(elsewhere)
        } else {
            Verdict::Ignore
        };
        assert_eq!(verdict, expected, "{secure} {silent}");
    }
}

#[test]
fn who_stays_where_it_was_is_closed_to_others_again() {
    let mut latch = behind_nat();
    latch.signalled(Some(address(5)), ms(1000));
    // For a while it may come from anywhere.
    for n in 0..300u16 {
        let now = ms(1000 + u64::from(n) * 20);
        latch.on_packet(address(2), &packet(1, 10 + n), now);
    }
    assert_eq!(latch.remote(), Some(address(2)));
    assert_eq!(latch.is_connected_wanted(ms(7000)), Some(address(2)));
    for seq in 0..20 {
        let verdict = latch.on_packet(address(3), &packet(9, seq), ms(7000));
        assert_eq!(verdict, Verdict::Ignore);
    }
}

#[test]
fn gaps_and_alternating_sources_never_latch() {
    let mut latch = Latch::new(None);
    for seq in (0..100).step_by(2) {
        assert_eq!(
            latch.on_packet(address(2), &packet(1, seq), ms(0)),
            Verdict::Ignore
        );
    }
    for seq in 0..100 {
        assert_eq!(
            latch.on_packet(address(2), &packet(1, seq), ms(0)),
            Verdict::Ignore
        );
        assert_eq!(
            latch.on_packet(address(3), &packet(2, seq), ms(0)),
            Verdict::Ignore
        );
    }
}

#[test]
fn a_rebinding_nat_is_followed_after_silence() {
    let mut latch = Latch::new(Some(address(1)));
    latch.on_packet(address(1), &packet(1, 100), ms(0));
    let mut verdicts = (101..105).map(|seq| latch.on_packet(address(2), &packet(1, seq), ms(1999)));
    assert!(verdicts.all(|v| v == Verdict::Ignore));
    // After the silence: neither another SSRC nor a broken sequence, but the same stream.
    for seq in 105..120 {
        assert_eq!(
            latch.on_packet(address(3), &packet(2, seq), ms(3000)),
            Verdict::Ignore
        );
        let far = packet(1, seq + 20_000);
        assert_eq!(latch.on_packet(address(4), &far, ms(3000)), Verdict::Ignore);
    }
    for seq in 120..123 {
        assert_eq!(
            latch.on_packet(address(2), &packet(1, seq), ms(3000)),
            Verdict::Ignore
        );
    }
    let verdict = latch.on_packet(address(2), &packet(1, 123), ms(3000));
    assert_eq!(verdict, Verdict::Latched(address(2)));
}

#[test]
fn a_stream_of_the_call_before_is_shunned_and_its_phone_is_not() {
    let mut before = Latch::new(Some(address(1)));
    before.on_packet(address(1), &packet(1, 65_530), ms(0));
    let mut latch = Latch::new(Some(address(1)));
    latch.shun(before.stream().unwrap());
    for n in 0..5000u16 {
        let late = packet(1, 65_531u16.wrapping_add(n));
        assert_eq!(latch.on_packet(address(1), &late, ms(0)), Verdict::Ignore);
    }
    let new = latch.on_packet(address(1), &packet(2, 4533), ms(0));
    assert_eq!(new, Verdict::Latched(address(1)));
    let mut latch = Latch::new(Some(address(1)));
    latch.shun(before.stream().unwrap());
    let again = latch.on_packet(address(1), &packet(1, 30_000), ms(0));
    assert_eq!(again, Verdict::Latched(address(1)));
}

/// A device with one source for all its calls, whose numbers begin at 0.
#[test]
fn a_phone_that_calls_again_with_the_same_source_is_heard() {
    for last in [60, 63_000, 65_535, 0] {
        let mut before = Latch::new(Some(address(1)));
        before.on_packet(address(1), &packet(1, last), ms(0));
        let mut latch = Latch::new(Some(address(1)));
        latch.shun(before.stream().unwrap());
        latch.begin(ms(6000));
        let again = latch.on_packet(address(1), &packet(1, 0), ms(7000));
        assert_eq!(again, Verdict::Latched(address(1)), "{last}");
    }
    // Before that it is told by its number alone; and what has gone on is shunned through any pause.
    let mut before = Latch::new(Some(address(1)));
    before.on_packet(address(1), &packet(1, 60), ms(0));
    let shunning = |first: u16, at| {
        let mut latch = Latch::new(Some(address(1)));
        latch.shun(before.stream().unwrap());
        latch.begin(ms(6000));
        let verdict = latch.on_packet(address(1), &packet(1, first), ms(at));
        (latch, verdict)
    };
    assert_eq!(shunning(0, 6010).1, Verdict::Latched(address(1)));
    let (mut latch, verdict) = shunning(360, 6010);
    assert_eq!(verdict, Verdict::Ignore);
    for (seq, at) in [
        (361, 6109),
        (362, 6509),
        (363, 16_509),
        (364, 16_529),
        (365, 16_549),
    ] {
        let next = latch.on_packet(address(1), &packet(1, seq), ms(at));
        assert_eq!(next, Verdict::Ignore, "{seq}");
    }
    // As of a sender that sends in speech alone: heard of every 400 ms.
    assert_eq!(shunning(70, 6390).1, Verdict::Ignore);
}

#[test]
fn signalling_moves_the_stream() {
    let mut latch = Latch::new(Some(address(1)));
    latch.on_packet(address(1), &packet(1, 1), ms(0));
    latch.signalled(Some(address(5)), ms(10));
    assert_eq!(latch.remote(), Some(address(5)));
    assert_eq!(latch.is_connected_wanted(ms(10)), None);
    assert_eq!(
        latch.on_packet(address(1), &packet(1, 2), ms(20)),
        Verdict::Accept
    );
    assert_eq!(
        latch.on_packet(address(5), &packet(2, 1), ms(30)),
        Verdict::Latched(address(5))
    );
    assert_eq!(
        latch.on_packet(address(1), &packet(1, 3), ms(40)),
        Verdict::Ignore
    );
}

#[test]
fn a_new_source_behind_a_nat_wins_though_the_old_one_goes_on() {
    let mut latch = Latch::new(Some(address(1)));
    latch.on_packet(address(1), &packet(1, 1), ms(0));
    latch.signalled(Some(address(5)), ms(10));
    for n in 0..3 {
        latch.on_packet(address(1), &packet(1, 2 + n), ms(20));
        assert_eq!(
            latch.on_packet(address(6), &packet(2, n), ms(20)),
            Verdict::Ignore
        );
    }
    assert_eq!(
        latch.on_packet(address(6), &packet(2, 3), ms(90)),
        Verdict::Latched(address(6))
    );
    assert_eq!(
        latch.on_packet(address(1), &packet(1, 9), ms(91)),
        Verdict::Ignore
    );
}

#[test]
fn the_same_source_behind_a_nat_is_sent_to_again() {
    let mut latch = Latch::new(Some(address(1)));
    latch.on_packet(address(1), &packet(1, 1), ms(0));
    latch.signalled(Some(address(5)), ms(10));
    for seq in 2..5 {
        assert_eq!(
            latch.on_packet(address(1), &packet(1, seq), ms(20)),
            Verdict::Accept
        );
        assert_eq!(latch.remote(), Some(address(5)));
    }
    assert_eq!(
        latch.on_packet(address(1), &packet(1, 5), ms(80)),
        Verdict::Latched(address(1))
    );
    assert_eq!(latch.remote(), Some(address(1)));
}
