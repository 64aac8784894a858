//! A worker by itself: legs that move between bridges thousands of times, and commands that come
//! too late, with the packets on the wire as witnesses.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use antiphon::audio::process::ProcessSettings;
use antiphon::audio::{MediaTime, NARROWBAND};
use antiphon::bridge::{Bridge, Classes, Port, Relation};
use antiphon::codec::Codec;
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use antiphon::rtp::packet::{Header, Packet, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{BridgeId, Command, Event, Freed, Recoding, Worker, event_capacity};
use crossbeam_channel::{Receiver, bounded};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const LEGS: u32 = 12;
const BRIDGES: u32 = 4;

/// A packet that a leg sent: when, sequence, timestamp, samples.
type Sent = (u64, u16, u32, Vec<i16>);

/// Each leg's queue towards it, and what it sent.
#[derive(Default)]
struct Io {
    ms: u64,
    queues: BTreeMap<u32, VecDeque<(Vec<u8>, MediaTime)>>,
    sent: BTreeMap<u32, Vec<Sent>>,
}

fn peer(leg: u32) -> SocketAddr {
    ([10, 1, 0, leg as u8], 4000).into()
}

impl MediaIo for Io {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        if channel == Channel::Rtp
            && let Some(queue) = self.queues.get_mut(&leg)
        {
            for (bytes, at) in queue.drain(..) {
                sink(&bytes, peer(leg), at);
            }
        }
    }

    fn send(&mut self, leg: u32, channel: Channel, to: SocketAddr, packet: &[u8]) {
        assert_eq!(to.ip(), peer(leg).ip(), "a packet of {leg} goes to {to}");
        if channel == Channel::Rtp {
            let packet = Packet::parse(packet).unwrap();
            let mut pcm = vec![0; packet.payload.len()];
            Codec::Pcmu.decode(packet.payload, &mut pcm);
            let sent = (self.ms, packet.seq.0, packet.timestamp.0, pcm);
            self.sent.entry(leg).or_default().push(sent);
        }
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}
    fn closed(&mut self, _leg: u32) {}
    fn flush(&mut self) {}
}

struct Bench {
    worker: Worker,
    events: Receiver<Event>,
    io: Io,
    ms: u64,
    /// What each leg's party says: a constant level, so that a mix can be read off.
    says: BTreeMap<u32, i16>,
}

fn id(index: u32) -> LegId {
    LegId {
        index,
        generation: 0,
    }
}

fn bridge(index: u32) -> BridgeId {
    BridgeId {
        index,
        generation: 0,
    }
}

impl Bench {
    fn new() -> Self {
        let (tx, events) = bounded(event_capacity(LEGS as usize));
        Self {
            worker: Worker::new(LEGS as usize, BRIDGES as usize, tx),
            events,
            io: Io::default(),
            ms: 1000,
            says: BTreeMap::new(),
        }
    }

    fn apply(&mut self, command: Command) {
        let time = TickTime {
            now: MediaTime::from_millis(self.ms),
            ntp: self.ms << 32,
        };
        self.worker.apply(command, time, &mut self.io);
    }

    fn open(&mut self, index: u32, level: i16) {
        let settings = LegSettings {
            ssrc: 100 + index,
            first_sequence: 65_000,
            first_timestamp: u32::MAX - 900,
            cname: "x".into(),
            jitter_max_ms: 200,
            media_timeout_ms: 0,
            inband_digits: true,
            process: ProcessSettings::default(),
        };
        let params = LegParams::g711(Codec::Pcmu, Some(peer(index)));
        self.says.insert(index, level);
        self.apply(Command::Open(Box::new(
            Leg::new(id(index), params, settings).unwrap(),
        )));
    }

    fn create(&mut self, index: u32, ports: usize) {
        let bridge_box = Box::new(Bridge::new(ports));
        self.apply(Command::CreateBridge(bridge(index), bridge_box));
    }

    fn join(&mut self, leg: u32, to: u32) {
        self.apply(Command::Join {
            leg: id(leg),
            bridge: bridge(to),
            port: Box::new(Port::new(leg, NARROWBAND)),
            encoder: None,
        });
    }

    /// One millisecond; every party's packet comes at its own phase.
    fn step(&mut self) -> Vec<Event> {
        self.ms += 1;
        self.io.ms = self.ms;
        for (&leg, &level) in &self.says {
            if (self.ms + u64::from(leg)).is_multiple_of(20) {
                let n = self.ms / 20;
                let mut bytes = [0u8; 172];
                let header = Header {
                    payload_type: PayloadType(0),
                    seq: SeqNo(n as u16),
                    timestamp: Timestamp(n as u32 * 160),
                    ssrc: Ssrc(leg),
                    marker: false,
                };
                let head = write_header(&mut bytes, &header);
                Codec::Pcmu.encode(&[level; 160], &mut bytes[head..]);
                let at = MediaTime::from_millis(self.ms);
                let queue = self.io.queues.entry(leg).or_default();
                queue.push_back((bytes.to_vec(), at));
            }
        }
        if self.worker.next_due(self.ms) == Some(self.ms) {
            self.worker.run(self.ms, self.ms << 32, &mut self.io);
        }
        self.events.try_iter().collect()
    }

