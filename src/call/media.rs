//! What was negotiated, as the media plane wants it.

use super::{Call, Output};
use crate::leg::{EventFormat, LegParams, MAX_RX_TYPES};
use crate::sdp::Direction;
use crate::sdp::negotiate::{Agreed, Local};
use crate::sip::message::{Request, Response};

/// The media type of session descriptions.
pub(super) const SDP: &str = "application/sdp";

/// The leg's part of an agreement.
pub fn leg_params(agreed: &Agreed) -> LegParams {
    let mut rx_types = [None; MAX_RX_TYPES];
    for (slot, entry) in rx_types.iter_mut().zip(agreed.rx_payload_types.iter()) {
        *slot = Some(entry);
    }
    LegParams {
        codec: agreed.codec,
        opus: agreed.opus,
        tx_payload_type: agreed.tx_payload_type,
        rx_types,
        events: agreed.telephone_event.map(|t| EventFormat {
            rx: t.rx,
            tx: t.tx,
            clock_rate: t.clock_rate,
        }),
        redundancy: agreed.redundancy.as_ref().map(|r| r.payload_type),
        ptime_ms: agreed.ptime_ms,
        send: agreed.direction.sends(),
        // No music on hold into a conference or a recording.
        receive: agreed.direction.receives() && !agreed.remote_hold,
        held: agreed.remote_hold || !agreed.direction.receives(),
        remote_rtp: agreed.remote_rtp,
        remote_rtcp: agreed.remote_rtcp,
        rtcp_mux: agreed.rtcp_mux,
        voip_metrics: agreed.voip_metrics,
    }
}

impl Call {
    /// What was agreed takes effect.
    pub(super) fn agree(&mut self, agreed: Agreed) {
        let params = leg_params(&agreed);
        self.agreed = Some(agreed);
        self.outputs.push_back(if self.leg_open {
            Output::ConfigureLeg(params)
        } else {
            self.leg_open = true;
            Output::OpenLeg(params)
        });
    }

    /// The peer has taken the audio out of the session: nothing is sent or expected until it
    /// offers some again.
    pub(super) fn silence_media(&mut self) {
        if let Some(agreed) = &mut self.agreed {
            agreed.direction = Direction::Inactive;
            agreed.remote_hold = true;
            agreed.remote_rtp = None;
            agreed.remote_rtcp = None;
            let params = leg_params(agreed);
            self.outputs.push_back(Output::ConfigureLeg(params));
        }
    }

    /// Our end of the stream for the next description; the version grows with each that differs
    /// from the last (RFC 3264 §8).
    pub(super) fn next_local(&self) -> Option<Local> {
        let mut local = self.local?;
        if self.last_sdp.is_some() {
            local.version += 1;
        }
        Some(local)
    }

    /// Settles the version of a description that is about to be sent: one that says the same as
    /// the last keeps its number.
    pub(super) fn settle(&mut self, local: Local, sdp: String) -> String {
        if let (Some(last), Some(old)) = (&self.last_sdp, self.local) {
            let renumbered = sdp.replacen(
                &format!(" {} {} IN ", local.session_id, local.version),
                &format!(" {} {} IN ", old.session_id, old.version),
                1,
            );
            if renumbered == *last {
                return renumbered;
            }
        }
        self.local = Some(local);
        self.last_sdp = Some(sdp.clone());
        sdp
    }
}

/// The session description of a request: a body of another kind is none (RFC 3261 §20.15), one
/// without a kind is taken for one.
pub(super) fn offer_of(request: &Request) -> &[u8] {
    match request.headers.content_type() {
        Some(kind) if !kind.eq_ignore_ascii_case(SDP) => &[],
        _ => &request.body,
    }
}

/// Puts a description into a response.
pub(super) fn with_sdp(mut response: Response, sdp: String) -> Response {
    use crate::sip::header::Name;
    response.headers.set(Name::ContentType, SDP);
    response.body = sdp.into_bytes();
    response
}

/// Puts a description into a request.
pub(super) fn request_with_sdp(mut request: Request, sdp: String) -> Request {
    use crate::sip::header::Name;
    request.headers.set(Name::ContentType, SDP);
    request.body = sdp.into_bytes();
    request
}
