//! Payload formats: what is offered and configured, the packets that are made at the start, and
//! the search for the begin of a burst.
//!
//! Packets of codecs with state are made once and put together anew by each leg: bursts are cut
//! off where they end, and the listener's decoder finds its way back into silence. What the coding
//! itself delays is in the latency: `--reflector-only` shows it, for one encoding and decoding of
//! the two in a conference.

use std::f64::consts::TAU;

use antiphon::codec::{Codec, Decoder, Encoder, MAX_FRAME_SAMPLES, MAX_PAYLOAD, OpusSettings};
use clap::ValueEnum;

/// Packets per second.
const PACKETS: u32 = 50;
/// The magnitude of a burst.
const BURST: f64 = 16_000.0;
/// Magnitudes from which a packet is part of a burst, and from which a sample is.
const LOUD: i16 = 6_000;
const ONSET: i16 = 4_000;
/// The same as magnitudes of G.711, in both laws.
const LOUD_CODE: u8 = 0x58;
const ONSET_CODE: u8 = 0x50;
/// Packets of a burst that differ, at most: the last one goes on.
const BURST_PACKETS: usize = 20;
/// Packets of silence until a codec's state is that of silence.
const SETTLING: usize = 25;
/// Packets of silence to choose from.
const CANDIDATES: usize = 50;
/// Packets of murmur, the second half of which is the first one upside down: where more legs murmur
/// than there are packets, the same ones cancel as often as they add up, as voices do that have
/// nothing to do with each other.
const MURMURS: usize = 128;
/// The least and greatest magnitude of a murmur. A bridge takes 8 for silence, and A-law has nothing
/// between 8 and 24.
const MURMUR: (f64, f64) = (24.0, 400.0);

/// What the legs send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// G.711 u-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722, 64 kbit/s.
    G722,
    /// Opus.
    Opus,
    /// 16-bit samples at 16 kHz.
    L16,
}

impl Format {
    /// The codec.
    pub fn codec(self) -> Codec {
        match self {
            Format::Pcmu => Codec::Pcmu,
            Format::Pcma => Codec::Pcma,
            Format::G722 => Codec::G722,
            Format::Opus => Codec::Opus,
            Format::L16 => Codec::L16Wide,
        }
    }

    /// Its name in `media.codecs`.
    pub fn key(self) -> &'static str {
        match self {
            Format::Pcmu => "pcmu",
            Format::Pcma => "pcma",
            Format::G722 => "g722",
            Format::Opus => "opus",
            Format::L16 => "l16/16000",
        }
    }

    /// Its payload type in our offers.
    pub fn payload_type(self) -> u8 {
        self.codec().static_payload_type().unwrap_or(97)
    }

    /// What `rtpmap` says of it.
    pub fn rtpmap(self) -> String {
        let codec = self.codec();
        let channels = if codec.channels() == 2 { "/2" } else { "" };
        format!("{}/{}{channels}", codec.name(), codec.clock_rate())
    }

    /// Timestamp units in a second.
    pub fn clock_rate(self) -> u32 {
        self.codec().clock_rate()
    }

    /// Timestamp units in a packet.
    pub fn ticks(self) -> u32 {
        self.clock_rate() / PACKETS
    }

    /// Whether finding a burst takes a decoder.
    pub fn is_costly(self) -> bool {
        !self.codec().is_stateless()
    }
}

/// Encoded packets of 20 ms.
#[derive(Debug)]
pub struct Payloads {
    /// Whose they are.
    pub format: Format,
    /// Silence.
    pub quiet: Vec<u8>,
    /// Voices in the background.
    murmur: Vec<Vec<u8>>,
    burst: Vec<Vec<u8>>,
}

