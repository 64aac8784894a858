//! Carries out what a call wants.

use std::time::Instant;

use rand::Rng;

use super::{Event, LegPlace, Output, Summary, Switch};
use crate::app::{Action, AppSpec, Happened, PlayItem};
use crate::bridge::{Bridge, Port};
use crate::call::{self, CallHandle, EndReason};
use crate::leg::{Leg, LegId, LegParams, LegSettings};
use crate::room::{Change, Room};
use crate::sip::message::Request;
use crate::sip::method::Method;
use crate::sip::transport::Flow;
use crate::worker::{BridgeId, Command};

impl Switch {
    pub(super) fn execute(&mut self, handle: CallHandle, output: call::Output, now: Instant) {
        use call::Output as Out;
        match output {
            Out::Respond(transaction, response) => {
                if response.status >= 300 {
                    self.forget_invite(transaction);
                }
                self.endpoint.respond(transaction, response, now);
            }
            Out::RespondReliable(transaction, response) => {
                self.endpoint.respond_reliable(transaction, response, now);
            }
            Out::Proven(transaction, rseq) => {
                self.endpoint.provisional_acknowledged(transaction, rseq);
            }
            Out::Abandon(transaction) => {
                self.forget_invite(transaction);
                self.endpoint.abandon(transaction);
            }
            Out::Request(request, flow) => self.send(handle, request, flow, now),
            Out::Ack(request, flow) => self.endpoint.send_ack(request, flow),
            Out::Cancel => {
                let invite = self
                    .clients
                    .iter()
                    .find(|(_, (h, m))| *h == handle && *m == Method::Invite)
                    .map(|(&id, _)| id);
                if let Some(id) = invite {
                    self.endpoint.cancel(id, now);
                }
            }
            Out::ReserveMedia(address) => self.outputs.push_back(Output::Reserve {
                call: handle,
                address,
            }),
            Out::Dialog(id) => {
                if let Some(entry) = self.calls.get_mut(&handle) {
                    entry.dialogs.push(id.clone());
                    self.dialogs.insert(id, handle);
                }
            }
            Out::OpenLeg(params) => self.open_leg(handle, params),
            Out::ConfigureLeg(params) => {
                self.media(handle, |leg| Command::Configure(leg, params));
            }
            Out::CloseLeg => {
                self.media(handle, Command::Close);
            }
            Out::App(action) => self.act(handle, action, now),
            Out::Answered => {
                if let Some(entry) = self.calls.get(&handle) {
                    let call_id = entry.call.call_id().to_owned();
                    self.outputs.push_back(Output::Event(Event::Answered {
                        call: handle,
                        call_id,
                    }));
                }
            }
            Out::Ended(reason) => self.ended(handle, reason, now),
        }
    }

    fn send(&mut self, handle: CallHandle, request: Request, flow: Flow, now: Instant) {
        let method = request.method.clone();
        match self.endpoint.request(request, flow, now) {
            Ok(id) => {
                self.clients.insert(id, (handle, method));
            }
            Err(_) => {
                self.with_call(handle, |c| c.on_transport_error(&method, now));
            }
        }
    }

    /// Sends a command to the worker of a call's leg. Whether there is one.
    pub(super) fn media(
        &mut self,
        handle: CallHandle,
        command: impl FnOnce(LegId) -> Command,
    ) -> bool {
        let Some(place) = self.calls.get(&handle).and_then(|entry| entry.leg) else {
            return false;
        };
        self.outputs.push_back(Output::Media {
            worker: place.worker,
            command: command(place.leg),
        });
        true
    }

