//! Sound as it comes from elsewhere, made a WAV file.

/// The header of a WAV file of u-law, up to its data: RIFF, fmt with an extension of no bytes, fact.
const HEADER: usize = 58;
/// Format number of u-law.
const MU_LAW: u16 = 7;
const A_LAW: u16 = 6;

/// Why it cannot be played.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SoundError {
    /// Neither WAV nor one of the raw kinds.
    #[error("content type {0:?}, playable are WAV, audio/basic, audio/pcmu and audio/pcma")]
    Kind(String),
    /// Nothing at all.
    #[error("empty")]
    Empty,
}

/// A WAV file with that content: as it is if it is one (its first bytes decide, whatever was said of
/// it), with a header before it if it is raw G.711 at 8 kHz (RFC 2046 §4.3, RFC 4856).
pub fn to_wav(bytes: Vec<u8>, kind: Option<&str>) -> Result<Vec<u8>, SoundError> {
    if bytes.is_empty() {
        return Err(SoundError::Empty);
    }
    if bytes.starts_with(b"RIFF") {
        return Ok(bytes);
    }
    match kind {
        Some("audio/basic" | "audio/pcmu") => Ok(with_header(&bytes, MU_LAW)),
        Some("audio/pcma") => Ok(with_header(&bytes, A_LAW)),
        other => Err(SoundError::Kind(other.unwrap_or("unknown").to_owned())),
    }
}

fn with_header(bytes: &[u8], format: u16) -> Vec<u8> {
    // Bounded far below by what is fetched.
    let len = bytes.len() as u32;
    let padded = len + len % 2;
    let mut wav = Vec::with_capacity(HEADER + padded as usize);
    wav.extend(b"RIFF");
    wav.extend((HEADER as u32 - 8 + padded).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(18u32.to_le_bytes());
    wav.extend(format.to_le_bytes());
    wav.extend(1u16.to_le_bytes());
    wav.extend(8000u32.to_le_bytes());
    wav.extend(8000u32.to_le_bytes());
    wav.extend(1u16.to_le_bytes());
    wav.extend(8u16.to_le_bytes());
    wav.extend(0u16.to_le_bytes());
    wav.extend(b"fact");
    wav.extend(4u32.to_le_bytes());
    wav.extend(len.to_le_bytes());
    wav.extend(b"data");
    wav.extend(len.to_le_bytes());
    wav.extend(bytes);
    if len % 2 == 1 {
        wav.push(0);
    }
    wav
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::wav::Reader;

    #[test]
    fn raw_sound_gets_a_header_that_is_read() {
        for (kind, silence) in [("audio/basic", 0xff), ("audio/pcma", 0xd5)] {
            for len in [800, 801] {
                let wav = to_wav(vec![silence; len], Some(kind)).unwrap();
                let reader = Reader::open(Cursor::new(wav)).unwrap();
                assert_eq!(reader.spec().rate, 8000);
                assert_eq!(reader.spec().frames, len as u64);
            }
        }
    }

    #[test]
    fn what_begins_like_wav_is_wav_and_what_is_neither_is_refused() {
        let wav = b"RIFF....".to_vec();
        assert_eq!(to_wav(wav.clone(), Some("text/html")).unwrap(), wav);
        let page = b"<html>".to_vec();
        assert!(matches!(
            to_wav(page.clone(), Some("text/html")),
            Err(SoundError::Kind(_))
        ));
        assert!(matches!(to_wav(page, None), Err(SoundError::Kind(_))));
        assert!(matches!(
            to_wav(Vec::new(), Some("audio/wav")),
            Err(SoundError::Empty)
        ));
    }
}
