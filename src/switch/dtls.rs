//! The handshakes of calls whose keys come by DTLS.
//!
//! Each call has one, and one more where RTCP has a port of its own; their datagrams go through the leg
//! in boxes that go round, see [`Leg::exchange`](crate::leg::Leg::exchange).

use std::time::{Duration, Instant};

use super::{Entry, Event, Switch};
use crate::call::{Call, CallHandle};
use crate::dtls::{Failure, Handshake, Identity, LIMIT, Output};
use crate::leg::{Channel, Flight, Keying, MAX_FLIGHTS};
use crate::sdp::{Association, Fingerprint, SrtpPolicy};
use crate::sip::source::subscriber;
use crate::srtp::Suite;
use crate::switch;
use crate::worker::Command;

/// Handshakes under way at once.
const MAX_HANDSHAKES: usize = 200;
/// Of them those that are left to calls which have keys and need others.
const RESERVED: usize = MAX_HANDSHAKES / 4;
/// Those of one source that is not trusted. A call without keys that finds no room ends.
const MAX_OF_SOURCE: usize = MAX_HANDSHAKES / 4;
/// So often a call that has keys looks whether there is room for its handshake.
const RETRY: Duration = Duration::from_secs(1);
/// What is told where there is none.
const NO_ROOM: &str = "too many handshakes at once";
/// Boxes that a leg has at hand for what comes.
const AT_HAND: usize = 8;

/// What a call has of it.
#[derive(Debug, Default)]
pub(super) struct Secured {
    rtp: Option<Handshake>,
    /// Where RTCP has a port of its own.
    rtcp: Option<Handshake>,
    /// A handshake that waits for room, while the keys before hold.
    postponed: Option<Postponed>,
    /// Whose certificate the keys of RTP were made with, once there are some.
    keyed: Option<Fingerprint>,
    /// Boxes that are here.
    boxes: Vec<Box<Flight>>,
    /// Boxes that the leg has.
    in_leg: usize,
}

#[derive(Debug)]
struct Postponed {
    association: Association,
    again: Instant,
    until: Instant,
}

