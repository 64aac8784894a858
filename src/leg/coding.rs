//! What a leg's codec needs: its playout, encoder and buffers, made on the control side and
//! exchanged as a whole when another codec is agreed on.

use super::LegParams;
use super::playout::{Decoders, Playout, PlayoutSettings, resized};
use super::transmit::MAX_PACKET;
use crate::audio::polyphase::Resampler;
use crate::audio::process::{NoiseSuppression, ProcessSettings, Processing};
use crate::audio::{NARROWBAND, WIDEBAND};
use crate::codec::{Codec, CodecError, Encoder, OpusSettings};

/// The longest packet time, ms.
const MAX_PTIME_MS: u32 = 60;
/// What can be waiting besides: one tick, ms.
const TICK_MS: u32 = 20;

/// What a party's audio is processed with; none where nothing is done to it.
fn processing(settings: ProcessSettings, rate: u32) -> Option<Box<Processing>> {
    (settings != ProcessSettings::default()).then(|| {
        let mut processing = Box::new(Processing::new(rate));
        processing.apply(settings, settings.noise_suppression(rate));
        processing
    })
}

/// Other processing for a leg whose samples have the rate that it was made for: the memory comes
/// with it, and what is no longer in use goes back in it.
#[derive(Debug)]
pub struct Reprocessing {
    pub(super) settings: ProcessSettings,
    pub(super) rate: u32,
    pub(super) processing: Option<Box<Processing>>,
    pub(super) noise: Option<Box<NoiseSuppression>>,
}

impl Reprocessing {
    /// Takes the memory for `settings` at `rate` Hz.
    pub fn new(settings: ProcessSettings, rate: u32) -> Box<Self> {
        Box::new(Self {
            settings,
            rate,
            processing: Some(Box::new(Processing::new(rate))),
            noise: settings.noise_suppression(rate),
        })
    }
}

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
    fn is_served_like(self, other: Self) -> bool {
        let stateless = self.codec.is_stateless() && other.codec.is_stateless();
        self == other || stateless && self.codec.sample_rate() == other.codec.sample_rate()
    }
}

/// What memory a leg's parameters ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodingNeeds {
    key: EncodingKey,
    /// What may come and needs a decoder, a bit for each of [`Codec::ALL`].
    decoders: u8,
}

impl CodingNeeds {
    /// The needs of these parameters.
    pub fn of(params: &LegParams) -> Self {
        let rate = params.codec.sample_rate();
        let needed = |codec: Codec| !codec.is_stateless() || codec.sample_rate() != rate;
        let bits = Codec::ALL.iter().zip(0u8..).filter(|(codec, _)| {
            needed(**codec) && params.rx_codecs().any(|may_come| may_come == **codec)
        });
        Self {
            key: EncodingKey::new(params.codec, params.opus),
            decoders: bits.map(|(_, bit)| 1 << bit).sum(),
        }
    }

    /// Whether the memory for these serves others as well.
    pub fn serve(&self, others: &CodingNeeds) -> bool {
        self.key.is_served_like(others.key) && others.decoders & !self.decoders == 0
    }
}

/// A leg's codec with all the memory that it needs.
#[derive(Debug)]
pub struct Coding {
    needs: CodingNeeds,
    pub(super) encoder: Encoder,
    pub(super) playout: Playout,
    /// Samples that wait until a packet is full.
    pub(super) pending: Box<[i16]>,
    /// A packet that waits for its slot.
    pub(super) held: Box<[u8]>,
    /// From 16 kHz, which prompts have for whoever hears as wide, where the codec's rate is above.
    pub(super) up_wide: Option<Box<Resampler>>,
    /// From 8 kHz, which keys' tones have, to the codec's rate and back; none at 8 kHz.
    pub(super) up: Option<Box<Resampler>>,
    pub(super) down: Option<Box<Resampler>>,
    /// The same for what is recorded, which is without the digits.
    pub(super) record_down: Option<Box<Resampler>>,
    /// What is done to the audio, where anything is.
    pub(super) processing: Option<Box<Processing>>,
}

