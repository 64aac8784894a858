//! A leg alone, with nothing around it.

use std::net::SocketAddr;

use antiphon::audio::MediaTime;
use antiphon::audio::process::ProcessSettings;
use antiphon::leg::{Channel, LegId, LegSettings, MediaIo, Sink};

/// Its place.
pub const ID: LegId = LegId {
    index: 0,
    generation: 0,
};

/// Whom it talks with.
pub fn peer() -> SocketAddr {
    ([10, 1, 0, 1], 4000).into()
}

/// As a call has them, without a time-out.
pub fn settings() -> LegSettings {
    LegSettings {
        ssrc: 1,
        first_sequence: 1,
        first_timestamp: 1,
        jitter_max_ms: 200,
        media_timeout_ms: 0,
        inband_digits: true,
        process: ProcessSettings::default(),
        cname: "test".to_owned(),
    }
}

/// What has come for it by RTP, and all that it has sent.
#[derive(Default)]
pub struct Io {
    pub coming: Vec<(Vec<u8>, MediaTime)>,
    pub sent: Vec<Vec<u8>>,
    /// Where reports are among it.
    pub reports: Vec<usize>,
}

impl Io {
    /// The RTP that it has sent.
    pub fn rtp(&self) -> Vec<&[u8]> {
        let sent = self.sent.iter().enumerate();
        let rtp = sent.filter(|(place, _)| !self.reports.contains(place));
        rtp.map(|(_, packet)| packet.as_slice()).collect()
    }
}

impl MediaIo for Io {
    fn receive(&mut self, _: u32, channel: Channel, sink: &mut Sink<'_>) {
        if channel == Channel::Rtp {
            for (packet, at) in self.coming.drain(..) {
                sink(&packet, peer(), at);
            }
        }
    }
    fn send(&mut self, _: u32, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        if channel == Channel::Rtcp {
            self.reports.push(self.sent.len());
        }
        self.sent.push(bytes.to_vec());
    }
    fn connect(&mut self, _: u32, _: Option<SocketAddr>) {}
    fn closed(&mut self, _: u32) {}
    fn flush(&mut self) {}
}
