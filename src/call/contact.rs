//! Where the peer of a call reaches us.

use super::Call;
use crate::sip::transport::Transport;
use crate::sip::uri::{Host, Scheme, Uri};

/// Room for a usual Contact.
const CONTACT_BYTES: usize = 64;

impl Call {
    /// The value of our Contact.
    pub(super) fn contact(&self) -> String {
        let called = self.invite.parsed_uri().ok();
        // RFC 3261 §12.1.1: what was reached securely stays so.
        let secure = called.as_ref().is_some_and(|u| u.scheme == Scheme::Sips);
        let user = called.and_then(|u| u.user).filter(|_| !self.is_outgoing);
        let mut uri = Uri::new(
            None,
            Host::from(self.advertised()),
            // We may listen on none for a stream that we have opened.
            Some(self.flow.local.port()).filter(|port| *port != 0),
        );
        uri.user = user;
        let transport = self.flow.transport;
        if secure && transport.is_secure() {
            uri.scheme = Scheme::Sips;
        }
        if transport != Transport::Udp && (transport, uri.scheme) != (Transport::Tls, Scheme::Sips)
        {
            uri.params.set("transport", Some(transport.parameter()));
        }
        let mut text = String::with_capacity(CONTACT_BYTES);
        text.push('<');
        // Writing to a String cannot fail.
        let _ = uri.write(&mut text);
        text.push('>');
        text
    }
}