impl Coding {
    /// Takes all the memory for a leg with these parameters.
    pub fn new(
        params: &LegParams,
        jitter_max_ms: u32,
        process: ProcessSettings,
    ) -> Result<Self, CodecError> {
        Self::in_memory_of(None, params, jitter_max_ms, process)
    }

    /// The same, in the memory of one that is over as far as that has the size.
    pub(super) fn in_memory_of(
        old: Option<Coding>,
        params: &LegParams,
        jitter_max_ms: u32,
        process: ProcessSettings,
    ) -> Result<Self, CodecError> {
        let codec = params.codec;
        let rate = codec.sample_rate();
        let resampler = |from, to| (from != to).then(|| Box::new(Resampler::new(from, to)));
        let (old, pending, held) = match old {
            Some(old) => (Some(old.playout), old.pending, old.held),
            None => (None, Box::default(), Box::default()),
        };
        let settings = PlayoutSettings {
            max_delay_ms: jitter_max_ms,
            rate,
        };
        let mut playout = Playout::in_memory_of(old, settings);
        let received: Vec<Codec> = params.rx_codecs().collect();
        playout.set_decoders(Decoders::new(&received, rate)?);
        Ok(Self {
            needs: CodingNeeds::of(params),
            encoder: Encoder::new(codec, &params.opus)?,
            playout,
            pending: resized(pending, codec.frame_samples(MAX_PTIME_MS + TICK_MS)),
            held: resized(held, MAX_PACKET),
            up: resampler(NARROWBAND, rate),
            up_wide: (rate > WIDEBAND).then(|| Box::new(Resampler::new(WIDEBAND, rate))),
            down: resampler(rate, NARROWBAND),
            record_down: resampler(rate, NARROWBAND),
            processing: processing(process, rate),
        })
    }

    /// Whether it is worth keeping for a leg to come: most have a codec like this, and it is little.
    pub(super) fn is_plain(&self) -> bool {
        let key = self.needs.key.codec;
        let telephone = key.is_stateless() && key.sample_rate() == NARROWBAND;
        telephone && self.needs.decoders == 0 && self.processing.is_none()
    }

    /// Whether these serve a leg with other parameters as well.
    pub fn serves(&self, params: &LegParams) -> bool {
        self.needs.serve(&CodingNeeds::of(params))
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
        self.needs.key.codec.frame_samples(TICK_MS)
    }

    /// The sampling rate, Hz.
    pub(super) fn rate(&self) -> u32 {
        self.needs.key.codec.sample_rate()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Leg, LegId, LegSettings};
    use super::*;
    use crate::audio::level::rms_dbov;
    use crate::audio::testing::noise;

    #[test]
    fn another_volume_does_not_forget_the_noise() {
        let process = ProcessSettings {
            noise_suppression: true,
            ..ProcessSettings::default()
        };
        let settings = LegSettings {
            process,
            ..LegSettings::fixed(1)
        };
        let id = LegId {
            index: 0,
            generation: 0,
        };
        let params = LegParams::g711(Codec::Pcmu, None);
        let mut leg = Leg::new(id, params, settings).unwrap();
        let mut audio = noise(NARROWBAND, 5.4, -45.0, 6);
        for (n, frame) in audio.chunks_mut(160).enumerate() {
            if n == 250 {
                let louder = ProcessSettings {
                    gain_out_db: 6,
                    ..process
                };
                let mut to = Reprocessing::new(louder, NARROWBAND);
                leg.reprocess(&mut to);
                assert!(to.noise.is_some(), "it is freed elsewhere");
            }
            leg.coding.processing.as_mut().unwrap().input(frame);
        }
        let after = rms_dbov(&audio[40_000..]);
        assert!(after < -55.0, "{after} dBov");
        // Off, what was in use goes back.
        let mut to = Reprocessing::new(ProcessSettings::default(), NARROWBAND);
        leg.reprocess(&mut to);
        assert!(to.noise.is_some());
    }
}
