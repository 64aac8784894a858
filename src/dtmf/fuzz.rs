//! What must hold for any bytes at all. The target in `fuzz/` and `tests/fuzz_bodies.rs` call this.

use std::time::Duration;

use super::Detector;
use super::event::{EVENT_LEN, Event, events};
use super::receiver::{EventReceiver, MAX_READY};
use crate::audio::MediaTime;
use crate::rtp::Packet;

/// Reads `bytes` as a run of RTP packets, each behind its length in one byte: as telephone events
/// (odd payload types) and audio, and all of it as samples for the detector.
///
/// # Panics
/// Where something does not hold: that is a bug.
pub fn digits(bytes: &[u8]) {
    let mut receiver = EventReceiver::new();
    let mut now = MediaTime::ZERO;
    let mut told = 0;
    let mut news = 0;
    let mut rest = bytes;
    while let Some((&len, behind)) = rest.split_first() {
        let (datagram, behind) = behind.split_at(behind.len().min(len.into()));
        rest = behind;
        now = now + Duration::from_millis(u64::from(len) % 60);
        let Ok(packet) = Packet::parse(datagram) else {
            continue;
        };
        if packet.payload_type.0 % 2 == 1 {
            news += events(packet.payload).count();
            receiver.on_event(&packet, now);
        } else {
            receiver.on_audio(&packet, now);
        }
        while receiver.poll(now).is_some() {
            told += 1;
        }
    }
    let later = now + Duration::from_secs(1);
    let waiting = std::iter::from_fn(|| receiver.poll(later)).count();
    assert!(waiting <= MAX_READY && told + waiting <= news);
    for chunk in bytes.as_chunks::<EVENT_LEN>().0 {
        let event = Event::read(*chunk);
        assert_eq!(Event::read(event.to_bytes()), event);
    }
    let samples: Vec<i16> = bytes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| i16::from_le_bytes(*pair))
        .collect();
    let mut detector = Detector::new();
    for frame in samples.chunks(160) {
        detector.process(frame);
    }
}
