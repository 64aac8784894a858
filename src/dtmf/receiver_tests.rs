use super::*;
use crate::rtp::PayloadType;

/// One packet of a scenario.
#[derive(Clone, Copy, Debug)]
struct Sent {
    ms: u64,
    seq: u16,
    /// Timestamp, marker and report; none: audio.
    event: Option<(u32, bool, Event)>,
}

/// Writes what a phone sends that presses digits.
struct Presses {
    rate: u32,
    ms: u64,
    seq: u16,
    out: Vec<Sent>,
}

impl Presses {
    fn new() -> Self {
        Self::at_rate(8000)
    }

    fn at_rate(rate: u32) -> Self {
        Self {
            rate,
            ms: 1000,
            seq: 65_500,
            out: Vec::new(),
        }
    }

    fn push(&mut self, event: Option<(u32, bool, Event)>) {
        self.out.push(Sent {
            ms: self.ms,
            seq: self.seq,
            event,
        });
        self.seq = self.seq.wrapping_add(1);
        self.ms += 20;
    }

    /// Presses for `ms`, whole packets of 20 ms, with segments where they are due, then three ends.
    fn press(mut self, c: char, ms: u32) -> Self {
        let code = Digit::from_char(c).unwrap().event();
        let per_packet = self.rate / 50;
        let mut timestamp = (self.ms as u32).wrapping_mul(self.rate / 1000);
        let mut lasted = 0;
        let report = |s: &mut Self, timestamp, marker, duration: u32, end| {
            let event = Event {
                code,
                end,
                volume: 10,
                duration: duration as u16,
            };
            s.push(Some((timestamp, marker, event)));
        };
        for n in 0..ms / 20 - 1 {
            lasted += per_packet;
            if lasted > u32::from(MAX_DURATION) {
                report(&mut self, timestamp, false, u32::from(MAX_DURATION), false);
                timestamp = timestamp.wrapping_add(u32::from(MAX_DURATION));
                lasted -= u32::from(MAX_DURATION);
            }
            report(&mut self, timestamp, n == 0, lasted, false);
        }
        for _ in 0..3 {
            report(&mut self, timestamp, false, lasted + per_packet, true);
        }
        // The first of them ends the press; the others fall into the pause.
        self.ms -= 40;
        self
    }

    fn pause(mut self, ms: u64) -> Self {
        self.ms += ms;
        self
    }

    fn audio(mut self, packets: u32) -> Self {
        for _ in 0..packets {
            self.push(None);
        }
        self
    }
}

/// Runs packets through a receiver, fetching every 20 ms; the digits with the time of fetching.
fn run(packets: &[Sent]) -> Vec<(char, u64)> {
    let mut receiver = EventReceiver::new();
    let mut digits = Vec::new();
    let end = packets.iter().map(|p| p.ms).max().unwrap_or(0) + 100;
    let mut waiting = packets.iter().peekable();
    for tick in (0..=end).step_by(20) {
        while let Some(sent) = waiting.next_if(|p| p.ms <= tick) {
            feed(&mut receiver, sent);
        }
        while let Some(digit) = receiver.poll(MediaTime::from_millis(tick)) {
            digits.push((digit.as_char(), tick));
        }
    }
    digits
}

fn feed(receiver: &mut EventReceiver, sent: &Sent) {
    let at = MediaTime::from_millis(sent.ms);
    let payload = sent.event.map_or([0; 4], |(.., event)| event.to_bytes());
    let packet = Packet {
        payload_type: PayloadType(101),
        marker: sent.event.is_some_and(|(_, marker, _)| marker),
        seq: SeqNo(sent.seq),
        timestamp: Timestamp(sent.event.map_or(0, |(timestamp, ..)| timestamp)),
        ssrc: Ssrc(7),
        payload: &payload,
    };
    if sent.event.is_some() {
        receiver.on_event(&packet, at);
    } else {
        receiver.on_audio(&packet, at);
    }
}

