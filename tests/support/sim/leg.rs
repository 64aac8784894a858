//! A leg alone, with nothing around it.

use std::net::SocketAddr;

use antiphon::audio::process::ProcessSettings;
use antiphon::leg::{LegId, LegSettings};

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
