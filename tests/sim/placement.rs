//! Where in the 20 ms a bridge is mixed: how long a talker's packets wait for it, steady, with
//! jitter, and with a clock that drifts for an hour. In simulated time.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use antiphon::audio::{MediaTime, NARROWBAND};
use antiphon::bridge::{Bridge, Port};
use antiphon::codec::Codec;
use antiphon::leg::{Channel, Leg, LegId, LegParams, LegSettings, MediaIo, Sink, TickTime};
use antiphon::rtp::packet::{Header, Packet, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{BridgeId, Command, Event, Worker, event_capacity};
use crossbeam_channel::bounded;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const LISTENER: u32 = 0;
const ROOM: BridgeId = BridgeId {
    index: 0,
    generation: 0,
};

/// The longest that a tick's reading takes.
const SLOW_US: u64 = 4000;

fn peer(leg: u32) -> SocketAddr {
    ([10, 1, 0, leg as u8], 4000).into()
}

fn id(index: u32) -> LegId {
    LegId {
        index,
        generation: 0,
    }
}

/// What is on its way to the legs, and what the listener got: when, and its level.
#[derive(Default)]
struct Io {
    now_us: u64,
    /// How long the present tick has taken: what a read takes, for each.
    spent_us: u64,
    read_us: u64,
    /// The same is anything up to so much more, another in each tick.
    uneven_us: u64,
    /// How often a tick has waited.
    waited: u32,
    queues: HashMap<u32, VecDeque<(Vec<u8>, MediaTime)>>,
    heard: Vec<(u64, u8)>,
}

impl MediaIo for Io {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        let queue = self.queues.entry(leg).or_default();
        self.spent_us += self.read_us;
        let now = MediaTime::from_micros(self.now_us + self.spent_us);
        while channel == Channel::Rtp && queue.front().is_some_and(|(_, at)| *at <= now) {
            let (bytes, at) = queue.pop_front().unwrap();
            sink(&bytes, peer(leg), at);
        }
    }

    fn send(&mut self, leg: u32, channel: Channel, _to: SocketAddr, packet: &[u8]) {
        if channel == Channel::Rtp && leg == LISTENER {
            let packet = Packet::parse(packet).unwrap();
            self.heard
                .push((self.now_us + self.spent_us, packet.payload[100]));
        }
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}
    fn closed(&mut self, _leg: u32) {}
    fn flush(&mut self) {}

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.spent_us)
    }

    fn wait(&mut self, elapsed: Duration) {
        assert!(!elapsed.is_zero() && elapsed.as_micros() <= 10_000);
        self.waited += 1;
        self.spent_us = self.spent_us.max(elapsed.as_micros() as u64);
    }
}

/// A party: its packets come every 20 ms of its own clock.
struct Party {
    leg: u32,
    phase_us: u64,
    ppm: i64,
    jitter_us: u64,
    /// Packets that are late, and by how much, us.
    late: Vec<(u64, u64)>,
    sent: u64,
    /// The code words that it says, one a packet, and when each came.
    said: Vec<(u64, u8)>,
    /// When it talks.
    talks: Vec<Range<u64>>,
    /// When it ceases to send.
    ends: u64,
}

impl Party {
    fn due_us(&self) -> u64 {
        let media = self.sent * 20_000;
        let drift = media as i64 * self.ppm / 1_000_000;
        (1_000_000 + self.phase_us + media).saturating_add_signed(drift)
    }

    /// Speech: 800 ms of it, each packet of another loudness, and 400 ms of silence.
    fn word(&self, speaks: bool) -> u8 {
        if speaks && self.sent % 60 < 40 {
            0x80 | (self.sent * 7 % 48 + 8) as u8
        } else {
            0xff
        }
    }
}

fn only(turn: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(turn).collect()
}

struct Room {
    worker: Worker,
    events: crossbeam_channel::Receiver<Event>,
    io: Io,
    parties: Vec<Party>,
    rng: StdRng,
}

