//! One caller: sends a packet every 20 ms, presses its digits as telephone events, and hears which
//! of the two prompts plays.

use std::net::UdpSocket;
use std::time::SystemTime;

use antiphon::net::sys::{self, Batch, SendCounters};
use rand::Rng;
use rand::rngs::StdRng;

/// The payload type of telephone events.
const EVENT_TYPE: u8 = 101;
/// Packets of an event before its end: 100 ms in all.
const UPDATES: u32 = 4;
/// Its last report goes out so often.
const ENDS: u32 = 3;
/// A prompt has played for so long before it is cut short, ms.
const LEAST_MS: u64 = 600;
/// And for so much longer at most.
const SPREAD_MS: u64 = 800;
/// What has not worked after so long never will.
const PATIENCE_MS: u64 = 3000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prompt {
    None,
    Low,
    High,
}

/// A caller.
pub struct Caller {
    socket: UdpSocket,
    ssrc: u32,
    seq: u16,
    packets: u32,
    /// Pauses before the digits, ms; the last is first.
    pauses: Vec<u64>,
    heard: Prompt,
    /// Since when the prompt plays, ms of the run.
    since: Option<u64>,
    press: Option<Press>,
    /// How long each prompt went on behind its digit, us.
    pub stops_us: Vec<i64>,
    now_ms: u64,
}

struct Press {
    /// Packets of it so far.
    packets: u32,
    timestamp: u32,
    begun_ms: u64,
    /// Wall clock just before the first packet, us.
    sent_us: i64,
    /// The prompt that it is to end.
    ends: Prompt,
    over: bool,
}

impl Caller {
    /// A caller on a socket that is connected to the server's.
    pub fn new(number: usize, socket: UdpSocket, digits: usize, rng: &mut StdRng) -> Caller {
        socket.set_nonblocking(true).expect("a socket");
        sys::enable_timestamps(&socket).expect("a socket");
        let pauses = (0..digits).map(|_| LEAST_MS + rng.random_range(0..SPREAD_MS));
        Caller {
            socket,
            ssrc: 0x2000 + number as u32,
            seq: number as u16,
            packets: 0,
            pauses: pauses.collect(),
            heard: Prompt::None,
            since: None,
            press: None,
            stops_us: Vec::new(),
            now_ms: 0,
        }
    }

    /// Whether all digits are out, and heard to have worked or given up.
    pub fn is_done(&self) -> bool {
        let settled = self.press.as_ref().is_none_or(|p| {
            p.over && p.packets >= UPDATES + ENDS || self.now_ms - p.begun_ms > PATIENCE_MS
        });
        self.pauses.is_empty() && settled
    }

    /// The packet of this moment.
    pub fn send(&mut self, ms: u64) {
        self.now_ms = ms;
        self.begin_press(ms);
        let timestamp = self.packets.wrapping_mul(160);
        let mut packet = Vec::with_capacity(172);
        let event = self.press.as_mut().filter(|p| p.packets < UPDATES + ENDS);
        if let Some(press) = event {
            let ended = press.packets >= UPDATES;
            let duration = (press.packets.min(UPDATES) + 1) * 160;
            let marker = if press.packets == 0 { 0x80 } else { 0 };
            packet.extend([0x80, marker + EVENT_TYPE]);
            packet.extend(self.seq.to_be_bytes());
            packet.extend(press.timestamp.to_be_bytes());
            packet.extend(self.ssrc.to_be_bytes());
            packet.extend([5, if ended { 0x8a } else { 0x0a }]);
            packet.extend((duration as u16).to_be_bytes());
            if press.packets == 0 {
                press.sent_us = wall_us();
            }
            press.packets += 1;
        } else {
            packet.extend([0x80, 0]);
            packet.extend(self.seq.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend(self.ssrc.to_be_bytes());
            packet.resize(172, 0xff);
        }
        let mut counters = SendCounters::default();
        sys::send(&self.socket, &packet, None, &mut counters);
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
    }

    fn begin_press(&mut self, ms: u64) {
        let before = self
            .press
            .as_ref()
            .is_none_or(|p| p.over && p.packets >= UPDATES + ENDS || ms - p.begun_ms > PATIENCE_MS);
        let due = self.since.zip(self.pauses.last()).map(|(s, p)| s + p);
        if before && due.is_some_and(|due| ms >= due) && self.heard != Prompt::None {
            self.pauses.pop();
            self.since = None;
            self.press = Some(Press {
                packets: 0,
                timestamp: self.packets.wrapping_mul(160),
                begun_ms: ms,
                sent_us: 0,
                ends: self.heard,
                over: false,
            });
        }
    }

    /// Hears what has come.
    pub fn receive(&mut self, batch: &mut Batch) {
        sys::recv_batch(&self.socket, batch);
        for packet in batch.packets() {
            let at_us = packet.stamp.map_or_else(wall_us, |s| s.0 / 1000);
            let Some((header, payload)) = packet.bytes.split_at_checked(12) else {
                continue;
            };
            if header[1] & 0x7f != 0 {
                continue; // RTCP
            }
            let prompt = heard(payload);
            if let Some(press) = self.press.as_mut().filter(|p| !p.over && p.packets > 0)
                && prompt != press.ends
            {
                press.over = true;
                self.stops_us.push(at_us - press.sent_us);
            }
            if prompt != self.heard {
                self.heard = prompt;
            }
            if prompt != Prompt::None && self.since.is_none() && self.press_is_over() {
                self.since = Some(self.now_ms);
            }
        }
    }

    fn press_is_over(&self) -> bool {
        self.press.as_ref().is_none_or(|p| p.over)
    }
}

/// Which tone a packet carries for the most part: by its changes of sign.
fn heard(payload: &[u8]) -> Prompt {
    let loud = payload.iter().filter(|c| !**c & 0x7f > 0x40).count();
    if loud < payload.len() / 4 {
        return Prompt::None;
    }
    let signs = payload.windows(2).filter(|w| (w[0] ^ w[1]) & 0x80 != 0);
    // 20 in 20 ms of 500 Hz, 80 of 2,000 Hz.
    if signs.count() > 50 {
        Prompt::High
    } else {
        Prompt::Low
    }
}

fn wall_us() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |d| d.as_micros() as i64)
}
