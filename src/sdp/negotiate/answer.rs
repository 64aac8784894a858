//! Answering an offer (RFC 3264 §6).

use crate::sdp::description::Address;
use crate::sdp::{Description, Direction};

use super::format::{self, Formats, Reach};
use super::{
    Agreed, Capabilities, Local, NegotiateError, Profile, RejectedStream, Srtp, TelephoneEvent,
    security, write,
};

/// Answers an offer: the text of the answer, and what it agrees to.
///
/// The first audio stream that we can serve is taken; all others get port 0. Codecs keep the
/// offerer's order and numbers. `wanted` bounds our direction.
pub fn answer(
    offer: &[u8],
    capabilities: &Capabilities,
    local: &Local,
    wanted: Direction,
) -> Result<(String, Agreed), NegotiateError> {
    answer_with(offer, capabilities, local, wanted, None, false)
}

/// The same, with SRTP where that is not `None`: what is offered with a key is answered with one,
/// and of two streams the first counts, encrypted or not, unless SRTP is required. A peer that is
/// `translated` need not be where it says, if that is of the other IP version (RFC 6146).
pub fn answer_with(
    offer: &[u8],
    capabilities: &Capabilities,
    local: &Local,
    wanted: Direction,
    mut srtp: Option<Srtp<'_>>,
    translated: bool,
) -> Result<(String, Agreed), NegotiateError> {
    let offer = Description::parse(offer)?;
    let ours = Address::Ip(local.address.to_canonical());
    let reach = Reach::of(&offer, ours, translated);
    let (index, formats, chosen) = format::choose(&offer, capabilities, |media| {
        reach.check(media)?;
        security::choose(media, srtp.as_ref())
    })?;
    let mut agreed = agree(&offer, index, &formats, capabilities, wanted)?;
    if let (Some(chosen), Some(srtp), Some(media)) = (chosen, &mut srtp, offer.media().get(index)) {
        let profile = Profile::of(media)?;
        agreed.security = Some(security::answer(chosen, profile, agreed.rtcp_mux, srtp));
    }
    let dtls = srtp.as_ref().and_then(|srtp| srtp.dtls);
    let keys = security::state(agreed.security.as_ref(), dtls);

    let mut text = write::session(local, offer.time());
    for (other, media) in offer.media().iter().enumerate() {
        if other != index {
            write::rejected(&mut text, &RejectedStream::from(media));
            continue;
        }
        let events = formats.telephone_event(agreed.codec);
        let audio = write::Audio {
            proto: &media.proto,
            keys: &keys,
            codecs: &formats.codecs,
            opus: &capabilities.opus,
            telephone_events: events.as_slice(),
            redundancy: agreed.redundancy.as_ref(),
            comfort_noise: formats.comfort_noise,
            ptime_ms: agreed.ptime_ms,
            direction: agreed.direction,
            rtcp_mux: agreed.rtcp_mux,
            voip_metrics: capabilities.voip_metrics,
        };
        write::audio(&mut text, local, &audio);
    }
    Ok((text, agreed))
}

/// Answers an offer by refusing every stream: what a re-INVITE gets that disables its audio
/// with port 0 ([`answer`] calls that [`NegotiateError::NoAudio`]), so that the call can go on.
pub fn reject(offer: &[u8], local: &Local) -> Result<String, NegotiateError> {
    let offer = Description::parse(offer)?;
    let mut text = write::session(local, offer.time());
    for media in offer.media() {
        write::rejected(&mut text, &RejectedStream::from(media));
    }
    Ok(text)
}

/// Whether an offer has a fax (T.38) in the place of audio. Refused as a whole it leaves what there is,
/// and the gateway goes on in the audio; a session without any stream would leave it nothing.
pub fn wants_fax(offer: &[u8]) -> bool {
    Description::parse(offer).is_ok_and(|offer| {
        let mut streams = offer.media().iter();
        streams.any(|media| media.port != 0 && media.kind.eq_ignore_ascii_case("image"))
    })
}

fn agree(
    offer: &Description,
    index: usize,
    formats: &Formats,
    capabilities: &Capabilities,
    wanted: Direction,
) -> Result<Agreed, NegotiateError> {
    let media = offer.media().get(index).ok_or(NegotiateError::NoAudio)?;
    let (tx_payload_type, codec) = *formats
        .codecs
        .first()
        .ok_or(NegotiateError::NoCommonCodec)?;
    let theirs = format::effective_direction(media);
    let rtcp_mux =
        capabilities.rtcp_mux && media.has_attribute("rtcp-mux") && formats.allow_rtcp_mux();
    let remote_rtp = media.rtp_address();
    Ok(Agreed {
        codec,
        tx_payload_type,
        opus: formats.opus,
        rx_payload_types: formats.payload_map(),
        telephone_event: formats.telephone_event(codec).map(|(number, clock_rate)| {
            TelephoneEvent {
                tx: number,
                rx: number,
                clock_rate,
            }
        }),
        event_types: formats.telephone_event(codec).into_iter().collect(),
        redundancy: formats.redundancy.clone(),
        comfort_noise: formats.comfort_noise,
        ptime_ms: format::ptime_ms(media, codec, capabilities.ptime_ms),
        direction: theirs.reversed().intersect(wanted),
        remote_rtp,
        remote_rtcp: if rtcp_mux {
            remote_rtp
        } else {
            media.rtcp_address()
        },
        rtcp_mux,
        voip_metrics: capabilities.voip_metrics && media.wants_voip_metrics(),
        security: None,
        remote_hold: !theirs.receives(),
        audio_index: index,
        rejected: format::others(offer, index),
    })
}
