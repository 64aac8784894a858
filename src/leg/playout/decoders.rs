//! What a playout needs to decode streams that are no mere samples at its rate: decoders with
//! state, resamplers, and the payloads that wait for them.

use std::mem;

use super::store::Store;
use super::{IDLE_PEAK, MAX_PACKET_MS};
use crate::audio::polyphase::Resampler;
use crate::codec::{Codec, CodecError, Decoder};
use crate::rtp::SeqNo;

/// Decoders of the codecs that a party may send. Made on the control side, handed to
/// [`Playout::set_decoders`](super::Playout::set_decoders), and freed where they were made.
#[derive(Debug)]
pub struct Decoders {
    streams: Vec<Stream>,
    pub(super) store: Store,
    /// The playout's rate, Hz.
    rate: u32,
    /// Samples at the codec's rate.
    scratch: Box<[i16]>,
    /// Samples of a packet at the playout's.
    decoded: Box<[i16]>,
    /// Concealed samples beyond what was asked for: a codec conceals whole frames.
    spare: Box<[i16]>,
    spare_len: usize,
    /// Whether the decoder's last frame was made up.
    concealing: bool,
    /// Whether what it decoded last ended in silence: a pause needs no decoder.
    silent: bool,
    /// Nothing is concealed any more until something is decoded.
    given_up: bool,
    fade: Fade,
    /// The stream that was decoded last, its last number, and where on the line it ended.
    current: Option<usize>,
    pub(super) last_seq: SeqNo,
    /// How long its last packet was, samples of the playout.
    frame_len: usize,
    pub(super) decoded_to: i64,
}

