//! Taking the answer to our offer (RFC 3264 §7).

use crate::codec::Codec;
use crate::sdp::{Description, Direction, description::Media};

use super::format::{self, Formats, Reach};
use super::{Agreed, Capabilities, NegotiateError, Profile, TelephoneEvent, security};

/// Takes the answer to an offer that [`offer`](super::offer) wrote.
///
/// Formats that we did not offer are passed over (RFC 3264 §6.1 lets an answer list them);
/// an answer with another number or kind of streams is refused.
pub fn accept(
    our_offer: &str,
    answer: &[u8],
    capabilities: &Capabilities,
) -> Result<Agreed, NegotiateError> {
    accept_with(our_offer, answer, capabilities, false, false)
}

/// The same; without SRTP there is no agreement where it is `srtp_required`. A peer may be `translated`, as
/// in [`answer_with`](super::answer_with).
pub fn accept_with(
    our_offer: &str,
    answer: &[u8],
    capabilities: &Capabilities,
    srtp_required: bool,
    translated: bool,
) -> Result<Agreed, NegotiateError> {
    let ours = Description::parse(our_offer.as_bytes())?;
    let theirs = Description::parse(answer)?;
    if ours.media().len() != theirs.media().len() {
        return Err(NegotiateError::Mismatch("other number of streams"));
    }
    let (index, offered, _) = format::choose(&ours, capabilities, Profile::of)?;
    for (our, their) in ours.media().iter().zip(theirs.media()) {
        check_stream(our, their)?;
    }
    let (Some(our), Some(their)) = (ours.media().get(index), theirs.media().get(index)) else {
        return Err(NegotiateError::NoAudio);
    };
    if their.port == 0 {
        return Err(NegotiateError::NoAudio);
    }
    Reach::of(&theirs, our.address, translated).check(their)?;
    let answered = Formats::read(their, capabilities);
    let (tx_payload_type, codec) =
        first_common(&offered, &answered).ok_or(NegotiateError::NoCommonCodec)?;

    let security = security::accept(our, their, srtp_required)?;
    let their_direction = format::effective_direction(their);
    let rtcp_mux = our.has_attribute("rtcp-mux")
        && their.has_attribute("rtcp-mux")
        && offered.allow_rtcp_mux()
        && answered.allow_rtcp_mux();
    let remote_rtp = their.rtp_address();
    Ok(Agreed {
        codec,
        tx_payload_type,
        opus: answered.opus,
        rx_payload_types: offered.payload_map(),
        telephone_event: common_event(&offered, &answered, codec),
        event_types: offered.telephone_events.clone(),
        redundancy: offered
            .redundancy
            .clone()
            .filter(|_| answered.redundancy.is_some()),
        comfort_noise: offered.comfort_noise && answered.comfort_noise,
        ptime_ms: format::ptime_ms(their, codec, capabilities.ptime_ms),
        direction: our.direction.intersect(their_direction.reversed()),
        remote_rtp,
        remote_rtcp: if rtcp_mux {
            remote_rtp
        } else {
            their.rtcp_address()
        },
        rtcp_mux,
        voip_metrics: capabilities.voip_metrics && their.wants_voip_metrics(),
        security: security.map(|security| security.with_rtcp(rtcp_mux)),
        remote_hold: is_hold(our.direction, their_direction),
        audio_index: index,
        rejected: format::others(&ours, index),
    })
}

fn check_stream(our: &Media, their: &Media) -> Result<(), NegotiateError> {
    if !our.kind.eq_ignore_ascii_case(&their.kind) {
        return Err(NegotiateError::Mismatch("other kind of stream"));
    }
    if their.port == 0 {
        return Ok(());
    }
    if our.port == 0 {
        return Err(NegotiateError::Mismatch("a disabled stream enabled"));
    }
    if !our.proto.eq_ignore_ascii_case(&their.proto) {
        return Err(NegotiateError::UnsupportedTransport(their.proto.clone()));
    }
    Ok(())
}

/// The first codec of the answer that we offered, under the answer's number.
fn first_common(offered: &Formats, answered: &Formats) -> Option<(u8, Codec)> {
    answered
        .codecs
        .iter()
        .find(|(_, codec)| offered.codecs.iter().any(|(_, other)| other == codec))
        .copied()
}

/// The telephone events to use beside a codec, of those that both sides have.
fn common_event(offered: &Formats, answered: &Formats, codec: Codec) -> Option<TelephoneEvent> {
    let number_of = |rate: u32| {
        let mut ours = offered.telephone_events.iter();
        ours.find_map(|(number, other)| (*other == rate).then_some(*number))
    };
    let mut common = answered.clone();
    common
        .telephone_events
        .retain(|(_, rate)| number_of(*rate).is_some());
    let (tx, clock_rate) = common.telephone_event(codec)?;
    let rx = number_of(clock_rate)?;
    Some(TelephoneEvent { tx, rx, clock_rate })
}

/// An answer that does not take what we offered to send. Where we did not offer to send, its
/// `sendonly` is only the mirror of our offer.
fn is_hold(our: Direction, their: Direction) -> bool {
    our.sends() && !their.receives()
}
