//! What a playout needs to decode streams that are no mere samples at its rate: decoders with
//! state, resamplers, and the payloads that wait for them.

use super::MAX_PACKET_MS;
use super::store::Store;
use crate::audio::polyphase::Resampler;
use crate::codec::{Codec, CodecError, Decoder};
use crate::rtp::SeqNo;

/// Decoders of the codecs that a party may send. Made on the control side, handed to
/// [`Playout::set_decoders`](super::Playout::set_decoders), and freed where they were made.
#[derive(Debug)]
pub struct Decoders {
    streams: Vec<Stream>,
    pub(super) store: Store,
    /// Samples at the codec's rate.
    scratch: Box<[i16]>,
    /// Concealed samples beyond what was asked for: Opus makes them in steps.
    spare: Box<[i16]>,
    spare_len: usize,
    /// The stream that was decoded last, its last number, and where on the line it ended.
    current: Option<usize>,
    pub(super) last_seq: SeqNo,
    pub(super) decoded_to: i64,
}

#[derive(Debug)]
struct Stream {
    decoder: Decoder,
    /// From the codec's rate to the playout's.
    resampler: Option<Box<Resampler>>,
}

impl Decoders {
    /// Decoders for those of `codecs` that a playout at `rate` Hz (8000, 16000 or 48000) does
    /// not take without; `None` where that is none of them.
    pub fn new(codecs: &[Codec], rate: u32) -> Result<Option<Box<Self>>, CodecError> {
        let mut streams: Vec<Stream> = Vec::new();
        for &codec in codecs {
            let resampled = codec.sample_rate() != rate;
            if !is_needed(codec, rate) || streams.iter().any(|s| s.decoder.codec() == codec) {
                continue;
            }
            streams.push(Stream {
                decoder: Decoder::new(codec)?,
                resampler: resampled.then(|| Box::new(Resampler::new(codec.sample_rate(), rate))),
            });
        }
        let rates = streams.iter().map(|s| s.decoder.codec().sample_rate());
        let Some(highest) = rates.max() else {
            return Ok(None);
        };
        let longest = MAX_PACKET_MS * highest as usize / 1000;
        Ok(Some(Box::new(Self {
            streams,
            store: Store::new(),
            scratch: vec![0; longest].into(),
            spare: vec![0; SPARE].into(),
            spare_len: 0,
            current: None,
            last_seq: SeqNo(0),
            decoded_to: i64::MIN,
        })))
    }

    pub(super) fn has(&self, codec: Codec) -> bool {
        self.streams.iter().any(|s| s.decoder.codec() == codec)
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.store.clear();
        self.spare_len = 0;
        self.current = None;
        self.decoded_to = i64::MIN;
    }

    /// Decodes the first payload that waits into `out`, and forgets it.
    pub(super) fn decode_first(&mut self, out: &mut [i16]) -> usize {
        let Some(first) = self.store.first() else {
            return 0;
        };
        self.switch_to(first.codec);
        let payload = self.store.payload(&first);
        let room = first.codec.samples(payload).min(self.scratch.len());
        let written = match self.current {
            Some(n) => {
                let stream = &mut self.streams[n];
                let decoded = stream.decoder.decode(payload, &mut self.scratch[..room]);
                stream.resample(&self.scratch[..decoded], out)
            }
            None => 0,
        };
        self.blend_spare(&mut out[..written]);
        self.last_seq = first.seq;
        self.decoded_to = first.at + first.len;
        self.store.pop();
        written
    }

    /// Whether the first payload that waits can repair the loss right before it.
    pub(super) fn can_repair(&self) -> bool {
        let Some(first) = self.store.first() else {
            return false;
        };
        let stream = self.current.map(|n| &self.streams[n]);
        stream.is_some_and(|s| {
            s.resampler.is_none()
                && s.decoder.codec() == first.codec
                && first.seq.distance(self.last_seq) > 1
                && s.decoder.has_fec(self.store.payload(&first))
        })
    }

    /// Whether a payload carries what was lost before it.
    pub(super) fn repairs(&self, codec: Codec, payload: &[u8]) -> bool {
        self.current.is_some_and(|n| {
            let decoder = &self.streams[n].decoder;
            decoder.codec() == codec && decoder.has_fec(payload)
        })
    }

    /// Fills all of `out`, which is the end of a loss, out of the first payload that waits.
    pub(super) fn repair(&mut self, out: &mut [i16]) -> bool {
        let (Some(first), Some(n)) = (self.store.first(), self.current) else {
            return false;
        };
        let payload = self.store.payload(&first);
        let repaired = self.streams[n].decoder.decode_fec(payload, out) == out.len();
        if repaired {
            self.blend_spare(out);
            self.decoded_to = first.at;
            self.last_seq = first.seq.add(u16::MAX);
        }
        repaired
    }

    /// Conceals by the codec's own means; false where it has none.
    pub(super) fn conceal(&mut self, out: &mut [i16]) -> bool {
        let Some(n) = self.current else { return false };
        let Stream {
            decoder,
            resampler: None,
        } = &mut self.streams[n]
        else {
            return false;
        };
        let mut done = 0;
        while done < out.len() {
            if self.spare_len == 0 {
                let wanted = (out.len() - done).next_multiple_of(SPARE_STEP).min(SPARE);
                if !decoder.conceal(&mut self.spare[..wanted]) {
                    return false;
                }
                self.spare_len = wanted;
            }
            let piece = self.spare_len.min(out.len() - done);
            out[done..done + piece].copy_from_slice(&self.spare[..piece]);
            self.spare.copy_within(piece..self.spare_len, 0);
            self.spare_len -= piece;
            done += piece;
        }
        true
    }

    /// The decoder goes on behind the last step that it concealed, which was not played to its end:
    /// what is left of that leads over.
    fn blend_spare(&mut self, out: &mut [i16]) {
        let len = std::mem::take(&mut self.spare_len);
        let scale = 1.0 / (len + 1) as f32;
        for (n, (new, old)) in out.iter_mut().zip(&self.spare[..len]).enumerate() {
            let weight = (n + 1) as f32 * scale;
            let old = f32::from(*old);
            *new = (old + (f32::from(*new) - old) * weight) as i16;
        }
    }

    fn switch_to(&mut self, codec: Codec) {
        let n = self.streams.iter().position(|s| s.decoder.codec() == codec);
        if n == self.current {
            return;
        }
        self.spare_len = 0;
        self.current = n;
        if let Some(n) = n {
            let stream = &mut self.streams[n];
            stream.decoder.reset();
            if let Some(resampler) = &mut stream.resampler {
                resampler.reset();
            }
        }
    }
}

impl Stream {
    fn resample(&mut self, decoded: &[i16], out: &mut [i16]) -> usize {
        let Some(resampler) = &mut self.resampler else {
            let len = decoded.len().min(out.len());
            out[..len].copy_from_slice(&decoded[..len]);
            return len;
        };
        resampler.process(decoded, out);
        out.len()
    }
}

/// Whether a playout at `rate` Hz takes a codec by a decoder only.
pub(super) fn is_needed(codec: Codec, rate: u32) -> bool {
    !codec.is_stateless() || codec.sample_rate() != rate
}

/// 2.5 ms at 48 kHz, the step of Opus, and 20 ms.
const SPARE_STEP: usize = 120;
const SPARE: usize = 960;
