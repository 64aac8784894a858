//! Carries out what a call wants.

use std::net::IpAddr;
use std::time::Instant;

use rand::Rng;

use super::recorded::Whose;
use super::{Event, LegPlace, Output, Summary, Switch};
use crate::app::AppSpec;
use crate::audio::MediaTime;
use crate::audio::process::ProcessSettings;
use crate::call::{self, CallHandle, EndReason};
use crate::codec::CodecError;
use crate::leg::{CodingNeeds, Keying, Leg, LegId, LegParams, LegSettings, Reprocessing};
use crate::sip::message::{Request, Response};
use crate::sip::method::Method;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::transport::Flow;
use crate::worker::{Command, Recoding};

/// So many of a call's requests are looked through for answered ones.
const MANY_CLIENTS: usize = 8;

impl Switch {
    /// Hangs up every call.
    pub fn hang_up_all(&mut self, reason: &EndReason, now: Instant) {
        let mut handles: Vec<_> = self.calls.keys().copied().collect();
        // One seed is one run: not in the map's own order.
        handles.sort_unstable();
        for handle in handles {
            self.with_call(handle, |call| call.end(reason.clone()));
        }
        self.settle(now);
    }

    /// Hangs up one call.
    pub fn hang_up(&mut self, handle: CallHandle, now: Instant) {
        self.with_call(handle, |call| call.end(EndReason::HungUp));
        self.settle(now);
    }

    pub(super) fn execute(&mut self, handle: CallHandle, output: call::Output, now: Instant) {
        use call::Output as Out;
        match output {
            Out::Respond(transaction, response) => self.respond(transaction, response, now),
            Out::RespondReliable(transaction, response) => {
                self.invites.answer(transaction);
                self.endpoint.respond_reliable(transaction, response, now);
            }
            Out::Proven(transaction, rseq) => {
                self.invites.acknowledge(transaction);
                self.endpoint.provisional_acknowledged(transaction, rseq);
            }
            Out::Abandon(transaction) => {
                self.forget_invite(transaction);
                self.endpoint.abandon(transaction);
            }
            Out::Request(request, flow) => {
                if let Some(request) = self.hold_for_hop(handle, request, flow) {
                    self.send(handle, request, flow, now);
                }
            }
            Out::Ack(request, flow) => {
                if let Some(request) = self.hold_for_hop(handle, request, flow) {
                    self.endpoint.send_ack(request, flow);
                }
            }
            Out::Cancel => self.cancel_invite(handle, now),
            Out::ReserveMedia(address) => self.reserve_media(handle, address),
            Out::Dialog(id) => {
                if let Some(entry) = self.calls.get_mut(&handle) {
                    let (ours, peers) = (&id.local_tag, &id.remote_tag);
                    let key = self.dialog_keys.dialog(&id.call_id, ours, peers);
                    entry.dialogs.push(key);
                    self.dialogs.insert(key, handle);
                }
            }
            Out::OpenLeg(params, keying) => self.open_leg(handle, params, keying, now),
            Out::ConfigureLeg(params) => self.configure_leg(handle, params),
            Out::SecureLeg(keying) => {
                self.media(handle, |leg| Command::Secure(leg, keying));
            }
            Out::Associate(association) => self.associate(handle, association, now),
            Out::CloseLeg => {
                if let Some(entry) = self.calls.get_mut(&handle) {
                    entry.secured = None;
                }
                self.media(handle, Command::Close);
            }
            Out::App(action) => self.act(handle, action, now),
            Out::Waiting => self.enter_program(handle),
            Out::Progress(status) => {
                let event = Event::Progress {
                    call: handle,
                    status,
                };
                self.outputs.push_back(Output::Event(event));
            }
            Out::Answered => {
                if let Some(entry) = self.calls.get(&handle) {
                    let call_id = entry.call.call_id().to_owned();
                    self.outputs.push_back(Output::Event(Event::Answered {
                        call: handle,
                        call_id,
                    }));
                }
                self.enter_program(handle);
                self.arrive_in_bridge(handle);
            }
            Out::Locate(wanted) => {
                if let Some(entry) = self.calls.get(&handle) {
                    self.outputs.push_back(Output::Locate {
                        call: handle,
                        call_id: entry.call.call_id().to_owned(),
                        wanted,
                    });
                }
            }
            Out::Digit(digit) => {
                let event = Event::Digit {
                    call: handle,
                    digit,
                };
                self.outputs.push_back(Output::Event(event));
            }
            Out::DigitsNotSent(error) => {
                if let Some(entry) = self.calls.get(&handle) {
                    let call_id = entry.call.call_id().to_owned();
                    let event = Event::DigitsNotSent { call_id, error };
                    self.outputs.push_back(Output::Event(event));
                }
            }
            Out::Ended(reason) => self.ended(handle, reason, now),
        }
    }

    fn cancel_invite(&mut self, handle: CallHandle, now: Instant) {
        let ours = self.calls.get(&handle).map_or(&[][..], |e| &e.clients);
        let invite = ours
            .iter()
            .copied()
            .find(|id| matches!(self.clients.get(id), Some((_, Method::Invite))));
        if let Some(id) = invite {
            self.endpoint.cancel(id, now);
        }
    }

