//! A call that nobody signals: there is media, and no dialog. It is what listens in on another call,
//! or an address that a program has named.
//!
//! ```text
//! Calling --ports--> Established --hung up--> Ending --> Ended
//! without ports: Established at once
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Call, CallHandle, Output, Settings, State};
use crate::app::AppSpec;
use crate::leg::LegParams;
use crate::sip::header::Name;
use crate::sip::message::Request;
use crate::sip::method::Method;
use crate::sip::transport::Flow;

/// The media of such a call.
#[derive(Clone, Debug)]
pub enum UnsignalledMedia {
    /// What another leg says and hears: there are no sockets.
    Inside(LegParams),
    /// RTP to and from an address.
    Address(LegParams),
}

/// What such a call starts from.
#[derive(Clone, Debug)]
pub struct Unsignalled {
    /// What it is called, as the user of a URI.
    pub name: String,
    /// Between which addresses it is.
    pub flow: Flow,
    /// What it does.
    pub spec: AppSpec,
    /// Its media.
    pub media: UnsignalledMedia,
    /// A Call-ID, fresh: for logs.
    pub call_id: String,
    /// A tag, fresh.
    pub local_tag: String,
}

impl Call {
    /// A call without a dialog.
    pub fn unsignalled(
        handle: CallHandle,
        settings: Arc<Settings>,
        of: Unsignalled,
        now: Instant,
    ) -> Call {
        let state = State::Calling {
            sent: false,
            cancelled: false,
        };
        // As if it had called: who looks at it finds names where they are with others.
        let host = crate::sip::uri::Host::from(of.flow.remote.ip());
        let mut invite = Request::new(Method::Invite, &format!("sip:{}@{host}", of.name));
        let headers = &mut invite.headers;
        headers.set(Name::From, format!("<sip:{}@{host}>", of.name));
        headers.set(Name::To, format!("<sip:{}@{host}>", of.name));
        headers.set(Name::CallId, of.call_id);
        let identity = (invite, of.local_tag);
        let mut call = Call::new(handle, settings, state, of.flow, of.spec, identity, now);
        match of.media {
            UnsignalledMedia::Inside(params) => {
                call.unsignalled = Some(Box::new(params));
                call.begin_unsignalled(now);
            }
            UnsignalledMedia::Address(params) => {
                call.unsignalled = Some(Box::new(params));
                let address = call.flow.local.ip();
                call.outputs.push_back(Output::ReserveMedia(address));
            }
        }
        call
    }

    /// Whether nobody signals it.
    pub fn is_unsignalled(&self) -> bool {
        self.unsignalled.is_some()
    }

    /// Where its media is received, once there are ports.
    pub fn media_address(&self) -> Option<(IpAddr, u16)> {
        self.local.map(|local| (local.address, local.rtp_port))
    }

    pub(super) fn begin_unsignalled(&mut self, now: Instant) {
        let Some(params) = self.unsignalled.as_deref().copied() else {
            return;
        };
        self.ends_at = Some(now + self.settings.max_length);
        self.leg_open = true;
        self.outputs.push_back(Output::OpenLeg(params, None));
        self.established(now);
    }
}
