//! Two workers between which legs move, ten thousand times: each goes on as one stream, in the bridge
//! that it was sent to, and at most a frame of what its party says is made up on the way.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use antiphon::audio::{MediaTime, NARROWBAND};
use antiphon::bridge::{Bridge, Port};
use antiphon::codec::Codec;
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use antiphon::rtp::packet::{Header, Packet, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{BridgeId, Command, Event, Worker, event_capacity};
use crossbeam_channel::{Receiver, bounded};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const LEGS: usize = 10;
/// How long the control side takes to see an event and act on it, ms.
const CONTROL_MS: u64 = 3;
/// How much later in the tick the second worker mixes, ms.
const PHASE: u32 = 8;

/// Queues towards parties and what they got; a worker's legs are known by their places in it.
#[derive(Default)]
struct Io {
    ms: u64,
    worker: usize,
    /// Place in a worker -> party.
    parties: BTreeMap<(usize, u32), usize>,
    queues: Vec<VecDeque<(Vec<u8>, MediaTime)>>,
    /// When, sequence, timestamp, a sample.
    sent: Vec<Vec<(u64, u16, u32, i16)>>,
}

fn peer(party: usize) -> SocketAddr {
    ([10, 1, 0, party as u8], 4000).into()
}

impl MediaIo for Io {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        let party = self.parties[&(self.worker, leg)];
        if channel == Channel::Rtp {
            for (bytes, at) in self.queues[party].drain(..) {
                sink(&bytes, peer(party), at);
            }
        }
    }

    fn send(&mut self, leg: u32, channel: Channel, to: SocketAddr, packet: &[u8]) {
        let party = self.parties[&(self.worker, leg)];
        assert_eq!(to.ip(), peer(party).ip());
        if channel == Channel::Rtp {
            let packet = Packet::parse(packet).unwrap();
            let mut pcm = vec![0; packet.payload.len()];
            Codec::Pcmu.decode(packet.payload, &mut pcm);
            self.sent[party].push((self.ms, packet.seq.0, packet.timestamp.0, pcm[100]));
        }
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}

    fn closed(&mut self, leg: u32) {
        self.parties.remove(&(self.worker, leg));
    }

    fn flush(&mut self) {}
}

/// A party's leg as the control side knows it.
#[derive(Clone, Copy, Debug)]
struct Home {
    worker: usize,
    id: LegId,
    /// Where it is going.
    to: Option<usize>,
}

struct Bench {
    workers: Vec<Worker>,
    events: Vec<Receiver<Event>>,
    io: Io,
    ms: u64,
    homes: Vec<Home>,
    /// Uses of each place.
    generations: Vec<Vec<u32>>,
    free: Vec<Vec<u32>>,
    /// Legs that the control side will open then.
    arriving: VecDeque<(u64, usize, Box<Leg>)>,
    moved: usize,
}

impl Bench {
    fn new(rng: &mut StdRng) -> Self {
        let (senders, events): (Vec<_>, Vec<_>) =
            (0..2).map(|_| bounded(event_capacity(LEGS))).unzip();
        let workers = senders
            .into_iter()
            .map(|tx| Worker::new(LEGS, 1 + PHASE as usize, tx));
        let mut bench = Self {
            workers: workers.collect(),
            events,
            io: Io {
                queues: vec![VecDeque::new(); LEGS],
                sent: vec![Vec::new(); LEGS],
                ..Io::default()
            },
            ms: 1000,
            homes: Vec::new(),
            generations: vec![vec![0; LEGS]; 2],
            free: vec![(0..LEGS as u32).rev().collect(); 2],
            arriving: VecDeque::new(),
            moved: 0,
        };
        // Bridges with nobody in them, so that the second worker's is mixed at another phase.
        for index in 1..=PHASE {
            let id = BridgeId {
                index,
                generation: 0,
            };
            let bridge = Box::new(Bridge::new(1));
            bench.apply(1, Command::CreateBridge(id, bridge));
        }
        for worker in 0..2 {
            let id = BridgeId {
                index: 0,
                generation: 0,
            };
            let bridge = Box::new(Bridge::new(LEGS));
            bench.apply(worker, Command::CreateBridge(id, bridge));
        }
        for party in 0..LEGS {
            let settings = LegSettings {
                ssrc: 100 + party as u32,
                first_sequence: rng.random(),
                first_timestamp: rng.random(),
                cname: "x".into(),
                jitter_max_ms: 200,
                media_timeout_ms: 0,
                inband_digits: true,
                process: antiphon::audio::process::ProcessSettings::default(),
            };
            let params = LegParams::g711(Codec::Pcmu, Some(peer(party)));
            let leg = Box::new(Leg::new(bench.place(0), params, settings).unwrap());
            bench.homes.push(Home {
                worker: 0,
                id: leg.id(),
                to: None,
            });
            bench.open(party, 0, leg);
        }
        bench
    }

    fn place(&mut self, worker: usize) -> LegId {
        let index = self.free[worker].pop().unwrap();
        let generation = self.generations[worker][index as usize];
        LegId { index, generation }
    }

    fn time(&self) -> TickTime {
        TickTime {
            now: MediaTime::from_millis(self.ms),
            ntp: self.ms << 32,
        }
    }

    fn apply(&mut self, worker: usize, command: Command) {
        let time = self.time();
        self.io.worker = worker;
        self.workers[worker].apply(command, time, &mut self.io);
    }