    fn run(&mut self, ms: u64) -> Vec<Event> {
        (0..ms).flat_map(|_| self.step()).collect()
    }

    /// What the leg's party hears now: the level of its last packet.
    fn hears(&self, leg: u32) -> i16 {
        self.io.sent[&leg].last().unwrap().3[100]
    }
}

/// The nearest level that u-law has.
fn coded(level: i16) -> i16 {
    let mut byte = [0];
    Codec::Pcmu.encode(&[level], &mut byte);
    let mut back = [0];
    Codec::Pcmu.decode(&byte, &mut back);
    back[0]
}

/// Levels whose sums tell who is in: and all of them values that u-law has.
const LEVELS: [i16; LEGS as usize] = [
    100, 148, 244, 372, 652, 1052, 1564, 2364, 3772, 5308, -876, -7164,
];

#[test]
fn who_gets_a_wider_codec_on_the_way_from_bridge_to_bridge_hears_the_new_one() {
    let mut bench = Bench::new();
    for b in 0..2 {
        bench.create(b, 2);
        bench.open(b, 1052);
        bench.join(b, b);
    }
    bench.says.remove(&0);
    bench.run(100);
    // It fades out with the next tick of the one that it is in, and its port for the other is made.
    bench.join(0, 1);
    let params = LegParams::g711(Codec::L16Full, Some(peer(0)));
    let recoding = Recoding::new(&params, 200, ProcessSettings::default()).unwrap();
    bench.apply(Command::Configure(id(0), params, Some(recoding)));
    let events = bench.run(200);
    assert!(!events.iter().any(|e| matches!(e, Event::JoinRefused(..))));
    // Two octets a sample, which were taken for u-law.
    let (.., taken) = bench.io.sent[&0].last().unwrap();
    let mut octets = vec![0; taken.len()];
    Codec::Pcmu.encode(taken, &mut octets);
    let heard = i16::from_be_bytes([octets[200], octets[201]]);
    assert!(taken.len() > 320, "{}", taken.len());
    assert!((1042..1062).contains(&heard), "{heard}");
}

#[test]
fn who_gets_a_narrower_codec_behind_its_join_is_in() {
    let mut bench = Bench::new();
    bench.create(0, 2);
    bench.open(1, 1052);
    bench.join(1, 0);
    let wide = LegParams::g711(Codec::L16Full, Some(peer(0)));
    let leg = Leg::new(id(0), wide, LegSettings::fixed(100)).unwrap();
    bench.apply(Command::Open(Box::new(leg)));
    bench.run(100);
    // As it is where the leg has moved here, and the change of codec has waited for that.
    bench.apply(Command::Join {
        leg: id(0),
        bridge: bridge(0),
        port: Box::new(Port::new(0, NARROWBAND).with_memory_for(48_000)),
        encoder: None,
    });
    let params = LegParams::g711(Codec::Pcmu, Some(peer(0)));
    let recoding = Recoding::new(&params, 200, ProcessSettings::default()).unwrap();
    let mut events = bench.run(5);
    bench.apply(Command::Configure(id(0), params, Some(recoding)));
    events.extend(bench.run(200));
    assert!(!events.iter().any(|e| matches!(e, Event::JoinRefused(..))));
    assert_eq!(bench.hears(0), coded(1052));
}

