//! The load: every leg sends a packet each 20 ms (silent listeners: each second) by absolute
//! time, at a phase of its own. One
//! thread, one connected socket per leg. Arrival times are the kernel's, so that when a socket is
//! read does not matter: one receive takes several packets.

use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use antiphon::audio::MediaTime;
use antiphon::net::sys::{self, Batch, SendCounters};
use antiphon::srtp::{MAX_OVERHEAD, Suite};

use super::super::cable;
use super::format::{Ear, Format, Payloads};
use super::listener::Listener;
use super::secure::Secure;
use super::speech::{Plan, Speech};

/// A packet time, ns.
const PERIOD_NS: u64 = 20_000_000;
/// Phases in a packet time.
const PHASES: usize = 20;
/// Buckets of the timing wheel: more grains than a packet time has.
const BUCKETS: u64 = 128;
/// A leg's socket is read once in so many packet times: what one call takes. More would keep the
/// server's sends out of the caches; less costs a call for each packet.
const READ_EVERY: u64 = 3;
/// The longest packet: 20 ms of L16 at 16 kHz, its header, and what encryption adds.
const MAX_PACKET: usize = 12 + 640 + MAX_OVERHEAD;

/// What is to be generated.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many legs.
    pub legs: usize,
    /// Over so many rooms.
    pub rooms: usize,
    /// What they say.
    pub speech: Speech,
    /// What they send and receive.
    pub format: Format,
    /// How many of them look for bursts.
    pub measured: usize,
    /// Their clocks are off by up to so many millionths, both ways.
    pub drift_ppm: u32,
    /// How what they send and receive is encrypted.
    pub srtp: Option<Suite>,
    /// In the clear, they work as if it were encrypted by this: two loads cost their server the same
    /// only if they work the same beside it.
    pub toil: Option<Suite>,
}

/// One leg of the generator.
#[derive(Debug)]
pub struct LoadLeg {
    /// Its socket, connected to the server's.
    pub socket: UdpSocket,
    /// What it hears.
    pub listener: Listener,
    /// Its keys, where it is encrypted.
    pub secure: Option<Box<Secure>>,
    toil: Option<Box<Secure>>,
    /// Its room.
    pub room: usize,
    member: usize,
    seq: u16,
    ssrc: u32,
    /// The next packet, ns of the time line; and from one to the next.
    due_ns: u64,
    period_ns: u64,
    /// Packet times so far, those included in which it has left its packet out.
    turns: u64,
    /// Whether it has left out the last one.
    left_out: bool,
    bursting: bool,
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
    /// Bursts that were sent while measuring, by room.
    pub onsets: Vec<Vec<Onset>>,
    /// How late the generator's own sends began, us.
    pub lateness: Vec<i64>,
    /// Packets that the kernel did not take.
    pub refused: u64,
    /// CPU time while measuring.
    pub cpu: Duration,
    all_talking: bool,
    plans: Vec<Plan>,
    payloads: Payloads,
    /// Grains so far, and how long one is.
    grain: u64,
    grain_ns: u64,
    wheel: Vec<Vec<usize>>,
    batch: Batch,
}

impl LoadLeg {
    /// Leg number `index`, on a socket of its own.
    pub fn bind(index: usize, shape: &Shape) -> std::io::Result<LoadLeg> {
        let socket = UdpSocket::bind((cable::phones(), 0))?;
        socket.set_nonblocking(true)?;
        sys::enable_timestamps(&socket)?;
        // Those who measure are spread over all; the products of the count step at each of them.
        let measured = shape.measured.min(shape.legs);
        let hears = (index + 1) * measured / shape.legs > index * measured / shape.legs;
        let ear = if hears {
            Ear::new(shape.format)
        } else {
            Ear::Deaf
        };
        Ok(LoadLeg {
            socket,
            listener: Listener::new(ear, shape.format.ticks()),
            secure: shape.srtp.map(|suite| Box::new(Secure::new(suite, index))),
            toil: shape.toil.map(|suite| Box::new(Secure::new(suite, index))),
            room: index % shape.rooms,
            member: index / shape.rooms,
            seq: index as u16,
            ssrc: 0x1000 + index as u32,
            due_ns: 0,
            period_ns: PERIOD_NS,
            turns: 0,
            left_out: false,
            bursting: false,
            sent: 0,
        })
    }

