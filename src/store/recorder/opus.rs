//! Opus in Ogg files (RFC 7845), written while they are recorded.
//!
//! Samples are gathered to frames of 20 ms; a flush ends the page, so that whatever happens
//! afterwards, a player reads to there. Positions count at 48 kHz, with the encoder's delay before
//! them; the last one says where the audio really ends, so that files of a split recording join to
//! the sample.

use std::io::{self, Write};

use audiopus::coder::Encoder;
use audiopus::{Application, Channels, SampleRate};
use ogg::PacketWriter;
use ogg::writing::PacketWriteEndInfo as End;

/// What granule positions count.
const GRANULE_RATE: u64 = 48_000;
/// Room for the longest packet of a frame.
const MAX_PACKET: usize = 4000;

/// A file under way.
pub(super) struct OpusFile<W: Write> {
    pages: PacketWriter<'static, W>,
    encoder: Encoder,
    serial: u32,
    rate: u64,
    channels: usize,
    /// Samples of a frame, all channels.
    frame: usize,
    pre_skip: u64,
    pending: Vec<i16>,
    /// The last packet: how its page ends is not known yet.
    held: Option<(Vec<u8>, u64)>,
    /// Samples of a channel that were taken, encoded, and are in pages that have ended.
    samples: u64,
    encoded: u64,
    flushed: u64,
    finished: bool,
}

impl<W: Write> OpusFile<W> {
    /// Begins a file; `serial` is its stream's.
    pub fn create(output: W, rate: u32, channels: usize, serial: u32) -> io::Result<Self> {
        let sample_rate = match rate {
            8000 => SampleRate::Hz8000,
            16_000 => SampleRate::Hz16000,
            48_000 => SampleRate::Hz48000,
            _ => return Err(io::Error::other(format!("Opus has no rate of {rate} Hz"))),
        };
        let layout = if channels == 2 {
            Channels::Stereo
        } else {
            Channels::Mono
        };
        let encoder =
            Encoder::new(sample_rate, layout, Application::Audio).map_err(io::Error::other)?;
        let delay = encoder.lookahead().map_err(io::Error::other)?;
        let pre_skip = u64::from(delay) * GRANULE_RATE / u64::from(rate);
        let mut file = Self {
            pages: PacketWriter::new(output),
            encoder,
            serial,
            rate: rate.into(),
            channels,
            frame: rate as usize / 50 * channels,
            pre_skip,
            pending: Vec::new(),
            held: None,
            samples: 0,
            encoded: 0,
            flushed: 0,
            finished: false,
        };
        let head = header(channels as u8, pre_skip as u16, rate);
        file.pages.write_packet(head, serial, End::EndPage, 0)?;
        file.pages.write_packet(tags(), serial, End::EndPage, 0)?;
        Ok(file)
    }

    /// Samples of a channel that were taken.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Those of them that a player is sure to find.
    pub fn flushed_samples(&self) -> u64 {
        self.flushed
    }

    /// Appends samples.
    pub fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        self.samples += (samples.len() / self.channels) as u64;
        self.pending.extend_from_slice(samples);
        let whole = self.pending.len() / self.frame * self.frame;
        let mut frames = std::mem::take(&mut self.pending);
        for frame in frames[..whole].chunks(self.frame) {
            self.encode(frame)?;
        }
        frames.drain(..whole);
        self.pending = frames;
        Ok(())
    }

    /// Ends the page.
    pub fn flush(&mut self) -> io::Result<()> {
        self.put_held(End::EndPage)?;
        self.pages.inner_mut().flush()?;
        let delay = self.pre_skip * self.rate / GRANULE_RATE;
        self.flushed = self.encoded.saturating_sub(delay).min(self.samples);
        Ok(())
    }

    /// Ends the stream at the very sample.
    pub fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        let end = self.samples + (self.pre_skip * self.rate).div_ceil(GRANULE_RATE);
        while self.encoded < end || self.held.is_none() {
            let mut frame = std::mem::take(&mut self.pending);
            frame.resize(self.frame, 0);
            self.encode(&frame)?;
        }
        if let Some((_, granule)) = &mut self.held {
            *granule = self.samples * GRANULE_RATE / self.rate + self.pre_skip;
        }
        self.put_held(End::EndStream)?;
        self.pages.inner_mut().flush()?;
        self.flushed = self.samples;
        Ok(())
    }

    fn encode(&mut self, frame: &[i16]) -> io::Result<()> {
        let mut packet = vec![0; MAX_PACKET];
        let length = self
            .encoder
            .encode(frame, &mut packet)
            .map_err(io::Error::other)?;
        packet.truncate(length);
        self.put_held(End::NormalPacket)?;
        self.encoded += (self.frame / self.channels) as u64;
        self.held = Some((packet, self.encoded * GRANULE_RATE / self.rate));
        Ok(())
    }

    fn put_held(&mut self, end: End) -> io::Result<()> {
        match self.held.take() {
            Some((packet, granule)) => self.pages.write_packet(packet, self.serial, end, granule),
            None => Ok(()),
        }
    }
}

