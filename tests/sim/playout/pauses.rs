//! A sender that sends nothing while it is silent.

use std::ops::Range;

use antiphon::leg::playout::Decoders;

use super::codecs::Stream;
use super::*;

const TICKS: usize = 100;
/// A tone of 1 s, silence of 500 ms, and the tone again.
const SILENT: Range<usize> = 50..75;
/// The part of the silence that is not sent.
const PAUSE: Range<u64> = 55..75;

fn heard(pause: Range<u64>) -> Vec<i16> {
    let mut stream = Stream::new(Codec::Opus, false);
    let mut playout = Playout::new(PlayoutSettings {
        rate: 48_000,
        ..PlayoutSettings::default()
    });
    playout.set_decoders(Decoders::new(&[Codec::Opus], 48_000).unwrap());
    let mut heard = Vec::new();
    let mut sequence = 0;
    for n in 0..TICKS as u64 {
        let silent = SILENT.contains(&(n as usize));
        let tone = |t: f64| (t * 440.0 * std::f64::consts::TAU).sin() * 8000.0;
        let payload = stream.next(|t| if silent { 0.0 } else { tone(t) });
        let now = FIRST_TICK_US + (n + 1) * TICK_US;
        if !pause.contains(&n) {
            let sent = Sent {
                seq: sequence,
                timestamp: n as u32 * 960,
                ssrc: 1,
                marker: n == pause.end,
                payload,
                arrival_us: now - 5000,
            };
            let arrival = MediaTime::from_micros(sent.arrival_us);
            playout.insert(&sent.packet(), Codec::Opus, arrival);
            sequence += 1;
        }
        let mut frame = [0; 960];
        playout.pull(&mut frame, MediaTime::from_micros(now));
        heard.extend(frame);
    }
    heard
}

/// A hum for 1 s, and then nothing.
fn left() -> Vec<i16> {
    let mut stream = Stream::new(Codec::Opus, false);
    let mut playout = Playout::new(PlayoutSettings {
        rate: 48_000,
        ..PlayoutSettings::default()
    });
    playout.set_decoders(Decoders::new(&[Codec::Opus], 48_000).unwrap());
    let mut heard = Vec::new();
    for n in 0..300 {
        let now = FIRST_TICK_US + (n + 1) * TICK_US;
        if n < 50 {
            let sent = Sent {
                seq: n as u16,
                timestamp: n as u32 * 960,
                ssrc: 1,
                marker: n == 0,
                payload: stream.next(|t| (t * 120.0 * std::f64::consts::TAU).sin() * 300.0),
                arrival_us: now - 5000,
            };
            let arrival = MediaTime::from_micros(sent.arrival_us);
            playout.insert(&sent.packet(), Codec::Opus, arrival);
        }
        let mut frame = [0; 960];
        playout.pull(&mut frame, MediaTime::from_micros(now));
        heard.extend(frame);
    }
    heard
}

#[test]
fn what_the_codec_makes_up_ends_and_does_not_begin_again() {
    let heard = left();
    // 1 s, 800 ms of the codec's, and the fade behind it.
    let silence = &heard[95 * 960..];
    assert!(silence.iter().all(|s| *s == 0), "it goes on");
}

fn power(samples: &[i16]) -> f64 {
    let squares = samples.iter().map(|s| f64::from(*s).powi(2));
    squares.sum::<f64>() / samples.len() as f64
}

#[test]
fn a_pause_in_silence_is_silence_and_the_tone_behind_it_is_whole() {
    let tick = |heard: &[i16], n: usize| heard[n * 960..(n + 1) * 960].to_vec();
    let (all, paused) = (heard(0..0), heard(PAUSE));
    for n in PAUSE {
        assert!(tick(&paused, n as usize).iter().all(|s| *s == 0), "{n}");
    }
    // The first ticks of the tone: an onset that is faded in, or concealed, has less.
    for n in SILENT.end..SILENT.end + 3 {
        let ratio = power(&tick(&paused, n)) / power(&tick(&all, n));
        assert!((0.9..1.1).contains(&ratio), "{n}: {ratio}");
    }
}
