//! A recording that is asked for before the leg's first tick begins with that tick.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use antiphon::audio::{MediaTime, TICK_SAMPLES};
use antiphon::codec::Codec;
use antiphon::leg::tap::{Tap, TapSettings};
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use crossbeam_channel::bounded;

struct Nowhere;

impl MediaIo for Nowhere {
    fn receive(&mut self, _: u32, _: Channel, _: &mut Sink<'_>) {}
    fn send(&mut self, _: u32, _: Channel, _: SocketAddr, _: &[u8]) {}
    fn connect(&mut self, _: u32, _: Option<SocketAddr>) {}
    fn closed(&mut self, _: u32) {}
    fn flush(&mut self) {}
}

/// The positions of the first frames, where the recording is asked for after `ticks` ticks.
fn positions(ticks: u64) -> Vec<u64> {
    let params = LegParams::g711(Codec::Pcmu, None);
    let settings = LegSettings {
        ssrc: 1,
        first_sequence: 1,
        first_timestamp: 1,
        jitter_max_ms: 200,
        media_timeout_ms: 0,
        inband_digits: true,
        process: antiphon::audio::process::ProcessSettings::default(),
        cname: "test".to_owned(),
    };
    let mut leg = Leg::new(
        LegId {
            index: 0,
            generation: 0,
        },
        params,
        settings,
    )
    .unwrap();
    let (frames, heard) = bounded(8);
    let settings = TapSettings {
        recording: 1,
        max_samples: None,
        silence_stop_samples: None,
        start: MediaTime::ZERO,
    };
    let mut tap = Some(Tap::new(settings, frames));
    for tick in 0..ticks + 3 {
        if tick == ticks {
            leg.record(tap.take().unwrap());
        }
        let time = TickTime {
            now: MediaTime::from_millis(90_000 + tick * 20),
            ntp: 0,
        };
        let mut rx = [0i16; TICK_SAMPLES];
        leg.tick_rx(&mut rx, time, &mut Nowhere);
        leg.tick_record(&rx, time.now);
    }
    heard.try_iter().map(|frame| frame.position).collect()
}

#[test]
fn the_first_frame_stands_first() {
    // 90 s after the process began: none of that belongs to the recording.
    assert_eq!(positions(0), [0, 160, 320]);
    assert_eq!(positions(5), [0, 160, 320]);
}