    /// A leg on the room's worker where the call goes to a conference, else on the one with the
    /// fewest.
    fn open_leg(&mut self, handle: CallHandle, params: LegParams) {
        let Some(entry) = self.calls.get(&handle) else {
            return;
        };
        let spec = entry.call.spec().clone();
        let worker = match &spec {
            AppSpec::Conference(conference) => {
                self.room_worker(handle, &conference.room, conference.max_members)
            }
            _ => self.quietest_worker(),
        };
        let place = worker.and_then(|w| Some((w, self.leg_places[w].take()?)));
        let Some((worker, (index, generation))) = place else {
            // No place: the limits on calls are below the number of places, so only rooms get here.
            self.refuse_media(handle);
            return;
        };
        let leg = LegId { index, generation };
        let settings = LegSettings {
            ssrc: self.rng.random(),
            first_sequence: self.rng.random(),
            first_timestamp: self.rng.random(),
            cname: format!("{:016x}", self.rng.random::<u64>()),
            jitter_max_ms: self.settings.jitter_max_ms,
            media_timeout_ms: self.settings.media_timeout_ms,
        };
        self.legs.insert((worker, leg), handle);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.leg = Some(LegPlace { worker, leg });
        }
        self.outputs.push_back(Output::Open {
            worker,
            call: handle,
            leg: Box::new(Leg::new(leg, params, settings)),
        });
    }

    fn refuse_media(&mut self, handle: CallHandle) {
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.call.leg_unavailable();
            self.touched.push_back(handle);
        }
    }

    fn quietest_worker(&self) -> Option<usize> {
        (0..self.settings.workers).min_by_key(|&w| self.leg_places[w].in_use())
    }

    /// The worker of a room, which begins to exist with its first caller's media.
    fn room_worker(&mut self, handle: CallHandle, name: &str, max_members: usize) -> Option<usize> {
        if !self.rooms.contains_key(name) {
            if self.rooms.len() >= self.settings.max_rooms {
                return None;
            }
            let worker = self.quietest_worker()?;
            let (index, generation) = self.bridge_places[worker].take()?;
            let id = BridgeId { index, generation };
            let capacity = max_members.min(self.settings.legs_per_worker);
            let bridge = Box::new(Bridge::new(crate::audio::NARROWBAND, capacity));
            self.outputs.push_back(Output::Media {
                worker,
                command: Command::CreateBridge(id, bridge),
            });
            let room = Room::new(name.to_owned(), worker, id, capacity);
            self.rooms.insert(name.to_owned(), room);
        }
        let room = self.rooms.get_mut(name)?;
        room.expect(handle);
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.room = Some(name.to_owned());
        }
        Some(room.worker)
    }

    fn act(&mut self, handle: CallHandle, action: Action, now: Instant) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let Some(place) = entry.leg else { return };
        match action {
            Action::Play { id, items, repeat } => {
                let files = items.iter().filter_map(|item| match item {
                    PlayItem::File(path) => Some(path.clone()),
                    _ => None,
                });
                entry.playing = files.collect();
                self.outputs.push_back(Output::Play {
                    worker: place.worker,
                    leg: place.leg,
                    call: handle,
                    id,
                    items,
                    repeat,
                });
            }
            Action::StopPlay => {
                self.media(handle, Command::StopPlay);
            }
            Action::Record { file, max, silence } => {
                let recording = self.next_recording;
                self.next_recording += 1;
                let output = Output::Record {
                    worker: place.worker,
                    leg: place.leg,
                    recording,
                    file,
                    trusted: matches!(entry.call.spec(), AppSpec::Script(_)),
                    max,
                    silence,
                    caller: entry.party.clone(),
                    call_id: entry.call.call_id().to_owned(),
                };
                self.outputs.push_back(output);
                self.recordings.insert(recording, handle);
                if let Some(entry) = self.calls.get_mut(&handle) {
                    entry.recording = Some(recording);
                }
            }
            Action::StopRecord => {
                self.media(handle, Command::StopRecord);
            }
            Action::Echo(on) => {
                self.media(handle, |leg| Command::Echo(leg, on));
            }
            Action::Join(name) => self.join(handle, &name, now),
            // The call itself carries this out.
            Action::HangUp => {}
        }
    }

    fn join(&mut self, handle: CallHandle, name: &str, now: Instant) {
        let Some(place) = self.calls.get(&handle).and_then(|e| e.leg) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(name) else {
            self.with_call(handle, |c| c.happened(&Happened::JoinFailed, now));
            return;
        };
        let command = Command::Join {
            leg: place.leg,
            bridge: room.bridge,
            port: Box::new(Port::new(place.leg.index)),
        };
        let change = room.enter(handle);
        self.outputs.push_back(Output::Media {
            worker: place.worker,
            command,
        });
        self.announce(change, now);
    }

    fn announce(&mut self, change: Change, now: Instant) {
        let (handle, happened) = match change {
            Change::None => return,
            Change::Alone(handle) => (handle, Happened::Alone),
            Change::Company(handle) => (handle, Happened::Company),
        };
        self.with_call(handle, |c| c.happened(&happened, now));
    }

    /// Takes a call out of its room; an empty room ends.
    pub(super) fn leave_room(&mut self, handle: CallHandle, now: Instant) {
        let Some(name) = self.calls.get_mut(&handle).and_then(|e| e.room.take()) else {
            return;
        };
        let Some(room) = self.rooms.get_mut(&name) else {
            return;
        };
        let change = room.leave(handle);
        if room.is_empty()
            && let Some(room) = self.rooms.remove(&name)
        {
            self.outputs.push_back(Output::Media {
                worker: room.worker,
                command: Command::CloseBridge(room.bridge),
            });
        }
        self.announce(change, now);
    }

    /// Forgets a call that is over.
    fn ended(&mut self, handle: CallHandle, reason: EndReason, now: Instant) {
        self.leave_room(handle, now);
        let Some(mut entry) = self.calls.remove(&handle) else {
            return;
        };
        for id in entry.dialogs.drain(..) {
            self.dialogs.remove(&id);
        }
        for id in entry.invites.drain(..) {
            self.invites.remove(&id);
        }
        // A BYE goes on until it is answered.
        self.clients
            .retain(|_, (h, method)| *h != handle || *method == Method::Bye);
        if let Some(at) = entry.wake {
            self.wakes.remove(&(at, handle));
        }
        if let Some(recording) = entry.recording {
            self.recordings.remove(&recording);
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
