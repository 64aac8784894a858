//! Encodings of a bridge's common frame, shared by all that hear it.

use crate::audio::TICK_SAMPLES;
use crate::codec::Codec;
use crate::leg::Encoded;

/// The common frame, encoded at most once per codec.
pub(super) struct SharedEncodings {
    payload: [[u8; TICK_SAMPLES]; 2],
    len: [usize; 2],
}

impl Default for SharedEncodings {
    fn default() -> Self {
        Self {
            payload: [[0; TICK_SAMPLES]; 2],
            len: [0; 2],
        }
    }
}

impl SharedEncodings {
    pub fn get(&mut self, codec: Codec, samples: &[i16]) -> Encoded<'_> {
        let i = match codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 1,
            // The others are encoded by the leg.
            _ => {
                return Encoded {
                    codec,
                    payload: &[],
                };
            }
        };
        if self.len[i] == 0 {
            self.len[i] = codec.encode(samples, &mut self.payload[i]);
        }
        Encoded {
            codec,
            payload: &self.payload[i][..self.len[i]],
        }
    }
}
