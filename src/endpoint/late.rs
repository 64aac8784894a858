//! INVITEs that were given up since nothing was heard of them and there were other places, or since the
//! connection to who rings was lost. One may be there all the same: who rings is called off, who answers
//! is hung up on (RFC 3261 §13.2.2.4).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Endpoint;
use super::client::{ack, derive};
use crate::sip::dialog::Dialog;
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::transaction::Key;
use crate::sip::transport::Flow;

/// The most that are remembered; the oldest makes room.
const MAX_LATE: usize = 64;
/// How long somebody may ring: that of a proxy's timer C (RFC 3261 §16.6).
const RINGING: Duration = Duration::from_mins(3);

/// Those of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Late(VecDeque<GivenUp>);

#[derive(Debug)]
struct GivenUp {
    key: Key,
    invite: Request,
    flow: Flow,
    until: Instant,
    cancelled: bool,
    hung_up: bool,
}

impl Late {
    /// An INVITE, without its body, is given up; `cancelled`: its CANCEL is out already.
    pub fn add(&mut self, key: Key, invite: Request, flow: Flow, cancelled: bool, now: Instant) {
        while self.0.front().is_some_and(|first| first.until <= now) || self.0.len() >= MAX_LATE {
            self.0.pop_front();
        }
        self.0.push_back(GivenUp {
            key,
            invite,
            flow,
            until: now + RINGING,
            cancelled,
            hung_up: false,
        });
    }
}

impl Endpoint {
    /// A response that no transaction waits for.
    pub(super) fn on_late(&mut self, key: Key, response: &Response, now: Instant) {
        let known = self.late.0.iter_mut();
        let Some(given_up) = known.into_iter().find(|g| g.key == key && g.until > now) else {
            return;
        };
        let flow = given_up.flow;
        match response.status {
            ..=100 => {}
            101..=199 => {
                if !std::mem::replace(&mut given_up.cancelled, true) {
                    let cancel = derive(&given_up.invite, Method::Cancel);
                    let via = cancel.headers.via();
                    let branch = via.ok().and_then(|via| via.branch().map(str::to_owned));
                    self.start_client(cancel, &branch.unwrap_or_default(), flow, true, now);
                }
            }
            200..=299 => {
                let Ok(mut dialog) = Dialog::uac(&given_up.invite, response) else {
                    return;
                };
                let cseq = given_up.invite.headers.cseq().map_or(1, |cseq| cseq.number);
                let hung_up = std::mem::replace(&mut given_up.hung_up, true);
                self.send_ack(dialog.ack(cseq), flow);
                if !hung_up {
                    dialog.confirm();
                    let mut bye = dialog.request(Method::Bye);
                    let branch = self.complete(&mut bye, flow);
                    self.start_client(bye, &branch, flow, true, now);
                }
            }
            _ => {
                let bytes = ack(&given_up.invite, response).to_bytes();
                self.transmit(flow, bytes);
            }
        }
    }
}
