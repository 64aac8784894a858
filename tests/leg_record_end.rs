//! A recording ends with the last packet that came, also where that still waited to be played.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::net::SocketAddr;

use antiphon::audio::process::ProcessSettings;
use antiphon::audio::{MediaTime, NARROWBAND};
use antiphon::bridge::{Bridge, Port};
use antiphon::codec::Codec;
use antiphon::leg::tap::{Tap, TapSettings};
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use antiphon::rtp::packet::{Header, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{BridgeId, Command, Event, Worker, event_capacity};
use crossbeam_channel::bounded;

const LEG: LegId = LegId {
    index: 0,
    generation: 0,
};
const ROOM: BridgeId = BridgeId {
    index: 0,
    generation: 0,
};

/// Packets with the time at which they came, ms.
#[derive(Default)]
struct Io {
    packets: VecDeque<([u8; 172], u64)>,
    /// Each comes before a tick of its own.
    one_a_tick: bool,
}

impl MediaIo for Io {
    fn receive(&mut self, _: u32, channel: Channel, sink: &mut Sink<'_>) {
        while channel == Channel::Rtp
            && let Some((packet, ms)) = self.packets.pop_front()
        {
            sink(&packet, peer(), MediaTime::from_millis(ms));
            if self.one_a_tick {
                break;
            }
        }
    }
    fn send(&mut self, _: u32, _: Channel, _: SocketAddr, _: &[u8]) {}
    fn connect(&mut self, _: u32, _: Option<SocketAddr>) {}
    fn closed(&mut self, _: u32) {}
    fn flush(&mut self) {}
}

fn peer() -> SocketAddr {
    ([10, 1, 0, 1], 4000).into()
}

/// Packets, each of one loudness of its own, all there before the first tick; `apart` ms from one to
/// the next.
fn packets(words: &[u8], apart: u64) -> Io {
    let packet = |(n, word): (usize, &u8)| {
        let mut bytes = [*word; 172];
        let header = Header {
            payload_type: PayloadType(0),
            marker: false,
            seq: SeqNo(n as u16),
            timestamp: Timestamp(n as u32 * 160),
            ssrc: Ssrc(7),
        };
        write_header(&mut bytes, &header);
        let behind = words.len() - 1 - n;
        (bytes, 999 - behind as u64 * apart)
    };
    Io {
        packets: words.iter().enumerate().map(packet).collect(),
        one_a_tick: false,
    }
}

/// The same, each before a tick of its own.
fn one_a_tick(words: &[u8]) -> Io {
    let mut io = packets(words, 20);
    let later = 20 * (words.len() as u64 - 1);
    io.packets.iter_mut().for_each(|(_, ms)| *ms += later);
    io.one_a_tick = true;
    io
}

fn leg() -> Box<Leg> {
    let settings = LegSettings {
        ssrc: 1,
        first_sequence: 1,
        first_timestamp: 1,
        jitter_max_ms: 200,
        media_timeout_ms: 0,
        inband_digits: false,
        process: ProcessSettings::default(),
        cname: "test".to_owned(),
    };
    let params = LegParams::g711(Codec::Pcmu, Some(peer()));
    Box::new(Leg::new(LEG, params, settings).unwrap())
}

/// The loudness of the middle of each 20 ms that were recorded, and the end that was told.
fn recorded(words: &[u8], apart: u64, bridged: bool) -> (Vec<i16>, u64) {
    run(packets(words, apart), bridged, false, 0)
}

/// The same of any packets, in stereo of what is on the left; the leg is closed when so many are still to
/// come.
fn run(mut io: Io, bridged: bool, stereo: bool, left: usize) -> (Vec<i16>, u64) {
    let (tx, events) = bounded(event_capacity(1));
    let mut worker = Worker::new(1, 1, tx);
    let time = |ms| TickTime {
        now: MediaTime::from_millis(ms),
        ntp: 0,
    };
    let (frames, heard) = bounded(64);
    let tap = TapSettings {
        recording: 1,
        max_samples: None,
        silence_stop_samples: None,
        start: MediaTime::ZERO,
    };
    let mut apply = |command| worker.apply(command, time(1000), &mut io);
    apply(Command::Open(leg()));
    let tap = Tap::new(tap, frames);
    let tap = if stereo {
        tap.converting(8000, true)
    } else {
        tap
    };
    apply(Command::Record(LEG, tap));
    if bridged {
        apply(Command::CreateBridge(ROOM, Box::new(Bridge::new(1))));
        apply(Command::Join {
            leg: LEG,
            bridge: ROOM,
            port: Box::new(Port::new(0, NARROWBAND)),
            encoder: None,
        });
    }
    let mut end = None;
    let mut closes = false;
    for ms in 1000..1200 {
        if worker.next_due(ms) == Some(ms) {
            worker.run(ms, 0, &mut io);
            if io.packets.len() <= left && !closes {
                closes = true;
                worker.apply(Command::Close(LEG), time(ms), &mut io);
            }
        }
        for event in events.try_iter() {
            if let Event::Closed(mut leg) = event {
                end = leg.stop_record().map(|tap| tap.end_position());
            }
        }
    }
    let middle = if stereo { 160 } else { 80 };
    let frames = heard.try_iter();
    let middles = frames.map(|frame| frame.samples[middle]).collect();
    (middles, end.unwrap())
}

#[test]
fn what_waits_at_the_end_is_recorded_alone_and_in_a_room() {
    let words = [0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0];
    let mut expected = [0i16; 6];
    Codec::Pcmu.decode(&words, &mut expected);
    for bridged in [false, true] {
        let (middles, end) = recorded(&words, 0, bridged);
        assert_eq!(middles, expected, "bridged: {bridged}");
        assert_eq!(end, 6 * 160, "bridged: {bridged}");
    }
}

#[test]
fn the_end_is_bounded() {
    // 500 ms of what waits, and the ticks before.
    let words: Vec<u8> = (0..60).map(|n| 0x90 | n).collect();
    let (middles, _) = recorded(&words, 0, false);
    assert!(middles.len() <= 27, "{} frames", middles.len());
}

#[test]
fn of_what_waits_for_the_leg_the_newest_is_heard() {
    // 49 packets in the second before the first tick; the playout may delay by 200 ms.
    let words: Vec<u8> = (0..49).map(|n| 0x90 | n).collect();
    let mut expected = [0i16; 49];
    Codec::Pcmu.decode(&words, &mut expected);
    let (middles, _) = recorded(&words, 20, false);
    assert_eq!(middles, expected[39..]);
}

/// The last comes with the tick in which the leg is closed.
#[test]
fn the_last_word_is_on_the_left_of_a_stereo_recording() {
    let words = [0x90, 0xa0, 0xb0, 0xc0];
    let mut expected = [0i16; 4];
    Codec::Pcmu.decode(&words, &mut expected);
    for stereo in [false, true] {
        let (middles, end) = run(one_a_tick(&words), false, stereo, 1);
        assert_eq!(middles, expected, "stereo: {stereo}");
        assert_eq!(end, 4 * 160, "stereo: {stereo}");
    }
}
