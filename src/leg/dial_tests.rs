use super::*;
use crate::audio::MediaTime;
use crate::dtmf::Detector;
use crate::dtmf::event::Event;
use crate::dtmf::receiver::EventReceiver;
use crate::rtp::{Packet, PayloadType, SeqNo, Ssrc, Timestamp};

const EVENTS: EventFormat = EventFormat {
    rx: 101,
    tx: 101,
    clock_rate: 8000,
};

fn string(digits: &str) -> DigitString {
    DigitString::new(digits.chars().filter_map(Digit::from_char))
}

/// What one tick sent: the reports, and whether audio went out with them.
type Tick = (Vec<Report>, bool);

/// Ticks a dial from `position` on until it is over; each tick, and the tones.
fn run(
    dial: &mut Dial,
    position: u64,
    events: Option<EventFormat>,
) -> (Vec<Tick>, Vec<i16>, DialEnd) {
    let mut ticks = Vec::new();
    let mut heard = Vec::new();
    for n in 0..10_000 {
        let mut out = [0; TICK_SAMPLES];
        let at = position + n * TICK_SAMPLES as u64;
        match dial.tick(at, true, events, &mut out) {
            Dialled::Audio => ticks.push((Vec::new(), true)),
            Dialled::Reports { reports, audio } => {
                ticks.push((reports.into_iter().flatten().collect(), audio));
            }
            Dialled::Tone => ticks.push((Vec::new(), false)),
            Dialled::Over(end) => return (ticks, heard, end),
        }
        heard.extend_from_slice(&out);
    }
    panic!("it does not end");
}

#[test]
fn an_event_has_its_length_three_ends_and_the_line_of_the_audio() {
    let mut dial = Dial::new(1, string("5#"), DialMethod::Auto, 100, 90);
    let (ticks, _, end) = run(&mut dial, 1600, Some(EVENTS));
    assert_eq!(end, DialEnd::Finished);
    let report = |line, marker, code, end, duration| Report {
        line,
        marker,
        event: Event {
            code,
            end,
            volume: EVENT_VOLUME,
            duration,
        },
    };
    let digit = |line, code| {
        vec![
            (vec![report(line, true, code, false, 160)], false),
            (vec![report(line, false, code, false, 320)], false),
            (vec![report(line, false, code, false, 480)], false),
            (vec![report(line, false, code, false, 640)], false),
            (vec![report(line, false, code, true, 800)], false),
            (vec![report(line, false, code, true, 800)], true),
            (vec![report(line, false, code, true, 800)], true),
        ]
    };
    let pause = || vec![(Vec::new(), true); 3];
    // 90 ms of pause end between two ticks: the next digit begins with the following one.
    let expected = [digit(1600, 5), pause(), digit(1600 + 1600, 11), pause()].concat();
    assert_eq!(ticks, expected);
}

#[test]
fn a_length_between_two_ticks_is_exact() {
    let mut dial = Dial::new(1, string("1"), DialMethod::Events, 45, 40);
    let (ticks, ..) = run(&mut dial, 0, Some(EVENTS));
    let durations: Vec<_> = ticks
        .iter()
        .flat_map(|(reports, _)| reports)
        .map(|r| (r.event.duration, r.event.end))
        .collect();
    assert_eq!(
        durations,
        [
            (160, false),
            (320, false),
            (360, true),
            (360, true),
            (360, true)
        ]
    );
}

/// What goes out is what our own receiver reads, at each clock and with each length.
#[test]
fn what_is_sent_is_received() {
    for clock_rate in [8000, 16_000, 48_000] {
        for tone_ms in [40, 50, 100, 1000, 10_000] {
            let digits = "0123456789*#ABCD55";
            let mut dial = Dial::new(1, string(digits), DialMethod::Auto, tone_ms, 40);
            let format = EventFormat {
                clock_rate,
                ..EVENTS
            };
            let (ticks, ..) = run(&mut dial, 0, Some(format));
            let mut receiver = EventReceiver::new();
            let mut read = String::new();
            let mut seq = SeqNo(0);
            let mut longest = 0;
            for (n, (reports, _)) in ticks.iter().enumerate() {
                let now = MediaTime::from_millis(n as u64 * 20);
                for report in reports {
                    let payload = report.event.to_bytes();
                    let packet = Packet {
                        payload_type: PayloadType(101),
                        marker: report.marker,
                        seq,
                        timestamp: Timestamp(report.line as u32),
                        ssrc: Ssrc(1),
                        payload: &payload,
                    };
                    receiver.on_event(&packet, now);
                    seq = seq.next();
                    let first = report.line - report.line % (u64::from(clock_rate) / 50);
                    longest = longest.max(report.line - first + u64::from(report.event.duration));
                }
                read.extend(std::iter::from_fn(|| receiver.poll(now)).map(Digit::as_char));
            }
            assert_eq!(read, digits, "{clock_rate} Hz, {tone_ms} ms");
            if tone_ms * clock_rate / 1000 <= u32::from(MAX_DURATION) {
                assert_eq!(longest, u64::from(tone_ms * clock_rate / 1000));
            }
        }
    }
}

