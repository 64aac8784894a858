//! The text of our descriptions. Writing to a `String` cannot fail, so results are dropped.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::codec::{Codec, OpusSettings};
use crate::sdp::Direction;

use super::format::COMFORT_NOISE;
use super::security::Statement;
use super::{Local, Redundancy, RejectedStream, opus};

/// Our audio stream.
pub(super) struct Audio<'a> {
    pub(super) proto: &'a str,
    pub(super) keys: &'a Statement,
    pub(super) codecs: &'a [(u8, Codec)],
    /// What we like to receive of Opus.
    pub(super) opus: &'a OpusSettings,
    /// Number and clock rate.
    pub(super) telephone_events: &'a [(u8, u32)],
    pub(super) redundancy: Option<&'a Redundancy>,
    pub(super) comfort_noise: bool,
    pub(super) ptime_ms: u8,
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
    pub(super) voip_metrics: bool,
}

/// Everything above the first `m=` line. `time` is the offer's own in an answer.
pub(super) fn session(local: &Local, time: (u64, u64)) -> String {
    let family = match local.address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    let Local {
        session_id,
        version,
        ..
    } = local;
    let address = local.address.to_string();
    format!(
        "v=0\r\no=- {session_id} {version} IN {family} {address}\r\ns=-\r\n\
         c=IN {family} {address}\r\nt={} {}\r\n",
        time.0, time.1
    )
}

/// A stream that is refused (RFC 3264 §6: port 0, the rest as offered).
pub(super) fn rejected(text: &mut String, stream: &RejectedStream) {
    let RejectedStream {
        kind,
        proto,
        formats,
    } = stream;
    let formats = if formats.is_empty() { "0" } else { formats };
    let _ = write!(text, "m={kind} 0 {proto} {formats}\r\n");
}

/// Our audio stream.
pub(super) fn audio(text: &mut String, local: &Local, audio: &Audio<'_>) {
    let _ = write!(text, "m=audio {} {}", local.rtp_port, audio.proto);
    let numbers = audio
        .codecs
        .iter()
        .map(|(number, _)| *number)
        .chain(audio.redundancy.map(|red| red.payload_type))
        .chain(audio.comfort_noise.then_some(COMFORT_NOISE))
        .chain(audio.telephone_events.iter().map(|(number, _)| *number));
    for number in numbers {
        let _ = write!(text, " {number}");
    }
    text.push_str("\r\n");
    for (number, codec) in audio.codecs {
        let (name, rate) = (codec.name(), codec.clock_rate());
        let _ = write!(text, "a=rtpmap:{number} {name}/{rate}");
        if codec.channels() > 1 {
            let _ = write!(text, "/{}", codec.channels());
        }
        text.push_str("\r\n");
        if *codec == Codec::Opus {
            let parameters = opus::parameters(audio.opus);
            let _ = write!(text, "a=fmtp:{number} {parameters}\r\n");
        }
    }
    if let Some(redundancy) = audio.redundancy {
        redundancy.write(text, audio.codecs);
    }
    if audio.comfort_noise {
        let _ = write!(text, "a=rtpmap:{COMFORT_NOISE} CN/8000\r\n");
    }
    for (number, rate) in audio.telephone_events {
        // 0 to 15: the sixteen digits (RFC 4733 §3.2); flash (16) means nothing to a server.
        let _ = write!(
            text,
            "a=rtpmap:{number} telephone-event/{rate}\r\na=fmtp:{number} 0-15\r\n"
        );
    }
    let _ = write!(
        text,
        "a=ptime:{}\r\na={}\r\n",
        audio.ptime_ms, audio.direction
    );
    match audio.keys {
        Statement::Crypto(lines) => {
            for crypto in lines {
                let _ = write!(text, "a=crypto:{crypto}\r\n");
            }
        }
        Statement::Dtls(attributes) => text.push_str(attributes),
    }
    if local.rtp_port.checked_add(1) != Some(local.rtcp_port) {
        let _ = write!(text, "a=rtcp:{}\r\n", local.rtcp_port);
    }
    if audio.rtcp_mux {
        text.push_str("a=rtcp-mux\r\n");
    }
    if audio.voip_metrics {
        text.push_str("a=rtcp-xr:voip-metrics\r\n");
    }
}
