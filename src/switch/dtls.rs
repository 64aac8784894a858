//! The handshakes of calls whose keys come by DTLS.
//!
//! Each call has one at most; its datagrams go through the leg in boxes that go round, see
//! [`Leg::exchange`](crate::leg::Leg::exchange).

use std::time::Instant;

use super::Switch;
use crate::call::{Call, CallHandle};
use crate::dtls::{Handshake, Identity, Output};
use crate::leg::{Flight, Keying, MAX_FLIGHTS};
use crate::sdp::Association;
use crate::worker::Command;

/// Handshakes under way at once; a call that needs one more ends.
const MAX_HANDSHAKES: usize = 200;
/// Boxes that a leg has at hand for what comes.
const AT_HAND: usize = 8;

/// What a call has of it.
#[derive(Debug, Default)]
pub(super) struct Secured {
    handshake: Option<Handshake>,
    /// Boxes that are here.
    boxes: Vec<Box<Flight>>,
    /// Boxes that the leg has.
    in_leg: usize,
}

impl Secured {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.handshake.as_ref().and_then(Handshake::poll_timeout)
    }

    fn is_running(&self) -> bool {
        self.handshake.as_ref().is_some_and(Handshake::is_running)
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
        let running = |secured: &&Secured| secured.is_running();
        let secured = self.calls.values().filter_map(|e| e.secured.as_deref());
        let running = secured.filter(running).count();
        let (Some(entry), Some(identity)) = (self.calls.get_mut(&handle), &self.identity) else {
            return;
        };
        let secured = entry.secured.get_or_insert_default();
        secured.handshake = None;
        let Some(association) = association else {
            return;
        };
        if running >= MAX_HANDSHAKES {
            let why = "too many handshakes at once".to_owned();
            self.with_call(handle, |call| call.handshake_failed(why));
            return;
        }
        secured.handshake = Some(Handshake::new(identity, association, now));
        self.shake(handle, |_| {});
    }

    /// DTLS of the party's.
    pub(super) fn on_dtls(&mut self, handle: CallHandle, mut flight: Box<Flight>, now: Instant) {
        let entry = self.calls.get_mut(&handle);
        let Some(secured) = entry.and_then(|entry| entry.secured.as_deref_mut()) else {
            return;
        };
        secured.in_leg = secured.in_leg.saturating_sub(1);
        if let Some(handshake) = &mut secured.handshake {
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

    /// Does something to the handshake, and carries out what it then wants.
    fn shake(&mut self, handle: CallHandle, f: impl FnOnce(&mut Handshake)) {
        let entry = self.calls.get_mut(&handle);
        let Some(secured) = entry.and_then(|entry| entry.secured.as_deref_mut()) else {
            return;
        };
        let mut flights: Vec<Box<Flight>> = Vec::new();
        let (mut keys, mut failure) = (None, None);
        if let Some(mut handshake) = secured.handshake.take() {
            f(&mut handshake);
            while let Some(output) = handshake.poll_output() {
                match output {
                    Output::Send(datagram) => {
                        if flights.last_mut().is_some_and(|f| f.push(&datagram)) {
                            continue;
                        }
                        // Without a box it is lost, as it may be on the way.
                        if let Some(mut flight) = secured.take() {
                            flight.push(&datagram);
                            flights.push(flight);
                        }
                    }
                    Output::Keys(new) => keys = Some(new),
                    Output::Failed(why) => failure = Some(why),
                }
            }
            secured.handshake = Some(handshake);
        }
        while secured.in_leg < AT_HAND
            && let Some(flight) = secured.take()
        {
            flights.push(flight);
        }
        for flight in flights {
            self.media(handle, |leg| Command::Exchange(leg, flight));
        }
        if let Some(keys) = keys {
            let keying = Keying::srtp(Some(&keys.rx), Some(&keys.tx));
            self.media(handle, |leg| Command::Secure(leg, keying));
        }
        if let Some(failure) = failure {
            self.with_call(handle, |call: &mut Call| {
                call.handshake_failed(failure.to_string());
            });
        }
        // The time to wake may be another.
        self.touched.push_back(handle);
    }
}
