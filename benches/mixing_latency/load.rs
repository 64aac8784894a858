//! The load: every leg sends a packet each 20 ms by absolute time, at a phase of its own, and is
//! drained once per 20 ms. One thread, one socket per leg. Arrival times are the kernel's, so that
//! when the socket is read does not matter.

use std::f64::consts::TAU;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use antiphon::audio::MediaTime;
use antiphon::codec::g711;
use antiphon::net::sys::{self, Batch, SendCounters};

use crate::listener::{FRAME, Listener};

/// Slots of 1 ms in a packet time.
const SLOTS: usize = 20;
/// A talker bursts once in so many packet times (500 ms).
const PERIOD: u64 = 25;
/// For so many (100 ms).
const BURST: u64 = 5;

/// What the legs say.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    /// How many burst within each half second, each in its share of it.
    pub talkers: usize,
    /// Whether all the others are heard too, quietly.
    pub all_talking: bool,
}

/// One leg of the generator.
#[derive(Debug)]
pub struct LoadLeg {
    /// Its socket, connected to the server's.
    pub socket: UdpSocket,
    /// What it hears.
    pub listener: Listener,
    slot: usize,
    seq: u16,
    ssrc: u32,
    /// Packets sent.
    pub sent: u64,
}

/// When a burst was sent, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Onset {
    /// Wall clock, ns, just before the send.
    pub sent_ns: i64,
    /// The leg.
    pub leg: usize,
}

/// All of it.
pub struct Load {
    /// The legs.
    pub legs: Vec<LoadLeg>,
    /// Bursts that were sent while measuring.
    pub onsets: Vec<Onset>,
    /// How late the generator's own slots began, us.
    pub lateness: Vec<i64>,
    /// Packets that the kernel did not take.
    pub refused: u64,
    speech: Speech,
    /// Packet times so far.
    tick: u64,
    slots: Vec<Vec<usize>>,
    frames: Frames,
    batch: Batch,
}

#[derive(Debug)]
struct Frames {
    burst: [u8; FRAME],
    quiet: [u8; FRAME],
    murmur: Vec<[u8; FRAME]>,
}

impl Speech {
    /// Packet times from one burst to the next.
    fn share(self) -> u64 {
        PERIOD / self.talkers as u64
    }
}

impl LoadLeg {
    /// A leg on a socket of its own, on loopback.
    pub fn bind(index: usize) -> std::io::Result<LoadLeg> {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        socket.set_nonblocking(true)?;
        sys::enable_timestamps(&socket)?;
        Ok(LoadLeg {
            socket,
            listener: Listener::default(),
            // Phones are not in step: 7 has no factor in common with 20.
            slot: index * 7 % SLOTS,
            seq: index as u16,
            ssrc: 0x1000 + index as u32,
            sent: 0,
        })
    }
}

impl Load {
    /// The load of these legs.
    pub fn new(legs: Vec<LoadLeg>, speech: Speech) -> Load {
        let mut slots = vec![Vec::new(); SLOTS];
        for (i, leg) in legs.iter().enumerate() {
            slots[leg.slot].push(i);
        }
        Load {
            legs,
            onsets: Vec::new(),
            lateness: Vec::new(),
            refused: 0,
            speech,
            tick: 0,
            slots,
            frames: Frames::new(),
            batch: Batch::new(),
        }
    }

    /// Sends and receives for so long; notes bursts if `measure`.
    pub fn run(&mut self, length: Duration, measure: bool) {
        let start_ms = sys::monotonic_now().as_millis() + 1;
        let ticks = length.as_millis() as u64 / SLOTS as u64;
        for tick in 0..ticks {
            for slot in 0..SLOTS {
                let due = MediaTime::from_millis(start_ms + tick * SLOTS as u64 + slot as u64);
                sys::sleep_until(due);
                if measure {
                    let late = sys::monotonic_now().since(due);
                    self.lateness.push(late.as_micros() as i64);
                }
                for i in 0..self.slots[slot].len() {
                    self.send(self.slots[slot][i], measure);
                }
                // Half a packet time after their own sending, so that this is spread too.
                self.receive((slot + SLOTS / 2) % SLOTS);
            }
            self.tick += 1;
        }
    }

