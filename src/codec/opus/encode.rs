//! Samples -> Opus packets.

use audiopus::coder::GenericCtl;
use audiopus::{Application, Bandwidth, Bitrate, Channels, Error, SampleRate, Signal};

use super::OpusSettings;

#[derive(Debug)]
pub(in crate::codec) struct Encoder {
    inner: audiopus::coder::Encoder,
    dtx: bool,
}

impl Encoder {
    pub fn new(settings: &OpusSettings) -> Result<Self, Error> {
        let settings = settings.clamped();
        let mut inner =
            audiopus::coder::Encoder::new(SampleRate::Hz48000, Channels::Mono, Application::Voip)?;
        inner.set_signal(Signal::Auto)?;
        inner.set_bitrate(Bitrate::BitsPerSecond(settings.bitrate as i32))?;
        inner.set_complexity(settings.complexity)?;
        inner.set_inband_fec(settings.fec)?;
        inner.set_dtx(settings.dtx)?;
        inner.set_vbr(!settings.cbr)?;
        inner.set_max_bandwidth(bandwidth(settings.max_playback_rate))?;
        inner.set_packet_loss_perc(settings.expected_loss)?;
        Ok(Self {
            inner,
            dtx: settings.dtx,
        })
    }

    pub fn encode(&mut self, pcm: &[i16], out: &mut [u8]) -> usize {
        match self.inner.encode(pcm, out) {
            // A packet without audio need not be sent.
            Ok(len) if self.dtx && len <= MAX_EMPTY => 0,
            Ok(len) => len,
            Err(_) => 0,
        }
    }

    pub fn set_expected_loss(&mut self, percent: u8) {
        let percent = percent.min(*OpusSettings::EXPECTED_LOSS.end());
        // Refused only out of range.
        let _ = self.inner.set_packet_loss_perc(percent);
    }

    pub fn reset(&mut self) {
        let _ = self.inner.reset_state();
    }
}

/// The audio band for a sampling rate (RFC 7587 §3.1.2).
fn bandwidth(rate: u32) -> Bandwidth {
    match rate {
        ..12_000 => Bandwidth::Narrowband,
        12_000..16_000 => Bandwidth::Mediumband,
        16_000..24_000 => Bandwidth::Wideband,
        24_000..48_000 => Bandwidth::Superwideband,
        _ => Bandwidth::Fullband,
    }
}

/// With DTX, packets of up to this many bytes hold no audio: the table of contents and a count.
const MAX_EMPTY: usize = 2;
