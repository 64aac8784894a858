//! Opus packets -> samples.

use audiopus::coder::GenericCtl;
use audiopus::packet::Packet;
use audiopus::{Channels, Error, MutSignals, SampleRate};

use super::{STEP, has_fec, samples};
use crate::codec::MAX_FRAME_SAMPLES;

#[derive(Debug)]
pub(in crate::codec) struct Decoder {
    inner: audiopus::coder::Decoder,
}

impl Decoder {
    pub fn new() -> Result<Self, Error> {
        let inner = audiopus::coder::Decoder::new(SampleRate::Hz48000, Channels::Mono)?;
        Ok(Self { inner })
    }

    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let len = samples(payload);
        match out.get_mut(..len) {
            Some(out) if len > 0 => self.run(Some(payload), out, false),
            _ => 0,
        }
    }

    pub fn decode_fec(&mut self, next_payload: &[u8], out: &mut [i16]) -> usize {
        if !is_length(out.len()) || !has_fec(next_payload) {
            return 0;
        }
        self.run(Some(next_payload), out, true)
    }

    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        is_length(out.len()) && self.run(None, out, false) == out.len()
    }

    pub fn reset(&mut self) {
        let _ = self.inner.reset_state();
    }

    fn run(&mut self, payload: Option<&[u8]>, out: &mut [i16], fec: bool) -> usize {
        let packet = payload.map(Packet::try_from).transpose();
        let (Ok(packet), Ok(signals)) = (packet, MutSignals::try_from(out)) else {
            return 0;
        };
        self.inner.decode(packet, signals, fec).unwrap_or(0)
    }
}

/// Whether a gap of this many samples can be filled.
fn is_length(samples: usize) -> bool {
    samples > 0 && samples <= MAX_FRAME_SAMPLES && samples.is_multiple_of(STEP)
}
