//! Which formats of a peer's stream are ours, and what its attributes ask for.

use crate::audio::NARROWBAND;
use crate::codec::{Codec, OpusSettings};
use crate::sdp::description::{Address, Media, is_private};
use crate::sdp::{Description, Direction};

use super::{
    Capabilities, NegotiateError, PayloadMap, Redundancy, RejectedStream, opus, redundancy,
};

/// The formats of a peer's audio stream that we know, by its numbers and in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Formats {
    /// Each codec at most once: the first number counts.
    pub(super) codecs: Vec<(u8, Codec)>,
    /// How to send Opus, if it is among them.
    pub(super) opus: OpusSettings,
    /// Number and clock rate, each rate at most once.
    pub(super) telephone_events: Vec<(u8, u32)>,
    pub(super) redundancy: Option<Redundancy>,
    /// Beside a codec of 8 kHz alone.
    pub(super) comfort_noise: bool,
}

/// Comfort noise for an 8000 Hz codec (RFC 3551 §6).
pub(super) const COMFORT_NOISE: u8 = 13;

/// Clocks of telephone events that phones use: those of their codecs.
const EVENT_RATES: [u32; 4] = [8000, 16_000, 32_000, 48_000];

/// The highest RTP payload type.
const MAX_PAYLOAD_TYPE: u8 = 127;

impl Formats {
    pub(super) fn read(media: &Media, capabilities: &Capabilities) -> Self {
        let mut formats = Formats {
            opus: capabilities.opus,
            ..Formats::default()
        };
        let numbers = media
            .formats
            .iter()
            .filter_map(|format| format.parse::<u8>().ok())
            .filter(|number| *number <= MAX_PAYLOAD_TYPE);
        for number in numbers {
            let known = formats.codecs.iter().any(|(other, _)| *other == number);
            match meaning(media, number) {
                Some(Meaning::Codec(codec)) if !known => {
                    let wanted = capabilities.codecs.contains(&codec);
                    let doubled = formats.codecs.iter().any(|(_, other)| *other == codec);
                    if wanted && !doubled {
                        formats.codecs.push((number, codec));
                        if codec == Codec::Opus {
                            formats.opus =
                                opus::settings_for(media.fmtp(number), capabilities.opus);
                        }
                    }
                }
                Some(Meaning::TelephoneEvent(rate)) if capabilities.telephone_event => {
                    let events = &mut formats.telephone_events;
                    if events.iter().all(|(_, other)| *other != rate) {
                        events.push((number, rate));
                    }
                }
                Some(Meaning::ComfortNoise) => formats.comfort_noise = true,
                _ => {}
            }
        }
        if capabilities.redundancy {
            formats.redundancy = redundancy::find(media, &formats.codecs);
        }
        formats.comfort_noise &= allow_comfort_noise(&formats.codecs);
        formats
    }

    /// The telephone events to use beside a codec: at its clock (RFC 4733 §2.1), else at G.711's,
    /// else any, which is better than none.
    pub(super) fn telephone_event(&self, codec: Codec) -> Option<(u8, u32)> {
        let at = |rate| {
            let mut events = self.telephone_events.iter();
            events.find(move |(_, other)| *other == rate)
        };
        at(codec.clock_rate())
            .or_else(|| at(Codec::Pcmu.clock_rate()))
            .or(self.telephone_events.first())
            .copied()
    }

    pub(super) fn payload_map(&self) -> PayloadMap {
        let mut map = PayloadMap::new();
        for (number, codec) in &self.codecs {
            map.set(*number, *codec);
        }
        map
    }

    /// Whether RTCP on the same port could be told from these (RFC 5761 §4).
    pub(super) fn allow_rtcp_mux(&self) -> bool {
        let numbers = self.codecs.iter().map(|(number, _)| *number);
        !numbers
            .chain(self.telephone_events.iter().map(|(number, _)| *number))
            .chain(self.redundancy.iter().map(|red| red.payload_type))
            .any(|number| (64..=95).contains(&number))
    }
}

enum Meaning {
    Codec(Codec),
    TelephoneEvent(u32),
    ComfortNoise,
}

