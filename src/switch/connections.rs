//! Which calls are on which connection: one that ends is looked up, and not sought among all calls.

use std::collections::BTreeSet;
use std::time::Instant;

use rustc_hash::FxHashMap;

use super::Switch;
use crate::call::CallHandle;
use crate::endpoint;
use crate::sip::transport::ConnectionId;

/// The calls whose peer has spoken last on a connection, by that.
#[derive(Debug, Default)]
pub(super) struct OnConnections(FxHashMap<ConnectionId, BTreeSet<CallHandle>>);

impl OnConnections {
    /// A call is on another connection than before, or on none.
    pub fn move_call(
        &mut self,
        call: CallHandle,
        from: Option<ConnectionId>,
        to: Option<ConnectionId>,
    ) {
        if from == to {
            return;
        }
        if let Some(from) = from
            && let Some(calls) = self.0.get_mut(&from)
        {
            calls.remove(&call);
            if calls.is_empty() {
                self.0.remove(&from);
            }
        }
        if let Some(to) = to {
            self.0.entry(to).or_default().insert(call);
        }
    }

    /// Those on a connection, which has ended: on none from now on.
    fn take(&mut self, connection: ConnectionId) -> BTreeSet<CallHandle> {
        self.0.remove(&connection).unwrap_or_default()
    }

    /// Gives back the room that is not needed.
    pub fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Switch {
    /// Something has come from the SIP transports.
    pub(super) fn on_sip(&mut self, input: endpoint::Input, now: Instant) {
        if let endpoint::Input::ConnectionClosed(connection) = input {
            for handle in self.on_connections.take(connection) {
                if let Some(entry) = self.calls.get_mut(&handle) {
                    entry.connection = None;
                    entry.call.connection_closed(connection);
                }
            }
            self.registrar.connection_closed(connection);
        }
        self.endpoint.handle(input, now);
    }

    /// A call may have moved to another connection.
    pub(super) fn note_connection(&mut self, handle: CallHandle) {
        if let Some(entry) = self.calls.get_mut(&handle) {
            let now_on = entry.call.flow().connection;
            let before = std::mem::replace(&mut entry.connection, now_on);
            self.on_connections.move_call(handle, before, now_on);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calls_of_a_connection_hear_of_its_end() {
        let [one, two] = [1, 2].map(|n| Some(ConnectionId(n)));
        let mut all = OnConnections::default();
        for (call, connection) in [(1, one), (2, two), (3, one), (4, None), (5, one)] {
            all.move_call(CallHandle(call), None, connection);
        }
        all.move_call(CallHandle(3), one, two);
        all.move_call(CallHandle(5), one, None);
        let of = |all: &mut OnConnections, connection: u64| {
            let calls = all.take(ConnectionId(connection)).into_iter();
            calls.map(|call| call.0).collect::<Vec<_>>()
        };
        assert_eq!(of(&mut all, 3), [0; 0], "nobody's");
        assert_eq!(of(&mut all, 1), [1]);
        assert_eq!(of(&mut all, 1), [0; 0], "on none any more");
        all.move_call(CallHandle(2), two, None);
        assert_eq!(of(&mut all, 2), [3]);
        assert_eq!(all.len(), 0);
    }
}
