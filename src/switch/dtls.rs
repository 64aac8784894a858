//! The handshakes of calls whose keys come by DTLS.
//!
//! Each call has one, and one more where RTCP has a port of its own; their datagrams go through the leg
//! in boxes that go round, see [`Leg::exchange`](crate::leg::Leg::exchange).

use std::time::Instant;

use super::{Event, Switch};
use crate::call::{Call, CallHandle};
use crate::dtls::{Failure, Handshake, Identity, Output};
use crate::leg::{Channel, Flight, Keying, MAX_FLIGHTS};
use crate::sdp::Association;
use crate::switch;
use crate::worker::Command;

/// Handshakes under way at once; a call that needs more ends.
const MAX_HANDSHAKES: usize = 200;
/// Boxes that a leg has at hand for what comes.
const AT_HAND: usize = 8;

/// What a call has of it.
#[derive(Debug, Default)]
pub(super) struct Secured {
    rtp: Option<Handshake>,
    /// Where RTCP has a port of its own.
    rtcp: Option<Handshake>,
    /// Boxes that are here.
    boxes: Vec<Box<Flight>>,
    /// Boxes that the leg has.
    in_leg: usize,
}

impl Secured {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let handshakes = [&self.rtp, &self.rtcp].into_iter().flatten();
        handshakes.filter_map(Handshake::poll_timeout).min()
    }

    fn running(&self) -> usize {
        let handshakes = [&self.rtp, &self.rtcp].into_iter().flatten();
        handshakes
            .filter(|handshake| handshake.is_running())
            .count()
    }

    fn handshake(&mut self, channel: Channel) -> &mut Option<Handshake> {
        match channel {
            Channel::Rtp => &mut self.rtp,
            Channel::Rtcp => &mut self.rtcp,
        }
    }

    /// Does something to the handshakes, and what they then want: datagrams in boxes into `flights`,
    /// the rest is given back.
    fn shake(
        &mut self,
        f: &mut impl FnMut(&mut Handshake),
        flights: &mut Vec<Box<Flight>>,
    ) -> Vec<(Channel, Output)> {
        let mut rest = Vec::new();
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let Some(mut handshake) = self.handshake(channel).take() else {
                continue;
            };
            f(&mut handshake);
            while let Some(output) = handshake.poll_output() {
                match output {
                    Output::Send(datagram) => self.pack(channel, &datagram, flights),
                    output => rest.push((channel, output)),
                }
            }
            *self.handshake(channel) = Some(handshake);
        }
        rest
    }

    fn pack(&mut self, channel: Channel, datagram: &[u8], flights: &mut Vec<Box<Flight>>) {
        let last = flights.last_mut().filter(|f| f.channel() == channel);
        if last.is_some_and(|flight| flight.push(datagram)) {
            return;
        }
        // Without a box it is lost, as it may be on the way.
        if let Some(mut flight) = self.take() {
            flight.set_channel(channel);
            flight.push(datagram);
            flights.push(flight);
        }
    }

    /// A box to send, where the leg may have one more.
    fn take(&mut self) -> Option<Box<Flight>> {
        if self.in_leg >= MAX_FLIGHTS {
            return None;
        }
        self.in_leg += 1;
        Some(self.boxes.pop().unwrap_or_else(Flight::boxed))
    }
}

impl Switch {
    /// Has calls take their keys by DTLS too, with this certificate; before any call.
    pub fn set_identity(&mut self, identity: Identity) {
        self.settings.call.fingerprint = Some(identity.fingerprint().clone());
        self.call_settings = std::sync::Arc::new(self.settings.call.clone());
        self.identity = Some(identity);
    }

    pub(super) fn associate(
        &mut self,
        handle: CallHandle,
        association: Option<Association>,
        now: Instant,
    ) {
        let secured = self.calls.values().filter_map(|e| e.secured.as_deref());
        let running: usize = secured.map(Secured::running).sum();
        let (Some(entry), Some(identity)) = (self.calls.get_mut(&handle), &self.identity) else {
            return;
        };
        let secured = entry.secured.get_or_insert_default();
        (secured.rtp, secured.rtcp) = (None, None);
        let Some(association) = association else {
            return;
        };
        let wanted = 1 + usize::from(association.rtcp_apart);
        if running + wanted > MAX_HANDSHAKES {
            let why = "too many handshakes at once".to_owned();
            self.with_call(handle, |call| call.handshake_failed(why));
            return;
        }
        if association.rtcp_apart {
            secured.rtcp = Some(Handshake::new(identity, association.clone(), now));
        }
        secured.rtp = Some(Handshake::new(identity, association, now));
        self.shake(handle, |_| {});
    }

    /// DTLS of the party's.
    pub(super) fn on_dtls(&mut self, handle: CallHandle, mut flight: Box<Flight>, now: Instant) {
        let entry = self.calls.get_mut(&handle);
        let Some(secured) = entry.and_then(|entry| entry.secured.as_deref_mut()) else {
            return;
        };
        secured.in_leg = secured.in_leg.saturating_sub(1);
        if let Some(handshake) = secured.handshake(flight.channel()) {
            for datagram in flight.datagrams() {
                handshake.handle(datagram, now);
            }
        }
        flight.clear();
        secured.boxes.push(flight);
        self.shake(handle, |_| {});
    }

    pub(super) fn handshake_timeout(&mut self, handle: CallHandle, now: Instant) {
        self.shake(handle, |handshake| {
            if handshake.poll_timeout().is_some_and(|at| at <= now) {
                handshake.handle_timeout(now);
            }
        });
    }

    /// Does something to the handshakes, and carries out what they then want.
    fn shake(&mut self, handle: CallHandle, mut f: impl FnMut(&mut Handshake)) {
        let entry = self.calls.get_mut(&handle);
        let Some(secured) = entry.and_then(|entry| entry.secured.as_deref_mut()) else {
            return;
        };
        let mut flights: Vec<Box<Flight>> = Vec::new();
        let outputs = secured.shake(&mut f, &mut flights);
        while secured.in_leg < AT_HAND
            && let Some(flight) = secured.take()
        {
            flights.push(flight);
        }
        for flight in flights {
            self.media(handle, |leg| Command::Exchange(leg, flight));
        }
        for (channel, output) in outputs {
            match output {
                Output::Keys(keys) => {
                    let keying = Keying::srtp(Some(&keys.rx), Some(&keys.tx)).of(channel);
                    self.media(handle, |leg| Command::Secure(leg, keying));
                }
                Output::Failed(why) => self.handshake_failed(handle, channel, &why),
                Output::Send(_) => {}
            }
        }
        // The time to wake may be another.
        self.touched.push_back(handle);
    }

    /// Without keys of its own there is no RTCP, and the audio goes on.
    fn handshake_failed(&mut self, handle: CallHandle, channel: Channel, why: &Failure) {
        let error = why.to_string();
        if channel == Channel::Rtp {
            self.with_call(handle, |call: &mut Call| call.handshake_failed(error));
        } else if let Some(entry) = self.calls.get(&handle) {
            let call_id = entry.call.call_id().to_owned();
            let event = Event::RtcpFailed { call_id, error };
            self.outputs.push_back(switch::Output::Event(event));
        }
    }
}
