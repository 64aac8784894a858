//! What a call that we place answers to 401 and 407 (RFC 3261 §22.2, §22.3).

use std::time::Instant;

use super::{Call, Output, State};
use crate::sip::auth::Client;
use crate::sip::header::{Headers, Name};
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;

impl Call {
    /// Gives it a name and a password to answer challenges with.
    pub fn set_login(&mut self, client: Client) {
        self.login = Some(Box::new(client));
    }

    /// Its name and password, once it has no more requests to make.
    pub fn take_login(&mut self) -> Option<Client> {
        let over = matches!(self.state, State::Ending(_) | State::Ended);
        self.login.take_if(|_| over).map(|login| *login)
    }

    /// Puts credentials into a request within the dialog for whoever has asked before, so that it need
    /// not be asked again.
    pub fn authorize(&mut self, request: &mut Request) {
        let invite = request.method == Method::Invite;
        let first = invite && !request.has_to_tag();
        if let Some(login) = self.login.as_mut().filter(|_| !first) {
            login.authorize(request);
            if invite {
                self.pending.credentials = credentials(&request.headers);
            }
        }
    }

    /// The INVITE as it is now; its credentials stay in it for the ACK (RFC 3261 §13.2.2.4).
    pub(super) fn resend_invite(&mut self) {
        if let State::Calling { sent, .. } = &mut self.state {
            *sent = true;
        }
        // Whom the one before has reached is not who this one reaches.
        self.branches.clear();
        if let Some(login) = &mut self.login {
            login.authorize(&mut self.invite);
        }
        self.outputs
            .push_back(Output::Request(self.invite.clone(), self.flow));
    }

    /// The ACK with what the INVITE had.
    pub(super) fn with_credentials(&self, mut ack: Request) -> Request {
        for (name, value) in credentials(&self.invite.headers) {
            ack.headers.set(name, value);
        }
        ack
    }

    /// Learns from a response; whether our request is sent again because of it.
    pub(super) fn challenged(&mut self, response: &Response, now: Instant) -> bool {
        let Some(login) = &mut self.login else {
            return false;
        };
        match response.status {
            100 => return false,
            401 | 407 => {}
            _ => {
                login.accepted();
                return false;
            }
        }
        if !login.challenged(response) {
            return false;
        }
        let placing = matches!(
            self.state,
            State::Calling {
                cancelled: false,
                ..
            }
        );
        let talking = matches!(self.state, State::Established);
        match response.headers.cseq().map(|cseq| cseq.method) {
            Ok(Method::Invite) if placing => {
                self.invite.headers.increment_cseq();
                self.resend_invite();
                true
            }
            Ok(Method::Info) if talking => self.repeat_info(now),
            Ok(Method::Refer) if talking => self.refer(),
            _ => false,
        }
    }
}

/// What headers say of who we are.
fn credentials(headers: &Headers) -> Vec<(Name, String)> {
    let names = [Name::Authorization, Name::ProxyAuthorization];
    let said = names.into_iter().filter_map(|name| {
        let value = headers.get(&name)?.to_owned();
        Some((name, value))
    });
    said.collect()
}