impl Secured {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let handshakes = [&self.rtp, &self.rtcp].into_iter().flatten();
        let again = self.postponed.as_ref().map(|postponed| postponed.again);
        handshakes
            .filter_map(Handshake::poll_timeout)
            .chain(again)
            .min()
    }

    /// Whether there are keys that were made with whom this handshake is with.
    fn has_keys_of_peer(&self) -> bool {
        let awaited = self.rtp.as_ref().map(|rtp| &rtp.association().remote);
        self.keyed.is_some() && self.keyed.as_ref() == awaited
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
                    output => {
                        if channel == Channel::Rtp && matches!(output, Output::Keys(_)) {
                            self.keyed = Some(handshake.association().remote.clone());
                        }
                        rest.push((channel, output));
                    }
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

    /// How calls to come encrypt their media where no route says it, so all that we place; running ones
    /// keep what they have.
    pub fn set_srtp(&mut self, policy: SrtpPolicy, suites: Vec<Suite>, dtls_offered: bool) {
        let call = &mut self.settings.call;
        call.srtp = policy;
        call.srtp_suites = suites;
        call.dtls_offered = dtls_offered;
        self.call_settings = std::sync::Arc::new(self.settings.call.clone());
    }

    pub(super) fn associate(
        &mut self,
        handle: CallHandle,
        association: Option<Association>,
        now: Instant,
    ) {
        if self.identity.is_none() {
            return;
        }
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let secured = entry.secured.get_or_insert_default();
        (secured.rtp, secured.rtcp, secured.postponed) = (None, None, None);
        match association {
            Some(association) => self.begin_handshake(handle, association, now + LIMIT, now),
            None => secured.keyed = None,
        }
    }

    /// Begins a handshake where there is room. If not, a call that has keys keeps them, and tries again
    /// until then.
    fn begin_handshake(
        &mut self,
        handle: CallHandle,
        association: Association,
        until: Instant,
        now: Instant,
    ) {
        let has_room = self.has_room_for(handle, &association);
        let (Some(entry), Some(identity)) = (self.calls.get_mut(&handle), &self.identity) else {
            return;
        };
        let Some(secured) = entry.secured.as_deref_mut() else {
            return;
        };
        if has_room {
            if association.rtcp_apart {
                secured.rtcp = Some(Handshake::new(identity, association.clone(), now));
            }
            secured.rtp = Some(Handshake::new(identity, association, now));
            self.shake(handle, |_| {});
        } else if secured.keyed.is_none() {
            self.with_call(handle, |call| call.handshake_failed(NO_ROOM.to_owned()));
        } else if now < until {
            secured.postponed = Some(Postponed {
                association,
                again: now + RETRY,
                until,
            });
            self.touched.push_back(handle);
        } else {
            self.rekey_failed(handle, NO_ROOM.to_owned());
        }
    }

    /// Whether a call may shake hands: nobody keeps all others from it, and new calls no running one.
    fn has_room_for(&self, handle: CallHandle, association: &Association) -> bool {
        let source_of = |entry: &Entry| entry.call.flow().remote.ip();
        let Some(entry) = self.calls.get(&handle) else {
            return false;
        };
        let (source, wanted) = (source_of(entry), 1 + usize::from(association.rtcp_apart));
        let (mut running, mut of_source) = (0, 0);
        for (_, other) in self.calls.iter().filter(|(other, _)| **other != handle) {
            let count = other.secured.as_deref().map_or(0, Secured::running);
            running += count;
            if count > 0 && subscriber(source_of(other)) == subscriber(source) {
                of_source += count;
            }
        }
        let has_keys = entry.secured.as_ref().is_some_and(|s| s.keyed.is_some());
        let reserved = if has_keys { 0 } else { RESERVED };
        // Whom we call we have chosen ourselves.
        let is_exempt = entry.call.is_outgoing() || self.endpoint.trusts(source);
        running + wanted + reserved <= MAX_HANDSHAKES
            && (is_exempt || of_source + wanted <= MAX_OF_SOURCE)
    }

    fn secured(&mut self, handle: CallHandle) -> Option<&mut Secured> {
        self.calls.get_mut(&handle)?.secured.as_deref_mut()
    }

    /// DTLS of the party's.
    pub(super) fn on_dtls(&mut self, handle: CallHandle, mut flight: Box<Flight>, now: Instant) {
        let Some(secured) = self.secured(handle) else {
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
        let secured = self.secured(handle);
        let due = secured.and_then(|s| s.postponed.take_if(|postponed| postponed.again <= now));
        if let Some(postponed) = due {
            self.begin_handshake(handle, postponed.association, postponed.until, now);
        }
        self.shake(handle, |handshake| {
            if handshake.poll_timeout().is_some_and(|at| at <= now) {
                handshake.handle_timeout(now);
            }
        });
    }

    /// Does something to the handshakes, and carries out what they then want.
    fn shake(&mut self, handle: CallHandle, mut f: impl FnMut(&mut Handshake)) {
        let Some(secured) = self.secured(handle) else {
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

    /// Without keys of its own there is no RTCP, and the audio goes on. So it does with the keys that
    /// there are, where the same party has said nothing: it may have kept its own although it has moved.
    fn handshake_failed(&mut self, handle: CallHandle, channel: Channel, why: &Failure) {
        let error = why.to_string();
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let secured = entry.secured.as_deref();
        if channel == Channel::Rtcp {
            let call_id = entry.call.call_id().to_owned();
            let event = Event::RtcpFailed { call_id, error };
            self.outputs.push_back(switch::Output::Event(event));
        } else if matches!(why, Failure::TimedOut | Failure::Alerted(_))
            && secured.is_some_and(Secured::has_keys_of_peer)
        {
            self.rekey_failed(handle, error);
        } else {
            self.with_call(handle, |call: &mut Call| call.handshake_failed(error));
        }
    }

    fn rekey_failed(&mut self, handle: CallHandle, error: String) {
        if let Some(entry) = self.calls.get(&handle) {
            let call_id = entry.call.call_id().to_owned();
            let event = Event::RekeyFailed { call_id, error };
            self.outputs.push_back(switch::Output::Event(event));
        }
    }
}
