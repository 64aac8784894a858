//! Encoding for many: hundreds who come in at once do not each take an encoder. In simulated time.

use std::collections::HashSet;
use std::net::SocketAddr;

use antiphon::audio::MediaTime;
use antiphon::bridge::{Bridge, Port};
use antiphon::codec::{Codec, OpusSettings};
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use antiphon::rtp::packet::{HEADER_LEN, Header, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{BridgeId, Command, SharedEncoder, Worker, event_capacity};
use crossbeam_channel::bounded;

const LEGS: u32 = 200;
const TALKER: u32 = 0;
const ROOM: BridgeId = BridgeId {
    index: 0,
    generation: 0,
};

/// The talker's tone, and what was sent to the listeners in this tick.
#[derive(Default)]
struct Io {
    tick: u64,
    sent: Vec<Vec<u8>>,
}

impl MediaIo for Io {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        if leg != TALKER || channel != Channel::Rtp {
            return;
        }
        let tone = |n: u64| ((n as f64 * 0.3).sin() * 8000.0) as i16;
        let pcm: Vec<i16> = (self.tick * 160..(self.tick + 1) * 160).map(tone).collect();
        let mut packet = [0; HEADER_LEN + 160];
        let header = Header {
            payload_type: PayloadType(0),
            marker: false,
            seq: SeqNo(self.tick as u16),
            timestamp: Timestamp(self.tick as u32 * 160),
            ssrc: Ssrc(7),
        };
        write_header(&mut packet, &header);
        Codec::Pcmu.encode(&pcm, &mut packet[HEADER_LEN..]);
        let at = MediaTime::from_millis(1000 + self.tick * 20 - 5);
        sink(&packet, peer(leg), at);
    }

    fn send(&mut self, leg: u32, channel: Channel, _to: SocketAddr, packet: &[u8]) {
        if channel == Channel::Rtp && leg != TALKER {
            self.sent.push(packet[HEADER_LEN..].to_vec());
        }
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}
    fn closed(&mut self, _leg: u32) {}
    fn flush(&mut self) {}
}

fn peer(leg: u32) -> SocketAddr {
    ([10, 1, 0, leg as u8], 4000).into()
}

struct Room {
    worker: Worker,
    io: Io,
    _events: crossbeam_channel::Receiver<antiphon::worker::Event>,
}

impl Room {
    fn new() -> Self {
        let (tx, events) = bounded(event_capacity(LEGS as usize) + 4096);
        let mut room = Room {
            worker: Worker::new(LEGS as usize, 1, tx),
            io: Io::default(),
            _events: events,
        };
        let bridge = Box::new(Bridge::new(LEGS as usize));
        room.apply(Command::CreateBridge(ROOM, bridge));
        room
    }

    fn apply(&mut self, command: Command) {
        let time = TickTime {
            now: MediaTime::from_millis(1000 + self.io.tick * 20),
            ntp: 0,
        };
        self.worker.apply(command, time, &mut self.io);
    }

    fn join(&mut self, index: u32, codec: Codec) {
        self.join_sending(index, codec, 20);
    }

    fn join_sending(&mut self, index: u32, codec: Codec, ptime_ms: u8) {
        let id = LegId {
            index,
            generation: 0,
        };
        let settings = LegSettings::fixed(100 + index);
        let mut params = LegParams::g711(codec, Some(peer(index)));
        params.ptime_ms = ptime_ms;
        let leg = Leg::new(id, params, settings).unwrap();
        self.apply(Command::Open(Box::new(leg)));
        self.apply(Command::Join {
            leg: id,
            bridge: ROOM,
            port: Box::new(Port::new(index, codec.sample_rate())),
            encoder: SharedEncoder::new(codec, OpusSettings::default()).unwrap(),
        });
    }

    /// The payloads that listeners get in the next tick: how many, and how many differ.
    fn tick(&mut self) -> (usize, usize) {
        self.io.tick += 1;
        self.io.sent.clear();
        let end = 1000 + self.io.tick * 20 + 20;
        let mut ms = end - 20;
        while let Some(due) = self.worker.next_due(ms).filter(|&due| due < end) {
            self.worker.run(due, due << 32, &mut self.io);
            ms = due + 1;
        }
        let different: HashSet<_> = self.io.sent.iter().collect();
        (self.io.sent.len(), different.len())
    }
}

#[test]
fn who_come_in_by_the_hundred_share_one_encoding_but_for_some() {
    let mut room = Room::new();
    room.join(TALKER, Codec::Pcmu);
    for _ in 0..50 {
        room.tick();
    }
    // Two a tick: each has an encoder that was another at its beginning.
    for leg in (1..LEGS).step_by(2) {
        room.join(leg, Codec::G722);
        if leg + 1 < LEGS {
            room.join(leg + 1, Codec::G722);
        }
        let (sent, different) = room.tick();
        assert!(sent <= leg as usize + 1);
        // What all hear, who fades in, and those who linger.
        assert!(different <= 18, "{leg}: {different} encodings");
    }
    let listeners = LEGS as usize - 1;
    // Those who lingered follow within 2 s, though it is never quiet.
    for _ in 0..100 {
        room.tick();
    }
    assert_eq!(room.tick(), (listeners, 1));
}

#[test]
fn packets_of_other_lengths_take_nobodys_place() {
    let mut room = Room::new();
    room.join(TALKER, Codec::Pcmu);
    // They can never share, and are the first to be asked.
    for leg in 1..=20 {
        room.join_sending(leg, Codec::G722, 40);
    }
    for leg in 21..=30 {
        room.tick();
        room.join(leg, Codec::G722);
    }
    room.tick();
    room.tick();
    let sent = || room.io.sent.iter().filter(|payload| payload.len() == 160);
    let different: HashSet<_> = sent().collect();
    assert_eq!(sent().count(), 10);
    assert!(different.len() >= 8, "{} of 10 linger", different.len());
}