#[test]
fn a_long_event_goes_on_in_segments() {
    let mut dial = Dial::new(1, string("7"), DialMethod::Auto, 10_000, 40);
    let (ticks, ..) = run(&mut dial, 320, Some(EVENTS));
    let reports: Vec<Report> = ticks.into_iter().flat_map(|(reports, _)| reports).collect();
    let full = reports
        .iter()
        .position(|r| r.event.duration == MAX_DURATION)
        .unwrap();
    assert!(!reports[full].event.end);
    let next = reports[full + 1];
    assert_eq!((next.line, next.marker), (320 + 65_535, false));
    let last = reports.last().unwrap();
    assert_eq!(u64::from(last.event.duration) + last.line, 320 + 80_000);
    assert_eq!(reports.iter().filter(|r| r.event.end).count(), 3);
}

#[test]
fn without_events_tones_go_out_that_our_detector_reads() {
    for (tone_ms, pause_ms) in [(40, 40), (70, 70), (100, 100), (500, 60)] {
        let digits = "0123456789*#ABCD55";
        let mut dial = Dial::new(1, string(digits), DialMethod::Auto, tone_ms, pause_ms);
        let (ticks, heard, end) = run(&mut dial, 0, None);
        assert_eq!(end, DialEnd::Finished);
        assert!(ticks.iter().all(|(reports, _)| reports.is_empty()));
        let mut detector = Detector::new();
        let read: String = heard
            .chunks_exact(TICK_SAMPLES)
            .filter_map(|frame| detector.process(frame).digit)
            .map(Digit::as_char)
            .collect();
        assert_eq!(read, digits, "{tone_ms}/{pause_ms} ms");
        // Each has its length between the middles of its edges, to a tick.
        let loud = heard.iter().filter(|s| s.abs() > 1000).count();
        let per_digit = loud * 1000 / 8000 / digits.len();
        assert!(
            per_digit <= tone_ms as usize + 5,
            "{per_digit} ms for {tone_ms}"
        );
    }
}

#[test]
fn events_that_are_not_agreed_on_are_not_sent_as_tones_unless_that_is_wanted() {
    let mut dial = Dial::new(1, string("5"), DialMethod::Events, 100, 100);
    let (ticks, _, end) = run(&mut dial, 0, None);
    assert_eq!((ticks.len(), end), (0, DialEnd::NotNegotiated));
    let mut dial = Dial::new(1, string("5"), DialMethod::Tones, 100, 100);
    let (ticks, heard, _) = run(&mut dial, 0, Some(EVENTS));
    assert!(ticks.iter().all(|(reports, _)| reports.is_empty()));
    assert!(heard.iter().any(|s| s.abs() > 5000));
}

#[test]
fn a_digit_waits_for_the_packet_that_is_half_full() {
    let mut dial = Dial::new(1, string("5"), DialMethod::Auto, 40, 40);
    let mut out = [0; TICK_SAMPLES];
    assert_eq!(dial.tick(0, false, Some(EVENTS), &mut out), Dialled::Audio);
    assert!(matches!(
        dial.tick(160, true, Some(EVENTS), &mut out),
        Dialled::Reports { .. }
    ));
}

#[test]
fn a_string_holds_what_it_may_and_does_not_show_it() {
    let long = DigitString::new(std::iter::repeat_n(Digit::POUND, 100));
    assert_eq!(long.len(), MAX_DIGITS);
    assert!(!format!("{:?}", string("1234")).contains('1'));
}

#[test]
fn a_dial_ends_where_the_events_are_taken_away() {
    for after in [
        None,
        Some(EventFormat {
            clock_rate: 16_000,
            ..EVENTS
        }),
    ] {
        let mut dial = Dial::new(1, string("5"), DialMethod::Auto, 1000, 40);
        let mut out = [0; TICK_SAMPLES];
        dial.tick(0, true, Some(EVENTS), &mut out);
        let over = dial.tick(160, true, after, &mut out);
        assert_eq!(over, Dialled::Over(DialEnd::Stopped));
    }
}
