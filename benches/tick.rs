//! The server's own part of a conference's tick: `cargo bench --bench tick`. A media thread's
//! worker with one room, fed from memory instead of sockets: ns per leg and tick.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use antiphon::audio::tap::RecordFrame;
use antiphon::audio::{MediaTime, NARROWBAND};
use antiphon::bridge::{Bridge, Classes, Port, Relation, RoomRecording, RoomRecordingSettings};
use antiphon::codec::Codec;
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use antiphon::net::sys;
use antiphon::rtp::packet::{HEADER_LEN, Header, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{BridgeId, Command, Event, Talkers, Worker, event_capacity};
use clap::Parser;
use crossbeam_channel::bounded;

/// ns per leg and tick of the worker, without system calls.
#[derive(Parser)]
struct Args {
    /// Numbers of legs.
    #[arg(long, value_delimiter = ',', default_value = "20,100,400,1000,2000")]
    legs: Vec<u32>,
    /// Parties that talk; the others send silence.
    #[arg(long, default_value_t = 2)]
    talkers: u32,
    /// Rounds of 50 ticks, after 500 that are not counted.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
    /// Wait for the 20 ms of each tick to pass, as a server does, so that others use the caches.
    #[arg(long)]
    paced: bool,
    /// Compares a plain room with one that has three groups of who hears whom, a recording of its mix
    /// and events of who talks: CPU time of the thread, in turns.
    #[arg(long)]
    rooms: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

const ROOM: BridgeId = BridgeId {
    index: 0,
    generation: 0,
};
const PACKET: usize = HEADER_LEN + 160;
const TICK: Duration = Duration::from_millis(20);
const TICKS: u64 = 50;
const SETTLE: u64 = 500;
/// Ticks of a round of a comparison: the system counts a thread's time in steps of milliseconds.
const COMPARED: u64 = 500;

fn main() {
    let args = Args::parse();
    if args.rooms {
        for &legs in &args.legs {
            compare(legs, args.talkers.min(legs), args.rounds);
        }
        return;
    }
    println!("| legs | talkers | ns per leg and tick: median | least | us per tick |");
    println!("|---|---|---|---|---|");
    for &legs in &args.legs {
        let mut load = Load::new(legs, args.talkers.min(legs));
        load.run(SETTLE);
        let mut rounds: Vec<f64> = (0..args.rounds)
            .map(|_| {
                let mut busy = Duration::ZERO;
                for _ in 0..TICKS {
                    let began = Instant::now();
                    load.run(1);
                    let took = began.elapsed();
                    busy += took;
                    if args.paced {
                        std::thread::sleep(TICK.saturating_sub(took));
                    }
                }
                busy.as_nanos() as f64 / (TICKS * u64::from(legs)) as f64
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        let median = rounds[rounds.len() / 2];
        println!(
            "| {legs} | {} | {median:.0} | {:.0} | {:.0} |",
            args.talkers,
            rounds[0],
            median * f64::from(legs) / 1000.0
        );
    }
}

/// CPU time of this thread so far, ns.
fn cpu_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat");
    let first = schedstat
        .ok()
        .and_then(|s| s.split(' ').next()?.parse().ok());
    first.expect("Linux tells a thread's time")
}

/// A plain room and a busy one, a round each in turn.
fn compare(legs: u32, talkers: u32, rounds: usize) {
    let mut plain = Load::new(legs, talkers);
    let mut busy = Load::new(legs, talkers);
    busy.occupy(legs);
    plain.run(SETTLE);
    busy.run(SETTLE);
    let round = |load: &mut Load| {
        let began = cpu_ns();
        load.run(COMPARED);
        (cpu_ns() - began) as f64 / (COMPARED * u64::from(legs)) as f64
    };
    let mut pairs: Vec<[f64; 3]> = (0..rounds)
        .map(|n| {
            // Neither is always the first.
            let (p, b) = if n % 2 == 0 {
                let p = round(&mut plain);
                (p, round(&mut busy))
            } else {
                let b = round(&mut busy);
                (round(&mut plain), b)
            };
            [p, b, b / p]
        })
        .collect();
    let mut median = |i: usize| {
        pairs.sort_by(|a, b| a[i].total_cmp(&b[i]));
        (pairs[rounds / 2][i], pairs[0][i])
    };
    let (plain_ns, plain_least) = median(0);
    let (busy_ns, busy_least) = median(1);
    let (ratio, _) = median(2);
    println!(
        "{legs} legs: plain {plain_ns:.0} ns per leg and tick (least {plain_least:.0}), busy \
         {busy_ns:.0} (least {busy_least:.0}); ratio {ratio:.3} in the median, {:.3} of the least; \
         {} frames recorded, {} events",
        busy_least / plain_least,
        busy.recorded,
        busy.told
    );
}

/// Each leg's packet, there when it is asked for.
struct Feed {
    talkers: u32,
    tick: u64,
    packet: [u8; PACKET],
}

impl MediaIo for Feed {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        if channel != Channel::Rtp {
            return;
        }
        let header = Header {
            payload_type: PayloadType(0),
            marker: false,
            seq: SeqNo(self.tick as u16),
            timestamp: Timestamp(self.tick as u32 * 160),
            ssrc: Ssrc(7 + leg),
        };
        write_header(&mut self.packet, &header);
        let word = |n: usize| ((self.tick as usize * 7 + n * 5) % 64) as u8 + 0x90;
        for n in HEADER_LEN..PACKET {
            self.packet[n] = if leg < self.talkers { word(n) } else { 0xff };
        }
        let arrival = MediaTime::from_millis(1000 + self.tick * 20 - 5);
        sink(&self.packet, peer(leg), arrival);
    }

    fn send(&mut self, _leg: u32, _channel: Channel, _to: SocketAddr, packet: &[u8]) {
        black_box(packet);
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}
    fn closed(&mut self, _leg: u32) {}
    fn flush(&mut self) {}

    fn prefetch<T>(&self, values: &[T]) {
        sys::prefetch(values);
    }
}

fn peer(leg: u32) -> SocketAddr {
    ([10, 1, (leg >> 8) as u8, leg as u8], 4000).into()
}

struct Load {
    worker: Worker,
    feed: Feed,
    /// The room's slot may move by a few milliseconds.
    ms: u64,
    events: crossbeam_channel::Receiver<Event>,
    frames: Option<crossbeam_channel::Receiver<RecordFrame>>,
    recorded: u64,
    told: u64,
}

impl Load {
    fn new(legs: u32, talkers: u32) -> Self {
        let (tx, events) = bounded(event_capacity(legs as usize) + 16 * legs as usize);
        let mut worker = Worker::new(legs as usize, 1, tx);
        let mut feed = Feed {
            talkers,
            tick: 0,
            packet: [0; PACKET],
        };
        let time = TickTime {
            now: MediaTime::from_millis(1000),
            ntp: 0,
        };
        let bridge = Box::new(Bridge::new(legs as usize));
        worker.apply(Command::CreateBridge(ROOM, bridge), time, &mut feed);
        for index in 0..legs {
            let id = LegId {
                index,
                generation: 0,
            };
            let settings = LegSettings {
                media_timeout_ms: 60_000,
                inband_digits: true,
                ..LegSettings::fixed(100 + index)
            };
            let params = LegParams::g711(Codec::Pcmu, Some(peer(index)));
            let leg = Leg::new(id, params, settings).expect("G.711 needs no library");
            worker.apply(Command::Open(Box::new(leg)), time, &mut feed);
            let join = Command::Join {
                leg: id,
                bridge: ROOM,
                port: Box::new(Port::new(index, NARROWBAND)),
                encoder: None,
            };
            worker.apply(join, time, &mut feed);
        }
        Self {
            worker,
            feed,
            ms: 1000,
            events,
            frames: None,
            recorded: 0,
            told: 0,
        }
    }

    /// Makes three groups: the second talker is heard by the first alone, and the third hears what is
    /// said to it besides. Records the mix, and watches who talks.
    fn occupy(&mut self, legs: u32) {
        let time = TickTime {
            now: MediaTime::from_millis(1000),
            ntp: 0,
        };
        let mut apply = |command| self.worker.apply(command, time, &mut self.feed);
        apply(Command::Classes(ROOM, Classes::new(3)));
        for index in 0..legs {
            let voice = match index {
                1 => 0b001,
                _ => u32::MAX,
            };
            let relation = Relation {
                voice,
                ears: (index % 3) as u8,
            };
            let generation = 0;
            apply(Command::Relate(LegId { index, generation }, relation, None));
        }
        let (frames, taken) = bounded(8192);
        let settings = RoomRecordingSettings {
            recording: 1,
            rate: NARROWBAND,
            rest: None,
            stereo: false,
            max_samples: None,
            silence_stop_samples: None,
        };
        apply(Command::RecordRoom(
            ROOM,
            RoomRecording::new(settings, frames),
        ));
        apply(Command::WatchTalkers(ROOM, Some(Talkers::new())));
        self.frames = Some(taken);
    }

    /// What the control side and the writer do, which is not measured elsewhere either.
    fn take(&mut self) {
        if let Some(frames) = &self.frames {
            self.recorded += frames.try_iter().count() as u64;
        }
        let time = TickTime {
            now: MediaTime::from_millis(self.ms),
            ntp: 0,
        };
        while let Ok(event) = self.events.try_recv() {
            if let Event::Talkers(id, talkers) = event {
                self.told += 1;
                let again = Command::WatchTalkers(id, Some(talkers));
                self.worker.apply(again, time, &mut self.feed);
            }
        }
    }

    /// So many ticks of 20 ms.
    fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.feed.tick += 1;
            let end = 1000 + self.feed.tick * 20 + 20;
            while let Some(due) = self.worker.next_due(self.ms).filter(|&due| due < end) {
                let ntp = Duration::from_millis(due).as_secs() << 32;
                self.worker.run(due, ntp, &mut self.feed);
                self.ms = due + 1;
            }
            self.ms = self.ms.max(end - 20);
            self.take();
        }
    }
}
