//! Calls of programs that nobody signals: who listens in on another call, and media of an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use ipnet::IpNet;

use super::Switch;
use super::programs::ProgramError;
use crate::app::{AppSpec, StasisSpec};
use crate::call::{Call, CallHandle, EndReason, Unsignalled, UnsignalledMedia};
use crate::codec::Codec;
use crate::leg::{LegParams, MAX_RX_TYPES, MAX_SNOOPS, Sides, listen_in};
use crate::rtp::latch::{MAX_SOURCES, Sources};
use crate::sip::transport::{Flow, Transport};
use crate::worker::Command;

/// Media of an address that a program names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalMedia {
    /// What is sent and received.
    pub codec: Codec,
    /// Its payload type, both ways.
    pub payload_type: u8,
}

impl Switch {
    /// Where media of programs may go; loopback always.
    pub fn set_external_media(&mut self, allowed: Vec<IpNet>) {
        self.external_media = allowed;
    }

    /// A new call that listens in on another: what it says is what the other says or hears (`spy`),
    /// and what is said to it is heard by the other or by those who hear the other (`whisper`).
    pub fn snoop(
        &mut self,
        on: CallHandle,
        (spy, whisper): (Sides, Sides),
        spec: StasisSpec,
        now: Instant,
    ) -> Result<CallHandle, ProgramError> {
        let target = self.calls.get(&on).ok_or(ProgramError::NoCall)?;
        if target.leg.is_none() || !target.call.is_answered() {
            return Err(ProgramError::WrongState);
        }
        if self.is_full() || target.driven.snoops.len() >= MAX_SNOOPS {
            return Err(ProgramError::Full);
        }
        let flow = Flow {
            transport: Transport::Udp,
            local: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            remote: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            connection: None,
            host: None,
        };
        let params = LegParams {
            rtcp_mux: true,
            rtcp_keys: false,
            ..LegParams::g711(Codec::Pcmu, None)
        };
        let media = UnsignalledMedia::Inside(params);
        let handle = self.next_handle();
        let (snoop, feed) = listen_in(handle.0, spy, whisper);
        self.media(on, |leg| Command::Snoop(leg, snoop));
        self.begin_unsignalled(handle, "snoop", flow, spec, media, now);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.driven.snoops_on = Some(on);
            entry.driven.feed = Some(feed);
        }
        if let Some(target) = self.calls.get_mut(&on) {
            target.driven.snoops.push(handle);
        }
        self.settle(now);
        Ok(handle)
    }

    /// A new call whose other side is an address, on the path `flow`.
    pub fn external_media(
        &mut self,
        media: ExternalMedia,
        flow: Flow,
        spec: StasisSpec,
        now: Instant,
    ) -> Result<CallHandle, ProgramError> {
        let to = flow.remote;
        let ip = to.ip().to_canonical();
        let allowed = ip.is_loopback() || self.external_media.iter().any(|net| net.contains(&ip));
        if !allowed || to.port() == 0 {
            return Err(ProgramError::Forbidden);
        }
        if self.is_full() {
            return Err(ProgramError::Full);
        }
        let anywhere = self.call_settings.media_from_anywhere || self.endpoint.trusts(ip);
        let sources = if anywhere {
            Sources::Any
        } else {
            Sources::Of([None; MAX_SOURCES])
        };
        let mut rx_types = [None; MAX_RX_TYPES];
        rx_types[0] = Some((media.payload_type, media.codec));
        let params = LegParams {
            codec: media.codec,
            tx_payload_type: media.payload_type,
            rx_types,
            opus: self.settings.call.capabilities.opus,
            // On the next port: who expects audio alone is not to find reports in it.
            remote_rtcp: to.port().checked_add(1).map(|port| (to.ip(), port).into()),
            sources,
            // It may send from another socket than it listens on.
            listens_as_described: true,
            ..LegParams::g711(Codec::Pcmu, Some(to))
        };
        let handle = self.next_handle();
        let media = UnsignalledMedia::Address(params);
        self.begin_unsignalled(handle, "media", flow, spec, media, now);
        self.settle(now);
        Ok(handle)
    }

    fn begin_unsignalled(
        &mut self,
        handle: CallHandle,
        name: &str,
        flow: Flow,
        spec: StasisSpec,
        media: UnsignalledMedia,
        now: Instant,
    ) {
        let of = Unsignalled {
            name: name.to_owned(),
            flow,
            spec: AppSpec::Stasis(spec),
            media,
            call_id: self.endpoint.new_call_id(),
            local_tag: self.endpoint.new_tag(),
        };
        let call = Call::unsignalled(handle, self.call_settings.clone(), of, now);
        self.add_call(call);
    }

    /// Where the media of a call is received.
    pub fn media_address(&self, handle: CallHandle) -> Option<(IpAddr, u16)> {
        self.calls.get(&handle)?.call.media_address()
    }

    /// A call is over: so are those that listen in on it, and it listens in on no other.
    pub(super) fn end_snooping(&mut self, handle: CallHandle) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let snoops = std::mem::take(&mut entry.driven.snoops);
        let on = entry.driven.snoops_on.take();
        for snoop in snoops {
            self.with_call(snoop, |call| call.end(EndReason::HungUp));
        }
        if let Some(on) = on {
            if let Some(target) = self.calls.get_mut(&on) {
                target.driven.snoops.retain(|&snoop| snoop != handle);
            }
            self.media(on, |leg| Command::Unsnoop(leg, handle.0));
        }
    }
}