fn meaning(media: &Media, number: u8) -> Option<Meaning> {
    let Some(map) = media.rtpmap(number) else {
        // Static types need no rtpmap (RFC 3551 §6).
        if number == COMFORT_NOISE {
            return Some(Meaning::ComfortNoise);
        }
        return Codec::ALL
            .into_iter()
            .find(|codec| codec.static_payload_type() == Some(number))
            .map(Meaning::Codec);
    };
    let is = |name: &str, rate: u32| map.name.eq_ignore_ascii_case(name) && map.clock_rate == rate;
    if is(Codec::Opus.name(), Codec::Opus.clock_rate()) {
        // Always two (RFC 7587 §7), which says nothing of what is sent; one is tolerated.
        return (1..=2)
            .contains(&map.channels)
            .then_some(Meaning::Codec(Codec::Opus));
    }
    if map.channels != 1 {
        return None;
    }
    if let Some(rate) = EVENT_RATES
        .into_iter()
        .find(|&rate| is("telephone-event", rate))
    {
        return Some(Meaning::TelephoneEvent(rate));
    }
    if is("CN", 8000) && number == COMFORT_NOISE {
        return Some(Meaning::ComfortNoise);
    }
    Codec::ALL
        .into_iter()
        .find(|codec| is(codec.name(), codec.clock_rate()))
        .map(Meaning::Codec)
}

/// Comfort noise replaces narrow-band audio alone.
pub(super) fn allow_comfort_noise(codecs: &[(u8, Codec)]) -> bool {
    codecs
        .iter()
        .any(|(_, codec)| codec.sample_rate() == NARROWBAND)
}

/// The stream of a description that we can serve, with what `admit` says of it, and why not if there
/// is none.
pub(super) fn choose<T>(
    description: &Description,
    capabilities: &Capabilities,
    admit: impl Fn(&Media) -> Result<T, NegotiateError>,
) -> Result<(usize, Formats, T), NegotiateError> {
    let mut failure = NegotiateError::NoAudio;
    for (index, media) in description.media().iter().enumerate() {
        if !media.is_audio() || media.port == 0 {
            continue;
        }
        let admitted = match admit(media) {
            Ok(admitted) => admitted,
            Err(error) => {
                if failure == NegotiateError::NoAudio {
                    failure = error;
                }
                continue;
            }
        };
        let formats = Formats::read(media, capabilities);
        if !formats.codecs.is_empty() {
            return Ok((index, formats, admitted));
        }
        failure = NegotiateError::NoCommonCodec;
    }
    Err(failure)
}

/// The streams of a description but the one at `index`.
pub(super) fn others(description: &Description, index: usize) -> Vec<RejectedStream> {
    description
        .media()
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index)
        .map(|(_, media)| RejectedStream::from(media))
        .collect()
}

impl From<&Media> for RejectedStream {
    fn from(media: &Media) -> Self {
        RejectedStream {
            kind: media.kind.clone(),
            proto: media.proto.clone(),
            formats: media.formats.join(" "),
        }
    }
}

/// The peer's direction, an unspecified address counted as "do not send to me".
pub(super) fn effective_direction(media: &Media) -> Direction {
    let receives = media.address != Address::Unspecified;
    media.direction.intersect(Direction::new(true, receives))
}

/// Streams to which packets get from our address; one without an address is on hold, or waits for our
/// packets to learn where we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    ours: Address,
    /// Others are let in: those at private addresses, or all.
    private: bool,
    all: bool,
}

impl Reach {
    /// From our address to a peer's streams. What says where it is in its own network says nothing of the
    /// way here, which a translator may have made (RFC 6146, RFC 6877): where no stream can be reached it is
    /// at a private address, or anywhere if it is `translated`, and found by what comes from it.
    pub(super) fn of(description: &Description, ours: Address, translated: bool) -> Self {
        let mut reach = Reach {
            ours,
            private: false,
            all: false,
        };
        let mut audio = description.media().iter().filter(|media| media.is_audio());
        if !audio.any(|media| media.port != 0 && reach.check(media).is_ok()) {
            reach.private = true;
            reach.all = translated;
        }
        reach
    }

    /// Whether a stream can be served.
    pub(super) fn check(self, media: &Media) -> Result<(), NegotiateError> {
        match (media.address, self.ours) {
            (Address::Ip(theirs), Address::Ip(ours))
                if theirs.is_ipv4() != ours.is_ipv4()
                    && !self.all
                    && !(self.private && is_private(theirs)) =>
            {
                Err(NegotiateError::OtherFamily)
            }
            _ => Ok(()),
        }
    }
}

/// The packet time to send a codec with: what the peer asks for, as far as we go, ms.
pub(super) fn ptime_ms(media: &Media, codec: Codec, preferred_ms: u8) -> u8 {
    let wanted_ms = media.ptime_ms().unwrap_or(f64::from(preferred_ms));
    let longest_ms = media.max_ptime_ms().unwrap_or(f64::from(MAX_PTIME_MS));
    let bounded_ms = wanted_ms
        .min(longest_ms)
        .clamp(f64::from(MIN_PTIME_MS), f64::from(MAX_PTIME_MS));
    // Within 10 to 60, so that the cast keeps it.
    codec.ptime_ms(bounded_ms as u8)
}

const MIN_PTIME_MS: u8 = 10;
const MAX_PTIME_MS: u8 = 60;