    /// Reads all sockets empty.
    pub fn drain(&mut self) {
        for slot in 0..SLOTS {
            self.receive(slot);
        }
    }

    /// Starts the counts afresh.
    pub fn clear(&mut self) {
        for leg in &mut self.legs {
            leg.listener.onsets.clear();
        }
        self.onsets.clear();
        self.lateness.clear();
    }

    fn send(&mut self, index: usize, measure: bool) {
        let tick = self.tick;
        let (talker, place) = self.talker(index, tick);
        let leg = &mut self.legs[index];
        let payload = if talker && place < BURST {
            &self.frames.burst
        } else if self.speech.all_talking {
            let n = self.frames.murmur.len();
            &self.frames.murmur[(index + tick as usize) % n]
        } else {
            &self.frames.quiet
        };
        let mut packet = [0u8; 12 + FRAME];
        packet[0] = 0x80;
        packet[1] = if leg.sent == 0 { 0x80 } else { 0 };
        packet[2..4].copy_from_slice(&leg.seq.to_be_bytes());
        let timestamp = (leg.sent as u32).wrapping_mul(FRAME as u32);
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&leg.ssrc.to_be_bytes());
        packet[12..].copy_from_slice(payload);
        if talker && place == 0 && measure {
            self.onsets.push(Onset {
                sent_ns: wall_ns(),
                leg: index,
            });
        }
        let mut counters = SendCounters::default();
        if !sys::send(&leg.socket, &packet, None, &mut counters) {
            self.refused += 1;
        }
        leg.seq = leg.seq.wrapping_add(1);
        leg.sent += 1;
    }

    /// Whether this leg is a talker now, and how long since its burst began. The part of talker
    /// goes around among all legs, so that all phases against the mixer's tick are measured.
    fn talker(&self, index: usize, tick: u64) -> (bool, u64) {
        let share = self.speech.share();
        let turn = tick / share;
        let place = tick % share;
        // A step without a common factor with any number of legs that is likely here.
        let speaks = turn as usize * 37 % self.legs.len() == index;
        (speaks, place)
    }

    fn receive(&mut self, slot: usize) {
        let Load {
            batch, legs, slots, ..
        } = self;
        for &i in &slots[slot] {
            let leg = &mut legs[i];
            sys::recv_batch(&leg.socket, batch);
            for packet in batch.packets() {
                let arrival_ns = packet.stamp.map_or_else(wall_ns, |s| s.0);
                leg.listener.on_datagram(packet.bytes, arrival_ns);
            }
        }
    }

    /// From the sending of each burst to its arrival at each other leg, ns; and how many never
    /// arrived.
    pub fn latencies(&self) -> (Vec<i64>, usize) {
        let mut latencies = Vec::new();
        let mut missed = 0;
        // A burst that is heard later than the next one begins would be taken for that.
        let limit_ns = self.speech.share() as i64 * 20_000_000;
        for (i, leg) in self.legs.iter().enumerate() {
            let mut heard = leg.listener.onsets.iter().peekable();
            for onset in self.onsets.iter().filter(|o| o.leg != i) {
                while heard.next_if(|&&at| at < onset.sent_ns).is_some() {}
                match heard.next_if(|&&at| at - onset.sent_ns < limit_ns) {
                    Some(at) => latencies.push(at - onset.sent_ns),
                    None => missed += 1,
                }
            }
        }
        (latencies, missed)
    }
}

impl Frames {
    fn new() -> Self {
        // Loud from its first sample on: a cosine of 1 kHz.
        let tone = |i: usize| (16_000.0 * (i as f64 / 8.0 * TAU).cos()) as i16;
        let mut noise = 1u32;
        let mut murmur = |_| {
            std::array::from_fn(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                g711::ulaw_encode((noise >> 16) as i16 / 800)
            })
        };
        Self {
            burst: std::array::from_fn(|i| g711::ulaw_encode(tone(i))),
            quiet: [0xff; FRAME],
            murmur: (0..97).map(&mut murmur).collect(),
        }
    }
}

fn wall_ns() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |d| d.as_nanos() as i64)
}
