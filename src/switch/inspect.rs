//! What there is, for who looks at it from outside.

use std::time::Instant;

use super::{Entry, Switch};
use crate::app::AppSpec;
use crate::call::{CallHandle, Phase};
use crate::room::Room;
use crate::sip::transport::Flow;

/// A call as it is now.
#[derive(Clone, Copy, Debug)]
pub struct CallView<'a> {
    /// Our handle.
    pub handle: CallHandle,
    /// Its Call-ID.
    pub call_id: &'a str,
    /// The other party.
    pub party: &'a str,
    /// We have placed it.
    pub is_outgoing: bool,
    /// How far it is.
    pub phase: Phase,
    /// The path of the peer's last message.
    pub flow: Flow,
    /// What it does.
    pub app: &'static str,
    /// When it began.
    pub created: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// The codec that we send.
    pub codec: Option<&'static str>,
    /// The room that it is in, or on its way to.
    pub room: Option<&'a str>,
    /// It is being recorded.
    pub is_recording: bool,
    /// It has media now, whose figures can be asked for.
    pub has_media: bool,
}

impl Switch {
    /// The calls that are not over, in the order in which they began.
    pub fn handles(&self) -> Vec<CallHandle> {
        let mut handles: Vec<CallHandle> = self.calls.keys().copied().collect();
        handles.sort_unstable();
        handles
    }

    /// A call that is not over.
    pub fn view(&self, handle: CallHandle) -> Option<CallView<'_>> {
        self.calls.get(&handle).map(|entry| entry.view(handle))
    }

    /// The rooms, by name.
    pub fn room_list(&self) -> Vec<&Room> {
        let mut rooms: Vec<&Room> = self.rooms.values().collect();
        rooms.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        rooms
    }

    /// A room by its name.
    pub fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.get(name)
    }

    /// Whether there are as many calls as there may be, or none are taken any more.
    pub fn is_full(&self) -> bool {
        !self.accepting || self.calls.len() >= self.settings.max_calls
    }

    /// What a caller from this machine gets for a number.
    pub fn route(&self, number: &str) -> Option<AppSpec> {
        self.routes
            .resolve(number, std::net::Ipv4Addr::LOCALHOST.into())
    }
}

impl Entry {
    fn view(&self, handle: CallHandle) -> CallView<'_> {
        let (created, answered) = self.call.times();
        CallView {
            handle,
            call_id: self.call.call_id(),
            party: &self.party,
            is_outgoing: self.call.is_outgoing(),
            phase: self.call.phase(),
            flow: self.call.flow(),
            app: self.call.spec().name(),
            created,
            answered,
            codec: self.call.agreed().map(|agreed| agreed.codec.name()),
            room: self.room.as_deref(),
            is_recording: self.recording.is_some(),
            has_media: self.leg.is_some(),
        }
    }
}
