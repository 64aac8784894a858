//! A parsed session description: what negotiation asks of it, nothing more.
//!
//! The syntax is `sdp-types`' work. Only the lines that matter (`v c t m a`) reach it: a phone
//! with a broken `b=` or `e=` line is still a phone.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::Direction;

/// Why a body is not a session description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// More than [`MAX_BYTES`], [`MAX_LINES`], [`MAX_MEDIA`] or [`MAX_FORMATS`].
    #[error("session description too large: {0}")]
    TooLarge(&'static str),
    /// Not the syntax of RFC 4566.
    #[error("session description malformed: {0}")]
    Malformed(String),
}

/// The longest description that is read, bytes.
pub const MAX_BYTES: usize = 65_535;
/// The most lines in a description.
pub const MAX_LINES: usize = 2_000;
/// The most media streams; the answer has to repeat each.
pub const MAX_MEDIA: usize = 64;
/// The most formats of one media stream.
pub const MAX_FORMATS: usize = 128;
/// What a stream inherits of the session's attributes.
const INHERITED: [&str; 2] = ["fingerprint", "setup"];
/// The most of them.
const MAX_INHERITED: usize = 8;

/// A session description.
#[derive(Clone, Debug)]
pub struct Description {
    session: sdp_types::Session,
    media: Vec<Media>,
}

/// One `m=` section, with what it inherits from the session level.
#[derive(Clone, Debug)]
pub struct Media {
    /// `audio`, `video`, `image`, ...; as written.
    pub kind: String,
    /// The port; 0 rejects or disables the stream (RFC 3264 §6).
    pub port: u16,
    /// The transport, as written: `RTP/AVP`, `UDP/TLS/RTP/SAVPF`, ...
    pub proto: String,
    /// The formats, in order of preference.
    pub formats: Vec<String>,
    /// Where the stream wants its media.
    pub address: Address,
    /// The direction, as its author sees it.
    pub direction: Direction,
    attributes: Vec<sdp_types::Attribute>,
    inherited: Vec<sdp_types::Attribute>,
}

/// What a `c=` line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unicast address.
    Ip(IpAddr),
    /// `0.0.0.0` or `::`: on hold (RFC 3264 §8.4, RFC 2543 style).
    Unspecified,
    /// A host name, a multicast group, another network, or no `c=` at all: not to be sent to.
    Unusable,
}

/// One line of `a=rtpmap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpMap<'a> {
    /// The encoding name, in any case.
    pub name: &'a str,
    /// The RTP clock rate, Hz.
    pub clock_rate: u32,
    /// The number of channels, 1 unless stated.
    pub channels: u32,
}

impl Description {
    /// Parses a body. Never panics; bounded in all that it keeps.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > MAX_BYTES {
            return Err(SdpError::TooLarge("over 65535 bytes"));
        }
        // Nearly all is text, which is sooner seen as a whole than by its pieces.
        let text = match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(body),
        };
        let relevant = relevant_lines(&text)?;
        let mut session = sdp_types::Session::parse(relevant.as_bytes())
            .map_err(|error| SdpError::Malformed(error.to_string()))?;
        if session.medias.len() > MAX_MEDIA {
            return Err(SdpError::TooLarge("over 64 media streams"));
        }
        let media = std::mem::take(&mut session.medias)
            .into_iter()
            .map(|media| Media::new(media, &session))
            .collect::<Result<_, _>>()?;
        Ok(Description { session, media })
    }

    /// The media streams, in order.
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// The first `t=` line's start and stop, which an answer has to repeat (RFC 3264 §6).
    pub fn time(&self) -> (u64, u64) {
        self.session
            .times
            .first()
            .map_or((0, 0), |time| (time.start_time, time.stop_time))
    }
}

impl Media {
    fn new(media: sdp_types::Media, session: &sdp_types::Session) -> Result<Self, SdpError> {
        let formats: Vec<String> = media.fmt.split_whitespace().map(str::to_owned).collect();
        if formats.len() > MAX_FORMATS {
            return Err(SdpError::TooLarge("over 128 formats in a stream"));
        }
        let connection = media.connections.first().or(session.connection.as_ref());
        let direction = direction_of(&media.attributes)
            .or_else(|| direction_of(&session.attributes))
            .unwrap_or_default();
        Ok(Media {
            kind: media.media,
            port: media.port,
            proto: media.proto,
            formats,
            address: connection.map_or(Address::Unusable, |connection| {
                Address::read(&connection.nettype, &connection.connection_address)
            }),
            direction,
            attributes: media.attributes,
            inherited: session
                .attributes
                .iter()
                .filter(|attribute| INHERITED.contains(&attribute.attribute.as_str()))
                .take(MAX_INHERITED)
                .cloned()
                .collect(),
        })
    }

