//! How a session is kept: our refreshes (RFC 4028), and what comes of them.

use std::time::{Duration, Instant};

use super::media::{Keys, request_with_sdp};
use super::sources::Hops;
use super::{Call, EndReason, Output, State};
use crate::sip::header::{Name, Refresher};
use crate::sip::message::Response;
use crate::sip::method::Method;
use crate::sip::session_timer::{self, SessionTimer};

impl Call {
    /// What the 2xx says of the session timer. One that says nothing is of a peer that knows no
    /// timers: we go on to refresh, for our own sake (RFC 4028 §7.2).
    pub(super) fn session_agreed(&mut self, response: &Response, now: Instant) {
        let settings = self.timer_settings();
        let ours = match &self.session {
            Some(session) => Some(session.agreed().interval),
            None if settings.expires.is_zero() => None,
            None => Some(settings.expires.max(settings.min_se)),
        };
        let alone = ours.map(|interval| session_timer::Agreed {
            interval,
            refresher_is_us: true,
        });
        self.session = session_timer::uac(response)
            .or(alone)
            .map(|agreed| SessionTimer::new(agreed, now));
    }

    /// Our turn to refresh: UPDATE, which needs no new offer (RFC 4028 §7.4), or a re-INVITE where
    /// the peer does not take UPDATE.
    pub(super) fn refresh(&mut self, now: Instant) {
        if !matches!(self.state, State::Established) || self.pending.refresh {
            return;
        }
        if self.pending.reinvite.is_some() || self.offered.is_some() {
            // The peer's own re-INVITE is in the air: it refreshes too; look again soon.
            self.refresh_again = Some(now + Duration::from_secs(2));
            return;
        }
        let update = self.peer_updates;
        let method = if update {
            Method::Update
        } else {
            Method::Invite
        };
        let sdp = if update {
            None
        } else {
            self.our_offer(Keys::AsTheyAre)
        };
        let contact = self.contact();
        let mut settings = self.timer_settings();
        if let Some(session) = &self.session {
            // RFC 4028 §7.4: the interval that holds now.
            settings.expires = session.agreed().interval;
        }
        if let Some(raised) = self.refresh_interval {
            settings.expires = settings.expires.max(raised);
            settings.min_se = settings.min_se.max(raised);
        }
        let Some(dialog) = &mut self.dialog else {
            return;
        };
        let mut request = dialog.request(method);
        request.headers.set(Name::Contact, contact);
        // RFC 4028 §7.4: a refresh keeps the roles.
        session_timer::uac_headers(&mut request, &settings, Some(Refresher::Uac));
        if let Some(sdp) = sdp {
            request = request_with_sdp(request, sdp);
        }
        self.pending.refresh = true;
        let flow = self.target();
        self.outputs.push_back(Output::Request(request, flow));
    }

    pub(super) fn on_refreshed(&mut self, response: &Response, now: Instant) {
        let status = response.status;
        if status < 200 {
            return;
        }
        self.pending.refresh = false;
        let invite = response
            .headers
            .cseq()
            .is_ok_and(|c| c.method == Method::Invite);
        match status {
            200..=299 => {
                // RFC 3261 §12.2.1.2, RFC 3311 §5.1: both move the peer to its Contact.
                if let Some(dialog) = &mut self.dialog {
                    dialog.refresh_target(&response.headers);
                }
                if invite {
                    self.ack_refresh(response);
                }
                self.session_agreed(response, now);
            }
            // RFC 4028 §10: BYE, since a proxy may have said so for a peer that knows nothing of it.
            481 | 408 => self.end(EndReason::SessionExpired),
            // RFC 4028 §7.3: once more, with the interval that is asked for.
            422 if session_timer::raised(response) > self.refresh_interval => {
                self.refresh_interval = session_timer::raised(response);
                self.offered = None;
                self.refresh(now);
            }
            // Its Allow promised too much: by re-INVITE then.
            405 | 501 if !invite => {
                self.peer_updates = false;
                self.refresh(now);
            }
            // Glare: both tried at once; again after a while (RFC 3261 §14.1).
            _ => self.refresh_later(now),
        }
    }

    pub(super) fn refresh_later(&mut self, now: Instant) {
        self.pending.refresh = false;
        self.offered = None;
        self.refresh_again = Some(now + Duration::from_secs(3));
    }

    /// Acknowledges a 2xx to our re-INVITE.
    pub(super) fn acknowledge(&mut self, status: u16, cseq: u32) {
        if let Some(dialog) = self
            .dialog
            .as_mut()
            .filter(|_| (200..300).contains(&status))
        {
            let mut ack = dialog.ack(cseq);
            // RFC 3261 §13.2.2.4: those of its INVITE.
            for (name, value) in &self.pending.credentials {
                ack.headers.set(name.clone(), value.as_str());
            }
            let flow = self.target();
            self.outputs.push_back(Output::Ack(ack, flow));
        }
    }

    fn ack_refresh(&mut self, response: &Response) {
        let cseq = response.headers.cseq().map_or(1, |c| c.number);
        self.pending.acknowledged = Some(cseq);
        self.acknowledge(response.status, cseq);
        self.hops = Hops::of_answer(response, self.flow.remote.ip());
        if let Some(ours) = self.offered.take()
            && let Ok(agreed) = self.accepted(&ours, &response.body)
        {
            self.agree(agreed);
        }
    }
}
