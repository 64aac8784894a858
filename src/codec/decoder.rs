//! One stream in: payload -> samples.

use super::{Codec, CodecError, g722, opus};

/// Decodes one stream to mono audio at [`Codec::sample_rate`]. Made on the control side; no method
/// but [`Decoder::new`] takes or gives back memory.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    state: State,
}

#[derive(Debug)]
enum State {
    None,
    G722(Box<g722::Decoder>),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(codec: Codec) -> Result<Self, CodecError> {
        let state = match codec {
            Codec::G722 => State::G722(Box::default()),
            Codec::Opus => opus::Decoder::new()
                .map(State::Opus)
                .map_err(|reason| CodecError {
                    codec,
                    what: "decoder",
                    reason,
                })?,
            _ => State::None,
        };
        Ok(Self { codec, state })
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Decodes a payload and returns the samples written. `out` needs room for
    /// [`Codec::samples`]; with less, Opus writes nothing and the others as much as fits. 0: the
    /// payload is malformed or empty.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match &mut self.state {
            State::None => self.codec.decode(payload, out),
            State::G722(state) => state.decode(payload, out),
            State::Opus(state) => state.decode(payload, out),
        }
    }

    /// Whether `next_payload` carries a copy of the frame before it (Opus' in-band FEC, RFC 6716
    /// §4.2.5). Costs a look at three bytes or so.
    pub fn has_fec(&self, next_payload: &[u8]) -> bool {
        self.codec == Codec::Opus && opus::has_fec(next_payload)
    }

    /// How many samples of the frame before it `next_payload` carries a copy of.
    pub fn fec_samples(&self, next_payload: &[u8]) -> usize {
        if self.has_fec(next_payload) {
            opus::frame_samples(next_payload[0])
        } else {
            0
        }
    }

    /// Fills the gap in front of `next_payload` out of its FEC, before that payload itself is
    /// decoded. `out` is the whole gap, in steps of 2.5 ms up to 120 ms: its end,
    /// [`Decoder::fec_samples`], comes from the FEC, what is before that is concealed. Returns the samples written: all of `out`, or 0 where
    /// there is no FEC.
    pub fn decode_fec(&mut self, next_payload: &[u8], out: &mut [i16]) -> usize {
        match &mut self.state {
            State::Opus(state) => state.decode_fec(next_payload, out),
            _ => 0,
        }
    }

    /// Conceals a loss by the codec's own means, or makes its comfort noise while the sender pauses
    /// (DTX); all of `out`, in steps of 2.5 ms up to 120 ms. Only in steps of 10 ms does what comes
    /// next follow without a seam: libopus drops what SILK gives beyond that. False where the codec
    /// has none: nothing is written then.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match &mut self.state {
            State::Opus(state) => state.conceal(out),
            _ => false,
        }
    }

    /// Back to the start of a stream.
    pub fn reset(&mut self) {
        match &mut self.state {
            State::None => {}
            State::G722(state) => **state = g722::Decoder::default(),
            State::Opus(state) => state.reset(),
        }
    }
}