impl Room {
    /// A listener and so many others, whose packets come at phases of their own; those after the
    /// first other are silent.
    fn new(others: u32, seed: u64) -> Self {
        let (tx, events) = bounded(event_capacity(16));
        let mut room = Room {
            worker: Worker::new(16, 1, tx),
            events,
            io: Io::default(),
            parties: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        };
        let time = TickTime {
            now: MediaTime::from_millis(1000),
            ntp: 0,
        };
        let bridge = Box::new(Bridge::new(16));
        let mut apply = |command| room.worker.apply(command, time, &mut room.io);
        apply(Command::CreateBridge(ROOM, bridge));
        for leg in 0..=others {
            let settings = LegSettings::fixed(100 + leg);
            let params = LegParams::g711(Codec::Pcmu, Some(peer(leg)));
            let made = Leg::new(id(leg), params, settings).unwrap();
            apply(Command::Open(Box::new(made)));
            apply(Command::Join {
                leg: id(leg),
                bridge: ROOM,
                port: Box::new(Port::new(leg, NARROWBAND)),
                encoder: None,
            });
        }
        for leg in 0..=others {
            let phase_us = room.rng.random_range(0..20_000);
            room.parties.push(Party {
                leg,
                phase_us,
                ppm: 0,
                jitter_us: 0,
                late: Vec::new(),
                sent: 0,
                said: Vec::new(),
                talks: only(0..if leg == 1 { u64::MAX } else { 0 }),
                ends: u64::MAX,
            });
        }
        room
    }

    fn run(&mut self, seconds: u64) {
        let from_ms = self.io.now_us.max(1_000_000) / 1000;
        for ms in from_ms..from_ms + seconds * 1000 {
            self.io.now_us = ms * 1000;
            for party in &mut self.parties {
                // Some ahead, for what is late is overtaken by nobody.
                let until = self.io.now_us + 1000 + SLOW_US;
                while party.due_us() < until.min(party.ends) {
                    let due_us = party.due_us();
                    let speaks = party.talks.iter().any(|talks| talks.contains(&due_us));
                    let word = party.word(speaks);
                    let mut late = self.rng.random_range(0..=party.jitter_us);
                    late += party
                        .late
                        .iter()
                        .find(|l| l.0 == party.sent)
                        .map_or(0, |l| l.1);
                    let at = MediaTime::from_micros(party.due_us() + late);
                    let mut bytes = [word; 172];
                    let header = Header {
                        payload_type: PayloadType(0),
                        seq: SeqNo(party.sent as u16),
                        timestamp: Timestamp(party.sent as u32 * 160),
                        ssrc: Ssrc(party.leg),
                        marker: false,
                    };
                    write_header(&mut bytes, &header);
                    let queue = self.io.queues.entry(party.leg).or_default();
                    queue.push_back((bytes.to_vec(), at));
                    if word != 0xff {
                        party.said.push((at.as_micros(), word));
                    }
                    party.sent += 1;
                }
            }
            self.io.spent_us = 0;
            let even_us = self.io.read_us;
            self.io.read_us += self.rng.random_range(0..=self.io.uneven_us);
            if self.worker.next_due(ms) == Some(ms) {
                self.worker.run(ms, ms << 32, &mut self.io);
            }
            self.io.read_us = even_us;
            self.events.try_iter().for_each(drop);
        }
    }

    /// How long each packet of the talker waited, us, and how many were not heard, since `from_us`.
    fn waits(&self, from_us: u64) -> (Vec<u64>, usize) {
        self.waits_of(1, from_us)
    }

    fn waits_of(&self, party: usize, from_us: u64) -> (Vec<u64>, usize) {
        let said = &self.parties[party].said;
        let end_us = self.io.now_us - 500_000;
        let mut waits = Vec::new();
        let mut missing = 0;
        let mut next = 0;
        for &(at, word) in said.iter().filter(|s| (from_us..end_us).contains(&s.0)) {
            while self.io.heard[next].0 < at {
                next += 1;
            }
            let heard = self.io.heard[next..].iter().take(12);
            match heard.clone().find(|(_, code)| *code == word) {
                Some((when, _)) => waits.push(when - at),
                None => missing += 1,
            }
        }
        waits.sort_unstable();
        (waits, missing)
    }
}

fn quantile(sorted: &[u64], part: f64) -> u64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

