//! Bridges of programs: rooms without a policy. They exist from when they are made until they are
//! destroyed, whoever is in them; calls are put in and taken out.
//!
//! ```text
//! add --> leg on the bridge's worker: Join
//!     '-> on another: Detach --Detached--> Open over there, Join
//! ```

use std::collections::HashMap;
use std::time::Instant;

use super::loading::Loading;
use super::{Event, Moving, Output, Switch};
use crate::app::{App, AppSpec, Happened, Report, StasisSpec};
use crate::bridge::{Bridge, Port};
use crate::call::CallHandle;
use crate::codec::Codec;
use crate::switch::programs::ProgramError;
use crate::switch::recorded::{Closing, Recording, Whose};
use crate::worker::{BridgeId, Command, SharedEncoder};

/// The most bridges of programs at once.
const MAX_BRIDGES: usize = 4_096;

/// Our handle of a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BridgeNumber(pub u64);

/// What happens to a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BridgeEvent {
    /// A call is in it.
    Entered(CallHandle),
    /// A call is not in it any more.
    Left(CallHandle),
    /// What came of an order.
    Reported(Report),
    /// It is no more.
    Destroyed,
}

/// All bridges of programs.
#[derive(Debug, Default)]
pub(super) struct Bridges {
    pub all: HashMap<BridgeNumber, ProgramBridge>,
    next: u64,
    /// By where they are mixed.
    pub ids: HashMap<(usize, BridgeId), BridgeNumber>,
    /// By their recordings.
    pub recordings: HashMap<u64, BridgeNumber>,
    /// Recordings, of calls too, whose files are being closed or whose programs have left.
    pub closing: HashMap<u64, Closing>,
}

impl Bridges {
    pub fn leftovers(&self) -> usize {
        self.all.len() + self.recordings.len() + self.closing.len()
    }
}

/// A bridge.
#[derive(Debug)]
pub(super) struct ProgramBridge {
    /// Where it is mixed; none: those in it do not hear each other.
    pub place: Option<(usize, BridgeId)>,
    /// Calls in it and on their way.
    pub members: Vec<CallHandle>,
    capacity: usize,
    /// What is played to all.
    pub player: App,
    /// What is recorded of all.
    pub recorder: App,
    /// Plays whose files are being read, by their place.
    pub loading: [Option<Loading>; 2],
    pub recording: Option<Recording>,
}

impl ProgramBridge {
    fn new(place: Option<(usize, BridgeId)>, capacity: usize, now: Instant) -> Self {
        let app = || {
            let mut app = App::new(&AppSpec::Stasis(StasisSpec::default()));
            app.handle(&Happened::Established, now);
            app
        };
        Self {
            place,
            members: Vec::new(),
            capacity,
            player: app(),
            recorder: app(),
            loading: [None; 2],
            recording: None,
        }
    }
}

impl Switch {
    /// A new bridge; where its members are not to hear each other, nothing is mixed.
    pub fn create_bridge(
        &mut self,
        mixing: bool,
        max_members: usize,
        now: Instant,
    ) -> Result<BridgeNumber, ProgramError> {
        if self.bridges.all.len() >= MAX_BRIDGES {
            return Err(ProgramError::Full);
        }
        let capacity = max_members.min(self.settings.legs_per_worker);
        let place = if mixing {
            let worker = self.worker_for_bridge(None).ok_or(ProgramError::Full)?;
            let place = self.bridge_places[worker].take();
            let (index, generation) = place.ok_or(ProgramError::Full)?;
            let id = BridgeId { index, generation };
            let bridge = Box::new(Bridge::new(capacity));
            self.outputs.push_back(Output::Media {
                worker,
                command: Command::CreateBridge(id, bridge),
            });
            Some((worker, id))
        } else {
            None
        };
        self.bridges.next += 1;
        let number = BridgeNumber(self.bridges.next);
        let bridge = ProgramBridge::new(place, capacity, now);
        self.bridges.ids.extend(place.map(|place| (place, number)));
        self.bridges.all.insert(number, bridge);
        Ok(number)
    }

    /// Ends a bridge; calls in it go on alone.
    pub fn destroy_bridge(
        &mut self,
        number: BridgeNumber,
        now: Instant,
    ) -> Result<(), ProgramError> {
        let bridge = self
            .bridges
            .all
            .get(&number)
            .ok_or(ProgramError::NoBridge)?;
        for member in bridge.members.clone() {
            self.leave_bridge(member, now);
        }
        self.orphan_recordings(Whose::Bridge(number));
        if let Some(bridge) = self.bridges.all.remove(&number)
            && let Some((worker, id)) = bridge.place
        {
            self.bridges.ids.remove(&(worker, id));
            self.bridge_places[worker].end();
            self.outputs.push_back(Output::Media {
                worker,
                command: Command::CloseBridge(id),
            });
        }
        self.tell_of_bridge(number, BridgeEvent::Destroyed);
        self.settle(now);
        Ok(())
    }

