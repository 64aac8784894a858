//! RTP over real sockets: a phone that sends a tone and keeps what it hears, and the ear that
//! judges it: which tone, at which level, without a gap.
//!
//! G.711 and the level are computed here, independent of the product.

use std::f64::consts::TAU;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Samples of a packet, 20 ms.
pub const PACKET: usize = 160;
/// A sender later than this makes the run void.
const LATE: Duration = Duration::from_millis(10);
/// What a playout bears in a young call, as in `pacing`; a later packet is concealed, as it should be.
const BORNE: Duration = Duration::from_millis(3);
/// A void run is repeated so often.
const REPEATS: usize = 3;
/// The level of a full-scale sine, dBm0 (G.711: the overload point).
#[allow(clippy::approx_constant, reason = "ITU-T G.711 §4, not pi")]
pub const OVERLOAD_DBM0: f64 = 3.14;
/// Below this is silence, dBm0.
pub const SILENT: f64 = -55.0;

/// How late the senders of a run were, at worst.
#[derive(Clone, Debug, Default)]
pub struct Timing(Arc<AtomicU64>);

impl Timing {
    fn note(&self, late: Duration) {
        self.0.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
    }

    fn worst(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Runs a test about audio. A run whose own sender was too late says nothing, whatever it found,
/// and is repeated; so is one that has found something wrong while its sender was later than the server
/// waits for. What is wrong in each run is wrong.
pub fn on_time(run: impl Fn(&Timing)) {
    let mut worst = Vec::new();
    for _ in 0..=REPEATS {
        let timing = Timing::default();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&timing)));
        if timing.worst() <= LATE {
            match outcome {
                Ok(()) => return,
                Err(panic) if timing.worst() <= BORNE => resume_unwind(panic),
                Err(_) => {}
            }
        }
        worst.push(timing.worst());
    }
    panic!("machine too busy: the sender was late by {worst:?}");
}

/// What a phone says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tone {
    /// Frequency.
    pub hz: f64,
    /// Level, dBm0.
    pub dbm0: f64,
}

/// A tone at the usual level.
pub fn tone(hz: u32) -> Tone {
    Tone {
        hz: f64::from(hz),
        dbm0: -16.0,
    }
}

/// G.711 by its payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// 0
    Mu,
    /// 8
    A,
}

impl Law {
    /// The static payload type.
    pub fn payload_type(self) -> u8 {
        match self {
            Law::Mu => 0,
            Law::A => 8,
        }
    }

    /// Decodes one byte (ITU-T G.711, tables 1a and 2a, in 16 bits).
    pub fn decode(self, code: u8) -> i16 {
        match self {
            Law::Mu => {
                let bits = !code;
                let segment = (bits >> 4) & 7;
                let magnitude = ((i16::from(bits & 15) * 8 + 132) << segment) - 132;
                if bits & 0x80 == 0 {
                    magnitude
                } else {
                    -magnitude
                }
            }
            Law::A => {
                let bits = code ^ 0x55;
                let step = i16::from(bits & 15) * 16 + 8;
                let magnitude = match (bits >> 4) & 7 {
                    0 => step,
                    segment => (step + 256) << (segment - 1),
                };
                if bits & 0x80 == 0 {
                    -magnitude
                } else {
                    magnitude
                }
            }
        }
    }

    /// Encodes one sample.
    pub fn encode_one(self, sample: i16) -> u8 {
        Self::encode(&self.table(), sample)
    }

    /// Encodes one sample: the code that decodes nearest.
    fn encode(table: &[(i16, u8)], sample: i16) -> u8 {
        let at = table.partition_point(|(value, _)| *value < sample);
        let near = table[at.saturating_sub(1)..(at + 1).min(table.len())].iter();
        near.min_by_key(|(value, _)| (i32::from(*value) - i32::from(sample)).abs())
            .unwrap()
            .1
    }

    fn table(self) -> Vec<(i16, u8)> {
        let mut table: Vec<_> = (0..=255).map(|code| (self.decode(code), code)).collect();
        table.sort_unstable();
        table
    }
}

/// A packet as it came.
#[derive(Clone, Debug)]
pub struct Packet {
    /// When.
    pub at: Instant,
    /// Whence.
    pub from: SocketAddr,
    /// Its marker.
    pub marker: bool,
    /// Its payload type.
    pub payload_type: u8,
    /// Its sequence number.
    pub seq: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its source.
    pub ssrc: u32,
    /// The codes.
    pub payload: Vec<u8>,
}