fn digits(packets: &[Sent]) -> String {
    run(packets).into_iter().map(|(c, _)| c).collect()
}

#[track_caller]
fn check(packets: &[Sent], expected: &str) {
    assert_eq!(digits(packets), expected);
}

#[test]
fn any_one_packet_of_an_event_is_enough() {
    let whole = Presses::new().audio(3).press('5', 100).audio(3).out;
    check(&whole, "5");
    let of_event: Vec<usize> = (0..whole.len())
        .filter(|&n| whole[n].event.is_some())
        .collect();
    assert_eq!(of_event.len(), 7);
    for &kept in &of_event {
        let mut packets = whole.clone();
        packets.retain(|p| p.event.is_none() || p.seq == whole[kept].seq);
        check(&packets, "5");
    }
    for &lost in &of_event {
        let mut packets = whole.clone();
        packets.remove(lost);
        check(&packets, "5");
    }
}

#[test]
fn lost_markers_and_lost_ends_neither_double_nor_merge() {
    for pause in [0, 40] {
        let whole = Presses::new()
            .press('7', 80)
            .pause(pause)
            .press('7', 80)
            .pause(pause)
            .press('8', 80)
            .out;
        // With no pause the last two ends of a digit cross the first packets of the next.
        check(&sorted(whole.clone()), "778");
        let no_marker = whole.iter().filter(|p| !p.event.unwrap().1).copied();
        check(&sorted(no_marker.collect()), "778");
        let no_end = whole.iter().filter(|p| !p.event.unwrap().2.end).copied();
        check(&sorted(no_end.collect()), "778");
        let neither = whole.iter().filter(|p| {
            let (_, marker, event) = p.event.unwrap();
            !marker && !event.end
        });
        check(&sorted(neither.copied().collect()), "778");
    }
}

fn sorted(mut packets: Vec<Sent>) -> Vec<Sent> {
    packets.sort_by_key(|p| p.ms);
    packets
}

#[test]
fn a_long_press_is_one_digit_in_however_many_segments() {
    // At 48 kHz a segment holds 1.365 s (RFC 4733 §2.5.1.3).
    for (rate, seconds) in [(8000, 5), (8000, 30), (16_000, 10), (48_000, 10)] {
        let whole = Presses::at_rate(rate)
            .press('3', seconds * 1000)
            .pause(60)
            .press('3', 100)
            .out;
        check(&whole, "33");
        // The packets around each change of segment are lost.
        let mut packets = whole.clone();
        packets.retain(|p| {
            let (_, marker, event) = p.event.unwrap();
            marker || event.end || (2000..63_000).contains(&event.duration)
        });
        assert!(packets.len() < whole.len());
        check(&packets, "33");
    }
}

#[test]
fn a_segment_that_is_not_filled_to_its_last_unit_goes_on_all_the_same() {
    let report = |ms, seq, timestamp, duration, end| Sent {
        ms,
        seq,
        event: Some((
            timestamp,
            false,
            Event {
                code: 3,
                end,
                volume: 10,
                duration,
            },
        )),
    };
    // The report of 65,440, at which this sender begins anew, is lost.
    let packets = [
        report(1000, 1, 8000, 65_120, false),
        report(1060, 4, 8000 + 65_440, 160, false),
        report(1080, 5, 8000 + 65_440, 320, true),
    ];
    check(&packets, "3");
}

#[test]
fn senders_that_move_the_timestamp_are_understood() {
    let mut packets = Presses::new().press('4', 200).out;
    let mut moved = 0;
    for p in &mut packets {
        let (timestamp, _, event) = p.event.as_mut().unwrap();
        if !event.end {
            *timestamp += moved;
            moved += 160;
        }
    }
    check(&packets[..9], "4");
    // Relays do it to those that repeat the end alone.
    let mut twice = Presses::new().press('4', 200).pause(60).press('4', 200).out;
    let mut ends = 0;
    for p in &mut twice {
        let (timestamp, _, event) = p.event.as_mut().unwrap();
        if event.end {
            *timestamp += 160 * (ends % 3);
            ends += 1;
        }
    }
    assert_eq!(ends, 6);
    check(&twice, "44");
}

