//! What was negotiated, as the media plane wants it.

use super::{Call, EndReason, Output, State};
use crate::leg::{EventFormat, Keying, LegParams, MAX_RX_TYPES};
use crate::rtp::latch::Sources;
use crate::sdp::negotiate::{self, Agreed, Dtls, Local, NegotiateError, Role, Security, Srtp};
use crate::sdp::{Direction, SrtpPolicy};
use crate::sip::message::{Request, Response};
use crate::srtp::{MasterKey, Suite};

/// The media type of session descriptions.
pub(super) const SDP: &str = "application/sdp";

/// The leg's part of an agreement.
pub fn leg_params(agreed: &Agreed) -> LegParams {
    let association = agreed.security.as_ref().and_then(Security::dtls);
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
        events_beside: agreed.telephone_event.and_then(|t| {
            let mut others = agreed.event_types.iter().map(|(number, _)| *number);
            others.find(|number| *number != t.rx)
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
        rtcp_keys: association.is_some_and(|association| association.rtcp_apart),
        voip_metrics: agreed.voip_metrics,
        quiet: false,
        own_address: true,
        listens_as_described: false,
        sources: Sources::Any,
    }
}

impl Call {
    /// What was agreed takes effect.
    pub(super) fn agree(&mut self, mut agreed: Agreed) {
        // Who has only ever sent, to where it can be answered, is no party on hold: an announcer, say.
        self.has_listened |= agreed.direction.sends();
        agreed.remote_hold &=
            self.has_listened || agreed.remote_rtp.is_none() || !agreed.direction.receives();
        let params = self.params(&agreed);
        let before = self.agreed.as_ref().filter(|_| self.leg_open);
        let before = before.and_then(|before| before.security.as_ref());
        if let (Some(Security::Dtls(now)), Some(before)) =
            (&mut agreed.security, before.and_then(Security::dtls))
        {
            now.remember(before);
        }
        let keying = keying(before, agreed.security.as_ref());
        let associate = associate(before, agreed.security.as_ref());
        let is_secure = agreed.security.is_some();
        self.agreed = Some(agreed);
        if !self.leg_open {
            self.leg_open = true;
            let quiet = params.quiet;
            self.outputs.push_back(Output::OpenLeg(params, keying));
            if quiet && begins_handshake(associate.as_ref()) {
                self.postponed = associate;
            } else {
                self.outputs.extend(associate);
            }
            return;
        }
        let keying = keying.map(Output::SecureLeg);
        let configure = Output::ConfigureLeg(params);
        // Nothing goes to the new address without the keys, nor in the clear to the old one.
        if is_secure {
            self.outputs.extend(keying);
            self.outputs.push_back(configure);
        } else {
            self.outputs.push_back(configure);
            self.outputs.extend(keying);
        }
        self.outputs.extend(associate);
    }

    /// The handshake of its media came to nothing.
    pub fn handshake_failed(&mut self, why: String) {
        self.end(EndReason::HandshakeFailed(why));
    }

    /// Answers an offer, by the call's policy on SRTP.
    pub(super) fn answered(
        &mut self,
        offer: &[u8],
        local: &Local,
    ) -> Result<(String, Agreed), NegotiateError> {
        let settings = self.settings.clone();
        let both = Direction::SendRecv;
        let translated = self.translated;
        let srtp = self.srtp(Keys::AsTheyAre, &settings.srtp_suites);
        let capabilities = &settings.capabilities;
        negotiate::answer_with(offer, capabilities, local, both, srtp, translated)
    }

    /// Takes the answer to an offer of ours.
    pub(super) fn accepted(&self, ours: &str, answer: &[u8]) -> Result<Agreed, NegotiateError> {
        let required = self.srtp == SrtpPolicy::Required;
        let capabilities = &self.settings.capabilities;
        negotiate::accept_with(ours, answer, capabilities, required, self.translated)
    }

    /// The text of an offer of ours.
    pub(super) fn offered(&mut self, local: &Local, keys: Keys) -> String {
        let settings = self.settings.clone();
        let both = Direction::SendRecv;
        let agreed = self.agreed.clone();
        let srtp = self.srtp(keys, &settings.srtp_suites);
        negotiate::offer_with(&settings.capabilities, local, both, agreed.as_ref(), srtp)
    }

    /// What a negotiation may use of SRTP. There are keys as soon as there are ports, without which
    /// nothing is negotiated.
    fn srtp<'a>(&'a mut self, keys: Keys, suites: &'a [Suite]) -> Option<Srtp<'a>> {
        let required = self.srtp == SrtpPolicy::Required;
        let current = self.agreed.as_ref().and_then(|a| a.security.as_ref());
        let fingerprint = self.settings.fingerprint.as_ref();
        let dtls = fingerprint.map(|fingerprint| Dtls {
            fingerprint,
            offered: self.settings.dtls_offered,
        });
        let source = self.keys.as_mut().filter(|_| self.srtp != SrtpPolicy::Off);
        source.map(|source| Srtp {
            suites,
            required,
            current: current.filter(|_| keys == Keys::AsTheyAre),
            keys: source,
            dtls,
        })
    }

    /// The peer has taken the audio out of the session: nothing is sent or expected until it
    /// offers some again.
    pub(super) fn silence_media(&mut self) {
        if let Some(agreed) = &mut self.agreed {
            agreed.direction = Direction::Inactive;
            agreed.remote_hold = true;
            agreed.remote_rtp = None;
            agreed.remote_rtcp = None;
            let agreed = agreed.clone();
            let params = self.params(&agreed);
            self.outputs.push_back(Output::ConfigureLeg(params));
        }
    }

    /// The leg's part of an agreement of this call.
    fn params(&self, agreed: &Agreed) -> LegParams {
        let answers = matches!(
            self.state,
            State::Reserving { .. } | State::Proving { .. } | State::Accepted { .. }
        );
        let params = leg_params(agreed);
        LegParams {
            // Until our answer is acknowledged, anybody may have sent the INVITE, in whosever name.
            send: params.send && !answers,
            quiet: answers,
            own_address: self.is_its_own(agreed),
            sources: self.sources(agreed),
            ..params
        }
    }

    /// Our answer is acknowledged: the peer is sent to.
    pub(super) fn send_media(&mut self) {
        if let Some(agreed) = self.agreed.as_ref().filter(|_| self.leg_open) {
            let params = self.params(agreed);
            self.outputs.push_back(Output::ConfigureLeg(params));
            self.outputs.extend(self.postponed.take());
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

/// The keys of an offer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Those in use: the peer is the one that it was.
    AsTheyAre,
    /// Fresh ones: who answers may be another, and would not know our roll-over counter.
    Fresh,
}

/// Whether it is ours to begin.
fn begins_handshake(output: Option<&Output>) -> bool {
    matches!(output, Some(Output::Associate(Some(association))) if association.role == Role::Client)
}

/// What of the keys has changed. One that is the same keeps its roll-over counter.
fn keying(before: Option<&Security>, now: Option<&Security>) -> Option<Box<Keying>> {
    let now = match now {
        None => return before.map(|_| Keying::plain()),
        // Its keys come later; until then those before them hold.
        Some(Security::Dtls(_)) => {
            return before.is_none().then(|| Keying::srtp(None, None));
        }
        Some(Security::Sdes(now)) => now,
    };
    let before = before.and_then(Security::sdes);
    let changed = |old: Option<&MasterKey>, new| old != Some(new);
    let rx = changed(before.map(|b| &b.remote), &now.remote).then_some(&now.remote);
    let tx = changed(before.map(|b| &b.local), &now.local).then_some(&now.local);
    (rx.is_some() || tx.is_some()).then(|| Keying::srtp(rx, tx))
}

/// Another handshake than before, or none any more; none: all stays as it is.
fn associate(before: Option<&Security>, now: Option<&Security>) -> Option<Output> {
    let before = before.and_then(Security::dtls);
    match (before, now.and_then(Security::dtls)) {
        (Some(before), Some(now)) if before.is_same(now) => None,
        (None, None) => None,
        (_, now) => Some(Output::Associate(now.cloned())),
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
