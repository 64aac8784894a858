//! What one leg hears: which packets are missing, and when bursts begin.

use super::format::Ear;

/// So many quiet packets must go before an onset.
const QUIET_BEFORE: u32 = 3;

/// Follows one received stream.
#[derive(Debug)]
pub struct Listener {
    ear: Ear,
    /// Timestamp units in a packet.
    ticks: u32,
    last: Option<(u16, u32)>,
    quiet: u32,
    /// RTP packets.
    pub packets: u64,
    /// Sequence numbers that never came (late ones are taken back).
    pub lost: i64,
    /// Ticks that the sender left out: no number is missing, but 20 ms of time.
    pub left_out: u64,
    /// Whether the time between packets is noted, and that, ns.
    pub spaces: bool,
    pub spacing_ns: Vec<i64>,
    arrived_ns: i64,
    /// When bursts began, wall clock, ns; their place within the packet is added.
    pub onsets: Vec<i64>,
}

impl Listener {
    /// A listener to packets of so many timestamp units.
    pub fn new(ear: Ear, ticks: u32) -> Self {
        Self {
            ear,
            ticks,
            last: None,
            quiet: 0,
            packets: 0,
            lost: 0,
            left_out: 0,
            spaces: false,
            spacing_ns: Vec::new(),
            arrived_ns: 0,
            onsets: Vec::new(),
        }
    }

    /// Whether it finds bursts.
    pub fn hears(&self) -> bool {
        !matches!(self.ear, Ear::Deaf)
    }

    /// Takes a datagram that the kernel stamped with `arrival_ns`.
    pub fn on_datagram(&mut self, datagram: &[u8], arrival_ns: i64) {
        let Some((header, payload)) = datagram.split_at_checked(12) else {
            return;
        };
        if (192..=223).contains(&header[1]) {
            return; // RTCP
        }
        let seq = u16::from_be_bytes([header[2], header[3]]);
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        self.packets += 1;
        if self.spaces {
            if self.arrived_ns > 0 {
                self.spacing_ns.push(arrival_ns - self.arrived_ns);
            }
            self.arrived_ns = arrival_ns;
        }
        if let Some((last_seq, last_timestamp)) = self.last {
            let step = seq.wrapping_sub(last_seq) as i16;
            if step <= 0 {
                self.lost -= 1;
                return;
            }
            self.lost += i64::from(step) - 1;
            let passed = timestamp.wrapping_sub(last_timestamp);
            // A division only where something is missing.
            if passed != self.ticks {
                self.left_out += u64::from(passed / self.ticks).saturating_sub(step as u64);
            }
        }
        self.last = Some((seq, timestamp));
        if !self.hears() {
            return;
        }
        let Some(place_ns) = self.ear.loud(payload) else {
            self.quiet += 1;
            return;
        };
        if self.quiet >= QUIET_BEFORE {
            self.onsets.push(arrival_ns + place_ns);
        }
        self.quiet = 0;
    }
}
