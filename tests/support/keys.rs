//! Keys as a phone sends them in its media, packet by packet: telephone events (RFC 4733), tones,
//! speech. What is made here can be lost, doubled or put out of order before it is sent.

use std::f64::consts::TAU;

use super::media::{Law, OVERLOAD_DBM0, PACKET, Send};

/// The payload type of events in the offers of these tests.
pub const EVENTS: u8 = 101;
/// The offer that goes with it, behind `0 101`.
pub const OFFER: &str =
    "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n";
/// Each of a key's two tones, dBm0.
pub const KEY_DBM0: f64 = -13.0;

/// What a packet is to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Audio.
    Audio,
    /// The first of an event, with the marker.
    Begin,
    /// One that says that it goes on.
    Update,
    /// One that says that it is over.
    End,
}

/// Packets one after the other.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Each, with what it is.
    pub packets: Vec<(Role, Send)>,
    /// The clock of events in multiples of 8 kHz.
    pub clock: u32,
    slot: usize,
    seq: u16,
    /// The code of each sample, in steps of 16.
    codes: Vec<u8>,
}

/// The two frequencies of a key (ITU-T Q.23).
pub fn frequencies(key: char) -> [f64; 2] {
    let rows = ["123A", "456B", "789C", "*0#D"];
    let row = rows.iter().position(|row| row.contains(key)).unwrap();
    let column = rows[row].find(key).unwrap();
    [
        [697.0, 770.0, 852.0, 941.0][row],
        [1209.0, 1336.0, 1477.0, 1633.0][column],
    ]
}

/// The event code of a key (RFC 4733 §3.2).
pub fn code(key: char) -> u8 {
    "0123456789*#ABCD".find(key).unwrap() as u8
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

impl Keys {
    /// Nothing yet.
    pub fn new() -> Self {
        let mut codes = vec![0; 4096];
        for (n, place) in codes.iter_mut().enumerate() {
            *place = Law::Mu.encode_one((n as i32 * 16 - 32_768) as i16);
        }
        Self {
            packets: Vec::new(),
            clock: 1,
            slot: 0,
            seq: 0,
            codes,
        }
    }

    /// Keys as events, with pauses of silence between them.
    pub fn events(keys: &str, tone_ms: usize, pause_ms: usize) -> Self {
        let mut made = Self::new();
        for key in keys.chars() {
            made = made.event(key, tone_ms).silence(pause_ms);
        }
        made
    }

    /// Keys as tones, with pauses of silence between them.
    pub fn tones(keys: &str, tone_ms: usize, pause_ms: usize) -> Self {
        let mut made = Self::new();
        for key in keys.chars() {
            made = made.tone(key, tone_ms).silence(pause_ms);
        }
        made
    }

    /// Audio that is the sum of sines, each with its level.
    pub fn sines(mut self, sines: &[(f64, f64)], ms: usize) -> Self {
        for _ in 0..ms / 20 {
            let first = self.slot * PACKET;
            let payload = (first..first + PACKET)
                .map(|n| {
                    let sample: f64 = sines
                        .iter()
                        .map(|(hz, dbm0)| {
                            let amplitude = 32_767.0 * 10f64.powf((dbm0 - OVERLOAD_DBM0) / 20.0);
                            amplitude * (TAU * hz * n as f64 / 8000.0).sin()
                        })
                        .sum();
                    let place = (sample / 16.0).round() as i32 + 2048;
                    self.codes[place.clamp(0, 4095) as usize]
                })
                .collect();
            self.push(Role::Audio, 0, self.slot, false, payload);
            self.slot += 1;
        }
        self
    }

    /// A key's tones.
    pub fn tone(self, key: char, ms: usize) -> Self {
        let sines = frequencies(key).map(|hz| (hz, KEY_DBM0));
        self.sines(&sines, ms)
    }

    /// A tone as speech has it.
    pub fn speech(self, hz: f64, ms: usize) -> Self {
        self.sines(&[(hz, -16.0)], ms)
    }

    /// Silence, sent.
    pub fn silence(self, ms: usize) -> Self {
        self.sines(&[], ms)
    }

    /// Nothing sent, and no number used.
    pub fn nothing(mut self, ms: usize) -> Self {
        self.slot += ms / 20;
        self
    }

    /// A key as an event: a packet every 20 ms, the last one three times at once.
    pub fn event(self, key: char, ms: usize) -> Self {
        self.event_beside(key, ms, false)
    }

    /// The same with the key's tones beside it: a gateway that leaves them in the audio.
    pub fn event_beside(mut self, key: char, ms: usize, leaks: bool) -> Self {
        let start = self.slot;
        let packets = (ms / 20).max(1);
        for n in 0..packets {
            let last = n + 1 == packets;
            let duration = ((n + 1) * PACKET) as u32 * self.clock;
            let payload = |end: bool| {
                let [high, low] = (duration as u16).to_be_bytes();
                vec![code(key), if end { 0x8a } else { 0x0a }, high, low]
            };
            let role = match n {
                _ if last => Role::End,
                0 => Role::Begin,
                _ => Role::Update,
            };
            for _ in 0..if last { 3 } else { 1 } {
                self.push(role, EVENTS, start, n == 0, payload(last));
            }
            if leaks {
                self = self.tone(key, 20);
            } else {
                self.slot += 1;
            }
        }
        self
    }

    fn push(&mut self, role: Role, payload_type: u8, stamp: usize, marker: bool, payload: Vec<u8>) {
        let clock = if role == Role::Audio { 1 } else { self.clock };
        let send = Send {
            slot: self.slot,
            seq: self.seq,
            timestamp: (stamp * PACKET) as u32,
            clock,
            marker,
            payload_type,
            payload,
        };
        self.seq = self.seq.wrapping_add(1);
        self.packets.push((role, send));
    }

    /// Without the packets for which this holds, which the network has lost.
    pub fn lose(mut self, lost: impl Fn(Role) -> bool) -> Self {
        self.packets.retain(|(role, _)| !lost(*role));
        self
    }

    /// Each packet twice.
    pub fn doubled(mut self) -> Self {
        self.packets = self
            .packets
            .into_iter()
            .flat_map(|packet| [packet.clone(), packet])
            .collect();
        self
    }

    /// Each packet and its neighbour in the other order.
    pub fn swapped(mut self) -> Self {
        for pair in self.packets.chunks_exact_mut(2) {
            let [a, b] = pair else { unreachable!() };
            std::mem::swap(&mut a.1.slot, &mut b.1.slot);
            std::mem::swap(a, b);
        }
        self
    }

    /// Without any marker.
    pub fn unmarked(mut self) -> Self {
        for (_, send) in &mut self.packets {
            send.marker = false;
        }
        self
    }

    /// To be sent.
    pub fn sends(&self) -> Vec<Send> {
        self.packets.iter().map(|(_, send)| send.clone()).collect()
    }
}