#[test]
fn ten_thousand_moves_lose_nobody() {
    let seed = 81;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bench = Bench::new();
    let levels: Vec<i16> = LEVELS.iter().map(|&l| coded(l)).collect();
    for b in 0..BRIDGES {
        bench.create(b, LEGS as usize);
    }
    for (leg, &level) in levels.iter().enumerate() {
        bench.open(leg as u32, level);
    }
    bench.run(500);
    let mut place: Vec<Option<u32>> = vec![None; LEGS as usize];
    let mut moves = 0;
    let mut freed = 0;
    let mut joins = 0;
    while moves < 10_000 {
        for _ in 0..rng.random_range(1..40) {
            let leg = rng.random_range(0..LEGS);
            if rng.random_bool(0.2) {
                bench.apply(Command::Leave(id(leg)));
                place[leg as usize] = None;
            } else {
                let to = rng.random_range(0..BRIDGES);
                bench.join(leg, to);
                joins += 1;
                place[leg as usize] = Some(to);
            }
            moves += 1;
            // Moves in mid-move among them.
            for event in bench.run(rng.random_range(0..30)) {
                freed += usize::from(matches!(event, Event::Freed(Freed::Port(_))));
                assert!(!matches!(event, Event::JoinRefused(..)), "seed {seed}");
            }
        }
        for event in bench.run(200) {
            freed += usize::from(matches!(event, Event::Freed(Freed::Port(_))));
        }
        // Where everybody is can be heard.
        for leg in 0..LEGS {
            let with = |other: &u32| {
                *other != leg
                    && place[leg as usize].is_some()
                    && place[*other as usize] == place[leg as usize]
            };
            let sum: i32 = (0..LEGS)
                .filter(with)
                .map(|o| i32::from(levels[o as usize]))
                .sum();
            let wanted = coded(sum as i16);
            assert_eq!(
                bench.hears(leg),
                wanted,
                "leg {leg} after {moves} moves, seed {seed}"
            );
        }
    }
    let inside = place.iter().flatten().count();
    assert_eq!(
        freed + inside,
        joins,
        "each port comes back once, seed {seed}"
    );
    for (leg, sent) in &bench.io.sent {
        for pair in sent.windows(2) {
            let ((_, a, at, _), (_, b, bt, _)) = (&pair[0], &pair[1]);
            assert_eq!(*b, a.wrapping_add(1), "leg {leg}, seed {seed}");
            let step = bt.wrapping_sub(*at);
            assert!(
                step == 160 || step == 320,
                "leg {leg}: {step} samples from packet to packet, seed {seed}"
            );
        }
        // The line is the clock's.
        let (first, last) = (&sent[0], &sent[sent.len() - 1]);
        let line = i64::from(last.2.wrapping_sub(first.2)) / 8;
        let clock = (last.0 - first.0) as i64;
        assert!(
            (line - clock).abs() <= 40,
            "leg {leg}: the line is {} ms off, seed {seed}",
            line - clock
        );
    }
    for leg in 0..LEGS {
        bench.apply(Command::Close(id(leg)));
    }
    for b in 0..BRIDGES {
        bench.apply(Command::CloseBridge(bridge(b)));
    }
    let events = bench.run(100);
    let closed = events.iter().filter(|e| matches!(e, Event::Closed(_)));
    assert_eq!(closed.count(), LEGS as usize);
    let counts = bench.worker.counts();
    assert_eq!((counts.legs, counts.bridges, counts.lost_events), (0, 0, 0));
}

#[test]
fn a_bridge_that_closes_leaves_its_legs_alone_and_alive() {
    let mut bench = Bench::new();
    bench.create(0, 4);
    for leg in 0..3 {
        bench.open(leg, coded(1000));
        bench.join(leg, 0);
    }
    bench.run(300);
    assert_eq!(bench.hears(0), coded(2 * coded(1000)));
    bench.apply(Command::CloseBridge(bridge(0)));
    let events = bench.run(100);
    assert!(events.iter().any(|e| matches!(e, Event::BridgeClosed(..))));
    assert_eq!(bench.worker.counts().legs, 3);
    let before = bench.io.sent[&0].len();
    bench.run(200);
    assert_eq!(bench.io.sent[&0].len() - before, 10);
    assert_eq!(bench.hears(0), 0);
}

#[test]
fn a_full_bridge_and_one_that_is_gone_refuse() {
    let mut bench = Bench::new();
    bench.create(0, 2);
    for leg in 0..3 {
        bench.open(leg, coded(1000));
        bench.join(leg, 0);
    }
    let refused = |events: Vec<Event>| {
        let refused: Vec<_> = events
            .into_iter()
            .filter_map(|e| match e {
                Event::JoinRefused(leg, bridge, _) => Some((leg.index, bridge.index)),
                _ => None,
            })
            .collect();
        refused
    };
    assert_eq!(refused(bench.run(50)), [(2, 0)]);
    bench.join(2, 3);
    assert_eq!(refused(bench.run(50)), [(2, 3)]);
    // Who is refused goes on alone.
    let before = bench.io.sent[&2].len();
    bench.run(200);
    assert_eq!(bench.io.sent[&2].len() - before, 10);
}