#[test]
fn a_timestamp_that_stands_still_names_another_press_after_a_while() {
    let mut packets = Presses::new()
        .press('4', 100)
        .pause(6000)
        .press('4', 100)
        .out;
    for p in &mut packets {
        p.event.as_mut().unwrap().0 = 0;
    }
    check(&packets, "44");
    // Sooner than that it is told by its marker; packets that come late are no press.
    let mut packets = Presses::new()
        .press('4', 100)
        .pause(200)
        .press('4', 100)
        .out;
    for p in &mut packets {
        p.event.as_mut().unwrap().0 = 0;
    }
    check(&packets, "44");
    packets.truncate(packets.len() / 2);
    let first = packets.remove(0);
    packets.push(first);
    check(&packets, "4");
}

#[test]
fn several_events_in_one_packet() {
    let mut receiver = EventReceiver::new();
    let payload = [1, 0x8a, 1, 0x90, 2, 0x8a, 1, 0x90, 1, 0x8a, 1, 0x90];
    let packet = Packet {
        payload_type: PayloadType(101),
        marker: true,
        seq: SeqNo(1),
        timestamp: Timestamp(8000),
        ssrc: Ssrc(7),
        payload: &payload,
    };
    for _ in 0..3 {
        assert_eq!(
            receiver.on_event(&packet, MediaTime::ZERO),
            Activity::Ended(Timestamp(8000 + 3 * 400))
        );
    }
    let all: String = std::iter::from_fn(|| receiver.poll(MediaTime::ZERO))
        .map(Digit::as_char)
        .collect();
    assert_eq!(all, "121");
}

#[test]
fn what_is_no_digit_is_none() {
    let mut packets = Presses::new().press('4', 100).out;
    for p in &mut packets {
        p.event.as_mut().unwrap().2.code = 16;
    }
    check(&packets, "");
}

#[test]
fn a_digit_waits_for_an_earlier_one_and_no_longer_than_40_ms() {
    // Of the first digit all but the last end is lost, and that comes three places late.
    let whole = Presses::new()
        .audio(5)
        .press('1', 60)
        .pause(40)
        .press('2', 200)
        .out;
    let last = whole
        .iter()
        .rposition(|p| p.event.is_some_and(|(.., e)| e.code == 1))
        .unwrap();
    let mut packets: Vec<Sent> = whole[..5].to_vec();
    packets.extend(&whole[last + 1..last + 4]);
    let late_ms = packets.last().unwrap().ms;
    packets.push(Sent {
        ms: late_ms,
        ..whole[last]
    });
    packets.extend(&whole[last + 4..]);
    let found = run(&packets);
    assert_eq!(found.iter().map(|f| f.0).collect::<String>(), "12");
    assert_eq!(found[1].1, late_ms, "{found:?}");
    // It never comes: the second is told 40 ms after its first packet.
    packets.retain(|p| p.seq != whole[last].seq);
    let came = packets[5].ms;
    assert_eq!(run(&packets), [('2', came + 40)]);
    // Nothing is missing: at once.
    assert_eq!(run(&whole)[1].1, whole[last + 1].ms);
}

#[test]
fn a_flood_is_bounded() {
    let mut receiver = EventReceiver::new();
    for n in 0..1000u32 {
        let event = Event {
            code: (n % 16) as u8,
            end: true,
            volume: 10,
            duration: 400,
        };
        let sent = Sent {
            ms: 1,
            seq: n as u16,
            event: Some((n * 800, true, event)),
        };
        feed(&mut receiver, &sent);
    }
    let fetched = std::iter::from_fn(|| receiver.poll(MediaTime::from_millis(1))).count();
    assert_eq!(fetched, MAX_READY);
    assert_eq!(receiver.dropped(), 1000 - MAX_READY as u64);
}

