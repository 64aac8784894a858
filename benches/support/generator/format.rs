//! Payload formats: what is offered and configured, the packets that are made at the start, and
//! the search for the begin of a burst.

use std::f64::consts::TAU;

use antiphon::codec::Codec;
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
/// Packets of murmur, from which the legs choose in turn.
const MURMURS: usize = 97;

/// What the legs send and receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// G.711 u-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Format {
    /// The codec.
    pub fn codec(self) -> Codec {
        match self {
            Format::Pcmu => Codec::Pcmu,
            Format::Pcma => Codec::Pcma,
        }
    }

    /// Its name in `media.codecs`.
    pub fn key(self) -> &'static str {
        match self {
            Format::Pcmu => "pcmu",
            Format::Pcma => "pcma",
        }
    }

    /// Its payload type in our offers.
    pub fn payload_type(self) -> u8 {
        self.codec().static_payload_type().unwrap_or(97)
    }

    /// What `rtpmap` says of it.
    pub fn rtpmap(self) -> String {
        let codec = self.codec();
        format!("{}/{}", codec.name(), codec.clock_rate())
    }

    /// Timestamp units in a packet.
    pub fn ticks(self) -> u32 {
        self.codec().clock_rate() / PACKETS
    }

    /// Whether finding a burst takes a decoder.
    pub fn is_costly(self) -> bool {
        false
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
    pub murmur: Vec<Vec<u8>>,
    burst: Vec<Vec<u8>>,
}

impl Payloads {
    /// Encodes all of them; `members` parties of a room murmur at most.
    pub fn new(format: Format, members: usize) -> Self {
        let codec = format.codec();
        let rate = codec.sample_rate();
        let frame = (rate / PACKETS) as usize;
        let encode = |pcm: &[i16]| {
            let mut out = vec![0; 2 * pcm.len()];
            let len = codec.encode(pcm, &mut out);
            out.truncate(len);
            out
        };
        // Loud from its first sample on.
        let tone = |i: usize| (BURST * (i as f64 * TAU * 1000.0 / rate as f64).cos()) as i16;
        let burst = (0..BURST_PACKETS).map(|k| {
            let pcm: Vec<i16> = (k * frame..(k + 1) * frame).map(tone).collect();
            encode(&pcm)
        });
        // All together stay below what begins a burst: four times their standard deviation.
        let peak = (3f64.sqrt() * ONSET as f64 / 4.0 / (members as f64).sqrt()).clamp(20.0, 400.0);
        let mut noise = 1u32;
        let murmur = (0..MURMURS).map(|_| {
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
            quiet: encode(&vec![0; frame]),
            murmur: murmur.collect(),
            burst: burst.collect(),
        }
    }

    /// The packet of this number within a burst.
    pub fn burst(&self, number: u64) -> &[u8] {
        &self.burst[(number as usize).min(BURST_PACKETS - 1)]
    }
}

/// Finds bursts in payloads.
#[derive(Debug)]
pub enum Ear {
    /// Hears nothing: only sequence numbers are looked at.
    Deaf,
    /// Looks at codes of G.711; they are magnitudes once this is applied by exclusive or.
    Codes(u8),
}

impl Ear {
    /// One that hears this format.
    pub fn new(format: Format) -> Self {
        match format {
            Format::Pcmu => Ear::Codes(0xff),
            Format::Pcma => Ear::Codes(0x55),
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
        }
    }
}