/// A packet of a performance: numbers are counted from its begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// In which 20 ms it is sent.
    pub slot: usize,
    /// Its sequence number.
    pub seq: u16,
    /// Its timestamp, at 8 kHz.
    pub timestamp: u32,
    /// The clock of its payload type, in multiples of 8 kHz.
    pub clock: u32,
    /// Its marker.
    pub marker: bool,
    /// Its payload type.
    pub payload_type: u8,
    /// The rest.
    pub payload: Vec<u8>,
}

/// Packets to be sent instead of speech, and when they were.
#[derive(Debug)]
struct Performance {
    to: SocketAddr,
    sends: Vec<Send>,
    /// The present slot, and what the numbers are counted from.
    now: usize,
    base: Option<(u16, u32)>,
    sent: Vec<Instant>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    /// What is being said, and to whom.
    speech: Mutex<Option<(SocketAddr, Tone, Law)>>,
    /// What goes before it.
    performance: Mutex<Option<Performance>>,
    performed: Condvar,
    heard: Mutex<Vec<Packet>>,
    grown: Condvar,
}

/// One party's RTP: a socket, a thread that sends every 20 ms, a thread that listens.
#[derive(Debug)]
pub struct Phone {
    /// Where it is.
    pub address: SocketAddr,
    socket: Arc<UdpSocket>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Phone {
    /// A silent phone.
    pub fn new(timing: &Timing, ip: IpAddr) -> Self {
        // Even, so that the next port is RTCP's: what the server sends there is not for us.
        let socket = loop {
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            if socket.local_addr().unwrap().port().is_multiple_of(2) {
                break Arc::new(socket);
            }
        };
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            speech: Mutex::new(None),
            performance: Mutex::new(None),
            performed: Condvar::new(),
            heard: Mutex::new(Vec::new()),
            grown: Condvar::new(),
        });
        let sender = {
            let (socket, shared, timing) = (socket.clone(), shared.clone(), timing.clone());
            std::thread::spawn(move || send(&socket, &shared, &timing))
        };
        let listener = {
            let (socket, shared) = (socket.clone(), shared.clone());
            std::thread::spawn(move || listen(&socket, &shared))
        };
        Self {
            address: socket.local_addr().unwrap(),
            socket,
            shared,
            threads: vec![sender, listener],
        }
    }

    /// On 127.0.0.1.
    pub fn v4(timing: &Timing) -> Self {
        Self::new(timing, IpAddr::from([127, 0, 0, 1]))
    }

    /// Says a tone from now on.
    pub fn say(&self, to: SocketAddr, tone: Tone) {
        self.say_in(to, tone, Law::Mu);
    }

    /// The same in this law.
    pub fn say_in(&self, to: SocketAddr, tone: Tone, law: Law) {
        *self.shared.speech.lock().unwrap() = Some((to, tone, law));
    }

    /// Sends nothing from now on.
    pub fn hush(&self) {
        *self.shared.speech.lock().unwrap() = None;
    }

    /// Sends these packets in the place of speech, each in its slot, and waits until all are sent:
    /// when each was, in the order of their slots. Speech goes on behind them.
    pub fn perform(&self, to: SocketAddr, mut sends: Vec<Send>) -> Vec<Instant> {
        sends.sort_by_key(|send| send.slot);
        let slots = sends.last().map_or(0, |last| last.slot as u32);
        let limit = Duration::from_millis(20) * slots + Duration::from_secs(5);
        let mut performance = self.shared.performance.lock().unwrap();
        *performance = Some(Performance {
            to,
            sent: Vec::with_capacity(sends.len()),
            sends,
            now: 0,
            base: None,
        });
        let unfinished = |p: &mut Option<Performance>| {
            let p = p.as_ref().unwrap();
            p.sent.len() < p.sends.len()
        };
        let (mut performance, wait) = self
            .shared
            .performed
            .wait_timeout_while(performance, limit, unfinished)
            .unwrap();
        assert!(!wait.timed_out(), "not sent within {limit:?}");
        performance.take().unwrap().sent
    }

    /// How many packets have come.
    pub fn count(&self) -> usize {
        self.shared.heard.lock().unwrap().len()
    }

    /// Listens for `packets` more packets, which are 20 ms each.
    pub fn listen(&self, packets: usize) -> Heard {
        self.listen_where(packets, |_| true)
    }

    /// Waits until `packets` more have come, or for `limit`.
    pub fn wait_for(&self, packets: usize, limit: Duration) {
        let heard = self.shared.heard.lock().unwrap();
        let wanted = heard.len() + packets;
        drop(
            self.shared
                .grown
                .wait_timeout_while(heard, limit, |heard| heard.len() < wanted)
                .unwrap(),
        );
    }

    /// Passes over what comes until `condition` holds for a packet, then listens for `packets`.
    pub fn listen_where(&self, packets: usize, condition: impl Fn(&Packet) -> bool) -> Heard {
        let limit = Duration::from_millis(20) * packets as u32 + Duration::from_secs(5);
        let deadline = Instant::now() + limit;
        let mut heard = self.shared.heard.lock().unwrap();
        let start = heard.len();
        loop {
            if let Some(first) = heard[start..].iter().position(&condition)
                && heard.len() >= start + first + packets
            {
                return Heard(heard[start + first..start + first + packets].to_vec());
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                panic!(
                    "{} packets instead of {packets} in {limit:?}",
                    heard.len() - start
                );
            };
            heard = self.shared.grown.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// Waits until `hz` is heard at or above -30 dBm0, or (`false`) until it no longer is.
    pub fn await_tone(&self, hz: f64, audible: bool) {
        for _ in 0..250 {
            let level = self.listen(2).level(hz);
            if (level > -30.0) == audible {
                return;
            }
        }
        panic!("{hz} Hz did not become audible={audible} in 10 s");
    }

    /// All packets so far.
    pub fn all(&self) -> Heard {
        Heard(self.shared.heard.lock().unwrap().clone())
    }

    /// No packet comes for `time`, after those on their way have come.
    pub fn assert_unsent_for(&self, time: Duration) {
        let heard = self.shared.heard.lock().unwrap();
        let before = heard.len();
        let (heard, _) = self
            .shared
            .grown
            .wait_timeout_while(heard, time, |heard| heard.len() == before)
            .unwrap();
        assert_eq!(heard.len(), before, "packets came in {time:?}");
    }

    /// Waits for a break of `gap` in what comes: what was on its way has come.
    pub fn await_break(&self, gap: Duration) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut heard = self.shared.heard.lock().unwrap();
        loop {
            let before = heard.len();
            let wait = self.shared.grown.wait_timeout(heard, gap).unwrap();
            heard = wait.0;
            if heard.len() == before && wait.1.timed_out() {
                return;
            }
            assert!(Instant::now() < deadline, "packets come without a break");
        }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there has been printed, and the test fails for what is missing.
            let _ = thread.join();
        }
    }
}

