//! A peer's packets: speech, silence, loss, bursts, digits, reports, and what does not belong.

use antiphon::audio::tone::{Burst, Tone};
use antiphon::codec::{Codec, Encoder, MAX_PAYLOAD, OpusSettings};
use antiphon::leg::Channel;
use antiphon::rtp::packet::{Header, write_header};
use antiphon::rtp::rtcp::{ReportBlock, SenderInfo, write_compound};
use antiphon::rtp::{PayloadType, SeqNo, Ssrc, Timestamp};

use crate::random::Random;

/// The payload types of Opus and of redundant audio in all sessions here.
pub const OPUS: u8 = 96;
pub const REDUNDANT: u8 = 98;
/// The payload type of telephone events in all sessions here.
pub const TELEPHONE_EVENT: u8 = 101;

/// One datagram.
pub struct Datagram<'a> {
    pub channel: Channel,
    pub bytes: &'a [u8],
    /// From an address that is not the peer's.
    pub foreign: bool,
    /// When it comes, ms.
    pub at_ms: u64,
}

/// One peer; deterministic by its seed. Makes its packets without the heap, so that it may do so
/// on a marked thread.
pub struct Party {
    random: Random,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    payload_type: u8,
    ptime_ms: u64,
    talks: bool,
    /// A digit's tones as u-law, a period that may be repeated: 1 s.
    tones: Box<[u8]>,
    /// Opus of a tone, 20 ms each.
    opus: Box<[Vec<u8>]>,
    /// Packets of a digit's tone still to come.
    tone_packets: u64,
    next_ms: u64,
    /// Packets are held back until then, and come all at once.
    stalled_until_ms: u64,
    report_ms: u64,
}