#[test]
fn who_takes_a_place_while_another_fades_out_of_it_waits_until_it_has() {
    let refused = |events: &[Event]| -> Vec<u32> {
        let legs = events.iter().filter_map(|event| match event {
            Event::JoinRefused(leg, ..) => Some(leg.index),
            _ => None,
        });
        legs.collect()
    };
    let level = |leg: usize| coded(LEVELS[leg]);
    let mut bench = Bench::new();
    bench.create(0, 2);
    for leg in 0..4 {
        bench.open(leg, level(leg as usize));
    }
    bench.join(0, 0);
    bench.join(1, 0);
    bench.run(300);
    assert_eq!((bench.hears(0), bench.hears(1)), (level(1), level(0)));
    // Before the bridge's next tick.
    bench.apply(Command::Leave(id(0)));
    bench.join(2, 0);
    assert!(refused(&bench.run(300)).is_empty());
    assert_eq!((bench.hears(1), bench.hears(2)), (level(2), level(1)));
    assert_eq!(bench.hears(0), 0);
    // Two for one place: the first gets it.
    bench.apply(Command::Leave(id(1)));
    bench.join(3, 0);
    bench.join(0, 0);
    assert_eq!(refused(&bench.run(300)), [0]);
    assert_eq!((bench.hears(2), bench.hears(3)), (level(3), level(2)));
    // Who waits may be taken back, or end.
    bench.apply(Command::Leave(id(2)));
    bench.join(0, 0);
    bench.join(1, 0);
    bench.apply(Command::Leave(id(0)));
    bench.apply(Command::Close(id(1)));
    let events = bench.run(300);
    let freed = events
        .iter()
        .filter(|event| matches!(event, Event::Freed(Freed::Port(_))));
    assert_eq!((freed.count(), refused(&events)), (3, vec![]));
    assert_eq!((bench.hears(0), bench.hears(3)), (0, 0));
}

#[test]
fn commands_for_a_leg_that_is_gone_are_counted_and_give_back_what_they_brought() {
    let mut bench = Bench::new();
    bench.create(0, 2);
    bench.open(0, 0);
    bench.run(50);
    bench.apply(Command::Close(id(0)));
    bench.run(50);
    bench.join(0, 0);
    bench.apply(Command::StopPlay(id(0)));
    let old = LegId {
        index: 0,
        generation: 7,
    };
    bench.open(0, 0);
    bench.apply(Command::Close(old));
    let events = bench.run(50);
    assert!(
        events
            .iter()
            .any(|e| matches!(e, Event::Freed(Freed::Port(_))))
    );
    let counts = bench.worker.counts();
    assert_eq!((counts.stale_commands, counts.legs), (3, 1));
}

/// Relations with five ear classes, the deaf among them, and one that has no memory.
fn relation(rng: &mut StdRng) -> Relation {
    let voice = match rng.random_range(0..4) {
        0 => 0,
        1 => u32::MAX,
        _ => rng.random(),
    };
    let ears = match rng.random_range(0..12) {
        0 => Relation::DEAF,
        1 => 20,
        ears => (ears % 5) as u8,
    };
    Relation { voice, ears }
}

#[test]
fn in_ten_thousand_changes_nobody_hears_whom_it_is_not_to_hear() {
    let seed = 6;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bench = Bench::new();
    let levels: Vec<i16> = LEVELS.iter().map(|&l| coded(l)).collect();
    for b in 0..BRIDGES {
        bench.create(b, LEGS as usize);
        bench.apply(Command::Classes(bridge(b), Classes::new(5)));
    }
    for (leg, &level) in levels.iter().enumerate() {
        bench.open(leg as u32, level);
    }
    bench.run(500);
    let mut place: Vec<Option<(u32, Relation)>> = vec![None; LEGS as usize];
    let mut changes = 0;
    while changes < 10_000 {
        for _ in 0..rng.random_range(1..60) {
            let leg = rng.random_range(0..LEGS);
            let now = &mut place[leg as usize];
            match rng.random_range(0..10) {
                0 => {
                    bench.apply(Command::Leave(id(leg)));
                    *now = None;
                }
                1 | 2 => {
                    // With its relation, or with one that is told while it is on its way.
                    let (to, with) = (rng.random_range(0..BRIDGES), relation(&mut rng));
                    bench.apply(Command::Join {
                        leg: id(leg),
                        bridge: bridge(to),
                        port: Box::new(Port::new(leg, NARROWBAND).with_relation(with)),
                        encoder: None,
                    });
                    *now = Some((to, with));
                }
                _ => {
                    let to = relation(&mut rng);
                    bench.apply(Command::Relate(id(leg), to, None));
                    if let Some((_, relation)) = now {
                        *relation = to;
                    }
                }
            }
            changes += 1;
            bench.run(rng.random_range(0..30));
        }
        bench.run(200);
        for leg in 0..LEGS {
            let hears = |other: &u32| match (place[leg as usize], place[*other as usize]) {
                (Some((room, me)), Some((other_room, party))) => {
                    *other != leg && room == other_room && me.ears < 5 && me.hears(party)
                }
                _ => false,
            };
            let sum: i32 = (0..LEGS)
                .filter(hears)
                .map(|other| i32::from(levels[other as usize]))
                .sum();
            assert_eq!(
                bench.hears(leg),
                coded(sum as i16),
                "leg {leg}, {:?}, after {changes} changes, seed {seed}",
                place[leg as usize]
            );
        }
    }
}