impl Payloads {
    /// Encodes all of them; `members` parties of a room murmur at most.
    pub fn new(format: Format, members: usize) -> Self {
        let codec = format.codec();
        let rate = codec.sample_rate();
        let frame = (rate / PACKETS) as usize;
        let mut encoder = Encoder::new(codec, &OpusSettings::default()).expect("an encoder");
        let mut encode = |pcm: &[i16]| {
            let mut out = vec![0; MAX_PAYLOAD];
            let len = encoder.encode(pcm, &mut out);
            out.truncate(len);
            out
        };
        // What has state gets into that of silence first, and again between the kinds.
        let settle = |encode: &mut dyn FnMut(&[i16]) -> Vec<u8>| {
            (0..SETTLING)
                .map(|_| encode(&vec![0; frame]))
                .last()
                .unwrap_or_default()
        };
        settle(&mut encode);
        // One packet of silence again and again is not what an encoder sends: the one is taken that
        // stays the quietest, far below what the bridge takes for speech.
        let same = (0..=u8::MAX).map(|octet| vec![octet; 160]);
        let quiet = (0..CANDIDATES)
            .map(|_| encode(&vec![0; frame]))
            .chain(same.filter(|_| codec == Codec::G722))
            .min_by_key(|payload| peak_of(codec, payload, frame))
            .unwrap_or_default();
        // Loud from its first sample on.
        let tone = |i: usize| (BURST * (i as f64 * TAU * 1000.0 / rate as f64).cos()) as i16;
        let burst = (0..BURST_PACKETS)
            .map(|k| {
                let pcm: Vec<i16> = (k * frame..(k + 1) * frame).map(tone).collect();
                encode(&pcm)
            })
            .collect();
        settle(&mut encode);
        // All together stay far below what begins a burst: eight times their standard deviation.
        let peak = 3f64.sqrt() * ONSET as f64 / 8.0 / (members as f64).sqrt();
        let peak = peak.clamp(MURMUR.0, MURMUR.1);
        let murmur = (0..MURMURS).map(|n| {
            let mut noise = (n % (MURMURS / 2)) as u32 + 1;
            let peak = if n < MURMURS / 2 { peak } else { -peak };
            let pcm: Vec<i16> = (0..frame)
                .map(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ((noise >> 16) as i16 as f64 / 32_768.0 * peak) as i16
                })
                .collect();
            encode(&pcm)
        });
        Self {
            format,
            quiet,
            murmur: murmur.collect(),
            burst,
        }
    }

    /// What a leg murmurs in a packet time: it looks like chance.
    pub fn murmur(&self, leg: usize, tick: u64) -> &[u8] {
        let mixed = (leg as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(tick.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        &self.murmur[(mixed >> 32) as usize % MURMURS]
    }

    /// The packet of this number within a burst.
    pub fn burst(&self, number: u64) -> &[u8] {
        &self.burst[(number as usize).min(BURST_PACKETS - 1)]
    }
}

/// What a packet is at most, heard again and again.
fn peak_of(codec: Codec, payload: &[u8], frame: usize) -> u16 {
    let mut pcm = vec![0; frame];
    let mut decoder = Decoder::new(codec).expect("a decoder");
    let mut peak = 0;
    for _ in 0..PACKETS {
        if codec.is_stateless() {
            codec.decode(payload, &mut pcm);
        } else {
            decoder.decode(payload, &mut pcm);
        }
        peak = pcm.iter().fold(peak, |peak, s| peak.max(s.unsigned_abs()));
    }
    peak
}

/// Finds bursts in payloads.
#[derive(Debug)]
pub enum Ear {
    /// Hears nothing: only sequence numbers are looked at.
    Deaf,
    /// Looks at codes of G.711; they are magnitudes once this is applied by exclusive or.
    Codes(u8),
    /// Decodes.
    Decoder(Box<Decoder>, Vec<i16>),
}

impl Ear {
    /// One that hears this format.
    pub fn new(format: Format) -> Self {
        match format {
            Format::Pcmu => Ear::Codes(0xff),
            Format::Pcma => Ear::Codes(0x55),
            Format::G722 | Format::Opus | Format::L16 => {
                let decoder = Decoder::new(format.codec()).expect("a decoder");
                Ear::Decoder(Box::new(decoder), vec![0; MAX_FRAME_SAMPLES])
            }
        }
    }

    /// The place of the first loud sample of a packet that is part of a burst, ns from the
    /// packet's begin.
    pub fn loud(&mut self, payload: &[u8]) -> Option<i64> {
        match self {
            Ear::Deaf => None,
            Ear::Codes(mask) => {
                let magnitude = |code: &u8| (code ^ *mask) & 0x7f;
                let peak = payload
                    .iter()
                    .map(magnitude)
                    .fold(0, |a: u8, b: u8| a.max(b));
                if peak < LOUD_CODE {
                    return None;
                }
                let at = payload.iter().position(|c| magnitude(c) >= ONSET_CODE);
                Some(at.unwrap_or(0) as i64 * 125_000)
            }
            Ear::Decoder(decoder, room) => {
                let length = decoder.decode(payload, room);
                let pcm = &room[..length];
                if !pcm.iter().any(|s| s.unsigned_abs() >= LOUD as u16) {
                    return None;
                }
                let at = pcm.iter().position(|s| s.unsigned_abs() >= ONSET as u16);
                let sample_ns = 1e9 / f64::from(decoder.codec().sample_rate());
                Some((at.unwrap_or(0) as f64 * sample_ns) as i64)
            }
        }
    }
}