impl Party {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            ssrc: random.next() as u32,
            seq: random.next() as u16,
            timestamp: random.next() as u32,
            payload_type: 0,
            ptime_ms: 20,
            talks: true,
            tones: tones(),
            opus: opus(),
            tone_packets: 0,
            next_ms: 0,
            stalled_until_ms: 0,
            report_ms: 0,
            random,
        }
    }

    /// Hands over what has come up to `now_ms`.
    pub fn poll(&mut self, now_ms: u64, mut emit: impl FnMut(Datagram<'_>)) {
        // After a long time away the line goes on from here.
        self.next_ms = self.next_ms.max(now_ms.saturating_sub(500));
        if now_ms < self.stalled_until_ms {
            return;
        }
        while self.next_ms <= now_ms {
            self.packet(&mut emit);
            self.next_ms += self.ptime_ms;
        }
        if self.report_ms <= now_ms {
            self.report_ms = now_ms + 500 + self.random.below(1000);
            self.report(now_ms, &mut emit);
        }
    }

    fn packet(&mut self, emit: &mut impl FnMut(Datagram<'_>)) {
        let at_ms = self.next_ms;
        let samples = self.ptime_ms as usize * 8;
        let (seq, timestamp) = (self.seq, self.timestamp);
        self.seq = seq.wrapping_add(1);
        let is_opus = self.payload_type == OPUS;
        let clock = if is_opus { 6 } else { 1 };
        self.timestamp = timestamp.wrapping_add(samples as u32 * clock);
        let mut payload_type = self.payload_type;
        let mut foreign = false;
        let mut copies = 1;
        let mut length = samples;
        match self.random.below(1000) {
            0..20 => copies = 0,
            20..30 => copies = 2,
            30..35 => foreign = true,
            35..45 => (payload_type, length) = (TELEPHONE_EVENT, 4),
            45..55 => (payload_type, length) = (13, 1),
            55..60 => payload_type = [77, REDUNDANT][self.random.below(2) as usize],
            60..64 => return self.garbage(at_ms, emit),
            64..68 => self.talks = !self.talks,
            68..72 => self.stalled_until_ms = at_ms + 20 + self.random.below(280),
            72..75 => self.payload_type = [0, 8, 9, OPUS][self.random.below(4) as usize],
            75..78 => self.ptime_ms = [10, 20, 30, 40][self.random.below(4) as usize],
            78..80 => self.timestamp = self.random.next() as u32,
            80..82 => {
                (self.ssrc, self.seq) = (self.random.next() as u32, self.random.next() as u16);
            }
            // Long enough to be missed.
            82..83 => self.stalled_until_ms = at_ms + 1000,
            83..88 => length = self.random.below(1500) as usize,
            88..93 => self.tone_packets = 2 + self.random.below(6),
            _ => {}
        }
        let mut buffer = [if self.talks { 0x2a } else { 0xff }; 1600];
        let header = Header {
            payload_type: PayloadType(payload_type),
            marker: self.random.below(50) == 0,
            seq: SeqNo(seq),
            timestamp: Timestamp(timestamp),
            ssrc: Ssrc(self.ssrc),
        };
        let start = write_header(&mut buffer, &header);
        if self.talks {
            for byte in &mut buffer[start..start + length] {
                *byte ^= self.random.next() as u8 & 0x8f;
            }
        }
        if is_opus && payload_type == OPUS && length == samples {
            let packet = &self.opus[usize::from(seq) % self.opus.len()];
            length = packet.len();
            buffer[start..start + length].copy_from_slice(packet);
        } else if payload_type == TELEPHONE_EVENT {
            let event = [
                self.random.below(20) as u8,
                self.random.next() as u8,
                self.random.below(4) as u8,
                160,
            ];
            buffer[start..start + 4].copy_from_slice(&event);
        } else if self.tone_packets > 0 && payload_type == 0 && length == samples {
            self.tone_packets -= 1;
            let at = timestamp as usize % (self.tones.len() - length);
            buffer[start..start + length].copy_from_slice(&self.tones[at..at + length]);
        }
        for _ in 0..copies {
            emit(Datagram {
                channel: Channel::Rtp,
                bytes: &buffer[..start + length],
                foreign,
                at_ms,
            });
        }
    }

    fn garbage(&mut self, at_ms: u64, emit: &mut impl FnMut(Datagram<'_>)) {
        let mut bytes = [0; 64];
        for byte in &mut bytes {
            *byte = self.random.next() as u8;
        }
        // Half of it looks like RTP or RTCP at first sight.
        if self.random.below(2) == 0 {
            bytes[0] = 0x80 | (bytes[0] & 0x3f);
        } else {
            // The rest like DTLS.
            bytes[0] = 20 + bytes[0] % 44;
        }
        let channel = [Channel::Rtp, Channel::Rtcp][self.random.below(2) as usize];
        emit(Datagram {
            channel,
            bytes: &bytes[..self.random.below(64) as usize],
            foreign: false,
            at_ms,
        });
    }

    fn report(&mut self, at_ms: u64, emit: &mut impl FnMut(Datagram<'_>)) {
        let mut buffer = [0; 512];
        let info = SenderInfo {
            ntp: at_ms << 20,
            timestamp: Timestamp(self.timestamp),
            packets: 1000,
            octets: 160_000,
        };
        let block = ReportBlock {
            ssrc: Ssrc(self.random.next() as u32),
            ..ReportBlock::default()
        };
        let sender = (self.random.below(2) == 0).then_some(&info);
        let bye = self.random.below(10) == 0;
        let len = write_compound(
            &mut buffer,
            Ssrc(self.ssrc),
            sender,
            &[block; 3],
            "peer@127.0.0.1",
            bye,
        );
        let channel = [Channel::Rtp, Channel::Rtcp][self.random.below(2) as usize];
        emit(Datagram {
            channel,
            bytes: &buffer[..len],
            foreign: false,
            at_ms,
        });
    }
}

fn opus() -> Box<[Vec<u8>]> {
    let mut encoder = Encoder::new(Codec::Opus, &OpusSettings::default()).unwrap();
    let frames = (0..50).map(|n| {
        let sample = |i: usize| ((n * 960 + i) * 440 % 48_000) as i16 / 4 - 3000;
        let pcm: Vec<i16> = (0..960).map(sample).collect();
        let mut out = [0; MAX_PAYLOAD];
        let len = encoder.encode(&pcm, &mut out);
        out[..len].to_vec()
    });
    frames.collect()
}

fn tones() -> Box<[u8]> {
    let mut burst = Burst::new(
        Tone {
            frequency_hz: 770.0,
            second_hz: Some(1336.0),
            level_dbm0: -12.0,
        },
        8000,
        8000,
    );
    let mut samples = vec![0; 8000];
    burst.fill(&mut samples);
    let mut codes = vec![0; 8000];
    Codec::Pcmu.encode(&samples, &mut codes);
    codes.into()
}
