//! Making an offer (RFC 3264 §5; §8 for one within a session).

use crate::codec::Codec;
use crate::sdp::Direction;

use super::{Agreed, Capabilities, Local, PayloadMap, Redundancy, Srtp, format, security, write};

/// The text of our offer. With `previous` it is one within a session: payload numbers, the
/// codec in use and the places of all streams are kept.
pub fn offer(
    capabilities: &Capabilities,
    local: &Local,
    direction: Direction,
    previous: Option<&Agreed>,
) -> String {
    offer_with(capabilities, local, direction, previous, None)
}

/// The same, with SRTP where that is not `None`: by profile where it is required, else as phones do
/// it that can do both, with keys beside plain RTP. A session that is plain stays so.
pub fn offer_with(
    capabilities: &Capabilities,
    local: &Local,
    direction: Direction,
    previous: Option<&Agreed>,
    mut srtp: Option<Srtp<'_>>,
) -> String {
    let (profile, keys) = security::offer(previous, srtp.as_mut());
    let codecs = offered_codecs(capabilities, previous);
    let telephone_events = if capabilities.telephone_event {
        event_formats(&codecs, previous)
    } else {
        Vec::new()
    };
    let redundancy = redundancy(&codecs, capabilities, previous);
    let audio = write::Audio {
        proto: profile.name(),
        keys: &keys,
        codecs: &codecs,
        opus: &capabilities.opus,
        telephone_events: &telephone_events,
        redundancy,
        comfort_noise: previous.is_some_and(|agreed| agreed.comfort_noise)
            && format::allow_comfort_noise(&codecs),
        ptime_ms: previous.map_or(capabilities.ptime_ms, |agreed| agreed.ptime_ms),
        direction,
        rtcp_mux: capabilities.rtcp_mux,
        voip_metrics: capabilities.voip_metrics,
    };
    let mut text = write::session(local, (0, 0));
    let (before, after) = previous.map_or((&[][..], &[][..]), |agreed| {
        let index = agreed.audio_index.min(agreed.rejected.len());
        agreed.rejected.split_at(index)
    });
    for stream in before {
        write::rejected(&mut text, stream);
    }
    write::audio(&mut text, local, &audio);
    for stream in after {
        write::rejected(&mut text, stream);
    }
    text
}

/// The codec in use first, then ours in our order, each under the number it already has
/// (RFC 3264 §8.3.2: a number keeps its meaning for the session).
fn offered_codecs(capabilities: &Capabilities, previous: Option<&Agreed>) -> Vec<(u8, Codec)> {
    let known = previous.map_or_else(PayloadMap::new, |agreed| agreed.rx_payload_types);
    let in_use = previous
        .map(|agreed| agreed.codec)
        .filter(|codec| capabilities.codecs.contains(codec));
    let mut offered: Vec<(u8, Codec)> = Vec::new();
    for codec in in_use
        .into_iter()
        .chain(capabilities.codecs.iter().copied())
    {
        if offered.iter().any(|(_, other)| *other == codec) {
            continue;
        }
        let is_taken = |number: u8| {
            is_known(previous, number) || offered.iter().any(|(other, _)| *other == number)
        };
        let number = known
            .payload_type(codec)
            .or(codec
                .static_payload_type()
                .filter(|number| !is_taken(*number)))
            .or_else(|| (96..128).find(|number| !is_taken(*number)));
        offered.extend(number.map(|number| (number, codec)));
    }
    offered
}

/// Numbers and clock rates of telephone events, one for each clock of the codecs (RFC 4733 §2.1);
/// what was there keeps its number.
fn event_formats(codecs: &[(u8, Codec)], previous: Option<&Agreed>) -> Vec<(u8, u32)> {
    let kept = previous.map_or(&[][..], |agreed| &agreed.event_types);
    let mut events: Vec<(u8, u32)> = Vec::new();
    let rates = codecs.iter().map(|(_, codec)| codec.clock_rate());
    for rate in rates.chain(kept.iter().map(|(_, rate)| *rate)) {
        if events.iter().any(|(_, other)| *other == rate) {
            continue;
        }
        let is_taken = |number: u8| {
            let mut numbers = codecs.iter().map(|(other, _)| *other);
            let mut events = events.iter().map(|(other, _)| *other);
            is_known(previous, number)
                || numbers.any(|other| other == number)
                || events.any(|other| other == number)
        };
        let known = kept.iter().find(|(_, other)| *other == rate);
        let first = USUAL_EVENT_NUMBER + u8::from(rate != USUAL_EVENT_RATE);
        let free = || (first..128).find(|number| !is_taken(*number));
        let number = known.map(|(number, _)| *number).or_else(free);
        events.extend(number.map(|number| (number, rate)));
    }
    events
}

/// Whether a number has a meaning in the session already.
fn is_known(previous: Option<&Agreed>, number: u8) -> bool {
    previous.is_some_and(|agreed| {
        let redundancy = agreed.redundancy.as_ref();
        agreed.rx_payload_types.get(number).is_some()
            || agreed.event_types.iter().any(|(other, _)| *other == number)
            || redundancy.is_some_and(|red| red.payload_type == number)
    })
}

/// What the peer may send of redundant audio it may go on sending; we ask nobody for it.
fn redundancy<'a>(
    codecs: &[(u8, Codec)],
    capabilities: &Capabilities,
    previous: Option<&'a Agreed>,
) -> Option<&'a Redundancy> {
    let kept = previous?.redundancy.as_ref()?;
    (capabilities.redundancy && kept.holds_only(codecs)).then_some(kept)
}

/// What nearly every phone uses for events of this clock; some take no other.
const USUAL_EVENT_NUMBER: u8 = 101;
const USUAL_EVENT_RATE: u32 = 8000;
