//! What one leg hears: which packets are missing, and when bursts begin.

/// Samples per packet.
pub const FRAME: usize = 160;
/// u-law magnitudes (of 127) from which a sample is part of a burst: about 6,000 and 2,000 of
/// 32,768. A burst has 16,000; the background of 400 parties stays below 2,000.
const LOUD: u8 = 0x58;
const ONSET: u8 = 0x40;
/// So many quiet packets must go before an onset.
const QUIET_BEFORE: u32 = 3;

/// Follows one received stream.
#[derive(Debug, Default)]
pub struct Listener {
    last: Option<(u16, u32)>,
    quiet: u32,
    /// RTP packets.
    pub packets: u64,
    /// Sequence numbers that never came (late ones are taken back).
    pub lost: i64,
    /// Ticks that the sender left out: no number is missing, but 20 ms of time.
    pub left_out: u64,
    /// When bursts began, wall clock, ns; their place within the packet is added.
    pub onsets: Vec<i64>,
}

impl Listener {
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
        if let Some((last_seq, last_timestamp)) = self.last {
            let step = seq.wrapping_sub(last_seq) as i16;
            if step <= 0 {
                self.lost -= 1;
                return;
            }
            self.lost += i64::from(step) - 1;
            let ticks = timestamp.wrapping_sub(last_timestamp) / FRAME as u32;
            self.left_out += u64::from(ticks).saturating_sub(step as u64);
        }
        self.last = Some((seq, timestamp));
        self.listen(payload, arrival_ns);
    }

    fn listen(&mut self, payload: &[u8], arrival_ns: i64) {
        let magnitude = |code: &u8| !code & 0x7f;
        let peak = payload.iter().map(magnitude).max().unwrap_or(0);
        if peak < LOUD {
            self.quiet += 1;
            return;
        }
        if self.quiet >= QUIET_BEFORE {
            let at = payload.iter().position(|c| magnitude(c) >= ONSET);
            self.onsets
                .push(arrival_ns + at.unwrap_or(0) as i64 * 125_000);
        }
        self.quiet = 0;
    }
}