    /// Writes the next packet into `packet`, marked if none came right before it; returns its length.
    fn packet(
        &mut self,
        payload: &[u8],
        format: Format,
        marked: bool,
        packet: &mut [u8; MAX_PACKET],
    ) -> usize {
        packet[0] = 0x80;
        packet[1] = format.payload_type() | if marked { 0x80 } else { 0 };
        packet[2..4].copy_from_slice(&self.seq.to_be_bytes());
        let timestamp = (self.turns as u32).wrapping_mul(format.ticks());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[12..12 + payload.len()].copy_from_slice(payload);
        self.seq = self.seq.wrapping_add(1);
        self.sent += 1;
        12 + payload.len()
    }

    /// Reads what waits.
    pub fn receive(&mut self, batch: &mut Batch) {
        sys::recv_batch(&self.socket, batch);
        for packet in batch.packets() {
            let arrival_ns = packet.stamp.map_or_else(wall_ns, |s| s.0);
            // Who is deaf looks at headers alone, which are in the clear.
            let clear = match &mut self.secure {
                Some(secure) if self.listener.hears() => secure.open(packet.bytes),
                _ => Some(packet.bytes),
            };
            if let Some(toil) = self.toil.as_mut().filter(|_| self.listener.hears()) {
                toil.work(packet.bytes);
            }
            if let Some(clear) = clear {
                self.listener.on_datagram(clear, arrival_ns);
            }
        }
    }
}

impl Load {
    /// The load of these legs.
    pub fn new(mut legs: Vec<LoadLeg>, shape: &Shape) -> Load {
        let members = |room: usize| (shape.legs - room).div_ceil(shape.rooms);
        let plans: Vec<Plan> = (0..shape.rooms)
            .map(|room| Plan::new(shape.speech, room, members(room)))
            .collect();
        // Clocks that drift move by less than a grain of 1 ms for long.
        let grain_ns = if shape.drift_ppm == 0 {
            1_000_000
        } else {
            250_000
        };
        let mut wheel = vec![Vec::new(); BUCKETS as usize];
        for (i, leg) in legs.iter_mut().enumerate() {
            let leader = plans[leg.room].phase_of(leg.member);
            // Phones are not in step: 7 has no factor in common with 20.
            let phase = (leader * 7 + leg.room * 3) % PHASES;
            leg.due_ns = phase as u64 * PERIOD_NS / PHASES as u64;
            let place = (leader * shape.rooms + leg.room) as f64 / (shape.legs - 1).max(1) as f64;
            let ppm = shape.drift_ppm as f64 * (2.0 * place - 1.0);
            leg.period_ns = (PERIOD_NS as f64 * (1.0 + ppm / 1e6)).round() as u64;
            wheel[(leg.due_ns / grain_ns) as usize].push(i);
        }
        Load {
            legs,
            onsets: vec![Vec::new(); shape.rooms],
            lateness: Vec::new(),
            refused: 0,
            cpu: Duration::ZERO,
            all_talking: shape.speech.all_talking,
            plans,
            payloads: Payloads::new(shape.format, members(0)),
            grain: 0,
            grain_ns,
            wheel,
            batch: Batch::new(),
        }
    }

    /// The same in so many parts, each with rooms of its own, for a thread each.
    pub fn split(self, shape: &Shape, parts: usize) -> Vec<Load> {
        let mut legs: Vec<Vec<LoadLeg>> = (0..parts).map(|_| Vec::new()).collect();
        for leg in self.legs {
            legs[leg.room % parts].push(leg);
        }
        legs.into_iter()
            .map(|legs| Load::new(legs, shape))
            .collect()
    }

    /// Sends and receives for so long; notes bursts if `measure`.
    pub fn run(&mut self, length: Duration, measure: bool) {
        self.run_parts(&[(length, measure)]);
    }

    /// The same for one part after the other, without a pause, which the server would take for the network's;
    /// counts begin with each part that is measured.
    pub fn run_parts(&mut self, parts: &[(Duration, bool)]) {
        // Goes on where it stopped: what has passed between two runs is left out.
        let start_ns = sys::monotonic_now().as_micros() * 1000 + 1_000_000;
        let first = self.grain;
        let mut last = first;
        for &(length, measure) in parts {
            if measure {
                self.clear();
            }
            let cpu = sys::thread_cpu_time();
            last += length.as_nanos() as u64 / self.grain_ns;
            while self.grain < last {
                let bucket = (self.grain % BUCKETS) as usize;
                if !self.wheel[bucket].is_empty() {
                    let due_ns = start_ns + (self.grain - first) * self.grain_ns;
                    let due = MediaTime::from_micros(due_ns / 1000);
                    sys::sleep_until(due);
                    if measure {
                        let late = sys::monotonic_now().since(due);
                        self.lateness.push(late.as_micros() as i64);
                    }
                    self.turn(bucket, measure);
                }
                self.grain += 1;
            }
            if measure {
                self.cpu += sys::thread_cpu_time().saturating_sub(cpu);
            }
        }
    }