#[test]
fn another_source_is_another_stream() {
    let mut receiver = EventReceiver::new();
    for ssrc in [7, 8, 7] {
        let packet = Packet {
            payload_type: PayloadType(101),
            marker: true,
            seq: SeqNo(1),
            timestamp: Timestamp(8000),
            ssrc: Ssrc(ssrc),
            payload: &[1, 0x8a, 1, 0x90],
        };
        receiver.on_event(&packet, MediaTime::ZERO);
    }
    let count = std::iter::from_fn(|| receiver.poll(MediaTime::ZERO)).count();
    assert_eq!(count, 2, "the first one is remembered across the change");
}

/// 100,000 digits, one packet in ten lost, some doubled, any of them up to three places late, through
/// the session's own check on duplicates; and 30,000 with so many lost that single late packets are
/// all that is left of many.
#[test]
fn a_hundred_thousand_digits_over_a_bad_network() {
    use crate::rtp::session::{Accept, Receiver};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    for seed in 0..13 {
        let (loss, late, longest) = if seed < 10 {
            (0.1, 0.2, 12)
        } else {
            (0.6, 0.7, 4)
        };
        let mut rng = StdRng::seed_from_u64(seed);
        let mut presses = Presses::new();
        let mut last = ' ';
        for _ in 0..10_000 {
            // Every other digit is the same again.
            let c = if last != ' ' && rng.random_bool(0.5) {
                last
            } else {
                Digit::from_event(rng.random_range(0..16))
                    .unwrap()
                    .as_char()
            };
            last = c;
            presses = presses
                .press(c, 20 * rng.random_range(2..longest))
                .pause(40)
                .audio(rng.random_range(0..longest / 3));
        }
        let whole = presses.out;
        // Late by up to three places: it arrives right behind the packet that is there by then.
        let mut arrivals: Vec<(usize, usize)> = Vec::new();
        for n in 0..whole.len() {
            if rng.random_bool(loss) {
                continue;
            }
            for _ in 0..=u32::from(rng.random_bool(0.05)) {
                let places = if rng.random_bool(late) {
                    rng.random_range(1..=3)
                } else {
                    0
                };
                arrivals.push((n + places, n));
            }
        }
        arrivals.sort_by_key(|&(place, n)| (place, std::cmp::Reverse(n)));
        let mut expected: Vec<(u32, char)> = Vec::new();
        let mut packets: Vec<Sent> = Vec::new();
        let mut session = Receiver::new(8000);
        for &(place, n) in &arrivals {
            let ms = whole[place.min(whole.len() - 1)]
                .ms
                .max(packets.last().map_or(0, |p| p.ms));
            let sent = Sent { ms, ..whole[n] };
            let packet = Packet {
                payload_type: PayloadType(101),
                marker: false,
                seq: SeqNo(sent.seq),
                timestamp: Timestamp(sent.event.map_or(0, |e| e.0)),
                ssrc: Ssrc(7),
                payload: &[],
            };
            let accept = session.on_packet(&packet, MediaTime::from_millis(ms));
            if matches!(accept, Accept::Duplicate | Accept::Probation) {
                continue;
            }
            packets.push(sent);
            if let Some((timestamp, _, event)) = sent.event {
                let c = Digit::from_event(event.code).unwrap().as_char();
                expected.push((timestamp, c));
            }
        }
        // In the order in which they were pressed; timestamps do not wrap in this run.
        expected.sort_unstable();
        expected.dedup();
        assert!(
            expected.len() > if loss < 0.5 { 9_990 } else { 8_000 },
            "{} digits have a packet",
            expected.len()
        );
        let expected: String = expected.into_iter().map(|(_, c)| c).collect();
        assert_eq!(digits(&packets), expected, "seed {seed}");
    }
}