    fn open(&mut self, party: usize, worker: usize, leg: Box<Leg>) {
        let id = leg.id();
        self.io.parties.insert((worker, id.index), party);
        self.apply(worker, Command::Open(leg));
        self.apply(
            worker,
            Command::Join {
                leg: id,
                bridge: BridgeId {
                    index: 0,
                    generation: 0,
                },
                port: Box::new(Port::new(id.index, NARROWBAND)),
                encoder: None,
            },
        );
    }

    fn send_to(&mut self, party: usize, worker: usize) {
        let home = self.homes[party];
        if home.to.is_none() && home.worker != worker {
            self.homes[party].to = Some(worker);
            self.apply(home.worker, Command::Detach(home.id));
        }
    }

    fn step(&mut self) {
        self.ms += 1;
        self.io.ms = self.ms;
        for party in 0..LEGS {
            if (self.ms + 3 * party as u64).is_multiple_of(20) {
                self.speak(party);
            }
        }
        for worker in 0..2 {
            if self.workers[worker].next_due(self.ms) == Some(self.ms) {
                self.io.worker = worker;
                self.workers[worker].run(self.ms, self.ms << 32, &mut self.io);
            }
        }
        self.control();
    }

    /// Each party says its own constant: a mix tells who is in.
    fn speak(&mut self, party: usize) {
        let n = self.ms / 20;
        let mut bytes = [0u8; 172];
        let header = Header {
            payload_type: PayloadType(0),
            seq: SeqNo(n as u16),
            timestamp: Timestamp(n as u32 * 160),
            ssrc: Ssrc(party as u32),
            marker: false,
        };
        let head = write_header(&mut bytes, &header);
        Codec::Pcmu.encode(&[LEVELS[party]; 160], &mut bytes[head..]);
        let at = MediaTime::from_millis(self.ms);
        self.io.queues[party].push_back((bytes.to_vec(), at));
    }

    fn control(&mut self) {
        for worker in 0..2 {
            while let Ok(event) = self.events[worker].try_recv() {
                match event {
                    Event::Detached(leg) => {
                        let party = self
                            .homes
                            .iter()
                            .position(|h| h.worker == worker && h.id == leg.id());
                        let index = leg.id().index;
                        self.generations[worker][index as usize] += 1;
                        self.free[worker].insert(0, index);
                        let due = self.ms + CONTROL_MS;
                        self.arriving.push_back((due, party.unwrap(), leg));
                    }
                    Event::Freed(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        while self
            .arriving
            .front()
            .is_some_and(|(due, ..)| *due <= self.ms)
        {
            let (_, party, mut leg) = self.arriving.pop_front().unwrap();
            let to = self.homes[party].to.take().unwrap();
            let id = self.place(to);
            leg.rehome(id);
            self.homes[party] = Home {
                worker: to,
                id,
                to: None,
            };
            self.open(party, to, leg);
            self.moved += 1;
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    /// Everybody hears just those in the same worker's bridge.
    fn check_mixes(&self) {
        for party in 0..LEGS {
            let with = |other: &usize| {
                *other != party && self.homes[*other].worker == self.homes[party].worker
            };
            let sum: i16 = (0..LEGS).filter(with).map(|o| coded(LEVELS[o])).sum();
            let heard = self.io.sent[party].last().unwrap().3;
            assert_eq!(
                heard,
                coded(sum),
                "party {party} after {} moves",
                self.moved
            );
        }
    }
}

/// Levels whose sums tell who is in: and all of them values that u-law has.
const LEVELS: [i16; LEGS] = [100, 148, 244, 372, 652, 1052, 1564, 2364, 3772, -876];

/// The nearest level that u-law has.
fn coded(level: i16) -> i16 {
    let mut byte = [0];
    Codec::Pcmu.encode(&[level], &mut byte);
    let mut back = [0];
    Codec::Pcmu.decode(&byte, &mut back);
    back[0]
}

#[test]
fn ten_thousand_moves_between_workers() {
    let mut rng = StdRng::seed_from_u64(17);
    let mut bench = Bench::new(&mut rng);
    bench.run(500);
    while bench.moved < 10_000 {
        for _ in 0..rng.random_range(1..30) {
            let party = rng.random_range(0..LEGS);
            bench.send_to(party, rng.random_range(0..2));
            bench.run(rng.random_range(0..25));
        }
        bench.run(300);
        bench.check_mixes();
    }
    let mut longest = 0;
    for (party, sent) in bench.io.sent.iter().enumerate() {
        let mut left_out = 0;
        for pair in sent.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert_eq!(b.1, a.1.wrapping_add(1), "party {party}");
            let step = b.2.wrapping_sub(a.2);
            // The fade out takes the tick that runs; the new place begins within the next two.
            assert!(matches!(step, 160 | 320 | 480), "party {party}: {step}");
            left_out += usize::from(step > 160);
            longest = longest.max(b.0 - a.0);
        }
        // The line is the clock's, after a thousand moves.
        let (first, last) = (sent[0], sent[sent.len() - 1]);
        let line = i64::from(last.2.wrapping_sub(first.2)) / 8;
        let clock = (last.0 - first.0) as i64;
        assert!(
            (line - clock).abs() <= 40,
            "party {party}: {} ms off",
            line - clock
        );
        println!("party {party}: {left_out} ticks left out");
    }
    assert!(longest <= 62, "{longest} ms between two packets");
    for worker in &bench.workers {
        assert_eq!(worker.counts().lost_events, 0);
        assert_eq!(worker.counts().stale_commands, 0);
    }
    let legs: u32 = bench.workers.iter().map(|w| w.counts().legs).sum();
    assert_eq!(legs as usize, LEGS);
}
