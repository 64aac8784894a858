//! A media worker with a room of two, in simulated time: a talker behind a network, and a listener
//! that is sent linear samples at the talker's rate, so that nothing is coded twice.

use std::collections::VecDeque;
use std::net::SocketAddr;

use antiphon::audio::MediaTime;
use antiphon::bridge::{Bridge, Port};
use antiphon::codec::{Codec, CodecError, MAX_FRAME_SAMPLES};
use antiphon::leg::playout::PlayoutStats;
use antiphon::leg::{
    Channel, Leg, LegEvent, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime,
};
use antiphon::rtp::packet::Packet;
use antiphon::worker::{BridgeId, Command, Event, Worker, event_capacity};
use crossbeam_channel::{Receiver, bounded};

const TALKER: u32 = 0;
const LISTENER: u32 = 1;
const ROOM: BridgeId = BridgeId {
    index: 0,
    generation: 0,
};
/// When the simulation begins, ms.
const BEGIN_MS: u64 = 1000;
/// What a socket is read for at once.
const MOST_READ: usize = 32;

/// The room.
pub struct Room {
    worker: Worker,
    events: Receiver<Event>,
    io: Io,
    /// The first millisecond that has not run.
    ms: u64,
}

/// The network's end: packets by their time of arrival, and what the listener is sent.
struct Io {
    now: MediaTime,
    arrivals: VecDeque<(u64, Vec<u8>)>,
    heard_as: Codec,
    heard: Vec<i16>,
    /// The milliseconds of the talker's ticks.
    ticks_ms: Vec<u64>,
}

/// The payload type of a codec here.
pub fn payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(97)
}

impl Room {
    /// Both are in it from its first tick on.
    pub fn new(codec: Codec) -> Result<Room, CodecError> {
        let rate = codec.sample_rate();
        let (tx, events) = bounded(event_capacity(2) + 32);
        let mut worker = Worker::new(2, 1, tx);
        let mut io = Io {
            now: MediaTime::from_millis(BEGIN_MS),
            arrivals: VecDeque::new(),
            heard_as: linear(rate),
            heard: Vec::new(),
            ticks_ms: Vec::new(),
        };
        let time = time(BEGIN_MS);
        let bridge = Box::new(Bridge::new(2));
        worker.apply(Command::CreateBridge(ROOM, bridge), time, &mut io);
        for (index, codec) in [(TALKER, codec), (LISTENER, linear(rate))] {
            let leg = Leg::new(id(index), params(index, codec), settings(index))?;
            worker.apply(Command::Open(Box::new(leg)), time, &mut io);
            let join = Command::Join {
                leg: id(index),
                bridge: ROOM,
                port: Box::new(Port::new(index, rate)),
                encoder: None,
            };
            worker.apply(join, time, &mut io);
        }
        Ok(Room {
            worker,
            events,
            io,
            ms: BEGIN_MS,
        })
    }

    /// The millisecond of the bridge's next tick.
    pub fn next_ms(&self) -> u64 {
        self.worker.next_due(self.ms).unwrap_or(self.ms)
    }

    /// What comes from the talker, by the time of arrival, us.
    pub fn send(&mut self, arrivals: VecDeque<(u64, Vec<u8>)>) {
        self.io.arrivals = arrivals;
    }

    /// Runs until there have been so many ticks. The talker's jitter buffer's work until then.
    pub fn run(&mut self, ticks: usize) -> PlayoutStats {
        while self.io.ticks_ms.len() + 1 < ticks {
            self.step();
        }
        // The first telling is with the next tick.
        let room = Some(Box::default());
        let watch = Command::WatchStats(id(TALKER), room);
        self.worker.apply(watch, time(self.ms), &mut self.io);
        loop {
            self.step();
            for event in self.events.try_iter() {
                if let Event::Leg(_, LegEvent::Stats(stats)) = event {
                    return stats.playout;
                }
            }
        }
    }

    fn step(&mut self) {
        let due = self.next_ms();
        self.io.now = MediaTime::from_millis(due);
        self.worker.run(due, due << 32, &mut self.io);
        self.ms = due + 1;
    }

    /// The millisecond of each tick so far.
    pub fn ticks_ms(&self) -> impl Iterator<Item = u64> {
        self.io.ticks_ms.iter().copied()
    }

    /// What the listener has been sent, from the first tick on.
    pub fn heard(self) -> Vec<i16> {
        self.io.heard
    }
}

impl MediaIo for Io {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        if (leg, channel) != (TALKER, Channel::Rtp) {
            return;
        }
        // A socket may be read twice in a tick.
        let ms = self.now.as_millis();
        if self.ticks_ms.last() != Some(&ms) {
            self.ticks_ms.push(ms);
        }
        let now = self.now.as_micros();
        for _ in 0..MOST_READ {
            if self.arrivals.front().is_none_or(|(at, _)| *at > now) {
                break;
            }
            if let Some((at, packet)) = self.arrivals.pop_front() {
                sink(&packet, peer(leg), MediaTime::from_micros(at));
            }
        }
    }

    fn send(&mut self, leg: u32, channel: Channel, _to: SocketAddr, packet: &[u8]) {
        if (leg, channel) != (LISTENER, Channel::Rtp) {
            return;
        }
        let Ok(packet) = Packet::parse(packet) else {
            return;
        };
        let mut pcm = [0; MAX_FRAME_SAMPLES];
        let len = self.heard_as.decode(packet.payload, &mut pcm);
        // Its line began with the first tick.
        let at = packet.timestamp.0 as usize;
        self.heard.resize(self.heard.len().max(at + len), 0);
        self.heard[at..at + len].copy_from_slice(&pcm[..len]);
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}
    fn closed(&mut self, _leg: u32) {}
    fn flush(&mut self) {}
}

/// Linear samples at this rate.
fn linear(rate: u32) -> Codec {
    match rate {
        8000 => Codec::L16Narrow,
        16_000 => Codec::L16Wide,
        _ => Codec::L16Full,
    }
}

fn id(index: u32) -> LegId {
    LegId {
        index,
        generation: 0,
    }
}

fn peer(leg: u32) -> SocketAddr {
    ([10, 1, 0, leg as u8], 4000).into()
}

fn time(ms: u64) -> TickTime {
    TickTime {
        now: MediaTime::from_millis(ms),
        ntp: 0,
    }
}

fn params(index: u32, codec: Codec) -> LegParams {
    let mut params = LegParams::g711(codec, Some(peer(index)));
    params.tx_payload_type = payload_type(codec);
    params.rx_types[0] = Some((payload_type(codec), codec));
    params
}

fn settings(index: u32) -> LegSettings {
    LegSettings::fixed(100 + index)
}
