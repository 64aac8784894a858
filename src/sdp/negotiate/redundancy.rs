//! Redundant audio in SDP (RFC 2198 §5): `red` with the numbers of what it holds in its `fmtp`.

use std::fmt::Write as _;

use crate::codec::Codec;
use crate::sdp::description::Media;

/// Redundant audio that a peer may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redundancy {
    /// The number of `red`.
    pub payload_type: u8,
    /// The clock of its timestamps, Hz: that of what it holds.
    pub clock_rate: u32,
    /// The numbers of what it holds, the newest frame's first. Each is one of a codec that was
    /// agreed on, all of one clock.
    pub formats: Vec<u8>,
}

/// The first `red` of a stream that holds nothing but codecs of ours.
pub(super) fn find(media: &Media, codecs: &[(u8, Codec)]) -> Option<Redundancy> {
    let numbers = media
        .formats
        .iter()
        .filter_map(|format| format.parse::<u8>().ok());
    numbers.filter(|number| *number < 128).find_map(|number| {
        let map = media.rtpmap(number)?;
        if !map.name.eq_ignore_ascii_case("red") {
            return None;
        }
        let held = |text: &str| {
            let number = text.trim().parse::<u8>().ok()?;
            let mut all = codecs.iter();
            let (_, codec) = all.find(|(other, _)| *other == number)?;
            let fits =
                codec.clock_rate() == map.clock_rate && map.channels <= codec.channels().into();
            fits.then_some(number)
        };
        let formats: Option<Vec<u8>> = media.fmtp(number)?.split('/').map(held).collect();
        let is_free = codecs.iter().all(|(other, _)| *other != number);
        Some(Redundancy {
            payload_type: number,
            clock_rate: map.clock_rate,
            formats: formats.filter(|list| is_free && list.len() <= MAX_FORMATS)?,
        })
    })
}

impl Redundancy {
    /// Whether all that it holds is among these.
    pub(super) fn holds_only(&self, codecs: &[(u8, Codec)]) -> bool {
        let known = |number: &u8| codecs.iter().any(|(other, _)| other == number);
        self.formats.iter().all(known)
    }

    pub(super) fn write(&self, text: &mut String, codecs: &[(u8, Codec)]) {
        let Redundancy {
            payload_type,
            clock_rate,
            formats,
        } = self;
        let _ = write!(text, "a=rtpmap:{payload_type} red/{clock_rate}");
        let held = codecs.iter().filter(|(number, _)| formats.contains(number));
        let channels = held.map(|(_, codec)| codec.channels()).min();
        if let Some(channels) = channels.filter(|channels| *channels > 1) {
            let _ = write!(text, "/{channels}");
        }
        let numbers: Vec<String> = formats.iter().map(u8::to_string).collect();
        let _ = write!(text, "\r\na=fmtp:{payload_type} {}\r\n", numbers.join("/"));
    }
}

/// More generations than that are sent by nobody.
const MAX_FORMATS: usize = 8;
