use crossbeam_channel::{Receiver, bounded};

use super::*;

const START: MediaTime = MediaTime::from_millis(5_003);

fn tap(max: Option<u64>, silence: Option<u64>, room: usize) -> (Tap, Receiver<RecordFrame>) {
    let (tx, rx) = bounded(room);
    let settings = TapSettings {
        recording: 7,
        max_samples: max,
        silence_stop_samples: silence,
        start: START,
    };
    (Tap::new(settings, tx), rx)
}

fn at_us(us: i64) -> MediaTime {
    MediaTime::from_micros((START.as_micros() as i64 + us) as u64)
}

fn positions(rx: &Receiver<RecordFrame>) -> Vec<u64> {
    rx.try_iter().map(|frame| frame.position).collect()
}

#[test]
fn a_skipped_tick_leaves_its_place_empty() {
    let (mut tap, rx) = tap(None, None, 16);
    for tick in [0, 1, 4, 5] {
        assert_eq!(
            tap.push(&[1; 160], at_us(tick * 20_000)),
            TapStatus::Recording
        );
    }
    assert_eq!(positions(&rx), [0, 160, 640, 800]);
    assert_eq!(tap.end_position(), 960);
}

#[test]
fn a_moving_phase_neither_cuts_nor_stretches() {
    let (mut tap, rx) = tap(None, None, 64);
    for tick in 0..50 {
        let phase = [0, 900, 1800, 900, -900][tick as usize % 5];
        tap.push(&[1; 160], at_us((tick * 20_000 + phase).max(0)));
    }
    assert_eq!(positions(&rx), (0..50).map(|n| n * 160).collect::<Vec<_>>());
}

#[test]
fn a_skip_shows_even_when_the_phase_has_moved_to_earlier() {
    let (mut tap, rx) = tap(None, None, 64);
    tap.push(&[1; 160], at_us(0));
    tap.push(&[1; 160], at_us(20_000 - 1000));
    // The tick at 40 ms is skipped, and the phase is 2 ms early by now.
    tap.push(&[1; 160], at_us(60_000 - 2000));
    assert_eq!(positions(&rx), [0, 160, 480]);
}

#[test]
fn a_full_queue_is_counted_and_the_time_line_stays() {
    let (mut tap, rx) = tap(None, None, 2);
    for tick in 0..4 {
        tap.push(&[1; 160], at_us(tick * 20_000));
    }
    assert_eq!(
        (positions(&rx), tap.overflowed_samples()),
        (vec![0, 160], 320)
    );
    tap.push(&[1; 160], at_us(80_000));
    assert_eq!(positions(&rx), [640]);
}

#[test]
fn stops_at_the_very_sample_of_the_maximum() {
    let (mut tap, rx) = tap(Some(200), None, 16);
    assert_eq!(tap.push(&[1; 160], at_us(0)), TapStatus::Recording);
    let stopped = TapStatus::Stopped(TapStop::MaxLength);
    assert_eq!(tap.push(&[1; 160], at_us(20_000)), stopped);
    assert_eq!(tap.push(&[1; 160], at_us(40_000)), stopped);
    assert_eq!(rx.try_iter().map(|f| f.len).collect::<Vec<_>>(), [160, 40]);
    assert_eq!(tap.end_position(), 200);
}

#[test]
fn a_pause_is_left_out_and_a_mute_is_silence() {
    let (mut tap, rx) = tap(None, None, 64);
    let mut us = 0;
    let mut run = |tap: &mut Tap, ticks: usize| {
        for _ in 0..ticks {
            tap.push(&[1; 160], at_us(us));
            us += 20_000;
        }
    };
    run(&mut tap, 2);
    tap.control(RecordControl::Pause);
    run(&mut tap, 3);
    tap.control(RecordControl::Resume);
    run(&mut tap, 1);
    tap.control(RecordControl::Mute);
    run(&mut tap, 2);
    tap.control(RecordControl::Resume);
    run(&mut tap, 1);
    let frames: Vec<_> = rx.try_iter().map(|f| (f.position, f.samples[0])).collect();
    assert_eq!(
        frames,
        [(0, 1), (160, 1), (320, 1), (480, 0), (640, 0), (800, 1)]
    );
}