    /// Whether this is an audio stream.
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    /// The value of the first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes(name).next()
    }

    /// The same, or those of the session where the stream has none: for the attributes of DTLS
    /// (RFC 8122 §5, RFC 4145 §4), which may stand there.
    pub fn attributes_or_inherited(&self, name: &str) -> impl Iterator<Item = &str> {
        let own = self.has_attribute(name);
        let list = if own {
            &self.attributes
        } else {
            &self.inherited
        };
        list.iter()
            .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name))
            .filter_map(|attribute| attribute.value.as_deref())
    }

    /// The values of all attributes of this name.
    pub fn attributes(&self, name: &str) -> impl Iterator<Item = &str> {
        self.attributes
            .iter()
            .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name))
            .filter_map(|attribute| attribute.value.as_deref())
    }

    /// Whether the stream has an attribute of this name.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes
            .iter()
            .any(|attribute| attribute.attribute.eq_ignore_ascii_case(name))
    }

    /// Whether the author asks for VoIP metrics in RTCP (RFC 3611 §5.1).
    pub fn wants_voip_metrics(&self) -> bool {
        self.attribute("rtcp-xr").is_some_and(|formats| {
            formats
                .split_ascii_whitespace()
                .any(|format| format.eq_ignore_ascii_case("voip-metrics"))
        })
    }

    /// The `rtpmap` of a payload type (RFC 4566 §6).
    pub fn rtpmap(&self, payload_type: u8) -> Option<RtpMap<'_>> {
        let mut maps = self.attributes.iter().filter_map(|attribute| {
            let is_map = attribute.attribute.eq_ignore_ascii_case("rtpmap");
            is_map.then_some(attribute.value.as_deref()).flatten()
        });
        maps.find_map(|value| {
            let (number, rest) = value.trim().split_once(char::is_whitespace)?;
            if number.parse::<u8>().ok()? != payload_type {
                return None;
            }
            let mut parts = rest.trim().split('/');
            let name = parts.next()?;
            let clock_rate = parts.next()?.parse().ok()?;
            let channels = match parts.next() {
                Some(text) => text.parse().ok()?,
                None => 1,
            };
            Some(RtpMap {
                name,
                clock_rate,
                channels,
            })
        })
    }

    /// The parameters of a payload type, `fmtp` (RFC 4566 §6).
    pub fn fmtp(&self, payload_type: u8) -> Option<&str> {
        self.attributes
            .iter()
            .filter(|attribute| attribute.attribute.eq_ignore_ascii_case("fmtp"))
            .filter_map(|attribute| {
                attribute
                    .value
                    .as_deref()?
                    .trim()
                    .split_once(char::is_whitespace)
            })
            .find_map(|(number, rest)| {
                (number.parse::<u8>().ok()? == payload_type).then(|| rest.trim())
            })
    }

    /// The packet time that the author wants to receive, ms, as a number whatever its size.
    pub fn ptime_ms(&self) -> Option<f64> {
        milliseconds(self.attribute("ptime")?)
    }

    /// The longest packet time that the author takes, ms.
    pub fn max_ptime_ms(&self) -> Option<f64> {
        milliseconds(self.attribute("maxptime")?)
    }

    /// Where RTP goes; none while it cannot be told.
    pub fn rtp_address(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Ip(ip) if self.port != 0 => Some(SocketAddr::new(ip, self.port)),
            _ => None,
        }
    }

    /// Where RTCP goes without multiplexing: `a=rtcp` (RFC 3605), else the next port.
    pub fn rtcp_address(&self) -> Option<SocketAddr> {
        let rtp = self.rtp_address()?;
        let next = || {
            let port = rtp.port().checked_add(1)?;
            Some(SocketAddr::new(rtp.ip(), port))
        };
        let Some(value) = self.attribute("rtcp") else {
            return next();
        };
        let mut words = value.split_whitespace();
        let Some(port) = words.next().and_then(|word| word.parse::<u16>().ok()) else {
            return next();
        };
        if port == 0 {
            return None;
        }
        match (words.next(), words.nth(1)) {
            (None, _) => Some(SocketAddr::new(rtp.ip(), port)),
            (Some(network), Some(address)) => {
                match Address::read(&sdp_types::NetType::from(network), address) {
                    Address::Ip(ip) => Some(SocketAddr::new(ip, port)),
                    Address::Unspecified | Address::Unusable => None,
                }
            }
            (Some(_), None) => next(),
        }
    }
}

impl Address {
    fn read(network: &sdp_types::NetType, text: &str) -> Self {
        if !network.as_str().eq_ignore_ascii_case("IN") {
            return Address::Unusable;
        }
        // `/ttl` belongs to multicast, which is refused anyway; tolerated after any address.
        let text = text.split_once('/').map_or(text, |(address, _)| address);
        match text.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(ip) if ip.is_unspecified() => Address::Unspecified,
            Ok(ip) if ip.is_multicast() => Address::Unusable,
            Ok(IpAddr::V4(ip)) if ip.is_broadcast() => Address::Unusable,
            Ok(ip) => Address::Ip(ip),
            Err(_) => Address::Unusable,
        }
    }
}

/// Whether an address means something in its own network alone (RFC 1918, RFC 6598, RFC 7335, RFC 4193).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (first == 100 && second & 0xc0 == 64)
                || (first, second, third) == (192, 0, 0)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

/// Keeps the lines that negotiation reads, and those that are no line at all, for their error.
fn relevant_lines(text: &str) -> Result<String, SdpError> {
    let mut kept = String::with_capacity(text.len());
    let mut has_time = false;
    for (number, line) in text.lines().enumerate() {
        if number >= MAX_LINES {
            return Err(SdpError::TooLarge("over 2000 lines"));
        }
        let line = line.trim_end();
        let keep = match line.as_bytes() {
            [b'v' | b'c' | b'a' | b'm', b'=', ..] => true,
            [b't', b'=', ..] => !std::mem::replace(&mut has_time, true) && is_time(line),
            [] | [b'a'..=b'z', b'=', ..] => false,
            _ => true,
        };
        if keep {
            kept.push_str(line);
            kept.push_str("\r\n");
        }
    }
    Ok(kept)
}

fn is_time(line: &str) -> bool {
    let mut words = line[2..].split(' ');
    let mut number = || words.next().is_some_and(|word| word.parse::<u64>().is_ok());
    number() && number() && words.next().is_none()
}

fn direction_of(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    attributes
        .iter()
        .find_map(|attribute| Direction::from_attribute(&attribute.attribute))
}

fn milliseconds(text: &str) -> Option<f64> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite() && *value > 0.0)
}