fn send(socket: &UdpSocket, shared: &Shared, timing: &Timing) {
    // Where it may be: a sender on time makes fewer runs void.
    let _ = antiphon::net::sys::set_fifo(1);
    let tables = [Law::Mu.table(), Law::A.table()];
    let unique = Instant::now();
    let ssrc = (std::process::id() << 16) ^ (std::ptr::from_ref(&unique) as usize as u32);
    let (mut seq, mut timestamp, mut sample) = (100u16, 1000u32, 0u64);
    let mut due = Instant::now();
    let mut spoke = None;
    while !shared.stop.load(Ordering::Relaxed) {
        due += Duration::from_millis(20);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Silent or not: where this one was late, the server may have been too.
        timing.note(Instant::now().saturating_duration_since(due));
        if let Some(numbers) = perform(socket, shared, (seq, timestamp), ssrc) {
            seq = numbers;
            sample += PACKET as u64;
            timestamp = timestamp.wrapping_add(PACKET as u32);
            continue;
        }
        let speech = *shared.speech.lock().unwrap();
        if let Some((to, tone, law)) = speech {
            let table = &tables[usize::from(law == Law::A)];
            let amplitude = 32767.0 * 10f64.powf((tone.dbm0 - OVERLOAD_DBM0) / 20.0);
            let mut packet = vec![
                0x80,
                law.payload_type() | if spoke.is_none() { 0x80 } else { 0 },
            ];
            packet.extend_from_slice(&seq.to_be_bytes());
            packet.extend_from_slice(&timestamp.to_be_bytes());
            packet.extend_from_slice(&ssrc.to_be_bytes());
            for n in 0..PACKET as u64 {
                let phase = TAU * tone.hz * (sample + n) as f64 / 8000.0;
                packet.push(Law::encode(table, (amplitude * phase.sin()).round() as i16));
            }
            // Refused where the server has closed its port, which the test knows.
            let _ = socket.send_to(&packet, to);
            seq = seq.wrapping_add(1);
        }
        spoke = speech.map(|_| ());
        sample += PACKET as u64;
        timestamp = timestamp.wrapping_add(PACKET as u32);
    }
}