#[test]
fn both_sides_are_recorded_and_who_hears_nothing_hears_silence() {
    let (tap, rx) = tap(Some(440), None, 64);
    let mut tap = tap.converting(8000, true);
    tap.say(&[1; 160], 8000, at_us(0));
    tap.hear(Some(&[2; 160]), 8000);
    tap.say(&[3; 160], 8000, at_us(20_000));
    // The tick at 40 ms is skipped, and nothing was sent in the one before.
    tap.say(&[4; 160], 8000, at_us(60_000));
    let stopped = TapStatus::Stopped(TapStop::MaxLength);
    assert_eq!(tap.hear(Some(&[5; 160]), 8000), stopped);
    let frames: Vec<_> = rx.try_iter().collect();
    let told: Vec<_> = frames
        .iter()
        .map(|f| (f.position, f.len, f.samples[0], f.samples[1]))
        .collect();
    assert_eq!(told, [(0, 320, 1, 2), (160, 320, 3, 0)]);
    assert_eq!(tap.end_position(), 440);
}

#[test]
fn a_frame_of_another_rate_goes_in_pieces() {
    let (tap, rx) = tap(None, None, 64);
    let mut tap = tap.at_rate(48_000);
    tap.push(&[1; 960], at_us(0));
    tap.push(&[1; 960], at_us(60_000));
    assert_eq!(positions(&rx), [0, 320, 640, 2880, 3200, 3520]);
}

#[test]
fn stops_on_unbroken_silence_only() {
    let (mut tap, _rx) = tap(None, Some(800), 64);
    let loud = [3000; 160];
    let pattern = [
        true, false, false, false, false, true, false, false, false, false,
    ];
    for (tick, is_loud) in pattern.iter().enumerate() {
        let frame = if *is_loud { &loud } else { &[10; 160] };
        assert_eq!(
            tap.push(frame, at_us(tick as i64 * 20_000)),
            TapStatus::Recording
        );
    }
    assert_eq!(
        tap.push(&[0; 160], at_us(200_000)),
        TapStatus::Stopped(TapStop::Silence)
    );
}

/// Says so many ticks of silence or of speech; the status behind the last.
fn say(tap: &mut Tap, tick: &mut i64, ticks: usize, level: i16) -> TapStatus {
    let mut status = TapStatus::Recording;
    for _ in 0..ticks {
        status = tap.push(&[level; 160], at_us(*tick * 20_000));
        *tick += 1;
    }
    status
}

#[test]
fn who_says_nothing_has_said_nothing_and_who_begins_late_is_heard_out() {
    let (plain, _rx) = tap(Some(40_000), Some(12_000), 4096);
    let mut name = plain.for_speech(Spoken::Trimmed(1600));
    let mut tick = 0;
    // Two seconds before it begins are more silence than ends it behind that.
    assert_eq!(say(&mut name, &mut tick, 100, 0), TapStatus::Recording);
    assert_eq!(name.end_position(), 0);
    assert_eq!(say(&mut name, &mut tick, 50, 3000), TapStatus::Recording);
    assert_eq!(name.end_position(), 24_000);
    assert_eq!(say(&mut name, &mut tick, 74, 10), TapStatus::Recording);
    let silence = TapStatus::Stopped(TapStop::Silence);
    assert_eq!(say(&mut name, &mut tick, 1, 10), silence);
    assert_eq!(name.end_position(), 24_000 + 1600);
    // And who says nothing at all has the whole time for it.
    let (plain, _rx) = tap(Some(40_000), Some(12_000), 4096);
    let mut name = plain.for_speech(Spoken::Trimmed(1600));
    let mut tick = 0;
    assert_eq!(say(&mut name, &mut tick, 249, 10), TapStatus::Recording);
    let full = TapStatus::Stopped(TapStop::MaxLength);
    assert_eq!(say(&mut name, &mut tick, 1, 10), full);
    assert_eq!(name.end_position(), 0);
}

#[test]
fn what_is_said_to_the_very_end_is_not_cut() {
    let (plain, _rx) = tap(Some(1600), None, 64);
    let mut name = plain.for_speech(Spoken::Trimmed(1600));
    let full = TapStatus::Stopped(TapStop::MaxLength);
    assert_eq!(say(&mut name, &mut 0, 10, 3000), full);
    assert_eq!(name.end_position(), 1600);
}

#[test]
fn a_message_is_whole_or_empty() {
    for (level, end) in [(3000, 9600), (10, 0)] {
        let (plain, _rx) = tap(None, Some(8000), 4096);
        let mut message = plain.for_speech(Spoken::Whole);
        let mut tick = 0;
        say(&mut message, &mut tick, 10, level);
        assert_eq!(say(&mut message, &mut tick, 39, 0), TapStatus::Recording);
        let silence = TapStatus::Stopped(TapStop::Silence);
        // Silence ends it, speech or not, and is part of it.
        let last = if end == 0 { 1 } else { 11 };
        assert_eq!(say(&mut message, &mut tick, last, 0), silence);
        assert_eq!(message.end_position(), end);
    }
}
