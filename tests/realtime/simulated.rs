//! A worker on a simulated network, in simulated time.

use std::collections::VecDeque;
use std::net::SocketAddr;

use antiphon::audio::MediaTime;
use antiphon::leg::{Channel, MediaIo, Sink, TickTime};
use antiphon::srtp::{MAX_OVERHEAD, MasterKey, Outbound, SrtpError, Suite};
use antiphon::worker::{Command, Worker, WorkerCounts};
use crossbeam_channel::bounded;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::director::{Director, Tellings};
use crate::party::{Datagram, Party};
use crate::random::Random;
use crate::tally::{Logs, Tally};

/// What went out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    pub rtp: u64,
    pub rtcp: u64,
    pub connects: u64,
}

/// The parties' network; takes no memory while it works.
struct Net {
    parties: Vec<Party>,
    now_ms: u64,
    sent: Sent,
    /// What the parties of legs at even places encrypt with.
    key: MasterKey,
    /// RTCP that waits until its socket is read.
    rtcp: Vec<([u8; 640], usize)>,
}

/// Each packet as the first under the key: it needs no state and takes no memory. What is no packet
/// stays what it is.
fn protect<'a>(key: &MasterKey, datagram: &Datagram<'a>, room: &'a mut [u8]) -> &'a [u8] {
    let bytes = datagram.bytes;
    room[..bytes.len()].copy_from_slice(bytes);
    let room = &mut room[..bytes.len() + MAX_OVERHEAD];
    let mut out = Outbound::new(key);
    let sealed: Result<usize, SrtpError> = match datagram.channel {
        Channel::Rtp => out.protect_rtp(room, bytes.len()),
        Channel::Rtcp => out.protect_rtcp(room, bytes.len()),
    };
    sealed.map_or(bytes, |len| &room[..len])
}

pub fn peer(leg: u32) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + leg as u8], 4000))
}

impl MediaIo for Net {
    fn receive(&mut self, leg: u32, channel: Channel, sink: &mut Sink<'_>) {
        let waiting = &mut self.rtcp[leg as usize];
        let from = peer(leg);
        if channel == Channel::Rtcp {
            let len = std::mem::take(&mut waiting.1);
            if len > 0 {
                sink(&waiting.0[..len], from, MediaTime::from_millis(self.now_ms));
            }
            return;
        }
        let key = &self.key;
        let mut room = [0; 2048];
        self.parties[leg as usize].poll(self.now_ms, |datagram| {
            let mut bytes = datagram.bytes;
            if leg.is_multiple_of(2) {
                bytes = protect(key, &datagram, &mut room);
            }
            if datagram.channel == Channel::Rtcp {
                waiting.0[..bytes.len()].copy_from_slice(bytes);
                waiting.1 = bytes.len();
                return;
            }
            let from = if datagram.foreign {
                SocketAddr::from(([203, 0, 113, 9], 9))
            } else {
                from
            };
            sink(bytes, from, MediaTime::from_millis(datagram.at_ms));
        });
    }

    fn send(&mut self, _: u32, channel: Channel, _: SocketAddr, packet: &[u8]) {
        assert!(packet.len() >= 12);
        match channel {
            Channel::Rtp => self.sent.rtp += 1,
            Channel::Rtcp => self.sent.rtcp += 1,
        }
    }

    fn connect(&mut self, _: u32, _: Option<SocketAddr>) {
        self.sent.connects += 1;
    }

    fn closed(&mut self, _: u32) {}

    fn flush(&mut self) {}
}

/// A run: `legs` callers for `seconds` of media, the events in a channel of `events` places.
pub fn run(
    seed: u64,
    seconds: u64,
    legs: usize,
    events: usize,
    tally: &'static Tally,
) -> (Tellings, Sent, WorkerCounts) {
    Logs::install();
    let bridges = 6;
    let (event_tx, event_rx) = bounded(events);
    let (frames, recorder) = bounded(64);
    let mut worker = Worker::new(legs, bridges, event_tx);
    let suite = Suite::ALL[seed as usize % 4];
    let key = MasterKey::random(suite, &mut StdRng::seed_from_u64(seed));
    let mut director = Director::new(seed, legs, bridges, frames).secure(key.clone());
    let mut net = Net {
        parties: (0..legs as u64)
            .map(|i| Party::new(seed ^ i << 32))
            .collect(),
        now_ms: 0,
        sent: Sent::default(),
        key,
        rtcp: vec![([0; 640], 0); legs],
    };
    let mut random = Random::new(!seed);
    let mut commands: VecDeque<Command> = VecDeque::new();
    let mut ms = 1;
    loop {
        let over = ms > seconds * 1000;
        if ms == seconds * 1000 {
            commands.extend(director.end());
            commands.extend(director.end_bridges());
        } else if !over {
            for _ in 0..random.below(4) {
                commands.extend(director.next(peer));
            }
        } else if worker.next_due(ms).is_none() || ms > seconds * 1000 + 5000 {
            break;
        }
        let due = worker.next_due(ms).unwrap_or(ms + 5).min(ms + 5);
        net.now_ms = due;
        let time = TickTime {
            now: MediaTime::from_millis(due),
            ntp: due << 22,
        };
        tally.watch(|| {
            // As the engine does: what waits to be told comes first.
            while !worker.is_behind()
                && let Some(command) = commands.pop_front()
            {
                worker.apply(command, time, &mut net);
            }
            worker.run(due, time.ntp, &mut net);
        });
        for event in event_rx.try_iter() {
            director.heard(event);
        }
        director.supply();
        // The recorder's queue runs full at times.
        if random.below(4) == 0 {
            recorder.try_iter().count();
        }
        // Now and then the thread did not get to run, and what it missed is left out.
        ms =
            due + if random.below(2000) == 0 {
                20 * random.below(8)
            } else {
                0
            } + 1;
    }
    (director.told, net.sent, worker.counts())
}
