//! One stream out: samples -> payload.

use super::{Codec, CodecError, OpusSettings, g722, opus};

/// Encodes one stream of mono audio. Made on the control side; no method but [`Encoder::new`] takes
/// or gives back memory.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    state: State,
}

#[derive(Debug)]
enum State {
    None,
    G722(Box<g722::Encoder>),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder at the start of a stream. `settings` count for Opus alone.
    pub fn new(codec: Codec, settings: &OpusSettings) -> Result<Self, CodecError> {
        let state = match codec {
            Codec::G722 => State::G722(Box::default()),
            Codec::Opus => opus::Encoder::new(settings)
                .map(State::Opus)
                .map_err(|reason| CodecError {
                    codec,
                    what: "encoder",
                    reason,
                })?,
            _ => State::None,
        };
        Ok(Self { codec, state })
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Encodes one frame of [`Codec::frame_samples`] of a [`Codec::ptime_ms`] (codecs other than
    /// Opus take any even length) and returns the payload's bytes. `out` has at best
    /// [`MAX_PAYLOAD`](super::MAX_PAYLOAD) bytes: Opus keeps to less where it must, the others stop
    /// where it is full. 0: nothing to send in this packet time (Opus with DTX, in silence), or a
    /// frame length that Opus has not.
    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match &mut self.state {
            State::None => self.codec.encode(pcm, out),
            State::G722(state) => state.encode(pcm, out),
            State::Opus(state) => state.encode(pcm, out),
        }
    }

    /// Sets how many packets are thought to be lost, percent up to 100: from 1 on Opus adds FEC,
    /// where its settings have it. Of no effect on the other codecs.
    pub fn set_expected_loss(&mut self, percent: u8) {
        if let State::Opus(state) = &mut self.state {
            state.set_expected_loss(percent);
        }
    }

    /// Back to the start of a stream; settings stay.
    pub fn reset(&mut self) {
        match &mut self.state {
            State::None => {}
            State::G722(state) => **state = g722::Encoder::default(),
            State::Opus(state) => state.reset(),
        }
    }

    /// Goes on from where `from` is in its stream, so that a listener who has got its payloads can
    /// have the next ones from here without a jump. Whether that is possible: not with Opus, nor
    /// with another codec. Where it is not, nothing has changed.
    pub fn copy_state(&mut self, from: &Encoder) -> bool {
        match (&mut self.state, &from.state) {
            (State::None, State::None) => self.codec == from.codec,
            (State::G722(state), State::G722(from)) => {
                state.clone_from(from);
                true
            }
            _ => false,
        }
    }
}
