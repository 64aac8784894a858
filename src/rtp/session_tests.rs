//! Tests of `rtp::session`.

use super::*;

fn packet(ssrc: u32, seq: u16) -> Packet<'static> {
    at(ssrc, seq, u32::from(seq).wrapping_mul(160))
}

fn at(ssrc: u32, seq: u16, timestamp: u32) -> Packet<'static> {
    Packet {
        payload_type: PayloadType(0),
        marker: false,
        seq: SeqNo(seq),
        timestamp: Timestamp(timestamp),
        ssrc: Ssrc(ssrc),
        payload: &[0; 160],
    }
}

fn ms(ms: u64) -> MediaTime {
    MediaTime::from_millis(ms)
}

fn feed(receiver: &mut Receiver, seqs: &[u16]) -> Vec<Accept> {
    seqs.iter()
        .map(|&seq| receiver.on_packet(&packet(1, seq), ms(u64::from(seq) * 20)))
        .collect()
}

#[test]
fn loss_reordering_and_duplicates_are_told_apart() {
    use Accept::{Duplicate, New, SourceChanged};
    let mut receiver = Receiver::new(8000);
    let accepts = feed(&mut receiver, &[10, 11, 13, 12, 12, 16, 14]);
    assert_eq!(accepts, [SourceChanged, New, New, New, Duplicate, New, New]);
    let stats = receiver.stats();
    assert_eq!((stats.packets, stats.bytes), (7, 7 * 160));
    assert_eq!((stats.lost, stats.duplicates, stats.reordered), (1, 1, 2));
    // A.3 counts the duplicate as received: 7 expected, 7 received.
    let block = receiver.report_block(ms(400)).unwrap();
    assert_eq!(
        (
            block.cumulative_lost,
            block.fraction_lost,
            block.highest_seq
        ),
        (0, 0, 16)
    );
    assert_eq!(receiver.report_block(ms(500)), None);
    feed(&mut receiver, &[17, 18, 20]);
    let block = receiver.report_block(ms(600)).unwrap();
    assert_eq!((block.cumulative_lost, block.fraction_lost), (1, 64));
}

#[test]
fn the_sequence_wraps() {
    let mut receiver = Receiver::new(8000);
    feed(&mut receiver, &[65_533, 65_534, 65_535, 0, 1, 65_532]);
    let block = receiver.report_block(ms(0)).unwrap();
    assert_eq!(block.highest_seq, 0x1_0001);
    assert_eq!(receiver.stats().lost, 0);
    // From before the first packet: not new.
    assert_eq!(receiver.stats().duplicates, 1);
}

#[test]
fn another_source_starts_at_once_but_two_do_not_take_turns() {
    let mut receiver = Receiver::new(8000);
    feed(&mut receiver, &[1, 2, 4]);
    assert_eq!(
        receiver.on_packet(&packet(2, 900), ms(100)),
        Accept::SourceChanged
    );
    for n in 0..20 {
        let old = receiver.on_packet(&packet(1, 5 + n), ms(110));
        assert_eq!(old, Accept::Probation);
        let new = receiver.on_packet(&packet(2, 901 + n), ms(110));
        assert_eq!(new, Accept::New);
    }
    // The new source falls silent, the old one goes on.
    assert_eq!(
        receiver.on_packet(&packet(1, 30), ms(200)),
        Accept::Probation
    );
    assert_eq!(
        receiver.on_packet(&packet(1, 31), ms(220)),
        Accept::SourceChanged
    );
    let stats = receiver.stats();
    assert_eq!((stats.lost, stats.ssrc), (1, Some(Ssrc(1))));
}