#[test]
fn a_steady_talker_waits_three_milliseconds_at_most_wherever_its_packets_come() {
    for seed in 0..20 {
        let mut room = Room::new(4, seed);
        room.run(10);
        // The first seconds are the playout's, which gives a tick of the start back.
        let (waits, missing) = room.waits(7_000_000);
        assert!(waits.len() > 80, "seed {seed}: {}", waits.len());
        assert_eq!(missing, 0, "seed {seed}");
        let (p50, p99) = (quantile(&waits, 0.5), quantile(&waits, 0.99));
        // The margin and the way to the next slot, 1 ms each, and what is not worth a move.
        assert!(p99 <= 2_300, "seed {seed}: {p50}, {p99} us");
    }
}

#[test]
fn who_talks_next_with_packets_within_the_fetch_waits_no_tick_more() {
    for seed in 0..20 {
        let mut room = Room::new(8, seed);
        // All nine are read in 2.7 ms.
        room.io.read_us = 300;
        let phase_us = room.parties[1].phase_us;
        for (party, begin) in [(1, 0), (2, 12_000_000), (3, 16_000_000)] {
            // Anywhere within the fetch, as that of the dominant party is at its end.
            let before_us = (party as u64 - 1) * 700;
            room.parties[party].phase_us = (phase_us + 20_000 - before_us) % 20_000;
            room.parties[party].talks = only(begin..begin + 4_000_000);
        }
        room.parties[1].talks = only(0..12_000_000);
        room.run(21);
        for (party, from_us) in [(1, 7_000_000), (2, 0), (3, 0)] {
            let (waits, missing) = room.waits_of(party, from_us);
            assert!(
                waits.len() > 80,
                "seed {seed}, {party}: {}, {missing}",
                waits.len()
            );
            assert_eq!(missing, 0, "seed {seed}, {party}");
            let p99 = quantile(&waits, 0.99);
            assert!(p99 <= 7_500, "seed {seed}, {party}: {p99} us");
        }
    }
}

#[test]
fn a_tick_that_reads_more_quickly_than_others_waits_for_who_talks() {
    for seed in 0..20 {
        let mut room = Room::new(8, seed);
        // All nine are read in 1.4 to 5.4 ms.
        (room.io.read_us, room.io.uneven_us) = (150, 450);
        // Two at one phase, in turn.
        room.parties[2].phase_us = room.parties[1].phase_us;
        let second = 30_000_000..40_000_000;
        room.parties[1].talks = only(0..second.start);
        room.parties[2].talks = only(second);
        room.run(45);
        for (party, from_us) in [(1, 7_000_000), (2, 0)] {
            let (waits, missing) = room.waits_of(party, from_us);
            assert!(waits.len() > 300, "seed {seed}, {party}: {}", waits.len());
            assert_eq!(missing, 0, "seed {seed}, {party}");
            let (p50, p90) = (quantile(&waits, 0.5), quantile(&waits, 0.9));
            assert!(
                p50 <= 4_000 && p90 <= 5_500 && waits[waits.len() - 1] <= 10_000,
                "seed {seed}, {party}: {p50}, {p90} us"
            );
        }
    }
}

/// Bursts of 100 ms from all in turn, each at a phase of its own: the bridge moves through the phases of all
/// others all the time, and a party whose packets come to be before its tick has no more delay for it.
#[test]
fn who_talks_in_turn_at_any_phase_waits_a_tick_and_not_two() {
    let (mut all, mut lost) = (Vec::new(), 0);
    for seed in 0..10 {
        let mut room = Room::new(12, seed);
        room.parties[1].talks.clear();
        for turn in 0..160 {
            let begin_us = 2_000_000 + turn * 240_000;
            let party = 1 + turn as usize * 5 % 12;
            room.parties[party].talks.push(begin_us..begin_us + 100_000);
        }
        room.run(40);
        for party in 1..=12 {
            let (waits, missing) = room.waits_of(party, 8_000_000);
            lost += missing;
            all.extend(waits);
        }
    }
    all.sort_unstable();
    let (p50, p99) = (quantile(&all, 0.5), quantile(&all, 0.99));
    assert!(all.len() > 3000, "{}", all.len());
    // What has just missed a tick that then moves a slot later, and what is not worth a move.
    assert!(p99 <= 22_000, "{p50}, {p99}, {} us", all[all.len() - 1]);
    // Where a word is given up in speech, it is one that is like the next.
    assert!(lost * 200 < all.len(), "{lost}");
}