/// The identification header (RFC 7845 §5.1).
fn header(channels: u8, pre_skip: u16, rate: u32) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend_from_slice(&pre_skip.to_le_bytes());
    head.extend_from_slice(&rate.to_le_bytes());
    // No gain, and the channels of mapping family 0.
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// The comment header (RFC 7845 §5.2), without a comment.
fn tags() -> Vec<u8> {
    let vendor = b"antiphon";
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    tags.extend_from_slice(vendor);
    tags.extend_from_slice(&0u32.to_le_bytes());
    tags
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ogg::PacketReader;

    use super::*;

    /// Encodes a wave in uneven pieces, and decodes what a player would: the samples at 48 kHz.
    fn round_trip(rate: u32, samples: usize) -> Vec<i16> {
        let wave = |i: usize| {
            let turn = std::f32::consts::TAU * 400.0 * i as f32 / rate as f32;
            (8000.0 * turn.sin()) as i16
        };
        let mut file = OpusFile::create(Vec::new(), rate, 1, 7).unwrap();
        let all: Vec<i16> = (0..samples).map(wave).collect();
        for piece in all.chunks(777) {
            file.write(piece).unwrap();
            file.flush().unwrap();
        }
        file.finish().unwrap();
        assert_eq!(file.flushed_samples(), samples as u64);
        let bytes = std::mem::take(file.pages.inner_mut());
        let mut reader = PacketReader::new(Cursor::new(bytes));
        let head = reader.read_packet().unwrap().unwrap();
        assert_eq!(&head.data[..8], b"OpusHead");
        let pre_skip = usize::from(u16::from_le_bytes([head.data[10], head.data[11]]));
        assert_eq!(
            &reader.read_packet().unwrap().unwrap().data[..8],
            b"OpusTags"
        );
        let mut decoder =
            audiopus::coder::Decoder::new(SampleRate::Hz48000, Channels::Mono).unwrap();
        let (mut heard, mut end) = (Vec::new(), 0);
        while let Some(packet) = reader.read_packet().unwrap() {
            let mut out = [0i16; 960];
            let bytes = audiopus::packet::Packet::try_from(&packet.data[..]).unwrap();
            let signals = audiopus::MutSignals::try_from(&mut out[..]).unwrap();
            decoder.decode(Some(bytes), signals, false).unwrap();
            heard.extend_from_slice(&out);
            end = packet.absgp_page();
        }
        heard.truncate(end as usize);
        heard.split_off(pre_skip)
    }

    #[test]
    fn ends_at_the_sample_and_keeps_the_place_of_all() {
        for rate in [8000, 16_000, 48_000] {
            let samples = rate as usize + 123;
            let heard = round_trip(rate, samples);
            assert_eq!(heard.len(), samples * 48_000 / rate as usize, "{rate}");
            // In phase with what went in, to a tenth of a period: in its place.
            let (mut same, mut power) = (0.0, 0.0);
            for (i, sample) in heard.iter().enumerate().skip(4800) {
                let turn = std::f32::consts::TAU * 400.0 * i as f32 / 48_000.0;
                same += f32::from(*sample) * 8000.0 * turn.sin();
                power += 8000.0 * 8000.0 / 2.0;
            }
            assert!(same / power > 0.8, "{rate}: {}", same / power);
        }
    }

    #[test]
    fn a_rate_that_opus_does_not_have_is_refused() {
        assert!(OpusFile::create(Vec::new(), 44_100, 1, 1).is_err());
    }
}