    /// Who is in a bridge.
    pub fn bridge_members(&self, number: BridgeNumber) -> Vec<CallHandle> {
        let bridge = self.bridges.all.get(&number);
        let members = bridge.map_or(&[][..], |bridge| &bridge.members);
        let arrived = |call: &&CallHandle| self.calls.get(*call).is_some_and(|e| e.driven.arrived);
        members.iter().filter(arrived).copied().collect()
    }

    /// Recordings of bridges that are under way.
    pub fn bridge_recordings(&self) -> usize {
        self.bridges.recordings.len()
    }

    /// The bridge that a call is in.
    pub fn bridge_of(&self, handle: CallHandle) -> Option<BridgeNumber> {
        self.calls.get(&handle).and_then(|e| e.driven.bridge)
    }

    /// Whether all these calls, each named once, can be in a bridge together with who is there.
    pub fn may_be_in_bridge(
        &self,
        number: BridgeNumber,
        handles: &[CallHandle],
    ) -> Result<(), ProgramError> {
        let bridge = self.bridges.all.get(&number);
        let bridge = bridge.ok_or(ProgramError::NoBridge)?;
        let mut more = 0;
        for &handle in handles {
            self.takes_orders(handle)?;
            more += usize::from(self.bridge_of(handle) != Some(number));
        }
        if more > 0 && bridge.members.len() + more > bridge.capacity {
            return Err(ProgramError::Full);
        }
        Ok(())
    }

    /// Puts a call into a bridge, out of the one that it was in.
    pub fn add_to_bridge(
        &mut self,
        number: BridgeNumber,
        handle: CallHandle,
        now: Instant,
    ) -> Result<(), ProgramError> {
        self.may_be_in_bridge(number, &[handle])?;
        if self.bridge_of(handle) == Some(number) {
            return Ok(());
        }
        self.leave_bridge(handle, now);
        if let Some(bridge) = self.bridges.all.get_mut(&number) {
            bridge.members.push(handle);
        }
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.driven.bridge = Some(number);
        }
        self.arrive_in_bridge(handle);
        self.settle(now);
        Ok(())
    }

    /// Takes a call out of a bridge.
    pub fn remove_from_bridge(
        &mut self,
        number: BridgeNumber,
        handle: CallHandle,
        now: Instant,
    ) -> Result<(), ProgramError> {
        if !self.bridges.all.contains_key(&number) {
            return Err(ProgramError::NoBridge);
        }
        let entry = self.calls.get(&handle).ok_or(ProgramError::NoCall)?;
        if entry.driven.bridge != Some(number) {
            return Err(ProgramError::NotInBridge);
        }
        self.leave_bridge(handle, now);
        self.settle(now);
        Ok(())
    }

    /// A call that is to be in a bridge goes there, as soon as it is answered and where it is not on
    /// its way already.
    pub(super) fn arrive_in_bridge(&mut self, handle: CallHandle) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let (Some(number), Some(leg)) = (entry.driven.bridge, entry.leg) else {
            return;
        };
        let Some(bridge) = self.bridges.all.get(&number) else {
            return;
        };
        if entry.driven.arrived || entry.moving.is_some() || !entry.call.is_established() {
            return;
        }
        if let Some((worker, id)) = bridge.place {
            if worker != leg.worker {
                self.media(handle, Command::Detach);
                if let Some(entry) = self.calls.get_mut(&handle) {
                    entry.moving = Some(Moving {
                        to: worker,
                        held: Vec::new(),
                    });
                }
                return;
            }
            let (params, rate) = (entry.params, entry.ports_for);
            let codec = params.map_or(Codec::Pcmu, |p| p.codec);
            // Without it the leg encodes for itself.
            let encoder = params.and_then(|p| SharedEncoder::new(p.codec, p.opus).ok().flatten());
            self.media(handle, |leg| Command::Join {
                leg,
                bridge: id,
                port: Box::new(Port::new(leg.index, codec.sample_rate()).with_memory_for(rate)),
                encoder,
            });
        }
        if let Some(entry) = self.calls.get_mut(&handle) {
            entry.driven.arrived = true;
        }
        self.tell_of_bridge(number, BridgeEvent::Entered(handle));
    }

    pub(super) fn tell_of_bridge(&mut self, bridge: BridgeNumber, event: BridgeEvent) {
        let event = Event::Bridge { bridge, event };
        self.outputs.push_back(Output::Event(event));
    }

    /// Takes a call out of the bridge that it is in or on its way to.
    pub(super) fn leave_bridge(&mut self, handle: CallHandle, _now: Instant) {
        let Some(entry) = self.calls.get_mut(&handle) else {
            return;
        };
        let arrived = std::mem::take(&mut entry.driven.arrived);
        let Some(number) = entry.driven.bridge.take() else {
            return;
        };
        let bridge = self.bridges.all.get_mut(&number);
        let mixes = bridge.is_some_and(|bridge| {
            bridge.members.retain(|&member| member != handle);
            bridge.place.is_some()
        });
        if arrived {
            if mixes {
                self.media(handle, Command::Leave);
            }
            self.tell_of_bridge(number, BridgeEvent::Left(handle));
        }
    }
}
