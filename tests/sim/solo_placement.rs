//! Where in the 20 ms a leg without a bridge has its ticks: out of the way of its packets. In simulated
//! time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use antiphon::audio::MediaTime;
use antiphon::codec::Codec;
use antiphon::leg::{Channel, Leg, LegParams, MediaIo, Sink, TickTime};
use antiphon::rtp::packet::{Header, write_header};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};
use antiphon::worker::{Command, Event, Worker, event_capacity};
use crossbeam_channel::{Receiver, bounded};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::sim::leg::{ID, peer, settings};

/// Half a tick, and one that it may be off for rounding.
const REACH_MS: u64 = 11;

#[derive(Default)]
struct Io {
    now: MediaTime,
    queue: VecDeque<(Vec<u8>, MediaTime)>,
    sent_ms: Vec<u64>,
}

impl MediaIo for Io {
    fn receive(&mut self, _leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        let here = |(_, at): &(Vec<u8>, MediaTime)| *at <= self.now;
        while channel == Channel::Rtp && self.queue.front().is_some_and(here) {
            let (bytes, at) = self.queue.pop_front().unwrap();
            sink(&bytes, peer(), at);
        }
    }

    fn send(&mut self, _leg: u32, channel: Channel, _to: SocketAddr, _packet: &[u8]) {
        if channel == Channel::Rtp {
            self.sent_ms.push(self.now.as_micros() / 1000);
        }
    }

    fn connect(&mut self, _leg: u32, _peer: Option<SocketAddr>) {}
    fn closed(&mut self, _leg: u32) {}
    fn flush(&mut self) {}
}

/// One leg, and a party that sends every 20 ms of its own clock.
struct Alone {
    worker: Worker,
    events: Receiver<Event>,
    io: Io,
    ms: u64,
    phase_us: u64,
    ppm: i64,
    jitter_us: u64,
    sent: u64,
    rng: StdRng,
}

impl Alone {
    fn new(phase_us: u64) -> Self {
        let (tx, events) = bounded(event_capacity(1));
        let mut alone = Self {
            worker: Worker::new(1, 1, tx),
            events,
            io: Io::default(),
            ms: 1000,
            phase_us,
            ppm: 0,
            jitter_us: 0,
            sent: 0,
            rng: StdRng::seed_from_u64(phase_us),
        };
        let params = LegParams::g711(Codec::Pcmu, Some(peer()));
        let leg = Leg::new(ID, params, settings()).unwrap();
        alone.apply(Command::Open(Box::new(leg)));
        alone
    }

    fn apply(&mut self, command: Command) {
        let time = TickTime {
            now: MediaTime::from_millis(self.ms),
            ntp: 0,
        };
        self.worker.apply(command, time, &mut self.io);
    }

    fn due_us(&self) -> u64 {
        let media = self.sent * 20_000;
        let drift = media as i64 * self.ppm / 1_000_000;
        (1_000_000 + self.phase_us + media).saturating_add_signed(drift)
    }

    /// Returns the leg if it has closed.
    fn run(&mut self, time: Duration) -> Option<Box<Leg>> {
        let mut closed = None;
        for ms in self.ms..self.ms + time.as_millis() as u64 {
            self.io.now = MediaTime::from_millis(ms);
            while self.due_us() < (ms + 1) * 1000 {
                let late_us = self.rng.random_range(0..=self.jitter_us);
                let at = MediaTime::from_micros(self.due_us() + late_us);
                let header = Header {
                    payload_type: PayloadType(0),
                    seq: SeqNo(self.sent as u16),
                    timestamp: Timestamp(self.sent as u32 * 160),
                    ssrc: Ssrc(7),
                    marker: false,
                };
                // A loud buzz, so that each gap is heard.
                let mut bytes = [if self.sent.is_multiple_of(2) {
                    0x90
                } else {
                    0x94
                }; 172];
                write_header(&mut bytes, &header);
                self.io.queue.push_back((bytes.to_vec(), at));
                self.sent += 1;
            }
            if self.worker.next_due(ms) == Some(ms) {
                self.worker.run(ms, ms << 32, &mut self.io);
            }
            for event in self.events.try_iter() {
                if let Event::Closed(leg) = event {
                    closed = Some(leg);
                }
            }
        }
        self.ms += time.as_millis() as u64;
        closed
    }

    /// Ends the leg.
    fn close(mut self) -> (Box<Leg>, Vec<u64>, u64) {
        let moves = self.worker.counts().moves;
        self.apply(Command::Close(ID));
        let leg = self.run(Duration::from_millis(30));
        (leg.unwrap(), self.io.sent_ms, moves)
    }
}

#[test]
fn packets_that_come_just_before_the_tick_may_be_late() {
    let mut moved = 0;
    for phase_us in (0..20_000).step_by(100) {
        let mut alone = Alone::new(phase_us);
        alone.run(Duration::from_millis(300));
        alone.jitter_us = 1900;
        alone.run(Duration::from_secs(10));
        let (leg, _, moves) = alone.close();
        assert_eq!(leg.stats().concealed_ms(), 0, "phase {phase_us} us");
        moved += u64::from(moves > 0);
    }
    // Those within the margin, and no others: each slot in use is a wake-up.
    assert!((20..=60).contains(&moved), "{moved} of 200 were moved");
}

#[test]
fn the_ticks_stay_near_where_they_began_while_the_clock_of_the_party_drifts() {
    for ppm in [-200, 200] {
        let mut alone = Alone::new(19_000);
        alone.ppm = ppm;
        alone.jitter_us = 300;
        alone.run(Duration::from_mins(10));
        let (leg, sent_ms, moves) = alone.close();
        // 120 ms of drift are six ticks, in each of which it goes out of the way and back.
        assert!(moves >= 30, "{ppm} ppm: {moves} moves");
        for (nth, &ms) in sent_ms.iter().enumerate() {
            let line = sent_ms[0] + nth as u64 * 20;
            assert!(ms.abs_diff(line) <= REACH_MS, "{ppm} ppm: {ms} for {line}");
        }
        // What the party's clock lacks is made up by stretching.
        assert!(
            leg.stats().concealed_ms() <= 60,
            "{ppm} ppm: {}",
            leg.stats().concealed_ms()
        );
    }
}
