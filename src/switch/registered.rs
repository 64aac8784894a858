//! Users that are registered, and calls to them.

use std::time::Instant;

use super::Switch;
use crate::app::AppSpec;
use crate::call::{Call, CallHandle};
use crate::sip::registration::Registered;
use crate::sip::transport::Flow;

impl Switch {
    /// Where a user is registered.
    pub fn contact(&self, user: &str, now: Instant) -> Option<Registered> {
        self.registrar.contact(user, now)
    }

    /// The users that are registered.
    pub fn registered(&self, now: Instant) -> Vec<String> {
        self.registrar.users(now)
    }

    /// Calls who is registered by the path of its REGISTER; what follows takes that too, unless there is a
    /// route set.
    pub fn call_back(
        &mut self,
        uri: String,
        from_user: String,
        path: Flow,
        spec: AppSpec,
        now: Instant,
    ) -> CallHandle {
        let handle = self.place(uri, from_user, path, Vec::new(), spec, now);
        self.with_call(handle, Call::keep_path);
        self.settle(now);
        handle
    }
}
