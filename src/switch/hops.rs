//! Requests within a dialog whose next hop is a name, and whose connection is gone: they wait until it is
//! known where that leads (RFC 3263).

use std::collections::HashMap;
use std::time::Instant;

use super::{Output, Switch, Ways};
use crate::call::CallHandle;
use crate::sip::auth::Client;
use crate::sip::message::Request;
use crate::sip::method::Method;
use crate::sip::transport::Flow;

/// Requests of a call that wait for one name.
const MAX_WAITING: usize = 8;

/// The names that are being asked for, one of a call.
#[derive(Debug, Default)]
pub(super) struct Hops {
    by_call: HashMap<CallHandle, Hop>,
    calls: HashMap<u64, CallHandle>,
}

#[derive(Debug)]
struct Hop {
    name: String,
    /// Where the requests go if the name is not known.
    otherwise: Flow,
    waiting: Vec<Request>,
    /// What a BYE among them answers challenges with: its call may be over by then.
    login: Option<Client>,
}

impl Hops {
    pub fn len(&self) -> usize {
        self.by_call.len()
    }

    fn take(&mut self, number: u64) -> Option<(CallHandle, Hop)> {
        let call = self.calls.remove(&number)?;
        Some((call, self.by_call.remove(&call)?))
    }
}

impl Switch {
    /// Keeps a request of a call until it is known where it goes; what need not wait comes back.
    pub(super) fn hold_for_hop(
        &mut self,
        handle: CallHandle,
        mut request: Request,
        otherwise: Flow,
    ) -> Option<Request> {
        let call = self.calls.get_mut(&handle).map(|entry| &mut entry.call);
        let Some((call, name)) =
            call.and_then(|call| call.sought(&request).map(|name| (call, name)))
        else {
            return Some(request);
        };
        let hop = self.hops.by_call.get_mut(&handle);
        if hop
            .as_ref()
            .is_some_and(|hop| hop.waiting.len() >= MAX_WAITING)
        {
            return Some(request);
        }
        let mut login = None;
        if request.method == Method::Bye {
            call.authorize(&mut request);
            login = call.take_login();
        }
        if let Some(hop) = hop {
            hop.waiting.push(request);
            hop.login = login.or(hop.login.take());
            return None;
        }
        let number = self.next_dial;
        self.next_dial += 1;
        let hop = Hop {
            name: name.clone(),
            otherwise,
            waiting: vec![request],
            login,
        };
        self.hops.by_call.insert(handle, hop);
        self.hops.calls.insert(number, handle);
        self.outputs.push_back(Output::Resolve {
            dial: number,
            uri: name,
        });
        None
    }

    /// It is known where a next hop is, or that nobody knows.
    pub(super) fn hop_found(&mut self, number: u64, ways: Ways, now: Instant) {
        let Some((handle, mut hop)) = self.hops.take(number) else {
            return;
        };
        let is_ipv4 = |flow: &Flow| flow.remote.ip().to_canonical().is_ipv4();
        let found = ways.ok().map(|(first, others)| {
            let mut others = others.into_iter();
            // The address that the peer has of us is of this family.
            if is_ipv4(&first) == is_ipv4(&hop.otherwise) {
                return first;
            }
            let same = others.find(|other| is_ipv4(other) == is_ipv4(&hop.otherwise));
            same.unwrap_or(first)
        });
        let entry = self.calls.get_mut(&handle);
        let is_over = entry.is_none();
        if let (Some(entry), Some(flow)) = (entry, found) {
            entry.call.hop_found(hop.name, flow);
        }
        let flow = found.unwrap_or(hop.otherwise);
        for request in hop.waiting {
            let is_ack = request.method == Method::Ack;
            // Of a call that is over the other side has to know that alone.
            if is_over && !is_ack && request.method != Method::Bye {
                continue;
            }
            if is_ack {
                self.endpoint.send_ack(request, flow);
                continue;
            }
            let login = hop.login.take_if(|_| request.method == Method::Bye);
            let bye = login.map(|login| (request.clone(), login));
            let sent = self.send(handle, request, flow, now);
            if let (Some(id), Some((bye, login))) = (sent, bye) {
                self.keep_bye(id, bye, flow, login);
            }
        }
    }
}