#[test]
fn a_restart_within_one_source_takes_two_packets() {
    let mut receiver = Receiver::new(8000);
    feed(&mut receiver, &[1, 2]);
    assert_eq!(
        receiver.on_packet(&packet(1, 30_000), ms(60)),
        Accept::Probation
    );
    assert_eq!(
        receiver.on_packet(&packet(1, 30_001), ms(80)),
        Accept::SourceChanged
    );
    assert_eq!(receiver.on_packet(&packet(1, 30_002), ms(100)), Accept::New);
    // A stray alone changes nothing.
    assert_eq!(
        receiver.on_packet(&packet(1, 7), ms(100)),
        Accept::Probation
    );
    assert_eq!(receiver.on_packet(&packet(1, 30_003), ms(120)), Accept::New);
    assert_eq!(receiver.stats().lost, 0);
}

#[test]
fn jitter_converges_and_ignores_what_tells_none() {
    let mut receiver = Receiver::new(8000);
    // Alternately 0 and 8 ms late: |D| is always 8 ms.
    for seq in 0..400u16 {
        let late = if seq % 2 == 0 { 0 } else { 8 };
        receiver.on_packet(&packet(1, seq), ms(1000 + u64::from(seq) * 20 + late));
    }
    let jitter = receiver.stats().jitter_us;
    assert!((7900..=8000).contains(&jitter), "{jitter}");
    let block = receiver.report_block(ms(9000)).unwrap();
    assert!((63..=64).contains(&block.jitter), "{}", block.jitter);
    // The same timestamp for a second (an event), then another time line.
    for n in 0..50u16 {
        receiver.on_packet(&at(1, 400 + n, 64_000), ms(9000 + u64::from(n) * 20));
    }
    receiver.on_packet(&at(1, 450, 4_000_000_000), ms(10_000));
    assert!(receiver.stats().jitter_us <= 8000);
    assert!(receiver.stats().max_jitter_us < 9000);
}

#[test]
fn report_blocks_answer_sender_reports() {
    let mut receiver = Receiver::new(8000);
    feed(&mut receiver, &[1, 2]);
    receiver.on_sender_report(0x0000_1234_5678_0000, ms(1000));
    let block = receiver.report_block(ms(1500)).unwrap();
    assert_eq!(
        (block.last_sender_report, block.delay_since),
        (0x1234_5678, 32_768)
    );
}

#[test]
fn the_sender_numbers_one_line() {
    let mut sender = Sender::new(Ssrc(9), SeqNo(65_535), Timestamp(u32::MAX - 159));
    let first = sender.header(PayloadType(0), 0, true);
    assert_eq!(
        (first.seq, first.timestamp),
        (SeqNo(65_535), Timestamp(u32::MAX - 159))
    );
    sender.sent(160);
    // A pause of 40 ms moves the timestamp, not the sequence.
    let second = sender.header(PayloadType(0), 480, false);
    assert_eq!((second.seq, second.timestamp), (SeqNo(0), Timestamp(320)));
    sender.sent(160);
    let info = sender.report(ms(60), 77);
    assert_eq!((info.ntp, info.timestamp), (77, Timestamp(320)));
    assert_eq!((info.packets, info.octets), (2, 320));
    assert_eq!(
        sender.stats(),
        SendStats {
            packets: 2,
            bytes: 320
        }
    );
}

#[test]
fn the_pattern_of_losses_has_each_packet_once() {
    let mut receiver = Receiver::new(8000);
    let (mut lost, mut discarded) = (0, 0);
    for seq in 0..5000u16 {
        match seq % 100 {
            // A late one comes behind its successor and is found too late by the jitter buffer.
            40 => feed(&mut receiver, &[seq + 1, seq]),
            41 => Vec::new(),
            70..73 => {
                lost += 1;
                continue;
            }
            _ => feed(&mut receiver, &[seq]),
        };
        if seq % 100 == 40 {
            receiver.discarded(SeqNo(seq));
            discarded += 1;
        }
    }
    // A hole that is longer than the window.
    feed(&mut receiver, &[5400]);
    lost += 400;
    let pattern = receiver.pattern();
    assert_eq!((pattern.lost, pattern.discarded), (lost, discarded));
    assert_eq!(pattern.received, 5401 - lost - discarded);
    assert_eq!(receiver.stats().lost, lost as i64);
    assert_eq!(pattern.bursts, 51, "{pattern:?}");
    // Another source goes on where this one ended.
    receiver.on_packet(&packet(2, 7), ms(200_000));
    receiver.on_packet(&packet(2, 9), ms(200_000));
    let after = receiver.pattern();
    assert_eq!(after.lost, lost + 1);
    assert_eq!(after.received, pattern.received + 2);
    assert_eq!(receiver.stats().lost, lost as i64 + 1);
}