/// What leads over from concealed samples to those that the decoder gave after them.
#[derive(Debug)]
struct Fade {
    samples: Box<[i16]>,
    at: usize,
    len: usize,
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
            rate,
            scratch: vec![0; longest].into(),
            decoded: vec![0; MAX_PACKET_MS * rate as usize / 1000].into(),
            spare: vec![0; SPARE_MS * rate as usize / 1000].into(),
            spare_len: 0,
            concealing: false,
            silent: false,
            given_up: false,
            fade: Fade {
                samples: vec![0; MAX_FADE_MS * rate as usize / 1000].into(),
                at: 0,
                len: 0,
            },
            current: None,
            last_seq: SeqNo(0),
            frame_len: 0,
            decoded_to: i64::MIN,
        })))
    }

    pub(super) fn has(&self, codec: Codec) -> bool {
        self.streams.iter().any(|s| s.decoder.codec() == codec)
    }

    /// Forgets the stream.
    pub(super) fn reset(&mut self) {
        self.store.clear();
        self.leave();
        self.given_up = false;
        self.current = None;
        self.decoded_to = i64::MIN;
    }

    /// The pause is too long to go on concealing.
    pub(super) fn give_up(&mut self) {
        self.leave();
        self.given_up = true;
    }

    /// What was concealed last is not what is heard last.
    pub(super) fn leave(&mut self) {
        self.spare_len = 0;
        self.concealing = false;
        self.silent = false;
        self.fade.len = 0;
    }

    /// Decodes the first payload that waits, of at most `len` samples, and forgets it. What lies
    /// before `from` of them will not be heard.
    pub(super) fn decode_first(&mut self, len: usize, from: usize) -> &[i16] {
        let Some(first) = self.store.first() else {
            return &[];
        };
        let len = len.min(self.decoded.len());
        let mut all = mem::take(&mut self.decoded);
        let out = &mut all[..len];
        self.switch_to(first.codec);
        self.given_up = false;
        let leads_over = self.prepare_fade(from);
        let follows = self.concealing || self.decoded_to == i64::MIN || first.at == self.decoded_to;
        let payload = self.store.payload(&first);
        let room = first.codec.samples(payload).min(self.scratch.len());
        let written = self.current.map_or(0, |n| {
            let stream = &mut self.streams[n];
            let decoded = stream.decoder.decode(payload, &mut self.scratch[..room]);
            if !follows {
                stream.bridge(&mut self.scratch, decoded, &mut self.spare);
            }
            stream.resample(&self.scratch[..decoded], out)
        });
        self.frame_len = first.len as usize;
        self.last_seq = first.seq;
        self.decoded_to = first.at + first.len;
        self.store.pop();
        if written > 0 {
            self.blend(&mut out[..written], from, leads_over);
            let end = written.saturating_sub(SILENT_MS * self.rate as usize / 1000);
            self.silent = out[end..written]
                .iter()
                .all(|s| s.unsigned_abs() <= IDLE_PEAK);
        }
        self.decoded = all;
        &self.decoded[..written]
    }

    /// How many samples of the loss right before it the first payload that waits can repair.
    pub(super) fn carried(&self) -> Option<usize> {
        let first = self.store.first()?;
        let decoder = &self.streams[self.current?].decoder;
        if decoder.codec() != first.codec || first.seq.distance(self.last_seq) <= 1 {
            return None;
        }
        let copied = decoder.fec_samples(self.store.payload(&first));
        let carried =
            (copied as u64 * u64::from(self.rate) / u64::from(first.codec.sample_rate())) as usize;
        (carried > 0 && first.at - carried as i64 >= self.decoded_to).then_some(carried)
    }

    /// Whether a payload carries what was lost before it.
    pub(super) fn repairs(&self, codec: Codec, payload: &[u8]) -> bool {
        self.current.is_some_and(|n| {
            let decoder = &self.streams[n].decoder;
            decoder.codec() == codec && decoder.has_fec(payload)
        })
    }

    /// The `len` samples at the end of a loss, which are what is [`Decoders::carried`], out of the
    /// first payload that waits. What lies before `from` of them will not be heard.
    pub(super) fn repair(&mut self, len: usize, from: usize) -> Option<&[i16]> {
        if len > self.decoded.len() {
            return None;
        }
        let mut all = mem::take(&mut self.decoded);
        let repaired = self.repair_into(&mut all[..len], from);
        self.decoded = all;
        repaired.then(|| &self.decoded[..len])
    }

    fn repair_into(&mut self, out: &mut [i16], from: usize) -> bool {
        let (Some(first), Some(n)) = (self.store.first(), self.current) else {
            return false;
        };
        let leads_over = self.prepare_fade(from);
        let payload = self.store.payload(&first);
        let stream = &mut self.streams[n];
        let room = stream.decoder.fec_samples(payload).min(self.scratch.len());
        let decoded = stream
            .decoder
            .decode_fec(payload, &mut self.scratch[..room]);
        if decoded == 0 || stream.resample(&self.scratch[..decoded], out) != out.len() {
            return false;
        }
        self.blend(out, from, leads_over);
        self.decoded_to = first.at;
        self.last_seq = first.seq.add(u16::MAX);
        true
    }

    /// Conceals by the codec's own means; false where it has none.
    pub(super) fn conceal(&mut self, out: &mut [i16]) -> bool {
        let ms = self.rate as usize / 1000;
        // A lost packet at once, though it be heard in pieces: the decoder then goes on where the
        // next one begins.
        if self.given_up {
            return false;
        }
        let frame = self.frame_len.clamp(10 * ms, MAX_FRAME_MS * ms) / (10 * ms) * 10 * ms;
        let mut done = 0;
        while done < out.len() {
            if self.spare_len == 0 && !self.conceal_frame(frame) {
                return false;
            }
            let piece = self.spare_len.min(out.len() - done);
            out[done..done + piece].copy_from_slice(&self.spare[..piece]);
            self.spare.copy_within(piece..self.spare_len, 0);
            self.spare_len -= piece;
            done += piece;
        }
        true
    }

    /// Has the decoder make up `len` samples more: 10 or 20 ms. Of a shorter frame, SILK would
    /// drop the rest of 10 ms, and go on behind that.
    fn conceal_frame(&mut self, len: usize) -> bool {
        let Some(n) = self.current else { return false };
        if self.silent {
            self.spare[self.spare_len..self.spare_len + len].fill(0);
            self.spare_len += len;
            self.fade.len = 0;
            return true;
        }
        let stream = &mut self.streams[n];
        let decoded = len * stream.decoder.codec().sample_rate() as usize / self.rate as usize;
        let spare = &mut self.spare[self.spare_len..self.spare_len + len];
        if !stream.decoder.conceal(&mut self.scratch[..decoded]) {
            return false;
        }
        stream.resample(&self.scratch[..decoded], spare);
        self.fade.apply(spare);
        self.spare_len += len;
        self.concealing = true;
        true
    }

    /// Before the decoder goes on behind a loss: whether what it gives has to be led over to. It
    /// follows what was concealed, to the end of the last frame; what is heard next does not, if
    /// that was not played to its end or the beginning of what comes is not heard.
    fn prepare_fade(&mut self, from: usize) -> bool {
        let ms = self.rate as usize / 1000;
        if !self.concealing || (self.spare_len == 0 && from == 0) {
            return false;
        }
        self.spare_len >= MIN_FADE_MS * ms || self.conceal_frame(10 * ms)
    }

    /// Leads over to `out`, which the decoder gave, from what was heard before.
    fn blend(&mut self, out: &mut [i16], from: usize, leads_over: bool) {
        if leads_over {
            self.fade.begin(&self.spare[..self.spare_len]);
        }
        self.spare_len = 0;
        self.concealing = false;
        let from = from.min(out.len());
        self.fade.apply(&mut out[from..]);
    }

    fn switch_to(&mut self, codec: Codec) {
        let n = self.streams.iter().position(|s| s.decoder.codec() == codec);
        if n == self.current {
            return;
        }
        self.leave();
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

impl Fade {
    fn begin(&mut self, old: &[i16]) {
        self.at = 0;
        self.len = old.len().min(self.samples.len());
        self.samples[..self.len].copy_from_slice(&old[..self.len]);
    }

    /// Blends what is left of the old samples into `new`, which may end before them.
    fn apply(&mut self, new: &mut [i16]) {
        let scale = 1.0 / (self.len + 1) as f32;
        let left = &self.samples[self.at.min(self.len)..self.len];
        for (n, (new, &old)) in (self.at + 1..).zip(new.iter_mut().zip(left)) {
            let weight = n as f32 * scale;
            let old = f32::from(old);
            *new = (old + (f32::from(*new) - old) * weight) as i16;
        }
        self.at = self.len.min(self.at + new.len());
    }
}

impl Stream {
    fn resample(&mut self, decoded: &[i16], out: &mut [i16]) -> usize {
        let Some(resampler) = &mut self.resampler else {
            let len = decoded.len().min(out.len());
            out[..len].copy_from_slice(&decoded[..len]);
            return len;
        };
        if decoded.is_empty() {
            return 0;
        }
        resampler.process(decoded, out);
        out.len()
    }

    /// Behind a loss that the decoder has not concealed: what the resampler remembers is from
    /// before it, and would join the first samples by a step. They mirrored take its place.
    fn bridge(&mut self, scratch: &mut [i16], decoded: usize, waste: &mut [i16]) {
        let Some(resampler) = &mut self.resampler else {
            return;
        };
        let len = BRIDGE_MS * self.decoder.codec().sample_rate() as usize / 1000;
        let (new, rest) = scratch.split_at_mut(decoded);
        if decoded <= len || rest.len() < len {
            return;
        }
        let pivot = 2 * i32::from(new[0]);
        for (mirrored, sample) in rest[..len].iter_mut().rev().zip(&new[1..]) {
            let value = pivot - i32::from(*sample);
            *mirrored = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        }
        resampler.process(&rest[..len], waste);
    }
}

/// Whether a playout at `rate` Hz takes a codec by a decoder only.
pub(super) fn is_needed(codec: Codec, rate: u32) -> bool {
    !codec.is_stateless() || codec.sample_rate() != rate
}

/// The longest frame that a codec conceals at once; longer packets are several.
const MAX_FRAME_MS: usize = 20;
/// How long concealed samples lead over: within 5 ms, even opposite phases leave no step.
const MIN_FADE_MS: usize = 5;
const MAX_FADE_MS: usize = 10;
/// More than a resampler remembers.
const BRIDGE_MS: usize = 4;
/// How much silence at the end of what was decoded goes on in a pause.
const SILENT_MS: usize = 10;
/// What may be left of a frame, and one of 10 ms more.
const SPARE_MS: usize = MAX_FRAME_MS + 10;