    fn respond(&mut self, transaction: ServerId, response: Response, now: Instant) {
        if response.status >= 300 {
            self.forget_invite(transaction);
        } else if response.status >= 200 {
            self.invites.answer(transaction);
        }
        self.endpoint.respond(transaction, response, now);
    }

    /// Sends a request of a call; none: it could not be sent, which the call knows then.
    pub(super) fn send(
        &mut self,
        handle: CallHandle,
        mut request: Request,
        flow: Flow,
        now: Instant,
    ) -> Option<ClientId> {
        let method = request.method.clone();
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.call.authorize(&mut request);
        }
        let bye = (method == Method::Bye).then(|| request.clone());
        let Ok(id) = self.endpoint.request(request, flow, now) else {
            self.with_call(handle, |c| c.on_transport_error(&method, now));
            return None;
        };
        let places = method == Method::Invite;
        self.clients.insert(id, (handle, method));
        let entry = self.calls.get(&handle);
        if places && entry.is_some_and(|entry| entry.call.may_be_elsewhere()) {
            self.endpoint.hurry(id, now);
        }
        if let Some(bye) = bye {
            self.remember_bye(handle, id, bye, flow);
        }
        if let Some(entry) = self.calls.get_mut(&handle) {
            // A long call makes many.
            if entry.clients.len() >= MANY_CLIENTS {
                entry.clients.retain(|id| self.clients.contains_key(id));
            }
            entry.clients.push(id);
        }
        Some(id)
    }

    /// Sends a command to the worker of a call's leg, once that is where it goes. Whether there is
    /// one.
    pub(super) fn media(
        &mut self,
        handle: CallHandle,
        command: impl FnOnce(LegId) -> Command,
    ) -> bool {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return false;
        };
        let Some(place) = entry.leg else {
            return false;
        };
        let command = command(place.leg);
        if let Some(moving) = &mut entry.moving {
            moving.held.push(command);
        } else {
            self.outputs.push_back(Output::Media {
                worker: place.worker,
                command,
            });
        }
        true
    }

    /// A leg on the room's worker where the call goes to a conference, else on the one with the
    /// fewest.
    fn open_leg(
        &mut self,
        handle: CallHandle,
        params: LegParams,
        keying: Option<Box<Keying>>,
        now: Instant,
    ) {
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let process = entry.heard_and_said();
        // What a program has made ends when the program wants it to: it may only listen.
        let timeout = if entry.call.is_unsignalled() {
            0
        } else {
            self.settings.media_timeout_ms
        };
        let room = match entry.call.spec() {
            AppSpec::Conference(c) if c.is_direct() => Some((c.room.clone(), Some(c.settings()))),
            // It is not in before it has answered: a room does not begin, nor a place get taken.
            AppSpec::Conference(c) => Some((c.room.clone(), None)),
            _ => None,
        };
        let near = self.quietest_worker();
        let worker = match room {
            Some((room, Some(settings))) => {
                self.expect_in_room(handle, &room, &settings, None, now)
            }
            Some((room, None)) => self.rooms.get(&room).map(|room| room.worker).or(near),
            None => near,
        };
        let place = worker.and_then(|w| Some((w, self.leg_places[w].take()?)));
        let Some((worker, (index, generation))) = place else {
            // No place: the limits on calls are below the number of places, so only rooms get here.
            self.refuse_media(handle);
            return;
        };
        let id = LegId { index, generation };
        let settings = LegSettings {
            ssrc: self.rng.random(),
            // RFC 3711 §3.3.1: below 2^15, or a receiver that misses the first packets might miss the
            // roll-over.
            first_sequence: self.rng.random::<u16>() >> 1,
            first_timestamp: self.rng.random(),
            cname: format!("{:016x}", self.rng.random::<u64>()),
            jitter_max_ms: self.settings.jitter_max_ms,
            media_timeout_ms: timeout,
            inband_digits: self.settings.inband_digits,
            process,
        };
        let memory = self.leg_memory.pop();
        let mut leg = match Leg::in_memory_of(memory, id, params, settings) {
            Ok(leg) => Box::new(leg),
            Err(error) => {
                self.leg_places[worker].give_back(index);
                self.codec_failed(handle, &error);
                return;
            }
        };
        if let Some(mut keying) = keying {
            leg.rekey(&mut keying, MediaTime::ZERO);
        }
        let rtp_port = self.calls.get(&handle).and_then(|entry| entry.rtp_port);
        if let Some(&stream) = rtp_port.and_then(|port| self.heard.get(&port)) {
            leg.shun(stream);
        }
        self.legs.insert((worker, id), handle);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.leg = Some(LegPlace { worker, leg: id });
            entry.params = Some(params);
            leg.watch(entry.watched.then(Box::default));
            leg.watch_talk(entry.driven.talk);
            if let Some(feed) = entry.driven.feed.take() {
                leg.set_feed(feed);
            }
        }
        self.outputs.push_back(Output::Open {
            worker,
            call: handle,
            leg,
        });
    }

    /// What a re-INVITE or UPDATE decided; another codec brings its memory along.
    fn configure_leg(&mut self, handle: CallHandle, params: LegParams) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let needs = CodingNeeds::of(&params);
        let same = entry
            .params
            .is_some_and(|old| CodingNeeds::of(&old).serve(&needs));
        let held = entry.params.replace(params).is_some_and(|old| old.held);
        if held != params.held {
            let event = Event::Held {
                call: handle,
                held: params.held,
            };
            self.outputs.push_back(Output::Event(event));
        }
        let process = entry.heard_and_said();
        let recoding =
            (!same).then(|| Recoding::new(&params, self.settings.jitter_max_ms, process));
        match recoding.transpose() {
            Ok(recoding) => {
                self.media(handle, |leg| Command::Configure(leg, params, recoding));
            }
            Err(error) => self.codec_failed(handle, &error),
        }
    }

    /// Other processing of a call's audio, also while it runs.
    pub fn process(&mut self, handle: CallHandle, settings: ProcessSettings) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        entry.process = settings;
        let settings = entry.heard_and_said();
        if let Some(params) = entry.params {
            let to = Reprocessing::new(settings, params.codec.sample_rate());
            self.media(handle, |leg| Command::Process(leg, to));
        }
    }

    fn codec_failed(&mut self, handle: CallHandle, error: &CodecError) {
        if let Some(entry) = self.calls.get(&handle) {
            self.outputs.push_back(Output::Event(Event::MediaFailed {
                call_id: entry.call.call_id().to_owned(),
                error: error.to_string(),
            }));
        }
        self.refuse_media(handle);
    }

    fn refuse_media(&mut self, handle: CallHandle) {
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.call.leg_unavailable();
            self.touched.push_back(handle);
        }
    }

    /// Asks for ports on an address; those that a call has on another go back.
    fn reserve_media(&mut self, call: CallHandle, address: IpAddr) {
        let entry = self.calls.get_mut(&call);
        if entry.and_then(|entry| entry.rtp_port.take()).is_some() {
            self.outputs.push_back(Output::Release { call });
        }
        self.outputs.push_back(Output::Reserve { call, address });
    }

    pub(super) fn quietest_worker(&self) -> Option<usize> {
        (0..self.settings.workers).min_by_key(|&w| self.leg_places[w].in_use())
    }

    /// Where another bridge is mixed: on `near` if that has a place left for it, else on the one with the
    /// fewest legs, then bridges, of the workers that have; none: none has.
    pub(super) fn worker_for_bridge(&self, near: Option<usize>) -> Option<usize> {
        let has_place = |w: &usize| self.bridge_places[*w].has_free();
        let load = |&w: &usize| {
            let legs = self.leg_places[w].in_use();
            (legs, self.bridge_places[w].in_use())
        };
        let workers = (0..self.settings.workers).filter(has_place);
        near.filter(has_place).or_else(|| workers.min_by_key(load))
    }

    /// Forgets a call that is over.
    fn ended(&mut self, handle: CallHandle, reason: EndReason, now: Instant) {
        self.leave_room(handle, now);
        self.leave_bridge(handle, now);
        self.orphan_recordings(Whose::Call(handle));
        self.end_snooping(handle);
        let Some(mut entry) = self.calls.remove(&handle) else {
            return;
        };
        if let AppSpec::Stasis(spec) = entry.call.spec() {
            self.forget_absent(&spec.app);
        }
        if let Some(dial) = entry.dial.take() {
            self.dial_ended(&dial, &reason, now);
        }
        for key in entry.dialogs.drain(..) {
            self.dialogs.remove(&key);
        }
        let connection = entry.connection.take();
        self.on_connections.move_call(handle, connection, None);
        for id in entry.invites.drain(..) {
            self.invites.remove(id);
        }
        // A BYE goes on until it is answered.
        for id in entry.clients.drain(..) {
            let unless_bye = |(_, method): &(_, Method)| *method != Method::Bye;
            if self.clients.get(&id).is_some_and(unless_bye) {
                self.clients.remove(&id);
            }
        }
        if let Some(at) = entry.wake {
            self.wakes.remove(&(at, handle));
        }
        if let Some(recording) = entry.recording {
            self.recordings.remove(&recording.number);
        }
        if !entry.names.is_empty() {
            self.outputs.push_back(Output::ForgetNames(entry.names));
        }
        self.outputs.push_back(Output::Release { call: handle });
        let (created, answered) = entry.call.times();
        let summary = Summary {
            call: handle,
            call_id: entry.call.call_id().to_owned(),
            party: entry.party,
            app: entry.call.spec().name(),
            reason,
            set_up: answered.map(|at| at - created),
            talked: answered.map_or_else(Default::default, |at| now - at),
            codec: entry.call.agreed().map(|a| a.codec.name()),
            stats: entry.call.stats().copied(),
        };
        self.outputs
            .push_back(Output::Event(Event::Ended(Box::new(summary))));
    }
}