#[test]
fn the_packet_time_is_that_of_packets_in_sequence() {
    let mut receiver = Receiver::new(8000);
    assert_eq!(receiver.packet_time(), None);
    feed(&mut receiver, &[1, 3]);
    assert_eq!(receiver.packet_time(), None, "a loss tells nothing");
    receiver.on_packet(&at(1, 4, 3 * 160 + 240), ms(90));
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(30)));
    // A pause, and a timestamp that stands still.
    receiver.on_packet(&at(1, 5, 90_000), ms(9000));
    receiver.on_packet(&at(1, 6, 90_000), ms(9000));
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(30)));
}

#[test]
fn what_is_no_audio_tells_no_packet_time_and_no_jitter() {
    let mut receiver = Receiver::new(8000);
    feed(&mut receiver, &[1, 2, 3]);
    // A key of 200 ms: its packets have the timestamp of its beginning.
    for n in 0..10u16 {
        let event = at(1, 4 + n, 4 * 160);
        receiver.on_packet_of(&event, false, ms(80 + u64::from(n) * 20));
    }
    for n in 0..50u16 {
        let audio = at(1, 14 + n, (14 + u32::from(n)) * 160);
        receiver.on_packet(&audio, ms((14 + u64::from(n)) * 20));
    }
    assert_eq!(receiver.stats().max_jitter_us, 0);
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(20)));
    // Comfort noise ten times a second, with numbers in sequence.
    for n in 0..20u16 {
        let noise = at(1, 64 + n, (64 + 5 * u32::from(n)) * 160);
        receiver.on_packet_of(&noise, false, ms((64 + 5 * u64::from(n)) * 20));
    }
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(20)));
    assert_eq!(receiver.stats().lost, 0);
    // The same of a peer whose pauses have no packets at all.
    receiver.on_packet(&at(1, 84, 600 * 160), ms(600 * 20));
    receiver.on_packet(&at(1, 85, 625 * 160), ms(625 * 20));
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(20)));
}

#[test]
fn a_packet_of_another_clock_is_no_jitter() {
    let mut receiver = Receiver::new(48_000);
    receiver.set_clock_rate(8000);
    feed(&mut receiver, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(20)));
    // From 7 on it is another codec's, whose line goes on from there.
    for seq in 7..20u16 {
        receiver.set_clock_rate(48_000);
        let packet = at(1, seq, u32::from(seq) * 960);
        receiver.on_packet(&packet, ms(u64::from(seq) * 20));
    }
    assert_eq!(receiver.stats().max_jitter_us, 0);
    assert_eq!(receiver.packet_time(), Some(Duration::from_millis(20)));
}

#[test]
fn the_line_goes_on_where_the_clock_changes() {
    let mut sender = Sender::new(Ssrc(1), SeqNo(0), Timestamp(u32::MAX - 5));
    let at = MediaTime::from_millis(600_000);
    let before = sender.header(PayloadType(0), at.samples(8000), false);
    sender.set_clock_rate(48_000, at);
    let after = sender.header(PayloadType(96), at.samples(48_000), false);
    assert_eq!(after.timestamp, before.timestamp);
    assert_eq!(sender.report(at, 0).timestamp, before.timestamp);
    let later = MediaTime::from_millis(600_020);
    let next = sender.header(PayloadType(96), later.samples(48_000), false);
    assert_eq!(next.timestamp.distance(after.timestamp), 960);
}