#[test]
fn nobody_waits_for_who_sends_no_more() {
    let mut room = Room::new(8, 1);
    (room.io.read_us, room.io.uneven_us) = (150, 450);
    room.parties[1].ends = 15_000_000;
    room.run(14);
    assert!(room.io.waited > 30, "{}", room.io.waited);
    room.run(1);
    room.io.waited = 0;
    room.run(10);
    assert!(room.io.waited <= 2, "{}", room.io.waited);
}

#[test]
fn jitter_within_the_margin_costs_its_own_width() {
    for seed in 0..50 {
        let mut room = Room::new(4, seed);
        for party in &mut room.parties {
            party.jitter_us = 1_500;
        }
        room.run(30);
        let (waits, missing) = room.waits(10_000_000);
        let (p50, p99) = (quantile(&waits, 0.5), quantile(&waits, 0.99));
        assert!(p50 <= 4_000 && p99 <= 8_000, "seed {seed}: {p50}, {p99} us");
        assert!(missing * 100 <= waits.len(), "seed {seed}: {missing}");
    }
}

#[test]
fn packets_that_come_some_milliseconds_late_cost_that_and_no_tick() {
    for seed in 0..20 {
        let mut room = Room::new(4, seed);
        // The second teaches what the first, as a single event, does not.
        room.parties[1].late = vec![(610, 3_000), (670, 2_500), (720, 3_000), (910, 2_500)];
        room.run(60);
        let (waits, missing) = room.waits(7_000_000);
        // The first, the second, and what is later than those.
        assert!(missing <= 3, "seed {seed}: {missing}");
        let most = *waits.last().unwrap();
        assert!(most <= 5_500, "seed {seed}: {most} us");
        let p99 = quantile(&room.waits(45_000_000).0, 0.99);
        assert!(p99 <= 2_400, "seed {seed}: {p99} us, 25 s later");
    }
}

#[test]
fn who_listens_for_a_while_waits_no_tick_when_it_talks_again() {
    for seed in 0..20 {
        let mut room = Room::new(4, seed);
        room.parties[2].phase_us = room.parties[1].phase_us;
        let listens = 12_000_000..30_000_000;
        room.parties[2].talks = only(listens.clone());
        // Late while the other talks.
        room.parties[1].late = vec![(1380, 2_500), (1400, 2_500), (1420, 2_500)];
        let own = [0..listens.start, listens.end..45_000_000];
        room.parties[1].talks = only(own[0].clone());
        room.run(29);
        room.parties[1].talks = only(own[1].clone());
        room.run(14);
        let (waits, missing) = room.waits(listens.end);
        assert!(waits.len() > 200 && missing == 0, "seed {seed}: {missing}");
        let most = waits[waits.len() - 1];
        assert!(most <= 6_000, "seed {seed}: {most} us");
    }
}

#[test]
fn an_hour_of_drift_adds_no_delay_and_loses_nothing_audible() {
    for ppm in [200, -200] {
        let mut room = Room::new(3, 7);
        room.parties[1].ppm = ppm;
        room.run(3600);
        let (waits, missing) = room.waits(10_000_000);
        // Once in 100 s the bridge goes the way around, and a pause may be too short for all of it.
        let (p50, p98) = (quantile(&waits, 0.5), quantile(&waits, 0.98));
        assert!(p50 <= 3_000 && p98 <= 4_000, "{ppm} ppm: {p50}, {p98} us");
        // 720 ms of drift are 36 packets; what a move swallows is in a pause.
        assert!(missing <= 120, "{ppm} ppm: {missing} of {}", waits.len());
        let late = room.waits(3_000_000_000).0;
        assert!(quantile(&late, 0.5) <= 3_000, "{ppm} ppm, at the end");
    }
}
