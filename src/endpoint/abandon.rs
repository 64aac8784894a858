//! Giving up on an ACK.

use super::{Endpoint, ServerId};
use crate::sip::transaction::ServerEvent;

impl Endpoint {
    /// The dialog of an answered INVITE is over before its ACK came: the 2xx is not resent any
    /// more, and nothing further is told of the transaction.
    pub fn abandon(&mut self, id: ServerId) {
        if let Some(now) = self.now {
            self.tell_server(id, ServerEvent::Ack, None, now);
        }
    }
}

impl Endpoint {
    /// The To tag of all responses to an INVITE, the one to its CANCEL included (RFC 3261 §9.2).
    pub fn set_tag(&mut self, id: ServerId, tag: &str) {
        if let Some(server) = self.table.server(id) {
            server.tag = Some(tag.to_owned());
        }
    }
}
