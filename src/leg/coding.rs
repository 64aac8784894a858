//! What a leg's codec needs: its playout, encoder and buffers, made on the control side and
//! exchanged as a whole when another codec is agreed on.

use super::LegParams;
use super::playout::{Decoders, Playout, PlayoutSettings};
use super::transmit::MAX_PACKET;
use crate::audio::NARROWBAND;
use crate::audio::polyphase::Resampler;
use crate::codec::{Codec, CodecError, Encoder, OpusSettings};

/// The longest packet time, ms.
const MAX_PTIME_MS: u32 = 60;
/// What can be waiting besides: one tick, ms.
const TICK_MS: u32 = 20;

/// Which encodings two legs can share: equal keys, equal payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingKey {
    /// The codec.
    pub codec: Codec,
    /// Its parameters, where it is Opus. The expected loss is no part of it: an encoding for many
    /// goes by the worst of them.
    pub opus: Option<OpusSettings>,
}

impl EncodingKey {
    /// The key of a codec with these settings.
    pub fn new(codec: Codec, opus: OpusSettings) -> Self {
        let shared = OpusSettings {
            expected_loss: 0,
            ..opus
        };
        Self {
            codec,
            opus: (codec == Codec::Opus).then_some(shared),
        }
    }

    /// Whether a leg can change between these two with the memory that it has.
    pub fn is_served_like(self, other: Self) -> bool {
        let stateless = self.codec.is_stateless() && other.codec.is_stateless();
        self == other || stateless && self.codec.sample_rate() == other.codec.sample_rate()
    }
}

/// A leg's codec with all the memory that it needs.
#[derive(Debug)]
pub struct Coding {
    pub(super) key: EncodingKey,
    pub(super) encoder: Encoder,
    pub(super) playout: Playout,
    /// Samples that wait until a packet is full.
    pub(super) pending: Box<[i16]>,
    /// A packet that waits for its slot.
    pub(super) held: Box<[u8]>,
    /// From 8 kHz, which prompts and tones have, to the codec's rate and back; none at 8 kHz.
    pub(super) up: Option<Box<Resampler>>,
    pub(super) down: Option<Box<Resampler>>,
    /// The same for what is recorded, which is without the digits.
    pub(super) record_down: Option<Box<Resampler>>,
}

impl Coding {
    /// Takes all the memory for a leg with these parameters.
    pub fn new(params: &LegParams, jitter_max_ms: u32) -> Result<Self, CodecError> {
        let codec = params.codec;
        let rate = codec.sample_rate();
        let resampler = |from, to| (from != to).then(|| Box::new(Resampler::new(from, to)));
        let mut playout = Playout::new(PlayoutSettings {
            max_delay_ms: jitter_max_ms,
            rate,
        });
        let received: Vec<Codec> = params.rx_codecs().collect();
        playout.set_decoders(Decoders::new(&received, rate)?);
        Ok(Self {
            key: EncodingKey::new(codec, params.opus),
            encoder: Encoder::new(codec, &params.opus)?,
            playout,
            pending: vec![0; codec.frame_samples(MAX_PTIME_MS + TICK_MS)].into(),
            held: vec![0; MAX_PACKET].into(),
            up: resampler(NARROWBAND, rate),
            down: resampler(rate, NARROWBAND),
            record_down: resampler(rate, NARROWBAND),
        })
    }

    /// Whether these serve a leg with other parameters as well.
    pub fn serves(&self, params: &LegParams) -> bool {
        let sent = EncodingKey::new(params.codec, params.opus);
        self.key.is_served_like(sent) && params.rx_codecs().all(|c| self.playout.takes(c))
    }

    /// Encodes a frame; nothing where there is nothing to send.
    pub(super) fn encode(&mut self, codec: Codec, samples: &[i16], out: &mut [u8]) -> usize {
        if codec.is_stateless() {
            codec.encode(samples, out)
        } else {
            self.encoder.encode(samples, out)
        }
    }

    /// The same of the first `samples` that wait.
    pub(super) fn encode_pending(&mut self, codec: Codec, samples: usize, out: &mut [u8]) -> usize {
        let pending = &self.pending[..samples];
        if codec.is_stateless() {
            codec.encode(pending, out)
        } else {
            self.encoder.encode(pending, out)
        }
    }

    /// Samples of a tick.
    pub(super) fn tick(&self) -> usize {
        self.key.codec.frame_samples(TICK_MS)
    }

    /// The sampling rate, Hz.
    pub(super) fn rate(&self) -> u32 {
        self.key.codec.sample_rate()
    }
}