/// Sends what a performance has in this slot; the number that follows it. None: there is nothing
/// left of it.
fn perform(socket: &UdpSocket, shared: &Shared, numbers: (u16, u32), ssrc: u32) -> Option<u16> {
    let mut performance = shared.performance.lock().unwrap();
    let p = performance.as_mut()?;
    if p.sent.len() == p.sends.len() {
        return None;
    }
    let (seq, timestamp) = *p.base.get_or_insert(numbers);
    while let Some(send) = p.sends.get(p.sent.len()).filter(|s| s.slot <= p.now) {
        let mut packet = vec![0x80, send.payload_type | if send.marker { 0x80 } else { 0 }];
        packet.extend_from_slice(&seq.wrapping_add(send.seq).to_be_bytes());
        let stamp = timestamp.wrapping_add(send.timestamp);
        packet.extend_from_slice(&stamp.wrapping_mul(send.clock).to_be_bytes());
        packet.extend_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&send.payload);
        // Refused where the server has closed its port, which the test knows.
        let _ = socket.send_to(&packet, p.to);
        p.sent.push(Instant::now());
    }
    p.now += 1;
    if p.sent.len() == p.sends.len() {
        shared.performed.notify_all();
    }
    let last = p.sends.iter().map(|s| s.seq).max().unwrap_or(0);
    Some(seq.wrapping_add(last).wrapping_add(1))
}

fn listen(socket: &UdpSocket, shared: &Shared) {
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let at = Instant::now();
        let packet = &buffer[..length];
        // RTCP that shares the port is not audio (RFC 5761 §4).
        if length < 12 || packet[0] != 0x80 || (200..=207).contains(&packet[1]) {
            continue;
        }
        let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        shared.heard.lock().unwrap().push(Packet {
            at,
            from,
            marker: packet[1] & 0x80 != 0,
            payload_type: packet[1] & 0x7f,
            seq: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: word(4),
            ssrc: word(8),
            payload: packet[12..].to_vec(),
        });
        shared.grown.notify_all();
    }
}

/// Packets that came one after the other.
#[derive(Clone, Debug)]
pub struct Heard(pub Vec<Packet>);

impl Heard {
    /// The audio.
    pub fn samples(&self) -> Vec<i16> {
        let decode = |packet: &Packet| {
            let law = if packet.payload_type == 8 {
                Law::A
            } else {
                Law::Mu
            };
            packet
                .payload
                .iter()
                .map(move |code| law.decode(*code))
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(decode).collect()
    }

    /// The level of one frequency over all of it, dBm0.
    pub fn level(&self, hz: f64) -> f64 {
        level(&self.samples(), hz)
    }

    /// One source, every number once, every timestamp the next: nothing lost on the way here,
    /// nothing left out.
    pub fn assert_unbroken(&self) {
        for (n, pair) in self.0.windows(2).enumerate() {
            let [a, b] = pair else { unreachable!() };
            assert_eq!(b.ssrc, a.ssrc, "packet {n}");
            assert_eq!(b.seq, a.seq.wrapping_add(1), "packet {n}");
            let step = b.timestamp.wrapping_sub(a.timestamp) as usize;
            assert_eq!(step, a.payload.len(), "timestamp of packet {n}");
        }
    }

    /// This tone, within 1 dB, in each 20 ms of it.
    pub fn assert_steady(&self, tone: Tone) {
        self.assert_unbroken();
        let samples = self.samples();
        assert_level(&samples, tone);
        for (n, window) in samples.chunks_exact(PACKET).enumerate() {
            let heard = level(window, tone.hz);
            let off = (heard - tone.dbm0).abs();
            assert!(
                off <= 1.0,
                "{tone:?} is {heard:.1} dBm0 in packet {n} of {}",
                self.0.len()
            );
        }
    }

    /// This tone within 1 dB over all of it.
    pub fn assert_tone(&self, tone: Tone) {
        assert_level(&self.samples(), tone);
    }

    /// Nothing of this frequency.
    pub fn assert_absent(&self, hz: f64) {
        let heard = self.level(hz);
        assert!(heard < SILENT, "{hz} Hz is {heard:.1} dBm0");
    }

    /// Nothing at all.
    pub fn assert_silent(&self) {
        let heard = power(&self.samples());
        assert!(heard < SILENT, "{heard:.1} dBm0 instead of silence");
    }
}

/// A tone within 1 dB.
pub fn assert_level(samples: &[i16], tone: Tone) {
    let heard = level(samples, tone.hz);
    assert!(
        (heard - tone.dbm0).abs() <= 1.0,
        "{tone:?} is heard at {heard:.1} dBm0"
    );
}

/// The level of one frequency, dBm0 (Goertzel's sum; a whole number of periods is best).
pub fn level(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let phase = TAU * hz * n as f64 / 8000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    let amplitude = 2.0 * re.hypot(im) / samples.len().max(1) as f64;
    dbm0(amplitude)
}

/// The level of all together, dBm0.
pub fn power(samples: &[i16]) -> f64 {
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    dbm0((2.0 * sum / samples.len().max(1) as f64).sqrt())
}

fn dbm0(amplitude: f64) -> f64 {
    20.0 * (amplitude.max(0.1) / 32767.0).log10() + OVERLOAD_DBM0
}