    /// All that is due in one grain: first the sends, which are to be on time.
    fn turn(&mut self, bucket: usize, measure: bool) {
        let mut due = std::mem::take(&mut self.wheel[bucket]);
        for &i in &due {
            self.send(i, measure);
        }
        for i in due.drain(..) {
            let leg = &mut self.legs[i];
            if (leg.turns + i as u64).is_multiple_of(READ_EVERY) {
                leg.receive(&mut self.batch);
            }
            leg.turns += 1;
            leg.due_ns += leg.period_ns;
            self.wheel[(leg.due_ns / self.grain_ns % BUCKETS) as usize].push(i);
        }
        self.wheel[bucket] = due;
    }

    /// Reads all sockets empty.
    pub fn drain(&mut self) {
        for leg in &mut self.legs {
            leg.receive(&mut self.batch);
        }
    }

    /// Starts the counts afresh.
    pub fn clear(&mut self) {
        for leg in &mut self.legs {
            leg.listener.onsets.clear();
        }
        self.onsets.iter_mut().for_each(Vec::clear);
        self.lateness.clear();
        self.cpu = Duration::ZERO;
    }

    fn send(&mut self, index: usize, measure: bool) {
        let leg = &mut self.legs[index];
        let tick = leg.due_ns / PERIOD_NS;
        if self.plans[leg.room].leaves_out(leg.member, leg.turns) {
            leg.left_out = true;
            return;
        }
        let burst = self.plans[leg.room].burst(leg.member, tick);
        let payload = if let Some(number) = burst {
            self.payloads.burst(number)
        } else if self.all_talking {
            self.payloads.murmur(index, tick)
        } else {
            &self.payloads.quiet
        };
        let mut packet = [0u8; MAX_PACKET];
        let marked = leg.sent == 0 || std::mem::take(&mut leg.left_out);
        let length = leg.packet(payload, self.payloads.format, marked, &mut packet);
        if let Some(toil) = &mut leg.toil {
            toil.work(&packet[..length]);
        }
        let length = match &mut leg.secure {
            Some(secure) => secure.seal(&mut packet, length),
            None => length,
        };
        if burst.is_some() && !leg.bursting && measure {
            self.onsets[leg.room].push(Onset {
                sent_ns: wall_ns(),
                leg: index,
            });
        }
        leg.bursting = burst.is_some();
        let mut counters = SendCounters::default();
        if !sys::send(&leg.socket, &packet[..length], None, &mut counters) {
            self.refused += 1;
        }
    }

    /// From the sending of each burst to its arrival at each other leg of the room that measures,
    /// ns; and how many never arrived.
    pub fn latencies(&self) -> (Vec<i64>, usize) {
        let mut latencies = Vec::new();
        let mut missed = 0;
        for (i, leg) in self.legs.iter().enumerate() {
            if !leg.listener.hears() {
                continue;
            }
            let onsets = &self.onsets[leg.room];
            let mut heard = leg.listener.onsets.iter().peekable();
            for (n, onset) in onsets.iter().enumerate().filter(|(_, o)| o.leg != i) {
                while heard.next_if(|&&at| at < onset.sent_ns).is_some() {}
                // A burst that is heard later than the next one begins is taken for that.
                let next_ns = onsets.get(n + 1).map_or(i64::MAX, |o| o.sent_ns);
                match heard.next_if(|&&at| at < next_ns) {
                    Some(at) => latencies.push(at - onset.sent_ns),
                    None => missed += 1,
                }
            }
        }
        (latencies, missed)
    }

    /// From the sending of each burst to its arrival back at the same leg, ns.
    pub fn round_trips(&self) -> Vec<i64> {
        let onsets = self.onsets.iter().flatten();
        onsets
            .filter_map(|onset| {
                let heard = &self.legs[onset.leg].listener.onsets;
                let at = heard.get(heard.partition_point(|at| *at < onset.sent_ns))?;
                Some(at - onset.sent_ns)
            })
            .collect()
    }
}

fn wall_ns() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |d| d.as_nanos() as i64)
}
